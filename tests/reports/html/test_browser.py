from __future__ import annotations

from pathlib import Path

import pytest

from tests.reports.factory import cell, grid, record
from tests.reports.html.browser import ABSENT, BROWSER, walk
from tests.reports.html.pages import made

pytestmark = pytest.mark.skipif(not BROWSER, reason=ABSENT)

NASTY = "<img src=x onerror=alert(1)>&\"'100%_x"
FAILED = record(cell("joapr", "symmetric", 0.25, 3, epochs=6), status="failed", reason="ValueError: a < b")
RECORDS = [
    *grid(epochs=6),
    *grid(methods=("zero-shot", "coop"), epochs=6, dataset="dtd", oracle=False),
    FAILED,
    record(cell(NASTY, "symmetric", 0.5, 1, epochs=6)),
]


@pytest.fixture(scope="module")
def page() -> str:
    return made(RECORDS)


def test_tables_are_sorted_within_their_sections_and_filtered(page: str, tmp_path: Path):
    found = walk(
        page,
        """
        const table = one("#setting-0 table.sortable");
        const column = (n) => [...table.tBodies].map((b) => [...b.rows].map((r) => Number(r.cells[n].dataset.v)));
        const buttons = [...table.tHead.rows[table.tHead.rows.length - 1].cells].map((c) => c.querySelector("button"));
        buttons[1].click(); found.descending = column(1); found.sort = buttons[1].parentElement.ariaSort;
        buttons[1].click(); found.ascending = column(1); found.again = buttons[1].parentElement.ariaSort;
        found.said = one("#said").textContent;
        buttons[0].click();
        found.names = [...table.tBodies[1].rows].map((row) => row.cells[0].textContent);
        found.one = all("#setting-0 [aria-sort]:not([aria-sort=none])").length;
        type("#row-filter", "prompt");
        found.shown = [...table.rows].filter((r) => !r.hidden && r.cells[0].scope === "row").map((r) => r.cells[0].textContent);
        found.count = one("#row-count").textContent;
        choose(one("#setting-filter"), "1");
        found.settings = all(".setting").map((section) => section.hidden);
        """,  # noqa: E501
        tmp_path,
    )
    assert (found["errors"], found["console"]) == ([], [])
    for numbers, sign in ((found["descending"], -1), (found["ascending"], 1)):
        assert len(numbers) == 3
        for section in numbers:
            known = [number for number in section if number is not None]
            assert known == sorted(known, key=lambda x: sign * x)
            assert section[: len(known)] == known
    assert (found["sort"], found["again"], found["one"]) == ("descending", "ascending", 1)
    assert found["said"] == "Sorted by Clean, ascending."
    assert found["names"] == sorted(found["names"], key=str.lower)
    assert found["shown"] == ["PromptMAE", "VisPrompt"]
    assert "rows" in found["count"]
    assert found["settings"] == [True, False]


def test_the_page_of_a_cell_says_where_it_came_from(page: str, tmp_path: Path):
    found = walk(
        page,
        """
        type("#cells-filter", "visprompt symmetric seed=2");
        found.count = one("#cells-count").textContent;
        one("#cells-table tbody tr:last-child a").click();
        await wait();
        found.title = one("#cell-title").textContent; found.focus = document.activeElement.id;
        found.report = one("#report").hidden; found.pre = all("#cell pre").map((pre) => pre.textContent);
        found.facts = Object.fromEntries(all("#facts-noise tr").map((r) => [r.cells[0].textContent, r.cells[1].textContent]));
        found.canvas = all("#cell .u-wrap canvas").length;
        const details = one("#cell figure details"); details.open = true; await wait();
        found.rows = details.querySelectorAll("tbody tr").length;
        one("#cell a[href^='#/cell/']").click(); await wait();
        found.other = one("#cell-title").textContent;
        one("#cell a").click(); await wait();
        found.back = [one("#report").hidden, one("#cell").hidden, document.title];
        """,  # noqa: E501
        tmp_path,
    )
    assert (found["errors"], found["console"]) == ([], [])
    assert found["count"].startswith("4 of ")
    assert found["title"].startswith("VisPrompt, ")
    assert found["title"].endswith("seed 2")
    assert (found["focus"], found["report"]) == ("cell-title", True)
    assert found["pre"][0].startswith("bench reproduce ")
    assert "--set method=visprompt" in found["pre"][1]
    assert found["facts"]["digest"] == "d" * 16
    assert found["canvas"] >= 1
    assert found["rows"] == 7
    assert found["other"] == found["title"].replace("seed 2", "seed 1")
    assert found["back"] == [False, True, "Benchmark report"]


def test_a_failed_cell_shows_its_reason(page: str, tmp_path: Path):
    script = """
        found.text = one("#cell").textContent;
        location.hash = "#/cell/nothing"; await wait();
        found.none = one("#cell").textContent;
    """
    found = walk(page, script, tmp_path, route=f"#/cell/{FAILED.key}")
    assert (found["errors"], found["console"]) == ([], [])
    assert "Reason: ValueError: a < b" in found["text"]
    assert "no cell with the key nothing" in found["none"]


def test_curves_follow_what_is_chosen(page: str, tmp_path: Path):
    found = walk(
        page,
        """
        found.before = all("figure").length;
        one("#curves").scrollIntoView(); await wait(500);
        const titles = () => all("#curves figure h3").map((h3) => h3.textContent);
        const keys = () => all("#rate-chart .key li").map((li) => li.textContent);
        found.titles = titles(); found.keys = keys(); found.words = one("#rate-chart [role=img]").ariaLabel;
        const box = all("#curves fieldset input[type=checkbox]").find((b) => b.parentElement.textContent === "CoOp");
        box.click(); await wait(); found.without = keys();
        all("#curves fieldset button")[1].click(); await wait(); found.none = all("#curves figure").length;
        all("#curves fieldset button")[0].click(); await wait();
        const [setting, quantity, noise, over, column] = all("#curves select");
        choose(over, "train_clean_accuracy"); await wait(); found.chosen = titles()[1];
        choose(setting, "dtd-16shots-tiny-equal-6epochs"); await wait(); found.dtd = keys();
        const details = one("#rate-chart details"); details.open = true; await wait();
        found.numbers = [...details.querySelectorAll("tbody tr")].map((r) => [...r.cells].map((c) => c.textContent));
        """,
        tmp_path,
    )
    assert (found["errors"], found["console"]) == ([], [])
    assert found["titles"][0] == "Test accuracy against noise rate"
    assert found["keys"] == ["Zero-shot", "CoOp", "CoOp (clean subset, oracle)†", "GCE-CoOp", "PromptMAE",
                                         "JoAPR", "VisPrompt", NASTY]  # fmt: skip
    assert found["without"] == [key for key in found["keys"] if key != "CoOp"]
    assert "8 lines" in found["words"]
    assert found["none"] == 0
    assert found["chosen"].startswith("Accuracy on clean training samples over epochs")
    assert found["dtd"] == ["Zero-shot", "CoOp"]
    zero = next(r for r in RECORDS if r.cell.method == "zero-shot")
    shown = f"{100 * float(zero.accuracy.last or 0):.1f} ± 0.0"
    assert [row[:2] for row in found["numbers"]] == [[f"{rate} %", shown] for rate in (0, 25, 50)]


def test_light_and_dark(page: str, tmp_path: Path):
    script = """
        const paper = () => getComputedStyle(document.body).backgroundColor;
        found.papers = [paper()]; found.names = [one("#theme").textContent];
        for (let i = 0; i < 3; i++) {
          one("#theme").click(); await wait(); found.papers.push(paper()); found.names.push(one("#theme").textContent);
        }
    """
    found = walk(page, script, tmp_path)
    assert (found["errors"], found["console"]) == ([], [])
    light, dark = "rgb(255, 255, 255)", "rgb(20, 23, 28)"
    assert found["papers"] == [light, light, dark, light]
    assert found["names"] == ["Theme: system", "Theme: light", "Theme: dark", "Theme: system"]


@pytest.mark.parametrize("size", ["500,900", "1400,900"])
def test_nothing_but_tables_is_wider_than_the_screen(page: str, tmp_path: Path, size: str):
    script = """
        one("#curves").scrollIntoView(); await wait(300);
        found.report = [root().scrollWidth, root().clientWidth];
        one("#cells-table a").click(); await wait(300);
        found.cell = [root().scrollWidth, root().clientWidth];
    """.replace("root()", "document.documentElement")
    found = walk(page, script, tmp_path, f"--window-size={size}")
    assert (found["errors"], found["console"]) == ([], [])
    for width, have in (found["report"], found["cell"]):
        assert width <= have
