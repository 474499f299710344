"""What `bench suspects` prints of sets of labels: few in full, many as one table, each note once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench import console
from bench.dataset_name import folder_of

if TYPE_CHECKING:
    import pandas as pd

    from bench.suspects.score import SuspectRanking

SHOWN = 10
FEW = 6  # sets of labels that are printed in full
WEAKER = (
    "no record here left samples out of training, so losses during training are ranked. That can be weaker: a method "
    'that memorizes hides wrong labels. Out of sample: --set "method=linear-probe@folds4,gce-coop@folds4,zero-shot".'
)
UNJUDGED = (
    "labels of training images are judged; not those of {:,} images of the validation and test splits. To judge them "
    'too, train on them: docs/suspects.md, "Images that are held out".'
)
FOOTING = (
    "What other methods make of a label is on another level, so it is ranked among those that the same methods judged; "
    "run the missing folds or seeds and rank again."
)
NO_CLEANLAB = "cleanlab is not installed; to compare with it: pip install 'noisy-prompt-bench[suspects]'."
COLUMNS = ["labels", "number", "methods", "contradicted", "known wrong", "precision %"]


@dataclass(frozen=True)
class Found:
    """What is said of one set of labels, to people and to a program.

    Attributes:
        facts: for a program.
        unranked, guessed: see `SuspectRanking` and `bench.suspects.chance`; the latter as names.
        wrong: how many labels are known to be wrong, None where the truth is unknown.
        cleanlab: whether it was there to compare with, or is not needed.
        unjudged: images of a user's validation and test splits, whose labels are never ranked.
    """

    facts: dict[str, Any]
    out_of_sample: bool
    unranked: int
    guessed: tuple[str, ...]
    wrong: int | None
    cleanlab: bool
    unjudged: int


def find(ranking: SuspectRanking, table: pd.DataFrame) -> Found:
    """Collect what is said of a ranking; `table` has its names."""
    from bench.suspects.chance import guessed_classes
    from bench.suspects.table import title

    labels = ranking.labels
    guessed = tuple(labels.class_names[label] for label in guessed_classes(ranking))
    precise, cleanlab = _precision(ranking) if labels.true is not None else ({}, True)
    facts: dict[str, Any] = {
        "set": title(labels),
        "labels": len(table),
        "methods": int(table["methods"].max()),
        "records": len(labels.members),
        "contradicted": int((table["proposed"] != table["given"]).sum()),
        "out_of_sample": bool(ranking.out_of_sample),
        "unranked": int(ranking.unranked),
        "not_judged": dict(ranking.lacking),
        "no_better_than_chance": list(guessed),
        "precision": precise,
        "first": table.head(SHOWN)[["rank", "path", "given", "proposed", "score"]].to_dict("records"),
    }
    data = labels.members[0].record.data
    unjudged = (data.validation or 0) + (data.test or 0) if folder_of(labels.name.dataset) else 0
    wrong = int(ranking.table["wrong"].sum()) if labels.true is not None else None
    return Found(facts, bool(ranking.out_of_sample), int(ranking.unranked), guessed, wrong, cleanlab, unjudged)


def _precision(ranking: SuspectRanking) -> tuple[dict[str, dict[int, float]], bool]:
    """Measure the precision among the first samples by this score and by those of cleanlab, where it is installed."""
    from bench.suspects.score import cleanlab_orders, precision

    wrong = ranking.table["wrong"].to_numpy(bool)
    orders, there = {"this score": ranking.table.index.to_numpy()}, True
    if not wrong.any():
        return {}, True
    if ranking.probabilities:
        try:
            orders |= cleanlab_orders(ranking)
        except ImportError:
            there = False
    return {name: precision(wrong, order) for name, order in orders.items()}, there


def tell(several: Sequence[Found]) -> None:
    """Print sets of labels: each in full where they are few, else a line each; then every note once."""
    if len(several) > FEW:
        console.table(COLUMNS, [_row(found) for found in several])
    else:
        for found in several:
            _tell_whole(found)
    if any(not found.cleanlab for found in several):
        console.line(NO_CLEANLAB)
    _tell_notes(several)


def _row(found: Found) -> list[str]:
    facts = found.facts
    shares: dict[int, float] = facts["precision"].get("this score", {})
    precise = ", ".join(f"{100 * share:.0f} in {place}" for place, share in shares.items())
    counts = [str(facts[name]) for name in ("labels", "methods", "contradicted")]
    return [facts["set"], *counts, "unknown" if found.wrong is None else str(found.wrong), precise or "–"]


def _tell_whole(found: Found) -> None:
    facts = found.facts
    console.line(
        f"{facts['set']}: {facts['labels']} labels, {facts['methods']} methods, {facts['records']} records; "
        f"together they contradict {facts['contradicted']}."
    )
    rows = [[str(one["rank"]), one["path"], one["given"], one["proposed"], f"{one['score']:.2f}"]
            for one in facts["first"]]  # fmt: skip
    console.table(["rank", "image", "given", "proposed", "score"], rows)
    if found.wrong == 0:
        console.line("no label here is known to be wrong, so no precision is measured.")
    elif precise := facts["precision"]:
        places = list(precise["this score"])
        shares = [[name, *(f"{100 * one[place]:.1f}" for place in places)] for name, one in precise.items()]
        console.table(["precision % at", *map(str, places)], shares)
        console.line(f"{found.wrong} of {facts['labels']} labels are known to be wrong.")


def not_judged(facts: Mapping[str, Any]) -> str:
    """Describe how many of the ranked labels a method has not judged; empty where all have judged all."""
    counts: Mapping[str, int] = facts["not_judged"]
    (name, count), *others = counts.items() or [("", 0)]
    more = [f"{other} {number}" for other, number in others]
    shown = [*more[: SHOWN - 1], *([f"{len(more) - SHOWN + 1} more methods others"] if len(more) >= SHOWN else [])]
    return ", ".join([f"of {facts['labels']} labels {name} has not judged {count}", *shown]) if counts else ""


def _tell_notes(several: Sequence[Found]) -> None:
    weaker = sum(not found.out_of_sample for found in several)
    if weaker:
        console.warn(WEAKER if weaker == len(several) else f"for {weaker} of {len(several)} sets of labels {WEAKER}")
    if unranked := sum(found.unranked for found in several):
        console.warn(f"{unranked} samples are left out: no finished record predicts them without their label.")
    if lacking := list(filter(None, (not_judged(found.facts) for found in several))):
        more = f", and {len(lacking) - 1} other sets of labels lack some, too" if len(lacking) > 1 else ""
        console.warn(f"{lacking[0]}{more}. {FOOTING}")
    if unjudged := max((found.unjudged for found in several), default=0):
        console.line(UNJUDGED.format(unjudged))
    guessed = [found for found in several if found.guessed]
    if not guessed:
        return
    names = list(dict.fromkeys(name for found in guessed for name in found.guessed))
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    where = f", in {len(guessed)} of {len(several)} sets of labels" if len(several) > 1 else ""
    console.warn(
        f"the methods are no better than chance on {len(names)} class{'es' * (len(names) > 1)} "
        f"({', '.join(names[:SHOWN])}{more}){where}; "
        "suspects of these are guesses (column guess)."
    )
