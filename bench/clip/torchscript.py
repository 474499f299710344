"""Read the tensors of a TorchScript archive without running anything in it.

Such an archive carries code beside its weights, and `torch.jit.load` runs it. Here the stream that lists the weights is
unpickled by a class that can make nothing but numbers, texts, plain containers, descriptions of tensors, and objects
that know their attributes and do nothing; it cannot import, and it calls no function but those of `_KNOWN`. Of the code
only the two lists that name a module's parameters and buffers are looked up, as text. Tensors are then made of the
archive's own bytes, after it was seen that these suffice. Whatever else is in the stream is refused.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Final, NamedTuple

import torch
from torch import Tensor

ROOT: Final = "__torch__"
# What hostile archives may cost. CLIP's list of weights, and the text of its classes, have 0.1 MiB each.
STREAM_BYTES: Final = 16 * 2**20
DIMENSIONS: Final = 16
NAME_LENGTH: Final = 500
ATTRIBUTES: Final = 1_000_000
MOST_CLASSES: Final = 10_000
TYPES: Final = {
    f"{name}Storage": kind
    for name, kind in {
        "Float": torch.float32, "Half": torch.float16, "BFloat16": torch.bfloat16, "Double": torch.float64,
        "Long": torch.int64, "Int": torch.int32, "Short": torch.int16, "Char": torch.int8, "Byte": torch.uint8,
        "Bool": torch.bool,
    }.items()
}  # fmt: skip
# fmt: off
OPCODES: Final = frozenset((
    "PROTO", "STOP", "MARK", "GLOBAL", "NEWOBJ", "BUILD", "REDUCE", "BINPERSID", "BINPUT", "LONG_BINPUT", "BINGET",
    "LONG_BINGET", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE",
    "EMPTY_TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "TUPLE", "EMPTY_LIST", "APPEND", "APPENDS", "EMPTY_DICT", "SETITEM",
    "SETITEMS",
))
# fmt: on


class RefusedArchive(ValueError):
    """Archive content that the reader refuses."""


class _Storage(NamedTuple):
    """Bytes of a tensor: a file of the archive, its number format and how many numbers it has."""

    kind: torch.dtype
    key: str
    length: int

    @property
    def size(self) -> int:
        """Size in bytes."""
        return self.length * self.kind.itemsize


class _Listed(NamedTuple):
    """Tensor as the stream describes it; sizes and steps in elements."""

    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


_IN_PYTHON: Any = pickle._Unpickler  # noqa: SLF001 - has no public name; its methods are declared nowhere


class _Object:
    """Object of one of the archive's own classes: attributes by name, and nothing callable."""

    qualified: ClassVar[str]
    attributes: dict[str, Any]

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict) or not all(type(name) is str for name in state):
            raise RefusedArchive("an object that sets its own state")
        self.attributes = state


class _Function:
    """Immutable function that the stream may call."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise RefusedArchive("a function with a state")


def _listed(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> _Listed:
    whole = isinstance(size, tuple) and isinstance(stride, tuple) and len(size) == len(stride) <= DIMENSIONS
    if type(storage) is not _Storage or not whole or not all(map(_count, (offset, *size, *stride))):
        raise RefusedArchive("a tensor that is not described as one")
    return _Listed(storage, offset, size, stride)


def _count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**62


def _itself(value: Any, *_: Any) -> Any:
    return value


_KNOWN: Final = {
    ("torch._utils", "_rebuild_tensor_v2"): _Function(_listed),
    ("collections", "OrderedDict"): _Function(lambda: None),  # hooks of a tensor; there are none
    ("torch.jit._pickle", "restore_type_tag"): _Function(_itself),
    **{("torch.jit._pickle", f"build_{kind}list"): _Function(_itself) for kind in ("int", "double", "bool", "tensor")},
}


class _Unpickler(_IN_PYTHON):  # type: ignore[misc] # Any
    """Unpickler restricted to the content that this module's first lines list.

    In Python, so that keys can be looked at before they are hashed: of tuples within tuples that would never end.
    """

    def __init__(self, stream: bytes) -> None:
        super().__init__(io.BytesIO(stream))
        self.classes: dict[str, type[_Object]] = {}

    def load_setitem(self) -> None:
        """Add a pair to a dictionary; its key must be a text or a number."""
        self._check_keys(self.stack[-2:-1])
        super().load_setitem()

    def load_setitems(self) -> None:
        """Repeat `load_setitem` for all pairs since the last mark."""
        self._check_keys(self.stack[::2])
        super().load_setitems()

    dispatch: ClassVar = {
        **_IN_PYTHON.dispatch,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
    }

    def _check_keys(self, keys: list[Any]) -> None:
        if not all(type(key) in (str, int, float, bool) for key in keys):
            raise RefusedArchive("a dictionary whose keys are no texts or numbers")

    def find_class(self, module: str, name: str) -> Any:
        """Return an inert class for the archive's own classes, a number format, or a function of `_KNOWN`."""
        if module.partition(".")[0] == ROOT:
            full = f"{module}.{name}"
            if full not in self.classes and len(self.classes) < MOST_CLASSES:
                self.classes[full] = type("Object", (_Object,), {"qualified": full})
            return self.classes[full]
        if module == "torch" and name in TYPES:
            return TYPES[name]
        if (module, name) not in _KNOWN:
            raise RefusedArchive(f"{module}.{name}")
        return _KNOWN[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        """Return a description of the bytes of a tensor."""
        match pid:
            case ("storage", torch.dtype() as kind, str(key), str(), int(count)) if _count(count):
                return _Storage(kind, key, count)
        raise RefusedArchive("bytes that are not described as a tensor's")


def read_torchscript(archive: zipfile.ZipFile, size: int) -> dict[str, Tensor]:
    """Return parameters and buffers by name, as `torch.jit.load(...).state_dict()` gives them. Tensors may share
    storage.

    Args:
        archive: a TorchScript archive, open.
        size: bytes of its file, which all tensors together do not exceed.

    Raises:
        RefusedArchive: says what it holds beside tensors.
        ValueError, KeyError and others: it is damaged.
    """
    roots = [name[: -len("data.pkl")] for name in archive.namelist() if re.fullmatch(r"[^/]+/data\.pkl", name)]
    if len(roots) != 1:
        raise RefusedArchive(f"{len(roots)} lists of weights")
    reader = _Archive(archive, roots[0])
    stream = reader.read("data.pkl", STREAM_BYTES)
    _check_opcodes(stream)
    state = dict(_state(_Unpickler(stream).load(), reader.declared))
    storages = {listed.storage for listed in state.values()}
    if sum(storage.size for storage in storages) > size:
        raise RefusedArchive("tensors of more bytes than the file has")
    made = {storage: reader.tensor(storage) for storage in storages}
    return {name: _view(made[listed.storage], listed) for name, listed in state.items()}


def _check_opcodes(stream: bytes) -> None:
    """Reject opcodes that no TorchScript writer emits, above all those that allocate by a number in the stream."""
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name not in OPCODES:
            raise RefusedArchive(f"the instruction {opcode.name}")
        if opcode.name == "LONG_BINPUT" and int(argument or 0) > len(stream):
            raise RefusedArchive("a memo of more entries than the stream has bytes")


def _state(root: Any, declared: Callable[[str], frozenset[str]]) -> Iterator[tuple[str, _Listed]]:
    """List name and description of every parameter and buffer of a module and its submodules."""
    if not isinstance(root, _Object):
        raise RefusedArchive("no module")
    waiting, seen = [("", root)], 0
    while waiting:
        prefix, module = waiting.pop()
        names = declared(module.qualified)
        seen += len(module.attributes)
        if seen > ATTRIBUTES or len(prefix) > NAME_LENGTH:
            raise RefusedArchive("modules within modules without an end")
        for name, value in module.attributes.items():
            if isinstance(value, _Object):
                waiting.append((f"{prefix}{name}.", value))
            elif isinstance(value, _Listed) and name in names:
                yield prefix + name, value


class _Archive:
    """Files of an archive under its common folder."""

    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        self.archive, self.root = archive, root
        self._left = STREAM_BYTES
        self._declared: dict[str, Mapping[str, frozenset[str]]] = {}

    def read(self, name: str, most: int) -> bytes:
        """Read a file of at most `most` bytes, whatever size the archive declares."""
        with self.archive.open(self.root + name) as file:
            content = file.read(most + 1)
        if len(content) > most:
            raise RefusedArchive(f"more than {most} bytes in {name}")
        return content

    def declared(self, qualified: str) -> frozenset[str]:
        """Return names of a module's own parameters and buffers from its class's source. Of no module none."""
        path, _, name = qualified.rpartition(".")
        if path not in self._declared:
            text = self.read(f"code/{path.replace('.', '/')}.py", self._left)
            self._left -= len(text)
            self._declared[path] = dict(_declarations(text.decode()))
        return self._declared[path].get(name, frozenset())

    def tensor(self, storage: _Storage) -> Tensor:
        """Read all elements of a storage, [length], into memory of their own."""
        content = bytearray(self.read(f"data/{storage.key}", storage.size))
        if len(content) != storage.size:
            raise RefusedArchive(f"{len(content)} bytes for a tensor of {storage.size}")
        if not content:
            return torch.empty(0, dtype=storage.kind)
        return torch.frombuffer(content, dtype=storage.kind)


def _declarations(text: str) -> Iterator[tuple[str, frozenset[str]]]:
    """Return names of the parameters and buffers of every module class in a file."""
    for part in re.split(r"^class ", text, flags=re.MULTILINE)[1:]:
        head = re.match(r"(\w+)\(Module\):\n", part)
        if head:
            lists = re.findall(r"^  __(?:parameters|buffers)__ = \[(.*)\]$", part, flags=re.MULTILINE)
            yield head[1], frozenset(re.findall(r'"([^"]*)"', " ".join(lists)))


def _view(elements: Tensor, listed: _Listed) -> Tensor:
    """Return the tensor among the elements of its storage, never beyond them."""
    reach = listed.offset + sum((size - 1) * step for size, step in zip(listed.size, listed.stride, strict=True))
    if 0 not in listed.size and reach >= len(elements):
        raise RefusedArchive("a tensor beyond its bytes")
    return elements.as_strided(listed.size, listed.stride, 0 if 0 in listed.size else listed.offset)
