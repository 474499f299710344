"""Checkpoint files of CLIP: reading them, and the configuration that OpenAI's layout implies.

OpenAI and open_clip name the weights alike; open_clip's models with a separate text module put `text.` before its keys.
Files that OpenAI published carry three marker entries, by which they are known, and were trained with quick-gelu.
"""

from __future__ import annotations

import json
import pickle
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from bench.clip.spec import SUFFIXES
from bench.clip.tokens import VOCABULARY
from bench.errors import BenchError

CONFIG_NAMES: Final = ("open_clip_config.json", "open_clip.json")
MARKERS: Final = ("input_resolution", "context_length", "vocab_size")
HEAD_WIDTH = 64
RESNET_FACTOR = 32  # the attention pool of CLIP's ResNet is this many times wider than its stem


@dataclass(frozen=True)
class Checkpoint:
    """Weights in float32 under OpenAI's key names.

    Attributes:
        state: tensors by key.
        openai: whether OpenAI's markers were found.
        rows: the token ids that have an embedding, or None for all.
    """

    state: dict[str, Tensor]
    openai: bool
    rows: frozenset[int] | None


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint: safetensors, a weights-only file of torch, or OpenAI's TorchScript archive.

    A file with compact token rows (`token_embedding.weight` [R, W] beside `token_ids` [R]) gets its full table.

    Raises:
        BenchError: the file is missing, unreadable, holds objects beside tensors, or another layout.
    """
    state = _tensors(path)
    if all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): value for key, value in state.items()}
    state = {key.removeprefix("text."): value for key, value in state.items()}
    openai = all(key in state for key in MARKERS)
    state = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
    for key in MARKERS:
        state.pop(key, None)
    if "visual.conv1.weight" not in state or "token_embedding.weight" not in state:
        raise BenchError(
            f'"{path}" holds keys such as "{next(iter(state), "none")}"; expected OpenAI\'s or open_clip\'s names '
            '("visual.conv1.weight", "token_embedding.weight"): convert the checkpoint to open_clip first.'
        )
    rows = _scatter_rows(state) if "token_ids" in state else None
    return Checkpoint(state, openai, rows)


def _tensors(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise BenchError(f'checkpoint "{path}" does not exist; give the path of a {", ".join(SUFFIXES)} file.')
    if path.suffix not in SUFFIXES:
        raise BenchError(f'checkpoint "{path}" ends in "{path.suffix}"; expected {", ".join(SUFFIXES)}.')
    from safetensors import SafetensorError

    try:
        content = _content(path)
    except (RuntimeError, SafetensorError, pickle.UnpicklingError, EOFError, ValueError, KeyError, OSError) as error:
        reason = " ".join(str(error).split())[:120]
        raise BenchError(
            f'checkpoint "{path}" is not readable as weights alone ({reason}); save its state dict as safetensors.'
        ) from error
    for wrapper in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise BenchError(f'checkpoint "{path}" holds more than tensors; save its state dict alone.')
    return dict(content)


def _content(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    if _is_torchscript(path):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch announces the end of TorchScript; OpenAI published nothing else
            archive: Any = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]
            return dict(archive.state_dict())
    return torch.load(path, map_location="cpu", weights_only=True)


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name for name in archive.namelist())


def _scatter_rows(state: dict[str, Tensor]) -> frozenset[int]:
    """Put compact token rows where they belong in a full table, zero elsewhere; returns their ids."""
    ids, compact = state.pop("token_ids").long(), state["token_embedding.weight"]
    table = compact.new_zeros(VOCABULARY, compact.shape[1])
    table[ids] = compact
    state["token_embedding.weight"] = table
    return frozenset(ids.tolist())


def find_config(path: Path) -> dict[str, Any] | None:
    """The open_clip configuration beside a checkpoint, or None.

    Looked for, in this order: the checkpoint's stem with `.json` or `_open_clip.json`, then `open_clip_config.json` and
    `open_clip.json` in its folder. Returns {"model_cfg": ..., "preprocess_cfg": ...}.

    Raises:
        BenchError: the file is not an open_clip configuration.
    """
    names = (f"{path.stem}.json", f"{path.stem}_open_clip.json", *CONFIG_NAMES)
    found = next((path.with_name(name) for name in names if path.with_name(name).is_file()), None)
    if found is None:
        return None
    try:
        content = json.loads(found.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BenchError(f'"{found}" is not JSON ({error}); correct or remove it.') from error
    model = content.get("model_cfg", content) if isinstance(content, dict) else None
    if not isinstance(model, dict) or not {"embed_dim", "vision_cfg", "text_cfg"} <= model.keys():
        raise BenchError(
            f'"{found}" is not an open_clip configuration; expected "model_cfg" with embed_dim, vision_cfg, text_cfg.'
        )
    return {"model_cfg": model, "preprocess_cfg": content.get("preprocess_cfg") or {}}


def infer_config(checkpoint: Checkpoint, path: Path) -> dict[str, Any]:
    """The configuration of a checkpoint in OpenAI's layout, from its shapes, as OpenAI's release defines them.

    Widths, depths and sizes are read off the weights; heads are width / 64; the activation is quick-gelu.

    Raises:
        BenchError: the file does not carry OpenAI's markers, so activation and heads are unknown, or a key is missing.
    """
    if not checkpoint.openai:
        raise BenchError(
            f'"{path}" does not say its activation and head counts (it is not as OpenAI published it); put its '
            "open_clip JSON beside it, or name its architecture as ARCH@PATH or ARCH/TAG@PATH."
        )
    state = checkpoint.state
    try:
        width = state["ln_final.weight"].shape[0]
        vision = _vision_config(state)
        text = {
            "context_length": state["positional_embedding"].shape[0],
            "vocab_size": state["token_embedding.weight"].shape[0],
            "width": width,
            "heads": _heads(width, path),
            "layers": _count(state, "transformer.resblocks.", 2),
        }
        embed = state["text_projection"].shape[1]
    except KeyError as error:
        raise BenchError(f'"{path}" has OpenAI\'s markers but no key {error}; the file is incomplete.') from error
    _heads(vision["width"] * (1 if "patch_size" in vision else RESNET_FACTOR), path)
    return {"embed_dim": embed, "quick_gelu": True, "vision_cfg": vision, "text_cfg": text}


def _vision_config(state: dict[str, Tensor]) -> dict[str, Any]:
    if "visual.proj" in state:
        width, _, _, patch = state["visual.conv1.weight"].shape
        grid = round((state["visual.positional_embedding"].shape[0] - 1) ** 0.5)
        layers: Any = _count(state, "visual.transformer.resblocks.", 3)
        return {"layers": layers, "width": width, "patch_size": patch, "image_size": grid * patch}
    side = round((state["visual.attnpool.positional_embedding"].shape[0] - 1) ** 0.5)
    layers = [_count(state, f"visual.layer{number}.", 2) for number in (1, 2, 3, 4)]
    return {
        "layers": layers,
        "width": state["visual.layer1.0.conv1.weight"].shape[0],
        "image_size": side * RESNET_FACTOR,
    }


def _count(state: dict[str, Tensor], prefix: str, part: int) -> int:
    return len({key.split(".")[part] for key in state if key.startswith(prefix)})


def _heads(width: int, path: Path) -> int:
    if width % HEAD_WIDTH:
        raise BenchError(
            f'"{path}" has width {width}, which is no multiple of {HEAD_WIDTH}, so its head count is unknown; put its '
            "open_clip JSON beside it."
        )
    return width // HEAD_WIDTH
