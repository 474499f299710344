"""What enters a cell's key."""

from __future__ import annotations

from typing import Any

import pytest

import bench
from bench.errors import BenchError
from bench.grid.keys import versions_of
from bench.grid.options import method_options, version_when
from bench.methods.nlprompt import NLPrompt
from bench.plugins import METHODS
from bench.records.cell import Cell
from tests.cells import make_cell


def named(method: str, **given: Any) -> Cell:
    return make_cell(dataset="digits", backbone="tiny", method=method, options=method_options(method, given))


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize(
    ("when", "entry", "given"),
    [
        ("faithful=true", "faithful", {"faithful": True}),
        ("split=argmax", "split=argmax", {"split": "argmax"}),
        ("split=ot and curriculum>2", "split=ot and curriculum>2", {"curriculum": 3}),
    ],
)
def test_a_version_under_a_condition_counts_for_cells_that_meet_it_alone(
    when: str, entry: str, given: dict[str, Any]
) -> None:
    keys: dict[bool, set[str]] = {True: set(), False: set()}
    for version in (1, 2, 3):
        bench.register(f"v{version}", NLPrompt, version_when=(when, version) if version > 1 else ())
        for met in (True, False):
            cell = named(f"v{version}", **(given if met else {}))
            versions = versions_of(cell)
            assert versions.get(entry) == (version if met and version > 1 else None)
            keys[met].add(cell.model_copy(update={"method": "any"}).key(versions))
    assert (len(keys[True]), len(keys[False])) == (3, 1)


def test_our_own_versions_under_a_condition() -> None:
    """Beside them stands what the key of such a cell has held so far."""
    assert versions_of(named("nlprompt", faithful=True)) == versions_of(named("nlprompt")) | {"faithful": 2}
    shuffled = named("visprompt", control="shuffled")
    assert versions_of(shuffled) == versions_of(named("visprompt")) | {"control=shuffled": 2}
    for row in METHODS.rows():
        assert version_when(row.name, {}) == {}, "no default is meant"
        assert bool(row.version_when) == (row.name == "visprompt" or "faithful" in str(row.version_when))


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize("when", ["contxt>4", "context", "context>gce"])
def test_what_is_no_condition_is_one_line(when: str) -> None:
    bench.register("mine", bench.CoOp, version_when=(when, 2))
    with pytest.raises(BenchError, match=rf'^method "mine" from .*: version_when = "{when}" is no condition on its'):
        versions_of(named("mine"))
