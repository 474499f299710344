"""Ranked suspects as a table with names for numbers, and as the CSV that a user opens."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

import pandas as pd

from bench.records.cell import noise_text
from bench.records.naming import marked
from bench.spreadsheet import inert_frame
from bench.suspects.chance import guessed_classes
from bench.suspects.groups import LabelSet
from bench.suspects.images import LabelSetImages
from bench.suspects.score import SuspectRanking

NAME = "suspects"
NONE_OF_THEM = "none of the classes"
COLUMNS = [
    "dataset", "noise", "rate", "shots", "seed", "rank", "path", "given", "proposed", "score", "loss", "contradicted",
    "left_out", "probability", "margin", "methods", "predictions", "splits", "out_of_sample", "guess", "true",
    "given_label", "proposed_label", "true_label",
]  # fmt: skip
NAMED = ("given", "proposed", "true")


def named(ranking: SuspectRanking, source: LabelSetImages) -> pd.DataFrame:
    """Return the ranking with class names, and labels as users wrote them where they did."""
    name = ranking.labels.name
    names = (*ranking.labels.class_names, NONE_OF_THEM)  # a true label of -1 is the last
    written = _written(ranking.labels, source)
    table = ranking.table.copy()
    if ranking.out_of_sample:
        table["guess"] = table[["given", "proposed"]].isin(guessed_classes(ranking)).any(axis=1)
    for column in (column for column in NAMED if column in table):
        if written:
            table[f"{column}_label"] = [(*written, "")[label] for label in table[column]]
        table[column] = [names[label] for label in table[column]]
    return table.assign(
        dataset=ranking.labels.dataset, noise=marked(name.noise, ranking.labels.mark[1]), rate=name.rate,
        shots=name.shots,
        seed="" if ranking.labels.seed is None else ranking.labels.seed, rank=range(1, len(table) + 1),
        out_of_sample=ranking.out_of_sample, path=[source.path(image) for image in table["image"]],
    )  # fmt: skip


def csv(tables: Sequence[pd.DataFrame]) -> bytes:
    """Join tables below each other, with the columns that any of them has."""
    columns = [column for column in COLUMNS if any(column in table for table in tables)]
    text = io.StringIO()
    inert_frame(pd.concat([table.reindex(columns=columns) for table in tables])).to_csv(
        text, index=False, lineterminator="\n", float_format="%.6g"
    )
    return text.getvalue().encode()


def _written(labels: LabelSet, source: LabelSetImages) -> tuple[str, ...]:
    """Return the classes as written in folders or CSV, from records, else images; empty where nobody says."""
    recorded = (one.record.data.class_labels for one in labels.members)
    return tuple(next(filter(None, recorded), source.class_labels))


def title(labels: LabelSet) -> str:
    """Describe a set of labels: data set, noise, shots and seed."""
    parts = [labels.dataset, noise_text(labels.noise, labels.name.rate), f"{labels.name.shots} shots"]
    return " · ".join(parts + ([] if labels.seed is None else [f"seed {labels.seed}"]))


def stems(sets: Sequence[LabelSet]) -> list[str]:
    """Return prefixes of the sheets' file names: plain for one set, else different ones."""
    if len(sets) == 1:
        return [NAME]
    plain = [f"{NAME}-{re.sub(r'[^A-Za-z0-9.]+', '-', title(labels)).strip('-')}" for labels in sets]
    return [stem if plain.count(stem) == 1 else f"{stem}-{n}" for n, stem in enumerate(plain, 1)]
