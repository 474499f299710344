"""What a change of shape must leave as it is: the keys of the packaged grids, the bits of the ci grid, every message.

`python -m tests.frozen` writes `tests/frozen/keys.txt` and `messages.txt` anew, `python -m tests.frozen STORE` also
`runs.txt` from the records of the ci grid in a store. What has changed is then seen as a diff. Bits depend on the
processor and on torch, so that `runs.txt` is held against a run by hand, before and after a change, on one machine.
"""

from __future__ import annotations

import ast
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.grid.expansion import expand
from bench.settings.schema import load_config
from tests import ROOT

FOLDER = Path(__file__).parent / "frozen"
SOURCES = ("bench", "methods", "noise", "reports")
PARTS = ("curve", "accuracy", "noise", "diagnostics")


def keys() -> list[str]:
    """Keys of the ci grid, cell by cell; number and digest of the keys of every other grid."""
    config = load_config()
    lines = []
    for name in sorted(config.settings.grid):
        cells = expand(config, name).cells
        whole = sorted(item.key for item in cells)
        lines.append(f"{name}: {len(whole)} cells, {_digest(whole)}")
        if name == "ci":
            lines += [f"  {item.key} {_text(item.cell)}" for item in cells]
    return lines


def messages() -> list[str]:
    """Every text of the source that holds a space and is no docstring, with `{}` for what is filled in."""
    files = [file for top in SOURCES for file in (ROOT / top).rglob("*.py")]
    return sorted({text for file in files for text in _texts(ast.parse(file.read_text(encoding="utf-8")))})


def runs(store: Path) -> list[str]:
    """Digests of what the records of a store hold, by key."""
    records = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(store.glob("*.json"))]
    return [" ".join([record["key"], *(f"{part}={_digest(record[part])}" for part in PARTS)]) for record in records]


def _text(cell: Any) -> str:
    return f"{cell.dataset} {cell.noise} {cell.rate:g} {cell.method} {cell.subset} seed {cell.seed}"


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _texts(tree: ast.AST) -> Iterator[str]:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    within: set[int] = set()  # docstrings, annotations, and the parts of a text with something filled in
    for node in ast.walk(tree):
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            within.add(id(node.body[0].value))  # type: ignore[attr-defined]
        if id(node) in within:
            continue
        text = _filled(node) if isinstance(node, ast.JoinedStr) else getattr(node, "value", None)
        if isinstance(node, ast.JoinedStr):
            within |= {id(part) for part in node.values}
        if isinstance(node, (ast.Constant, ast.JoinedStr)) and isinstance(text, str) and " " in text.strip():
            yield repr(text)


def _filled(text: ast.JoinedStr) -> str:
    return "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in text.values)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    written = {"keys": keys(), "messages": messages(), **({"runs": runs(Path(sys.argv[1]))} if sys.argv[1:] else {})}
    for name, lines in written.items():
        (FOLDER / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
