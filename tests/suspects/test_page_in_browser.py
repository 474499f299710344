"""The page of suspects in headless Chromium: what it saves is a data set, and it is in view at any width."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from PIL import Image

from bench.cli.main import invoke
from bench.data.library import open_dataset
from bench.data.own.folder import Folder
from bench.errors import printable
from bench.reports.html.suspects import Suspect, SuspectPage, suspects_page
from tests.reports.html.browser import Browser, Page, launched, needs_chromium
from tests.suspects.photos import CLASSES, judge, make_photos

pytestmark = needs_chromium
CARD = "li.suspect"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as found:
        yield found


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images, with the page of its suspects beside it."""
    root = tmp_path_factory.mktemp("sheet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NOISY_PROMPT_BENCH_CACHE", str(root / "cache"))
        open_dataset.cache_clear()
        judge(make_photos(root / "photos"), root / "s")
        assert invoke(["suspects", "--store", str(root / "s"), "--out", str(root / "o")]) == 0
    return root / "photos"


@pytest.fixture
def page(browser: Browser, photos: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A tab with the page, 390 pixels wide; fails where the page reports an error or asks for anything outside."""
    context = browser.new_context(viewport={"width": 390, "height": 900}, accept_downloads=True)
    said: list[str] = []
    found = context.new_page()
    found.on("console", lambda message: said.append(message.text))
    found.on("pageerror", lambda error: said.append(str(error)))
    found.on("request", lambda asked: said.extend({asked.url} if urlsplit(asked.url).netloc else ()))
    found.goto((photos.parent / "o" / "suspects.html").as_uri())
    yield found
    context.close()
    assert said == []


def rows(file: Path) -> dict[str, list[str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return {row[0]: row[1:] for row in csv.reader(stream)}


def saved(page: Page, photos: Path) -> Folder:
    """Press the button, put the file where the page says, and open it as a data set."""
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Save corrections.csv").click()
    assert waiting.value.suggested_filename == "corrections.csv"
    waiting.value.save_as(photos / "corrections.csv")
    return Folder(photos / "corrections.csv")


def labels_of(data: Folder) -> dict[str, str]:
    """Label by path of every image, as the user has written it."""
    return {
        name: data.class_labels[label]
        for split in data.splits.values()
        for name, label in zip(split.names, split.labels.tolist(), strict=True)
    }


def test_nothing_decided_saves_the_data_set_as_it_is(page: Page, photos: Path) -> None:
    assert saved(page, photos).digest == Folder(photos).digest


def test_decisions_are_in_the_file_that_is_a_data_set_at_once(page: Page, photos: Path) -> None:
    before, cards = labels_of(Folder(photos)), page.locator(CARD)
    paths = cards.locator(".path").all_inner_texts()
    rendered = {printable(name): name for name in before}
    names = [rendered[path] for path in paths[:4]]
    cards.nth(0).get_by_label("accept").check()
    cards.nth(1).get_by_label("remove").check()
    proposed = cards.nth(0).locator("figcaption bdi").nth(2).inner_text()
    chosen = cards.nth(2).get_by_label("Another class")
    chosen.focus()
    chosen.select_option(label=printable(CLASSES[3]))
    cards.nth(3).get_by_label("keep").check()
    text = page.locator("#counts").inner_text()
    assert text == f"2 corrected · 1 removed · 1 kept · {cards.count() - 4} undecided"
    data = saved(page, photos)
    expected = {**before, names[0]: next(c for c in CLASSES if printable(c) == proposed), names[2]: CLASSES[3]}
    del expected[names[1]]
    assert labels_of(data) == expected
    assert expected[names[0]] != before[names[0]]
    assert data.class_names == Folder(photos).class_names
    assert "test" in data.held_out, "a corrected label makes no test labels true"


def test_a_class_that_loses_its_training_images_is_told(browser: Browser, tmp_path: Path) -> None:
    rows = [["a.png", "train", "one\x1b"], ["b.png", "train", "two"], ["c.png", "test", "one\x1b"]]
    suspect = Suspect(1, "a.png", Image.new("L", (8, 8)), 0, 1, 2.0, row=0)
    table = ["path", "split", "label"], rows, 2
    text = suspects_page(SuspectPage("t", ("one\x1b", "two"), [suspect], {}, 2, table=table))
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    found = browser.new_page()
    found.goto((tmp_path / "page.html").as_uri())
    for choice, told in (("keep", False), ("remove", True), ("accept", True)):
        found.get_by_label(choice).check()
        assert ("no training image left: one\\x1b" in found.locator("#counts").inner_text()) is told
    found.close()


@pytest.mark.parametrize("width", [390, 1440])
def test_nothing_is_out_of_view_and_keys_reach_every_choice(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") == width
    wide = page.evaluate(
        """[...document.querySelectorAll("main *")].filter((e) => e.getBoundingClientRect().right > innerWidth + 1)
        .map((e) => e.outerHTML.slice(0, 80))"""
    )
    assert wide == []
    page.locator("#save").focus()
    for _ in range(2):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.name") == "d0"
    page.keyboard.press("Space")
    assert page.locator("#counts").inner_text().startswith("1 corrected")


def test_the_sheet_is_readable_without_scripts(browser: Browser, photos: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    found = context.new_page()
    found.goto((photos.parent / "o" / "suspects.html").as_uri())
    assert found.locator("#save").is_hidden()
    assert found.locator(f"{CARD} img").first.is_visible()
    assert found.locator(f"{CARD} input").first.is_disabled()
    assert "Scripts are off" in found.locator("noscript").inner_text()
    context.close()
