"""What trackers write of a record."""

from __future__ import annotations

from typing import Any

import pytest

from bench.errors import BenchError
from bench.records.record import Record
from bench.tracking import contract
from tests.reports.factory import cell, changed, record


def test_parameters_hold_every_field_and_option_and_no_path() -> None:
    made = record(cell("gce-coop", dataset="folder:/home/somebody/photos"))
    found = contract.parameters(made)
    assert {name for name in found if "." not in name} == made.cell.model_dump().keys() - {"options"}
    assert (found["option.q"], found["dataset"]) == (0.7, "folder:photos")
    for text in (str(found), contract.title(made), contract.file_name(made)):
        assert "somebody" not in text


def test_results_leave_out_what_is_absent() -> None:
    found = contract.results(record(cell(rate=0.5, noise="symmetric"), 0.75))
    assert (found["accuracy.last"], found["cost.seconds"], found["noise.realised_rate"]) == (0.75, 3.1, 0.5)
    assert "cost.peak_memory_bytes" not in found
    assert "cost.optimizer_steps" not in found
    assert all(isinstance(value, float) for value in found.values())


def test_of_a_repeated_epoch_the_last_row_counts() -> None:
    made = changed(
        record(cell()),
        curve={"epoch": [0, 1, 1], "test_accuracy": [0.5, 0.6, 0.7], "memorized": [None, 0.1, None]},
        diagnostics={"gate": [1.0, 2.0, 3.0]},
    )
    assert contract.history(made) == {
        0: {"test_accuracy": 0.5, "diagnostics.gate": 1.0},
        1: {"test_accuracy": 0.7, "memorized": 0.1, "diagnostics.gate": 3.0},
    }


@pytest.mark.parametrize("name", ["a/../b", 'x"<b>&', "Ω" * 300, ""])
def test_a_name_of_a_file_is_one_that_any_file_system_takes(name: str) -> None:
    made = record(cell(dataset=f"folder:{name}"))
    found = contract.file_name(made)
    assert found.endswith(f"-{made.key}")
    assert len(found) < 130
    assert not set(found) & set('/\\<>:"|?* ')


def test_a_digest_tells_records_of_one_cell_apart() -> None:
    one, other = record(cell(), 0.5), record(cell(), 0.6)
    assert contract.digest(one) == contract.digest(record(cell(), 0.5)) != contract.digest(other)


def test_a_missing_package_is_one_line() -> None:
    with pytest.raises(BenchError, match=r"--mlflow needs the package no_such .*\[tracking\]"):
        contract.package("no_such.tracking", "--mlflow")


class Recorder:
    """Tracker that remembers, and fails at a cell on order."""

    def __init__(self, fails_at: int = 0) -> None:
        self.fails_at, self.said = fails_at, list[Any]()

    def begin(self) -> None:
        self.said.append("begin")

    def cell(self, record: Record) -> None:
        self.said.append(record.key)
        if len(self.said) == self.fails_at + 1:
            raise ValueError("as ordered")

    def end(self) -> None:
        self.said.append("end")


def test_records_are_handed_over_in_order_and_the_tracker_is_closed_when_one_fails() -> None:
    records = [record(cell(seed=seed)) for seed in (1, 2, 3)]
    keys = [one.key for one in records]
    good, bad = Recorder(), Recorder(fails_at=2)
    assert contract.hand_over(records, good) == 3
    assert good.said == ["begin", *keys, "end"]
    with pytest.raises(BenchError, match=f"record {keys[1]} cannot be tracked: as ordered"):
        contract.hand_over(records, bad)
    assert bad.said == ["begin", *keys[:2], "end"]
