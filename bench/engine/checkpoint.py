"""Save the parameters that set-up alone cannot rebuild, so that a trained method can predict again.

Kept is what a *twin* lacks: the same method set up anew with the same class names, templates and observed labels, but
with zeros for image features. Whatever the set-up makes of text comes from the frozen backbone again; what training, or
the training images, have made different is in the file. Training images themselves are never kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench import dataset_name
from bench.clip.backbone import Backbone
from bench.contracts.method import Context, Inputs, Method, Needs
from bench.engine.prediction import chunk_of, collect
from bench.errors import BenchError
from bench.grid.options import version_when
from bench.plugins import METHODS
from bench.records.cell import Cell
from bench.seeds import Stream

CHECKPOINT_FORMAT = 1


class NotKept(Exception):
    """Error of a method that cannot be saved; the text says why in one line."""


@dataclass(frozen=True)
class SetupInputs:
    """Inputs of a method's set-up other than images.

    Attributes:
        class_names: C names.
        templates: texts with `{}` for the class name.
        observed: labels, [M].
        noise_rate: for methods that declare this oracle: the nominal rate, of a kind without one the realised rate.
    """

    class_names: tuple[str, ...]
    templates: tuple[str, ...]
    observed: Tensor
    noise_rate: float = 0.0


def context_of(
    cell: Cell,
    given: SetupInputs,
    backbone: Backbone,
    train: Inputs,
    pool: Inputs | None = None,
    views: tuple[Inputs, ...] = (),
) -> Context:
    """Build the context of a cell's `setup`. Features are those that the method declares, of M training samples."""
    name = dataset_name.stream_name(cell.dataset)
    return Context(
        class_names=given.class_names,
        templates=given.templates,
        observed=given.observed,
        backbone=backbone,
        train=train,
        init=Stream(cell.seed, "init", name),
        method=Stream(cell.seed, "method", cell.method, "setup"),
        batch_size=cell.batch_size,
        epochs=cell.epochs,
        oracle={"noise_rate": given.noise_rate} if "noise_rate" in needs_of(cell).oracle else {},
        pool=pool,
        views=views,
        shots=cell.shots,
    )


def needs_of(cell: Cell) -> Needs:
    """Return the needs that a cell's method declares under its options."""
    kind = METHODS.get(cell.method)
    return kind.needs(kind.Options(**cell.options))


def keep(method: Method, cell: Cell, given: SetupInputs, backbone: Backbone, inputs: Inputs, logits: Tensor) -> bytes:
    """Save to safetensors the parameters, and if need be buffers, that differ between a trained method and its twin.

    Args:
        method: after its last evaluation.
        given: what it was set up with.
        inputs: n images with what the method needs.
        logits: what it predicted for these, [n, C]; the twin must give the same bits.

    Raises:
        NotKept: the twin cannot be set up, or predicts something else.
    """
    try:
        twin = _twin(cell, given, backbone)
    except Exception as error:
        text = " ".join(str(error).split()) or "no reason given"
        raise NotKept(f"its set-up fails without training images: {type(error).__name__}: {text}") from error
    twin.check_time = method.check_time
    fresh = {name: value.clone() for name, value in twin.state_dict().items()}
    learned = {name: value for name, value in method.state_dict().items() if not _same(value, fresh.get(name))}
    if any(name not in fresh or value.shape != fresh[name].shape for name, value in learned.items()):
        raise NotKept("its parameters or buffers have other shapes without training images")
    parameters = {name for name, _ in method.named_parameters()}
    for chosen in ({name: value for name, value in learned.items() if name in parameters}, learned):
        twin.load_state_dict(fresh | chosen)
        if _predicts(twin, inputs, logits):
            return _packed(chosen, cell, given, backbone)
    raise NotKept("it predicts from training images, or from weights, that are no parameter or buffer of its own")


def restore(content: bytes, cell: Cell, backbone: Backbone) -> tuple[Method, tuple[str, ...], int]:
    """Restore a saved method on the backbone's device, with its class names and the number of its training samples.

    Raises:
        BenchError: the file is torn or of another format, the weights are not those it was trained on, or the method
            has another version now.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        state, header = load(content), _header(content)
        given = SetupInputs(
            tuple(json.loads(header["class_names"])),
            tuple(json.loads(header["templates"])),
            torch.tensor(json.loads(header["observed"]), dtype=torch.long, device=backbone.device),
            float(header["noise_rate"]),
        )
    except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:  # Runtime: nested too deeply
        raise BenchError("the saved prompts are damaged; run the cell again with --set keep_prompts=true.") from error
    _check(header, cell, backbone)
    method = _twin(cell, given, backbone)
    method.load_state_dict(method.state_dict() | {name: value.to(backbone.device) for name, value in state.items()})
    return method, given.class_names, len(given.observed)


def _check(header: Mapping[str, str], cell: Cell, backbone: Backbone) -> None:
    now, under = _version(cell)
    kept = (header.get("method"), header.get("version_when", under))  # the first files name no condition
    if header.get("format") != str(CHECKPOINT_FORMAT):
        raise BenchError(
            f"the saved prompts have format {header.get('format')}, expected {CHECKPOINT_FORMAT}; run the cell again."
        )
    if header.get("backbone") != backbone.digest:
        raise BenchError(
            f'the prompts were trained on other weights than "{cell.backbone}" has here; '
            "name the right ones with --backbone."
        )
    if kept != (now, under):
        raise BenchError(f"the prompts were kept by {kept[0]}{kept[1]}, here is {now}{under}; run the cell again.")


def _version(cell: Cell) -> tuple[str, str]:
    """Describe the version of a cell's method, and that under a condition, empty where there is none."""
    under = [f" ({when} {version})" for when, version in version_when(cell.method, cell.options).items()]
    return f"{cell.method} {METHODS.row(cell.method).version}", "".join(under)


def _twin(cell: Cell, given: SetupInputs, backbone: Backbone) -> Method:
    """Set up the method of a cell without images. Zeros stand in for the declared features."""
    kind, needs = METHODS.get(cell.method), needs_of(cell)
    twin = kind(kind.Options(**cell.options))
    train = _zeros(len(given.observed), needs, backbone)
    twin.setup(context_of(cell, given, backbone, train, train.numbered(len(train)) if needs.pool else None))
    return twin.to(backbone.device)


def _zeros(count: int, needs: Needs, backbone: Backbone) -> Inputs:
    """Return zeros in the shape of the declared features, numbered. One row is held in memory."""

    def row(*shape: int) -> Tensor:
        return torch.zeros(1, *shape, device=backbone.device).expand(count, *shape)

    return Inputs(
        row(backbone.embed_dim),
        row(backbone.num_tokens, backbone.embed_dim) if needs.tokens else None,
        row(3, backbone.image_size, backbone.image_size) if needs.pixels else None,
    ).numbered()


@torch.no_grad()
def _predicts(method: Method, inputs: Inputs, logits: Tensor) -> bool:
    chunk = chunk_of(method.needs(method.options), logits.shape[1])
    return torch.equal(collect(method.predict, inputs, method.prepare(), chunk, method.check_time), logits)


def _same(value: Tensor, other: Tensor | None) -> bool:
    return other is not None and value.shape == other.shape and torch.equal(value, other)


def _packed(state: Mapping[str, Tensor], cell: Cell, given: SetupInputs, backbone: Backbone) -> bytes:
    from safetensors.torch import save

    header = {
        "format": str(CHECKPOINT_FORMAT),
        **dict(zip(("method", "version_when"), _version(cell), strict=True)),
        "options": json.dumps(dict(cell.options), sort_keys=True),
        "backbone": backbone.digest,
        "class_names": json.dumps(given.class_names),
        "templates": json.dumps(given.templates),
        "observed": json.dumps(given.observed.tolist()),
        "noise_rate": repr(given.noise_rate),
        "torch": torch.__version__,
    }
    return save({name: value.detach().cpu().contiguous().clone() for name, value in state.items()}, header)


def _header(content: bytes) -> dict[str, str]:
    """Read the metadata of a safetensors file. Behind 8 bytes of its length stands a JSON object."""
    length = int.from_bytes(content[:8], "little")
    found: dict[str, Any] = json.loads(content[8 : 8 + length])
    return dict(found["__metadata__"])
