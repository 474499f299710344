"""Rows of registries load and say what they are; what may import what stands in `pyproject.toml` (import-linter)."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from bench.plugins import REGISTRIES
from bench.registry import Registry
from tests import ROOT


@pytest.mark.parametrize("file", sorted((ROOT / "bench" / "global_state").glob("*.py")), ids=lambda file: file.stem)
def test_what_watches_global_state_imports_nothing_that_has_such_state(file: Path) -> None:
    """At its top: torch and numpy are looked at where they are loaded, never loaded for it."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    names = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert not {name for name in names if name.partition(".")[0] in ("torch", "numpy", "PIL")}


@pytest.mark.parametrize("registry", REGISTRIES, ids=lambda registry: registry.kind)
def test_every_row_loads_and_says_what_it_is(registry: Registry[Any]) -> None:
    for row in registry.rows():
        assert registry.get(row.name) is not None
        assert row.summary
        assert len(row.summary) < 100


def test_the_folders_of_the_root_are_parts_of_the_package() -> None:
    for name in ("methods", "noise", "reports"):
        assert (ROOT / "bench" / name).resolve() == ROOT / name
