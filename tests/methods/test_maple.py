"""MaPLe against numbers of its authors' code (commit 69bce21), and its decisions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from bench.clip.tokens import END, START, encode
from bench.contracts.method import Batch, Context, Inputs, everything
from bench.errors import BenchError
from bench.methods.maple import MaPLe
from bench.seeds import Stream
from bench.testing.fixtures import as_batch, build, full_pass, labels
from tests.golden_data import TOLERANCE, Item, backbone, error


def set_up(golden: Item, depth: int) -> tuple[MaPLe, Batch]:
    observed, images = golden["labels_observed"], golden["images"]
    with torch.no_grad():
        inputs = Inputs(backbone().image(images).pooled, pixels=images)
    method = MaPLe(MaPLe.Options(depth=depth))
    streams = (Stream(1, "init"), Stream(1, "method"))
    method.setup(
        Context(tuple(golden.names()), ("a photo of a {}.",), observed, backbone(), inputs, *streams, len(observed), 1)
    )
    whole = everything(len(observed))
    batch = Batch(torch.arange(len(observed)), whole.group == 0, whole.group, whole.weight, observed, None, inputs, {})
    return method, batch


def stacked(golden: Item, depth: int, kind: str) -> dict[str, torch.Tensor]:
    """The reference's parameters or their gradients under this project's names."""
    deeper = range(depth - 1)
    key, projection = f"depth{depth}/{kind}", "compound_prompt_projections"
    found = {
        "context": golden[f"{key}/ctx"],
        "weight": torch.stack(
            [golden[f"{key}/proj.weight"], *(golden[f"{key}/{projection}.{i}.weight"] for i in deeper)]
        ),
        "bias": torch.stack([golden[f"{key}/proj.bias"], *(golden[f"{key}/{projection}.{i}.bias"] for i in deeper)]),
    }
    if depth > 1:
        found["deep"] = torch.stack([golden[f"{key}/compound_prompts_text.{i}"] for i in deeper])
    return found


@pytest.mark.parametrize("depth", [3, 1])
def test_loss_gradients_and_prediction(depth: int) -> None:
    golden = Item("maple")
    method, batch = set_up(golden, depth)
    parameters = dict(method.named_parameters())
    assert parameters.keys() == stacked(golden, depth, "param").keys()
    assert torch.equal(method.context, backbone().phrase("a photo"))
    with torch.no_grad():
        for name, value in stacked(golden, depth, "param").items():
            parameters[name].copy_(value)
    loss = method(batch).terms["ce"]
    loss.backward()
    assert error(loss, golden[f"depth{depth}/loss_ce"]) < TOLERANCE
    for name, value in stacked(golden, depth, "grad").items():
        gradient = parameters[name].grad
        assert gradient is not None
        for found, expected in zip(gradient, value, strict=True):
            assert error(found, expected) < TOLERANCE, name
    with torch.no_grad():
        prepared = method.prepare()
        image = F.normalize(method.image_features(batch.inputs, method.visual()), dim=-1)
        assert error(prepared["text"], golden[f"depth{depth}/text_features_normalised"]) < TOLERANCE
        assert error(image, golden[f"depth{depth}/image_features_normalised"]) < TOLERANCE
        assert error(method.predict(batch.inputs, prepared), golden[f"depth{depth}/logits"]) < TOLERANCE


def test_words_left_over_stay_frozen_before_the_name() -> None:
    golden = Item("maple")
    method, _ = set_up(golden, 3)
    for name, tail, row in zip(
        method.classes.ids, method.classes.tails, golden["depth3/token_ids"].tolist(), strict=True
    ):
        tokens = [START, *encode("a photo"), *name, *tail]
        assert row[: len(tokens)] == tokens
        assert tokens[-1] == END
    plain = build(MaPLe, MaPLe.Options(init="a photo"))
    assert plain.classes.names[0] == "dog"


def test_copies_of_one_projection_on_request() -> None:
    """The reference's deep projections start equal; the first one is a draw of its own."""
    towers = Item("maple")
    repaired, _ = set_up(towers, 3)
    faithful = MaPLe(MaPLe.Options(depth=3, faithful=True))
    observed = towers["labels_observed"]
    inputs = Inputs(torch.zeros(12, 32), pixels=towers["images"])
    streams = (Stream(1, "init"), Stream(1, "method"))
    faithful.setup(Context(tuple(towers.names()), ("{}",), observed, backbone(), inputs, *streams, 12, 1))
    assert torch.equal(faithful.weight[1], faithful.weight[2])
    assert torch.equal(faithful.bias[1], faithful.bias[2])
    assert not torch.equal(faithful.weight[0], faithful.weight[1])
    assert not torch.equal(repaired.weight[1], repaired.weight[2])
    assert float(repaired.weight.detach().abs().max()) <= 64**-0.5


def test_no_prompt_is_idle_in_a_small_tower() -> None:
    method = build(MaPLe, MaPLe.Options())
    assert len(method.weight) == 2
    assert method.deep is not None
    assert len(method.deep) == 1


@pytest.mark.parametrize("options", [{"context": 5}, {"init": "aeroplanelike a", "context": 1}])
def test_a_phrase_that_does_not_fit(options: dict[str, Any]) -> None:
    with pytest.raises(BenchError, match=r"words of init = .* are \d tokens; expected"):
        build(MaPLe, MaPLe.Options(**options))


def test_any_split_and_loss() -> None:
    method = build(MaPLe, MaPLe.Options(split="ot", loss="gce", rest="drop"))
    assert method.needs(method.options).pixels
    assert method.needs(method.options).full_pass
    (phase,) = method.begin_epoch(1, full_pass(method))
    assert phase.clean is not None
    assert set(method(as_batch(method, phase, labels())).terms) == {"gce"}
