"""Fixtures of the engine's tests."""

from __future__ import annotations

import pytest

from bench.engine import width


@pytest.fixture(autouse=True)
def packs_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute members together whatever they keep, so that packs of every method are what is compared."""
    monkeypatch.setattr(width, "CACHE_BYTES", 2**40)
