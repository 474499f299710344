"""Typed registries of plugins: static rows, loaded when first used.

A row is text only, so listing imports no plugin. Third parties add rows in three ways: a file given as `--plugin FILE`
calls `bench.register(name, object, title=…)`; a package has an entry point in the registry's group, whose name is the
plugin's and whose value is `module:object`; or, to say more of its plugins, one in the group `noisy_prompt_bench.rows`,
whose name is the kind of the registry ("method", "noise" …) and whose value is a tuple of `bench.rows.Row` in a module
of text alone. Two rows of one name are an error that names both origins.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from bench.errors import BenchError, did_you_mean, escape
from bench.files import is_file
from bench.rows import BUILT_IN, Row
from bench.variants import is_name

__all__ = ["BUILT_IN", "Registry", "Row", "changed", "load_plugin_file"]

T = TypeVar("T")
# Imported before foreign code: it may change their global state, and what their own import changes is not its doing.
WATCHED = ("numpy", "torch", "PIL.ImageFile", "open_clip", "rich.style")
OPTIONS = "bench.contracts.options:Options"
ROWS = "noisy_prompt_bench.rows"  # the entry-point group of rows
FOUND = {"target", "options", "origin", "files", "plugin_file"}  # what `register` finds by itself
SAID = frozenset(field.name for field in fields(Row)) - FOUND  # what it takes
PASSED_OVER = ("bench.registry", "bench.plugins")  # modules through which foreign code registers
changed: dict[str, list[str]] = {}  # global state that foreign code changed when it was imported, by its origin
importing: list[str] = []  # plugin files that are being imported, the outermost first


class Registry(Generic[T]):
    """The plugins of one kind.

    Args:
        kind: the word used in messages, for example "method".
        group: the entry-point group of third-party packages.
        base: the class that a loaded object must be an instance or a subclass of, as "module:object", or None.
        rows: the built-in rows, or where they are as "module:name", which is imported at the first use.
    """

    def __init__(self, kind: str, group: str, base: str | None, rows: str | tuple[Row, ...] = ()) -> None:
        self.kind, self.group, self._base, self._own = kind, group, base, rows
        self._rows: dict[str, Row] = {}
        self._aliases: dict[str, str] = {}
        self._objects: dict[str, T] = {}
        self._scanned = False

    def add(self, row: Row, obj: T | None = None) -> None:
        """Add a row, with its object where it is already at hand.

        Raises:
            BenchError: a name, an alias or a title is taken, or a name is none that a grid can give.
        """
        self._read_own_rows()
        for name in (row.name, *row.aliases):
            if not is_name(name):
                raise BenchError(
                    f"{self.kind} {name!r} from {row.origin} cannot be named in a grid; expected a name without blanks "
                    'and without []@=,:*", for example in the form my-method.'
                )
            taken = self._rows.get(self._aliases.get(name, name))
            if taken is not None:
                raise BenchError(
                    f'{self.kind} "{name}" from {row.origin} is already registered from {taken.origin}; '
                    "rename one of the two."
                )
        for other in self._rows.values():
            if row.title and row.title in (other.title, other.name):
                raise BenchError(
                    f'{self.kind} "{row.name}" from {row.origin} has the title "{row.title}" of "{other.name}" from '
                    f"{other.origin}; choose another one."
                )
        self._rows[row.name] = row
        self._aliases.update(dict.fromkeys(row.aliases, row.name))
        if obj is not None:
            self._objects[row.name] = self._checked(row, obj)

    def register(self, name: str, obj: T, summary: str = "", version: int = 1, **more: Any) -> None:
        """Add a plugin from the file that registers it; its origin is that file's name.

        Args:
            name: of the plugin.
            obj: the plugin itself.
            summary: one line.
            version: raised whenever results may change.
            more: what else its row says: `aliases`, and `title`, `family`, `cost` … as in `bench.rows.Row`.

        Raises:
            BenchError: a name, an alias or a title is taken, a row does not say such a thing, or the object is of
                another kind.
        """
        if unknown := sorted(more.keys() - SAID):
            raise BenchError(f'{self.kind} "{name}": a row has no "{unknown[0]}"; {did_you_mean(unknown[0], SAID)}')
        caller, module = _registering_file(), getattr(obj, "__module__", "")
        own = getattr(sys.modules.get(module), "__file__", None)
        files = tuple(
            dict.fromkeys(str(Path(file).resolve()) for file in (caller, own) if file and Path(file).is_file())
        )
        target, origin = f"{module}:{getattr(obj, '__qualname__', name)}", Path(files[0]).name if files else "unknown"
        where: dict[str, Any] = {"origin": f"file {origin}", "files": files, "plugin_file": "".join(importing[:1])}
        self.add(Row(name, target, summary, version, **where, **more), obj)

    def rows(self) -> tuple[Row, ...]:
        """List all rows in the order of registration; nothing is imported."""
        self._scan_entry_points()
        return tuple(self._rows.values())

    def __iter__(self) -> Iterator[str]:
        return iter([row.name for row in self.rows()])

    def row(self, name: str) -> Row:
        """Find the row of a name or an alias. Raises BenchError where it is unknown."""
        found = self.find(name)
        if found is None:
            raise BenchError(f'unknown {self.kind} "{name}"; {did_you_mean(name, [*self._rows, *self._aliases])}')
        return found

    def find(self, name: str) -> Row | None:
        """Find the row of a name or an alias, or None."""
        if self._own or not self._scanned:  # asked for every cell of a grid, many times
            self._scan_entry_points()
        return self._rows.get(self._aliases.get(name, name))

    def get(self, name: str) -> T:
        """Import the plugin itself, once.

        Raises:
            BenchError: the name is unknown, its module does not import, or the object is of another kind.
        """
        row = self.row(name)
        if row.name not in self._objects:
            self._objects[row.name] = self._checked(row, self._import(row, row.target))
        return self._objects[row.name]

    def options(self, name: str) -> type[Any]:
        """Import the options of a method or a kind of noise, without itself where its row says where they are.

        Raises:
            BenchError: as `get`; or a third party's options are no class of options, or their module imports torch.
        """
        row = self.row(name)
        if not row.options or row.name in self._objects:
            return cast("type[Any]", self.get(name).Options)  # type: ignore[attr-defined]
        found, base = self._import(row, row.options, light=True), pkgutil.resolve_name(OPTIONS)
        if row.origin != BUILT_IN and not (isinstance(found, type) and issubclass(found, base)):
            raise BenchError(f'{self.kind} "{row.name}" ({row.origin}): {row.options} is no class from Options.')
        return cast("type[Any]", found)

    def row_of(self, obj: T) -> Row | None:
        """Find the row of a plugin at hand, or None."""
        target = f"{getattr(obj, '__module__', '')}:{getattr(obj, '__qualname__', '')}"
        return next((row for row in self.rows() if self._objects.get(row.name) is obj or row.target == target), None)

    def _import(self, row: Row, target: str, light: bool = False) -> Any:
        what = f'{self.kind} "{row.name}" ({row.origin}) does not load from {target}'
        if row.origin != BUILT_IN:
            with _foreign(row.origin, what, light):
                return pkgutil.resolve_name(target)
        try:
            return pkgutil.resolve_name(target)
        except (ImportError, AttributeError, SyntaxError) as error:
            raise BenchError(f"{what}: {error}; install what it needs or correct its target.") from error

    def holds(self, obj: Any) -> bool:
        """Check whether an object derives from the class that all plugins of this kind share, if they do."""
        module, _, attribute = (self._base or "").partition(":")
        base = getattr(sys.modules.get(module), attribute, None)  # nothing derives from what is not imported
        return base is not None and (issubclass(obj, base) if isinstance(obj, type) else isinstance(obj, base))

    def _checked(self, row: Row, obj: Any) -> T:
        if self._base is not None and not self.holds(obj):
            raise BenchError(
                f'{self.kind} "{row.name}" ({row.origin}): {row.target} is not a {self._base}; '
                "derive it from that class."
            )
        if self._base is None and not callable(obj):
            raise BenchError(f'{self.kind} "{row.name}" ({row.origin}): {row.target} is not a function; give one.')
        if row.options and self._import(row, row.options) is not getattr(obj, "Options", None):
            raise BenchError(
                f'{self.kind} "{row.name}" ({row.origin}): {row.options} are not the Options of {row.target}; '
                "correct its row."
            )
        return cast("T", obj)

    def _read_own_rows(self) -> None:
        own, self._own = self._own, ()
        for row in pkgutil.resolve_name(own) if isinstance(own, str) else own:
            self.add(row)

    def _scan_entry_points(self) -> None:
        self._read_own_rows()
        if self._scanned:
            return
        self._scanned = True
        for point in importlib.metadata.entry_points(group=self.group):
            package = point.dist
            summary = str(package.metadata.json.get("summary", "")) if package else ""
            self.add(Row(point.name, point.value, summary, origin=_origin(point)))
        for point in importlib.metadata.entry_points(group=ROWS):
            if point.name == self.kind:
                for row in _package_rows(point):
                    self.add(row)


def _origin(point: importlib.metadata.EntryPoint) -> str:
    return f"package {point.dist.name} {point.dist.version}" if point.dist else "an installed package"


def _package_rows(point: importlib.metadata.EntryPoint) -> Iterator[Row]:
    """Load the rows that an entry point names, with the package as their origin.

    Raises:
        BenchError: it does not load, or is no tuple of rows.
    """
    origin = _origin(point)
    with _foreign(origin, f"the rows of {origin} do not load from {point.value}"):
        rows = point.load()
    for row in rows if isinstance(rows, tuple | list) else [rows]:
        if not isinstance(row, Row):
            raise BenchError(f"{point.value} of {origin} is not a tuple of bench.rows.Row; give one.")
        yield replace(row, origin=origin, files=())


def _registering_file() -> str | None:
    """Find the file whose code registers a plugin; None in a notebook or another session without a file."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__") in PASSED_OVER:
        frame = frame.f_back
    return None if frame is None else frame.f_globals.get("__file__")


def load_plugin_file(path: str) -> None:
    """Import a user's plugin file, which registers what it defines.

    Raises:
        BenchError: the file does not exist, does not import, or has changed since it was imported.
    """
    file = Path(path)
    if not is_file(file):
        raise BenchError(f'plugin file "{path}" does not exist; give the path of a Python file.')
    name = f"bench_plugin_{file.stem}"
    content = hash(file.read_bytes())
    known = sys.modules.get(name)
    if known is not None and known.__spec__ is not None and known.__file__ == str(file.resolve()):
        if known.__spec__.loader_state != content:
            raise BenchError(
                f'plugin file "{path}" has changed since it was imported; start Python, or the kernel, anew.'
            )
        return
    spec = importlib.util.spec_from_file_location(name, file.resolve())
    if spec is None or spec.loader is None:
        raise BenchError(f'plugin file "{path}" is not a Python file; its name must end in .py.')
    spec.loader_state = content
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    kept, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # nothing is left beside the user's file
    importing.append(str(file.resolve()))
    try:
        with _foreign(f"file {file.name}", f'plugin file "{path}" does not import'):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        importing.pop()
        sys.dont_write_bytecode = kept


@contextmanager
def _foreign(origin: str, what: str, light: bool = False) -> Iterator[None]:
    """Import foreign code, restore global state that it changes, and note its origin in `changed`.

    Folders that it adds to `sys.path` stay, at the end, since it may import its neighbours later. `light` code does
    without the libraries whose state is watched, and waits for none of them.

    Raises:
        BenchError: whatever it raises, also where it calls sys.exit(), is the user's to read, in one line.
    """
    from bench.global_state import Guard

    for library in () if light else WATCHED:
        importlib.import_module(library)
    guard, path, before = Guard(), list(sys.path), sys.modules.keys() & WATCHED
    try:
        yield
        if light and (came := sorted((sys.modules.keys() & WATCHED) - before)):
            raise BenchError(f"{what}: it imports {', '.join(came)}; move the options to a module that does not.")
    except (BenchError, KeyboardInterrupt):
        raise
    except Exception as error:
        text = " ".join(str(error).split())
        raise BenchError(f"{what}: {type(error).__name__}: {text}") from error
    except BaseException as error:
        raise BenchError(f"{what}: {escape(error)}; a plugin must not end the process, raise an error.") from error
    finally:
        added = [folder for folder in sys.path if folder not in path]
        guard.put_back()
        sys.path += added
        if guard.changed:
            changed[origin] = guard.changed
