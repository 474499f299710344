"""Load backbones by name: a registered one, an open_clip architecture with a tag, or a checkpoint file."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import torch
from PIL import Image
from torch import nn

from bench.clip.architectures import check_named, check_towers
from bench.clip.backbone import Backbone
from bench.clip.checkpoint import Checkpoint, find_config, infer_config, read_checkpoint
from bench.clip.identity import TINY_WEIGHTS, registered, unknown
from bench.clip.spec import Spec, parse
from bench.errors import BenchError
from bench.plugins import BACKBONES

TINY: Final = "tiny"

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
    """Load the embedded backbone, in float32 on the CPU.

    Raises:
        BenchError: its files are missing or altered.
    """
    return _from_file(TINY_WEIGHTS, TINY)


def _load(name: str) -> Backbone:
    spec = parse(name)
    if spec.arch is None and spec.path is None:
        if not registered(name):
            raise unknown(name)
        return BACKBONES.get(name)()
    check_named(name, spec)
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
    """Log the missing quick-gelu once per process, however often the weights are read."""
    logger.warning("%s: plain GELU, as %s says; for OpenAI's weights write %s/openai@PATH", name, arch, arch)


def _from_file(path: Path, name: str) -> Backbone:
    checkpoint, found = read_checkpoint(path), find_config(path)
    if found is None:
        found = {"model_cfg": infer_config(checkpoint, path), "preprocess_cfg": {}}
        logger.info("%s: no open_clip JSON beside it, OpenAI's layout read as %s", path.name, found["model_cfg"])
    return _assemble(found["model_cfg"], found["preprocess_cfg"], checkpoint, name, f'"{path}"')


def _named_config(arch: str, tag: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return model and preprocessing configuration of an architecture and tag. The tag decides on quick-gelu."""
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    config: dict[str, Any] = open_clip.get_model_config(arch)
    if tag is None:
        return config, {}
    settings = get_pretrained_cfg(arch, tag)
    config["quick_gelu"] = bool(settings.get("quick_gelu", False))
    return config, dict(settings)


def _download(spec: Spec) -> Path:
    """Return the file of ARCH/TAG, from open_clip's cache or the network.

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
    check_towers(config, origin)
    _check_layers(config, len(checkpoint.state), origin)
    with torch.device("meta"):  # so that a configuration of any size is held against the weights before it costs memory
        state = _fitting(_build(config, origin), checkpoint.state, origin)
    model: Any = _build(config, origin)
    model.load_state_dict(state)
    settings = {**merge_preprocess_dict(PreprocessCfg(), preprocess), "size": model.visual.image_size}
    backbone = Backbone(model, name, settings, checkpoint.rows)
    try:
        backbone.preprocess(Image.new("RGB", (backbone.image_size, backbone.image_size)))
    except Exception as error:  # whatever torchvision raises, some of it when an image comes
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BenchError(f"the preprocess_cfg of {origin} is malformed: {reason}; correct it.") from error
    return backbone


def _check_layers(config: Mapping[str, Any], weights: int, origin: str) -> None:
    """Reject more layers than there are weights, each of which would be an object in memory."""
    for tower in ("vision_cfg", "text_cfg"):
        layers = config[tower].get("layers")
        count = sum(n for n in (layers if isinstance(layers, list | tuple) else [layers]) if isinstance(n, int))
        if count > weights:
            raise BenchError(f"{origin} is configured with {count} layers and has {weights} weights; correct it.")


def _build(config: dict[str, Any], origin: str) -> nn.Module:
    """Build an open_clip model with random weights, without touching the global random state.

    Raises:
        BenchError: the configuration is malformed.
    """
    import open_clip

    with torch.random.fork_rng(devices=[]):
        try:
            model: nn.Module = open_clip.CLIP(**config)
        except Exception as error:  # whatever open_clip and torch raise at a size, a name or a type
            reason = " ".join(str(error).split()) or type(error).__name__
            raise BenchError(f"the open_clip configuration of {origin} is malformed: {reason}; correct it.") from error
    return model


def _fitting(model: nn.Module, state: Mapping[str, torch.Tensor], origin: str) -> dict[str, torch.Tensor]:
    """Match the weights to the model; nothing is resized, left out or ignored.

    Raises:
        BenchError: names the first key that differs, with what was found and what was expected.
    """
    state = dict(state)
    expected = model.state_dict()
    if "logit_scale" in state and state["logit_scale"].numel() == 1:
        state["logit_scale"] = state["logit_scale"].reshape(expected["logit_scale"].shape)
    for key in [*expected, *state]:
        found, wanted = (_told(tensors.get(key)) for tensors in (state, expected))
        if found != wanted:
            raise BenchError(
                f"{origin} is of another architecture: {key} has {found}, expected {wanted}; name the right one as "
                "ARCH@PATH or put its open_clip JSON beside it."
            )
    return state


def _told(tensor: torch.Tensor | None) -> str:
    """Describe a weight by its shape, and say where it should be a fraction and is not."""
    if tensor is None:
        return "no such key"
    return f"shape {list(tensor.shape)}" + ("" if tensor.is_floating_point() else " of whole numbers")
