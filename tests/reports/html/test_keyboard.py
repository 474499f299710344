"""The page by real keys, and as assistive technology is given it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bench.reports.chapters.statistics import statistics_supplement
from bench.reports.frame import tidy
from bench.reports.front_page import front_page_of
from bench.reports.html.page import html_page, page_data
from bench.reports.statistics.friedman import FEWEST
from bench.reports.tables.accuracy import accuracy_tables
from tests.reports.factory import GRID, cell, grid, record
from tests.reports.html.browser import Browser, Page, expect, focus, needs_chromium, opened, press, tree
from tests.reports.html.pages import DEFAULTS, made

pytestmark = needs_chromium

FAILED = record(cell("joapr", "symmetric", 0.25, 3, epochs=4), status="failed", reason="ValueError: a < b")
RECORDS = [*grid(epochs=4), FAILED]
TARGETS = ("#overview", "#curves", "#tables", "#cells-list", "#best", "#unfinished", "#environment")
CONTROLS = {"button", "link", "searchbox", "textbox", "combobox", "checkbox", "DisclosureTriangle", "region"}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(made(RECORDS), encoding="utf-8")
    return path


def shown(tab: Page) -> list[str]:
    """The rows of the first table that are not filtered away."""
    found: list[str] = tab.evaluate(
        "[...document.querySelectorAll('#table-0-0 tbody tr:not([hidden]) th[scope=row]')].map((e) => e.textContent)"
    )
    return found


def walked(tab: Page, most: int = 400) -> list[dict[str, str]]:
    """Where each press of Tab leads, until the focus leaves the page or comes round."""
    stops: list[dict[str, str]] = []
    for _ in range(most):
        press(tab, "Tab")
        stop = focus(tab)
        if stop["tag"] == "body" or (stops and stop == stops[0]):
            return stops
        ring = tab.evaluate(
            "(() => { const e = document.activeElement, s = getComputedStyle(e), r = e.getBoundingClientRect(); return"
            " [s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2, r.bottom > 0 && r.top < innerHeight,"
            " r.right > 0 && r.left < innerWidth]; })()"
        )
        assert ring == [True, True, True], f"no visible focus at {stop}: outline, in height, in width {ring}"
        stops.append(stop)
    raise AssertionError("the focus never comes round")


def test_tab_reaches_everything_in_the_order_of_the_page_and_is_seen(tab: Page):
    stops = walked(tab)
    assert stops[0]["href"] == "#content"
    hrefs = [stop["href"] for stop in stops]
    navigation = [hrefs.index(target) for target in TARGETS]
    assert navigation == sorted(navigation) and navigation[-1] < 12  # noqa: PT018
    order = [stop["id"] or stop["at"] for stop in stops]
    wanted = [
        "theme",
        "overview",
        "rate-chart",
        "epoch-chart",
        "row-filter",
        "table-0-0",
        "cells-filter",
        "cells-table",
    ]
    assert [order.index(name) for name in wanted] == sorted(order.index(name) for name in wanted)
    heads = [stop["text"] for stop in stops if stop["tag"] == "button" and stop["at"] == "table-0-0"]
    assert heads == tab.evaluate("[...document.querySelectorAll('#table-0-0 th[aria-sort]')].map((e) => e.textContent)")
    assert [href for href in hrefs if href.startswith("#/cell/")] == tab.evaluate(
        "[...document.querySelectorAll('#cells-table tbody a')].map((e) => e.getAttribute('href'))"
    )
    tab.evaluate("document.activeElement.blur(), scrollTo(0, 0)")
    assert (
        tab.evaluate('document.querySelectorAll(\'[tabindex]:not([tabindex="0"]):not([tabindex="-1"])\').length') == 0
    )


def test_the_skip_link_skips_the_navigation(tab: Page):
    press(tab, "Tab")
    assert focus(tab)["text"] == "Skip to the content"
    press(tab, "Enter")
    press(tab, "Tab")
    assert tab.evaluate("document.querySelector('main').contains(document.activeElement)")


@pytest.mark.parametrize("key", ["Enter", " "])
def test_a_table_is_sorted_by_a_key(tab: Page, key: str):
    tab.evaluate("document.querySelectorAll('#table-0-0 th button')[1].focus()")
    head = "document.querySelectorAll('#table-0-0 th[aria-sort]')[1]"
    press(tab, key)
    assert tab.evaluate(f"{head}.ariaSort") == "descending"
    press(tab, key)
    assert tab.evaluate(f"{head}.ariaSort") == "ascending"
    numbers = tab.evaluate(
        "[...document.querySelectorAll('#table-0-0 tbody')[1].rows].map((r) => Number(r.cells[1].dataset.v))"
    )
    assert numbers == sorted(numbers) and len(numbers) > 3  # noqa: PT018
    assert focus(tab)["at"] == "table-0-0"  # the focus stays
    assert tab.evaluate("document.getElementById('said').textContent") == "Sorted by Clean, ascending."
    press(tab, "Tab")
    press(tab, key)
    assert tab.evaluate("document.getElementById('said').textContent") == "Sorted by Symmetric 25 %, descending."


def test_a_filter_is_typed_and_cleared(tab: Page):
    everything = shown(tab)
    tab.evaluate("document.getElementById('row-filter').focus()")
    tab.keyboard.type("prompt")
    assert shown(tab) == ["PromptMAE", "VisPrompt"]
    assert "rows" in tab.evaluate("document.getElementById('row-count').textContent")
    press(tab, "Enter")  # sends no form
    assert shown(tab) == ["PromptMAE", "VisPrompt"]
    press(tab, "Escape")
    assert shown(tab) == everything
    tab.keyboard.type("x")
    assert shown(tab) == []
    press(tab, "Backspace")
    assert shown(tab) == everything


def test_a_cell_is_opened_and_left_by_keys(tab: Page):
    tab.evaluate("document.getElementById('cells-filter').focus()")
    tab.keyboard.type("joapr seed=3")
    assert tab.evaluate("document.querySelectorAll('#cells-table tbody tr').length") == 1
    for _ in range(20):
        press(tab, "Tab")
        if focus(tab)["href"].startswith("#/cell/"):
            break
    assert focus(tab)["href"] == f"#/cell/{FAILED.key}"
    at = tab.evaluate("scrollY")
    for leave in ("Escape", "back"):
        press(tab, "Enter")
        tab.locator("#cell").wait_for()
        assert focus(tab)["id"] == "cell-title"
        assert "Reason: ValueError: a < b" in tab.evaluate("document.getElementById('cell').textContent")
        if leave == "Escape":
            press(tab, leave)
        else:
            tab.evaluate("history.back()")  # Alt and the arrow are keys of the window, which is not there
        tab.locator("#cell").wait_for(state="hidden")
        assert focus(tab)["href"] == f"#/cell/{FAILED.key}"
        assert tab.evaluate("scrollY") == pytest.approx(at, abs=2)
        assert tab.evaluate("document.getElementById('cells-filter').value") == "joapr seed=3"


def test_from_a_cell_the_navigation_lands_at_the_heading_of_its_part(browser: Browser, path: Path):
    with opened(browser, path, f"#/cell/{FAILED.key}") as tab:
        assert focus(tab)["id"] == "cell-title"
        press(tab, "Escape")
        tab.locator("#cell").wait_for(state="hidden")
        assert focus(tab)["href"] == f"#/cell/{FAILED.key}"  # though it was never opened from the list
        for target, heading in (("#tables", "tables-title"), ("#overview", "overview-title")):
            tab.evaluate(f"location.hash = '#/cell/{FAILED.key}'")
            tab.locator("#cell").wait_for()
            tab.evaluate(f"document.querySelector('nav a[href=\"{target}\"]').focus()")
            press(tab, "Enter")
            tab.locator("#cell").wait_for(state="hidden")
            assert focus(tab)["id"] == heading


def test_boxes_and_choices_work_by_keys(tab: Page):
    tab.evaluate("document.querySelector('#curves details.choose > summary').focus()")
    press(tab, "Enter")
    tab.evaluate("document.querySelector('#curves fieldset input[type=checkbox]').focus()")
    keys = "document.querySelectorAll('#rate-chart .key li').length"
    before = tab.evaluate(keys)
    press(tab, " ")
    assert tab.evaluate(keys) == before - 1
    tab.evaluate("document.querySelectorAll('#curves select')[0].focus()")
    title = tab.evaluate("document.querySelector('#rate-chart h3').textContent")
    press(tab, "ArrowDown")
    expect(tab.locator("#rate-chart h3")).not_to_have_text(title)
    tab.evaluate("document.querySelector('#rate-chart summary').focus()")
    press(tab, "Enter")
    tab.locator("#rate-chart table").wait_for(state="attached")
    tab.evaluate("document.getElementById('theme').focus()")
    for name in ("Theme: light", "Theme: dark"):
        press(tab, " ")
        assert focus(tab)["text"] == name


def test_what_is_printed_fits_on_a_sheet_and_the_screen_is_as_before_after_it(tab: Page):
    state = (
        "[[...document.querySelectorAll('.u-wrap canvas')].map((e) => e.getBoundingClientRect().width),"
        " document.querySelectorAll('#report details[open]').length, getComputedStyle(document.body).color]"
    )
    tab.emulate_media(color_scheme="dark")
    before = tab.evaluate(state)
    folded = tab.evaluate("document.querySelectorAll('#report details:not([open])').length")
    assert min(before[0]) > 500 and len(before[0]) == 2  # noqa: PT018
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    widths, opened, ink = tab.evaluate(state)
    assert max(widths) <= 42 * 16 and opened == before[1] + folded  # noqa: PT018
    assert ink != before[2]  # dark ink for light paper
    tab.evaluate("dispatchEvent(new Event('afterprint'))")
    assert tab.evaluate(state) == before


def headings(tree: list[dict[str, Any]]) -> list[int]:
    return [int(node["level"]) for node in tree if node["role"] == "heading"]


def assert_told(tree: list[dict[str, Any]]) -> None:
    """Every control and picture has a name, headings descend by one at most, every table has headers."""
    for node in tree:
        if node["role"] in CONTROLS | {"image", "table", "heading", "columnheader"} or node.get("focusable"):
            assert node["name"].strip(), node
        assert not set(node["name"]) & set("↕▲▼"), node
    levels = headings(tree)
    assert levels[0] == 1 and levels.count(1) == 1  # noqa: PT018
    assert all(after - before <= 1 for before, after in pairwise(levels))
    for number, node in enumerate(tree):
        if node["role"] == "table":
            inner = [one["role"] for one in tree[number + 1 :]]
            depth = [one["depth"] <= node["depth"] for one in tree[number + 1 :]]
            inner = inner[: depth.index(True) if True in depth else len(inner)]
            assert {"columnheader", "rowheader"} & set(inner), node["name"]


def test_what_a_screen_reader_is_given_of_the_report(tab: Page):
    tab.locator("#curves details.choose > summary").click()
    told = tree(tab)
    assert_told([node for node in told if not (node["role"] == "main" or node["role"] == "RootWebArea")])
    roles = [node["role"] for node in told]
    assert {"banner", "navigation", "main", "searchbox", "combobox", "checkbox", "figure"} <= set(roles)
    charts = [node["name"] for node in told if node["role"] == "image"]
    assert len(charts) == 2
    for words in charts:
        assert words.startswith("Line chart: ")
        assert "The numbers are in the table below." in words
    assert len([n for n in told if n["role"] == "DisclosureTriangle" and n["name"] == "Numbers of this chart"]) == 2
    buttons = [node["name"] for node in told if node["role"] == "button"]
    assert "Symmetric 25 %" in buttons and "25 %" not in buttons  # noqa: PT018
    combos = [node["name"] for node in told if node["role"] == "combobox"]
    assert len(set(combos)) == len(combos)


def test_what_a_screen_reader_is_given_of_a_cell(browser: Browser, path: Path):
    key = RECORDS[2].key
    with opened(browser, path, f"#/cell/{key}") as tab:
        told = tree(tab)
        assert_told([node for node in told if node["role"] not in ("main", "RootWebArea")])
        assert [node["name"] for node in told if node["role"] == "article"] == [
            tab.evaluate("document.getElementById('cell-title').textContent")
        ]
        charts = [node["name"] for node in told if node["role"] == "image"]
        assert [name.split(",")[0] for name in charts] == [
            "Line chart: Accuracy", "Line chart: What becomes of mislabeled samples"
        ]  # fmt: skip


def test_the_diagram_of_ranks_is_told_in_words(browser: Browser, tmp_path: Path):
    records = [r for i in range(FEWEST) for r in grid(dataset=f"set{i}", columns=GRID[:2], oracle=False, epochs=1)]
    frame = tidy(records, DEFAULTS)
    part, _ = statistics_supplement(frame, None)
    path = tmp_path / "ranks.html"
    front = front_page_of(frame, [*accuracy_tables(frame), *part.tables], chapters=part.chapters)
    path.write_text(html_page(page_data(frame, records), front), encoding="utf-8")
    with opened(browser, path) as tab:
        expect(tab.locator(".setting:not([style])")).to_have_count(0)
        told = tree(tab)
        assert_told([node for node in told if node["role"] not in ("main", "RootWebArea")])
        tables = "document.querySelectorAll('#report table').length - document.querySelectorAll("
        tables += "'#report details:not([open]) table').length"
        assert len([node for node in told if node["role"] == "table"]) == tab.evaluate(tables)  # those far down as well
        (words,) = [n["name"] for n in told if n["role"] == "image" and n["name"].startswith("Mean ranks")]
        for label in ("CoOp", "VisPrompt", "JoAPR"):
            assert f"{label} " in words
