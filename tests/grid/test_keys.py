"""What enters a cell's key."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.grid.keys import versions_of
from bench.grid.options import method_options
from bench.plugins import METHODS
from tests.cells import make_cell


@pytest.mark.parametrize("faithful", [False, True])
def test_the_version_of_faithful_counts_for_faithful_cells_alone(
    faithful: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = make_cell(
        dataset="digits", backbone="tiny", method="nlprompt", options=method_options("nlprompt", {"faithful": faithful})
    )
    row, found = METHODS.row("nlprompt"), []
    for version in (1, 2, 3):
        monkeypatch.setattr(METHODS, "row", lambda name, version=version: replace(row, faithful=version))
        versions = versions_of(cell)
        assert versions.get("faithful") == (version if faithful and version > 1 else None)
        found.append(cell.key(versions))
    assert len(set(found)) == (3 if faithful else 1)
