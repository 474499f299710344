"""Rank training samples by the evidence of several methods and seeds that their labels are wrong.

The score of a label is, in nats,

    score = loss + contradicted + left_out

loss: mean of -log p(given label), p at least 1e-6. contradicted: share of predictions that are another label. left_out:
share of clean splits that do not trust the sample, 0 where no method makes any. Each is averaged over the records of a
method first and then over the methods, so that none counts more for having been run more often.

Predictions are *out of sample* where a method has left the sample out (`coop@folds4`), or reads no label at all
(`zero-shot`). Where no trained method has left anything out, loss and contradiction are means over the epochs of
training: a method that memorizes its labels contradicts none of them.

Scores of samples that other methods judged stand on another level, as a sure method's losses are smaller than an
undecided one's. So where folds or seeds of a method are missing, a sample ranks by the share of samples with a higher
score among those that the same methods judged; where all judged all, that is the order of the scores.

The form was chosen on `letters` alone; `docs/suspects.md` has the reasons, and what it finds elsewhere. n samples, C
classes.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.contracts.noise import Labels
from bench.grid.options import method_variant
from bench.records.cell import Cell, Role
from bench.records.naming import marked, marks
from bench.suspects.groups import LabelledRecord, LabelSet, SampleArrays

Numbers: TypeAlias = NDArray[np.float64]
MIN_PROBABILITY = 1e-6
NO_PART = set(Cell.fields_of(Role.REPEAT))  # of what makes two records the same method
PRECISION_RANKS = (50, 100)


@dataclass(frozen=True)
class SuspectRanking:
    """Samples of a label set, most suspicious first.

    Attributes:
        table: one row per ranked sample, by falling score (see `places`): image, given, proposed (the label that the
            predictions agree on, which may be the given one), score, loss, contradicted, left_out; out of sample also
            probability of the given label and by how much it exceeds the largest other one, margin; methods,
            predictions and splits (counts); where known true and wrong.
        out_of_sample: whether trained methods have left samples out.
        unranked: how many samples no finished record says anything of.
        lacking: methods that have not judged all that are ranked, with how many they have not.
        probabilities: of each method, out of sample, for the rows of the table, [n, C]; NaN where it has none.
    """

    labels: LabelSet
    table: pd.DataFrame
    out_of_sample: bool
    unranked: int
    lacking: tuple[tuple[str, int], ...]
    probabilities: tuple[Numbers, ...]


def rank(labels: LabelSet) -> SuspectRanking:
    """Rank the samples of a label set."""
    folds = any("unseen" in one.outcomes and one.record.cell.fold for one in labels.members)
    groups = _by_method(labels.members)
    methods = [MethodEvidence.of(labels, members, folds) for members in groups.values()]
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
    ranked = table[table["methods"] > 0]
    spoke = [speaks > 0 for method in methods for speaks in (method.predictions, method.splits)]
    above = places(ranked["score"].to_numpy(), np.stack(spoke)[:, ranked.index])
    order = ranked.index[np.lexsort((-ranked["loss"], above))].to_numpy()
    kept = tuple(method.support[order] for method in methods if folds and method.predictions.any())
    missing = [int((method.predictions[order] == 0).sum()) for method in methods]
    lacking = tuple(pair for pair in zip(groups, missing, strict=True) if 0 < pair[1] < len(order))
    left = len(table) - len(order)
    return SuspectRanking(labels, table.loc[order].reset_index(drop=True), folds, left, lacking, kept)


def places(score: Numbers, spoke: NDArray[np.bool_]) -> Numbers:
    """Compute the share of samples with a higher score, of those that the same methods judged.

    The halves of those with the same score count, so a sample that nothing can be compared with stands in the middle.

    Args:
        score: [n], higher is more suspicious.
        spoke: which methods judged a sample, [methods, n].

    Returns:
        [n], in (0, 1).
    """
    alike = np.unique(spoke, axis=1, return_inverse=True)[1].reshape(-1)
    groups = pd.Series(score).groupby(alike)
    found: Numbers = ((groups.rank(ascending=False) - 0.5) / groups.transform("size")).to_numpy()
    return found


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


def _by_method(members: Sequence[LabelledRecord]) -> dict[str, list[LabelledRecord]]:
    """Group records by method, under a name for display.

    Those of a group have one cell but for seed and fold, one version, code and weights.
    """
    records = [one.record for one in members]
    cells = [record.cell.model_dump(exclude=NO_PART) for record in records]
    codes = marks(records, "method", lambda number: records[number].cell.method)
    weights = marks(records, "backbone", lambda number: records[number].cell.backbone)
    found: dict[str, list[LabelledRecord]] = defaultdict(list)
    names: dict[str, str] = {}
    for one, *apart in zip(members, cells, codes, weights, strict=True):
        text, cell = json.dumps(apart, sort_keys=True), one.record.cell
        found[text].append(one)
        names[text] = marked(marked(method_variant(cell.method, cell.options), apart[1]), apart[2])
    taken = Counter(names.values())
    number = Counter[str]()
    return {_numbered(names[text], taken, number): group for text, group in found.items()}


def _numbered(name: str, taken: Mapping[str, int], number: Counter[str]) -> str:
    """Count names that several have."""
    number[name] += 1
    return f"{name} ({number[name]})" if taken[name] > 1 else name


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
    spoke = np.stack([~np.isnan(one[:, 0]) for one in ranking.probabilities])
    return {name: np.argsort(places(-values, spoke), kind="stable") for name, values in scores.items()}
