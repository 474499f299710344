"""Tables and chapters as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from bench.errors import in_line
from bench.reports.document import Chapter, Code, Drawn, Emphasis, Passage, Table, TableEntry
from bench.reports.front_page import ALL_FINISHED, FrontPage
from bench.reports.names import SIGNS
from bench.reports.tables.kinds import KINDS as TABLE_KINDS
from bench.standing import NEAR


def markdown_report(front: FrontPage) -> str:
    """Render `report.md`: how to read it, figures and tables per setting, chapters, and what did not finish."""
    kinds = _kinds(front)
    lines = ["# Report", "", front.lead, "", f"**How to read this.** {_markdown(front.reading)}", ""]
    for setting in front.settings:
        lines += [f"## {escape_markdown(setting.short)}", "", f"{escape_markdown(setting.title)}.", ""]
        lines += [" ".join(map(escape_markdown, setting.remarks)), ""] if setting.remarks else []
        for kind in kinds:
            figures = [figure for figure in setting.figures if figure.kind == kind]
            lines += [line for figure in figures for line in _figure(figure, f"On {setting.title}")]
            tables = [table for table in setting.tables if table.kind == kind]
            lines += [line for table in tables for line in (markdown_table(table, whole=False), "")]
    files = [f"- {_markdown(words)}" for words in front.files]
    return "\n".join([*lines, *markdown_lines(front.chapters), *_unfinished(front), "## Files", "", *files, ""])


def _kinds(front: FrontPage) -> list[str]:
    """List the kinds of figures, where there are any, and of tables in the order of the report."""
    if not any(setting.figures for setting in front.settings):
        return [*TABLE_KINDS]
    from bench.reports.figures.kinds import KINDS  # and matplotlib with it

    return [*dict.fromkeys((*KINDS, *TABLE_KINDS))]


def _unfinished(front: FrontPage) -> list[str]:
    """Render a line per row of a table, status and reason, with the cells it holds for."""
    lines = [f"## {front.unfinished_title}", "", *(f"- {escape_markdown(problem)}" for problem in front.problems)]
    if not front.unfinished and not front.problems:
        return [*lines, ALL_FINISHED, ""]
    for row in front.unfinished:
        text = f"{row.label}, {row.setting}: {row.status} at {', '.join(row.columns)}"
        text += f", because {row.reason}." if row.status == SIGNS["skipped"][1] else f". {row.reason}"
        lines.append(f"- {escape_markdown(' '.join(text.split()))}")
    return [*lines, ""]


def markdown_lines(chapters: Iterable[Chapter]) -> tuple[str, ...]:
    """Render chapters, every user's text escaped, tables in full.

    What a passage's table says itself, in its caption or notes, is not said twice.
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
    lines += [line for table in passage.tables for line in (markdown_table(table), "")]
    lines += _figure(passage.ranks.figure) if passage.ranks and passage.ranks.figure else []
    lines += [f"**{escape_markdown(passage.before_list)}**", ""] if passage.before_list else []
    lines += [*(f"- {escape_markdown(item)}" for item in passage.items), *([""] if passage.items else [])]
    return lines + [line for advice in passage.advice for line in (_markdown(advice), "")]


def _figure(figure: Drawn, said: str = "") -> list[str]:
    """Render a figure over its caption, without the words it begins with where these are `said` above it."""
    rest = figure.caption.removeprefix(said).lstrip(" .,:")
    links = ", ".join(f"[{p.suffix[1:].upper()}](figures/{p.name})" for p in figure.files if p.suffix != ".png")
    return [
        f"![{figure.kind} figure](figures/{figure.name}.png)",
        "",
        f"{escape_markdown(rest[:1].upper() + rest[1:])} ({links})",
        "",
    ]


def _markdown(words: Sequence[str]) -> str:
    return "".join(map(_piece, words))


def _piece(piece: str) -> str:
    match piece:
        case Code():
            fence = "`" * (1 + max(map(len, re.findall("`+", piece)), default=0))
            return f"{fence}{in_line(piece)}{fence}"
        case Emphasis():
            return f"*{escape_markdown(piece)}*"
        case _:
            return escape_markdown(piece)


_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>|#~&$])")


def markdown_table(table: Table, whole: bool = True) -> str:
    """Render a pipe table under its caption, notes below; every user's text escaped.

    Args:
        table: with plain texts.
        whole: whether the caption names the setting, which a heading above may say.
    """
    columns = [f"{group} {name}".strip() for group, name in table.head]
    first = f"{table.title}." if table.title and not whole else "".join(table.caption[:1])
    caption = f"**{escape_markdown(first)}** {escape_markdown(' '.join(table.caption[1:]))}".rstrip()
    lines = [caption, "", _pipe(["", *map(escape_markdown, columns)])]
    lines.append("| --- |" + " ---: |" * len(columns))
    for index, section in enumerate(table.sections):
        if section.title:
            lines.append(_pipe([f"*{escape_markdown(section.title)}*", *[""] * len(columns)]))
        elif index:
            lines.append(_pipe([""] * (len(columns) + 1)))
        lines += [_pipe([escape_markdown(row.label), *map(_md_entry, row.entries)]) for row in section.rows]
    notes = [f"- {escape_markdown(note)}" for note in table.notes]
    return "\n".join([*lines, "", *notes, *([""] if notes else [])])


def _pipe(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def escape_markdown(text: str) -> str:
    """Escape plain text for Markdown, inside a table too."""
    return _MARKDOWN.sub(r"\\\1", in_line(text))


def _md_entry(entry: TableEntry) -> str:
    opening, closing = {"best": ("**", "**"), "second": ("<u>", "</u>"), "": ("", "")}[entry.mark]
    near = f"{NEAR} " if entry.near else ""  # to the left, so that right-aligned numbers stay below each other
    text = f"{near}{opening}{escape_markdown(entry.printed)}{closing}"
    text += f" ± {entry.spread}" if entry.spread else ""
    text += f" ({entry.n})" if entry.show_n else ""
    return text + (f" <sup>{escape_markdown(entry.signs)}</sup>" if entry.signs else "")
