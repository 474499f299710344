"""Tables as LaTeX (booktabs alone), and a document of them and the figures."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from types import MappingProxyType

from bench.errors import in_line
from bench.reports.document import Drawn, Section, Table, TableEntry, TableRow
from bench.standing import NEAR

SIZES = {r"\small": 92, r"\footnotesize": 104, r"\scriptsize": 124}  # characters in a row
ROWS_PER_PAGE = 40
HEADING = 14  # characters of a heading over one column
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': "''", "[": "{[}", "]": "{]}", "±": r"$\pm$", "–": "--", "·": r"$\cdot$",
    "√": r"$\surd$", "†": r"\textsuperscript{$\dagger$}",
}  # fmt: skip


# Figures stand in LaTeX at the size they were drawn for, smaller only where the page ends.
SHOWN = r"""\newcommand{\shown}[1]{\sbox0{\includegraphics{#1}}%
  \ifdim\ht0>0.8\textheight\sbox0{\includegraphics[height=0.8\textheight]{#1}}\fi
  \ifdim\wd0>\linewidth\includegraphics[width=\linewidth]{#1}\else\usebox0\fi}"""


@dataclass(frozen=True)
class LatexForm:
    """How tables are set.

    Attributes:
        tabular: the rows alone, without float, caption and notes.
        wide: over both columns of a page (`table*`).
        short: captions without what is the same in every table, and no notes but those on signs and on rows not ranked.
    """

    tabular: bool = False
    wide: bool = False
    short: bool = False


FLOATS = LatexForm()
_SIGN = re.compile(r"(\(n\)|\S): |Not ranked, ")  # begins a note that says what a sign, or its lack, stands for


def latex_report(
    tables: Sequence[Table],
    figures: Sequence[Drawn],
    form: LatexForm = FLOATS,
    settings: Mapping[str, str] = MappingProxyType({}),
    across: bool = True,
) -> str:
    r"""Render a document that shows every table and figure; the tables themselves need booktabs alone.

    Args:
        tables: each is a file in `tables/`.
        figures: each is a file in `figures/`.
        form: of the tables; what is set over both columns is shown in two.
        settings: short name by setting, for short captions.
        across: whether figures are as wide as the text, and not as a column.
    """
    body = [
        _framed(table, [rf"\input{{tables/{table.name}.tex}}"], form, settings)
        if form.tabular
        else rf"\input{{tables/{table.name}.tex}}"
        for table in tables
    ]
    name = "figure*" if form.wide and across else "figure"
    for figure in figures:
        shown, caption = rf"\shown{{figures/{figure.name}.pdf}}", rf"\caption{{{escape_latex(figure.caption)}}}"
        body.append("\n".join([rf"\begin{{{name}}}[tp]\centering", shown, caption, rf"\end{{{name}}}"]))
    # LaTeX holds back a limited number of floats, so they are flushed now and then.
    pages = [part + (r"\clearpage" if number % 6 == 5 else "") for number, part in enumerate(body)]
    columns = "[twocolumn]" if form.wide else ""
    head = [rf"\documentclass{columns}{{article}}", r"\usepackage[margin=0.8in]{geometry}"]
    head += [r"\usepackage{booktabs,graphicx}", SHOWN, r"\begin{document}"]
    return "\n".join([*head, *pages, r"\end{document}", ""])


def latex_table(table: Table, form: LatexForm = FLOATS, settings: Mapping[str, str] = MappingProxyType({})) -> str:
    r"""Render for `\input` a tabular, or `table` floats of `ROWS_PER_PAGE` rows each; both need `booktabs` alone."""
    if form.tabular:
        return "\n".join([*_tabular(table, table.sections), ""])
    pages = list(_pages(table.sections))
    return "\n".join(
        _framed(table, _tabular(table, page), form, settings, f"{i + 1} of {len(pages)}" if len(pages) > 1 else "")
        for i, page in enumerate(pages)
    )


def escape_latex(text: str) -> str:
    """Escape plain text for LaTeX. A character that pdfTeX's default fonts lack becomes its code point.

    >>> escape_latex("a_b 50 %")
    'a\\\\_b 50~\\\\%'
    """
    text = in_line(text)
    escaped = "".join(_LATEX.get(c) or (c if ord(c) < 256 else f"U+{ord(c):04X}") for c in text)
    return escaped.replace(r" \%", r"~\%")  # no line begins with the sign


def _tex_entry(entry: TableEntry) -> str:
    command = {"best": r"\textbf{%s}", "second": r"\underline{%s}", "": "%s"}[entry.mark]
    printed = escape_latex(entry.printed)
    text = command % ("$-$" + printed[1:] if entry.mean < 0 and printed[0] == "-" else printed)
    text += r"\,{\scriptsize$\pm$" + entry.spread + "}" if entry.spread else ""
    return text + (r"\,{\scriptsize(" + str(entry.n) + ")}" if entry.show_n else "")


def _tex_marks(entry: TableEntry) -> str:
    signs = r"\textsuperscript{" + entry.signs + "}" if entry.signs else ""
    return escape_latex(NEAR) * entry.near + signs


def _pages(sections: tuple[Section, ...]) -> Iterator[tuple[Section, ...]]:
    """Split sections into pages; a section that goes on keeps its title."""
    rows = [(index, row) for index, section in enumerate(sections) for row in section.rows]
    for start in range(0, len(rows), ROWS_PER_PAGE):
        page = rows[start : start + ROWS_PER_PAGE]
        yield tuple(
            Section(sections[index].title, tuple(row for _, row in group))
            for index, group in groupby(page, key=lambda pair: pair[0])
        )


def caption_of(table: Table, form: LatexForm, settings: Mapping[str, str]) -> str:
    """Join the sentences of a caption, of a short one those that explain the numbers."""
    if not (form.short and table.title):
        return " ".join(table.caption)
    kept = [text for text in table.caption[1:] if not text.endswith("no checkpoint selected.")]
    return " ".join([f"{table.title} on {settings.get(table.setting, table.setting)}.", *kept])


def _framed(table: Table, tabular: Sequence[str], form: LatexForm, settings: Mapping[str, str], part: str = "") -> str:
    """Render one float; `part` says which of several it is."""
    name = "table*" if form.wide else "table"
    caption = caption_of(table, form, settings) + (f" (Part {part}.)" if part else "")
    number = f"-{part.partition(' ')[0]}" if part else ""
    notes = " ".join(escape_latex(note) for note in table.notes if not form.short or _SIGN.match(note))
    return "\n".join(
        [
            rf"\begin{{{name}}}[htbp]",
            rf"\centering{_size(table)}\setlength{{\tabcolsep}}{{5pt}}",
            rf"\caption{{{escape_latex(caption)}}}\smallskip",
            rf"\label{{tab:{table.name}{number}}}",
            *tabular,
            *([rf"\par\smallskip\parbox{{\linewidth}}{{\footnotesize {notes}}}"] if notes else []),
            rf"\end{{{name}}}",
            "",
        ]
    )


def _tabular(table: Table, sections: Sequence[Section]) -> list[str]:
    """Render the rows; marks stand in narrow columns of their own, beside the columns that have any."""
    rows = [row for section in table.sections for row in section.rows]
    marked = [any(map(_tex_marks, column)) for column in zip(*(row.entries for row in rows), strict=True)]
    marked = marked or [False] * len(table.head)
    width = 1 + len(marked) + sum(marked)
    columns = "".join(r"r@{\,}l" if has else "r" for has in marked)
    body: list[str] = []
    for section in sections:
        body.append(r"\midrule")
        if section.title:
            title = escape_latex(section.title)  # takes no width: a long title must not stretch the last column
            body.append(rf"\multicolumn{{{width}}}{{l}}{{\makebox[0pt][l]{{\emph{{{title}}}}}}} \\")
        body += [_tex_row(row, marked) for row in section.rows]
    head = _tex_head(table.head, marked)
    return [rf"\begin{{tabular}}{{l{columns}}}", r"\toprule", *head, *body, r"\bottomrule", r"\end{tabular}"]


def _size(table: Table) -> str:
    """Choose the largest font size at which the widest row fits about a page's width."""
    rows = [row for section in table.sections for row in section.rows]
    texts = [
        [name, *(entry.printed + entry.spread for row in rows for entry in row.entries[index : index + 1])]
        for index, (_, name) in enumerate(table.head)
    ]
    widths = [max(map(len, column), default=0) for column in [[row.label for row in rows], *texts]]
    characters = sum(widths) + 2 * len(table.head)
    for group, members in groupby(zip(table.head, widths[1:], strict=True), key=lambda pair: pair[0][0]):
        inner = [width for _, width in members]
        longest = max(map(len, textwrap.wrap(group, HEADING * len(inner), break_long_words=False)), default=0)
        characters += max(0, longest - sum(inner) - 2 * (len(inner) - 1))  # a long heading stretches its columns
    return next((size for size, most in SIZES.items() if characters <= most), r"\tiny")


def _tex_row(row: TableRow, marked: Sequence[bool]) -> str:
    cells = [escape_latex(row.label)]
    for entry, has in zip(row.entries, marked, strict=True):
        cells += [_tex_entry(entry), _tex_marks(entry)] if has else [_tex_entry(entry)]
    return " & ".join(cells) + r" \\"


def _stacked(text: str, span: int) -> str:
    """Wrap a heading over `span` columns into lines where one would stretch the last of them."""
    lines = [escape_latex(line) for line in textwrap.wrap(text, HEADING * span, break_long_words=False)]
    stacked = r" \\ ".join(lines)
    return rf"\begin{{tabular}}[b]{{@{{}}c@{{}}}}{stacked}\end{{tabular}}" if len(lines) > 1 else stacked


def _tex_head(head: tuple[tuple[str, str], ...], marked: Sequence[bool]) -> list[str]:
    cells = [escape_latex(name) + " & " * has for (_, name), has in zip(head, marked, strict=True)]
    names = " & ".join(["", *cells]) + r" \\"
    if not any(group for group, _ in head):
        return [names]
    groups, rules, column = [""], [], 2
    for group, found in groupby(zip(head, marked, strict=True), key=lambda pair: pair[0][0]):
        members = [has for _, has in found]
        span = len(members) + sum(members)
        groups.append(rf"\multicolumn{{{span}}}{{c}}{{{_stacked(group, len(members))}}}")
        if group:
            rules.append(rf"\cmidrule(lr){{{column}-{column + span - 1}}}")
        column += span
    return [" & ".join(groups) + r" \\", "".join(rules), names]
