"""`import bench`: cheap, complete, and what type checkers see is what runs."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys

import pytest

import bench
from tests import ROOT

HEAVY = ("torch", "pandas", "ray", "pydantic", "numpy")


def test_importing_it_imports_next_to_nothing() -> None:
    program = (
        f"import bench, json, sys; print(json.dumps([m for m in sys.modules if m in {HEAVY} or m[:6] == 'bench.']))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert json.loads(found.stdout) == []


def test_type_checkers_see_the_objects_that_are_handed_out() -> None:
    tree = ast.parse((ROOT / "bench" / "__init__.py").read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    typed = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == bench.HOMES
    assert sorted(bench.__all__) == sorted(typed)
    for name, (module, attribute) in typed.items():
        assert getattr(bench, name) is getattr(importlib.import_module(str(module)), attribute), name
        assert getattr(bench, name).__doc__


def test_names_are_listed_and_others_are_not_there() -> None:
    assert {*bench.__all__, "__version__"} <= {*dir(bench)}
    with pytest.raises(AttributeError, match="no attribute 'copp'"):
        _ = bench.copp  # type: ignore[attr-defined]
    with pytest.raises(ImportError, match="cannot import name 'copp'"):
        importlib.import_module("bench.seeds") and exec("from bench import copp")


def test_a_star_import_brings_the_names() -> None:
    names: dict[str, object] = {}
    exec("from bench import *", names)
    assert names.keys() - {"__builtins__"} == {*bench.__all__}
