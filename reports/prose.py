"""What a report says in words beside its tables: chapters of passages, free of any output format.

`markdown_lines` writes them for `report.md`; the page shows the same chapters (`reports.html`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from reports.across import Ranking
from reports.drawing import Drawn
from reports.render import escape_markdown, markdown
from reports.tables import Table


class Code(str):
    """A piece of a sentence that is shown as code: a command, a file."""

    __slots__ = ()


Words: TypeAlias = tuple[str, ...]  # the pieces of a sentence, `Code` among them; all of them plain text


@dataclass(frozen=True)
class Ranks:
    """A Friedman test that is drawn: its caption, a colour for each label, and the figure's files; None where none was
    written.
    """

    ranking: Ranking
    caption: str
    colors: Mapping[str, str]
    figure: Drawn | None


@dataclass(frozen=True)
class Passage:
    """What is said under one heading.

    Attributes:
        title: the heading.
        told: paragraphs.
        tables: that it is about.
        ranks: the diagram of mean ranks.
        before_list: a sentence before `items`, empty where there is none.
        items: of a list.
        advice: paragraphs at the end.
    """

    title: str
    told: tuple[Words, ...] = ()
    tables: tuple[Table, ...] = ()
    ranks: Ranks | None = None
    before_list: str = ""
    items: tuple[str, ...] = ()
    advice: tuple[Words, ...] = ()


@dataclass(frozen=True)
class Chapter:
    """Passages under a heading of their own, after a paragraph on how to read them."""

    title: str
    intro: Words
    passages: tuple[Passage, ...]


def in_pieces(text: str) -> Words:
    """A sentence of ours in which backquotes mark code.

    >>> in_pieces("See `a_b`.")
    ('See ', 'a_b', '.')
    """
    return tuple(Code(part) if number % 2 else part for number, part in enumerate(text.split("`")))


def markdown_lines(chapters: Iterable[Chapter]) -> tuple[str, ...]:
    """The lines of `report.md`: every user's text escaped, tables in full. What a passage's table says itself, in its
    caption or notes, is not said twice.
    """
    lines: list[str] = []
    for chapter in chapters:
        lines += [f"## {escape_markdown(chapter.title)}", "", _markdown(chapter.intro), ""]
        for passage in chapter.passages:
            lines += _passage(passage)
    return tuple(lines)


def _passage(passage: Passage) -> list[str]:
    said = {text for table in passage.tables for text in (*table.caption, *table.notes)}
    lines = [f"### {escape_markdown(passage.title)}", ""]
    lines += [line for told in passage.told if "".join(told) not in said for line in (_markdown(told), "")]
    lines += [line for table in passage.tables for line in (markdown(table), "")]
    lines += _figure(passage.ranks.figure) if passage.ranks and passage.ranks.figure else []
    lines += [f"**{escape_markdown(passage.before_list)}**", ""] if passage.before_list else []
    lines += [*(f"- {escape_markdown(item)}" for item in passage.items), *([""] if passage.items else [])]
    return lines + [line for advice in passage.advice for line in (_markdown(advice), "")]


def _figure(figure: Drawn) -> list[str]:
    links = ", ".join(f"[{p.suffix[1:].upper()}](figures/{p.name})" for p in figure.files if p.suffix != ".png")
    return [
        f"![{figure.kind} figure](figures/{figure.name}.png)",
        "",
        f"{escape_markdown(figure.caption)} ({links})",
        "",
    ]


def _markdown(words: Sequence[str]) -> str:
    return "".join(f"`{piece}`" if isinstance(piece, Code) else escape_markdown(piece) for piece in words)
