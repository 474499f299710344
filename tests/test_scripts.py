"""Scripts whose results stand in the settings still run."""

from __future__ import annotations

import sys

import pytest

from bench.testing.fixtures import backbone
from tests import ROOT


def test_learning_rates_are_chosen_on_validation_labels(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import choose_protocol  # type: ignore[import-not-found]

    monkeypatch.setattr(choose_protocol, "LADDER", (0.002, 0.02))
    given = ["--tuned", "tiny", "--dataset", "digits", "--methods", "zero-shot,clip-adapter", "--epochs", "1"]
    monkeypatch.setattr(sys, "argv", ["choose_protocol.py", *given])
    choose_protocol.main()
    heading, row = capsys.readouterr().out.splitlines()
    assert heading == '[tuned."tiny"]'
    assert row.startswith("clip-adapter = 0.002 ")


def test_the_cost_of_a_grid_on_files_is_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import grid_cost  # type: ignore[import-not-found]

    monkeypatch.setattr(grid_cost, "open_random", lambda name, device: backbone())
    monkeypatch.setattr(grid_cost, "CLASSES", (4, 8))
    monkeypatch.setattr(
        sys, "argv", ["grid_cost.py", "--grid", "paper", "--methods", "zero-shot,coop,maple", "--rate", "1e9"]
    )
    grid_cost.main()
    heading, rule, coop, maple, whole = ([cell.strip() for cell in line.split("|")[1:-1]]
                                         for line in capsys.readouterr().out.splitlines())  # fmt: skip
    assert len(heading) == len(rule) == len(coop)
    assert (coop[0], maple[0], whole[0]) == ("coop", "maple", "all of these")  # zero-shot trains nothing
    hours = [float(row[5].replace(",", "")) for row in (coop, maple, whole)]
    assert min(hours) > 0
    assert hours[2] == pytest.approx(hours[0] + hours[1], abs=0.2)
    assert int(whole[4]) == int(coop[4]) + int(maple[4]) > 0
