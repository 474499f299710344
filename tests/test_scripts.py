"""Scripts whose results stand in the settings still run."""

from __future__ import annotations

import sys

import pytest

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
