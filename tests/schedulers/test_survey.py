"""Clusters whose nodes do not all see the driver's store: the driver writes what their workers hand over."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from bench.execution.collector import Collector
from bench.execution.execute import Request, Setup
from bench.records.store import OUTCOMES_FILE, Store
from bench.schedulers.claims import FOLDER, Fleet, visible
from bench.schedulers.local import Local
from bench.schedulers.survey import Node
from bench.schedulers.work import Work
from bench.settings.schema import load_config
from tests import ROOT
from tests.execution.driver import plan_of
from tests.schedulers.fakes import packs

FAKE = "tests.schedulers.fakes:run_pack", "builtins:dict"


def test_a_store_is_seen_where_the_drivers_heartbeat_is(tmp_path: Path) -> None:
    root = str(tmp_path / "store")
    with Fleet(root, pytest.fail, 3600.0) as fleet:
        assert visible(root, fleet.claims.owner.id)
        assert not visible(str(tmp_path / "elsewhere"), fleet.claims.owner.id)
        assert not visible(root, "f" * 32)
        assert not visible("no-such-protocol://x", "f" * 32)


def test_a_worker_that_does_not_see_the_store_hands_over_and_the_driver_writes_the_same_bytes(tmp_path: Path) -> None:
    here, there, (pack,) = tmp_path / "here", tmp_path / "there", packs(3, 3)
    plan, told = plan_of(str(here), 3), list[str]()
    setup = Setup(Local(), "ray", 1, "cpu", (pack,))
    with Fleet(str(here), pytest.fail, 3600.0) as fleet:
        collector = Collector(
            plan, fleet, load_config(), setup, Request(address="auto"), lambda one, _: told.append(one.key)
        )
        work = collector.work(Work(str(there), {}, *FAKE))
        assert work.driver
        assert replace(work, store=str(here)).taken(pack) == {}, "the driver claims what its workers cannot"
        assert {fleet.claims.holder(key) for key, _ in pack} == {fleet.claims.owner}
        outcomes, spent = work(pack)
        assert not spent
        assert not there.exists()
        assert [bool(one.handed) for one in outcomes] == [True] * 3
        for outcome in outcomes:
            collector.take(outcome)
        assert not any(one.handed for one in collector.progress.done), "the bytes are not kept"
        assert all(fleet.claims.holder(key) is None for key, _ in pack)
    assert told == [key for key, _ in pack]
    Work(str(tmp_path / "plain"), {}, *FAKE)(pack)
    for key, _ in pack:
        name = f"{key}{OUTCOMES_FILE}"
        assert (here / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()
        mine, plain = Store(here).read(key), Store(tmp_path / "plain").read(key)
        assert mine is not None
        assert mine == plain


def test_a_line_says_what_a_node_has_and_what_runs_there() -> None:
    node = Node("3fa2c1" + "0" * 50, "gpu7", 8.0, 2.0)
    assert (node.slots(0), node.slots(0.25), node.slots(1), node.slots(1 / 3)) == (8, 8, 2, 6)
    assert node.line(8, 20) == "node gpu7 (3fa2c1): 8 CPUs, 2 GPUs, up to 8 at a time"
    assert Node("a" * 56, "n", 1.0, 0.0, False).line(1, 4) == (
        "node n (aaaaaa): 1 CPU, up to 1 at a time; it does not see the store, so that records come back to this "
        "machine"
    )


PROGRAM = """
import json, os, sys
from ray.cluster_utils import Cluster
from bench.schedulers.ray_tune import RayTune
from tests.execution import driver
order = json.loads(sys.argv[1])
nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
nodes.add_node(num_cpus=1, env_vars={"HOME": order["other"]})
told = []
driver.scheduler = lambda _: RayTune(nodes.address, tell=lambda lines, room: told.extend([*lines, room]))
driver.main({**order, "address": nodes.address})
print(json.dumps(["nodes", *told]))
nodes.shutdown()
"""


@pytest.mark.slow
@pytest.mark.long
def test_on_a_cluster_without_a_shared_folder_every_record_is_in_the_drivers_store(tmp_path: Path) -> None:
    """The second node has another home, so that the path of the store is another folder there."""
    chosen = packs(8, datasets=("digits", "letters"))
    home, other = tmp_path / "home", tmp_path / "other"
    home.mkdir()
    other.mkdir()
    order = {
        "store": "~/store",
        "log": str(tmp_path / "log"),
        "name": "a",
        "count": 8,
        "datasets": ["digits", "letters"],
        "workers": 2,
        "other": str(other),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        done = subprocess.run([sys.executable, "-c", PROGRAM, json.dumps({**order, "scheduler": "ray"})], check=False,
                              cwd=ROOT, capture_output=True, text=True, timeout=300)  # fmt: skip
    assert done.returncode == 0, done.stderr
    *rows, (_, *lines, room) = [json.loads(line) for line in done.stdout.splitlines()]
    assert [status for _, status, _ in rows] == ["done"] * 8
    assert sorted("does not see the store" in line for line in lines) == [False, True]
    assert room == 2
    assert Store(home / "store").keys() == sorted(pack[0][0] for pack in chosen)
    assert len(list((home / "store").glob(f"*{OUTCOMES_FILE}"))) == 8
    assert not (home / "store" / FOLDER).exists()
    assert not (other / "store").exists(), "nothing is written where nobody looks"
    where = {record.key: record.noise.node for record in Store(home / "store").records()}
    first, second = ([where[pack[0][0]] for pack in chosen[start:8:2][:3]] for start in (0, 1))
    assert len({*first}) == len({*second}) == 1, "cells that read the same features are on one node, but for the last"
    assert {*first} != {*second}
    assert Counter(line for line in (tmp_path / "log").read_text().splitlines()) == Counter(
        f"a {n}" for n in range(1, 9)
    )
