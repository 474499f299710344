"""Rank training samples by the evidence of several methods and seeds that their labels are wrong.

The score of a label is, in nats,

    score = loss + contradicted + left_out

loss: mean of -log p(given label), p at least 1e-6. contradicted: share of predictions that are another label. left_out:
share of clean splits that do not trust the sample, 0 where no method makes any. Each is averaged over the records of a
method first and then over the methods, so that none counts more for having been run more often.

Predictions are *out of sample* where a method has left the sample out (`coop@folds4`), or reads no label at all
(`zero-shot`). Where no trained method has left anything out, loss and contradiction are means over the epochs of
training: a method that memorizes its labels contradicts none of them.

The form was chosen on `letters` alone; `docs/suspects.md` has the reasons, and what it finds elsewhere. n samples, C
classes.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.contracts.noise import Labels
from bench.records.cell import Cell, Role
from bench.records.naming import marks
from bench.suspects.groups import LabelledRecord, LabelSet, SampleArrays

Numbers: TypeAlias = NDArray[np.float64]
MIN_PROBABILITY = 1e-6
NO_PART = set(Cell.fields_of(Role.REPEAT))  # of what makes two records the same method
PRECISION_RANKS = (50, 100)


@dataclass(frozen=True)
class SuspectRanking:
    """Samples of a label set, most suspicious first.

    Attributes:
        table: one row per ranked sample, by falling score: image, given, proposed (the label that the predictions agree
            on, which may be the given one), score, loss, contradicted, left_out; out of sample also probability of the
            given label and by how much it exceeds the largest other one, margin; methods, predictions and splits
            (counts); where known true and wrong.
        out_of_sample: whether trained methods have left samples out.
        unranked: how many samples no finished record says anything of.
        probabilities: of each method, out of sample, for the rows of the table, [n, C]; NaN where it has none.
    """

    labels: LabelSet
    table: pd.DataFrame
    out_of_sample: bool
    unranked: int
    probabilities: tuple[Numbers, ...]


def rank(labels: LabelSet) -> SuspectRanking:
    """Rank the samples of a label set."""
    folds = any("unseen" in one.outcomes and one.record.cell.fold for one in labels.members)
    methods = [MethodEvidence.of(labels, members, folds) for members in _by_method(labels.members)]
    table = pd.DataFrame({"image": labels.images, "given": labels.given})
    for name in ("loss", "contradicted", "left_out"):
        table[name] = mean([getattr(method, name) for method in methods])
    table["score"] = table["loss"] + table["contradicted"] + table["left_out"].fillna(0)
    support = mean([method.support for method in methods])
    table["proposed"] = np.nan_to_num(support).argmax(1)
    if folds:
        own = np.arange(len(table)), labels.given
        others = support.copy()
        others[own] = -1
        table["probability"], table["margin"] = support[own], support[own] - others.max(1)
    table["methods"] = sum(method.predictions > 0 for method in methods)
    table["predictions"] = sum(method.predictions for method in methods)
    table["splits"] = sum(method.splits for method in methods)
    if labels.true is not None:
        table["true"], table["wrong"] = labels.true, labels.true != labels.given
    ranked = table[table["methods"] > 0].sort_values(["score", "loss"], ascending=False, kind="stable")
    order = ranked.index.to_numpy()
    kept = tuple(method.support[order] for method in methods if folds and method.predictions.any())
    return SuspectRanking(labels, ranked.reset_index(drop=True), folds, len(table) - len(ranked), kept)


@dataclass(frozen=True)
class MethodEvidence:
    """Evidence of one method, averaged over its records. NaN in rows on which none of them has any.

    Attributes:
        loss, contradicted, left_out: [n].
        support: what its predictions say for each class, [n, C]: mean probability, or in sample the share of epochs.
        predictions, splits: how many records speak, [n].
    """

    loss: Numbers
    contradicted: Numbers
    left_out: Numbers
    support: Numbers
    predictions: Labels
    splits: Labels

    @classmethod
    def of(cls, labels: LabelSet, members: Sequence[LabelledRecord], unseen: bool) -> MethodEvidence:
        """Average the records of one method; with `unseen` only out-of-sample predictions count."""
        size, classes = len(labels.given), len(labels.class_names)
        loss, contradicted, left_out = np.zeros((3, size))
        support = np.zeros((size, classes))
        predictions, splits = np.zeros((2, size), dtype=np.int64)
        for one in members:
            found = _evidence(one.outcomes, classes, unseen)
            rows = one.rows[found.samples]
            np.add.at(loss, rows, found.loss)
            np.add.at(contradicted, rows, found.contradicted)
            np.add.at(support, rows, found.support)
            np.add.at(predictions, rows, 1)
            selected = one.outcomes.get("selected", np.full(len(one.rows), -1))
            np.add.at(left_out, one.rows, selected == 0)
            np.add.at(splits, one.rows, selected >= 0)
        spoke, split = np.where(predictions, predictions, np.nan), np.where(splits, splits, np.nan)
        return cls(loss / spoke, contradicted / spoke, left_out / split, support / spoke[:, None], predictions, splits)


@dataclass(frozen=True)
class RecordEvidence:
    """Evidence of one record on samples [H]: loss and contradiction [H], support [H, C]."""

    samples: Labels
    loss: Numbers
    contradicted: Numbers
    support: Numbers


def _evidence(outcomes: SampleArrays, classes: int, unseen: bool) -> RecordEvidence:
    given = outcomes["observed"]
    if "unseen" in outcomes:
        samples, probabilities = outcomes["unseen"], outcomes["probabilities"].astype(np.float64)
        given = given[samples]
        own = np.maximum(probabilities[np.arange(len(given)), given], MIN_PROBABILITY)
        contradicted = (probabilities.argmax(1) != given).astype(np.float64)
        return RecordEvidence(samples, -np.log(own), contradicted, probabilities)
    if unseen:
        return RecordEvidence(np.empty(0, dtype=np.int64), np.empty(0), np.empty(0), np.empty((0, classes)))
    first = min(1, len(outcomes["losses"]) - 1)  # row 0 stands before training, where there is any
    losses = np.minimum(outcomes["losses"][first:].astype(np.float64), -np.log(MIN_PROBABILITY)).mean(0)
    predicted = outcomes["predictions"][first:]
    votes = np.stack([(predicted == label).mean(0) for label in range(classes)], axis=1)
    return RecordEvidence(np.arange(len(given)), losses, (predicted != given).mean(0), votes)


def _by_method(members: Sequence[LabelledRecord]) -> list[list[LabelledRecord]]:
    """Group records by method. Those of a group have one cell but for seed and fold, one version, code and weights."""
    records = [one.record for one in members]
    cells = [record.cell.model_dump(exclude=NO_PART) for record in records]
    codes = marks(records, "method", lambda number: records[number].cell.method)
    weights = marks(records, "backbone", lambda number: records[number].cell.backbone)
    found: dict[str, list[LabelledRecord]] = defaultdict(list)
    for one, *apart in zip(members, cells, codes, weights, strict=True):
        found[json.dumps(apart, sort_keys=True)].append(one)
    return list(found.values())


def mean(values: Sequence[Numbers]) -> Numbers:
    """Average arrays of one shape entry by entry, ignoring NaN; NaN where all are."""
    stacked = np.stack(values)
    count = (~np.isnan(stacked)).sum(0)
    found: Numbers = np.nansum(stacked, axis=0) / np.where(count, count, np.nan)
    return found


def precision(wrong: NDArray[np.bool_], order: Labels) -> dict[int, float]:
    """Compute the share of wrong labels among the first 50, the first 100, and as many samples as are wrong.

    Args:
        wrong: [n].
        order: the n samples, most suspicious first.
    """
    places = [*(place for place in PRECISION_RANKS if place <= len(wrong)), int(wrong.sum())]
    return {place: float(wrong[order[:place]].mean()) for place in places if place}


def cleanlab_orders(ranking: SuspectRanking) -> dict[str, Labels]:
    """Rank the same out-of-sample probabilities by cleanlab: orders of the table's rows, by name.

    Its default score is the probability of the given label: under "mean" of the mean over methods, under "ensemble" of
    each method, joined in its own way, by how often a method agrees with the given labels.

    Raises:
        ImportError: cleanlab is not installed.
    """
    from cleanlab.rank import get_label_quality_ensemble_scores, get_label_quality_scores

    together, given = mean(ranking.probabilities), ranking.table["given"].to_numpy()
    scores = {"cleanlab, mean": get_label_quality_scores(given, together)}
    if len(ranking.probabilities) > 1:
        each = [np.where(np.isnan(one), together, one) for one in ranking.probabilities]
        scores["cleanlab, ensemble"] = get_label_quality_ensemble_scores(given, each, verbose=False)
    return {name: np.argsort(values, kind="stable") for name, values in scores.items()}
