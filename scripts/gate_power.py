"""What the regression gate sees and what it flags by mistake, on accuracies of the ci grid that were measured.

`tests/ci_seeds.json` holds the grid under many seeds; it is made by

    bench run --grid ci --set seed=1,2,...,20 --store results/seeds
    bench compare --write --baseline tests/ci_seeds.json --store results/seeds

Baseline and rerun are drawn from these seeds, over and over: with the same seeds, or with none in common. With the same
seeds also as a change that draws one method's random numbers anew: its accuracies are then those of other seeds.

Usage: python scripts/gate_power.py
"""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from bench.records.cell import Cell
from bench.records.record import Record
from bench.regression.baseline import SeedGroup, read_baseline
from bench.regression.comparison import Comparison, compare, write_baseline

MEASURED = Path(__file__).parent.parent / "tests" / "ci_seeds.json"
# seeds of the baseline, of the rerun, and whether they are the same
DESIGNS = (
    (3, 3, True), (2, 2, False), (3, 3, False), (5, 5, False), (10, 3, False), (2, 2, True), (5, 5, True),
)  # fmt: skip
METHODS, DROPS, DRAWS = ("coop", "gce-coop", "visprompt"), (2, 3, 5), 100


def records(
    groups: list[SeedGroup], seeds: list[int], method: str = "", drop: float = 0.0, drawn: list[int] | None = None
) -> list[Record]:
    """Records with the measured accuracies; of one method `drop` points less, or those of the seeds in `drawn`."""
    found = []
    for group in groups:
        mine = group.cell["method"] == method and group.cell["subset"] == "all"
        for seed, other in zip(seeds, drawn if mine and drawn else seeds, strict=True):
            cell = Cell(**group.cell, seed=seed)
            accuracy = {"last": (group.accuracy[other] - drop * mine) / 100}
            found.append(Record(schema=1, key=cell.key({}), status="done", cell=cell, accuracy=accuracy))
    return found


def caught(comparison: Comparison, method: str) -> bool:
    """Whether a cell of the method, or its average, is worse."""
    return any(finding.label.split(" · ")[-1].partition("[")[0] == method for finding in comparison.of("worse"))


def main() -> None:
    """Print one row per number of seeds: false alarms, and the share of drops that are caught."""
    groups = list(read_baseline(MEASURED).groups.values())
    known = sorted(set.intersection(*(set(group.accuracy) for group in groups)))
    generator, path = np.random.default_rng(0), Path(tempfile.mkdtemp()) / "baseline.json"
    print(f"{len(known)} seeds of {len(groups)} cells, {DRAWS} draws each")
    for before, now, same in DESIGNS:
        alarms, hits, anew = 0, Counter[tuple[str, int]](), Counter[str]()
        for _ in range(DRAWS):
            drawn = [int(seed) for seed in generator.permutation(known)]
            write_baseline(records(groups, drawn[:before]), path)
            seeds = drawn[:before] if same else drawn[before : before + now]
            alarms += compare(records(groups, seeds), path).exit_code
            for method in METHODS:
                if same:
                    other = records(groups, seeds, method, drawn=drawn[before : 2 * before])
                    anew[method] += compare(other, path).exit_code
                for drop in DROPS:
                    hits[method, drop] += caught(compare(records(groups, seeds, method, drop), path), method)
        shares = ", ".join(f"{method} -{drop}: {hits[method, drop] / DRAWS:.0%}" for method, drop in sorted(hits))
        told = [shares, *(f"{method} drawn anew {anew[method] / DRAWS:.0%}" for method in METHODS if same)]
        which = "the same" if same else "others"
        print(f"{before} and {now} seeds, {which}: {alarms} false alarms; {', '.join(told)}", flush=True)


if __name__ == "__main__":
    main()
