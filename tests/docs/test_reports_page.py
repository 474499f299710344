"""What docs/reports.md says, against the code and against the files of a report."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pandas as pd
import pytest
from typer.main import get_command

from bench.cli.app import VERBS
from bench.cli.report import app as report_app
from bench.engine.audit import CALIBRATION_BINS
from bench.plugins import NOISE
from bench.reports.build import FORMATS, build_report
from bench.reports.figures import kinds, ranks
from bench.reports.frame import ENDS
from bench.reports.names import SIGNS
from bench.reports.published import numbers
from bench.reports.statistics import bootstrap, friedman
from bench.reports.statistics.paired import INTERVAL, SIGNED_RANKS
from bench.reports.tables import columns
from bench.standing import NEAR, SMALL_SPREAD, UNSTABLE, UNSTABLE_RATIO
from tests import ROOT
from tests.reports.factory import GRID, grid

PAGE = (ROOT / "docs" / "reports.md").read_text(encoding="utf-8")
PLAIN = " ".join(PAGE.split())


def rows(head: str) -> dict[str, str]:
    """The first cell of each row of a table, and the row."""
    block = PAGE.split(f"| {head} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return {line.split("|")[1].strip(): line for line in block}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report that has every file: many data sets, labels of unknown truth, published numbers."""
    places = ["caltech101", *(f"set{i}" for i in range(friedman.FEWEST - 1))]
    records = [r for name in places for r in grid(dataset=name, columns=GRID[:3], epochs=1)]
    unknown = grid(("zero-shot", "coop"), columns=(("none", 0.0),), epochs=1, oracle=False, dataset="own", shots=8)
    for made in unknown:
        made.noise.truth = False
        made.curve.train_given_accuracy = [0.5] * len(made.curve.epoch)
    out = tmp_path_factory.mktemp("report") / "out"
    build_report([*records, *unknown], out, defaults={}, published=True, figures=0)
    return out


def test_the_commands_exist():
    command = get_command(report_app)
    known = {option for parameter in command.params for option in parameter.opts}
    lines = [line for line in PAGE.splitlines() if line.startswith("bench ")]
    assert len(lines) == 6
    for line in lines:
        words = shlex.split(line, comments=True)
        assert words[:2] == ["bench", "report"]
        assert {word for word in words if word.startswith("--")} <= known
    for name in re.findall(r"`bench (\w+)", PAGE):
        assert name in VERBS
    assert {f"--{name}" for name in FORMATS} <= known


def test_the_files_of_the_repository_exist():
    named = re.findall(r"`((?:reports|bench|docs)/[\w./]+\.\w+)`", PAGE)
    assert {"bench/standing.py", "reports/published/numbers.toml"} <= set(named)
    for name in named:
        assert (ROOT / name).is_file(), name


def test_the_files_of_a_report_are_those_of_the_page(report: Path):
    documented = [name for cell in rows("file | what it is") for name in re.findall(r"`([^`]+)`", cell)]
    found = sorted(path.relative_to(report).as_posix() for path in report.rglob("*") if path.is_file())
    for name in documented:
        if not name.startswith("figures/"):
            assert any(Path(path).match(name) for path in found), name
    for path in found:
        assert any(Path(path).match(name) for name in documented), path


def test_the_columns_of_every_csv_are_those_of_the_page(report: Path):
    documented = {cell.strip("`"): line for cell, line in rows("file | a row is | columns").items()}
    written = {path.name for path in (report / "tables").glob("*.csv") if not path.name.startswith("published-")}
    assert written == set(documented)
    for name, line in documented.items():
        columns = re.findall(r"`(\w+)`", line.split("|")[3])
        found = list(pd.read_csv(report / "tables" / name, nrows=1).columns)
        if name in ("memorization.csv", "agreement.csv"):
            assert found == [*pd.read_csv(report / "tables" / "accuracy.csv", nrows=1).columns, *columns]
        elif name == "cost.csv":
            assert [c for c in found if not c.startswith("steps_")] == [c for c in columns if c != "steps_"]
        elif name == "records.csv":
            assert {c for c in columns if not c.startswith("_")} <= set(found)
            assert set(ENDS) <= set(columns)
            assert {f"{name}{end}" for name in ENDS for end in ("_start", "_excess")} <= set(found)
        else:
            assert found == columns, name
    assert "`published-SETTING.csv`" in PAGE


def test_the_kinds_of_figures_are_those_of_the_page():
    assert [cell.strip("`") for cell in rows("kind | what it shows")] == [*kinds.KINDS, "ranks"]


def test_the_marks_are_those_of_the_tables():
    marks = "".join(rows("mark | meaning"))
    assert all(f"`{sign}`" in marks for sign, _ in SIGNS.values())
    assert all(f"`{sign}`" in marks for sign in (NEAR, UNSTABLE, *"–†*?"))


def test_the_limits_are_those_of_the_code():
    usual = numbers.load().replication.points
    told = [
        f"More than {columns.WIDEST} columns", f"below {friedman.FEWEST} data sets",
        f"above {friedman.MOST} trained methods",
        f"{bootstrap.DRAWS} draws", f"below {bootstrap.FEWEST_BOOTSTRAP} data sets", f"at most {ranks.SHOWN} methods",
        f"{UNSTABLE_RATIO:g} times the median", f"at least {SMALL_SPREAD:g} point",
        f"from {INTERVAL} pairs on", f"Below {SIGNED_RANKS} seeds", f"at most {usual:g} points",
        f"with {CALIBRATION_BINS} equal bins",
        f"More than {kinds.LINES} rows", f"About {kinds.MOST} figures",
    ]  # fmt: skip
    for text in told:
        assert text in PLAIN, text
    for row in NOISE.rows():
        if row.commonest:
            assert f"`{row.name}`" in PLAIN
        if row.identifiable < 1:
            assert f"`{row.name}{f'[{row.beside}]' if row.beside else ''}`" in PLAIN
