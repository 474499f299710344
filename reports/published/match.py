"""Published numbers beside ours: what may be compared, what differs all the same, and why the rest may not.

A published number is held against a row of ours where nothing that is known of its protocol contradicts ours: split,
construction of the noise, backbone, shots, method, budget, options and rate, in this order; the first contradiction is
the reason why it is not compared. The match is "same protocol" where everything is known and equal, "nearly" where
something is not stated, doubtful, or differs in a way that the table names (`bench.reports.published.protocol`).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import pandas as pd

from bench import dataset_name
from bench.records.record import Record
from bench.reports.frame import Defaults
from bench.reports.published.numbers import Budget, Published, PublishedNumber, published_numbers
from bench.reports.published.protocol import DEFAULT_MODE, Ours, differences, joined, mode, short
from bench.reports.tables.columns import as_dicts
from bench.reports.tables.summary import settings, summarize
from bench.variants import variant_text

SAME, NEARLY, REPEATED, NONE = "same protocol", "nearly", "repeated", "not compared"
MATCH_COLUMNS = (
    "setting", "grade", "reason", "dataset", "noise", "rate", "label", "ours", "ours_sd", "ours_n", "published",
    "published_sd", "published_seeds", "difference", "reading", "differences", "doubt", "published_as", "source",
    "venue", "reference", "table", "sheet", "seen", "through", "published_noise", "published_shots",
    "published_backbone", "published_epochs",
)  # fmt: skip


def comparisons(
    frame: pd.DataFrame, records: Iterable[Record], published: Published, defaults: Defaults
) -> pd.DataFrame:
    """Match published numbers with ours, a row per setting, number of its data set, and row of ours.

    A number that is compared with none has one row, with the reason. `label` is the reader's name of our row, `sheet`
    the table's key in the file, accuracies and differences are in percent and points, `differences` and `doubt` are
    joined by "; ".

    Args:
        frame: of `bench.reports.frame.tidy`.
        records: those that the frame was made of.
        defaults: the methods' default options.
    """
    ran = {record.key: record for record in records}
    known = published_numbers(published)
    rows: list[dict[str, Any]] = []
    for setting, part in settings(frame):
        ours = _ours(setting, part, ran, defaults)
        base = dataset_name.base(ran[str(part["key"].iloc[0])].cell.dataset)
        for number in known:
            if number.dataset == base:
                rows += _compared(number, ours, setting, published.replication.points)
    return pd.DataFrame(rows, columns=list(MATCH_COLUMNS))


def _ours(setting: str, part: pd.DataFrame, ran: Mapping[str, Record], defaults: Defaults) -> list[Ours]:
    whole = part[part["subset"] == "all"]
    if whole.empty:
        return []
    kinds = tuple(dict.fromkeys(ran[str(key)].cell.noise for key in whole["key"]))
    places: dict[tuple[str, str, float], list[dict[str, Any]]] = defaultdict(list)
    for row in as_dicts(whole):
        places[row["label"], row["noise"], row["rate"]].append(row)
    made = []
    for row in as_dicts(summarize(whole)):
        runs = places[row["label"], row["noise"], row["rate"]]
        records = [ran[run["key"]] for run in runs]
        seeds = tuple(sorted(run["seed"] for run in runs if run["status"] == "done"))
        left_out = max(len(record.data.skipped_images) for record in records)
        cell = records[0].cell
        known = dict(defaults.get(cell.method, {}))
        made.append(Ours(setting, row["label"], cell, row["mean"], row["sd"], seeds, kinds, left_out, known))
    return made


def _compared(number: PublishedNumber, ours: Sequence[Ours], setting: str, usual: float) -> list[dict[str, Any]]:
    """Match one number with the rows of one setting."""
    if number.unusable:
        return [_row(number, setting, NONE, f"not to be relied on: {'; '.join(number.doubts)}")]
    if number.restated:
        return [_row(number, setting, REPEATED, f"repeats {number.restated}")]
    if not number.method:
        return [_row(number, setting, NONE, "no such method here")]
    same = [own for own in ours if own.cell.method == number.method]
    obstacles = [(obstacle(number, own), own) for own in same or {own.cell.noise: own for own in ours}.values()]
    matches = [own for found, own in obstacles if found is None]
    if matches:
        return [_match(number, own, usual) for own in matches]
    _, furthest = max((found for found, _ in obstacles if found), default=(0, "no row of ours"), key=itemgetter(0))
    return [_row(number, setting, NONE, furthest)]


def _match(number: PublishedNumber, own: Ours, usual: float) -> dict[str, Any]:
    told, difference = differences(number, own), own.mean - number.accuracy
    return _row(number, own.setting, NEARLY if told or number.doubts else SAME, "") | {
        "noise": own.cell.noise, "rate": own.cell.rate, "label": own.label, "ours": own.mean, "ours_sd": own.sd,
        "ours_n": own.n, "difference": difference, "reading": reading(difference, (own.sd, number.std), usual),
        "differences": "; ".join(told),
    }  # fmt: skip


def reading(difference: float, spreads: Sequence[float], usual: float) -> str:
    """Read a difference in points.

    "within seeds": at most twice the larger of the standard deviations that are known; else "within replication": at
    most the usual error of one; else "above" or "below".

    >>> reading(-1.2, (0.7, math.nan), 2.0), reading(-1.2, (0.2, math.nan), 2.0), reading(-3.0, (0.2, 0.3), 2.0)
    ('within seeds', 'within replication', 'below')
    """
    spread = max((spread for spread in spreads if not math.isnan(spread)), default=math.nan)
    if abs(difference) <= 2 * spread:
        return "within seeds"
    if abs(difference) <= usual:
        return "within replication"
    return "above" if difference > 0 else "below"


def obstacle(number: PublishedNumber, own: Ours) -> tuple[int, str] | None:
    """Find the first contradiction between two protocols: its place in the order and a text; None without one."""
    checks = (_split, _noise, _backbone, _shots, _method, _selection, _budget, _options, _rate, _finished)
    for place, check in enumerate(checks):
        if text := check(number, own):
            return place, text
    return None


def _split(number: PublishedNumber, own: Ours) -> str:
    here = mode(own.cell)
    there = number.pool or number.sheet.split or "not stated"
    known = here in (DEFAULT_MODE, number.pool)
    return "" if known else f"other split of the data ({there} there, {here} here)"


def _noise(number: PublishedNumber, own: Ours) -> str:
    if not number.noise:
        return "construction of the noise not stated there"
    if number.noise == own.cell.noise:
        return ""
    return f"other construction of the noise ({number.noise} there; {joined(own.kinds)} here)"


def _backbone(number: PublishedNumber, own: Ours) -> str:
    here = own.cell.backbone.partition("@")[0].replace("-quickgelu", "")
    if not number.backbone:
        return f"backbone not stated there, or none of CLIP's ({here} here)"
    return "" if here == number.backbone else f"other backbone ({number.backbone} there, {here} here)"


def _shots(number: PublishedNumber, own: Ours) -> str:
    if number.shots == own.cell.shots:
        return ""
    return f"other shots ({'not stated' if number.shots is None else number.shots} there, {own.cell.shots} here)"


def _method(number: PublishedNumber, own: Ours) -> str:
    return "" if number.method == own.cell.method else f"{number.method} not run here"


def _selection(number: PublishedNumber, _: Ours) -> str:
    return "best epoch on the test set there, last here" if number.sheet.selection == "best" else ""


def _budget(number: PublishedNumber, own: Ours) -> str:
    for name in Budget.model_fields:
        there, here = getattr(number.budget, name), getattr(own.cell, name)
        if there is not None and there != here:
            return f"other budget ({name.replace('_', ' ')} {short(there)} there, {short(here)} here)"
    return ""


def _options(number: PublishedNumber, own: Ours) -> str:
    """Compare the options that the published name fixes; those it leaves open, and faithful, are differences."""
    there = {**own.defaults, **number.options}
    free = (*number.unstated, "faithful")
    changed = {n: v for n, v in own.cell.options.items() if n not in free and n in there and v != there[n]}
    if not changed:
        return ""
    name = own.cell.method
    told = variant_text(name, {option: there[option] for option in changed})
    return f"other variant of the method ({told} there, {variant_text(name, changed)} here)"


def _rate(number: PublishedNumber, own: Ours) -> str:
    rate = number.rate or 0.0
    return "" if math.isclose(rate, own.cell.rate, abs_tol=1e-9) else f"rate {rate:g} not run here"


def _finished(_: PublishedNumber, own: Ours) -> str:
    return "" if own.n else "no seed has finished here"


def _row(number: PublishedNumber, setting: str, grade: str, reason: str) -> dict[str, Any]:
    """Set the columns that do not depend on a comparison."""
    sheet, source, row = number.sheet, number.source, number.row
    return {
        "setting": setting, "grade": grade, "reason": reason, "dataset": number.dataset, "noise": number.noise,
        "rate": number.rate, "published": number.accuracy, "published_sd": number.std, "published_seeds": row.seeds,
        "doubt": "; ".join(number.doubts), "published_as": row.method, "source": source.name, "venue": source.venue,
        "reference": f"arXiv {source.arxiv}" if source.arxiv else source.repository, "table": sheet.title,
        "sheet": number.table, "seen": sheet.seen, "through": sheet.through, "published_noise": row.noise,
        "published_shots": number.shots, "published_backbone": row.backbone or sheet.backbone,
        "published_epochs": number.budget.epochs,
    }  # fmt: skip
