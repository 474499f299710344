"""The checks themselves: each catches the defect it is there for, planted in a method that is otherwise sound."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.cli.main import invoke
from bench.contracts import method
from bench.plugins import METHODS
from bench.testing import checks
from tests.testing.toys import Toy


class Undocumented(Toy):
    """Short."""


class BareOption(Toy):
    """An option

    without a role
    or a description.
    """

    class Options(Toy.Options):
        size: int = 3


class Infinite(Toy):
    __doc__ = Toy.__doc__

    def batch_logits(self, batch: method.Batch) -> Tensor:
        return super().batch_logits(batch) / 0


class Idle(Toy):
    __doc__ = Toy.__doc__

    def setup(self, context: method.Context) -> None:
        super().setup(context)
        self.idle = nn.Parameter(torch.ones(2))

    def begin_epoch(self, epoch: int, full_pass: method.FullPass) -> tuple[method.Phase, ...]:
        (phase,) = super().begin_epoch(epoch, full_pass)
        return (method.Phase(phase.group, phase.weight, train=("context",)),)


class TrainsTheBackbone(Toy):
    __doc__ = Toy.__doc__

    def setup(self, context: method.Context) -> None:
        super().setup(context)
        self.theirs = context.backbone._model


class TrainsACopyOfTheBackbone(Toy):
    __doc__ = Toy.__doc__

    def setup(self, context: method.Context) -> None:
        super().setup(context)
        self.layers = context.backbone.image_layers()


class Random(Toy):
    __doc__ = Toy.__doc__

    def batch_logits(self, batch: method.Batch) -> Tensor:
        return super().batch_logits(batch) * (1 + torch.rand(()))


class SameStart(Toy):
    __doc__ = Toy.__doc__

    def setup(self, context: method.Context) -> None:
        super().setup(context)
        nn.init.zeros_(self.context)


class Writes(Toy):
    __doc__ = Toy.__doc__

    def predict(self, inputs: method.Inputs, prepared: Mapping[str, Tensor]) -> Tensor:
        self.observed += 1
        return super().predict(inputs, prepared)


class BatchNorm(Toy):
    __doc__ = Toy.__doc__

    def predict(self, inputs: method.Inputs, prepared: Mapping[str, Tensor]) -> Tensor:
        logits = super().predict(inputs, prepared)
        return logits - logits.mean(0)


class TellsOfBatches(Toy):
    __doc__ = Toy.__doc__

    def per_sample(self, inputs: method.Inputs) -> dict[str, Tensor]:
        return {"size": inputs.pooled[:, 0] - inputs.pooled[:, 0].mean()}


class TellsOneNumber(Toy):
    __doc__ = Toy.__doc__

    def per_sample(self, inputs: method.Inputs) -> dict[str, Tensor]:
        return {"all": inputs.pooled.mean()}


class TellsNothingFinite(Toy):
    __doc__ = Toy.__doc__

    def per_sample(self, inputs: method.Inputs) -> dict[str, Tensor]:
        return {"size": inputs.pooled[:, 0] / 0}


class TellsOfTexts(Toy):
    __doc__ = Toy.__doc__

    def per_sample(self, inputs: method.Inputs) -> dict[str, Tensor]:
        return {"best": self.predict(inputs, self.prepare()).amax(1)}


class TellsAtRandom(Toy):
    __doc__ = Toy.__doc__

    def per_sample(self, inputs: method.Inputs) -> dict[str, Tensor]:
        return {"drawn": inputs.pooled[:, 0] + 0 * torch.rand(())}


class TellsAndWrites(Toy):
    __doc__ = Toy.__doc__

    def per_sample(self, inputs: method.Inputs) -> dict[str, Tensor]:
        self.context *= 1.01
        return {"size": inputs.pooled[:, 0]}


class TellsTwice(Toy):
    __doc__ = Toy.__doc__

    def diagnostics(self) -> dict[str, float]:
        return {"size_clean": 1.0}

    def per_sample(self, inputs: method.Inputs) -> dict[str, Tensor]:
        return {"size": inputs.pooled[:, 0]}


class Tells(Toy):
    __doc__ = Toy.__doc__

    def per_sample(self, inputs: method.Inputs) -> dict[str, Tensor]:
        return {"size": inputs.pooled.square().sum(1)}


class ReadsPadding(Toy):
    __doc__ = Toy.__doc__

    def forward(self, batch: method.Batch) -> method.Losses:
        logits = self.batch_logits(batch)
        return method.Losses({"ce": nn.functional.cross_entropy(logits, batch.observed)})


class Greedy(Toy):
    __doc__ = Toy.__doc__

    @classmethod
    def needs(cls, options: method.Options) -> method.Needs:
        return method.Needs(tokens=True)


class GreedyForViews(Toy):
    __doc__ = Toy.__doc__

    @classmethod
    def needs(cls, options: method.Options) -> method.Needs:
        return method.Needs(views=True)


class GreedyForOracles(Toy):
    __doc__ = Toy.__doc__

    @classmethod
    def needs(cls, options: method.Options) -> method.Needs:
        return method.Needs(oracle=("noise_rate",))


class Sneaky(Toy):
    __doc__ = Toy.__doc__

    def begin_epoch(self, epoch: int, full_pass: method.FullPass) -> tuple[method.Phase, ...]:
        full_pass()
        return super().begin_epoch(epoch, full_pass)


class PythonNumber(Toy):
    __doc__ = Toy.__doc__

    class Options(Toy.Options):
        weight: float = method.scalar(2.0, "a weight", ge=0)

    def forward(self, batch: method.Batch) -> method.Losses:
        terms = super().forward(batch).terms
        return method.Losses({name: float(self.options.weight) * value for name, value in terms.items()})  # type: ignore[attr-defined]


class PythonNumberInCombine(Toy):
    __doc__ = Toy.__doc__

    class Options(Toy.Options):
        weight: float = method.scalar(2.0, "a weight", ge=0)

    @classmethod
    def needs(cls, options: method.Options) -> method.Needs:
        return method.Needs(separate_gradients=True)

    def combine(self, gradients: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        return {name: self.options.weight * value for name, value in super().combine(gradients).items()}  # type: ignore[attr-defined]


class Branches(Toy):
    __doc__ = Toy.__doc__

    def forward(self, batch: method.Batch) -> method.Losses:
        if not bool(batch.valid.any()):
            return method.Losses({"ce": self.context.sum() * 0})
        return super().forward(batch)


PLANTED: tuple[tuple[type[method.Method], str], ...] = (
    (Undocumented, "is_documented"),
    (BareOption, "is_documented"),
    (Infinite, "has_finite_gradients"),
    (Idle, "has_finite_gradients"),
    (TrainsTheBackbone, "has_finite_gradients"),
    (TrainsACopyOfTheBackbone, "has_finite_gradients"),
    (Random, "is_reproducible"),
    (SameStart, "is_reproducible"),
    (Random, "is_pure"),
    (Writes, "is_pure"),
    (BatchNorm, "predicts_one_by_one"),
    (TellsOfBatches, "tells_of_samples_one_by_one"),
    (TellsOneNumber, "tells_of_samples_one_by_one"),
    (TellsNothingFinite, "tells_of_samples_one_by_one"),
    (TellsOfTexts, "tells_of_samples_one_by_one"),
    (TellsAtRandom, "tells_of_samples_one_by_one"),
    (TellsAndWrites, "tells_of_samples_one_by_one"),
    (TellsTwice, "tells_of_samples_one_by_one"),
    (ReadsPadding, "ignores_padding"),
    (Greedy, "uses_what_it_declares"),
    (GreedyForViews, "uses_what_it_declares"),
    (GreedyForOracles, "uses_what_it_declares"),
    (Sneaky, "uses_what_it_declares"),
    (PythonNumber, "runs_as_a_pack"),
    (PythonNumberInCombine, "runs_as_a_pack"),
    (Branches, "runs_as_a_pack"),
)


@pytest.mark.parametrize(("method", "name"), PLANTED, ids=lambda value: getattr(value, "__name__", value))
def test_a_planted_defect_is_caught(method: type[method.Method], name: str) -> None:
    check: Any = getattr(checks, name)
    with pytest.raises((AssertionError, LookupError, RuntimeError, ValueError)):
        check(method, method.Options())


@pytest.mark.parametrize("check", checks.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("method", [Toy, Tells])
def test_the_sound_method_passes(method: type[method.Method], check: checks.Check) -> None:
    check(method, method.Options())


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (TellsOfBatches, "size: batch size"),
        (TellsNothingFinite, "size is not finite"),
        (TellsOfTexts, "encodes texts"),
        (TellsAtRandom, "global generator"),
        (TellsAndWrites, "changed context"),
        (TellsTwice, "one of diagnostics"),
    ],
)
def test_what_is_wrong_with_numbers_of_samples_is_said(method: type[method.Method], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        checks.tells_of_samples_one_by_one(method, method.Options())


def test_a_leak_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A method that is shown the true labels through the engine's audit."""
    shown: list[Tensor] = []
    audited = checks.train

    def telling(method: method.Method, **arguments: Any) -> Any:
        shown[:] = [arguments["true"]]
        return audited(method, **arguments)

    class Leaky(Toy):
        __doc__ = Toy.__doc__

        def forward(self, batch: method.Batch) -> method.Losses:
            told = method.Batch(**{**vars(batch), "observed": shown[0][batch.index]})
            return super().forward(told)

    monkeypatch.setattr(checks, "train", telling)
    with pytest.raises(AssertionError, match="true labels differ"):
        checks.leaks_nothing(Leaky, Leaky.Options())


def test_bench_test_reports_and_exits(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in ("_rows", "_aliases", "_objects"):  # what the file registers is gone after this test
        monkeypatch.setattr(METHODS, part, dict(getattr(METHODS, part)))
    assert invoke(["test", "coop-split[split=none]"]) == 0
    assert "11 of 11 checks passed" in capsys.readouterr().out
    file = tmp_path / "planted.py"
    file.write_text(
        "import bench\nfrom tests.testing.test_checks import BatchNorm\n"
        'bench.register("planted-batch-norm", BatchNorm, "planted")\n',
        encoding="utf-8",
    )
    assert invoke(["test", str(file)]) == 1
    out = capsys.readouterr().out
    assert "depends on the batch's size" in out
    assert "10 of 11 checks passed" in out


@pytest.mark.parametrize(
    ("plugin", "message"), [("cop", 'unknown method "cop"'), ("absent.py", "does not exist"), ("coop[q=7]", "option q")]
)
def test_bench_test_of_nothing(plugin: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["test", plugin]) == 2
    assert message in capsys.readouterr().err
