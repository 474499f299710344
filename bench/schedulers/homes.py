"""Homes of cells on a cluster: those that read the same features run on the same nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from bench.schedulers.contract import Pack

Homes: TypeAlias = Mapping[str, tuple[str, ...]]  # ids of nodes, by the key of the first cell of a trial
SPILL: Final = 0.1  # of what is a node's to do, above which a group has another node too
LOOSE: Final = 0.25  # of the trials of a group, the last ones: they may run anywhere, so that no node ends early


def features_of(pack: Pack) -> str:
    """Name the frozen features that the cells of a pack read: those of a data set by a backbone.

    >>> features_of(())
    ''
    """
    return f"{pack[0][1].dataset} {pack[0][1].backbone}" if pack else ""


def home_nodes(bundles: Sequence[Sequence[Pack]], slots: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
    """Choose nodes for trials, so that few nodes compute the same features and each has its share of the cells.

    Args:
        bundles: the packs of each trial, all of one group of features.
        slots: how many trials each node runs at a time.

    Returns:
        The nodes of each trial that may not run everywhere.
    """
    groups: dict[str, list[Sequence[Pack]]] = {}
    for bundle in bundles:
        groups.setdefault(features_of(bundle[0]), []).append(bundle)
    cells = {name: sum(len(pack) for bundle in group for pack in bundle) for name, group in groups.items()}
    whole, places = sum(cells.values()), sum(slots.values())
    share = {node: whole * count / places for node, count in slots.items() if count}
    left, found = dict(share), dict[str, tuple[str, ...]]()
    for name in sorted(groups, key=lambda name: -cells[name]):
        chosen, rest = list[str](), float(cells[name])
        while (more := [node for node in left if node not in chosen]) and (
            not chosen or rest > SPILL * share[chosen[-1]]
        ):
            node = max(more, key=lambda node: left[node])
            taken = min(rest, max(left[node], 0.0))
            left[node] -= taken
            rest -= taken
            chosen.append(node)
        if len(chosen) < len(share):
            pinned = groups[name][: len(groups[name]) - int(LOOSE * len(groups[name]))]
            found |= {bundle[0][0][0]: tuple(chosen) for bundle in pinned}
    return found
