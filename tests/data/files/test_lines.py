"""Lists in text files, of data sets in files and of a user's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.data.files.lines import lines_of
from bench.data.own.parts import text_of
from bench.errors import BenchError


def test_blank_lines_and_spaces_are_no_part_of_a_list(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes("\ufeffone two \r\n\r\n  three\n".encode())
    assert lines_of(tmp_path / "list.txt") == ["one two", "three"]


@pytest.mark.parametrize(("read", "text"), [(lines_of, "it is no text"), (text_of, r"UTF-8 \(byte 0\)")])
def test_what_cannot_be_read_is_one_line(read: Callable[[Path], Any], text: str, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"\xff\xfe")
    for file, expected in ((tmp_path / "list.txt", text), (tmp_path, "cannot be read: Is a directory")):
        with pytest.raises(BenchError, match=expected):
            read(file)
