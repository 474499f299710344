"""A release says the same of itself everywhere."""

from __future__ import annotations

import re
import tomllib

import bench
from tests import ROOT


def test_the_version_is_the_same_everywhere_and_has_an_entry_in_the_changelog() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    entries = re.findall(
        r"^## (\S+) - (\d{4}-\d\d-\d\d)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert project["version"] == bench.__version__
    assert f"\nversion: {bench.__version__}\n" in citation
    dates = dict(entries)
    assert f"\ndate-released: {dates[bench.__version__]}\n" in citation
    assert entries == sorted(entries, reverse=True)
