"""A cluster of two nodes on this machine, of which one goes and one comes while `bench run --address` is at work."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from tests import ROOT
from tests.kills.processes import left
from tests.kills.rounds import CELLS, night, undisturbed

# Says its address, and at each line that it reads removes the second node and adds another.
PROGRAM = """
import sys
from ray.cluster_utils import Cluster
nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
second = nodes.add_node(num_cpus=1)
print(nodes.address, flush=True)
for _ in sys.stdin:
    nodes.remove_node(second, allow_graceful=False)
    second = nodes.add_node(num_cpus=1)
    print("done", flush=True)
nodes.shutdown()
"""


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="Ray forms no cluster of several nodes on one machine elsewhere")
def test_a_node_goes_and_another_comes() -> None:
    reference = undisturbed()
    with night() as store:
        cluster = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, start_new_session=True, env=store.environment(9),
        )  # fmt: skip
        assert cluster.stdin is not None
        assert cluster.stdout is not None
        try:
            address = cluster.stdout.readline().strip()
            assert address, "the cluster did not start"
            run = store.start("ray", 2, 2, 0, "--address", address)
            while len(store.begun) < CELLS // 4 and run.poll() is None:
                time.sleep(0.05)
            assert run.poll() is None, run.communicate()
            before = time.time_ns()
            cluster.stdin.write("\n")
            cluster.stdin.flush()
            assert cluster.stdout.readline() == "done\n"
            assert len(store.begun) < CELLS, "it is in mid-grid"
            store.kills.append((before, time.time_ns()))
            store.expect(0, run)
        finally:
            cluster.stdin.close()
            cluster.stdout.close()
            cluster.wait(60)
            left(store._mark(9), 0)
        store.compare(reference)
        assert store.faults == []
