"""The CoOp method, through its own set-up and forward pass, against the original's numbers."""

from __future__ import annotations

import pytest
import torch

from bench.seeds import Stream
from methods.base import Batch, Context, Inputs, everything
from methods.coop import CoOp
from tests.golden_data import TOLERANCE, Item, backbone, error

FORMS = {
    "shared_M16_end": {"context": 16},
    "shared_M4_end": {"context": 4},
    "csc_M16_end": {"context": 16, "class_specific": True},
    "shared_M4_middle": {"context": 4, "position": "middle"},
    "shared_M4_front": {"context": 4, "position": "front"},
}


def set_up(golden: Item, **options: object) -> tuple[CoOp, Batch]:
    observed = golden["labels_observed"]
    with torch.no_grad():
        inputs = Inputs(backbone().image(golden["images"]).pooled)
    method = CoOp(CoOp.Options.model_validate(options))
    names = tuple(golden.names())
    streams = (Stream(1, "init"), Stream(1, "method"))
    method.setup(Context(names, ("a photo of a {}.",), observed, backbone(), inputs, *streams, len(observed), 1))
    whole = everything(len(observed))
    batch = Batch(torch.arange(len(observed)), whole.group == 0, whole.group, whole.weight, observed, None, inputs, {})
    return method, batch


@pytest.mark.parametrize("form", FORMS)
def test_loss_gradient_and_prediction(form: str) -> None:
    golden = Item("coop")
    method, batch = set_up(golden, **FORMS[form])
    assert method.context.shape == golden[f"{form}/ctx"].shape
    with torch.no_grad():
        method.context.copy_(golden[f"{form}/ctx"])
    loss = method(batch).terms["ce"]
    loss.backward()
    assert error(loss, golden[f"{form}/loss_ce"]) < TOLERANCE
    assert method.context.grad is not None
    assert error(method.context.grad, golden[f"{form}/grad_ctx"]) < TOLERANCE
    with torch.no_grad():
        assert error(method.predict(batch.inputs, method.prepare()), golden[f"{form}/logits"]) < TOLERANCE


def test_a_phrase_starts_the_context() -> None:
    golden = Item("coop")
    method, batch = set_up(golden, init="a photo of a")
    assert error(method.context, golden["init_a_photo_of_a/ctx"]) < TOLERANCE
    with torch.no_grad():
        assert error(method.predict(batch.inputs, method.prepare()), golden["init_a_photo_of_a/logits"]) < TOLERANCE
