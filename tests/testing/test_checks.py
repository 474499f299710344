"""The checks themselves: each catches the defect it is there for, planted in a method that is otherwise sound."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import bench
from bench.cli.main import invoke
from bench.contracts import method
from bench.engine.member import Diverged, Member
from bench.seeds import Stream
from bench.testing import checks, run
from tests import ROOT
from tests.docs.blocks import blocks
from tests.testing.test_effects import Ignores
from tests.testing.test_method_contract import ON_VARIANTS
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


class OwnObjective(Toy):
    __doc__ = Toy.__doc__

    def objective(self, logits: Tensor, batch: method.Batch) -> dict[str, Tensor]:
        right = logits.softmax(1).gather(1, batch.observed[:, None])[:, 0]
        return {"own": ((1 - right) * batch.valid).sum() / batch.valid.sum().clamp(min=1)}


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


class PlainTensor(Toy):
    __doc__ = Toy.__doc__

    def setup(self, context: method.Context) -> None:
        super().setup(context)
        self.shares = context.observed.bincount(minlength=len(context.class_names)) / len(context.observed)

    def forward(self, batch: method.Batch) -> method.Losses:
        terms = super().forward(batch).terms
        return method.Losses({name: value * self.shares.square().sum() for name, value in terms.items()})


class StepNumber(Toy):
    """CoOp that counts steps beside its state.

    No paper.

    No equations.
    """

    number = 0

    def draw(self, epoch: int, step: int, size: int, stream: Stream) -> dict[str, Tensor]:
        self.number = step
        return {}

    def forward(self, batch: method.Batch) -> method.Losses:
        terms = super().forward(batch).terms
        return method.Losses({name: value * (1 + self.number) for name, value in terms.items()})


class Rounds(Toy):
    __doc__ = Toy.__doc__

    def batch_logits(self, batch: method.Batch) -> Tensor:
        image = nn.functional.normalize(batch.inputs.pooled, dim=-1)
        return self.backbone.scale * image @ nn.functional.normalize(self.text_features(), dim=-1).mT


class Leaky(Toy):
    """Looks for the true labels in the frames of its callers.

    No paper.

    No equations.
    """

    def forward(self, batch: method.Batch) -> method.Losses:
        frame = inspect.currentframe()
        while frame is not None and not isinstance(frame.f_locals.get("self"), Member):
            frame = frame.f_back
        if frame is not None:
            batch = replace(batch, observed=frame.f_locals["self"].audit.true[batch.index])
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
    (StepNumber, "runs_as_a_pack"),
    (Leaky, "leaks_nothing"),
    (Ignores, "does_what_options_say"),
)


@pytest.mark.parametrize(("method", "name"), PLANTED, ids=lambda value: getattr(value, "__name__", value))
def test_a_planted_defect_is_caught(method: type[method.Method], name: str) -> None:
    check: Any = getattr(checks, name)
    with pytest.raises((AssertionError, LookupError, RuntimeError, ValueError)):
        check(method, method.Options())


@pytest.mark.usefixtures("registries")
def test_a_method_whose_row_says_why_need_not_run_as_a_pack() -> None:
    bench.register("number", PythonNumber, "weighted", alone="it reads a number", alone_when="weight=2")
    given = checks.runs_as_a_pack(PythonNumber, PythonNumber.Options())
    assert given == "is trained alone: it reads a number"
    found = checks.runs_as_a_pack(PythonNumber, PythonNumber.Options(weight=3.0))
    assert found.startswith("is trained alone: its code reads"), "found in the engine, where the row does not say so"


def test_every_check_has_a_planted_defect() -> None:
    assert {name for _, name in PLANTED} == {check.__name__ for check in checks.CHECKS}


def hidden(fault: type[method.Method]) -> type[method.Method]:
    """A method that is sound at its defaults, and has the defect beside one other option."""

    class Options(fault.Options):  # type: ignore[name-defined, misc] # a class attribute
        faulty: bool = method.structural(False, "whether the defect shows")

    def beside(name: str, planted: Any) -> Any:
        def chosen(self: Any, *arguments: Any) -> Any:
            return (planted if self.options.faulty else getattr(Toy, name))(self, *arguments)

        def chosen_for(cls: Any, options: Any) -> Any:
            return planted.__func__(cls, options) if options.faulty else getattr(Toy, name)(options)

        return classmethod(chosen_for) if isinstance(planted, classmethod) else chosen

    own = {name: beside(name, planted) for name, planted in vars(fault).items() if not name.startswith("__")}
    return type("Hidden", (fault,), {**own, "Options": Options, "__doc__": fault.__doc__})


# Whatever the options are: a class is documented or not, `does_what_options_say` goes through them by itself, and no
# option lets a method near the audit, which alone holds the truth.
OF_THE_CLASS = {"is_documented", "does_what_options_say", "leaks_nothing"}


@pytest.mark.parametrize("planted", dict.fromkeys(m for m, name in PLANTED if name not in OF_THE_CLASS))
def test_a_defect_beside_an_option_is_caught_by_what_variants_are_held_against(planted: type[method.Method]) -> None:
    method = hidden(planted)
    caught = [[check for check in ON_VARIANTS if fails(check, method, faulty)] for faulty in (False, True)]
    assert caught[0] == []
    assert set(caught[1]) - set(caught[0])


def fails(check: checks.Check, method: Any, faulty: bool) -> bool:
    try:
        check(method, method.Options(faulty=faulty))
    except (AssertionError, Diverged, LookupError, RuntimeError, ValueError):
        return True
    return False


def test_no_check_on_variants_is_idle() -> None:
    """Each is the only one that catches some hidden defect."""
    alone = {
        checks.has_finite_gradients: Idle,
        checks.starts_from_the_seed: SameStart,
        checks.predicts_one_by_one: BatchNorm,
        checks.tells_of_samples_one_by_one: TellsOfBatches,
        checks.ignores_padding: ReadsPadding,
        checks.uses_what_it_declares: Greedy,
        checks.runs_as_a_pack: StepNumber,
    }
    assert set(alone) == set(ON_VARIANTS)
    for check, planted in alone.items():
        assert [one for one in ON_VARIANTS if fails(one, hidden(planted), True)] == [check]


@pytest.mark.parametrize("check", checks.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("method", [Toy, Tells])
def test_the_sound_method_passes(method: type[method.Method], check: checks.Check) -> None:
    check(method, method.Options())


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (TellsOfBatches, "size depends on the batch's size"),
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


@pytest.mark.parametrize(
    ("method", "remark"),
    [
        (Toy, "bit for bit"),
        (PythonNumber, 'trained alone: its code reads "weight", which is a scalar option: its value is the buffer of'),
        (PythonNumberInCombine, 'trained alone: its code reads "weight", which is a scalar option'),
        (PlainTensor, 'trained alone: its code reads "shares", which is no buffer, and another in each member'),
        (Branches, "trained alone: its code branches on the value of a tensor"),
        (Rounds, "within 1e-5"),
    ],
)
def test_how_near_a_pack_comes_is_said(method: type[method.Method], remark: str) -> None:
    assert remark in str(checks.runs_as_a_pack(method, method.Options()))


def test_a_leak_is_said() -> None:
    with pytest.raises(AssertionError, match="true labels differ"):
        checks.leaks_nothing(Leaky, Leaky.Options())


@pytest.mark.usefixtures("registries")
def test_bench_test_reports_and_exits(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert invoke(["test", "coop-split[split=none]"]) == 0
    out = capsys.readouterr().out
    assert "ok: bit for bit" in out
    assert "11 of 11 checks passed" in out
    file = tmp_path / "planted.py"
    file.write_text(
        "import bench\nfrom tests.testing.test_checks import BatchNorm\n"
        'bench.register("planted-batch-norm", BatchNorm, "planted")\n',
        encoding="utf-8",
    )
    assert invoke(["test", str(file)]) == 1
    out = capsys.readouterr().out
    assert "\nplanted-batch-norm: predicts one by one: " in out
    assert "depends on the batch's size" in out
    table = out.partition("\nplanted-batch-norm: ")[0]
    assert max(map(len, table.splitlines())) < 80  # why a check fails stands below the table, which stays narrow
    assert "10 of 11 checks passed" in out


@pytest.mark.parametrize(
    ("plugin", "message"), [("cop", 'unknown method "cop"'), ("absent.py", "does not exist"), ("coop[q=7]", "option q")]
)
def test_bench_test_of_nothing(plugin: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["test", plugin]) == 2
    assert message in capsys.readouterr().err


def test_a_loss_of_ones_own_as_the_tutorial_writes_it_keeps_the_contract() -> None:
    page = ROOT / "docs" / "tutorials" / "add_a_method.md"
    (text,) = (one.text for one in blocks(page) if "class MySCE" in one.text)
    space: dict[str, Any] = {"__name__": "mine"}
    code = text.partition("\nbench.register(")[0]
    exec(compile(code, page.name, "exec", dont_inherit=True), space)
    mine = space["MySCE"]
    checks.is_documented(mine, mine.Options())
    checks.does_what_options_say(mine, mine.Options())
    assert checks.runs_as_a_pack(mine, mine.Options()) == "bit for bit"


def test_one_that_overrides_the_objective_is_told_how_to_declare_its_loss() -> None:
    with pytest.raises(
        AssertionError, match=r"option loss does nothing .*overrides sample_loss, and its Options name it"
    ):
        checks.does_what_options_say(OwnObjective, OwnObjective.Options())


def test_methods_are_checked_with_one_thread_as_cells_are_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr(run, "CHECKS", (lambda method, options: seen.append(torch.get_num_threads()),))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert [one.reason for one in run.run_checks(Toy, Toy.Options())] == [""]
        assert (seen, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(before)
