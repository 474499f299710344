"""Published numbers beside ours, as a chapter of the report."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence

import pandas as pd

from bench import dataset_name
from bench.records.record import Record
from bench.reports.document import Chapter, Code, Passage, Supplement, Table, Words, in_pieces
from bench.reports.frame import Defaults
from bench.reports.published.match import NEARLY, NONE, REPEATED, SAME, comparisons
from bench.reports.published.numbers import Published, PublishedNumber, load, published_numbers
from bench.reports.published.tables import ordered, published_tables, summary
from bench.reports.tables.columns import as_dicts
from bench.reports.tables.summary import describe, settings
from bench.variants import variant_text

GRID = "paper"
EXAMPLE = "caltech101"  # its data set
PAPER = frozenset({"none", "symmetric", "asymmetric"})  # its kinds of noise
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
    datasets = {record.key: record.cell.dataset for record in records}
    for setting, part in settings(frame):
        mine = compared[compared["setting"] == setting]
        made = [] if mine.empty else published_tables(part, ordered(part, mine), published.replication)
        tables += made
        if made:
            files[f"published-{setting}"] = mine
        told = ((summary(mine),),) if made else ()
        rest = _rest(datasets[part["key"].iloc[0]], held[held["setting"] == setting], published)
        passages.append(Passage(describe(part), told, tuple(made), None, *rest))
    return Supplement(tuple(tables), (Chapter("Published numbers", in_pieces(INTRO), tuple(passages)),), files)


def _rest(dataset: str, held: pd.DataFrame, published: Published) -> tuple[str, tuple[str, ...], tuple[Words, ...]]:
    """Explain why other numbers of a data set are not compared: a sentence, its list, and what to run."""
    data = dataset_name.shown(dataset)
    if held.empty:
        have = sorted({*published.dataset.values()} - {""})
        _, advice = _advice(EXAMPLE, published)
        text = f"No published number is on {data}, so there is nothing to compare with. There are some on "
        return "", (), ((f"{text}{', '.join(have)}. ", *advice),)
    left = held[held["grade"].isin((NONE, REPEATED))]
    opening = (_SOME if len(left) < len(held) else _NOTHING).format(count=len(left), data=data)
    counts = left.groupby(["source", "table", "reason"], sort=False).size().reset_index(name="count")
    items = tuple(f"{row['count']} of {row['source']}, {row['table']}: {row['reason']}" for row in as_dicts(counts))
    possible, advice = _advice(dataset_name.base(dataset), published)
    few = 2 * (len(held) - len(left)) <= possible
    return opening if items else "", items, (advice,) if few else ()


def _advice(dataset: str, published: Published) -> tuple[int, Words]:
    """Count the numbers of a data set that one run could be compared with, and give its command."""
    known = [
        x for x in published_numbers(published) if x.dataset == dataset and x.method and x.noise and x.backbone
        and isinstance(x.shots, int) and not (x.unusable or x.restated or x.sheet.seen == "quoted")
    ]  # fmt: skip
    if not known:
        return 0, ("No run would change that: what is known of these numbers does not suffice.",)
    place = Counter(map(_place, known)).most_common(1)[0][0]
    chosen = [x for x in known if _place(x) == place]
    epochs = Counter(x.budget.epochs for x in chosen if x.budget.epochs).most_common(1)
    chosen = [x for x in chosen if x.budget.epochs in (None, *(count for count, _ in epochs))]
    kinds, rates = dict.fromkeys(x.noise for x in chosen), sorted({x.rate for x in chosen if x.rate})
    sets = {"dataset": dataset, "backbone": str(place[0]), "shots": str(place[1])}
    if not PAPER.issuperset(kinds):
        sets["noise"] = ",".join(kinds)
        sets |= {"rate": ",".join(f"{rate:g}" for rate in rates)} if rates else {}
        sets |= {"epochs": str(epochs[0][0])} if all(x.budget.epochs for x in chosen) else {}
    sets["method"] = ",".join(dict.fromkeys(variant_text(x.method, x.options) for x in chosen))
    command = " ".join(f"--set {name}={shlex.quote(value)}" for name, value in sets.items())
    count = f"{len(chosen)} of the published numbers on {dataset}"
    run = Code(f"bench run --grid {GRID} {command}")
    return len(chosen), (run, f" gives cells that {count} can be compared with.")


def _place(number: PublishedNumber) -> tuple[object, ...]:
    """Return backbone, shots, and whether the number's table has the grid's kinds of noise."""
    return number.backbone, number.shots, PAPER.issuperset(number.sheet.noise.values())
