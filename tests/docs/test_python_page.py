"""What docs/python.md says, against what `import bench` offers."""

from __future__ import annotations

import re

import pytest

import bench
from bench.api.axes import Axes, RunOptions
from bench.plugins import METHODS
from tests import ROOT

PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_every_name_is_on_the_page_and_every_name_on_it_is_one() -> None:
    named = {*re.findall(r"\bbench\.(\w+)", PAGE)} - {"toml"}
    assert named <= {*bench.__all__}
    assert [name for name in bench.__all__ if not re.search(rf"\b{name}\b", PAGE)] == ["Results"]


def test_every_option_of_a_run_that_is_no_axis_is_on_the_page() -> None:
    for name in {*RunOptions.__annotations__} - {*Axes.__annotations__}:
        assert f"`{name}`" in PAGE, name


@pytest.mark.usefixtures("registries")
def test_its_code_runs() -> None:
    assert len(BLOCKS) == 3
    for block in BLOCKS:
        compile(block, "docs/python.md", "exec")
    exec(BLOCKS[-1], {})
    assert issubclass(METHODS.get("half"), bench.CoOp)


def test_files_that_it_names_are_there() -> None:
    for link in re.findall(r"\]\(([^)]+)\)", PAGE):
        assert (ROOT / "docs" / link).exists(), link
