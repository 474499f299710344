"""A user's loss and split: options of every learner, checked, in digests and in keys."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.cli.main import invoke
from bench.contracts.objective import CleanSplit, loss_asks, split_asks
from bench.data.library import Library
from bench.errors import BenchError
from bench.grid import code
from bench.grid.freshness import other_code
from bench.grid.keys import Versions
from bench.grid.options import method_options
from bench.methods.clipcleaner import CLIPCleaner
from bench.methods.coop import CoOp
from bench.methods.maple import MaPLe
from bench.plugins import LOSSES, SPLITS
from bench.records.cell import Cell
from bench.records.naming import marks
from bench.records.parts import Provenance
from bench.registry import load_plugin_file
from bench.testing import checks, fixtures
from tests import ROOT
from tests.cells import make_cell
from tests.reports.factory import record

PAGE = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
EXAMPLE = next(block.partition("```")[0] for block in PAGE.split("```python\n")[1:] if "squared" in block)
STRICT = next(block.partition("```")[0] for block in PAGE.split("```python\n")[1:] if "strict" in block)


@pytest.fixture
def mine(registries: None, tmp_path: Path) -> Path:
    """The example of the page, in a file of a name of its own."""
    file = tmp_path / f"own_{tmp_path.name}.py"
    file.write_text(EXAMPLE)
    load_plugin_file(str(file))
    return file


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize("learner", [CoOp, MaPLe])
@pytest.mark.parametrize("check", [checks.has_finite_gradients, checks.runs_as_a_pack])
def test_a_planted_loss_and_split_hold_the_contract_of_every_learner(
    learner: Any, check: Callable[[Any, Any], None]
) -> None:
    check(learner, learner.Options(loss="squared", split="halves", rest="squared"))


@pytest.mark.usefixtures("mine")
def test_a_split_of_a_user_is_what_it_returns_and_declares_what_it_names() -> None:
    chosen = CoOp.Options(split="halves")
    assert CoOp.needs(chosen).full_pass
    method = fixtures.build(CoOp, chosen)
    clean, rest = method.begin_epoch(1, fixtures.full_pass(method))
    assert int((clean.group >= 0).sum()) >= len(clean.group) // 2
    assert torch.equal(rest.group >= 0, clean.group < 0)


@pytest.mark.usefixtures("registries")
def test_the_page_s_own_numbers_of_a_split_of_ours(tmp_path: Path) -> None:
    file = tmp_path / f"strict_{tmp_path.name}.py"
    file.write_text(STRICT)
    load_plugin_file(str(file))
    own = CLIPCleaner.Options(theta_cons=1.0, mixture="class")
    learners = (CoOp, CoOp.Options(split="strict")), (CLIPCleaner, own), (CoOp, CoOp.Options(split="clipcleaner"))
    told = set()
    for seed in range(5):
        made = [fixtures.build(*learner, observed=fixtures.labels(seed)) for learner in learners]
        strict, same, usual = (method.begin_epoch(1, fixtures.full_pass(method))[0].group for method in made)
        assert torch.equal(strict, same)
        told.add(torch.equal(strict, usual))
    assert False in told


def by_chance(observed: Tensor, seed: int, share: float) -> CleanSplit:
    generator = torch.Generator().manual_seed(seed)
    return CleanSplit(torch.rand(len(observed), generator=generator) < share, observed)


@pytest.mark.usefixtures("registries")
def test_naming_is_declaring() -> None:
    SPLITS.register("by-chance", by_chance, aliases=("chance",))
    chosen = CoOp.Options(split="chance")
    assert chosen.split == "by-chance"
    needs = CoOp.needs(chosen)
    assert (needs.full_pass, needs.oracle) == (False, ("noise_rate",))
    assert split_asks("zero-shot") == ("zero_shot", "observed")
    assert (split_asks("none"), loss_asks("sce"), loss_asks("ce")) == ((), ("a", "b", "off_class"), ())


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"loss": "gec"}, 'method "coop": option loss = \'gec\': expected a loss, did you mean "gce"?'),
        ({"split": "OT"}, "option split = 'OT': expected a split, "),
        ({"split": "ot", "rest": "dropp"}, "option rest = 'dropp': expected a loss, did you mean \"drop\"?"),
        ({"loss": 3}, "option loss = 3: expected a valid string."),
        ({"loss": "none"}, "option loss = 'none': expected a loss, "),
    ],
)
def test_an_unknown_loss_or_split_is_one_line(given: dict[str, Any], message: str) -> None:
    with pytest.raises(BenchError) as caught:
        method_options("coop", given)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("registries")
def test_what_a_function_may_not_ask_or_return_is_one_line() -> None:
    LOSSES.register("asks", lambda logits, labels, temprature: logits)
    with pytest.raises(BenchError, match=r'loss "asks" \(file .*\) asks for "temprature", which is not available'):
        loss_asks("asks")
    SPLITS.register("loss", lambda loss: loss)
    with pytest.raises(BenchError, match='asks for "loss", which is not available; did you mean "losses"'):
        CoOp.needs(CoOp.Options(split="loss"))
    with pytest.raises(BenchError, match="is not a function"):
        LOSSES.register("number", 3)  # type: ignore[arg-type]
    LOSSES.register("mean", lambda logits, labels: LOSSES.get("ce")(logits, labels).mean())
    method = fixtures.build(CoOp, CoOp.Options(loss="mean"))
    with pytest.raises(BenchError, match=r'loss "mean" returned \[\] for labels \[2\]; return one number per sample'):
        method.sample_loss("mean", torch.zeros(2, 3), torch.zeros(2, dtype=torch.long))  # type: ignore[operator]
    SPLITS.register("mask", lambda observed: observed == 0)
    method = fixtures.build(CoOp, CoOp.Options(split="mask"))
    with pytest.raises(BenchError, match='split "mask" returned no split; return'):
        method.begin_epoch(1, fixtures.full_pass(method))


def of(**given: Any) -> Cell:
    return make_cell(dataset="digits", backbone="tiny", method="coop", options=method_options("coop", given))


def test_code_of_a_loss_is_noted_beside_that_of_the_method_that_uses_it(mine: Path) -> None:
    plain, own = code.code_of(of()), code.code_of(of(loss="squared", split="halves", rest="squared"))
    assert set(own) - set(plain) == {"loss squared", "split halves"}
    assert plain.items() <= own.items()
    mine.write_text(EXAMPLE.replace("** 2", "** 3"))
    for kept in (code._plugin, code._content, code._tree, code._source):
        kept.cache_clear()
    assert code.code_of(of(loss="squared"))["loss squared"] != own["loss squared"]
    made = record(of(loss="squared"))
    noted = made.model_copy(update={"provenance": Provenance(sources=own)})
    assert "other code of loss squared" in other_code(noted)
    again = made.model_copy(update={"provenance": Provenance(sources={**own, "loss squared": "a"})})
    without = made.model_copy(update={"provenance": Provenance(sources=plain)})
    found = marks([noted, again, without], "method", lambda _: "coop")
    assert [list(one) for one in found] == [["loss squared code"], ["loss squared code"], []]


def test_code_of_our_losses_and_splits_is_part_of_that_of_the_learner() -> None:
    files = code._closure(code._under(ROOT, "bench.methods.coop"), code._Scope(code.PLUGINS))
    assert {"losses.py", "splits.py"} <= {file.name for file in files}


@pytest.mark.usefixtures("registries")
def test_a_version_other_than_the_first_enters_keys() -> None:
    LOSSES.register("first", LOSSES.get("ce"))
    LOSSES.register("second", LOSSES.get("ce"), version=2)
    versions = Versions(Library())
    usual, first, second = (versions.of(of(loss=name)) for name in ("ce", "first", "second"))
    assert usual == first
    assert second == {**usual, "loss second": 2}


@pytest.mark.usefixtures("registries")
def test_bench_test_takes_a_file_of_losses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / f"bad_{tmp_path.name}.py"
    file.write_text(
        "from bench.plugins import LOSSES\n"
        "LOSSES.register('bad', lambda logits, labels: (logits * float('nan')).sum(-1))\n"
    )
    assert invoke(["test", str(file)]) == 1
    assert "coop[loss=bad]" in capsys.readouterr().out


def test_ours_are_finite_per_sample_and_have_a_gradient() -> None:
    logits = torch.tensor([[[30.0, -30.0, 0.0], [0.0, 0.0, 0.0]]] * 2, requires_grad=True)
    labels = torch.tensor([[0, 2], [1, 1]])
    known = {"q": 0.7, "a": 1.0, "b": 1.0, "off_class": 1e-4}
    for name in LOSSES:
        values = LOSSES.get(name)(logits, labels, **{option: known[option] for option in loss_asks(name)})
        assert values.shape == labels.shape, name
        (gradient,) = torch.autograd.grad(values.sum(), logits)
        assert all(math.isfinite(value) for value in (*values.flatten().tolist(), *gradient.flatten().tolist())), name
