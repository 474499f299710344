"""Parse the name of a backbone without importing torch or open_clip."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.files import is_file

WEIGHT_SUFFIXES: Final = (".safetensors", ".pt", ".pth", ".bin")


@dataclass(frozen=True)
class Spec:
    """Parts of a backbone's name.

    Attributes:
        arch: an open_clip architecture, or None.
        tag: a pretrained tag of it, or None.
        path: a checkpoint file as written, `~` expanded, or None.
    """

    arch: str | None = None
    tag: str | None = None
    path: Path | None = None


def parse(name: str) -> Spec:
    """Split PATH, ARCH@PATH, ARCH/TAG@PATH or ARCH/TAG. A PATH exists or ends in a checkpoint's suffix.

    ARCH may be written with a slash where a tag follows (ViT-B/16/openai). Any other name gives an empty `Spec`: it is
    looked up in the registry.
    """
    if is_file(Path(name).expanduser()) or (name.endswith(WEIGHT_SUFFIXES) and "@" not in name):
        return Spec(path=Path(name).expanduser())
    left, at, path = name.partition("@")
    arch, slash, tag = left.rpartition("/")
    if not slash:
        return Spec(arch=left, path=Path(path).expanduser()) if at else Spec()
    return Spec(arch.replace("/", "-"), tag, Path(path).expanduser() if at else None)
