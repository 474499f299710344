"""Identify the weights of a backbone's name without loading them, and never by a path."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path

from bench.clip.architectures import check_named, clean_tag, proposed
from bench.clip.spec import parse
from bench.errors import BenchError, did_you_mean
from bench.files import file_sha256
from bench.plugins import BACKBONES
from bench.registry import BUILT_IN

TINY_WEIGHTS = Path(__file__).parent / "tiny" / "weights.safetensors"


def weights_identity(name: str) -> str:
    """Return the identity of the weights in a record's key.

    "sha256:..." of the weights of `tiny`; of a local checkpoint the same, with the digest of the configuration beside
    it and the architecture it is loaded as; "ARCH/TAG" for open_clip's own; "NAME VERSION" for a third party's row.

    Raises:
        BenchError: the name is none of these, open_clip has no such architecture or tag, or the file is missing or
            unreadable.
    """
    if registered(name):
        row = BACKBONES.row(name)
        own = row.origin == BUILT_IN and row.name == "tiny"
        return f"sha256:{_digest(TINY_WEIGHTS)}" if own else f"{row.name} {row.version}"
    spec = parse(name)
    check_named(name, spec)
    tag = clean_tag(spec.tag) if spec.tag else None
    if spec.path is not None:
        named = "/".join(part for part in (spec.arch, tag) if part)
        return f"{named}@sha256:{_digest(spec.path)}" if named else _checkpoint(spec.path)
    if spec.arch and tag:
        return f"{spec.arch}/{tag}"
    raise unknown(name)


def unknown(name: str) -> BenchError:
    """Build the error for a name that is neither registered, nor an architecture with a tag, nor a checkpoint."""
    known = [*BACKBONES, *(alias for row in BACKBONES.rows() for alias in row.aliases)]
    proposal = proposed(name)
    near = f'did you mean "{proposal}"?' if proposal else did_you_mean(name, known)
    return BenchError(
        f'unknown backbone "{name}"; {near} Or give ARCH/TAG (for example ViT-B-16/openai), PATH, ARCH@PATH or '
        "ARCH/TAG@PATH."
    )


def canonical(name: str) -> str:
    """Return the canonical name: registered for an alias, open_clip's spelling for ARCH/TAG, others unchanged.

    Raises:
        BenchError: as `identity` does.
    """
    told = weights_identity(name)
    if registered(name):
        return BACKBONES.row(name).name
    return name if "sha256:" in told else told


def registered(name: str) -> bool:
    """Return whether a name, or an alias, is in the registry."""
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
    return file_sha256(file)
