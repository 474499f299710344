"""Reads files that options of noise name, and finds classes by name; a mistake is one line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.errors import BenchError, did_you_mean


def read_text(kind: str, file: str, content: str) -> str:
    """Read the file that the option `file` of a kind names.

    Args:
        kind: the kind's name, for messages.
        file: the option's value.
        content: what the file should hold, for messages.

    Raises:
        BenchError: no file is named, or it cannot be read as UTF-8.
    """
    if not file:
        raise BenchError(f"noise {kind} needs {content}; write {kind}[file=PATH].")
    try:
        return Path(file).expanduser().read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BenchError(
            f'noise {kind}: file "{file}" cannot be read: {error.strerror}; give the path of {content}.'
        ) from error
    except UnicodeDecodeError as error:
        raise BenchError(f'noise {kind}: file "{file}" is not UTF-8 text; give {content}.') from error


def plain(name: str) -> str:
    """Normalise a class name for comparison: lower case, a space for `_`, none at the ends.

    >>> plain("Sea_or_Lake ")
    'sea or lake'
    """
    return " ".join(name.lower().replace("_", " ").split())


def class_number(name: str, class_names: Sequence[str]) -> int:
    """Find the number of a class by name; case and `_` do not matter where one class alone fits.

    Raises:
        BenchError: no class has the name; says which is near. The text is for the end of a longer line.
    """
    wanted = name.strip()
    if wanted in class_names:
        return list(class_names).index(wanted)
    alike = [number for number, known in enumerate(class_names) if plain(known) == plain(wanted)]
    if len(alike) == 1:
        return alike[0]
    raise BenchError(f'unknown class "{wanted}"; {did_you_mean(wanted, class_names)}')
