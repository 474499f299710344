"""`bench report` for a program: the names of the files, and nothing else on the standard output."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli.main import invoke
from bench.records.store import Store
from tests.reports.factory import cell, grid, record, write_store


def test_a_report_for_a_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for method in ("zero-shot", "coop"):
        Store(tmp_path / "s").publish(record(cell(method)), {})
    (tmp_path / "s" / "torn.json").write_text("{")
    out = tmp_path / "out"
    arguments = ["report", "--store", str(tmp_path / "s"), "--out", str(out), "--markdown", "--figures", "0"]
    assert invoke([*arguments, "--json"]) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert found["files"][0] == "report.md"
    assert all((out / name).is_file() for name in found["files"])
    assert [found["store"], found["folder"]] == [str(tmp_path / "s"), str(out)]
    assert ["torn.json" in problem for problem in found["problems"]] == [True]
    assert f"report: {out / 'report.md'} and {len(found['files']) - 1} more files in {out}\n" in printed.err
    assert invoke([*arguments, "--quiet"]) == 0
    assert capsys.readouterr().out == ""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    records = grid(("zero-shot", "coop", "gce-coop", "visprompt"), (1, 2, 3), epochs=3)
    return write_store(tmp_path_factory.mktemp("paper") / "store", records)


def test_a_papers_table_has_exactly_what_is_asked_for(store: Path, tmp_path: Path) -> None:
    flags = ["--latex", "--figures", "0", "--set", "seed=1,2", "--methods", "visprompt,coop", "--digits", "2"]
    flags += ["--columns", "asymmetric@0.25,none"]
    assert invoke(["report", "--store", str(store), *flags, "--tabular", "--out", str(tmp_path / "out")]) == 0
    (file,) = (tmp_path / "out" / "tables").glob("accuracy-*.tex")
    lines = file.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith(r"\begin{tabular}{l") and lines[-1] == r"\end{tabular}"  # noqa: PT018
    assert [line.split(" & ")[0] for line in lines if line.endswith(r"\\")][2:] == ["VisPrompt", "CoOp"]
    assert re.fullmatch(r" & 25~\\% &( & )? ?Clean.*", lines[4])
    assert all(len(number.partition(".")[2]) == 2 for number in re.findall(r"\d+\.\d+", "".join(lines[6:-2])))
    report = (tmp_path / "out" / "report.tex").read_text(encoding="utf-8")
    assert "over n = 2 seeds" in report  # the third is not asked for
    assert rf"\input{{tables/{file.name}}}" in report


def test_captions_begin_with_a_capital_and_end_with_a_full_stop(store: Path, tmp_path: Path) -> None:
    for number, form in enumerate(([], ["--short-captions", "--wide", "--font", "serif", "--width", "column"])):
        out = tmp_path / str(number)
        assert invoke(["report", "--store", str(store), "--latex", "--figures", "6", *form, "--out", str(out)]) == 0
        texts = [path.read_text(encoding="utf-8") for path in [*out.glob("tables/*.tex"), out / "report.tex"]]
        captions = re.findall(r"\\caption\{(.*)\}(?:\\smallskip)?$", "\n".join(texts), re.MULTILINE)
        assert len(captions) >= 4 + 6
        for caption in captions:
            assert caption[0].isupper(), caption
            assert caption.endswith("."), caption
            assert ("each method" not in caption and "the same optimizer" not in caption) or not form
    svg = next(out.glob("figures/overview-*.svg")).read_text(encoding="utf-8")
    assert "STIXGeneral" in svg
    assert 'width="237.6pt"' in svg  # 3.3 inches


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--methods", "coop,visprompd"], '--methods: no record has "visprompd"; did you mean "visprompt"?'),
        (["--columns", "symmetric@0.55"], '--columns: no record has "symmetric@0.55"; did you mean "symmetric@0.5"?'),
        (["--methods", "coop,,visprompt"], '--methods "coop,,visprompt" has an empty name'),
        (["--digits", "-1"], "--digits -1: expected 0 to 6 decimals."),
        (["--font", "STIXGeneralX"], '--font "STIXGeneralX" is not installed here; did you mean "STIXGeneral"?'),
        (["--width", "page"], '--width "page": expected column or text.'),
        (["--set", "seed=9"], "has no record with seed=9"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(
    flags: list[str], message: str, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["report", "--store", str(store), *flags, "--out", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not (tmp_path / "out").exists()


def test_a_name_that_a_plugin_sets_is_the_name_in_the_table(tmp_path: Path) -> None:
    plugin = tmp_path / "half.py"
    plugin.write_text(
        'import bench\nclass Half(bench.CoOp):\n    "Half."\n'
        'bench.register("half-coop", Half, "Half", title="Half & Half", family="losses")\n'
    )
    script = "import sys; from bench.cli.main import invoke; sys.exit(invoke(sys.argv[1:]))"
    made = [record(cell(name, seed=seed, epochs=2)) for name in ("coop", "half-coop") for seed in (1, 2)]
    store, out = write_store(tmp_path / "store", made), tmp_path / "out"
    flags = ["--store", str(store), "--plugin", str(plugin), "--out", str(out)]
    flags += ["--latex", "--figures", "0", "--tabular", "--methods", "half-coop,coop"]
    done = subprocess.run([sys.executable, "-c", script, "report", *flags], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (file,) = (out / "tables").glob("accuracy-*.tex")
    assert r"Half \& Half & " in file.read_text(encoding="utf-8")
