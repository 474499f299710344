"""What the seeds can tell apart in the tables of a frame, by the rule of `bench.standing`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import pandas as pd

from bench.reports.document import Section
from bench.reports.tables.columns import Column, column_names
from bench.standing import Judged, judged

FEW_SEEDS = 5
ONE_SEED = "One seed cannot separate methods{}: no spread is known, so marks order the numbers and nothing more."


def judge(rows: pd.DataFrame, value: str = "last") -> dict[Column, Judged]:
    """Compare the trained methods of each noise column; columns without a number are left out.

    Args:
        rows: of one setting, with section, status, label, noise, rate, seed, mask and `value`.
    """
    known = rows[(rows["section"] == "method") & (rows["status"] == "done") & rows[value].notna()]
    blocks = known["seed"].astype(str) + " " + known["mask"]
    columns: dict[Column, dict[str, dict[str, float]]] = {}
    parts = (known["noise"], known["rate"], known["label"], blocks, known[value])
    for noise, rate, label, block, number in zip(*(part.tolist() for part in parts), strict=True):
        columns.setdefault((str(noise), float(rate)), {}).setdefault(str(label), {})[block] = float(number)
    return judged(columns)


def resolution(columns: Mapping[Column, Judged], shared: Collection[Column] = ()) -> tuple[str, ...]:
    """Summarise which orders of best and second the seeds establish; nothing of at most one ranked method.

    Args:
        columns: of the table that are ranked.
        shared: those among them where two are best, which leaves no second.
    """
    compared = {column: found for column, found in columns.items() if len(found.labels) > 1}
    known = {column: found for column, found in compared.items() if found.seeds > 1}
    if not known:
        return (ONE_SEED.format(""),) if compared else ()
    tested = {column: found for column, found in known.items() if column not in shared}
    single = [column for column in compared if column not in known]
    one = (ONE_SEED.format(f" at {column_names(single)}"),) if single else ()
    return (*([_separated(tested, len(columns))] if tested else []), *one)


def shared_best(sections: Iterable[Section], columns: Sequence[Column]) -> set[Column]:
    """Find the columns in which several rows are marked as the best."""
    rows = [row.entries for section in sections for row in section.rows]
    return {column for place, column in enumerate(columns) if sum(row[place].mark == "best" for row in rows) > 1}


def _separated(tested: Mapping[Column, Judged], columns: int) -> str:
    """Describe where best and second are apart, of so many columns, and what it would take elsewhere."""
    near = {column: found.needed(0, 1) for column, found in tested.items() if not found.apart(0, 1)}
    apart, whole = [column for column in tested if column not in near], len(tested) == columns
    moderated = ", moderated variances" if any(found.spread.df0 for found in tested.values()) else ""
    test = f"a paired t-test over {_seeds(tested.values())} with the same wrong labels{moderated}, two-sided 5 %"
    if not near:
        where = "in every column" if whole else f"at {column_names(apart)}"
        return f"Best and second are apart {where} ({test})."
    low, high = (f"{needed:.1f}" for needed in (min(near.values()), max(near.values())))
    needed = f"{low} points" if low == high else f"{low} to {high} points"
    if whole and not apart:
        claim = "apart in no column"
    elif whole or not apart:
        claim = f"not apart at {column_names(near)}"
    else:
        claim = f"apart at {column_names(apart)}, not at {column_names(near)}"
    mine = [found for column, found in tested.items() if column in near]
    few = "are too few, and would" if max(found.seeds for found in mine) < FEW_SEEDS else "would"
    return f"Best and second are {claim} ({test}): {_seeds(mine)} {few} need differences of {needed} there."


def _seeds(several: Iterable[Judged]) -> str:
    """Format how many seeds there are: "3 seeds", or "2 to 3 seeds" where columns differ."""
    counts = {found.seeds for found in several}
    return f"{min(counts)} to {max(counts)} seeds" if len(counts) > 1 else f"{min(counts)} seeds"
