"""The CoOp method, through its own set-up and forward pass, against the original's numbers."""

from __future__ import annotations

import pytest
import torch

from bench.methods.coop import CoOp
from tests.golden_data import TOLERANCE, Item, error
from tests.methods.from_golden import images, set_up

FORMS = {
    "shared_M16_end": {"context": 16},
    "shared_M4_end": {"context": 4},
    "csc_M16_end": {"context": 16, "class_specific": True},
    "shared_M4_middle": {"context": 4, "position": "middle"},
    "shared_M4_front": {"context": 4, "position": "front"},
}


@pytest.mark.parametrize("form", FORMS)
def test_loss_gradient_and_prediction(form: str) -> None:
    golden = Item("coop")
    method, batch = set_up(CoOp, golden, images(), **FORMS[form])
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
    method, batch = set_up(CoOp, golden, images(), init="a photo of a")
    assert error(method.context, golden["init_a_photo_of_a/ctx"]) < TOLERANCE
    with torch.no_grad():
        assert error(method.predict(batch.inputs, method.prepare()), golden["init_a_photo_of_a/logits"]) < TOLERANCE
