"""Second tries on another node of a cluster."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.records.store import Store
from bench.schedulers.nodes import LABEL, LOOK_SECONDS, Placement, lost_on, node_in
from bench.schedulers.ray_tune import _by_node
from tests import ROOT
from tests.schedulers.fakes import packs

A, B = "a" * 56, "b" * 56
FIRST, SECOND, THIRD = packs(3)
LOSSES = {FIRST[0][0]: [{"node": A}], SECOND[0][0]: [{"node": A}, {"status": "failed"}], THIRD[0][0]: [{"node": B}]}


def test_a_pack_avoids_the_node_where_it_was_last_lost() -> None:
    assert [lost_on(pack, LOSSES) for pack in (FIRST, SECOND, THIRD, ())] == [A, "", B, ""]
    placement = Placement([FIRST, SECOND], LOSSES, lambda: {A, B})
    assert placement.selector(FIRST) == {"bundle_label_selector": [{LABEL: f"!{A}"}]}
    assert placement.selector(SECOND) == placement.selector(THIRD) == {}
    assert [len(bundle) for bundle in _by_node([FIRST, SECOND, THIRD], LOSSES, 1, {})] == [1, 1, 1]


def test_where_there_is_no_other_node_it_is_not_avoided() -> None:
    assert Placement([FIRST], LOSSES, lambda: {A}).selector(FIRST) == {}
    assert Placement([FIRST], {}, lambda: {A, B}).selector(FIRST) == {}


def test_a_trial_does_not_wait_for_ever_for_nodes_that_have_gone() -> None:
    nodes = {A, B}
    placement = Placement([FIRST], LOSSES, lambda: nodes)
    assert not placement.stranded()
    nodes.discard(B)
    assert not placement.stranded(), "it is looked at every few seconds"
    placement._looked -= LOOK_SECONDS
    assert placement.stranded()
    nodes.add(B)
    assert placement.stranded(), "once and for all, of these packs"


def test_the_node_of_an_error_is_read() -> None:
    text = f"Task was killed due to the node running low on memory. Memory on the node (IP: 10.0.0.1, ID: {A}) where"
    assert node_in(text) == A
    assert node_in("The actor died unexpectedly") == ""


PROGRAM = """
import json, sys
from ray.cluster_utils import Cluster
from bench.schedulers.ray_tune import RayTune
from tests.execution import driver
nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
nodes.add_node(num_cpus=1)
driver.scheduler = lambda _: RayTune(nodes.address)
driver.main(json.loads(sys.argv[1]))
nodes.shutdown()
"""


@pytest.mark.slow
@pytest.mark.long
def test_on_a_cluster_of_two_the_second_try_is_on_the_other(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    order = {"store": str(store), "log": str(tmp_path / "log"), "name": "a", "count": 3}
    command = [sys.executable, "-c", PROGRAM, json.dumps({**order, "mishaps": {"1": "die once", "2": "die once"}})]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 3), done.stderr
    records = [record for pack in packs(3) if (record := Store(store).read(pack[0][0]))]
    assert [[tried["status"] for tried in record.attempts] for record in records] == [["failed"], ["failed"], []]
    assert all(tried["node"] for record in records for tried in record.attempts)
    for record in records[:2]:
        assert record.noise.node
        assert record.noise.node != (store / f"{record.cell.seed}.died").read_text()
