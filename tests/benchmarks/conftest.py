"""Says below the table what was compared with what: pytest-benchmark itself shows one side alone."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any) -> None:
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties:
            if name == "comparison":
                terminalreporter.write_line(f"{report.nodeid.split('::')[-1]}: {value}")
