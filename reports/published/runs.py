"""Which runs make cells that published numbers can be compared with."""

from __future__ import annotations

import shlex
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import pandas as pd

from bench.reports.document import Code, Words
from bench.reports.names import column_name
from bench.reports.published.numbers import Published, PublishedNumber, published_numbers
from bench.reports.published.protocol import joined
from bench.variants import variant_text

GRID = "paper"  # where no published table has a grid of its own
KINDS = frozenset({"none", "symmetric", "asymmetric"})  # its kinds of noise


def advice(dataset: str, published: Published) -> tuple[int, Words]:
    """Count the numbers of a data set that one run could be compared with, and give its command."""
    known = [
        x for x in published_numbers(published) if x.dataset == dataset and x.comparable and x.noise and x.backbone
        and isinstance(x.shots, int) and x.sheet.seen != "quoted"
    ]  # fmt: skip
    if not known:
        return 0, ("No run would change that: what is known of these numbers does not suffice.",)
    grids = Counter(x.sheet.grid for x in known if x.sheet.grid).most_common(1)
    count, command = _published_grid(known, grids[0][0]) if grids else _paper_grid(known)
    told = f" gives cells that {count} of the published numbers on {dataset} can be compared with."
    return count, (Code(f"bench run {command}"), told)


def coverage(compared: pd.DataFrame, published: Published) -> Iterator[Words]:
    """Explain which numbers of each published table stand beside ours, and which grid makes those that do not.

    Of tables that have a grid, and a number among those compared.
    """
    key = ["sheet", "dataset", "published_as", "noise", "rate"]
    have = set(compared[key].itertuples(index=False, name=None))
    of_table: dict[str, list[PublishedNumber]] = defaultdict(list)
    for number in published_numbers(published):
        if number.sheet.grid and number.comparable:
            of_table[number.table].append(number)
    for table, numbers in of_table.items():
        absent = [x for x in numbers if (table, x.dataset, x.row.method, x.noise, x.rate or 0.0) not in have]
        if len(absent) == len(numbers):
            continue
        told = f"{numbers[0].source.name}, {numbers[0].sheet.title}: {len(numbers) - len(absent)} of {len(numbers)}"
        if absent:
            run = Code(f"bench run --grid {numbers[0].sheet.grid}")
            missing = "; ".join(_places(absent, numbers))
            yield f"{told} numbers stand beside ours, and ", run, f" makes what has no finished record yet: {missing}."
        else:
            yield (f"{told} numbers stand beside ours.",)


def _places(absent: Sequence[PublishedNumber], numbers: Sequence[PublishedNumber]) -> Iterator[str]:
    """List absent cells: data sets wholly absent, then methods on a data set, with their columns where some are."""
    whole = Counter((x.dataset, x.row.method) for x in numbers)
    found: dict[tuple[str, str], list[PublishedNumber]] = defaultdict(list)
    for number in absent:
        found[number.dataset, number.row.method].append(number)
    datasets = Counter(x.dataset for x in absent)
    empty = [name for name, count in datasets.items() if count == sum(x.dataset == name for x in numbers)]
    if empty:
        yield f"all of {joined(empty)}"
    for (dataset, method), lost in found.items():
        if dataset in empty:
            continue
        columns = [column_name(x.noise, x.rate or 0.0) for x in lost]
        yield f"{method} on {dataset}" + ("" if len(lost) == whole[dataset, method] else f" ({', '.join(columns)})")


def _published_grid(known: Sequence[PublishedNumber], grid: str) -> tuple[int, str]:
    """Count the numbers of a published table on a data set, and give the words that run its grid there."""
    chosen = [x for x in known if x.sheet.grid == grid]
    options = {"mode": chosen[0].pool} if chosen[0].pool else {}
    return len(chosen), f"--grid {grid} {_set('dataset', variant_text(chosen[0].dataset, options))}"


def _paper_grid(known: Sequence[PublishedNumber]) -> tuple[int, str]:
    """Count the numbers of the commonest protocol, and give the words that run it with every method's own budget."""
    place = Counter(map(_place, known)).most_common(1)[0][0]
    chosen = [x for x in known if _place(x) == place]
    epochs = Counter(x.budget.epochs for x in chosen if x.budget.epochs).most_common(1)
    chosen = [x for x in chosen if x.budget.epochs in (None, *(count for count, _ in epochs))]
    kinds, rates = dict.fromkeys(x.noise for x in chosen), sorted({x.rate for x in chosen if x.rate})
    sets = {"dataset": chosen[0].dataset, "backbone": str(place[0]), "shots": str(place[1])}
    if not KINDS.issuperset(kinds):
        sets["noise"] = ",".join(kinds)
        sets |= {"rate": ",".join(f"{rate:g}" for rate in rates)} if rates else {}
        sets |= {"epochs": str(epochs[0][0])} if all(x.budget.epochs for x in chosen) else {}
    sets["method"] = ",".join(dict.fromkeys(variant_text(x.method, x.options) for x in chosen))
    return len(chosen), f"--grid {GRID} {' '.join(_set(name, value) for name, value in sets.items())}"


def _set(name: str, value: str) -> str:
    return f"--set {name}={shlex.quote(value)}"


def _place(number: PublishedNumber) -> tuple[object, ...]:
    """Return backbone, shots, and whether the number's table has the grid's kinds of noise."""
    return number.backbone, number.shots, KINDS.issuperset(number.sheet.noise.values())
