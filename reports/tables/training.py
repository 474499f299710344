"""What becomes of the training samples, as tables: memorized and recovered labels, or agreement with given ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

from bench.reports.document import Section, Table
from bench.reports.frame import truth_known
from bench.reports.names import SECTIONS, UNCHANGED
from bench.reports.tables.columns import column_sets, head, only, rows_of
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


def memorization_tables(frame: pd.DataFrame) -> list[Table]:
    """Build the tables of memorized and recovered labels after training: a section per measure, no ranks."""
    title = "Fate of the mislabeled training samples after the last epoch on {}."
    return [
        table
        for setting, part in settings(frame)
        if truth_known(part)
        for table in _training_tables("memorization", setting, _noisy(part), MEASURES, title.format(describe(part)))
    ]


def memorization_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Summarise the measures of mislabeled samples, of the settings that have a table."""
    return _measured(_noisy(frame[frame["truth"]]), MEASURES)


def _noisy(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[~rows["noise"].isin(UNCHANGED)]


def agreement_tables(frame: pd.DataFrame) -> list[Table]:
    """Build the tables of agreement with given labels, where nobody knows which are wrong."""
    title = "Training samples and their given labels after the last epoch on {}."
    note = (
        "Agreement counts right and wrong labels alike, because nobody knows which are wrong: it shows how closely a "
        "method fits what it was given, and is better neither high nor low."
    )
    return [
        table
        for setting, part in settings(frame)
        if not truth_known(part)
        for table in _training_tables("agreement", setting, part, WITHOUT_TRUTH, title.format(describe(part)), note)
    ]


def agreement_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Summarise the measures of samples of which nobody knows whether their labels are right."""
    return _measured(frame[~frame["truth"]], WITHOUT_TRUTH)


def _measured(rows: pd.DataFrame, measures: Iterable[str]) -> pd.DataFrame:
    found = [summarize(rows, measure).assign(measure=measure) for measure in measures if len(rows)]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def _training_tables(
    kind: str, setting: str, rows: pd.DataFrame, measures: Mapping[str, str], title: str, *notes: str
) -> list[Table]:
    """Build tables of measures on training samples, of the records that have the first of them."""
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
    for suffix, columns in column_sets(summary):
        chosen = only(summary, columns)
        n = usual_seeds(chosen)
        sections = tuple(
            Section(heading, rows_of(_sorted(summaries[measure]), columns, entry_of(n)))
            for measure, heading in measures.items()
            if summaries[measure]["n"].sum()
        )
        caption, told = (title, *spread_text(n, chosen)), (*legend(rows, chosen, n), *notes)
        tables.append(Table(kind, setting, f"{kind}-{setting}{suffix}", head(columns), sections, caption, told))
    return tables


def _sorted(summary: pd.DataFrame) -> pd.DataFrame:
    rank = {name: index for index, name in enumerate(SECTIONS)}
    return summary.sort_values("section", key=lambda names: names.map(rank), kind="stable")
