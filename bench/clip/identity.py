"""Which weights a backbone's name stands for, told without loading them, and never by a path."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path

from bench.clip import BACKBONES
from bench.clip.spec import parse
from bench.errors import BenchError, did_you_mean
from bench.registry import BUILT_IN

TINY = Path(__file__).parent / "tiny" / "weights.safetensors"


def identity(name: str) -> str:
    """What stands for the weights in a record's key.

    "sha256:..." of the weights of `tiny`; of a local checkpoint the same, with the digest of the configuration beside
    it and the architecture it is loaded as; "ARCH/TAG" for open_clip's own; "NAME VERSION" for a third party's row.

    Raises:
        BenchError: the name is none of these, or the file is missing or unreadable.
    """
    if _registered(name):
        row = BACKBONES.row(name)
        own = row.origin == BUILT_IN and row.name == "tiny"
        return f"sha256:{_digest(TINY)}" if own else f"{row.name} {row.version}"
    spec = parse(name)
    if spec.path is not None:
        named = "/".join(part for part in (spec.arch, spec.tag) if part)
        return f"{named}@sha256:{_digest(spec.path)}" if named else _checkpoint(spec.path)
    if spec.arch and spec.tag:
        return f"{spec.arch}/{spec.tag}"
    known = [*BACKBONES, *(alias for row in BACKBONES.rows() for alias in row.aliases)]
    raise BenchError(
        f'unknown backbone "{name}"; {did_you_mean(name, known)} Or give ARCH/TAG of open_clip (ViT-B-16/openai), or '
        "the path of a checkpoint."
    )


def canonical(name: str) -> str:
    """The registered name of an alias, and ARCH/TAG with dashes in ARCH; every other name as it is.

    Raises:
        BenchError: as `identity` does.
    """
    told = identity(name)
    if _registered(name):
        return BACKBONES.row(name).name
    return name if "sha256:" in told else told


def embedded(name: str) -> bool:
    """Whether the backbone is registered, so that nothing about its file or download can be wrong."""
    return _registered(name)


def _registered(name: str) -> bool:
    return any(name == row.name or name in row.aliases for row in BACKBONES.rows())


def _checkpoint(file: Path) -> str:
    weights = f"sha256:{_digest(file)}"
    from bench.clip.checkpoint import find_config

    config = find_config(file)
    if config is None:
        return weights
    text = json.dumps(config, sort_keys=True)
    return f"{weights} {hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _digest(file: Path) -> str:
    try:
        state = file.stat()
        return _hashed(file.resolve(), state.st_mtime_ns, state.st_size)
    except OSError as error:
        raise BenchError(
            f'backbone checkpoint "{file}" cannot be read: {error.strerror}; give the path of a weights file.'
        ) from error


@lru_cache(maxsize=16)
def _hashed(file: Path, changed: int, size: int) -> str:  # noqa: ARG001 - a changed file is another entry
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
