"""The slow and obvious text side: whole prompts of 77 tokens through open_clip's own transformer."""

from __future__ import annotations

from typing import Any

import open_clip
import torch
from torch import Tensor

from bench.clip.tokens import START, ClassTokens

SMALL: dict[str, Any] = {
    "embed_dim": 24,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 16, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 3},
}


def model(config: dict[str, Any], seed: int = 0, custom: bool = False) -> Any:
    """A random frozen open_clip model; the embeddings are widened so that attention is far from uniform."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        built = open_clip.CustomTextCLIP(**config) if custom else open_clip.CLIP(**config)
        tower = getattr(built, "text", built)
        tower.token_embedding.weight.data.mul_(10)
        tower.positional_embedding.data.mul_(10)
    return built.eval().requires_grad_(False)


def tail_at(context: int, position: str) -> int:
    """How many context vectors stand before the class name."""
    return {"end": context, "middle": context // 2, "front": 0}[position]


def encode(built: Any, context: Tensor, classes: ClassTokens, position: str = "end") -> Tensor:
    """Class features [C, D] for a context [M, W] or [C, M, W], one class after the other, then one forward."""
    tower = getattr(built, "text", built)
    table, rows, ends = tower.token_embedding.weight, [], []
    for index, (name, tail) in enumerate(zip(classes.ids, classes.tails, strict=True)):
        vectors = context[index] if context.ndim == 3 else context
        split = tail_at(len(vectors), position)
        name_rows, tail_rows = (table[torch.tensor(ids, dtype=torch.long)] for ids in (name, tail))
        prompt = torch.cat([table[START : START + 1], vectors[:split], name_rows, vectors[split:], tail_rows])
        ends.append(len(prompt) - 1)
        padding = table[0].expand(tower.positional_embedding.shape[0] - len(prompt), -1)
        rows.append(torch.cat([prompt, padding]))
    x = torch.stack(rows) + tower.positional_embedding
    x = tower.ln_final(tower.transformer(x, attn_mask=tower.attn_mask))
    picked: Tensor = x[torch.arange(len(rows)), torch.tensor(ends)]
    projection = tower.text_projection
    if projection is None:
        return picked
    features: Tensor = projection(picked) if isinstance(projection, torch.nn.Module) else picked @ projection
    return features
