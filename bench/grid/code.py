"""Digest the source code that a cell runs: of its plugins and of the engine.

Code is no part of a key: a refactoring that changes no number must not orphan the records of a grid, and authors raise
a plugin's version where a number may change. The digests stand beside the key, in a record's provenance, and are the
net under that promise: a record made by other code is told, never reused or averaged in silence.

A digest is over a file and the files that it imports, transitively, from `bench.methods`, `bench.noise` and its own
package, or of a single file the folder it lies in and wherever else no installed distribution lies. Comment lines,
blank lines and docstrings do not count; nor do registry rows, since versions are noted by themselves. What a plugin
imports from distributions is not seen, but for the version of its own.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sysconfig
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from bench import HOMES, dataset_name
from bench.clip import identity
from bench.grid.options import noise_kind, parts
from bench.plugins import BACKBONES, DATASETS, METHODS, NOISE, REGISTRIES
from bench.records.cell import Cell
from bench.registry import BUILT_IN, Row

ROOT: Final = Path(__file__).parents[2]
PLUGINS: Final = ("bench.methods", "bench.noise")
ENGINE: Final = ("bench/engine/trial.py", "bench/contracts/method.py", "bench/contracts/noise.py")
# Imported by a trial, and without a say in any number; `__init__.py` of ours holds registry rows.
NEUTRAL: Final = frozenset(
    ROOT / "bench" / f"{name}.py"
    for name in (
        *("console", "errors", "files", "machine", "plugins", "registry", "rows"),
        *("records/provenance", "records/store", "grid/code"),
    )
)
DOCUMENTED: Final = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
DIGITS: Final = 12


def code_of(cell: Cell) -> dict[str, str]:
    """Return digests of a cell's code: engine, method, noise, dataset, and third parties' backbone, losses and splits.

    12 hexadecimal digits each, empty where there is no source to be read. A file is read once in a process: what is
    written to it later has not been run.
    """
    read_plugins()
    named = ("method", "noise", "dataset")
    rows = {name: row for name, row in _rows(cell).items() if name in named or row.origin != BUILT_IN}
    return {"engine": _engine(), **{name: _plugin(row) for name, row in rows.items()}}


def plugins_of(cell: Cell) -> dict[str, str]:
    """Return where the third parties' plugins of a cell are from, "file mine.py" or "package NAME VERSION"."""
    return {name: row.origin for name, row in _rows(cell).items() if row.origin != BUILT_IN}


def _rows(cell: Cell) -> dict[str, Row]:
    """Return the rows of all plugins of a cell: method, noise, dataset, a registered backbone, losses and splits."""
    backbones = [row for row in BACKBONES.rows() if row.name == cell.backbone]
    return {
        "method": METHODS.row(cell.method),
        "noise": NOISE.row(noise_kind(cell.noise)),
        "dataset": DATASETS.row(dataset_name.base(cell.dataset)),
        **({"backbone": backbones[0]} if backbones else {}),
        **parts(cell.method, cell.options),
    }


@cache
def read_plugins() -> None:
    """Read all code that files have registered, before anything runs. What is written to them later is not run."""
    for registry in REGISTRIES:
        for row in registry.rows():
            if row.files:
                _plugin(row)


def backbone_code(name: str) -> str:
    """Return version and code digest of a third party's backbone, on which features depend, or ""."""
    row = BACKBONES.row(name) if identity.registered(name) else None
    return f"{row.version} {_plugin(row)}" if row is not None and row.origin != BUILT_IN else ""


@cache
def _engine() -> str:
    return _digest(_closure([ROOT / name for name in ENGINE], _Scope(("bench",))))


@cache
def _plugin(row: Row) -> str:
    module = row.target.partition(":")[0]
    if row.files:
        own = [Path(file) for file in row.files]
        return _digest(_closure(own, _Scope(PLUGINS, own[0].parent)), nameless=own)
    top = module.partition(".")[0]
    if row.origin == BUILT_IN:
        ours = PLUGINS if module.startswith(PLUGINS) else ("bench",)
        return _digest(_closure(_under(ROOT, module), _Scope(ours)))
    spec = None if top == "__main__" else importlib.util.find_spec(top)  # a session without a file has no source
    if spec is None or spec.origin is None:
        return ""
    folder = Path(spec.origin).parents[1 if spec.submodule_search_locations else 0]
    scope = _Scope(PLUGINS, folder, top)
    return _digest(_closure(_whole(folder, module), scope), row.origin)


@dataclass(frozen=True)
class _Scope:
    """Absolute imports to follow: ours, and of a folder its package, or without one all that is not installed."""

    ours: tuple[str, ...]
    folder: Path | None = None
    package: str = ""

    def files(self, module: str) -> list[Path]:
        top, _, name = module.partition(".")
        module = HOMES[name][0] if top == "bench" and name in HOMES else module  # as third parties import it
        if any(f"{module}.".startswith(f"{one}.") for one in self.ours):
            return [file for file in _under(ROOT, module) if file not in NEUTRAL and file.name != "__init__.py"]
        if self.folder is None or top == "bench" or self.package not in ("", top):
            return []
        return _whole(self.folder, module) or ([] if self.package else _elsewhere(module))


def _closure(files: Iterable[Path], scope: _Scope) -> set[Path]:
    """Collect the files and all that they import within the scope."""
    waiting, seen = list(files), set()
    while waiting:
        file = waiting.pop()
        if file not in seen:
            seen.add(file)
            waiting += _imported(file, scope)
    return seen


def _imported(file: Path, scope: _Scope) -> Iterator[Path]:
    """List files within the scope that a file imports, also inside functions, or takes from `bench` by name."""
    nodes = list(ast.walk(_tree(file)))
    ours = {one.asname or "bench" for n in nodes if isinstance(n, ast.Import) for one in n.names if one.name == "bench"}
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from scope.files(alias.name)
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module or ''}.{alias.name}".strip(".") for alias in node.names)]
            for name in filter(None, names):
                yield from _under(file.parents[node.level - 1], name) if node.level else scope.files(name)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ours:
            yield from scope.files(f"bench.{node.attr}")


def _under(folder: Path, module: str) -> list[Path]:
    """Return the source file of a module below a folder; none where there is no such file."""
    path = folder.joinpath(*module.split("."))
    return [file for file in (path.with_name(f"{path.name}.py"), path / "__init__.py") if file.is_file()][:1]


def _whole(folder: Path, module: str) -> list[Path]:
    """Return the source of a module below a folder and of its parent packages, which run before it."""
    steps = module.split(".")
    return [file for end in range(1, len(steps) + 1) for file in _under(folder, ".".join(steps[:end]))]


def _elsewhere(module: str) -> list[Path]:
    """Find the source of a module elsewhere on the path, outside any installed distribution."""
    folder = _uninstalled(module.partition(".")[0])
    return _whole(folder, module) if folder is not None else []


@cache
def _uninstalled(top: str) -> Path | None:
    """Return the folder of a module, None if it belongs to Python or an installed distribution."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.has_location or spec.origin is None:
        return None
    folder = Path(spec.origin).parents[1 if spec.submodule_search_locations else 0]
    own = any(folder.is_relative_to(sysconfig.get_path(place)) for place in ("stdlib", "platstdlib"))
    return None if own or {"site-packages", "dist-packages"} & {*folder.parts} or folder == ROOT else folder


@cache
def _source(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace")


@cache
def _tree(file: Path) -> ast.Module:
    """Parse a file. The result is empty where this version of Python cannot."""
    try:
        return ast.parse(_source(file))
    except (SyntaxError, ValueError):
        return ast.Module([], [])


def _digest(files: Iterable[Path], more: str = "", nameless: Collection[Path] = ()) -> str:
    """Digest the contents of files, each under its import name, but for the `nameless`."""
    contents = sorted(f"{'' if file in nameless else _name(file)}\n{_content(file)}" for file in files)
    if not contents:
        return ""
    return hashlib.sha256("\0".join([more, *contents]).encode()).hexdigest()[:DIGITS]


def _name(file: Path) -> str:
    return file.parent.name if file.stem == "__init__" else file.stem


@cache
def _content(file: Path) -> str:
    """Return the lines of a file that run. Docstrings are left out, and outside of texts comments and blank lines."""
    docstrings: set[int] = set()
    texts: set[int] = set()
    for node in ast.walk(_tree(file)):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None and _alone(node.body[0], file):
            text = node.body[0]
            docstrings.update(range(text.lineno, (text.end_lineno or text.lineno) + 1))
        elif isinstance(node, ast.Constant | ast.JoinedStr) and node.end_lineno != node.lineno:
            texts.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    kept = [
        line.rstrip()
        for number, line in enumerate(_source(file).split("\n"), 1)
        if number not in docstrings and (number in texts or (line.strip() and not line.lstrip().startswith("#")))
    ]
    return "\n".join(kept)


def _alone(text: ast.stmt, file: Path) -> bool:
    """Return whether no running code shares the lines of a docstring."""
    lines = _source(file).split("\n")
    before = lines[text.lineno - 1].encode()[: text.col_offset]
    behind = lines[(text.end_lineno or text.lineno) - 1].encode()[text.end_col_offset or 0 :]
    return not before.strip() and not behind.partition(b"#")[0].strip()
