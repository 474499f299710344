from __future__ import annotations

from pathlib import Path

import pytest

from tests.reports.factory import cell, grid, record
from tests.reports.html.browser import Browser, Page, expect, focus, needs_chromium, opened
from tests.reports.html.pages import made

pytestmark = needs_chromium

NASTY = "<img src=x onerror=alert(1)>&\"'100%_x"
FAILED = record(cell("joapr", "symmetric", 0.25, 3, epochs=6), status="failed", reason="ValueError: a < b")
RECORDS = [
    *grid(epochs=6),
    *grid(methods=("zero-shot", "coop"), epochs=6, dataset="dtd", oracle=False),
    FAILED,
    record(cell(NASTY, "symmetric", 0.5, 1, epochs=6)),
]
DTD = "dtd-16shots-tiny-equal-6epochs"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(made(RECORDS), encoding="utf-8")
    return path


def column(tab: Page, number: int) -> list[list[float]]:
    """The numbers of a column of the first table, section by section."""
    found: list[list[float]] = tab.locator("#setting-0 table.sortable").first.evaluate(
        "(table, n) => [...table.tBodies].map((b) => [...b.rows].map((r) => Number(r.cells[n].dataset.v)))", number
    )
    return found


def test_tables_are_sorted_within_their_sections_and_filtered(tab: Page):
    table = tab.locator("#setting-0 table.sortable").first
    heads = table.locator("thead tr").last.locator("th")
    for order, sign in (("descending", -1), ("ascending", 1)):
        heads.nth(1).locator("button").click()
        expect(heads.nth(1)).to_have_attribute("aria-sort", order)
        numbers = column(tab, 1)
        assert len(numbers) == 3
        for section in numbers:
            known = [number for number in section if number == number]
            assert known == sorted(known, key=lambda x: sign * x)
            assert section[: len(known)] == known
    expect(tab.locator("#said")).to_have_text("Sorted by Clean, ascending.")
    heads.nth(0).locator("button").click()
    names = table.locator("tbody").nth(1).locator("th[scope=row]").all_text_contents()
    assert names == sorted(names, key=str.lower)
    assert len(names) > 3
    assert tab.locator("#setting-0 [aria-sort]:not([aria-sort=none])").count() == 1
    tab.locator("#row-filter").fill("prompt")
    assert table.locator("tr:not([hidden]) > th[scope=row]").all_text_contents() == ["PromptMAE", "VisPrompt"]
    expect(tab.locator("#row-count")).to_contain_text("rows")
    tab.locator("#setting-filter").select_option("1")
    assert tab.locator(".setting").evaluate_all("(all) => all.map((section) => section.hidden)") == [True, False]


def test_the_page_of_a_cell_says_where_it_came_from(tab: Page):
    tab.locator("#cells-filter").fill("visprompt symmetric seed=2")
    expect(tab.locator("#cells-count")).to_contain_text("4 of ")
    tab.locator("#cells-table tbody tr").last.locator("a").first.click()
    heading = tab.locator("#cell-title")
    heading.wait_for()
    title = heading.text_content() or ""
    assert title.startswith("VisPrompt, ")
    assert title.endswith("seed 2")
    assert focus(tab)["id"] == "cell-title"
    expect(tab.locator("#report")).to_be_hidden()
    told = tab.locator("#cell pre").all_text_contents()
    assert told[0].startswith("bench reproduce ")
    assert told[1].endswith("--set method=visprompt --set rate=0.5")
    assert "momentum" not in told[1]  # which is as in the packaged settings
    facts = tab.locator("#facts-noise tr").evaluate_all(
        "(all) => Object.fromEntries(all.map((row) => [row.cells[0].textContent, row.cells[1].textContent]))"
    )
    assert "digest" not in facts
    digests = tab.locator("#facts-digests")
    expect(digests).to_be_hidden()
    tab.locator("#cell > details > summary", has_text="Digests").click()
    expect(digests).to_contain_text("d" * 16)
    expect(tab.locator("#cell .u-wrap canvas")).not_to_have_count(0)
    details = tab.locator("#cell figure details").first
    details.locator("summary").click()
    expect(details.locator("tbody tr")).to_have_count(7)
    tab.locator("#cell a[href^='#/cell/']").first.click()
    expect(heading).to_have_text(title.replace("seed 2", "seed 1"))
    tab.locator("#cell a").first.click()
    expect(tab.locator("#report")).to_be_visible()
    expect(tab.locator("#cell")).to_be_hidden()
    expect(tab).to_have_title("Benchmark report")


def test_a_failed_cell_shows_its_reason(browser: Browser, path: Path):
    with opened(browser, path, f"#/cell/{FAILED.key}") as tab:
        expect(tab.locator("#cell")).to_contain_text("Reason: ValueError: a < b")
        tab.evaluate("location.hash = '#/cell/nothing'")
        expect(tab.locator("#cell")).to_contain_text("no cell with the key nothing")


ACTIVE = "</script><script>window.ran = 1</script><img src=x onerror='window.ran = 1'>\u202e"


def test_no_text_of_a_record_runs(browser: Browser, tmp_path: Path):
    hostile = record(cell(ACTIVE, "symmetric", 0.5, 1, epochs=6), status="failed", reason=ACTIVE)
    done = record(cell(f"done{ACTIVE}", "symmetric", 0.5, 1, epochs=6))
    done.data.class_labels = [ACTIVE, "b"]
    done.data.notes = [ACTIVE]
    file = tmp_path / "report.html"
    file.write_text(made([*RECORDS, hostile, done]), encoding="utf-8")
    for route in ("", f"#/cell/{hostile.key}", f"#/cell/{done.key}", f"#/cell/{ACTIVE}"):
        with opened(browser, file, route) as tab:
            assert tab.evaluate("[window.ran ?? 0, document.querySelectorAll('img[src=x]').length]") == [0, 0]


def test_curves_follow_what_is_chosen(tab: Page):
    curves, rates = tab.locator("#curves"), tab.locator("#rate-chart")
    curves.locator("details.choose > summary").click()
    keys, titles = rates.locator(".key li"), curves.locator("figure h3")
    curves.scroll_into_view_if_needed()
    expect(titles.first).to_have_text("Test accuracy against noise rate")
    expected = [
        "Zero-shot", "CoOp", "CoOp (clean subset, oracle)†", "GCE-CoOp", "PromptMAE", "JoAPR", "VisPrompt", NASTY
    ]  # fmt: skip
    expect(keys).to_have_text(expected)
    assert "8 lines" in (rates.locator("[role=img]").get_attribute("aria-label") or "")
    curves.locator("fieldset").get_by_label("CoOp", exact=True).click()
    expect(keys).to_have_text([key for key in expected if key != "CoOp"])
    buttons, choices = curves.locator("fieldset button"), curves.locator("select")
    buttons.nth(1).click()
    expect(curves.locator("figure")).to_have_count(0)
    buttons.nth(0).click()
    choices.nth(3).select_option("train_clean_accuracy")
    expect(titles.nth(1)).to_contain_text("Accuracy on clean training samples over epochs")
    choices.nth(0).select_option(DTD)
    expect(keys).to_have_text(["Zero-shot", "CoOp"])
    rates.locator("details summary").click()
    zero = next(r for r in RECORDS if r.cell.method == "zero-shot")
    shown = f"{100 * float(zero.accuracy.last or 0):.1f} ± 0.0"
    rows = rates.locator("details tbody tr")
    expect(rows).to_have_count(3)
    numbers = rows.evaluate_all("(all) => all.map((row) => [...row.cells].map((cell) => cell.textContent))")
    assert [row[:2] for row in numbers] == [[f"{rate} %", shown] for rate in (0, 25, 50)]


def test_light_and_dark(tab: Page):
    theme, light, dark = tab.locator("#theme"), "rgb(255, 255, 255)", "rgb(20, 23, 28)"
    for number, (name, paper) in enumerate((("system", light), ("light", light), ("dark", dark), ("system", light))):
        if number:
            theme.click()
        expect(theme).to_have_text(f"Theme: {name}")
        expect(tab.locator("body")).to_have_css("background-color", paper)


def test_figure_and_accuracy_come_first_and_prose_is_folded(tab: Page):
    parts = tab.locator("#report > section").evaluate_all("(all) => all.map((section) => section.id)")
    assert parts[:4] == ["overview", "curves", "tables", "cells-list"]
    expect(tab.locator("#overview details[open]")).to_have_count(0)
    expect(tab.locator("#setting-0 table caption").first).to_contain_text("Test accuracy (%) under label noise.")
    words = "digits, 16 shots per class, backbone tiny, 6 epochs, the same optimizer for all"
    shown = tab.locator("#report").inner_text()
    assert shown.count(words) == 1
    near = tab.locator("#table-0-0 td.near")
    assert near.count() > 0
    assert all(text.startswith("·") for text in near.all_text_contents())


def test_a_cell_has_three_charts_in_the_colour_of_its_method(browser: Browser, tmp_path: Path):
    one = record(cell("gce-coop", "symmetric", 0.5, epochs=7))
    one.curve.split_precision = one.curve.split_recall = [0.5] * 8
    file = tmp_path / "report.html"
    file.write_text(made([one]), encoding="utf-8")
    with opened(browser, file, f"#/cell/{one.key}") as tab:
        titles = tab.locator("#cell figure h3")
        expect(titles).to_have_text(
            ["Accuracy", "What becomes of mislabeled samples", "What tells clean samples from mislabeled ones"]
        )
        expect(tab.locator("#cell figure").nth(1).locator(".key li")).to_have_count(3)
        tops = "[...document.querySelectorAll('#cell .drawing')].map((e) => Math.round(e.getBoundingClientRect().top))"
        assert len(set(tab.evaluate(tops))) == 1  # though titles and keys are not equally high
        swatches = tab.locator("#cell .key canvas").evaluate_all(
            """(all) => all.map((canvas) => { const seen = new Set();
            const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            for (let i = 0; i < data.length; i += 4) if (data[i + 3] === 255)
            seen.add([0, 1, 2].map((k) => Math.round(data[i + k] / 8)).join());
            return [...seen].join(" "); })"""
        )
        assert len(swatches) == 6
        assert len(set(swatches)) == 1  # the colour of the method, and nothing else
        tab.locator("#cell > details > summary", has_text="Other quantities").click()
        expect(titles).to_have_count(4)


@pytest.mark.parametrize("width", [390, 500, 1400])
def test_nothing_but_tables_is_wider_than_the_screen(browser: Browser, path: Path, width: int):
    sizes = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    outside = (
        "[...document.querySelectorAll('#report *, header *')].filter((e) => e.getClientRects().length"
        " && !e.closest('.scroll') && !e.closest('.unseen') && e.getBoundingClientRect().right > innerWidth + 1)"
        ".map((e) => e.outerHTML.slice(0, 80))"
    )
    with opened(browser, path, width=width) as tab:
        tab.locator("#curves").scroll_into_view_if_needed()
        expect(tab.locator("#curves .u-wrap canvas")).not_to_have_count(0)
        wide, have = tab.evaluate(sizes)
        assert 0 < wide <= have
        assert tab.evaluate(outside) == []
        tab.locator("#cells-table a").first.click()
        expect(tab.locator("#cell .u-wrap canvas")).not_to_have_count(0)
        wide, have = tab.evaluate(sizes)
        assert 0 < wide <= have
