"""Pretrain the embedded backbone `tiny`: a small CLIP on rendered glyphs with captions.

    python scripts/pretrain_tiny.py --out bench/clip/tiny [--seed 1] [--steps 2500] [--threads 2] [--report-digits]

Objective: the contrastive loss of CLIP (Radford et al., arXiv:2103.00020, section 2.3) in both directions. Many
images of a batch share a caption, so a pair counts as positive wherever the caption is true of the image, and the
other positives of a row are left out of its denominator: they are neither pulled apart nor forced to equal logits,
which at a scale of 100 they could not have. No label smoothing. The scale is annealed to 100, CLIP's, over the first
half of the steps and stays there, so that the network is fitted at the scale it is used with.

Real digits are never trained on and choose nothing: what is chosen is chosen by `proxy`, rendered glyphs of
typefaces and skeletons held out of the training. `--report-digits` looks at scikit-learn's digits once, at the end.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import math
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import glyphs
import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from open_clip.zero_shot_metadata import OPENAI_IMAGENET_TEMPLATES
from PIL import Image
from safetensors.torch import save
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from bench.files import write_whole
from bench.seeds import Stream

DIGIT_NAMES: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
LETTER_NAMES: Final = tuple("abcdefghijklmnopqrstuvwxyz")
NAMES: Final = DIGIT_NAMES + LETTER_NAMES
MODEL: Final = {
    "embed_dim": 64,
    "quick_gelu": False,
    "vision_cfg": {"image_size": 32, "layers": 4, "width": 128, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 3},
}
MEAN, STD = 0.2, 0.3
PREPROCESS: Final = {
    "mean": [MEAN] * 3,
    "std": [STD] * 3,
    "interpolation": "bicubic",
    "resize_mode": "shortest",
    "fill_color": 0,
}
SCALE: Final = (14.3, 100.0)  # CLIP's scale at the start and at the end of its training
# letters whose two cases differ by little but size, which rendering normalises away
SAME_CASE: Final = frozenset("ckopsuvwxyz")
# pairs of a digit and a letter that a low resolution scan cannot tell apart
LOOKALIKES: Final = ("0o", "1i", "1l", "2z", "5s", "6b", "9g", "9q")

SHOTS: Final = ("a photo of", "a picture of", "an image of", "a scan of", "a drawing of", "a sketch of",
                "a rendering of", "itap of", "this is", "a close-up photo of", "a cropped photo of",
                "a low resolution photo of",
                "a blurry photo of", "a black and white photo of", "a bad photo of", "a good photo of",
                "a bright photo of", "a dark photo of", "a pixelated photo of", "a jpeg corrupted photo of",
                "a low resolution grayscale scan of", "a small white on black image that shows",
                "the following picture , taken from a form , shows")  # fmt: skip
ARTICLES: Final = ("a", "the", "one", "")
KINDS: Final = (("digit", "number", "numeral", "character", "symbol"), ("letter", "character", "symbol"))
CASES: Final = (("lowercase", "small", "lower case"), ("capital", "uppercase", "upper case", "big"))
STYLES: Final = (("printed", "typed", "typeset"), ("handwritten", "written", "hand drawn"))
EXTRA_TEMPLATES: Final = (
    "a photo of the number: \"{}\".", "{} texture.", "a type of {}.", "a centered satellite photo of {}.",
    "a photo of a person doing {}.", "X X X X {}.", "a photo of many {}, which is not a {}!", "art of the {} (pencil)?",
    "the clean label; a noisy label: wrong class, correct class, dataset, true, false, unknown, 'other'",
    "0 1 2 3 4 5 6 7 8 9 and ten eleven twelve hundred thousand plus minus equals",
    "black white gray red green blue yellow color line stroke curve circle loop corner straight round open closed",
    "font serif sans bold italic ink pen paper cursive script thick thin left right top bottom slanted upright",
    "dog cat bird car ship truck plane horse deer frog shirt shoe bag flower food animal object thing scene class",
)  # fmt: skip
EVALUATED: Final = (
    "a photo of a {}.",
    "a handwritten digit {}.",
    "the letter {}.",
    "the number {}.",
    "a handwritten {}.",
)
ENSEMBLES: Final = {
    "digits": ("a photo of a {}.", "a photo of the digit {}.", "a handwritten digit {}.", "the number {}.",
               "a scan of the handwritten numeral {}."),
    "letters": ("a photo of a {}.", "a photo of the letter {}.", "a printed letter {}.", "the letter {}.",
                "a handwritten letter {}."),
}  # fmt: skip


@functools.cache
def tokenizer() -> open_clip.SimpleTokenizer:
    """CLIP's byte pair encoding."""
    return open_clip.SimpleTokenizer()


@functools.cache
def encode(word: str) -> tuple[int, ...]:
    """CLIP's tokens of one word (its pattern splits at blanks, so a text is the sum of its words)."""
    return tuple(tokenizer().encode(word))


def vocabulary() -> Tensor:
    """Sorted token ids [R] that the shipped table covers: all captions and common templates, and every byte."""
    words: set[str] = set(NAMES) | set("0123456789.,")
    for text in (*SHOTS, *ARTICLES, *EXTRA_TEMPLATES, *(t("{}") for t in OPENAI_IMAGENET_TEMPLATES)):
        words |= set(text.replace("{}", " ").split()) | set(text.replace("{}", "x").split())
    for group in (*KINDS, *CASES, *STYLES):
        words |= {word for phrase in group for word in phrase.split()}
    ids = set(range(512)) | {tokenizer().sot_token_id, tokenizer().eot_token_id}
    for word in words:
        ids |= set(encode(word))
    return torch.tensor(sorted(ids))


@dataclass(frozen=True)
class Caption:
    """A text and what it is true of: a class (0 … 35), a case (1 upper), a style (1 by hand); -1: any."""

    text: str
    label: int
    case: int
    style: int


def caption(label: int, draw: random.Random) -> Caption:
    """A random caption of a class."""
    digit = label < 10
    name = draw.choice((NAMES[label], NAMES[label], str(label))) if digit else NAMES[label]
    case = draw.choice((-1, -1, -1, 0, 1)) if not digit else -1
    style = draw.choice((-1, -1, 0, 1))
    head = [draw.choice(SHOTS)] if draw.random() < 0.6 else []
    kind = draw.choice(KINDS[0] if digit else KINDS[1]) if draw.random() < (0.5 if case < 0 else 0.8) else ""
    words = [*head, draw.choice(ARTICLES)]
    words += [draw.choice(STYLES[style])] if style >= 0 else []
    words += [draw.choice(CASES[case])] if case >= 0 else []
    words += [kind, name + draw.choice((".", ".", ""))]
    return Caption(" ".join(word for word in words if word), label, case, style)


def tokenize(texts: list[str], ids: Tensor, length: int | None = None) -> Tensor:
    """Rows of the compact table [J, L]; zero-padded to `length`, by default to the longest."""
    rows = [[49406, *(t for word in text.split() for t in encode(word)), 49407] for text in texts]
    full = torch.zeros(len(rows), length or max(map(len, rows)), dtype=torch.long)
    for row, tokens in zip(full, rows, strict=True):
        row[: len(tokens)] = torch.searchsorted(ids, torch.tensor(tokens))
    return full


def encode_text(model: open_clip.CLIP, tokens: Tensor) -> Tensor:
    """Normalised text features [J, D]; the tower is causal, so it may be run on fewer than 77 tokens."""
    length = tokens.shape[1]
    states = model.token_embedding(tokens) + model.positional_embedding[:length]
    states = model.ln_final(model.transformer(states, attn_mask=model.attn_mask[:length, :length]))
    last = states[torch.arange(len(tokens)), tokens.argmax(-1)]
    return F.normalize(last @ model.text_projection, dim=-1)


def encode_image(model: open_clip.CLIP, pixels: Tensor) -> Tensor:
    """Normalised image features [B, D] of grey pixels [B, 32, 32] in 0 … 1."""
    normal = ((pixels - MEAN) / STD)[:, None].expand(-1, 3, -1, -1)
    return F.normalize(model.visual(normal), dim=-1)


def relation(captions: list[Caption], label: Tensor, upper: Tensor, by_hand: Tensor) -> tuple[Tensor, Tensor]:
    """Which captions [J] are true of which images [B], and which are false of them; both [B, J].

    A pair may be neither: the case of a letter whose cases look alike, and a digit against a letter that looks it.
    """
    classes = torch.tensor([c.label for c in captions])
    case, style = torch.tensor([c.case for c in captions]), torch.tensor([c.style for c in captions])
    same = label[:, None] == classes
    wrong_case = same & (case >= 0) & (case != upper[:, None].long())
    wrong_style = same & (style >= 0) & (style != by_hand[:, None].long())
    true = same & ~wrong_case & ~wrong_style
    alike = torch.zeros(36, 36, dtype=torch.bool)
    for a, b in LOOKALIKES:
        first, second = glyphs.CHARACTERS.index(a), glyphs.CHARACTERS.index(b)
        alike[first, second] = alike[second, first] = True
    unclear = torch.tensor([NAMES[k] in SAME_CASE for k in range(36)])[label][:, None] & wrong_case
    return true, ~true & ~unclear & ~alike[label][:, classes]


def contrast(logits: Tensor, true: Tensor, false: Tensor) -> Tensor:
    """Mean over rows of the mean over their positives of -log e^s / (e^s + sum over negatives); logits [A, B]."""
    against = logits.masked_fill(~false, -torch.inf).logsumexp(1, keepdim=True)
    loss = F.softplus(against - logits) * true
    count = true.sum(1)
    return (loss.sum(1) / count.clamp_min(1)).sum() / (count > 0).sum()


def scale_at(step: int, steps: int) -> float:
    """The logarithm of the logit scale: from `SCALE[0]` to `SCALE[1]` over the first half, then constant."""
    share = min(1.0, step / (0.5 * steps))
    return math.log(SCALE[0]) + share * math.log(SCALE[1] / SCALE[0])


def optimizer_of(model: open_clip.CLIP, rate: float) -> torch.optim.AdamW:
    """AdamW with decay on matrices only."""
    named = [(name, p) for name, p in model.named_parameters() if name != "logit_scale"]
    matrices = [p for name, p in named if p.ndim >= 2 and "embedding" not in name]
    rest = [p for name, p in named if p.ndim < 2 or "embedding" in name]
    groups = [{"params": matrices, "weight_decay": 0.05}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98))


def draw_characters(size: int, generator: torch.Generator) -> Tensor:
    """Indices into `glyphs.CHARACTERS` [B], 45 % digits."""
    digits = torch.rand(size, generator=generator) < 0.45
    ten = torch.randint(0, 10, (size,), generator=generator)
    return torch.where(digits, ten, torch.randint(10, 62, (size,), generator=generator))


def train(seed: int, steps: int, batch: int, rate: float, watch: int) -> tuple[open_clip.CLIP, Tensor]:
    """Train a model on the compact table and return it with the table's token ids."""
    ids = vocabulary()
    torch.manual_seed(seed)
    config = json.loads(json.dumps(MODEL))
    config["text_cfg"]["vocab_size"] = len(ids)
    model = open_clip.CLIP(**config)
    generator = Stream(seed, "augment", "pretrain").torch()
    words = random.Random(seed)  # noqa: S311 - captions, not secrets
    optimizer = optimizer_of(model, rate)
    kind = glyphs.Distortion()
    started = time.monotonic()
    for step in range(steps):
        share = min((step + 1) / (0.04 * steps), 0.5 * (1 + math.cos(math.pi * step / steps)))
        for group in optimizer.param_groups:
            group["lr"] = rate * share
        model.logit_scale.data.fill_(scale_at(step, steps))
        wanted = draw_characters(batch, generator)
        pixels, by_hand = glyphs.render("train", wanted, 0.6, kind, generator)
        captions = [caption(label, words) for label in range(36) for _ in range(2)]
        label, upper = torch.where(wanted < 36, wanted, wanted - 26), wanted >= 36
        true, false = relation(captions, label, upper, by_hand)
        text = encode_text(model, tokenize([c.text for c in captions], ids))
        logits = model.logit_scale.exp() * encode_image(model, pixels) @ text.T
        loss = (contrast(logits, true, false) + contrast(logits.T, true.T, false.T)) / 2
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if watch and (step + 1) % watch == 0:
            reached = proxy(model, ids)
            print(f"step {step + 1} loss {loss.item():.3f} {time.monotonic() - started:.0f} s", reached, flush=True)
            model.train()
    return model.eval(), ids


@torch.no_grad()
def classifier(model: open_clip.CLIP, ids: Tensor, names: tuple[str, ...], templates: tuple[str, ...]) -> Tensor:
    """Class features [C, D], averaged over templates and normalised again."""
    mean = torch.stack([encode_text(model, tokenize([t.format(n) for n in names], ids, 77)) for t in templates]).mean(0)
    return F.normalize(mean, dim=-1)


@torch.no_grad()
def features(model: open_clip.CLIP, pixels: Tensor) -> Tensor:
    """Normalised features [N, D]."""
    return torch.cat([encode_image(model, chunk) for chunk in torch.split(pixels, 256)])


def accuracy(scores: Tensor, label: Tensor) -> float:
    """Percentage of rows [N, C] whose largest entry stands at the label."""
    return 100 * float((scores.argmax(1) == label).double().mean())


@functools.cache
def proxy_images(seed: int = 7919) -> dict[str, tuple[Tensor, Tensor]]:
    """Held-out glyphs at 8x8: digits by the held-out hand, digits in held-out fonts, letters of both; seed apart."""
    generator = Stream(seed, "eval", "proxy").torch()
    kind = glyphs.Distortion(resolutions=(8,))
    sets = {}
    for name, share, low, high in (("pen", 1.0, 0, 10), ("print", 0.0, 0, 10), ("letters", 0.5, 10, 62)):
        wanted = torch.randint(low, high, (1500,), generator=generator)
        pixels, _ = glyphs.render("held_out", wanted, share, kind, generator)
        sets[name] = pixels, torch.where(wanted < 36, wanted, wanted - 26) - low
    return sets


def proxy(model: open_clip.CLIP, ids: Tensor) -> dict[str, float]:
    """Zero-shot accuracy (%) with "a photo of a {}." on held-out rendered glyphs; the only thing that may choose."""
    model.eval()
    reached = {}
    for name, (pixels, label) in proxy_images().items():
        names = LETTER_NAMES if name == "letters" else DIGIT_NAMES
        scores = features(model, pixels) @ classifier(model, ids, names, ("a photo of a {}.",)).T
        reached[name] = round(accuracy(scores, label), 1)
        if name != "letters":
            reached[f"{name} loss"] = round(
                float(F.cross_entropy(model.logit_scale.detach().exp() * scores.detach(), label)), 2
            )
    return reached


def rounded(model: open_clip.CLIP) -> None:
    """Round every weight to float16, in place: what is measured is what is shipped."""
    for parameter in model.parameters():
        parameter.data = parameter.data.half().float()


def export(model: open_clip.CLIP, ids: Tensor, folder: Path) -> str:
    """Write the weights (float16, compact table) and the configuration; return the SHA-256 of the weights."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.half().contiguous() for name, value in model.state_dict().items()}
    state["token_ids"] = ids.to(torch.int32)
    weights = save(state, metadata={"format": "pt"})
    config = {"model_cfg": MODEL, "preprocess_cfg": PREPROCESS}
    (folder / "open_clip.json").write_text(json.dumps(config, indent=2) + "\n")
    write_whole(folder / "weights.safetensors", weights)
    digest = hashlib.sha256(weights).hexdigest()
    (folder / "weights.sha256").write_text(f"{digest}  weights.safetensors\n")
    return digest


def real_digits() -> tuple[Tensor, Tensor]:
    """The digits that come with scikit-learn, through the backbone's own preparation: pixels [1797, 32, 32], labels."""
    data = load_digits()
    grey = np.round(data.images * (255 / 16)).astype(np.uint8)
    big = [np.asarray(Image.fromarray(image).resize((32, 32), Image.Resampling.BICUBIC)) for image in grey]
    return torch.from_numpy(np.stack(big)).float() / 255, torch.from_numpy(data.target)


def describe(
    model: open_clip.CLIP, ids: Tensor, pixels: Tensor, label: Tensor, names: tuple[str, ...]
) -> dict[str, float]:
    """Zero-shot accuracy (%) by template, ensemble and linear probe (five-fold), and the class texts' cosine."""
    found = features(model, pixels)
    reached = {}
    for template in EVALUATED:
        reached[template] = accuracy(found @ classifier(model, ids, names, (template,)).T, label)
    which = "digits" if len(names) == 10 else "letters"
    reached["ensemble"] = accuracy(found @ classifier(model, ids, names, ENSEMBLES[which]).T, label)
    fold = torch.from_numpy(Stream(0, "eval", "probe").permutation(len(label))) % 5
    hits = 0
    for k in range(5):
        probe = LogisticRegression(C=100.0, max_iter=2000).fit(found[fold != k].numpy(), label[fold != k].numpy())
        hits += int((probe.predict(found[fold == k].numpy()) == label[fold == k].numpy()).sum())
    reached["linear probe"] = 100 * hits / len(label)
    text = classifier(model, ids, names, ("a photo of a {}.",))
    reached["mean cosine of class texts"] = float((text @ text.T).triu(1).sum() / (len(names) * (len(names) - 1) / 2))
    return {key: round(value, 2) for key, value in reached.items()}


def main() -> None:
    """Train, round, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--watch", type=int, default=250)
    parser.add_argument("--report-digits", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    started = time.monotonic()
    model, ids = train(options.seed, options.steps, options.batch, options.rate, options.watch)
    rounded(model)
    spent = time.monotonic() - started, time.process_time()
    print(f"trained in {spent[0]:.0f} s ({spent[1]:.0f} s of processor time) with {options.threads} threads")
    print("proxy", proxy(model, ids))
    print("scale", model.logit_scale.exp().item(), "rows", len(ids))
    print("sha256", export(model, ids, options.out))
    if options.report_digits:
        print("real digits", describe(model, ids, *real_digits(), DIGIT_NAMES))


if __name__ == "__main__":
    main()
