"""A browser for each module, and a tab with the page that the module's fixture `path` has written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.reports.html.browser import Browser, Page, launched, opened


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as found:
        yield found


@pytest.fixture
def tab(browser: Browser, path: Path) -> Iterator[Page]:
    with opened(browser, path) as page:
        yield page
