"""What the seeds can tell apart in the tables of a frame, by the rule of `bench.standing`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pandas as pd

from bench.reports.names import column_name
from bench.standing import Judged, judged

FEW_SEEDS = 5


def judge(rows: pd.DataFrame, value: str = "last") -> dict[tuple[str, float], Judged]:
    """Compare the trained methods of each noise column; columns without a number are left out.

    Args:
        rows: of one setting, with section, status, label, noise, rate, seed, mask and `value`.
    """
    known = rows[(rows["section"] == "method") & (rows["status"] == "done") & rows[value].notna()]
    blocks = known["seed"].astype(str) + " " + known["mask"]
    columns: dict[tuple[str, float], dict[str, dict[str, float]]] = {}
    for noise, rate, label, block, number in zip(
        known["noise"], known["rate"], known["label"], blocks, known[value], strict=True
    ):
        columns.setdefault((str(noise), float(rate)), {}).setdefault(str(label), {})[block] = float(number)
    return judged(columns)


def resolution(columns: Mapping[tuple[str, float], Judged]) -> tuple[str, ...]:
    """Summarise which orders of best and second the seeds establish; nothing of at most one ranked method."""
    compared = {column: judged for column, judged in columns.items() if len(judged.labels) > 1}
    if not compared:
        return ()
    known = {column: judged for column, judged in compared.items() if judged.seeds > 1}
    if not known:
        return ("One seed cannot separate methods: no spread is known, so marks order the numbers and nothing more.",)
    n = Counter(judged.seeds for judged in known.values()).most_common(1)[0][0]
    moderated = ", moderated variances" if any(judged.spread.df0 for judged in known.values()) else ""
    test = f"a paired t-test over {n} seeds with the same wrong labels{moderated}, two-sided 5 %"
    near = {column: judged.needed(0, 1) for column, judged in known.items() if not judged.apart(0, 1)}
    if not near:
        return (f"Best and second are apart in every column ({test}).",)
    low, high = (f"{needed:.1f}" for needed in (min(near.values()), max(near.values())))
    needed = f"{low} points" if low == high else f"{low} to {high} points"
    where = (
        "in no column" if len(near) == len(known) else "not at " + ", ".join(column_name(*column) for column in near)
    )
    few = f"{n} seeds are too few, and would" if n < FEW_SEEDS else f"{n} seeds would"
    return (f"Best and second are apart {where} ({test}): {few} need differences of {needed} there.",)
