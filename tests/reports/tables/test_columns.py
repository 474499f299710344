from __future__ import annotations

import pandas as pd

from bench.reports.document import TableEntry
from bench.reports.tables.columns import rows_of


def test_one_row_per_label_in_the_order_of_the_frame_with_an_entry_per_column():
    frame = pd.DataFrame(
        [("b", "symmetric", 0.5, 1.0), ("a", "none", 0.0, 2.0), ("b", "none", 0.0, 3.0), ("c", "human", 0.0, 4.0)],
        columns=["first", "noise", "rate", "mean"],
    )
    columns = [("none", 0.0), ("symmetric", 0.5)]
    rows = rows_of(frame, columns, lambda row: TableEntry(text=f"{row['mean']:g}"), label="first")
    assert [(row.label, [entry.text for entry in row.entries]) for row in rows] == [("b", ["3", "1"]), ("a", ["2", ""])]
    assert rows_of(frame[:0], columns, lambda _: TableEntry(text="x"), label="first") == ()
