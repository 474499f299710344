"""Bootstrap intervals of averages over data sets."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from bench.reports.document import Section, Table, TableEntry
from bench.reports.tables.averages import BY, DatasetGroup, lacking_note
from bench.reports.tables.columns import column_sets, head, rows_of

FEWEST_BOOTSTRAP = 5  # data sets of a bootstrap: 126 different draws; of 4 there are 35, too few for 2.5 % tails
DRAWS = 2000
SEED = 20260


def bootstrap_frame(group: DatasetGroup) -> pd.DataFrame:
    """Average each row and column over data sets, with a 95 % bootstrap interval, `low` to `high`.

    Percentiles over `DRAWS` draws of the data sets, from a fixed generator: the same records give the same intervals.
    Empty where the data sets are fewer than `FEWEST_BOOTSTRAP`. Rows that lack a data set are left out.
    """
    count = len(group.datasets)
    means = group.means
    wide = means.pivot_table(index=BY, columns="dataset", values="last", sort=False, observed=True)
    wide = wide.reindex(columns=list(group.datasets)).dropna()
    if count < FEWEST_BOOTSTRAP or wide.empty:
        return pd.DataFrame()
    values = wide.to_numpy(dtype=float)
    interval = stats.bootstrap(
        (values,), np.mean, axis=1, n_resamples=DRAWS, batch=100, method="percentile", rng=np.random.default_rng(SEED)
    ).confidence_interval
    found = wide.index.to_frame(index=False)
    return found.assign(
        datasets=count, average=values.mean(axis=1), low=interval.low, high=interval.high, group=group.name
    )


def bootstrap_tables(group: DatasetGroup, found: pd.DataFrame) -> list[Table]:
    """Build the tables of intervals, methods by noise."""
    tables = []
    for suffix, columns in column_sets(found) if len(found) else []:
        rows = rows_of(
            found,
            columns,
            lambda row: TableEntry(text=f"{row['average']:.1f} [{row['low']:.1f}, {row['high']:.1f}]"),
        )
        caption = (
            f"Averages over {len(group.datasets)} data sets, {group.words}, with 95 % bootstrap intervals.",
            f"{DRAWS} draws of the data sets, percentiles: how far an average hangs on the choice of data sets.",
            "Intervals of two methods may overlap where one is above the other on every data set.",
        )
        lacking = set(group.rows["label"]) - set(found["label"])
        notes = (f"Data sets: {', '.join(group.datasets)}.", *lacking_note(lacking))
        name = f"statistics-{group.name}-averages{suffix}"
        tables.append(Table("statistics", group.name, name, head(columns), (Section("", rows),), caption, notes))
    return tables
