"""`bench reproduce`: a record run again agrees to the bit, and what was changed in it is found."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.cli.main import invoke
from bench.data import library
from bench.data.library import Library
from bench.engine.resources import TrialSettings
from bench.engine.trial import Publish, run_pack
from bench.grid.keys import versions_of
from bench.records.cell import Cell
from bench.records.record import Record
from bench.records.store import Store
from bench.reproduce.differences import changes, compared_outcomes, compared_parts
from tests.cells import make_cell
from tests.few_digits import FewLibrary, cache, few
from tests.reports.factory import changed


def _publish(store: Store) -> Publish:
    def publish(record: Record, sidecar: Mapping[str, Any]) -> None:
        store.publish(record, sidecar)

    return publish


def run(cell: Cell, store: Store) -> str:
    key = cell.key(versions_of(cell))
    run_pack([(key, cell)], _publish(store), TrialSettings(cache=cache()))
    return key


def edited(store: Store, key: str, change: Callable[[dict[str, Any]], None]) -> None:
    """A record of the store changed behind its back."""
    file = Path(store.root) / f"{key}.json"
    values = json.loads(file.read_text())
    change(values)
    file.write_text(json.dumps(values))


def contents(store: Store) -> dict[str, tuple[bytes, int]]:
    return {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in sorted(Path(store.root).iterdir())}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store with one finished record, made by code that is as it is now."""
    monkeypatch.setattr(Library, "open", FewLibrary.open)
    store = Store(tmp_path / "store")
    run(few("coop"), store)
    return store


@pytest.fixture
def key(here: Store) -> str:
    return here.keys()[0]


def options(store: Store) -> list[str]:
    """The store, and image features from the cache of all tests: to encode them anew is the slow part."""
    config = Path(store.root).parent / "cached.toml"
    config.write_text(f"paths.cache = {json.dumps(cache())}\n")
    return ["--store", store.root, "--cached", "--config", str(config)]


def asked(
    capsys: pytest.CaptureFixture[str], store: Store, *arguments: str, cached: bool = True
) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    more = options(store) if cached else ["--store", store.root]
    code = invoke(["reproduce", *arguments, "--json", *more])
    return code, json.loads(capsys.readouterr().out)


def test_a_record_agrees_to_the_bit_and_the_store_is_only_read(here: Store, key: str, capsys: Any) -> None:
    before = contents(here)
    code, found = asked(capsys, here, key[:6], cached=False)
    assert code == 0
    assert found["agree"]
    assert found["expected"]
    assert found["changes"] == found["notes"] == []
    assert found["first_difference"] is None
    compared = {part["name"]: part["compared"] for part in found["parts"]}
    assert compared["curve"] > 30
    assert compared["outcomes"] > 100
    assert compared["noise"] > 10
    assert found["accuracy"]["record"] == found["accuracy"]["now"]
    assert contents(here) == before


def test_a_changed_accuracy_is_named_with_both_values(here: Store, key: str, capsys: Any) -> None:
    last = here.read(key).accuracy.last  # type: ignore[union-attr]
    edited(here, key, lambda values: values["accuracy"].update(last=last + 1e-12))
    assert invoke(["reproduce", key, *options(here)]) == 1
    out = capsys.readouterr().out
    assert f"accuracy.last: {last + 1e-12} in the record, {last} now" in out
    assert "versions, code, data and machine are unchanged: this is a bug." in out


def test_another_version_of_a_package_explains_other_bits(here: Store, key: str, capsys: Any) -> None:
    def older(values: dict[str, Any]) -> None:
        values["provenance"]["versions"]["torch"] = "2.0.0"
        values["provenance"]["processor"] = "Z80"
        values["curve"]["memorized"][1] = 0.123

    edited(here, key, older)
    assert invoke(["reproduce", key, *options(here)]) == 1
    out = capsys.readouterr().out
    assert "not as it was: torch: 2.0.0 in the record, " in out
    assert "memorized at epoch 1: 0.123 in the record, " in out
    assert "as expected: torch and processor have changed since." in out


@pytest.mark.parametrize(
    ("part", "value", "named"),
    [("method", 0, "key: method"), ("backbone", "sha256:0", "key: backbone"), ("dataset", "digits 0", "key: dataset")],
)
def test_a_key_that_was_made_of_other_versions_or_weights_says_of_which(
    here: Store, key: str, capsys: Any, part: str, value: Any, named: str
) -> None:
    record = here.read(key)
    assert record is not None
    assert record.provenance.resolved is not None
    stood_for = {**record.provenance.resolved.model_dump(), part: value}
    old = record.cell.key(stood_for)
    other = changed(record, key=old, provenance={**record.provenance.model_dump(), "resolved": stood_for})
    here.publish(other, here.outcomes(key))
    code, found = asked(capsys, here, old)
    assert code == 0  # the bits are the same all the same
    assert [change["where"] for change in found["changes"]] == [named]
    assert not found["expected"]


def test_an_edited_cell_does_not_make_its_key(here: Store, key: str, capsys: Any) -> None:
    edited(here, key, lambda values: values["cell"].update(learning_rate=0.01))
    code, found = asked(capsys, here, key)
    assert code == 1
    assert found["first_difference"]["where"] == "key"
    assert found["first_difference"]["record"] == key


def test_a_record_that_does_not_note_what_its_key_was_made_of(here: Store, key: str, capsys: Any) -> None:
    edited(here, key, lambda values: values["provenance"].pop("resolved"))
    assert asked(capsys, here, key)[0] == 0
    edited(here, key, lambda values: values["cell"].update(epochs=1))
    code, found = asked(capsys, here, key)
    assert code == 1
    assert found["changes"][0]["where"] == "versions and digests in the key"


def test_outcomes_that_are_torn_or_gone_are_left_out_and_said_so(here: Store, key: str, capsys: Any) -> None:
    sidecar = Path(here.root) / f"{key}.safetensors"
    sidecar.write_bytes(sidecar.read_bytes()[:50])
    code, found = asked(capsys, here, key)
    assert code == 0
    assert "torn" in found["notes"][0]
    sidecar.unlink()
    assert "no per-sample outcomes" in asked(capsys, here, key)[1]["notes"][0]


def test_a_failure_is_reproduced_with_its_reason(here: Store, capsys: Any) -> None:
    failing = run(few("coop", learning_rate=1e30, warmup_epochs=0, seed=3), here)
    record = here.read(failing)
    assert record is not None
    assert record.status == "diverged"
    assert asked(capsys, here, failing)[0] == 0
    edited(here, failing, lambda values: values.update(reason="something else"))
    assert asked(capsys, here, failing)[1]["first_difference"]["where"] == "reason"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"status": "timeout", "reason": "9 s"}, "is timeout, which depends on the machine and not on the cell alone"),
        ({"key": "other"}, "is not a record of this store"),
    ],
)
def test_what_cannot_be_run_again_is_one_line(
    here: Store, key: str, capsys: Any, change: dict[str, str], message: str
) -> None:
    edited(here, key, lambda values: values.update(change))
    assert invoke(["reproduce", key, "--store", here.root]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_unknown_and_ambiguous_keys_are_one_line(here: Store, key: str, capsys: Any) -> None:
    edited(here, key, lambda values: None)
    (Path(here.root) / f"{key[:3]}x.json").write_text("{}")
    for text, message in (("zz", 'has no record "zz"'), (key[:3], "begins 2 keys")):
        assert invoke(["reproduce", text, "--store", here.root]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert invoke(["reproduce", key, "--store", here.root, "--data", "folder:elsewhere"]) == 2
    assert "expected folder:PATH, for a record of a user's own images" in capsys.readouterr().err


@pytest.mark.slow
def test_images_of_ones_own_that_have_moved_or_changed(tmp_path: Path, capsys: Any) -> None:
    generator = np.random.default_rng(0)
    folder = tmp_path / "photos"
    for label, level in (("dark", 40), ("light", 200)):
        (folder / label).mkdir(parents=True)
        for number in range(12):
            pixels = generator.integers(level - 30, level + 30, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{number:02d}.png")
    store = Store(tmp_path / "store")
    key = run(
        make_cell(dataset=f"folder:{folder}", shots=2, noise="given", method="zero-shot", backbone="tiny"),
        store,
    )
    assert asked(capsys, store, key)[0] == 0
    folder.rename(tmp_path / "moved")
    assert invoke(["reproduce", key, "--store", store.root]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    elsewhere = ("--data", f"folder:{tmp_path / 'moved'}")
    code, found = asked(capsys, store, key, *elsewhere)
    assert (code, [c for c in found["changes"] if c["where"].startswith("key")]) == (0, [])
    (tmp_path / "moved" / "dark" / "11.png").unlink()
    library.open_dataset.cache_clear()
    code, found = asked(capsys, store, key, *elsewhere)
    assert code == 1
    assert "key: dataset" in [change["where"] for change in found["changes"]]


def test_every_part_of_a_record_is_looked_at() -> None:
    record = Record(
        schema=1, key="k", status="done", cell=make_cell(), noise={"digest": "a"}, data={"digest": "d", "train": 3},
        curve={"epoch": [0, 1, 1], "memorized": [0.1, 0.2, 0.3]}, accuracy={"last": 0.5}, oracle=["rate"],
        cost={"seconds": 1.0, "optimizer_steps": {"all": 5}}, diagnostics={"gate": [0.1, None]},
    )  # fmt: skip
    assert [part.differing for part in compared_parts(record, record)] == [0] * 8
    for section, value, where in (
        ("noise", {"digest": "b"}, "noise.digest"), ("data", {"digest": "d", "train": 4}, "data.train"),
        ("oracle", [], "number of oracle"), ("accuracy", {}, "accuracy.last"), ("curve", {}, "number of rows of epoch"),
        ("curve", {"epoch": [0, 1, 1], "memorized": [0.1, 0.2, 0.4]}, "memorized at epoch 1 after finalize"),
        ("diagnostics", {"gate": [0.1, 0.0]}, "diagnostics.gate[1]"),
        ("cost", {"seconds": 1.0, "optimizer_steps": {"all": 6}}, "steps.optimizer_steps.all"),
    ):  # fmt: skip
        now = changed(record, **{section: value})
        assert [part.first.where for part in compared_parts(record, now) if part.first] == [where]
    emptied = changed(record, accuracy={}, curve={})
    assert [part.name for part in compared_parts(emptied, record) if part.first] == ["curve", "accuracy"]
    slower = changed(record, cost={**record.cost.model_dump(), "seconds": 9.0})
    assert not any(part.first for part in compared_parts(record, slower))


def test_outcomes_are_compared_by_their_bits() -> None:
    array = np.array([[0.0, np.nan], [1.0, 2.0]], dtype=np.float32)
    assert compared_outcomes({"a": array}, {"a": array.copy(), "b": array}).first is None
    other = array.copy()
    other[0, 0] = -0.0
    part = compared_outcomes({"a": array}, {"a": other})
    assert (part.compared, part.differing) == (4, 1)
    assert part.first is not None
    assert part.first.where == "a[0, 0]"
    assert part.first.record != part.first.now
    assert compared_outcomes({"a": array}, {}).first.now == "absent"  # type: ignore[union-attr]
    assert compared_outcomes({"a": array}, {"a": array.astype(np.float64)}).differing == 4


def test_code_with_uncommitted_changes_is_never_known_to_be_the_same() -> None:
    clean, dirty = {"code": {"commit": "a" * 40, "dirty": False}}, {"code": {"commit": "a" * 40, "dirty": True}}
    assert changes(clean, clean) == []
    assert changes({}, {}) == []
    (change,) = changes(dirty, dirty)
    assert change.record == "aaaaaaaaaa with uncommitted changes"
    assert change.now == "aaaaaaaaaa with uncommitted changes, maybe others"
    assert changes(clean, {})[0].now == "not from a git checkout"


@pytest.mark.parametrize(
    ("origin", "mend"),
    [("file mine.py", "name it with --plugin mine.py."), ("package nearest-mean 0.1.0", "install nearest-mean 0.1.0.")],
)
def test_a_plugin_that_is_not_here_is_named(
    here: Store, origin: str, mend: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def change(values: dict[str, Any]) -> None:
        values["cell"]["method"] = "mine"
        values["provenance"]["plugins"] = {"method": origin}

    (key,) = here.keys()
    edited(here, key, change)
    assert invoke(["reproduce", key, "--store", here.root]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(f'needs the method "mine" of {origin}, which is not here; {mend}')
