from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd
import pytest

from bench.cli.main import invoke
from bench.errors import BenchError
from bench.records.store import Store
from bench.reports.build import build_from_store, build_report
from bench.reports.document import Section, Table, TableEntry, TableRow
from bench.reports.figures import kinds
from bench.reports.figures.kinds import MOST
from bench.reports.frame import tidy
from bench.reports.front_page import unfinished
from bench.reports.statistics.friedman import FEWEST
from bench.reports.tables.choice import Choice
from bench.reports.tables.kinds import KINDS, TableKind
from tests.reports.factory import GRID, cell, grid, record, write_store

DEFAULTS = {"gce-coop": {"q": 0.7}}
SMALL = [
    *grid(methods=("zero-shot", "coop"), columns=GRID[:2], epochs=2),
    record(cell("joapr", "symmetric", 0.25, 1, epochs=2), status="failed", reason="ValueError: a_b | c"),
]


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_report_is_whole_and_deterministic(tmp_path: Path):
    first = build_report(SMALL, tmp_path / "a", defaults=DEFAULTS)
    build_report(SMALL[::-1], tmp_path / "b", defaults=DEFAULTS)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert first[0] == tmp_path / "a" / "report.md"
    assert {p.relative_to(tmp_path / "a").as_posix() for p in first} | {"files.txt"} == set(contents(tmp_path / "a"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]
    text = first[0].read_text(encoding="utf-8")
    for path in first:
        if path.suffix == ".png":
            assert f"(figures/{path.name})" in text
    assert r"failed at Symmetric 25 % (seed 1). ValueError: a\_b \| c" in text
    assert "missing at Clean (seeds 1, 2), Symmetric 25 % (seed 2)" in text
    rows = list(csv.DictReader((tmp_path / "a/tables/records.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == len(SMALL)


def test_names_as_long_as_a_file_system_takes(tmp_path: Path):
    names = [{"dataset": f"folder:{'n' * 240}{one}", "backbone": f"RN50@/{'w' * 250}.pt"} for one in "ab"]
    records = [one.model_copy(update={"cell": one.cell.model_copy(update=more)}) for one in SMALL for more in names]
    assert tidy(records)["setting"].nunique() == 2
    files = build_report(records, tmp_path / "out", defaults=DEFAULTS, figures=3)
    assert max(len(file.name) for file in files) < 220


def test_only_the_formats_asked_for(tmp_path: Path):
    build_report(SMALL, tmp_path / "out", frozenset({"csv"}), defaults=DEFAULTS, figures=0)
    assert {Path(name).suffix for name in contents(tmp_path / "out")} == {".csv", ".md", ".txt"}
    assert list((tmp_path / "out").glob("**/*.md")) == [tmp_path / "out" / "report.md"]


def test_a_new_report_removes_what_the_old_one_left_and_nothing_else(tmp_path: Path):
    out = tmp_path / "out"
    build_report(SMALL, out, defaults=DEFAULTS, figures=0)
    (out / "mine.txt").write_text("kept")
    (tmp_path / "outside.txt").write_text("kept")
    (out / "files.txt").write_text((out / "files.txt").read_text() + "../outside.txt\n")
    build_report(SMALL, out, frozenset({"latex"}), defaults=DEFAULTS, figures=0)
    assert (out / "mine.txt").read_text() == "kept"
    assert (tmp_path / "outside.txt").read_text() == "kept"
    assert not list(out.glob("tables/*.csv"))


def test_a_failure_leaves_the_old_report_untouched(tmp_path: Path):
    build_report(SMALL, tmp_path / "out", defaults=DEFAULTS, figures=0)
    before = contents(tmp_path)

    def broken(_: str) -> dict[str, object]:
        raise OSError(28, "No space left on device")

    for each in (records := [one.model_copy(deep=True) for one in SMALL[:3]]):
        each.curve.test_calibration_error = [0.1] * len(each.curve.epoch)
    with pytest.raises(BenchError, match="cannot be written: No space left"):
        build_report(records, tmp_path / "out", defaults=DEFAULTS, outcomes=broken)
    assert contents(tmp_path) == before


def test_user_mistakes_are_one_line_and_write_nothing(tmp_path: Path):
    (tmp_path / "store").mkdir()
    with pytest.raises(BenchError, match="run `bench run` first") as empty:
        build_report([], tmp_path / "out")
    assert "\n" not in str(empty.value)
    with pytest.raises(BenchError, match='unknown table format "pdf"'):
        build_report(SMALL, tmp_path / "out", frozenset({"pdf"}))
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchError, match="cannot be written"):
        build_report(SMALL, tmp_path / "file" / "out", defaults=DEFAULTS)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "store"]


def test_a_new_kind_of_table_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Its tables are in every format, and its numbers in a file."""

    def seeds(frame: pd.DataFrame, _: Choice) -> list[Table]:
        row = TableRow("All", (TableEntry(text=f"{frame['seed'].nunique()}"),))
        (setting,) = set(frame["setting"])
        return [Table("seeds", setting, "seeds-x", (("", "n"),), (Section("", (row,)),), ("Seeds of all.",), ())]

    monkeypatch.setitem(KINDS, "seeds", TableKind(seeds, lambda frame: frame[["seed"]].drop_duplicates()))
    build_report(SMALL, tmp_path / "out", defaults=DEFAULTS, figures=0)
    for name in ("report.md", "report.html", "tables/seeds-x.md", "tables/seeds-x.tex"):
        assert "Seeds of all." in (tmp_path / "out" / name).read_text(encoding="utf-8"), name
    assert r"\input{tables/seeds-x.tex}" in (tmp_path / "out" / "report.tex").read_text(encoding="utf-8")
    assert (tmp_path / "out/tables/seeds.csv").read_text().split() == ["seed", "1", "2"]


def test_an_oracle_row_misses_no_clean_cell():
    assert unfinished(tidy(grid())).empty


def test_as_many_figures_as_asked_for(tmp_path: Path):
    none = build_report(SMALL, tmp_path / "0", frozenset({"latex"}), defaults=DEFAULTS, figures=0)
    text = none[0].read_text(encoding="utf-8")
    assert "- no figure was drawn, because of --figures 0" in text
    assert "figures/" not in text + (tmp_path / "0" / "report.tex").read_text(encoding="utf-8")
    assert {path.suffix for path in none} == {".md", ".tex"}
    one = build_report(SMALL, tmp_path / "1", frozenset({"latex"}), defaults=DEFAULTS, figures=1)
    text = one[0].read_text(encoding="utf-8")
    assert {path.name.partition("-")[0] for path in one if path.suffix == ".png"} == {"overview"}
    for kind in ("accuracy", "memorization", "cost"):
        assert f"- {kind}: not drawn, because a report has about 1 figures at most unless --figures asks" in text
    with pytest.raises(BenchError, match="-1 figures cannot be drawn; give --figures 0") as negative:
        build_report(SMALL, tmp_path / "out", defaults=DEFAULTS, figures=-1)
    assert "\n" not in str(negative.value)
    assert not (tmp_path / "out").exists()


def test_without_figures_no_diagram_of_ranks_is_drawn(tmp_path: Path):
    records = [r for i in range(FEWEST) for r in grid(dataset=f"set{i}", columns=GRID[:2], oracle=False, epochs=1)]
    files = build_report(records, tmp_path / "out", frozenset({"html"}), defaults=DEFAULTS, figures=0)
    assert {path.suffix for path in files} == {".md", ".html"}
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert 'src="data:image/svg+xml;base64,' in page  # the page has it all the same


@pytest.mark.parametrize(("flags", "expected"), [([], [MOST]), (["--figures", "7"], [7]), (["--figures", "0"], [])])
def test_the_option_reaches_the_report(
    flags: list[str],
    expected: list[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    asked: list[int] = []
    monkeypatch.setattr(kinds, "draw", lambda *given: asked.append(given[-2]) or ([], []))
    write_store(tmp_path / "results", SMALL)
    assert invoke(["report", "--csv", *flags]) == 0
    assert asked == expected
    assert invoke(["report", "--figures", "-1"]) == 2
    assert "--figures" in capsys.readouterr().err


def test_a_store_without_records(tmp_path: Path):
    (tmp_path / "store").mkdir()
    with pytest.raises(BenchError):
        build_from_store(Store(str(tmp_path / "store")), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_store_is_read_and_its_torn_files_are_named(tmp_path: Path):
    folder = write_store(tmp_path / "store", SMALL)
    (folder / f"{'0' * 16}.json").write_text(SMALL[0].to_json()[:200])
    paths = build_from_store(Store(str(folder)), folder / "report", figures=0)
    text = paths[0].read_text(encoding="utf-8")
    assert f"{len(SMALL) - 1} of {len(SMALL)} recorded cells finished" in text
    assert "is not a record of this store" in text
