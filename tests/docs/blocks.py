"""Code blocks of the pages: files that a reader writes, and commands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests import ROOT

FENCE = re.compile(r"^```(\w*)(?: title=\"([^\"]+)\")?\n(.*?)^```", re.MULTILINE | re.DOTALL)
ASSIGNMENT = re.compile(r'^(\w+)="([^"]*)"')
VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)//([^/]+)/\})")
SHELLS = ("sh", "console", "")
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
WALKED = (
    "quickstart.md",
    "tutorials/add_a_method.md",
    "tutorials/your_own_images.md",
    "tutorials/regression_gate.md",
)  # all of whose commands are run, in their order


class Block(NamedTuple):
    """A block: its language, the file that it is, if any, and its text."""

    language: str
    file: str
    text: str


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page."""
    return [Block(*found) for found in FENCE.findall(page.read_text(encoding="utf-8"))]


def lines(block: Block) -> Iterator[str]:
    """The commands of a shell block: continued lines joined, variables filled in, without prompts."""
    variables: dict[str, str] = {}
    for line in block.text.replace("\\\n", " ").splitlines():
        if assigned := ASSIGNMENT.match(line):
            variables[assigned[1]] = assigned[2]
        elif text := line.strip().removeprefix("$ ").removeprefix(".venv/bin/"):
            yield VARIABLE.sub(lambda found: variables[found[1] or found[2]].replace(found[3] or "\n", ""), text)


def commands(page: Path) -> list[str]:
    """Every `bench …` of a page's shell blocks; of two that are joined each."""
    told = [line for block in blocks(page) if block.language in SHELLS for line in lines(block)]
    return [part.strip() for line in told for part in line.split("&&") if part.strip().startswith("bench ")]


def words(command: str) -> list[str]:
    """Its arguments, up to a redirection."""
    given = shlex.split(command, comments=True)[1:]
    ends = [place for place, word in enumerate(given) if word in (">", "|", "2>")]
    return given[: min(ends, default=len(given))]
