"""Nodes of a Ray cluster, and second tries of cells on another than they were lost on."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from bench.schedulers.contract import Pack
from bench.schedulers.homes import Homes

Losses: TypeAlias = Mapping[str, Sequence[Mapping[str, Any]]]  # attempts by key, with the node where there was one
LABEL: Final = "ray.io/node-id"
IN_ERROR: Final = re.compile(r"\bID: ([0-9a-f]{56})\b")
LOOK_SECONDS: Final = 10.0


class Placement:
    """Where trials may run.

    Attributes:
        avoided: nodes on which some of the packs were lost, and that others can stand in for.
        homes: nodes of trials that read the same features, see `bench.schedulers.homes`.
        gave_up: whether a trial was found to wait for a node that may never come.
    """

    def __init__(
        self, packs: Iterable[Pack], losses: Losses, usable: Callable[[], set[str]], homes: Homes | None = None
    ) -> None:
        self.losses, self.usable, self.homes, self.gave_up = losses, usable, homes or {}, False
        lost = {node for pack in packs if (node := lost_on(pack, losses))}
        nodes = usable() if lost else set()
        self.avoided = {node for node in lost if nodes - {node}}
        self._looked = time.monotonic()

    def selector(self, pack: Pack) -> dict[str, Any]:
        """Return arguments of a placement group that keep a pack at home, or away from where it was lost."""
        node = lost_on(pack, self.losses)
        if node in self.avoided:
            return {"bundle_label_selector": [{LABEL: f"!{node}"}]}
        home = self.homes.get(pack[0][0], ()) if pack else ()
        return {"bundle_label_selector": [{LABEL: f"in({','.join(home)})"}]} if home else {}

    def stranded(self, ended: Collection[str] = ()) -> bool:
        """Return whether a trial may wait for ever, since all nodes have gone where it may run.

        Args:
            ended: keys of cells whose trials need no node any more.
        """
        bound = self.avoided or self.homes
        if bound and not self.gave_up and time.monotonic() - self._looked >= LOOK_SECONDS:
            self._looked, nodes = time.monotonic(), self.usable()
            left = [home for key, home in self.homes.items() if key not in ended]
            self.gave_up = any(not nodes - {node} for node in self.avoided) or any(
                nodes.isdisjoint(home) for home in left
            )
        return self.gave_up


def lost_on(pack: Pack, losses: Losses) -> str:
    """Return the node on which a pack was last lost, "" for none."""
    found = [str(losses[key][-1].get("node", "")) for key, _ in pack if losses.get(key)]
    return next(filter(None, found), "")


def usable_nodes(fraction: float) -> set[str]:
    """Return the ids of the nodes that run and can hold a trial."""
    import ray

    found = set()
    for node in ray.nodes():  # type: ignore[no-untyped-call] # Ray leaves it so
        have = node["Resources"]
        if node["Alive"] and have.get("CPU", 0) >= 1 and have.get("GPU", 0) >= fraction:
            found.add(str(node["NodeID"]))
    return found


def this_node() -> str:
    """Return the id of the node of this process of Ray's."""
    import ray

    return str(ray.get_runtime_context().get_node_id())


def node_in(error: str) -> str:
    """Return the node that an error of Ray's names, "" for none."""
    found = IN_ERROR.search(error)
    return found[1] if found else ""
