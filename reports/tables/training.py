"""What becomes of the training samples, as tables: memorized and recovered labels, or agreement with given ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from bench.reports.document import Section, Table
from bench.reports.frame import truth_known
from bench.reports.names import SECTIONS, UNCHANGED
from bench.reports.tables.choice import EVERYTHING, Choice
from bench.reports.tables.columns import head, only, rows_of
from bench.reports.tables.summary import describe, entry_of, legend, settings, spread_text, summarize, usual_seeds

MEASURES = {
    "memorized": "Predicted as the given wrong label (memorized), %",
    "memorized_excess": "Memorized above epoch 0, points",
    "recovered": "Predicted as the true label (recovered), %",
}
SPLIT = "split_share"
WITHOUT_TRUTH = {
    "train_given_accuracy": "Predicted as the given label, right or wrong (agrees with given), %",
    "train_given_accuracy_excess": "Agrees with given above epoch 0, points",
    SPLIT: "Taken to be clean by methods that split the samples, %",
}


def memorization_tables(frame: pd.DataFrame, choice: Choice = EVERYTHING) -> list[Table]:
    """Build the tables of memorized and recovered labels after training: a section per measure, no ranks."""
    kind = _Kind("memorization", "Fate of the mislabeled training samples after the last epoch", MEASURES)
    parts = (_noisy(part) for _, part in settings(frame) if truth_known(part))
    return [table for part in parts for table in _training_tables(kind, part, choice)]


def memorization_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Summarise the measures of mislabeled samples, of the settings that have a table."""
    return _measured(_noisy(frame[frame["truth"]]), MEASURES)


def _noisy(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[~rows["noise"].isin(UNCHANGED)]


def agreement_tables(frame: pd.DataFrame, choice: Choice = EVERYTHING) -> list[Table]:
    """Build the tables of agreement with given labels, where nobody knows which are wrong."""
    title = "Training samples and their given labels after the last epoch"
    note = (
        "Agreement counts right and wrong labels alike, because nobody knows which are wrong: it shows how closely a "
        "method fits what it was given, and is better neither high nor low."
    )
    kind = _Kind("agreement", title, WITHOUT_TRUTH, (note,))
    parts = (part for _, part in settings(frame) if not truth_known(part))
    return [table for part in parts for table in _training_tables(kind, part, choice)]


def agreement_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Summarise the measures of samples of which nobody knows whether their labels are right."""
    return _measured(frame[~frame["truth"]], WITHOUT_TRUTH)


def _measured(rows: pd.DataFrame, measures: Iterable[str]) -> pd.DataFrame:
    found = [summarize(rows, measure).assign(measure=measure) for measure in measures if len(rows)]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


@dataclass(frozen=True)
class _Kind:
    """A kind of table: its name, its title, the headings of its measures, and notes."""

    name: str
    title: str
    measures: Mapping[str, str]
    notes: tuple[str, ...] = ()


def _training_tables(kind: _Kind, rows: pd.DataFrame, choice: Choice) -> list[Table]:
    """Build tables of measures on training samples, of the records that have the first of them."""
    measures = kind.measures
    first = next(iter(measures))
    rows = rows[rows[first].where(rows["status"] == "done", 0).notna()]
    summaries = {measure: summarize(rows, measure) for measure in measures}
    summary = summaries[first]
    if SPLIT in summaries:  # of methods that split the samples alone
        split = summaries[SPLIT]
        summaries[SPLIT] = split[split["label"].isin(split.loc[split["n"] > 0, "label"])]
    if not summary["n"].sum():
        return []
    tables = []
    setting = str(rows["setting"].iloc[0])
    for suffix, columns in choice.column_sets(summary):
        chosen = only(summary, columns)
        n = usual_seeds(chosen)
        sections = tuple(
            Section(heading, rows_of(_sorted(summaries[measure], choice), columns, entry_of(n, choice.digits)))
            for measure, heading in measures.items()
            if summaries[measure]["n"].sum()
        )
        caption = (f"{kind.title} on {describe(rows)}.", *spread_text(n, chosen))
        told, name = (*legend(rows, chosen, n), *kind.notes), f"{kind.name}-{setting}{suffix}"
        tables.append(Table(kind.name, setting, name, head(columns), sections, caption, told, kind.title))
    return tables


def _sorted(summary: pd.DataFrame, choice: Choice) -> pd.DataFrame:
    if choice.methods:
        return summary
    return summary.sort_values("section", key=lambda names: names.map(SECTIONS.index), kind="stable")
