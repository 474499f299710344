"""Ten rounds of the harness, `make kills` for more; and that the harness sees what it is there to see."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT
from tests.kills.rounds import Night

SEED = 2715


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(sys.platform != "linux", reason="processes are found by their environment, as on Linux")
def test_ten_rounds() -> None:
    """Two of them on Ray, as this seed draws them."""
    command = [sys.executable, "-m", "tests.kills", "--rounds", "10", "--seed", f"{SEED}", "--ray", "0.2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "10 killed (" in done.stdout
    assert done.stdout.endswith("\n0 faults\n")


def record(method: str, digest: str, accuracy: float) -> str:
    return json.dumps({"cell": {"method": method}, "noise": {"digest": digest}, "accuracy": accuracy, "status": "done"})


@pytest.fixture
def store(tmp_path: Path) -> Night:
    """Two cells, one of which was killed once."""
    found = Night(tmp_path)
    found.store.mkdir()
    (tmp_path / "tmp").mkdir()
    (tmp_path / "begun").write_text("coop/a 10\ncoop/b 20\ncoop/b 40\n")
    for name in ("a", "b"):
        (found.store / f"{name}.json").write_text(record("coop", name, 0.5))
    found.kills.append((30, 31))
    return found


def reference(store: Night) -> dict[str, object]:
    from tests.kills.rounds import contents

    return contents(store.store)


def test_nothing_is_wrong_with_a_store_that_is_right(store: Night) -> None:
    store.compare(reference(store))
    assert store.faults == []


def test_every_fault_of_a_store_is_seen(store: Night, tmp_path: Path) -> None:
    right = reference(store)
    before = store.records()
    (store.store / "a.json").write_text(record("coop", "a", 0.6))
    (store.store / ".1.tmp").write_text("")
    (tmp_path / "tmp" / "noisy-prompt-bench-1").mkdir()
    (tmp_path / "begun").write_text("coop/a 10\ncoop/a 20\ncoop/b 20\ncoop/c 2\ncoop/b 90000000000000000000\n")
    store.compare(right)
    (store.store / "b.json").unlink()
    store._unchanged(before)
    assert [fault.partition(":")[0] for fault in store.faults] == [
        "left in the store", "left in the folder of temporary files", "not as undisturbed",
        "trained twice though nothing was killed", "begun though it had a record", "lost", "changed",
    ]  # fmt: skip
