"""One place opens data sets by name: aliases, folders, and images that are left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import dataset_name
from bench.cli.main import invoke
from bench.data.library import Library
from bench.engine.resources import TrialSettings
from bench.errors import BenchError
from bench.execution import preflight
from bench.execution.execute import trial_settings
from bench.execution.labels import Drawing
from bench.grid.expansion import expand
from bench.grid.options import noise_identity
from bench.records.cell import Cell
from bench.settings.schema import Config, DatasetTable, load_config
from bench.suspects.images import SuspectImages
from tests.cells import make_cell
from tests.data.layouts import coop_layout


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """The pets under their other name, in a folder of the user's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NOISY_PROMPT_BENCH_DATA", str(tmp_path / "nowhere"))
    Path("bench.toml").write_text(
        f'[dataset.oxford_pets]\nroot = "{tmp_path}/pets"\nskip_broken = true\n[grid.mine]\ndataset = ["oxfordpets"]\n'
    )
    coop_layout(tmp_path / "pets", "oxfordpets", monkeypatch)
    return load_config()


def test_every_reader_finds_what_stands_under_an_alias(config: Config, tmp_path: Path) -> None:
    library = Library.of(config.settings.dataset)
    assert library.missing("oxfordpets") == ()
    settings = TrialSettings(**trial_settings(config, "mine", "cpu"))
    found = [
        library.open("oxfordpets"),
        settings.library.open("oxfordpets"),
        Drawing(config, "mine").opened("oxfordpets"),
        SuspectImages(config, None, []).library.open("oxfordpets"),
    ]
    assert {dataset.root for dataset in found} == {tmp_path / "pets"}
    assert {dataset.skip_broken for dataset in found} == {True}


def test_a_run_and_the_list_of_data_sets_agree(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["data", "list", "--json"]) == 0
    assert '"state": "ready"' in capsys.readouterr().out
    from bench.execution.plan import make_plan
    from bench.records.store import Store

    plan = make_plan(expand(config, "mine"), Store("results"))
    preflight.check(plan, trial_settings(config, "mine", "cpu"), texts=False)


def test_two_tables_of_one_data_set_are_an_error() -> None:
    tables = {"oxford_pets": DatasetTable(root="a"), "oxfordpets": DatasetTable(root="b")}
    with pytest.raises(BenchError, match=r"\[dataset.oxford_pets\] and \[dataset.oxfordpets\] are tables of one"):
        Library.of(tables)


def test_leaving_images_out_is_part_of_the_key() -> None:
    """Shots are drawn from positions, which images that are left out shift."""
    plain, skipping = Library(), Library(skip_broken=("dtd",))
    assert plain.identity("dtd") == "dtd 1"
    assert skipping.identity("dtd") == "dtd 1 skip_broken"
    assert skipping.identity("digits") == plain.identity("digits")
    assert noise_identity("open-set[source=dtd]", skipping)["options"]["source"] == "dtd 1 skip_broken"
    assert key(plain) != key(skipping)


def key(library: Library) -> str:
    from bench.grid.keys import versions_of

    cell: Cell = make_cell(dataset="dtd", method="coop", backbone="tiny")
    return cell.key(versions_of(cell, library))


def test_the_keys_of_a_grid_are_those_of_its_records(config: Config) -> None:
    """The key is built in one place for plan and record."""
    from bench.grid.keys import versions_of

    library = Library.of(config.settings.dataset)
    for planned in expand(config, "mine").cells[:3]:
        assert planned.key == planned.cell.key(versions_of(planned.cell, library))
        assert planned.key != planned.cell.key(versions_of(planned.cell))


def test_names_that_are_no_data_set_are_said_to_be_missing() -> None:
    (line,) = Library().missing("nothing")
    assert line.startswith('unknown dataset "nothing"')
    with pytest.raises(BenchError, match='dataset "digits" has no option "size"; the only one is mode'):
        dataset_name.canonical("digits[size=3]")
