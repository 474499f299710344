"""What imports what: plugins know the contract and the ground floor, never the store, the plan or the command line."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from bench.clip import BACKBONES
from bench.data import DATASETS
from methods import METHODS
from noise import NOISE

ROOT = Path(__file__).parent.parent
FORBIDDEN = ("bench.store", "bench.plan", "bench.schedulers", "bench.cli", "bench.commands", "bench.trial", "reports")


def imported(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [("methods", FORBIDDEN), ("noise", FORBIDDEN), ("bench/data", FORBIDDEN), ("bench/clip", (*FORBIDDEN, "methods"))],
)
def test_plugins_do_not_reach_up(folder: str, forbidden: tuple[str, ...]) -> None:
    files = sorted((ROOT / folder).glob("*.py"))
    assert files
    for file in files:
        for name in imported(file):
            assert not f"{name}.".startswith(tuple(f"{top}." for top in forbidden)), f"{file.name} imports {name}"


@pytest.mark.parametrize("file", ["errors", "registry", "seeds"])
def test_the_ground_floor_stands_on_nothing(file: str) -> None:
    inner = {name for name in imported(ROOT / "bench" / f"{file}.py") if name.startswith(("bench", "methods", "noise"))}
    errors = {f"bench.errors.{name}" for name in ("BenchError", "did_you_mean", "escape")}
    assert inner <= {"bench.errors", *errors, "bench.global_state", "bench.global_state.Guard"}


@pytest.mark.parametrize("file", sorted((ROOT / "bench" / "global_state").glob("*.py")), ids=lambda file: file.stem)
def test_what_watches_global_state_is_part_of_the_ground_floor(file: Path) -> None:
    names = {
        name for name in imported(file) if name.partition(".")[0] in ("bench", "methods", "noise", "torch", "numpy")
    }
    assert {name for name in names if not name.startswith("bench.global_state")} <= {"torch"}  # inside a function


@pytest.mark.parametrize("registry", [METHODS, NOISE, DATASETS, BACKBONES], ids=lambda registry: registry.kind)
def test_every_row_loads_and_says_what_it_is(registry: object) -> None:
    for row in registry.rows():  # type: ignore[attr-defined]
        assert registry.get(row.name) is not None  # type: ignore[attr-defined]
        assert row.summary
        assert len(row.summary) < 100
