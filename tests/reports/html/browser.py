"""Pages in headless Chromium, by Playwright with the Chromium that the system has."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import Browser, Page, expect, sync_playwright

__all__ = ["Browser", "Page", "expect", "focus", "launched", "needs_chromium", "opened", "press", "tree"]
NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next((path for name in NAMES if (path := shutil.which(name))), None)
needs_chromium = pytest.mark.skipif(BROWSER is None, reason="no Chromium on the path")
FLAGS = (
    "--no-sandbox",  # as root there is none
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def launched() -> Iterator[Browser]:
    """A browser. It must not live longer than the tests of one module: others may run an event loop of their own."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, headless=True, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, path: Path, route: str = "", width: int = 1280) -> Iterator[Page]:
    """A tab with a report whose charts are drawn; fails where the page reports an error or writes to the console."""
    context = browser.new_context(viewport={"width": width, "height": 900})
    try:
        page, told = context.new_page(), list[str]()
        page.on("console", lambda message: told.append(message.text))
        page.on("pageerror", lambda error: told.append(str(error)))
        page.goto(path.as_uri() + route)
        page.locator("#curves-body figure, #cell-title").first.wait_for(state="attached")
        yield page
        assert told == []
    finally:
        context.close()


def press(page: Page, key: str) -> None:
    """Press and release a key; what it does has happened when this returns."""
    page.keyboard.press(key)
    page.evaluate("new Promise((done) => setTimeout(done, 15))")


def focus(page: Page) -> dict[str, str]:
    """Where the focus is: tag, id, text, href, and the nearest ancestor's id that has one."""
    found: dict[str, str] = page.evaluate(
        """(() => { const e = document.activeElement; return { tag: e.tagName.toLowerCase(), id: e.id,
        text: e.textContent.trim().slice(0, 60), href: e.getAttribute("href") || "",
        at: (e.closest("[id]") || {}).id || "" }; })()"""
    )
    return found


def tree(page: Page) -> list[dict[str, Any]]:
    """What assistive technology is given, in the order of the page: role, name, depth and properties.

    Playwright's own snapshots have no properties of tables and headings, so this is Chromium's tree itself.
    """
    session = page.context.new_cdp_session(page)
    nodes = {node["nodeId"]: node for node in session.send("Accessibility.getFullAXTree")["nodes"]}
    session.detach()
    found: list[dict[str, Any]] = []
    waiting = [(next(iter(nodes)), 0)]
    while waiting:
        number, depth = waiting.pop()
        node = nodes[number]
        if not node.get("ignored"):
            properties = {p["name"]: p["value"].get("value") for p in node.get("properties", [])}
            name = node.get("name", {}).get("value", "")
            found.append({"role": node.get("role", {}).get("value"), "name": name, "depth": depth, **properties})
        waiting += [(child, depth + 1) for child in reversed(node.get("childIds", [])) if child in nodes]
    return found
