from __future__ import annotations

import re
from pathlib import Path

from bench.reports.document import Section, Table, TableEntry, TableRow
from bench.reports.frame import tidy
from bench.reports.output.latex import LatexForm, escape_latex, latex_report, latex_table
from bench.reports.output.markdown import markdown_table
from bench.reports.tables.accuracy import accuracy_tables
from bench.reports.tables.cost import cost_tables
from bench.reports.tables.training import memorization_tables
from tests.reports.factory import cell, grid, record
from tests.reports.latex import compile_tables

AWKWARD = [
    record(cell(name, "symmetric", 0.125, s, dataset="my_data%"), status=status)
    for name, status in (("a_b%", "done"), ("c|d", "done"), ("e$&#^~{}\\", "done"), ("α<β>", "failed"))
    for s in (1, 2)
]


def test_markdown_rows_have_one_cell_per_column():
    for table in (*accuracy_tables(tidy(grid())), *accuracy_tables(tidy(AWKWARD))):
        pipes = [line for line in markdown_table(table).splitlines() if line.startswith("|")]
        assert {len(re.findall(r"(?<!\\)\|", line)) for line in pipes} == {len(table.head) + 2}


def test_markdown_marks_best_and_second():
    records = [record(cell(m), a) for m, a in (("coop", 0.7), ("joapr", 0.8), ("promptmae", 0.6))]
    text = markdown_table(accuracy_tables(tidy(records))[0])
    assert "| JoAPR | **80.0** |" in text
    assert "| CoOp | <u>70.0</u> |" in text
    assert "| PromptMAE | 60.0 |" in text


def test_latex_escapes_names_and_marks():
    text = latex_table(accuracy_tables(tidy(AWKWARD))[0])
    assert r"a\_b\%" in text
    assert r"U+03B1\textless{}" in text
    assert r"\textsuperscript{F}" in text
    assert r"12.5~\%" in text
    assert escape_latex("±–") == r"$\pm$--"


def test_latex_header_groups_columns_by_kind():
    text = latex_table(memorization_tables(tidy(grid()))[0])
    assert r"\multicolumn{2}{c}{Symmetric} & \multicolumn{2}{c}{Asymmetric}" in text
    assert r"\cmidrule(lr){2-3}\cmidrule(lr){4-5}" in text


def test_marks_stand_in_a_column_of_their_own():
    rows = tuple(
        TableRow(name, (TableEntry(90.0 + number, 1.0, 3, near=number == 1), TableEntry(80.0, 1.0, 3)))
        for number, name in enumerate("ab")
    )
    table = Table("accuracy", "s", "n", (("Noise", "25 %"), ("Noise", "50 %")), (Section("", rows),), (), ())
    text = latex_table(table)
    assert r"\begin{tabular}{lr@{\,}lr}" in text
    assert r"\multicolumn{3}{c}{Noise}" in text
    assert r" & 25~\% &  & 50~\% \\" in text
    assert r"b & 91.0\,{\scriptsize$\pm$1.0} & $\cdot$ & 80.0" in text
    assert r"a & 90.0\,{\scriptsize$\pm$1.0} &  & 80.0" in text
    assert "| b | · 91.0 ± 1.0 | 80.0 ± 1.0 |" in markdown_table(table)


def test_a_paper_is_given_a_tabular_alone_or_a_float_over_both_columns():
    (table,) = accuracy_tables(tidy(grid()))
    alone = latex_table(table, LatexForm(tabular=True))
    assert alone.startswith(r"\begin{tabular}")
    assert alone.rstrip().endswith(r"\end{tabular}")
    wide = latex_table(table, LatexForm(wide=True, short=True), {table.setting: "digits, 16 shots"})
    assert wide.startswith(r"\begin{table*}")
    assert r"\caption{Test accuracy (\%) under label noise on digits, 16 shots. Mean $\pm$" in wide
    assert "no checkpoint selected" not in wide
    assert "Best and second" not in wide
    assert r"\footnotesize \textsuperscript{$\dagger$}: oracle" in wide  # a sign is explained all the same
    (table_of_some,) = accuracy_tables(tidy([*grid(oracle=False), *grid(("elr",), (2, 3), oracle=False)]))
    assert "Not ranked, for want of" in latex_table(table_of_some, LatexForm(short=True))  # so are marks that lack
    report = latex_report([table], [], LatexForm(tabular=True, wide=True))
    assert r"\documentclass[twocolumn]" in report
    assert rf"\input{{tables/{table.name}.tex}}" in report
    assert r"\begin{table*}" in report


def test_long_tables_go_over_several_floats():
    text = latex_table(accuracy_tables(tidy([record(cell(f"m{i}")) for i in range(95)]))[0])
    assert text.count(r"\begin{table}") == 3
    assert "(Part 3 of 3.)" in text


def test_tables_compile_with_booktabs_alone(tmp_path: Path):
    frames = [tidy(grid()), tidy(AWKWARD)]
    tables = [t for f in frames for make in (accuracy_tables, memorization_tables, cost_tables) for t in make(f)]
    compile_tables(tmp_path, tables)
    wide = LatexForm(wide=True, short=True)
    compile_tables(tmp_path, tables[:2], wide)


def test_signs_are_no_markup():
    entry = TableEntry(1.0, 0.5, 3, "best", "F*")
    table = Table("cost", "s", "n", (("", "A"),), (Section("", (TableRow("x", (entry,)),)),), (), ())
    assert r"| x | **1.0** ± 0.5 <sup>F\*</sup> |" in markdown_table(table)
    assert r"\textbf{1.0}\,{\scriptsize$\pm$0.5} & \textsuperscript{F*}" in latex_table(table)


def test_long_headings_are_set_on_several_lines():
    def heading(name: str, span: int) -> str:
        head = tuple((name, f"{i} %") for i in range(span))
        row = TableRow("x", tuple(TableEntry(1.0) for _ in range(span)))
        return latex_table(Table("accuracy", "s", "n", head, (Section("", (row,)),), (), ()))

    assert r"\multicolumn{1}{c}{Asymmetric}" in heading("Asymmetric", 1)
    long = "Instance-dependent (temperature 0.5)"
    assert r"{\begin{tabular}[b]{@{}c@{}}Instance-dependent \\ (temperature 0.5)\end{tabular}}" in heading(long, 2)
    assert rf"\multicolumn{{3}}{{c}}{{{long}}}" in heading(long, 3)


def test_wide_tables_are_set_in_smaller_type():
    narrow, wide = (
        latex_table(Table("cost", "s", "n", (("", "Steps"),), (Section("", (row,)),), (), ()))
        for row in (TableRow("x" * size, (TableEntry(text="1"),)) for size in (20, 110))
    )
    assert r"\centering\small" in narrow
    assert r"\centering\scriptsize" in wide
