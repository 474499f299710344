"""Published numbers beside ours, as tables and as a part of `report.md`."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from string import ascii_lowercase
from typing import Any

import pandas as pd

from bench import dataset_name
from bench.records.record import Record
from bench.reports.document import Chapter, Code, Entry, Passage, Row, Section, Supplement, Table, Words, in_pieces
from bench.reports.frame import Defaults
from bench.reports.published.match import NEARLY, NONE, REPEATED, SAME, beside
from bench.reports.published.numbers import Number, Published, Replication, load, numbers
from bench.reports.tables.columns import Column, Maker, as_dicts, column_sets, difference_text, entries_of, head, only
from bench.reports.tables.summary import describe, settings, usual_seeds
from bench.variants import variant_text

GRID = "paper"
EXAMPLE = "caltech101"  # its data set
PAPER = frozenset({"none", "symmetric", "asymmetric"})  # its kinds of noise
PAIR = ["label", "sheet", "published_as", "published_epochs"]  # our row and the published one
MOST = 12  # sections of a table that fit on a page
MARKS = {"within seeds": "s", "within replication": "r"}
WORDS = {
    "within seeds": "within the spread of seeds",
    "within replication": "within the usual error of a replication",
    "above": "with ours above",
    "below": "with ours below",
}
SEEN = {
    "paper": "read in the paper",
    "restated": "not seen itself, restated",
    "quoted": "not seen itself, quoted",
    "listing": "not seen itself",
    "log": "logs of runs, no publication",
    "read-me": "the repository's read-me",
    "thread": "an issue thread",
}
INTRO = """\
Numbers that others have printed, logged or quoted, from `reports/published/numbers.toml`, which says of each how it is
known. A number stands beside ours only where nothing known of its protocol contradicts ours; what is not stated, or
differs all the same, is named under the table. None of them is a target: others drew other shots and other wrong
labels."""


_SOME = "Published numbers on {data} that are not compared, {count}, and why:"
_NOTHING = "None of the {count} published numbers on {data} can be compared with these cells:"


def published_part(
    frame: pd.DataFrame, records: Sequence[Record], defaults: Defaults, published: Published | None = None
) -> Supplement:
    """Tables, section and files for the settings of a report.

    Args:
        frame: of `bench.reports.frame.tidy`.
        records: those that it was made of.
        defaults: the methods' default options.
        published: the published numbers; None for the packaged ones.
    """
    published = published or load()
    held = beside(frame, records, published, defaults)
    compared = held[held["grade"].isin((SAME, NEARLY))]
    files = {} if held.empty else {"published": held}
    passages: list[Passage] = []
    tables: list[Table] = []
    datasets = {record.key: record.cell.dataset for record in records}
    for setting, part in settings(frame):
        mine = compared[compared["setting"] == setting]
        made = [] if mine.empty else _tables(part, _ordered(part, mine), published.replication)
        tables += made
        if made:
            files[f"published-{setting}"] = mine
        told = ((summary(mine),),) if made else ()
        rest = _rest(datasets[part["key"].iloc[0]], held[held["setting"] == setting], published)
        passages.append(Passage(describe(part), told, tuple(made), None, *rest))
    return Supplement(tuple(tables), (Chapter("Published numbers", in_pieces(INTRO), tuple(passages)),), files)


def _tables(part: pd.DataFrame, mine: pd.DataFrame, usual: Replication) -> list[Table]:
    """The tables of a setting: one, or one per kind of noise where it is wide, cut where it is long."""
    made: list[Table] = []
    taken: set[Column] = set()  # the clean column stands in the first table alone
    for suffix, found in column_sets(mine):
        columns = [column for column in found if column not in taken]
        taken |= set(columns)
        groups = [rows for _, rows in only(mine, columns).groupby(PAIR, sort=False, dropna=False)]
        for start in range(0, len(groups), MOST):
            page = f"-{start // MOST + 1}" if len(groups) > MOST else ""
            made.append(_table(part, groups[start : start + MOST], columns, f"{suffix}{page}", usual))
    return made


def _table(
    part: pd.DataFrame, groups: Sequence[pd.DataFrame], columns: Sequence[Column], suffix: str, usual: Replication
) -> Table:
    """One section per group, which is a row of ours beside one published table."""
    setting, shown = str(part["setting"].iloc[0]), pd.concat(groups)
    letters = _letters(shown["differences"])
    n = usual_seeds(shown.rename(columns={"ours_n": "n"}))
    sections = tuple(_section(rows, columns, letters, n) for rows in groups)
    spread = f"mean ± sample standard deviation over n = {n} seeds" if n > 1 else "one seed"
    caption = (
        f"Published numbers beside ours: test accuracy (%) on {describe(part)}.",
        f"Ours: after the last epoch, {spread}; published: ± where it is known.",
        summary(shown),
    )
    told = [f"{letter}: {text}." for text, letter in letters.items()]
    notes = (*_legend(shown, len(columns) * len(groups), n, usual), *told, *_provenance(shown))
    return Table("published", setting, f"published-{setting}{suffix}", head(columns), sections, caption, notes)


def _ordered(part: pd.DataFrame, mine: pd.DataFrame) -> pd.DataFrame:
    """The comparisons in the order of our rows, and of the file within a row."""
    rank = {label: index for index, label in enumerate(part["label"].drop_duplicates())}
    return mine.sort_values("label", key=lambda labels: labels.map(rank), kind="stable")


def summary(mine: pd.DataFrame) -> str:
    """How the compared numbers lie, in a plain sentence."""
    counts = Counter(mine["reading"])
    told = ", ".join(f"{counts[name]} {words}" for name, words in WORDS.items() if counts[name])
    same = int((mine["grade"] == SAME).sum())
    grades = f"{same} under the same protocol" if same == len(mine) else f"{same} of them under the same protocol"
    off = mine["difference"]
    many = "comparison" if len(mine) == 1 else "comparisons"
    return (
        f"{len(mine)} {many}, {grades if same else 'none of them under exactly the same protocol'}: {told}; "
        f"mean difference {off.mean():+.1f}, mean absolute difference {off.abs().mean():.1f} points."
    )


def _letters(joined: Iterable[str]) -> dict[str, str]:
    """A letter for each text of difference, in order of appearance."""
    texts = dict.fromkeys(text for cell in joined for text in cell.split("; ") if text)
    names = [*ascii_lowercase, *(a + b for a in ascii_lowercase for b in ascii_lowercase)]
    return dict(zip(texts, names, strict=False))


def _section(rows: pd.DataFrame, columns: Sequence[Column], letters: dict[str, str], n: int) -> Section:
    """Our row, the published one, and their difference with the letters of what is not the same."""
    first = rows.iloc[0]
    told = {letters[text] for cell in rows["differences"] for text in cell.split("; ") if text}
    names = ", ".join(sorted(told, key=lambda name: (len(name), name)))
    lines: dict[str, Maker] = {
        "Ours": partial(_ours, n=n),
        f"{first['source']}, {first['table']}": _published,
        f"Difference ({names})" if names else "Difference": _difference,
    }
    shown = as_dicts(rows)
    made = tuple(Row(label, entries_of(shown, columns, maker)) for label, maker in lines.items())
    return Section(f"{first['label']} ({NEARLY if names else SAME})", made)


def _ours(row: Mapping[str, Any], n: int) -> Entry:
    return Entry(row["ours"], row["ours_sd"], int(row["ours_n"]), show_n=row["ours_n"] != n)


def _published(row: Mapping[str, Any]) -> Entry:
    return Entry(row["published"], row["published_sd"], signs="?" if row["doubt"] else "")


def _difference(row: Mapping[str, Any]) -> Entry:
    return Entry(row["difference"], text=difference_text(row["difference"]), signs=MARKS.get(row["reading"], ""))


def _legend(shown: pd.DataFrame, places: int, n: int, usual: Replication) -> list[str]:
    """What the signs mean, those that occur."""
    error = (
        f"the usual error of a replication (others' run of NLPrompt's own code differs from its table by "
        f"{usual.mean_absolute:g} points in the mean and {usual.largest:g} at most, over {usual.cells} cells)"
    )
    notes = [
        "Difference: ours minus published, in points. s: at most twice the larger standard deviation over seeds; "
        f"r: more, but at most {usual.points:g} points, {error}; neither letter: more than that.",
        f"{NEARLY}: the letters behind the difference say what is not the same, or not known to be.",
        "Precision is float32 here, and half there where it is known; this is not counted as a difference.",
    ]
    if any(count != n for count in shown["ours_n"]):
        notes.append(f"(n): number of finished seeds, where it is not {n}.")
    if len(shown) < places:
        notes.append("–: not published, not to be compared, or not run.")
    doubts = dict.fromkeys(text for cell in shown["doubt"] for text in cell.split("; ") if text)
    return notes + ([f"?: doubtful: {'; '.join(doubts)}."] if doubts else [])


def _provenance(shown: pd.DataFrame) -> list[str]:
    """Where the numbers of each published table are known from."""
    notes = []
    for row in as_dicts(shown.drop_duplicates("sheet")):
        seeds = sorted({int(n) for n in shown.loc[shown["sheet"] == row["sheet"], "published_seeds"].dropna()})
        runs = f"; {' or '.join(map(str, seeds))} seed{'s' if seeds[-1] > 1 else ''}" if seeds else ""
        through = f" in {row['through']}" if row["through"] else ""
        where = ", ".join(filter(None, (row["venue"], row["reference"])))
        notes.append(f"{row['source']}, {row['table']}: {where}; {SEEN[row['seen']]}{through}{runs}.")
    return notes


def _rest(dataset: str, held: pd.DataFrame, published: Published) -> tuple[str, tuple[str, ...], tuple[Words, ...]]:
    """Why the other numbers of a data set are not compared, as a sentence before a list and its items, and what would
    have to be run where few are.
    """
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
    """How many numbers of a data set one run could be compared with, at most, and its command."""
    known = [x for x in numbers(published) if x.dataset == dataset and x.method and x.noise and x.backbone]
    known = [
        x for x in known if isinstance(x.shots, int) and not (x.unusable or x.restated or x.sheet.seen == "quoted")
    ]
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


def _place(number: Number) -> tuple[object, ...]:
    """Backbone, shots, and whether the number's table has the grid's kinds of noise."""
    return number.backbone, number.shots, PAPER.issuperset(number.sheet.noise.values())
