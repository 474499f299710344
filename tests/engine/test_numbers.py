"""The numbers of samples: what a method is handed says of each sample which one it is, wherever it is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import bench
from bench.contracts.method import Batch, Context, FullPass, Inputs, Losses, Needs, Phase
from bench.engine.classifier import Classifier
from bench.engine.resources import open_backbone
from bench.engine.trial import Run
from bench.methods.coop import CoOp
from tests.engine.packs import alone, differences, members, packed, why
from tests.few_digits import HELD_OUT, SETTINGS, execute, few

pytestmark = pytest.mark.usefixtures("registries")


class Numbered(CoOp):
    """Keeps the number of each training sample where the batch says it is."""

    def setup(self, context: Context) -> None:
        super().setup(context)
        self.register_buffer("seen", torch.full_like(self.observed, -1))

    def forward(self, batch: Batch) -> Losses:
        assert batch.inputs.index is not None
        return replace(super().forward(batch), state={"seen": batch.inputs.index})


class Noting(Numbered):
    """Keeps all that it is handed, by the place where it was."""

    @classmethod
    def needs(cls, options: Any) -> Needs:
        return Needs(full_pass=True, pool=True, views=True, validation=True, pixels=True)

    def setup(self, context: Context) -> None:
        assert context.pool is not None
        self.handed: dict[str, list[Inputs]] = {"pool": [context.pool], "views": [*context.views]}
        self.note("train", context.train)
        super().setup(context)

    def note(self, place: str, inputs: Inputs) -> None:
        self.handed.setdefault(place, []).append(inputs)

    def begin_epoch(self, epoch: int, full_pass: FullPass) -> tuple[Phase, ...]:
        full_pass("augmented")
        full_pass()
        return super().begin_epoch(epoch, full_pass)

    def scores(self, inputs: Inputs, prepared: Mapping[str, Tensor]) -> Tensor:
        self.note("scores", inputs)
        return super().predict(inputs, prepared)

    def predict(self, inputs: Inputs, prepared: Mapping[str, Tensor]) -> Tensor:
        self.note("predict", inputs)
        return super().predict(inputs, prepared)

    def finalize(self, validation: tuple[Inputs, Tensor] | None) -> None:
        assert validation is not None
        self.note("validation", validation[0])

    def probes(self) -> Mapping[str, Callable[[Inputs, Mapping[str, Tensor]], Tensor]]:
        def asked(inputs: Inputs, prepared: Mapping[str, Tensor]) -> Tensor:
            self.note("probe", inputs)
            return super(Noting, self).predict(inputs, prepared)

        return {"asked": asked}

    def per_sample(self, inputs: Inputs) -> Mapping[str, Tensor]:
        self.note("per_sample", inputs)
        return {"length": inputs.pooled.norm(dim=1)}


def numbers(method: Noting, place: str) -> Tensor:
    found = [inputs.index for inputs in method.handed[place]]
    return torch.cat([index for index in found if index is not None])


def test_every_sample_that_a_method_is_handed_has_its_number() -> None:
    bench.register("noting", Noting)
    run = Run(few("noting", subset="fold2of3", views=2), SETTINGS)
    execute(run)
    method, given = run.method, len(run.visible)
    assert isinstance(method, Noting)
    assert given == 20
    held_out, own = torch.arange(given, given + HELD_OUT), torch.arange(given)
    for inputs in (found for place in method.handed.values() for found in place):
        assert inputs.index is not None
        assert len(inputs.index) == len(inputs)
    assert torch.equal(numbers(method, "train"), own)
    assert torch.equal(numbers(method, "views"), own.repeat(2))
    assert torch.equal(numbers(method, "scores"), own.repeat(4))
    assert torch.equal(numbers(method, "validation"), held_out)
    assert torch.equal(numbers(method, "probe"), held_out)
    assert torch.equal(method.get_buffer("seen"), own)
    pool = method.handed["pool"][0]
    assert torch.equal(numbers(method, "pool"), torch.arange(given, given + len(pool)))
    (train,) = method.handed["train"]
    for asked in (method.handed["per_sample"][0], method.handed["predict"][0]):
        assert asked.index is not None
        assert asked.index.sort().values.tolist() == list(range(30))
        assert asked.index[run.visible].tolist() == own.tolist()
        assert torch.equal(asked.pooled[run.visible], train.pooled)


def test_members_of_a_pack_have_the_numbers_of_their_own_samples() -> None:
    bench.register("numbered", Numbered)
    cells = members("numbered", 8, batch_size=7)
    runs = packed(cells)
    assert len({len(run.visible) for run in runs}) > 2
    assert {why(run) for run in runs} == {None}
    for one, run in zip(alone(cells), runs, strict=True):
        assert differences(one, run) == []
        assert run.method is not None
        assert torch.equal(run.method.get_buffer("seen"), torch.arange(len(run.visible)))


def test_images_that_a_saved_method_is_asked_for_are_behind_the_training_samples() -> None:
    class Telling(CoOp):
        def predict(self, inputs: Inputs, prepared: Mapping[str, Tensor]) -> Tensor:
            assert inputs.index is not None
            return inputs.index[:, None].float()

    tiny = open_backbone("tiny", "cpu")
    method = Telling(Telling.Options())
    method.prepare = dict  # type: ignore[method-assign]
    classifier, images = Classifier(method, ("a",), 5, tiny), [torch.zeros(3, tiny.image_size, tiny.image_size)] * 2
    assert classifier.logits(images).flatten().tolist() == [5, 6]
    assert classifier.logits(images, 2).flatten().tolist() == [7, 8]
