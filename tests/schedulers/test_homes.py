"""Where cells run that read the same features, and that a node computes them once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from bench.schedulers.contract import CellOutcome
from bench.schedulers.homes import LOOSE, features_of, home_nodes
from bench.schedulers.local import Local
from bench.schedulers.nodes import LABEL, LOOK_SECONDS, Placement
from bench.schedulers.work import Work
from tests.schedulers.fakes import VERSIONS, cell, packs


def placed(count: int, datasets: tuple[str, ...], **slots: int) -> dict[str, set[tuple[str, ...]]]:
    """Nodes by data set, of the trials that have any."""
    every = packs(count, datasets=datasets)
    found = home_nodes([(pack,) for pack in every], slots)
    return {
        name: {found[pack[0][0]] for pack in every if pack[0][1].dataset == name and pack[0][0] in found}
        for name in dict.fromkeys(datasets)
    }


def test_each_group_has_a_node_of_its_own_and_its_last_trials_may_run_anywhere() -> None:
    assert placed(16, ("digits", "letters"), a=2, b=2) == {"digits": {("a",)}, "letters": {("b",)}}
    every = packs(16, datasets=("digits", "letters"))
    free = [pack for pack in every if pack[0][0] not in home_nodes([(pack,) for pack in every], {"a": 2, "b": 2})]
    assert Counter(map(features_of, free)) == {"digits tiny": 8 * LOOSE, "letters tiny": 8 * LOOSE}
    assert free == every[-4:]


def test_a_group_that_is_more_than_a_nodes_share_has_several() -> None:
    assert placed(8, ("digits",), a=1, b=1) == {"digits": set()}, "everywhere"
    assert placed(40, ("digits", "digits", "digits", "letters"), a=1, b=1, c=1, d=1) == {
        "digits": {("a", "b", "c")}, "letters": {("d",)}
    }  # fmt: skip
    assert placed(30, ("digits", "letters", "cued_letters"), a=2, b=1, c=0) == {
        "digits": {("a",)}, "letters": {("a",)}, "cued_letters": {("b",)}
    }  # fmt: skip


def test_one_cell_too_many_is_no_reason_to_compute_features_twice() -> None:
    groups = ("digits",) * 26 + ("letters",) * 24
    assert placed(50, groups, a=1, b=1) == {"digits": {("a",)}, "letters": {("b",)}}


def test_a_trial_keeps_to_its_home_until_that_is_gone() -> None:
    (first, second), nodes = packs(2), {"a", "b"}
    placement = Placement([first, second], {}, lambda: nodes, {first[0][0]: ("a",)})
    assert placement.selector(first) == {"bundle_label_selector": [{LABEL: "in(a)"}]}
    assert placement.selector(second) == {}
    placement._looked -= LOOK_SECONDS
    assert not placement.stranded()
    nodes.remove("a")
    placement._looked -= LOOK_SECONDS
    assert not placement.stranded({first[0][0]}), "it has ended"
    placement._looked -= LOOK_SECONDS
    assert placement.stranded()


def test_of_two_workers_one_computes_the_features_of_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, store, told = tmp_path / "log", tmp_path / "store", list[CellOutcome]()
    monkeypatch.setenv("COMPUTED", str(log))
    chosen = [cell(seed, method="zero-shot", options={}) for seed in (1, 2, 3, 4)]
    work = Work(str(store), {"cache": str(tmp_path / "cache")}, "tests.schedulers.counting:run_pack")
    Local().run([((one.key(VERSIONS), one),) for one in chosen], work, 2, told.append, lambda: False)
    assert [one.status for one in told] == ["done"] * 4, told
    computed = Counter(log.read_text(encoding="utf-8").splitlines())
    assert len(computed) >= 2, "training and test set"
    assert set(computed.values()) == {1}
