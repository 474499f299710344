"""A miniature of Caltech101 on a server of the loopback address, and an empty folder of data sets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.data import library
from bench.data.catalogue import ENVIRONMENT
from bench.data.download.fetch import Patience
from tests.data import miniature
from tests.data.loopback import Loopback, loopback


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "data"))
    monkeypatch.setattr(Patience, "__init__", _hasty(Patience.__init__))
    library.open_dataset.cache_clear()
    yield tmp_path / "data"
    library.open_dataset.cache_clear()


def _hasty(init: Any) -> Any:
    def hasty(self: Patience, **changes: Any) -> None:
        init(self, **{"tries": 2, "stalled": 5.0, "sleep": lambda seconds: None, **changes})

    return hasty


@pytest.fixture
def server() -> Iterator[Loopback]:
    with loopback() as running:
        yield running


@pytest.fixture
def folder(server: Loopback, root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the miniature goes; nothing is there yet."""
    miniature.plant(server, monkeypatch)
    return root / "caltech-101"
