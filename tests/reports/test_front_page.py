from __future__ import annotations

import pytest

from bench.reports.document import Chapter, Drawn, Passage
from bench.reports.frame import tidy
from bench.reports.front_page import ALL_FINISHED, FrontPage, front_page_of
from bench.reports.html.page import html_page, page_data
from bench.reports.output.markdown import escape_markdown, markdown_report, markdown_table
from bench.reports.tables.accuracy import accuracy_tables
from bench.reports.tables.summary import describe
from tests.reports.factory import GRID, cell, grid, record
from tests.reports.html.pages import Structure

SMALL = grid(methods=("zero-shot", "coop"), columns=GRID[:2], epochs=1, oracle=False)
SKIPPED = record(cell("joapr", epochs=1), status="skipped", reason="no *truth*")
FAILED = record(cell("joapr", "symmetric", 0.25, epochs=1), status="failed", reason="ValueError: a_b")


def rendered(records: list, problems: tuple[str, ...] = ()) -> tuple[FrontPage, str, str]:
    """The front page, `report.md` without its escapes, and the text of the page."""
    frame = tidy(records)
    chapters = (Chapter("Statistics", ("How_ to",), (Passage("Over all", (("It is so.",),)),)),)
    front = front_page_of(frame, accuracy_tables(frame), chapters=chapters, problems=problems)
    page = html_page(page_data(frame, records), front)
    return front, markdown_report(front), " ".join(Structure(page).texts[0].split())


@pytest.mark.parametrize(
    ("records", "problems", "title", "lead"),
    [
        (SMALL, (), "Not finished and not run", "8 of 8 recorded cells finished."),
        ([*SMALL, SKIPPED], ("x_y.json: no record",), "Not finished and not run",
         "8 of 9 recorded cells finished, 1 was skipped."),
        ([*SMALL, FAILED, SKIPPED], (), "Not finished and not run",
         "8 of 10 recorded cells finished, 1 failed, 1 was skipped."),
    ],
)  # fmt: skip
def test_both_formats_say_the_same(records: list, problems: tuple[str, ...], title: str, lead: str):
    front, markdown, page = rendered(records, problems)
    assert (front.lead, front.unfinished_title) == (lead, title)
    reading = "".join(front.reading)
    assert "Memorized is the share" in reading
    for text in (lead, title, reading, *problems, *(setting.title for setting in front.settings), "It is so."):
        assert " ".join(text.split()) in page
    for text in (lead, title, "*Memorized* is the share", *map(escape_markdown, problems), "It is so."):
        assert text in markdown
    assert (ALL_FINISHED in page, ALL_FINISHED in markdown) == ((records == SMALL,) * 2)
    for row in front.unfinished:
        assert all(text in page for text in (row.label, row.status, *row.columns, row.reason))
        assert escape_markdown(f"{row.label}, {row.setting}: {row.status} at {', '.join(row.columns)}") in markdown
        assert escape_markdown(row.reason) in markdown


def test_what_was_skipped_alone_has_a_heading_of_its_own():
    front, markdown, page = rendered([record(cell("coop", epochs=1)), SKIPPED])
    assert front.unfinished_title == "Skipped"
    assert "## Skipped" in markdown
    assert "Not finished and not run" not in page


def test_captions_under_a_setting_do_not_name_it_again():
    records = grid(methods=("coop",), epochs=2)
    frame = tidy(records)
    name = str(frame["setting"].iloc[0])
    words = "digits, 16 shots per class, backbone tiny, 2 epochs, the same optimizer for all"
    tables = accuracy_tables(frame)
    figure = Drawn("gap", name, "gap-x", f"On {describe(frame)}: what is lost.", ())
    text = markdown_report(front_page_of(frame, tables, [figure]))
    assert words in describe(frame)
    assert text.count(words) == 1
    assert "## digits, 16 shots, tiny\n\ndigits, 16 shots per class" in text
    assert "\nWhat is lost. (" in text
    assert "**Test accuracy (%) under label noise.** Accuracy after" in text
    assert words in markdown_table(tables[0])


def test_the_rate_is_called_nominal_as_not_every_kind_makes_so_many_labels_wrong():
    made = record(cell("coop", "symmetric-inclusive", 0.5, epochs=1))
    text = "".join(map(str, front_page_of(tidy([made]), ()).reading))
    assert "The noise rate is the nominal one; how many training labels are then wrong follows from the kind" in text
    assert "replaced by a wrong one" not in text
