"""Backbones by name: a registered one, an open_clip architecture with a pretrained tag, or a checkpoint file."""

from __future__ import annotations

import copy
import logging
from functools import cache
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from bench.clip import BACKBONES
from bench.clip.backbone import Backbone
from bench.clip.checkpoint import Checkpoint, find_config, infer_config, read_checkpoint
from bench.clip.spec import Spec, parse
from bench.errors import BenchError, did_you_mean

TINY: Final = "tiny"
TINY_DIR: Final = Path(__file__).parent / "tiny"
TINY_WEIGHTS: Final = TINY_DIR / "weights.safetensors"
FORMS: Final = "ARCH/TAG (for example ViT-B-16/openai), PATH, ARCH@PATH or ARCH/TAG@PATH"

logger = logging.getLogger(__name__)


def load_backbone(spec: str, device: str | torch.device = "cpu") -> Backbone:
    """Load a backbone in float32.

    Args:
        spec: one of
            - a registered name such as "tiny", the backbone that comes with the package;
            - ARCH/TAG, an open_clip architecture and pretrained tag, downloaded on first use;
            - PATH of a checkpoint, with its open_clip JSON beside it unless it is as OpenAI published it;
            - ARCH@PATH or ARCH/TAG@PATH, a checkpoint of a named architecture; the tag settles activation and
              preprocessing.
        device: where the weights go.

    Raises:
        BenchError: the name is unknown, the weights cannot be had, or they do not fit the architecture (names the first
            key that differs).
    """
    return _load(spec).to(device)


def load_tiny() -> Backbone:
    """The embedded backbone, in float32 on the CPU.

    Raises:
        BenchError: its files are missing or altered.
    """
    return _from_file(TINY_WEIGHTS, TINY)


def _load(name: str) -> Backbone:
    spec = parse(name)
    if spec.arch is None and spec.path is None:
        known = [*BACKBONES, *(alias for row in BACKBONES.rows() for alias in row.aliases)]
        if name not in known:
            raise BenchError(f'unknown backbone "{name}"; {did_you_mean(name, known)} Or give {FORMS}.')
        return BACKBONES.get(name)()
    if spec.arch is None:
        assert spec.path is not None  # noqa: S101 - the other case was the registry's
        return _from_file(spec.path, spec.path.name)
    config, preprocess = _named_config(spec.arch, spec.tag)
    if spec.path is None:
        return _assemble(config, preprocess, read_checkpoint(_download(spec)), name, name)
    checkpoint = read_checkpoint(spec.path)
    if spec.tag is None and not checkpoint.openai and not config.get("quick_gelu"):
        _tell_plain_gelu(name, spec.arch)
    return _assemble(config, preprocess, checkpoint, f"{name.partition('@')[0]}@{spec.path.name}", name)


@cache
def _tell_plain_gelu(name: str, arch: str) -> None:
    """Once in a process, however often the weights are read."""
    logger.warning("%s: plain GELU, as %s says; for OpenAI's weights write %s/openai@PATH", name, arch, arch)


def _from_file(path: Path, name: str) -> Backbone:
    checkpoint, found = read_checkpoint(path), find_config(path)
    if found is None:
        found = {"model_cfg": infer_config(checkpoint, path), "preprocess_cfg": {}}
        logger.info("%s: no open_clip JSON beside it, OpenAI's layout read as %s", path.name, found["model_cfg"])
    return _assemble(found["model_cfg"], found["preprocess_cfg"], checkpoint, name, f'"{path}"')


def _named_config(arch: str, tag: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Model and preprocessing configuration; the tag decides on quick-gelu.

    Raises:
        BenchError: architecture or tag is unknown.
    """
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    if arch not in open_clip.list_models():
        raise BenchError(f'unknown architecture "{arch}"; {did_you_mean(arch, open_clip.list_models())}')
    config: dict[str, Any] = open_clip.get_model_config(arch)
    if tag is None:
        return config, {}
    settings = get_pretrained_cfg(arch, tag)
    if not settings:
        tags = open_clip.list_pretrained_tags_by_model(arch)
        raise BenchError(f'unknown pretrained tag "{tag}" of {arch}; {did_you_mean(tag, tags)}')
    config["quick_gelu"] = bool(settings.get("quick_gelu", False))
    return config, dict(settings)


def _download(spec: Spec) -> Path:
    """The file of ARCH/TAG, from open_clip's cache or the network.

    Raises:
        BenchError: it is not here and does not arrive; says what to fetch by hand and how to name it then.
    """
    from open_clip import pretrained

    settings = pretrained.get_pretrained_cfg(spec.arch, spec.tag)
    try:
        return Path(pretrained.download_pretrained(settings))
    except (OSError, RuntimeError) as error:
        name = f"{spec.arch}/{spec.tag}"
        source = settings.get("hf_hub") or settings.get("url")
        reason = " ".join(str(error).split())[:120]
        raise BenchError(
            f"the weights of {name} are not on this machine and could not be downloaded ({reason}); fetch the file of "
            f'{source} by hand and name it as "{name}@PATH".'
        ) from error


def _assemble(
    config: dict[str, Any], preprocess: dict[str, Any], checkpoint: Checkpoint, name: str, origin: str
) -> Backbone:
    """Build the model of a configuration and give it the weights."""
    from open_clip.transform import PreprocessCfg, merge_preprocess_dict

    config = copy.deepcopy(config)
    config.pop("custom_text", None)
    if checkpoint.openai:
        config["quick_gelu"] = True
    model: Any = _build(config, origin)
    _fit(model, checkpoint.state, origin)
    settings = {**merge_preprocess_dict(PreprocessCfg(), preprocess), "size": model.visual.image_size}
    return Backbone(model, name, settings, checkpoint.rows)


def _build(config: dict[str, Any], origin: str) -> nn.Module:
    """An open_clip model with random weights, without touching the global random state.

    Raises:
        BenchError: the configuration is of a kind the facade cannot serve, or malformed.
    """
    import open_clip

    vision, text = config["vision_cfg"], config["text_cfg"]
    foreign = {
        "multimodal_cfg": config.get("multimodal_cfg"),
        "a timm image tower": vision.get("timm_model_name"),
        "a Hugging Face text tower": text.get("hf_model_name"),
        "another tokenizer": text.get("hf_tokenizer_name"),
    }
    for what, present in foreign.items():
        if present:
            raise BenchError(
                f"{origin} is configured with {what}; expected CLIP's own towers and tokenizer: choose a backbone such "
                "as ViT-B-16/openai."
            )
    with torch.random.fork_rng(devices=[]):
        try:
            model: nn.Module = open_clip.CLIP(**config)
        except (TypeError, ValueError, RuntimeError, ZeroDivisionError, AssertionError) as error:
            reason = " ".join(str(error).split())
            raise BenchError(f"the open_clip configuration of {origin} is malformed: {reason}; correct it.") from error
    return model


def _fit(model: nn.Module, state: dict[str, torch.Tensor], origin: str) -> None:
    """Load the weights; nothing is resized, left out or ignored.

    Raises:
        BenchError: names the first key that differs, with the shape found and the shape expected.
    """
    state = dict(state)
    expected = model.state_dict()
    if "logit_scale" in state:
        state["logit_scale"] = state["logit_scale"].reshape(expected["logit_scale"].shape)
    for key in [*expected, *state]:
        found = f"shape {list(state[key].shape)}" if key in state else "no such key"
        wanted = f"shape {list(expected[key].shape)}" if key in expected else "no such key"
        if found != wanted:
            raise BenchError(
                f"{origin} is of another architecture: {key} has {found}, expected {wanted}; name the right one as "
                "ARCH@PATH or put its open_clip JSON beside it."
            )
    model.load_state_dict(state)
