"""What tests of figures leave out of them, to be quick."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from bench.reports.figures import canvas


@pytest.fixture
def png_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """One format, where the test is about what is drawn."""
    monkeypatch.setattr(canvas, "FORMATS", {"png": {"Software": None}})


@pytest.fixture
def data_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """No picture, where the test is about which figures there are and what they show."""
    monkeypatch.setattr(canvas, "FORMATS", {})
    monkeypatch.setattr(Figure, "draw_without_rendering", lambda _: None)
