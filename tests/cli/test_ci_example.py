"""The workflow to copy and the page about it: valid, and every command in them is one of ours."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
import typer
import yaml

from bench.cli.app import USAGE_ERRORS, app
from bench.settings.schema import load_config
from tests import ROOT

WORKFLOW = ROOT / "examples" / "github-actions.yml"
PAGE = ROOT / "docs" / "ci.md"


def workflow() -> dict[Any, Any]:
    loaded: dict[Any, Any] = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
    return loaded


def scripts() -> list[str]:
    return [step["run"] for job in workflow()["jobs"].values() for step in job["steps"] if "run" in step]


def commands() -> list[list[str]]:
    """Every `bench ...` of workflow and page as arguments, variables replaced by what `env` says."""
    env = workflow()["env"]
    text = "\n".join(scripts()) + "\n" + PAGE.read_text(encoding="utf-8").replace("$ bench", "bench")
    lines = [re.sub(r"\s*\|\|.*", "", line.strip()) for line in text.splitlines() if line.strip().startswith("bench ")]
    filled = [re.sub(r"\$(\w+)", lambda match: str(env[match[1]]), line) for line in lines]
    return [shlex.split(line)[1:] for line in filled]


def test_the_workflow_is_one() -> None:
    loaded = workflow()
    assert set(loaded[True]) == {"pull_request", "push", "workflow_dispatch"}  # YAML 1.1 reads `on` so
    for job in loaded["jobs"].values():
        assert {"runs-on", "timeout-minutes", "steps"} <= set(job)
        assert all(("uses" in step) != ("run" in step) for step in job["steps"])
        assert all("@" in step["uses"] for step in job["steps"] if "uses" in step)
    assert loaded["env"]["GRID"] in load_config(None).settings.grid


def test_what_the_workflow_must_do() -> None:
    text = "\n".join(scripts())
    assert 'bench run --grid "$GRID"' in text
    assert re.search(r"bench compare .*--baseline .*--summary summary\.md", text)
    assert "bench compare --write" in text
    assert "$GITHUB_STEP_SUMMARY" in text
    cached = [step for step in workflow()["jobs"]["gate"]["steps"] if "cache" in step.get("uses", "")]
    assert cached
    assert all("gate" not in step["with"]["path"] for step in cached)  # records are never cached


@pytest.mark.parametrize("arguments", commands(), ids=" ".join)
def test_every_command_exists_with_its_options(arguments: list[str]) -> None:
    command: Any = typer.main.get_command(app)
    verb = command.get_command(None, arguments[0])
    try:
        verb.make_context("bench", arguments[1:])
    except USAGE_ERRORS as error:
        pytest.fail(f"bench {' '.join(arguments)}: {error.format_message()}")


def test_the_page_names_every_exit_code_of_compare() -> None:
    rows = re.findall(r"^\| (\d) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == ["0", "1", "2", "3"]
