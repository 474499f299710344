"""`bench perf` with timings that nobody measured: tables, files, and the exit code of a slowdown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.cli.main import invoke
from bench.perf import measurement
from bench.perf.measurement import PerfRequest
from bench.perf.result import BEGIN, END, PerfResult
from tests import ROOT
from tests.perf.made import made_result, made_speed

Output = pytest.CaptureFixture[str]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[PerfRequest]:
    """What was asked to be measured; the measurement is made up, and `measured` replaces it."""
    monkeypatch.chdir(tmp_path)
    requests: list[PerfRequest] = []
    pretend(monkeypatch, made_result(), requests)
    return requests


def pretend(monkeypatch: pytest.MonkeyPatch, result: PerfResult, requests: list[PerfRequest]) -> None:
    monkeypatch.setattr(measurement, "run", lambda request, listen: requests.append(request) or result)


def test_tables_say_what_was_measured(asked: list[PerfRequest], capsys: Output) -> None:
    assert invoke(["perf", "--methods", "coop,gce-coop[q=0.5]", "--classes", "10,20", "--packs", "2,16"]) == 0
    (request,) = asked
    assert request.methods == ("coop", "gce-coop[q=0.5]")
    assert (request.classes, request.effort.packs, request.effort.repeats) == ((10, 20), (2, 16), 5)
    printed = capsys.readouterr()
    assert "coop          2.00  5.00 (4.90-5.10)" in printed.out
    assert "matrix products at 105 GFLOP/s" in printed.out
    assert "a cell that trains nothing takes 25 ms." in printed.out
    assert "deft was not run in a pack of 16 members: Unlike: they train other parameters." in printed.err


def test_quick_measures_one_pack_and_small_cells(asked: list[PerfRequest]) -> None:
    assert invoke(["perf", "--quick"]) == 0
    effort = asked[0].effort
    assert (effort.packs, effort.cell_packs, effort.repeats, effort.quick) == ((16,), (4,), 3, True)


def test_json_is_all_that_a_program_reads(asked: list[PerfRequest], capsys: Output) -> None:
    assert invoke(["perf", "--json"]) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert found["schema"] == 1
    assert found["speeds"][0]["step"]["packs"]["16"]["median"] == 4.0
    assert "A training step" in printed.err


def test_files_are_written(asked: list[PerfRequest]) -> None:
    assert invoke(["perf", "--quiet", "--plot", "out/speed.png", "--markdown", "speed.md", "--save", "perf.json"]) == 0
    assert Path("out/speed.png").read_bytes().startswith(b"\x89PNG")
    page = Path("speed.md").read_text()
    assert "| coop | 2.00 | 5.00 (4.90-5.10) | 4.00 (3.90-4.10) |" in page
    assert "| deft | 2.00 | – |" in page  # the axis of a size that did not fit
    assert json.loads(Path("perf.json").read_text())["ratios"]["coop"]["alone against naive"]["median"] == 5.0


def test_the_tables_of_a_page_are_replaced_and_all_around_them_stays(asked: list[PerfRequest]) -> None:
    page = Path("page.md")
    page.write_text(f"Before\n\n{BEGIN}\nold tables\n{END}\n\nAfter\n")
    assert invoke(["perf", "--markdown", "page.md"]) == 0
    text = page.read_text()
    assert text.startswith(f"Before\n\n{BEGIN}\ntiny, 10 classes")
    assert text.endswith(f"\n{END}\n\nAfter\n")
    assert "old tables" not in text
    assert invoke(["perf", "--markdown", "page.md"]) == 0
    assert page.read_text() == text


def test_the_page_of_speed_has_the_place_of_its_tables() -> None:
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    assert page.count(f"{BEGIN}\n") == page.count(f"{END}\n") == 1
    tables = [table.title for table in made_result().tables()]
    assert all(f"{title}:" in page for title in tables)


def test_a_slowdown_fails_and_everything_else_does_not(
    asked: list[PerfRequest], monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    assert invoke(["perf", "--save", "perf.json"]) == 0
    assert invoke(["perf", "--baseline", "perf.json"]) == 0
    assert "none of 4 ratios is slower" in capsys.readouterr().out
    pretend(monkeypatch, made_result(made_speed(pack=1.0)), [])
    assert invoke(["perf", "--baseline", "perf.json", "--quiet"]) == 1
    printed = capsys.readouterr()
    assert "1 of 2 ratios are slower than the baseline's." in printed.err
    pretend(monkeypatch, made_result(made_speed("plot")), [])
    assert invoke(["perf", "--baseline", "perf.json"]) == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--plot", "x.png", "--quick"], "leaves out"),
        (["--plot", "x.txt"], "ends in .png"),
        (["--classes", "10,few"], "whole numbers from 2"),
        (["--packs", "1"], "whole numbers from 2"),
        (["--baseline", "none.json"], "cannot be read"),
    ],
)
def test_a_mistake_is_told_before_anything_is_measured(
    arguments: list[str], said: str, asked: list[PerfRequest], capsys: Output
) -> None:
    assert invoke(["perf", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert asked == []


def test_devices_and_backbones_that_are_not_there(capsys: Output) -> None:
    import torch

    assert invoke(["perf", "--device", "tpu"]) == 2
    assert "expected one of cpu, cuda" in capsys.readouterr().err
    if not torch.cuda.is_available():
        assert invoke(["perf", "--device", "cuda"]) == 2
        assert "finds no GPU" in capsys.readouterr().err
    assert invoke(["perf", "--backbone", "ViT-B-61"]) == 2
    assert "ViT-B-16" in capsys.readouterr().err
