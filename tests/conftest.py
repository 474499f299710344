from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: bits depend on it, and tests compare bits

from tests import golden_data
from tests.registered import registered


@pytest.fixture
def registries() -> Iterator[None]:
    """What a test registers is gone after it, and a plugin file is imported anew by the next one."""
    with registered():
        yield


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden-table", action="store_true", help="print the deviations from the original authors' code")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with the longest tests come first, so that no process is left with one when the others have finished.

    These have a limit of their own; then come those with slow ones.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    longest = {item.path for item in items if item.get_closest_marker("timeout")}
    items.sort(key=lambda item: (item.path not in longest, item.path not in slow))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if not config.getoption("--golden-table"):
        return
    terminalreporter.write_line("| test against the original authors' numbers | largest relative deviation |")
    terminalreporter.write_line("| --- | ---: |")
    for test, deviation in sorted(golden_data.DEVIATIONS.items()):
        name = (
            test.removeprefix("tests/").replace(".py::", ": ").removeprefix("methods/test_").removeprefix("clip/test_")
        )
        terminalreporter.write_line(f"| {name} | {deviation:.1e} |")
