"""Survey of a Ray cluster before a run: its nodes, and whether they see the store."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from bench.schedulers.claims import visible

ASK_SECONDS: Final = 60.0  # a node may be busy importing


@dataclass(frozen=True)
class Node:
    """Node of a cluster.

    Attributes:
        id: Ray's.
        host: its name.
        cpus: that Ray has there.
        gpus: likewise.
        sees: whether the driver's store is seen there.
    """

    id: str
    host: str
    cpus: float
    gpus: float
    sees: bool = True

    @property
    def name(self) -> str:
        """Name for people; a machine may have several nodes."""
        return f"{self.host} ({self.id[:6]})"

    def slots(self, fraction: float) -> int:
        """Return how many trials fit at a time, each with one CPU and a fraction of a GPU."""
        return math.floor(min(self.cpus, self.gpus / fraction + 1e-9) if fraction else self.cpus)

    def line(self, slots: int, shared: int) -> str:
        """Describe the node in a line."""
        many = [_count(self.cpus, "CPU"), _count(self.gpus, "GPU")] if self.gpus else [_count(self.cpus, "CPU")]
        store = "" if self.sees else "; it does not see the store, so that records come back to this machine"
        return f"node {self.name}: {', '.join(many)}, up to {min(slots, shared)} at a time{store}"


def nodes() -> list[Node]:
    """List the nodes of the cluster that run."""
    import ray

    found = []
    for one in ray.nodes():  # type: ignore[no-untyped-call] # Ray leaves it so
        if one["Alive"]:
            have = one["Resources"]
            found.append(Node(str(one["NodeID"]), one["NodeManagerHostname"], have.get("CPU", 0), have.get("GPU", 0)))
    return found


def surveyed(found: Sequence[Node], store: str, driver: str) -> list[Node]:
    """Ask every node whether it sees the store of a driver. One that does not answer does not."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    ask = ray.remote(num_cpus=0, max_retries=0)(visible)
    asked: dict[Any, Node] = {
        ask.options(scheduling_strategy=NodeAffinitySchedulingStrategy(one.id, soft=False)).remote(store, driver): one
        for one in found
    }
    ready, late = ray.wait([*asked], num_returns=len(asked), timeout=ASK_SECONDS) if asked else ([], [])
    for reference in late:
        ray.cancel(reference, force=True)
    answers = {asked[reference]: _answer(reference) for reference in ready}
    return [Node(one.id, one.host, one.cpus, one.gpus, answers.get(one, False)) for one in found]


def _answer(reference: Any) -> bool:
    import ray

    try:
        return bool(ray.get(reference))
    except Exception:  # noqa: BLE001 - the node has gone, or does not have this package; its cells will say which
        return False


def _count(number: float, unit: str) -> str:
    return f"{number:g} {unit}" + ("" if number == 1 else "s")
