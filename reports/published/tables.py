"""Tables of published numbers beside ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from string import ascii_lowercase
from typing import Any

import pandas as pd

from bench.reports.document import Section, Table, TableEntry, TableRow
from bench.reports.published.match import NEARLY, SAME
from bench.reports.published.numbers import Replication
from bench.reports.tables.columns import Column, Maker, as_dicts, column_sets, difference_text, entries_of, head, only
from bench.reports.tables.summary import describe, usual_seeds

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


def published_tables(part: pd.DataFrame, mine: pd.DataFrame, usual: Replication) -> list[Table]:
    """Build the tables of a setting: one per noise kind where they are wide, cut where they are long."""
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
    """Build a table of one section per group, a row of ours beside one published table."""
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


def ordered(part: pd.DataFrame, mine: pd.DataFrame) -> pd.DataFrame:
    """Sort comparisons by our rows, and by the file within a row."""
    rank = {label: index for index, label in enumerate(part["label"].drop_duplicates())}
    return mine.sort_values("label", key=lambda labels: labels.map(rank), kind="stable")


def summary(mine: pd.DataFrame) -> str:
    """Summarise in a sentence how far the compared numbers are apart."""
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
    """Return a letter for each text of difference, in order of appearance."""
    texts = dict.fromkeys(text for cell in joined for text in cell.split("; ") if text)
    names = [*ascii_lowercase, *(a + b for a in ascii_lowercase for b in ascii_lowercase)]
    return dict(zip(texts, names, strict=False))


def _section(rows: pd.DataFrame, columns: Sequence[Column], letters: dict[str, str], n: int) -> Section:
    """Stack our row, the published row, and their difference with codes of protocol differences."""
    first = rows.iloc[0]
    told = {letters[text] for cell in rows["differences"] for text in cell.split("; ") if text}
    names = ", ".join(sorted(told, key=lambda name: (len(name), name)))
    lines: dict[str, Maker] = {
        "Ours": partial(_ours, n=n),
        f"{first['source']}, {first['table']}": _published,
        f"Difference ({names})" if names else "Difference": _difference,
    }
    shown = as_dicts(rows)
    made = tuple(TableRow(label, entries_of(shown, columns, maker)) for label, maker in lines.items())
    return Section(f"{first['label']} ({NEARLY if names else SAME})", made)


def _ours(row: Mapping[str, Any], n: int) -> TableEntry:
    return TableEntry(row["ours"], row["ours_sd"], int(row["ours_n"]), show_n=row["ours_n"] != n)


def _published(row: Mapping[str, Any]) -> TableEntry:
    return TableEntry(row["published"], row["published_sd"], signs="?" if row["doubt"] else "")


def _difference(row: Mapping[str, Any]) -> TableEntry:
    return TableEntry(row["difference"], text=difference_text(row["difference"]), signs=MARKS.get(row["reading"], ""))


def _legend(shown: pd.DataFrame, places: int, n: int, usual: Replication) -> list[str]:
    error = (
        f"the usual error of a replication (others' run of NLPrompt's own code differs from its table by "
        f"{usual.mean_absolute:g} points in the mean and {usual.largest:g} at most, over {usual.cells} cells)"
    )
    notes = [
        "Difference: ours minus published, in points. s: at most twice the larger standard deviation over seeds; "
        f"r: more, but at most {usual.points:g} points, {error}; neither letter: more than that.",
        f"{NEARLY}: the letters behind the difference say what is not the same, or not known to be.",
    ]
    if any(count != n for count in shown["ours_n"]):
        notes.append(f"(n): number of finished seeds, where it is not {n}.")
    if len(shown) < places:
        notes.append("–: not published, not to be compared, or not run.")
    doubts = dict.fromkeys(text for cell in shown["doubt"] for text in cell.split("; ") if text)
    return notes + ([f"?: doubtful: {'; '.join(doubts)}."] if doubts else [])


def _provenance(shown: pd.DataFrame) -> list[str]:
    """List the source of each published table."""
    notes = []
    for row in as_dicts(shown.drop_duplicates("sheet")):
        seeds = sorted({int(n) for n in shown.loc[shown["sheet"] == row["sheet"], "published_seeds"].dropna()})
        runs = f"; {' or '.join(map(str, seeds))} seed{'s' if seeds[-1] > 1 else ''}" if seeds else ""
        through = f" in {row['through']}" if row["through"] else ""
        where = ", ".join(filter(None, (row["venue"], row["reference"])))
        notes.append(f"{row['source']}, {row['table']}: {where}; {SEEN[row['seen']]}{through}{runs}.")
    return notes
