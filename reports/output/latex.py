"""Tables as LaTeX (booktabs alone), and a document of them and the figures."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby

from bench.errors import in_line
from bench.reports.document import Drawn, Section, Table, TableEntry, TableRow

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


def latex_report(tables: Sequence[Table], figures: Sequence[Drawn]) -> str:
    r"""Render a document that shows every table and figure; the tables themselves need booktabs alone."""
    body = [rf"\input{{tables/{table.name}.tex}}" for table in tables]
    for figure in figures:
        shown, caption = rf"\shown{{figures/{figure.name}.pdf}}", rf"\caption{{{escape_latex(figure.caption)}}}"
        body.append("\n".join([r"\begin{figure}[htbp]\centering", shown, caption, r"\end{figure}"]))
    # LaTeX holds back a limited number of floats, so they are flushed now and then.
    pages = [part + (r"\clearpage" if number % 6 == 5 else "") for number, part in enumerate(body)]
    head = [r"\documentclass{article}", r"\usepackage[margin=0.8in]{geometry}", r"\usepackage{booktabs,graphicx}"]
    return "\n".join([*head, SHOWN, r"\begin{document}", *pages, r"\end{document}", ""])


def latex_table(table: Table) -> str:
    r"""Render `table` floats for `\input`, `ROWS_PER_PAGE` rows each; they need `booktabs` alone."""
    pages = list(_pages(table.sections))
    return "\n".join(_float(table, page, i, len(pages)) for i, page in enumerate(pages))


def escape_latex(text: str) -> str:
    """Escape plain text for LaTeX. A character that pdfTeX's default fonts lack becomes its code point.

    >>> escape_latex("a_b 50 %")
    'a\\\\_b 50 \\\\%'
    """
    return "".join(_LATEX.get(c) or (c if ord(c) < 256 else f"U+{ord(c):04X}") for c in in_line(text))


def _tex_entry(entry: TableEntry) -> str:
    command = {"best": r"\textbf{%s}", "second": r"\underline{%s}", "": "%s"}[entry.mark]
    printed = escape_latex(entry.printed)
    text = command % ("$-$" + printed[1:] if entry.mean < 0 and printed[0] == "-" else printed)
    text += r"\,{\scriptsize$\pm$" + entry.spread + "}" if entry.spread else ""
    text += r"\,{\scriptsize(" + str(entry.n) + ")}" if entry.show_n else ""
    sign = r"\textsuperscript{" + entry.signs + "}"
    aside = r"\rlap{" + sign + "}"  # one sign hangs into the space between columns, so that numbers stay aligned
    return text + ({0: "", 1: aside}.get(len(entry.signs), sign))


def _pages(sections: tuple[Section, ...]) -> Iterator[tuple[Section, ...]]:
    """Split sections into pages; a section that goes on keeps its title."""
    rows = [(index, row) for index, section in enumerate(sections) for row in section.rows]
    for start in range(0, len(rows), ROWS_PER_PAGE):
        page = rows[start : start + ROWS_PER_PAGE]
        yield tuple(
            Section(sections[index].title, tuple(row for _, row in group))
            for index, group in groupby(page, key=lambda pair: pair[0])
        )


def _float(table: Table, sections: tuple[Section, ...], page: int, pages: int) -> str:
    """Render one float; `page` counts from 0."""
    width = len(table.head) + 1
    part = f" (Part {page + 1} of {pages}.)" if pages > 1 else ""
    body: list[str] = []
    for section in sections:
        body.append(r"\midrule")
        if section.title:
            title = escape_latex(section.title)  # takes no width: a long title must not stretch the last column
            body.append(rf"\multicolumn{{{width}}}{{l}}{{\makebox[0pt][l]{{\emph{{{title}}}}}}} \\")
        body += [_tex_row(row) for row in section.rows]
    notes = " ".join(escape_latex(note) for note in table.notes)
    return "\n".join(
        [
            r"\begin{table}[htbp]",
            rf"\centering{_size(table)}\setlength{{\tabcolsep}}{{5pt}}",
            rf"\caption{{{escape_latex(' '.join(table.caption) + part)}}}\smallskip",
            rf"\label{{tab:{table.name}{f'-{page + 1}' if pages > 1 else ''}}}",
            rf"\begin{{tabular}}{{l{'r' * (width - 1)}}}",
            r"\toprule",
            *_tex_head(table.head),
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            *([rf"\par\smallskip\parbox{{\linewidth}}{{\footnotesize {notes}}}"] if notes else []),
            r"\end{table}",
            "",
        ]
    )


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


def _tex_row(row: TableRow) -> str:
    return " & ".join([escape_latex(row.label), *map(_tex_entry, row.entries)]) + r" \\"


def _stacked(text: str, span: int) -> str:
    """Wrap a heading over `span` columns into lines where one would stretch the last of them."""
    lines = [escape_latex(line) for line in textwrap.wrap(text, HEADING * span, break_long_words=False)]
    stacked = r" \\ ".join(lines)
    return rf"\begin{{tabular}}[b]{{@{{}}c@{{}}}}{stacked}\end{{tabular}}" if len(lines) > 1 else stacked


def _tex_head(head: tuple[tuple[str, str], ...]) -> list[str]:
    names = " & ".join(["", *(escape_latex(name) for _, name in head)]) + r" \\"
    if not any(group for group, _ in head):
        return [names]
    groups, rules, column = [""], [], 2
    for group, members in groupby(head, key=lambda pair: pair[0]):
        span = len(list(members))
        groups.append(rf"\multicolumn{{{span}}}{{c}}{{{_stacked(group, span)}}}")
        if group:
            rules.append(rf"\cmidrule(lr){{{column}-{column + span - 1}}}")
        column += span
    return [" & ".join(groups) + r" \\", "".join(rules), names]
