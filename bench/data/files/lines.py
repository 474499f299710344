"""Lists in text files."""

from __future__ import annotations

from pathlib import Path

from bench.errors import BenchError


def lines_of(file: Path) -> list[str]:
    """Read the non-empty lines of a text file, stripped of white space.

    Raises:
        BenchError: the file cannot be read.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise BenchError(f'"{file}" cannot be read: {reason}; fetch it again.') from error
    return [line.strip() for line in text.splitlines() if line.strip()]
