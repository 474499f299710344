"""Tables for terminals of any width and for files: no name is cut, no line is wider than it must be."""

from __future__ import annotations

import os
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import console
from bench.layout import LONGEST_CELL, fact_lines, table_lines, width, wrapped
from tests import ROOT
from tests.terminal import on_terminal

COLUMNS = ["dataset", "noise", "method", "seeds", "accuracy %", "memorized %", "seconds", "unfinished"]
ROWS = [
    ["digits", "symmetric 0.25", "zero-shot", "2", "93.5", "0.6", "0.1", ""],
    ["digits", "symmetric 0.25", "gce-coop[q=0.5]", "2", "93.7", "–", "12.5", ""],
    ["digits", "replacement[pattern=pair] 0.5", "gce-coop", "1", "90.0", "1.2", "3.0", "1"],
]
TEXTS = st.text(alphabet="ab-猫é ,[/%", max_size=12)
TABLES = st.integers(1, 5).flatmap(
    lambda count: st.lists(st.lists(TEXTS, min_size=count, max_size=count), min_size=1, max_size=4)
)


def longest(texts: list[str]) -> int:
    return max((width(piece) for text in texts for piece in wrapped(text, 1)), default=0)


@given(TABLES, st.integers(1, 60))
def test_no_line_is_wider_than_the_terminal_unless_one_piece_is_and_nothing_is_lost(
    table: list[list[str]], room: int
) -> None:
    columns, rows = [f"column {place}" for place in range(len(table[0]))], table
    lines = table_lines(columns, rows, room)
    pairs = [f"{column}: {cell}" for row in rows for column, cell in zip(columns, row, strict=True)]
    assert all(width(line) <= max(room, longest(pairs) + 2) for line in lines)
    assert all(line == line.rstrip() for line in lines)
    written = "".join(lines)
    assert all(piece in written for row in rows for cell in row for piece in wrapped(cell.strip(), 1))


@pytest.mark.parametrize("room", [20, 40, 60, 80, 120])
def test_names_stay_whole_at_every_width(room: int) -> None:
    lines = table_lines(COLUMNS, ROWS, room)
    assert all(len(line) <= max(room, len("  noise: replacement[")) for line in lines)
    words = " ".join(lines).replace("[ ", "[").split()
    for name in ("zero-shot", "gce-coop", "q=0.5]", "digits", "93.5", "12.5"):
        assert any(word.endswith(name) for word in words), (name, lines)
    assert "…" not in "".join(lines)


def test_columns_first_then_what_is_common_above_then_lines() -> None:
    wide, common, narrow = (table_lines(COLUMNS, ROWS[:2], room) for room in (120, 60, 30))
    assert wide[0].split("  ")[0] == "dataset"
    assert wide[1] == "─" * max(map(len, wide))
    assert wide[2].startswith("digits   symmetric 0.25  zero-shot ")
    assert common[0] == "dataset: digits | noise: symmetric 0.25 | seeds: 2"
    assert common[1].split() == ["method", "accuracy", "%", "memorized", "%", "seconds"]
    assert narrow[:2] == ["dataset: digits", "  noise: symmetric 0.25"]
    assert narrow.count("dataset: digits") == 2
    assert not any("unfinished" in line for line in narrow), "what is empty is not told"


def test_a_file_has_a_line_for_each_row_and_no_blanks_for_the_sake_of_one_long_cell() -> None:
    rows = [["a", "short", "x"], ["b", "y" * 1000, "x"], ["c", "z" * LONGEST_CELL, "x"]]
    lines = table_lines(["name", "value", "origin"], rows)
    assert len(lines) == 4
    assert lines[1].index("x") == lines[3].index("x") == len("name") + 2 + LONGEST_CELL + 2
    assert len(lines[2]) == len("name") + 2 + 1000 + 2 + 1
    assert all(line == line.rstrip() for line in lines)
    assert table_lines(["n", "m"], [["1", "a"], ["10", "b"]])[1:] == [" 1  a", "10  b"], "numbers to the right"
    assert table_lines(["name"], []) == ["name"]


def test_wide_characters_take_two_places() -> None:
    lines = table_lines(["class", "n"], [["猫", "1"], ["dog", "2"]], 40)
    assert [width(line) for line in lines] == [8, 8, 8, 8]
    assert width("e\u0301") == 1


def test_breaks_and_control_characters_are_shown_and_break_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    console.table(["class", "n"], [["a\nb\x1b[2J", "1"]])
    console.facts([("note", "one\ttwo · 猫")])
    assert capsys.readouterr().out == "class        n\na\\nb\\x1b[2J  1\nnote  one\\ttwo · 猫\n"


def test_facts_hang_beside_their_names() -> None:
    facts = [("cell", "digits, symmetric 0.5, coop"), ("on", "cpu")]
    assert fact_lines(facts) == ["cell  digits, symmetric 0.5, coop", "on    cpu"]
    assert fact_lines(facts, 24) == ["cell  digits, symmetric", "      0.5, coop", "on    cpu"]


@pytest.mark.parametrize("size", ["60", "120"])
def test_a_verb_on_a_terminal_cuts_no_name(size: str) -> None:
    from bench.plugins import METHODS

    program = "from bench.cli.main import console_script; console_script()"
    root = str(ROOT)
    environment = {**os.environ, "PYTHONPATH": root, "TERM": "xterm", "COLUMNS": size}
    code, shown = on_terminal([sys.executable, "-c", program, "list", "methods"], environment)
    assert code == 0
    lines = shown.decode().splitlines()
    assert max(map(len, lines)) <= int(size)
    assert {line.split(" ")[0] for line in lines} >= set(METHODS)
