"""Published numbers beside ours, as a chapter of the report."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from bench import dataset_name
from bench.records.record import Record
from bench.reports.document import Chapter, Passage, Supplement, Table, Words, in_pieces
from bench.reports.frame import Defaults
from bench.reports.published.match import NEARLY, NONE, REPEATED, SAME, comparisons
from bench.reports.published.numbers import Published, load
from bench.reports.published.runs import advice, coverage
from bench.reports.published.tables import ordered, published_tables, summary
from bench.reports.tables.columns import as_dicts
from bench.reports.tables.summary import settings, short_names

EXAMPLE = "caltech101"  # a data set with published numbers
WHOLE = "Published tables, cell by cell"
INTRO = """\
Numbers that others have printed, logged or quoted, from `reports/published/numbers.toml`, which says of each how it is
known. A number stands beside ours only where nothing known of its protocol contradicts ours; what is not stated, or
differs all the same, is named under the table. None of them is a target: others drew other shots and other wrong
labels."""
_SOME = "Published numbers on {data} that are not compared, {count}, and why:"
_NOTHING = "None of the {count} published numbers on {data} can be compared with these cells:"


def published_supplement(
    frame: pd.DataFrame, records: Sequence[Record], defaults: Defaults, published: Published | None = None
) -> Supplement:
    """Build tables, chapter and files of published numbers, by default the packaged ones, for a report."""
    published = published or load()
    held = comparisons(frame, records, published, defaults)
    compared = held[held["grade"].isin((SAME, NEARLY))]
    files = {} if held.empty else {"published": held}
    passages: list[Passage] = []
    tables: list[Table] = []
    names = short_names(frame)
    datasets = {record.key: record.cell.dataset for record in records}
    for setting, part in settings(frame):
        mine = compared[compared["setting"] == setting]
        made = [] if mine.empty else published_tables(part, ordered(part, mine), published.replication)
        tables += made
        if made:
            files[f"published-{setting}"] = mine
        told = ((summary(mine),),) if made else ()
        rest = _rest(datasets[part["key"].iloc[0]], held[held["setting"] == setting], published)
        passages.append(Passage(names[setting], told, tuple(made), None, *rest))
    lined_up = tuple(coverage(compared, published))
    passages = [*([Passage(WHOLE, lined_up)] if lined_up else []), *passages]
    return Supplement(tuple(tables), (Chapter("Published numbers", in_pieces(INTRO), tuple(passages)),), files)


def _rest(dataset: str, held: pd.DataFrame, published: Published) -> tuple[str, tuple[str, ...], tuple[Words, ...]]:
    """Explain why other numbers of a data set are not compared: a sentence, its list, and what to run."""
    data = dataset_name.shown(dataset)
    if held.empty:
        have = sorted({*published.dataset.values()} - {""})
        _, run = advice(EXAMPLE, published)
        text = f"No published number is on {data}, so there is nothing to compare with. There are some on "
        return "", (), ((f"{text}{', '.join(have)}. ", *run),)
    left = held[held["grade"].isin((NONE, REPEATED))]
    opening = (_SOME if len(left) < len(held) else _NOTHING).format(count=len(left), data=data)
    counts = left.groupby(["source", "table", "reason"], sort=False).size().reset_index(name="count")
    items = tuple(f"{row['count']} of {row['source']}, {row['table']}: {row['reason']}" for row in as_dicts(counts))
    possible, run = advice(dataset_name.base(dataset), published)
    few = 2 * (len(held) - len(left)) <= possible
    return opening if items else "", items, (run,) if few else ()
