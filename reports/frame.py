"""Records as one tidy pandas frame, and their curves as a long one.

A *setting* is everything that a table holds fixed: all of a cell but noise, rate, method, options, subset and seed.
Under the paper budget each method brings its own optimizer, epochs and views, which are no part of the setting there.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias

import pandas as pd

from bench.limits import Value
from bench.records.cell import Cell, Role
from bench.records.naming import backbone_names, dataset_names, made_with, marks, newest
from bench.records.record import Record
from bench.records.truth import completed
from bench.reports.names import (
    AS_IS,
    DAGGER,
    REFERENCE,
    SIGNS,
    UNCHANGED,
    clipped,
    method_name,
    method_order,
    noise_name,
    noise_order,
)
from bench.variants import variant_text

Defaults: TypeAlias = Mapping[str, Mapping[str, Value]]
SPANNED = frozenset(Cell.fields_of(Role.TABLE))
NAMED = ("dataset", "shots", "backbone", "budget", "epochs")
ENDS = (
    "memorized", "recovered", "neither", "train_clean_accuracy", "train_given_accuracy", "test_calibration_error",
)  # fmt: skip
FRACTIONS = frozenset(
    {"test_accuracy", "validation_accuracy", "train_clean_accuracy", "train_given_accuracy", "test_calibration_error",
     "memorized", "recovered", "neither", "split_precision", "split_recall", "pseudo_label_accuracy"}
)  # fmt: skip
BY_TRUTH = ("clean", "mislabeled", "auroc")  # endings of what the audit makes of numbers of single samples
DIAGNOSTICS = frozenset(
    {"gate_mean", "gate_sd_images", "image_share"}
    | {f"{name}_{ending}" for name in ("gate", "context_shift") for ending in BY_TRUTH}
)  # what methods say of themselves and figures show
WHOLE = 1e15  # below, floats hold every whole number
IDENTITY = ("key", "setting", "label", "section", "method", "noise", "rate", "seed")


def tidy(records: Iterable[Record], defaults: Defaults | None = None) -> pd.DataFrame:
    """Collect records into a frame, a row each.

    Of several records of one cell (other plugin versions) the newest; of folds none, which are there for
    `bench suspects`.

    Names are marked where they stood for different things (`bench.records.naming`): data set and backbone, and with
    them the setting; the noise, as an option; the variant, as an option.

    Columns: key, the cell's fields (the data set by its name for people; noise none as `AS_IS` where the truth is
    unknown), `setting` (a name for files), `variant` (method with the options that differ from `defaults`; of a method
    without known defaults, the options that vary among its records), `label` (for readers), `section` (reference,
    method, oracle), status, reason, accuracies and shares in percent, `<share>_start` at epoch 0 and `<share>_excess`
    above it in points, `split_share` (taken as clean, percent), `mask` (digest of the observed labels: equal where two
    cells were trained on the same wrong labels), `steps` ({loss term: optimizer steps}), costs (seconds, bytes),
    `truth` and `test_truth` (whether training and test labels are known to be right, of a lost cell as the others of
    its setting say), `notes` on the data, `by_noise` (options that differ from column to column of a row), `classes`
    (how many, 0 where unknown), `made` (what it was made by and on, `bench.records.naming.made_with`) and `named`, the
    data set as the cell names it.
    Absent and non-finite numbers are NaN; a finished record without a finite accuracy has status "no_number".
    """
    chosen = [record for record in newest(records) if record.cell.fold is None]
    datasets, backbones = dataset_names(chosen), backbone_names(chosen)
    settings = _settings(chosen, datasets, backbones)
    by_noise = _by_noise(chosen, settings)
    variants = _variants(chosen, settings, defaults or {}, by_noise)
    noises = _noises(chosen, settings)
    told = {(s, v) for r, s, v in zip(chosen, settings, variants, strict=True) if r.oracle and r.cell.subset == "all"}
    by_kind = [(s, r.cell.noise) for s, r in zip(settings, chosen, strict=True)]
    truths = completed([r.noise.truth for r in chosen], by_kind, settings)
    test_truths = completed([r.data.test_truth for r in chosen], settings)
    rows = []
    for number, (record, setting, variant) in enumerate(zip(chosen, settings, variants, strict=True)):
        label, section = _label(record.cell, variant, (setting, variant) in told)
        names = {"setting": setting, "variant": variant, "label": label, "section": section}
        row = {
            **names,
            **_numbers(record, truths[number], test_truths[number]),
            "dataset": datasets[number],
            "backbone": backbones[number],
        }
        row |= {"named": record.cell.dataset, "made": made_with(record)}
        row["by_noise"] = ", ".join(o for s, m, o in sorted(by_noise) if (s, m) == (setting, record.cell.method))
        rows.append(row | ({} if row["noise"] in UNCHANGED else {"noise": noises[number]}))
    frame = pd.DataFrame(rows)
    if frame.empty:
        return frame
    methods = {name: i for i, name in enumerate(method_order(r.cell.method for r in chosen))}
    kinds = {name: i for i, name in enumerate(noise_order(str(kind) for kind in frame["noise"]))}
    frame = frame.assign(_m=frame["method"].map(methods), _k=frame["noise"].map(kinds))
    by = ["setting", "_m", "variant", "subset", "_k", "rate", "seed"]
    return frame.sort_values(by, kind="stable").drop(columns=["_m", "_k"]).reset_index(drop=True)


def curves(records: Iterable[Record], frame: pd.DataFrame) -> pd.DataFrame:
    """Collect the curves of the finished records in `frame`, a row per record, epoch and quantity.

    Columns: those of `IDENTITY` (texts as categories), epoch, quantity, value (shares and accuracies in percent,
    losses, rates and the diagnostics among `DIAGNOSTICS` as they are). Where an epoch stands twice, the row after
    `finalize` is kept. Absent and non-finite entries are left out.
    """
    known = frame.loc[frame["status"] == "done", list(IDENTITY)].reset_index(drop=True)
    places = {str(key): place for place, key in enumerate(known["key"])}
    rows: list[int] = []
    epochs: list[float] = []
    quantities: list[str] = []
    numbers: list[float] = []
    for record in newest(records):
        if record.key not in places:
            continue
        for quantity, values in _quantities(record):
            rows += [places[record.key]] * len(values)
            epochs += values.keys()
            quantities += [quantity] * len(values)
            numbers += values.values()
    texts = [name for name in IDENTITY if name not in ("rate", "seed")]
    long = known.astype(dict.fromkeys(texts, "category")).iloc[rows].reset_index(drop=True)
    return long.assign(epoch=epochs, quantity=pd.Categorical(quantities), value=numbers)


def wide_curves(long: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    """Spread the rows of `curves` to one per record and epoch, with a column per quantity.

    The names of the cell are added from `frame`.
    """
    if long.empty:
        return long
    long = long.astype({"key": str, "quantity": str})
    wide = long.pivot_table(index=["key", "epoch"], columns="quantity", values="value")
    return frame[[*IDENTITY, "dataset", "variant"]].merge(wide.rename_axis(columns=None).reset_index(), on="key")


def _quantities(record: Record) -> Iterator[tuple[str, dict[float, float]]]:
    """Yield each quantity of a record over epochs, in the units of `curves`."""
    epochs = record.curve.epoch
    found = {name: values for name, values in record.curve.columns.items() if name != "epoch"}
    found |= {name: values for name, values in record.diagnostics.items() if name in DIAGNOSTICS}
    for name, values in found.items():
        scale = 100.0 if name in FRACTIONS else 1.0
        last = {e: scale * number(v) for e, v in zip(epochs, values, strict=False) if e is not None}
        yield name, {epoch: value for epoch, value in last.items() if not math.isnan(value)}


def anchored(frame: pd.DataFrame) -> pd.DataFrame:
    """Add the clean column of the oracle rows.

    Without wrong labels the clean subset is the whole set, so the method's own records at rate 0 stand there too, after
    all others; of a frame that has them nothing is added.
    """
    keys, clean = ["setting", "method", "variant"], frame["subset"] == "clean"
    if not clean.any():
        return frame
    oracle = frame.loc[clean, [*keys, "label", "section"]].drop_duplicates()
    have = frame.loc[clean & (frame["noise"] == "none"), keys]
    own = frame.loc[(frame["subset"] == "all") & (frame["noise"] == "none")].drop(columns=["label", "section"])
    extra = own.merge(oracle, on=keys).assign(subset="clean")
    taken = set(have.itertuples(index=False, name=None))
    free = [name not in taken for name in extra[keys].itertuples(index=False, name=None)]
    return pd.concat([frame, extra.loc[free]], ignore_index=True) if any(free) else frame


def truth_known(part: pd.DataFrame) -> bool:
    """Return whether the training labels of some rows are known to be right or wrong."""
    return bool(part["truth"].all())


def number(value: float | None) -> float:
    """Convert a finite number to float, any other and None to NaN."""
    return math.nan if value is None or not math.isfinite(value) else float(value)


def finite(value: float | None) -> bool:
    """Return whether a number is there and finite."""
    return value is not None and math.isfinite(value)


def written(value: Any) -> str:
    """Format a number of a CSV file: six digits, or all of a count.

    >>> written(1 / 3), written(2637824.0), written(1e-8)
    ('0.333333', '2637824', '1e-08')
    """
    whole = 1e5 < abs(value) < WHOLE and float(value).is_integer()  # below, both are the same
    return f"{value:.0f}" if whole else f"{value:.6g}"


@cache
def _fixed(budget: str) -> tuple[str, ...]:
    return tuple(name for name in Cell.model_fields if name not in {*SPANNED, *Cell.own_fields(budget)})


def _settings(records: Sequence[Record], datasets: Sequence[str], backbones: Sequence[str]) -> list[str]:
    """Format a file name per record: the named fields, and others in which settings of that name differ."""
    fixed = [
        {name: getattr(r.cell, name) for name in _fixed(r.cell.budget)} | {"dataset": dataset, "backbone": backbone}
        for r, dataset, backbone in zip(records, datasets, backbones, strict=True)
    ]
    texts = [json.dumps(fields, sort_keys=True, default=str) for fields in fixed]
    settings = dict(zip(texts, fixed, strict=True))  # few of many records
    stems = {text: "-".join(_part(k, f[k]) for k in NAMED if k in f) for text, f in settings.items()}
    together: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for text, fields in settings.items():
        together[stems[text]].append(fields)
    varied = {
        stem: [name for name in sorted(found[0]) if len({str(fields[name]) for fields in found}) > 1]
        for stem, found in together.items()
    }
    names = {t: "-".join([stems[t], *(_part(k, f[k]) for k in varied[stems[t]])]) for t, f in settings.items()}
    alike = Counter(names.values())
    whole = {
        text: name if alike[name] == 1 else f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"
        for text, name in names.items()  # of values that differ in what no file name holds alone
    }
    return [whole[text] for text in texts]


def _part(field: str, value: Any) -> str:
    text = clipped(re.sub(r"[^A-Za-z0-9]+", "_", f"{value:g}" if isinstance(value, float) else str(value)))
    match field:
        case "dataset" | "backbone" | "budget":
            return text
        case "shots" | "epochs":
            return f"{text}{field}"
        case _:
            return f"{field}_{text}"


def _variants(
    records: Sequence[Record], settings: Sequence[str], defaults: Defaults, by_noise: Collection[tuple[str, str, str]]
) -> list[str]:
    """Format each record's method with the options, and where they vary its own optimizer, that tell it apart."""
    values: dict[tuple[str, str], set[str]] = defaultdict(set)
    own: dict[tuple[str, str, str, str], set[str]] = defaultdict(set)
    for record, setting in zip(records, settings, strict=True):
        cell = record.cell
        for name, value in cell.options.items():
            values[cell.method, name].add(json.dumps(value))
        for name in Cell.own_fields(cell.budget):
            own[setting, cell.method, json.dumps(cell.options, sort_keys=True), name].add(str(getattr(cell, name)))
    texts = []
    told = marks(records, "method", lambda number: records[number].cell.method)
    for record, setting, mark in zip(records, settings, told, strict=True):
        cell, known = record.cell, defaults.get(record.cell.method, {})
        shown = {
            name: value
            for name, value in cell.options.items()
            if (value != known[name] if name in known else len(values[cell.method, name]) > 1)
            and (setting, cell.method, name) not in by_noise
        }
        options = json.dumps(cell.options, sort_keys=True)
        fields = Cell.own_fields(cell.budget)
        shown.update({n: getattr(cell, n) for n in fields if len(own[setting, cell.method, options, n]) > 1})
        texts.append(_with_options(variant_text(cell.method, shown), mark))
    return texts


def _noises(records: Sequence[Record], settings: Sequence[str]) -> list[str]:
    """Format each record's noise as a variant, with files, versions or code in which columns differ."""
    cells = [record.cell for record in records]
    names = {kind: noise_name(kind) for kind in {cell.noise for cell in cells}}
    found = marks(records, "noise", lambda number: names[cells[number].noise], settings.__getitem__)
    return [_with_options(cell.noise, mark) for cell, mark in zip(cells, found, strict=True)]


def _with_options(variant: str, more: Mapping[str, str]) -> str:
    """Append marks to the options of a variant, as they are."""
    name, _, inside = variant.removesuffix("]").partition("[")
    options = [*filter(None, [inside]), *(f"{key}={value}" for key, value in more.items())]
    return f"{name}[{','.join(options)}]" if options else variant


def _by_noise(records: Sequence[Record], settings: Sequence[str]) -> set[tuple[str, str, str]]:
    """Find setting, method and option where cells of the paper budget differ with their noise alone.

    A paper may set options by noise and rate: such cells are one row all the same, and a note names the options.
    """
    seen: dict[tuple[str, str, str], dict[Any, set[str]]] = defaultdict(lambda: defaultdict(set))
    for record, setting in zip(records, settings, strict=True):
        cell = record.cell
        for name, value in cell.options.items() if cell.budget == "paper" else ():
            place = (cell.noise, cell.rate, cell.subset)
            seen[setting, cell.method, name][place].add(json.dumps(value))
    return {
        option
        for option, places in seen.items()
        if len(set().union(*places.values())) > 1 and all(len(found) == 1 for found in places.values())
    }


def _label(cell: Cell, variant: str, told: bool) -> tuple[str, str]:
    """Return the reader's name of a row and its section of the table."""
    name = method_name(cell.method) + variant[len(cell.method) :]
    if cell.subset == "clean":
        return f"{name} (clean subset, oracle){DAGGER}", "oracle"
    if told:
        return f"{name} (oracle){DAGGER}", "oracle"
    return name, "reference" if cell.method == REFERENCE else "method"


def _numbers(record: Record, truth: bool, test_truth: bool) -> dict[str, Any]:
    """Flatten a record, in the units of `tidy`."""
    cell, cost = record.cell, record.cost
    accuracy = {name: 100 * number(getattr(record.accuracy, name)) for name in ("last", "best", "selected")}
    unusable = record.status == "done" and math.isnan(accuracy["last"])
    status = "no_number" if unusable else record.status
    row: dict[str, Any] = {"key": record.key, **vars(cell), "status": status}
    del row["options"]
    row |= {"reason": SIGNS["no_number"][1] if unusable else record.reason or "", **accuracy}
    row |= {"truth": truth, "test_truth": test_truth}
    row["notes"] = " ".join(filter(None, [*record.data.notes, *record.data.left_out, _left_out(record)]))
    if cell.noise == "none" and not truth:
        row["noise"] = AS_IS
    row["classes"] = record.data.class_count
    row["mask"] = record.noise.digest or ""
    row["realised_rate"] = number(record.noise.realised_rate)
    row["split_share"] = _split_share(record)
    for share in ENDS:
        curve = getattr(record.curve, share) or [None]
        start, end = 100 * number(curve[0]), 100 * number(curve[-1])
        row |= {share: end, f"{share}_start": start, f"{share}_excess": end - start}
    row["steps"] = {term: number(steps) for term, steps in cost.optimizer_steps.items()}
    for name in ("seconds", "forward_passes", "trained_parameters", "peak_memory_bytes"):
        row[name] = number(getattr(cost, name))
    return row


def _left_out(record: Record) -> str:
    """Format a sentence on images that cannot be decoded, where there are any."""
    names = record.data.skipped_images
    many = f"{len(names)} images that cannot be decoded were"
    number = many if len(names) > 1 else "An image that cannot be decoded was"
    return f"{number} left out, first {names[0]}." if names else ""


def _split_share(record: Record) -> float:
    """Compute the share of the training samples in a method's last clean split, in percent."""
    sizes = [number(size) for size in record.curve.split_size if size is not None]
    count = number(record.data.train)
    return 100 * sizes[-1] / count if sizes and count and record.cell.subset == "all" else math.nan
