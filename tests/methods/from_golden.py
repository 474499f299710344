"""A method set up on a golden item's classes and labels, with the whole item as one batch."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor

from bench.contracts.method import Batch, Context, Inputs, Method, everything
from bench.seeds import Stream
from tests.golden_data import Item, backbone

Built = TypeVar("Built", bound=Method)
TEMPLATE = "a photo of a {}."


def images() -> Inputs:
    """Pooled features of the images that the items share."""
    with torch.no_grad():
        return Inputs(backbone().image(Item("coop")["images"]).pooled)


def context(item: Item, inputs: Inputs, observed: Tensor, template: str = TEMPLATE) -> Context:
    """What `setup` is given."""
    streams = Stream(1, "init"), Stream(1, "method")
    return Context(tuple(item.names()), (template,), observed, backbone(), inputs, *streams, len(observed), 1)


def set_up(
    method: type[Built], item: Item, inputs: Inputs, labels: str = "labels_observed", **options: Any
) -> tuple[Built, Batch]:
    """The method after `setup`, and all samples as a batch."""
    observed = item[labels]
    built = method(method.Options.model_validate(options))
    built.setup(context(item, inputs, observed))
    return built, one_batch(inputs, observed)


def one_batch(inputs: Inputs, observed: Tensor) -> Batch:
    """All samples, none of them padding."""
    whole = everything(len(observed))
    index = torch.arange(len(observed))
    return Batch(index, whole.group == 0, whole.group, whole.weight, observed, None, inputs, {})


def load(method: Method, item: Item, names: dict[str, str]) -> None:
    """Set parameters from the item: parameter's name to the item's key."""
    parameters = dict(method.named_parameters())
    assert set(names) == set(parameters)
    with torch.no_grad():
        for name, key in names.items():
            parameters[name].copy_(item[key])
