"""`bench compare --grid`: the whole baseline counts, whatever became of its cells, and nothing passes unseen."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from bench.cli.main import invoke
from bench.grid.expansion import expand
from bench.records.cell import Cell
from bench.records.record import Status
from bench.records.store import Store
from bench.registry import load_plugin_file
from bench.regression.baseline import read_baseline
from bench.settings.schema import load_config
from tests import ROOT
from tests.registered import registered
from tests.reports.factory import record

LEVEL = {"zero-shot": 0.9, "coop": 0.8, "gce-coop": 0.85, "probe": 0.88, "prober": 0.88, "upl": 0.7}
OTHERS = ("zero-shot", "coop", "gce-coop")
POWER = (
    "The smallest drop that would have counted is 1.0 points in a cell (2 seeds) and 1.0 points in a method's average"
)
PLUGIN = '''
import bench


class Probe(bench.CoOp):
    """CoOp with smoothed labels."""

    class Options(bench.CoOp.Options):
        """Of the probe."""

        smoothing: float = bench.scalar({default}, "label smoothing", ge=0, le=1)


bench.register("{name}", Probe, "a probe", version={version})
'''


def unchanged(cell: Cell) -> float:
    return 0.0


class Project:
    """A user's project: a plugin, a grid, a baseline of it, and a store for each run; nothing is trained.

    Attributes:
        said: output of the last comparison, errors last.
    """

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], process: ExitStack) -> None:
        self.folder, self.capsys, self.process, self.said = folder, capsys, process, ""
        self.config, self.baseline, self.store = folder / "bench.toml", folder / "b.json", folder / "0"
        self.write_plugin()
        self.write_grid()

    def write_plugin(self, name: str = "probe", default: float = 0.1, version: int = 1) -> None:
        """The plugin file as it is now; an earlier one is forgotten, as by a new process."""
        self.process.close()
        self.process.enter_context(registered())
        self.plugin = self.folder / f"{name}.py"
        self.plugin.write_text(PLUGIN.format(name=name, default=default, version=version), encoding="utf-8")

    def write_grid(self, methods: Sequence[str] = (*OTHERS, "probe"), seeds: Sequence[int] = (1, 2)) -> None:
        """Nine groups of cells: four methods on clean labels and under noise, and CoOp on the clean subset."""
        text = f'[grid.gate]\ndataset = ["digits"]\nbackbone = ["tiny"]\nmethod = {json.dumps(list(methods))}\n'
        text += 'noise = [{ kind = "none" }, { kind = "symmetric", rate = 0.5 }]\nreference = ["coop@clean"]\n'
        self.config.write_text(f"{text}epochs = 20\nseed = {list(seeds)}\n", encoding="utf-8")

    def run(
        self,
        change: Callable[[Cell], float] = unchanged,
        *,
        status: Callable[[Cell], Status] = lambda cell: "done",
        without: Collection[str] = (),
        store: str = "now",
    ) -> None:
        """Records of the grid as it is now, `change` (a fraction) added to their accuracies."""
        load_plugin_file(str(self.plugin))
        self.store = self.folder / store
        self.store.mkdir(exist_ok=True)
        for planned in expand(load_config(str(self.config)), "gate").cells:
            cell = planned.cell
            level = LEVEL[cell.method] - (0.2 if cell.noise != "none" and cell.subset == "all" else 0)
            spread = 0.0 if cell.method == "zero-shot" else 0.002 * len(cell.method) * (cell.seed % 3)
            if cell.method not in without:
                made = record(cell, level + spread + change(cell), status(cell)).model_copy(update={"key": planned.key})
                Store(self.store).publish(made, {})

    def compare(self, *more: str, grid: bool = True) -> int:
        arguments = ["compare", "--baseline", str(self.baseline), "--store", str(self.store), *more]
        chosen = ["--grid", "gate"] if grid else []
        self.capsys.readouterr()
        code = invoke([*arguments, *chosen, "--config", str(self.config), "--plugin", str(self.plugin)])
        said = self.capsys.readouterr()
        self.said = said.out + said.err
        return code

    def edit_baseline(self, edit: Callable[[list[dict[str, Any]]], None]) -> None:
        content = json.loads(self.baseline.read_text(encoding="utf-8"))
        edit(content["groups"])
        self.baseline.write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Project]:
    """A project with a baseline of two seeds; what it registers is forgotten afterwards."""
    with ExitStack() as process:
        made = Project(tmp_path, capsys, process)
        made.run(store="before")
        assert made.compare("--write") == 0
        yield made


def fall(by: float, method: str = "probe") -> Callable[[Cell], float]:
    return lambda cell: -by if cell.method == method else 0.0


def test_a_changed_default_is_missing_and_named(project: Project) -> None:
    project.write_plugin(default=0.6)
    project.run(fall(0.3))
    assert project.compare() == 1
    told = "in the baseline with smoothing = 0.1; today's cell has smoothing = 0.6 (89.5 before)"
    assert f"missing cell    digits · none · probe[smoothing=0.1]: {told}" in project.said
    assert "new     cell    digits · none · probe: 59.5, not in the baseline" in project.said
    assert "2 missing, 0 better, 2 new, 7 equal" in project.said
    assert project.said.endswith("regression gate: cells of the baseline are missing\n")
    assert project.compare("--partial") == 0
    assert project.said.endswith("regression gate: passed, a partial run: 7 of the baseline's 9 cells\n")
    assert project.compare("--partial", "--strict") == 1


def test_a_deleted_method_is_missing(project: Project) -> None:
    project.write_grid(OTHERS)
    project.run()
    assert project.compare() == 1
    assert "missing cell    digits · none · probe: in the baseline, not in today's grid (89.5 before)" in project.said
    assert project.compare("--partial", "--strict") == 0


def test_a_renamed_method_is_missing_and_new(project: Project) -> None:
    project.write_plugin("prober")
    project.write_grid((*OTHERS, "prober"))
    project.run()
    assert project.compare() == 1
    told = 'probe: in the baseline with method = "probe"; today\'s cell has method = "prober" (89.5 before)'
    assert f"missing cell    digits · none · {told}" in project.said
    assert "new     cell    digits · none · prober: " in project.said


def test_a_dropped_seed_is_missing_also_where_its_old_record_is_still_there(project: Project) -> None:
    """A seed of the baseline is part of it: what fell under this seed alone would not have been seen."""
    for store in ("now", "before"):
        project.write_grid(seeds=(2,))
        project.run(store=store)
        assert project.compare() == 1
        assert "missing seed    digits · none · probe: in the baseline, no record now: seed 1" in project.said
        assert "9 equal; 9 cells without seeds of the baseline" in project.said
        assert project.said.endswith("regression gate: seeds of the baseline are missing\n")
        assert project.compare("--partial", "--strict") == 0


def test_other_seeds_are_none_of_the_baselines_and_none_is_missed(project: Project) -> None:
    project.write_grid(seeds=(4, 5))
    project.run()
    assert project.compare("--strict") == 0
    assert "9 with other seeds, none proven worse" in project.said


def test_everything_equal_passes_and_says_what_it_could_have_seen(project: Project) -> None:
    project.run()
    assert project.compare("--strict") == 0
    assert "0 missing, 0 better, 0 new, 9 equal (" in project.said
    assert POWER in project.said
    assert project.said.endswith("regression gate: passed\n")
    assert project.compare("--json") == 0
    counts = json.loads(project.said)["counts"]
    assert (counts["same"], counts["equal"], counts["changed"], counts["other_seeds"]) == (9, 9, 0, 0)


def test_a_hair_is_a_change_that_is_not_proven_worse(project: Project) -> None:
    project.run(lambda cell: -0.001 if cell.method == "probe" and cell.noise == "none" else 0.0)
    assert project.compare("--strict") == 0
    assert "8 equal, 1 changed, none proven worse" in project.said
    assert POWER in project.said
    assert "within the noise" not in project.said
    assert project.compare("--json") == 0
    counts = json.loads(project.said)["counts"]
    assert (counts["same"], counts["equal"], counts["changed"]) == (9, 8, 1)


def test_one_seed_says_what_it_is_worth(project: Project) -> None:
    project.write_grid(seeds=(1,))
    project.run()
    project.compare("--write")
    assert project.compare() == 0
    assert "counted is 1.0 points in a cell (1 seed)" in project.said
    assert "One seed gives no estimate of the noise: any difference beyond the minimum effect counts" in project.said


def test_a_grid_is_held_to_the_records_of_todays_plugin_version(project: Project) -> None:
    """A record of an earlier version is none of today's, whenever it was written."""
    project.write_plugin(version=2)
    project.run(store="before", without=("probe",))
    assert project.compare() == 1
    assert "probe: in the baseline and in today's grid, no record of it now" in project.said
    project.run(fall(0.3), store="before")
    assert project.compare() == 1
    assert "worse   cell    digits · none · probe: " in project.said
    project.compare(grid=False)
    assert "note: 4 records are of cells that also have a record of other plugin versions" in project.said


def test_a_baseline_with_fewer_groups_fails_the_strict_form(project: Project) -> None:
    project.edit_baseline(lambda rows: rows.__setitem__(slice(None), [r for r in rows if "probe" not in r["label"]]))
    project.run(fall(0.3))
    assert project.compare() == 0
    assert "2 new" in project.said
    assert project.compare("--strict") == 1
    assert project.said.endswith("regression gate: cells are not in the baseline\n")


@pytest.mark.parametrize("edit", [lambda rows: rows.append(rows[0]), lambda rows: rows[0].update(accuracy={})])
def test_a_group_that_is_there_twice_or_empty_is_no_baseline(
    project: Project, edit: Callable[[list[dict[str, Any]]], None]
) -> None:
    project.edit_baseline(edit)
    assert project.compare() == 2
    assert "is torn: a group in it is incomplete or there twice" in project.said


def test_new_seeds_and_cells_that_do_not_finish_fail_the_strict_form(project: Project) -> None:
    project.write_grid((*OTHERS, "probe", "upl"), seeds=(1, 2, 3))
    project.run(status=lambda cell: "failed" if cell.seed == 3 or cell.method == "upl" else "done")
    assert project.compare() == 0
    assert "new     seed    digits · none · probe: –, not in the baseline (seed 3: loss is nan" in project.said
    assert "9 equal; 9 cells with seeds that the baseline does not have" in project.said
    assert project.compare("--strict") == 1


@pytest.mark.parametrize("accuracy", [{}, {"last": None}, {"last": float("nan")}], ids=["none", "null", "nan"])
def test_a_record_without_an_accuracy_has_failed(project: Project, accuracy: dict[str, float | None]) -> None:
    project.run()
    for file in project.store.glob("*.json"):
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["cell"]["method"] == "probe":
            file.write_text(json.dumps({**content, "accuracy": accuracy}), encoding="utf-8")
    assert project.compare() == 1
    assert "probe" in project.said


def test_nothing_in_common_says_what_differs(project: Project) -> None:
    project.config.write_text(project.config.read_text(encoding="utf-8") + "learning_rate = 0.005\n", encoding="utf-8")
    project.run(fall(0.3))
    assert project.compare() == 3
    assert "none of the 9 cell groups of" in project.said
    assert "in the baseline with learning_rate = 0.002; today's cell has learning_rate = 0.005" in project.said


def test_a_baseline_that_is_replaced_says_what_it_loses(project: Project) -> None:
    project.write_grid(OTHERS)
    project.run()
    assert project.compare("--write") == 0
    lost = "digits · none · probe; digits · symmetric 0.5 · probe"
    assert f"no longer in the baseline, and so no longer guarded: {lost}." in project.said


def test_the_baseline_of_the_repository_guards_the_whole_ci_grid(tmp_path: Path, capsys: Any) -> None:
    """`make ci` is strict: nothing of the grid is new, nothing of the baseline missing."""
    path = ROOT / "tests" / "baseline.json"
    accuracies = {json.dumps(g.cell, sort_keys=True): g.accuracy for g in read_baseline(path).groups.values()}
    for planned in expand(load_config(None), "ci").cells:
        cell = planned.cell
        last = accuracies[json.dumps(cell.model_dump(exclude={"seed"}), sort_keys=True)][cell.seed] / 100
        Store(tmp_path).publish(record(cell, last).model_copy(update={"key": planned.key}), {})
    arguments = ["compare", "--grid", "ci", "--store", str(tmp_path), "--baseline", str(path), "--strict"]
    assert invoke(arguments) == 0
    assert "0 missing, 0 better, 0 new" in capsys.readouterr().out
    ci = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\nci:")[2].partition("\n\n")[0]
    assert "compare --grid ci" in ci
    assert "--strict" in ci
