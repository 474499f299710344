"""The command that a record names as its own asks for the record's key, and for nothing else."""

from __future__ import annotations

import random
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest

from bench.cli.invocation import invocation_of
from bench.grid.expansion import cells, expand
from bench.grid.overrides import override
from bench.records.cell import Cell
from bench.settings.layers import read_layers
from bench.settings.schema import Config, load_config, validated

GRIDS = (
    "quick", "ci", "embedded", "noise", "defects", "suspects", "paper", "full", "nlprompt", "tecoprompt", "joapr",
    "srrs", "visprompt",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def asked_for(command: str, config: Config) -> tuple[Config, list[Cell]]:
    """The cells of a command as a shell reads it."""
    words = shlex.split(command)
    assert words[:2] == ["bench", "run"]
    assert set(words[2::2]) == {"--set"}
    changed = override(config, "quick", words[3::2])
    return changed, [cell for cell, _ in cells(changed, "quick")]


@pytest.mark.parametrize("grid", GRIDS)
def test_a_cell_of_any_grid_is_asked_for_under_the_settings_of_quick(grid: str) -> None:
    config = load_config()
    found = [cell for cell, _ in cells(config, grid)]
    for cell in random.Random(grid).sample(found, 10):
        made = invocation_of(cell, config, "quick")
        assert made.doubt == ""
        assert asked_for(made.command(), config)[1] == [cell]


def test_the_key_is_that_of_the_grid() -> None:
    config = load_config()
    for planned in expand(config, "ci").cells[::7]:
        changed, _ = asked_for(invocation_of(planned.cell, config, "quick").command(), config)
        assert [one.key for one in expand(changed, "quick").cells] == [planned.key]


def changed_settings(text: str) -> Config:
    layers = read_layers()
    layers.lay(tomllib.loads(text), "mine.toml")
    return validated(layers)


def test_options_of_the_settings_are_named_where_the_cell_has_others() -> None:
    plain = load_config()
    ((cell, _),) = cells(override(plain, "quick", ["method=gce-coop", "noise=none", "seed=1"]), "quick")
    assert "--set method=gce-coop " in invocation_of(cell, plain, "quick").command() + " "
    other = changed_settings("[method.gce-coop]\nq = 0.3\n[grid.quick]\nweight_decay = 0.1\n")
    command = invocation_of(cell, other, "quick").command()
    assert "--set 'method=gce-coop[q=0.7]'" in command
    assert "--set weight_decay=0.0005" in command
    assert asked_for(command, other)[1] == [cell]


def of(cell: Cell, **changes: Any) -> Cell:
    return cell.model_copy(update=changes)


def test_what_cannot_be_asked_for_here_is_said() -> None:
    config = load_config()
    cell = next(cell for cell, _ in cells(config, "quick"))
    assert 'unknown method "gone"' in invocation_of(of(cell, method="gone"), config, "quick").doubt
    assert 'has no option "old"' in invocation_of(of(cell, options={"old": 1}), config, "quick").doubt
    assert (
        invocation_of(of(cell, options={}), config, "quick").doubt
        == "the settings or the version here give it other options"
    )
    assert "cannot be read" in invocation_of(of(cell, backbone="gone.pt"), config, "quick").doubt
    strict = changed_settings('[grid.quick]\nexclude = [{ dataset = "digits", noise = "none" }]\n')
    assert "has 0 cells with these values" in invocation_of(cell, strict, "quick").doubt


def test_a_path_with_commas_and_blanks_can_be_pasted() -> None:
    config = load_config()
    cell = next(cell for cell, _ in cells(config, "quick"))
    moved = of(cell, dataset="folder:my photos, 2024")
    command = invocation_of(moved, config, "quick").command()
    assert """--set 'dataset="folder:my photos, 2024"'""" in command
    assert asked_for(command, config)[1] == [moved]
