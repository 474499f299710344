"""What the page says of statistics and published numbers, and that it is what `report.md` says."""

from __future__ import annotations

import re
from base64 import b64decode
from pathlib import Path

from bench.reports.build import build_report
from bench.reports.chapters.published import published_supplement
from bench.reports.chapters.statistics import statistics_supplement
from bench.reports.document import Chapter, Code, Passage, Table, in_pieces
from bench.reports.figures.ranks import ranks_svg
from bench.reports.frame import tidy
from bench.reports.front_page import front_page_of
from bench.reports.html.page import html_page, page_data
from bench.reports.output.markdown import escape_markdown, markdown_lines
from bench.reports.statistics.friedman import FEWEST
from tests.reports.factory import GRID, cell, grid, record
from tests.reports.html.pages import DEFAULTS, Structure

NASTY = "</p><script>alert(1)</script>&amp;`\"'100%_x"


def told(records: list, *, published: bool = False) -> tuple[Structure, tuple[Chapter, ...], list[Table]]:
    frame = tidy(records, DEFAULTS)
    parts = [statistics_supplement(frame, None)[0]]
    parts += [published_supplement(frame, records, DEFAULTS)] if published else []
    tables, chapters = ([*x] for x in zip(*((p.tables, p.chapters) for p in parts), strict=True))
    flat, all_chapters = [t for some in tables for t in some], tuple(c for some in chapters for c in some)
    page = html_page(page_data(frame, records), front_page_of(frame, flat, chapters=all_chapters))
    return Structure(page), all_chapters, flat


def squeezed(text: str) -> str:
    return " ".join(text.split())


def assert_said(structure: Structure, chapters: tuple[Chapter, ...]) -> None:
    """Every sentence of the chapters is in the page and in the Markdown, in full."""
    shown, lines = squeezed(structure.texts[0]), "\n".join(markdown_lines(chapters))
    for chapter in chapters:
        assert squeezed("".join(chapter.intro)) in shown
        for passage in chapter.passages:
            sentences = ["".join(words) for words in (*passage.told, *passage.advice)]
            for text in [passage.title, *sentences, *passage.items]:
                assert squeezed(text) in shown
            for text in [passage.title, passage.before_list, *passage.items]:
                assert escape_markdown(text) in lines
            for words in (*passage.told, *passage.advice):
                assert all(piece in lines if isinstance(piece, Code) else escape_markdown(piece) in lines
                           for piece in words)  # fmt: skip


def test_three_seeds_that_separate_nothing_are_said_to_in_the_page():
    structure, chapters, tables = told(grid(seeds=(1, 2, 3), sd=0.05))
    text = squeezed(structure.texts[0])
    assert "differences from CoOp is apart. 3 seeds are few" in text
    assert_said(structure, chapters)
    ids = {a.get("id") for _, a, _ in structure.elements}
    links = [a["href"] for i, a, path in structure.all("a") if structure.texts[i] in {f"{t.title}." for t in tables}]
    assert len(links) == len(tables) > 0
    assert {link[1:] for link in links if link} <= ids
    assert structure.problems == []


def test_published_numbers_and_their_reasons_are_in_the_page():
    full = {"dataset": "caltech101", "backbone": "RN50/openai"}
    structure, chapters, _ = told(grid(methods=("zero-shot", "coop"), epochs=3, **full), published=True)
    (published,) = [chapter for chapter in chapters if chapter.title == "Published numbers"]
    assert any(len(passage.items) > 3 for passage in published.passages)
    assert_said(structure, chapters)
    code = [structure.texts[i] for i, _, path in structure.all("code")]
    assert "reports/published/numbers.toml" in code
    structure, chapters, _ = told(grid(methods=("coop",), epochs=2), published=True)
    assert_said(structure, chapters)
    assert any(t.startswith("bench run --grid nlprompt --set dataset=caltech101") for t in structure.texts.values())


def test_a_users_text_in_a_chapter_stays_text():
    frame = tidy([record(cell(epochs=1))], DEFAULTS)
    passage = Passage(NASTY, ((NASTY, Code(NASTY)),), before_list=NASTY, items=(NASTY,), advice=((NASTY,),))
    front = front_page_of(frame, [], chapters=[Chapter("Statistics", (NASTY,), (passage,))])
    made = html_page(page_data(frame, [record(cell(epochs=1))]), front)
    structure = Structure(made)
    assert structure.problems == []
    assert "<script>alert" not in made
    assert structure.texts[0].count(NASTY) == 7


def test_over_data_sets_the_page_draws_the_ranks_of_the_test():
    records = [r for i in range(FEWEST) for r in grid(dataset=f"set{i}", columns=GRID[:2], oracle=False, epochs=2)]
    structure, chapters, _ = told(records)
    (passage,) = [p for p in chapters[0].passages if p.ranks]
    assert passage.ranks is not None
    ranking = passage.ranks.ranking
    (picture,) = [attributes for _, attributes, _ in structure.all("img")]
    start, _, text = (picture["src"] or "").partition("base64,")
    drawn = b64decode(text).decode()
    assert start == "data:image/svg+xml;"
    for label, rank in ranking.ranks.items():
        assert f"{label} {rank:.2f}" in (picture["alt"] or "")
        assert re.search(rf">\s*({label}  {rank:.2f}|{rank:.2f}  {label})\s*<", drawn)
    assert f"critical difference {ranking.difference:.2f}" in drawn
    assert ranks_svg(ranking, passage.ranks.colors) == drawn
    assert_said(structure, chapters)
    assert "Friedman" in "".join(passage.told[0])


def test_markdown_does_not_repeat_what_a_table_says():
    table = Table("statistics", "s", "statistics-s", (("", "a"),), (), ("Caption.",), ("Said_ already.",))
    lines = markdown_lines([Chapter("C", ("Intro",), (Passage("P", (("Said_ already.",), ("More_",)), (table,)),))])
    assert "\n".join(lines).count(r"Said\_ already.") == 1
    assert r"More\_" in lines
    assert in_pieces("a `b` c") == ("a ", "b", " c")
    assert [type(piece) for piece in in_pieces("a `b` c")] == [str, Code, str]


def test_a_report_page_has_the_chapters(tmp_path: Path):
    records = grid(columns=GRID[:2], epochs=2)
    build_report(records, tmp_path, frozenset({"html"}), defaults=DEFAULTS, published=True, figures=0)
    structure = Structure((tmp_path / "report.html").read_text(encoding="utf-8"))
    headings = [structure.texts[i] for i, _, _ in structure.all("h2")]
    assert {"Statistics", "Published numbers"} <= set(headings)
