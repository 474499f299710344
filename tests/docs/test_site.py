"""The site: built strictly, whole from disk, and its generated pages say what the registries do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

from bench.plugins import DATASETS, METHODS, NOISE
from tests import ROOT

pytest.importorskip("mkdocs", reason="mkdocs is not installed")
pytest.importorskip("material", reason="mkdocs-material is not installed")
pytest.importorskip("mkdocstrings", reason="mkdocstrings is not installed")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; a dead link, a dead anchor or a page outside the navigation fails it."""
    out = tmp_path_factory.mktemp("site") / "site"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"}
    program = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(out)]
    done = subprocess.run(program, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    return out


def html(site: Path, page: str) -> str:
    return (site / page).read_text(encoding="utf-8")


def test_every_plugin_has_a_page_with_its_options(site: Path) -> None:
    for folder, registry in (("methods", METHODS), ("noise", NOISE), ("datasets", DATASETS)):
        for row in (row for row in registry.rows() if row.origin == "built-in"):
            text = html(site, f"{folder}/{row.name}.html")
            options = getattr(registry.get(row.name), "Options", None)
            for name in options.model_fields if options else ():
                assert f"<code>{name}</code>" in text, (row.name, name)
            if row.paper:
                assert row.paper.split(",")[0].split(" and ")[0] in text


def test_a_methods_page_has_equations_defects_budget_golden_items_and_results(site: Path) -> None:
    text = html(site, "methods/nlprompt.html")
    for heading in (
        "source", "equations", "defects-decided-on", "options", "under-budget-paper",
        "known-defects-of-the-reference", "against-the-authors-code", "on-the-embedded-data",
    ):  # fmt: skip
        assert f'id="{heading}"' in text, heading
    assert '<div class="equations">' in text
    assert "94.3 ± 0.5" in text
    assert "3.3e-15" in text
    for name in METHODS:
        assert 'id="against-the-authors-code"' in html(site, f"methods/{name}.html")
        if "faithful" in METHODS.get(name).Options.model_fields:
            text = html(site, f"methods/{name}.html")
            assert 'id="known-defects-of-the-reference"' in text, name
            assert "[faithful=true]" in text, name


def test_no_page_asks_the_network_for_anything(site: Path) -> None:
    loads = re.compile(r"<(?:script|img|iframe|source)[^>]* src=\"?(https?:|//)|<link[^>]* href=\"?(https?:|//)")
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 100
    for page in pages:
        assert not loads.search(page.read_text(encoding="utf-8")), page
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\(\"?(https?:|//)|@import", sheet.read_text(encoding="utf-8")), sheet


def test_every_link_leads_somewhere(site: Path) -> None:
    """Anchors too, of raw HTML as well, which mkdocs does not look at."""
    dead = []
    texts = {page: page.read_text(encoding="utf-8") for page in site.rglob("*.html")}
    anchors = {page: set(re.findall(r"\bid=\"?([^\"\s>]+)", text)) for page, text in texts.items()}
    for page, text in texts.items():
        if page.name == "404.html":  # served from any place, so its links are of the root
            continue
        for link in re.findall(r"<a[^>]* href=\"([^\"]+)\"", text):
            if re.match(r"[a-z]+:", link):
                continue
            path, _, anchor = link.partition("#")
            target = (page.parent / unquote(path)).resolve() if path else page
            if not target.is_file() or (anchor and target in anchors and unquote(anchor) not in anchors[target]):
                dead.append((page.name, link))
    assert dead == []


def test_the_site_is_searched_from_disk(site: Path) -> None:
    """In a browser: the search finds a page, nothing is asked of the network, and no page is wider than the screen."""
    browser = pytest.importorskip("tests.reports.html.browser")
    if browser.BROWSER is None:
        pytest.skip("no Chromium on the path")
    with browser.launched() as chromium:
        context = chromium.new_context(viewport={"width": 390, "height": 900})
        page, asked, told = context.new_page(), list[str](), list[str]()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: told.append(message.text))
        page.on("pageerror", lambda error: told.append(str(error)))
        for name in ("index.html", "methods/joapr.html", "reference/settings.html", "footguns.html"):
            page.goto((site / name).as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
        page.set_viewport_size({"width": 1440, "height": 900})
        page.goto((site / "index.html").as_uri())
        page.locator("input.md-search__input").click()
        page.keyboard.type("refurbished")
        result = page.locator(".md-search-result__link").first
        result.wait_for(timeout=60_000)
        assert "joapr" in (result.get_attribute("href") or "")
        assert [url for url in asked if not url.startswith(("file:", "data:", "about:", "blob:"))] == []
        assert told == []
        context.close()
