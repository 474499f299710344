"""Read checkpoint files of CLIP, and infer the configuration that OpenAI's layout implies.

OpenAI and open_clip name the weights alike; open_clip's models with a separate text module put `text.` before its keys.
Files that OpenAI published carry three marker entries, by which they are known, and were trained with quick-gelu.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from bench.clip.architectures import check_square
from bench.clip.spec import WEIGHT_SUFFIXES
from bench.clip.tokens import END, START, VOCABULARY
from bench.clip.torchscript import RefusedArchive, read_torchscript
from bench.errors import BenchError
from bench.files import is_file

CONFIG_NAMES: Final = ("open_clip_config.json", "open_clip.json")
MARKERS: Final = ("input_resolution", "context_length", "vocab_size")
HEAD_WIDTH = 64
RESNET_FACTOR = 32  # the attention pool of CLIP's ResNet is this many times wider than its stem
CONFIG_BYTES: Final = 2**20
GROWTH: Final = 8  # times the bytes of its file, and as much again as SLACK, that weights may take in float32
SLACK: Final = 2**26
# sha256 of the archives that OpenAI published, as their addresses in github.com/openai/CLIP, clip/clip.py, state them.
PUBLISHED: Final = frozenset(
    {
        "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762",  # RN50
        "8fa8567bab74a42d41c5915025a8e4538c3bdbe8804a470a72f30b0d94fab599",  # RN101
        "7e526bd135e493cef0776de27d5f42653e6b4c8bf9e0f653bb11773263205fdd",  # RN50x4
        "52378b407f34354e150460fe41077663dd5b39c54cd0bfd2b27167a4a06ec9aa",  # RN50x16
        "be1cfb55d75a9666199fb2206c106743da0f6468c9d327f3e0d0a543a9919d9c",  # RN50x64
        "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",  # ViT-B/32
        "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f",  # ViT-B/16
        "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836",  # ViT-L/14
        "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02",  # ViT-L/14@336px
    }
)


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


def read_checkpoint(path: Path, published: frozenset[str] = PUBLISHED) -> Checkpoint:
    """Read a checkpoint: safetensors, a weights-only file of torch, or a TorchScript archive. Nothing in it is run.

    A file with compact token rows (`token_embedding.weight` [R, W] beside `token_ids` [R]) gets its full table.

    Args:
        path: the file.
        published: sha256 of the TorchScript archives that torch may load.

    Raises:
        BenchError: the file is missing, unreadable, holds objects beside tensors, or another layout.
    """
    state = _tensors(path, published)
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
    rows = _scatter_rows(state, path) if "token_ids" in state else None
    return Checkpoint(state, openai, rows)


def _tensors(path: Path, published: frozenset[str]) -> dict[str, Tensor]:
    if not is_file(path):
        raise BenchError(f'checkpoint "{path}" does not exist; give the path of a {", ".join(WEIGHT_SUFFIXES)} file.')
    if path.suffix not in WEIGHT_SUFFIXES:
        raise BenchError(f'checkpoint "{path}" ends in "{path.suffix}"; expected {", ".join(WEIGHT_SUFFIXES)}.')
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what torch will no longer write one day; these files are written
            content = _content(path, published)
    except RefusedArchive as error:
        raise BenchError(
            f'checkpoint "{path}" is a TorchScript archive, of which tensors alone are read, and it holds {error}; '
            "save its state dict alone, as safetensors."
        ) from error
    except Exception as error:  # whatever torch and zipfile raise at a file that is damaged or made to hurt
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise BenchError(
            f'checkpoint "{path}" is not readable as weights alone ({reason}); save its state dict as safetensors.'
        ) from error
    for wrapper in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not all(_plain(key, value) for key, value in content.items()):
        raise BenchError(f'checkpoint "{path}" holds more than tensors; save its state dict alone.')
    needed, size = 4 * sum(value.numel() for value in content.values()), path.stat().st_size
    if needed > GROWTH * size + SLACK:
        raise BenchError(
            f'checkpoint "{path}" has {size:,} bytes and describes weights of {needed:,}; save its state dict anew, '
            "as safetensors."
        )
    return dict(content)


def _plain(key: Any, value: Any) -> bool:
    """Return whether an entry is a tensor with all its elements in memory."""
    whole = isinstance(value, Tensor) and value.layout is torch.strided and value.device.type == "cpu"
    return isinstance(key, str) and whole and not value.is_quantized


def _content(path: Path, published: frozenset[str]) -> Any:
    """Return what a file holds. Of a TorchScript archive that OpenAI did not publish, only tensors are read."""
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if _is_torchscript(archive):
                return _published(path, published) or read_torchscript(archive, path.stat().st_size)
            _check_expansion(archive, path.stat().st_size)
    return torch.load(path, map_location="cpu", weights_only=True)


def _is_torchscript(archive: zipfile.ZipFile) -> bool:
    return any("/code/" in name or name.endswith("/constants.pkl") for name in archive.namelist())


def _published(path: Path, published: frozenset[str]) -> dict[str, Tensor] | None:
    """Load an archive that is, byte for byte, one of OpenAI's; None for any other."""
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() not in published:
        return None
    archive: Any = torch.jit.load(io.BytesIO(content), map_location="cpu")  # type: ignore[no-untyped-call]
    return dict(archive.state_dict())


def _check_expansion(archive: zipfile.ZipFile, size: int) -> None:
    """Reject an archive that unpacks to far more than its size. torch itself hardly compresses."""
    unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > GROWTH * size + SLACK:
        raise ValueError(f"it unpacks to {unpacked:,} bytes")


def _scatter_rows(state: dict[str, Tensor], path: Path) -> frozenset[int]:
    """Spread compact token rows over a full table that is zero elsewhere, and return their ids."""
    ids, compact = state.pop("token_ids"), state["token_embedding.weight"]
    rows = frozenset(ids.tolist()) if ids.ndim == 1 and not ids.is_floating_point() else frozenset()
    fits = compact.ndim == 2 and len(compact) == len(rows) == len(ids)
    if not fits or not {START, END} <= rows or min(rows) < 0 or max(rows) >= VOCABULARY:
        raise BenchError(
            f'"{path}": token_ids do not fit token_embedding.weight; expected one id below {VOCABULARY:,} for each of '
            f"its rows, each once, {START} and {END} among them."
        )
    table = compact.new_zeros(VOCABULARY, compact.shape[1])
    table[ids.long()] = compact
    state["token_embedding.weight"] = table
    return rows


def find_config(path: Path) -> dict[str, Any] | None:
    """Return the open_clip configuration beside a checkpoint, or None.

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
        with found.open(encoding="utf-8-sig") as file:
            content = json.loads(file.read(CONFIG_BYTES))
    except (ValueError, RecursionError, OSError) as error:
        raise BenchError(f'"{found}" is not JSON ({error}); correct or remove it.') from error
    model = content.get("model_cfg", content) if isinstance(content, dict) else None
    model = model if isinstance(model, dict) else {}
    if "embed_dim" not in model or not all(isinstance(model.get(name), dict) for name in ("vision_cfg", "text_cfg")):
        raise BenchError(
            f'"{found}" is not an open_clip configuration; expected "model_cfg" with embed_dim, vision_cfg, text_cfg.'
        )
    preprocess = content.get("preprocess_cfg") or {}
    if not isinstance(preprocess, dict):
        raise BenchError(f'"{found}": preprocess_cfg is no table; correct or remove it.')
    return {"model_cfg": model, "preprocess_cfg": preprocess}


def infer_config(checkpoint: Checkpoint, path: Path) -> dict[str, Any]:
    """Infer the configuration of a checkpoint in OpenAI's layout from its shapes, as OpenAI's release defines them.

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
        vision = _vision_config(state, path)
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
    except (ValueError, IndexError) as error:
        raise BenchError(f'"{path}" has OpenAI\'s markers and weights of other shapes; it is damaged.') from error
    _heads(vision["width"] * (1 if "patch_size" in vision else RESNET_FACTOR), path)
    return {"embed_dim": embed, "quick_gelu": True, "vision_cfg": vision, "text_cfg": text}


def _vision_config(state: dict[str, Tensor], path: Path) -> dict[str, Any]:
    if "visual.proj" in state:
        width, _, rows, patch = state["visual.conv1.weight"].shape
        check_square((rows, patch), "patch_size", f'"{path}"')
        grid = _side(state["visual.positional_embedding"], path)
        layers: Any = _count(state, "visual.transformer.resblocks.", 3)
        return {"layers": layers, "width": width, "patch_size": patch, "image_size": grid * patch}
    side = _side(state["visual.attnpool.positional_embedding"], path)
    layers = [_count(state, f"visual.layer{number}.", 2) for number in (1, 2, 3, 4)]
    return {
        "layers": layers,
        "width": state["visual.layer1.0.conv1.weight"].shape[0],
        "image_size": side * RESNET_FACTOR,
    }


def _side(positions: Tensor, path: Path) -> int:
    """Return the patches along each side, from the position embeddings [1 + T, W]."""
    patches = positions.shape[0] - 1
    side = math.isqrt(max(patches, 0))
    if side * side != patches:
        raise BenchError(
            f'"{path}" divides its images into {patches} patches, which make no square; choose a backbone for square '
            "images, such as ViT-B-16/openai."
        )
    return side


def _count(state: dict[str, Tensor], prefix: str, part: int) -> int:
    return len({key.split(".")[part] for key in state if key.startswith(prefix)})


def _heads(width: int, path: Path) -> int:
    if width % HEAD_WIDTH:
        raise BenchError(
            f'"{path}" has width {width}, which is no multiple of {HEAD_WIDTH}, so its head count is unknown; put its '
            "open_clip JSON beside it."
        )
    return width // HEAD_WIDTH
