"""The kinds of tables; a new one is a row here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd

from bench.reports.document import Table
from bench.reports.tables.accuracy import accuracy_tables
from bench.reports.tables.choice import Choice
from bench.reports.tables.cost import cost_frame, cost_tables
from bench.reports.tables.summary import summarize
from bench.reports.tables.training import agreement_frame, agreement_tables, memorization_frame, memorization_tables


@dataclass(frozen=True)
class TableKind:
    """One kind of table: the tables of all settings, and the numbers of a CSV file (without columns: none)."""

    tables: Callable[[pd.DataFrame, Choice], list[Table]]
    numbers: Callable[[pd.DataFrame], pd.DataFrame]


# In the order of the report; the name begins those of its tables, and its CSV file has it. A figure of the same name
# stands above the table.
KINDS: Mapping[str, TableKind] = {
    "accuracy": TableKind(accuracy_tables, summarize),
    "memorization": TableKind(memorization_tables, memorization_frame),
    "agreement": TableKind(agreement_tables, agreement_frame),
    "cost": TableKind(cost_tables, cost_frame),
}
