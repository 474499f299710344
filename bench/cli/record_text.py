"""Describes a record in words, part by part; parts that it lacks are left out."""

from __future__ import annotations

import re
from typing import Any

from bench.console import duration, size
from bench.grid.options import defaults
from bench.layout import few
from bench.records.cell import Cell, noise_text
from bench.records.parts import CodeState, Cost, Data, Labels, Provenance
from bench.records.record import Record
from bench.variants import value_text

Fact = tuple[str, str]
DIGITS = 12  # of a digest
ROWS = 12  # of the curve
SIZES = ("classes", "train", "validation", "test")
NAMES = 5  # of classes, images and the like
CURVE = {
    "test_accuracy": "test %", "validation_accuracy": "validation %", "train_clean_accuracy": "clean training %",
    "train_given_accuracy": "as given %", "memorized": "memorized %", "recovered": "recovered %",
    "test_calibration_error": "calibration error %",
}  # fmt: skip


def facts(record: Record) -> list[Fact]:
    """Describe everything but the curve, the most wanted first."""
    made = record.provenance
    resolved = made.resolved.model_dump() if made.resolved else {}
    found = [
        ("record", record.key),
        ("cell", _cell(record.cell)),
        ("training", _training(record.cell)),
        ("options", _options(record.cell)),
        ("status", record.status.replace("_", " ") + (f": {record.reason}" if record.reason else "")),
        ("accuracy", _accuracy(record)),
        ("mislabeled", _mislabeled(record)),
        ("oracle", ", ".join(record.oracle).replace("_", " ")),
        ("labels", _labels(record.noise)),
        ("validation", _labels(record.noise.validation or Labels())),
        ("data", _data(record.data)),
        *(("note", note) for note in record.data.notes),
        ("cost", _cost(record.cost)),
        *(("earlier", f"{tried.get('status', '')}: {tried.get('reason', '')}") for tried in record.attempts),
        ("made", _made(made)),
        ("on", _joined(made.device, made.processor, made.platform)),
        ("resolved", _joined(*(f"{name} {_words(value)}" for name, value in resolved.items()))),
        ("plugins", _joined(*(f"{part} of {origin}" for part, origin in made.plugins.items()))),
        ("with", _joined(*(f"{name} {number}" for name, number in made.versions.items()))),
    ]
    return [(name, text) for name, text in found if text]


def curve(record: Record) -> tuple[list[str], list[list[str]]]:
    """Format the curve: at most `ROWS` epochs at which the test set was evaluated, evenly spaced."""
    epochs, known = record.curve.epoch, record.curve.columns
    rows = [row for row, value in enumerate(known.get("test_accuracy", [])) if value is not None] or range(len(epochs))
    if len(rows) > ROWS:
        rows = [rows[round(step * (len(rows) - 1) / (ROWS - 1))] for step in range(ROWS)]
    kept = [name for name in CURVE if name in known and any(known[name][row] is not None for row in rows)]
    texts = [[str(epochs[row]), *(_share(known[name][row]) for name in kept)] for row in rows]
    return ["epoch", *(CURVE[name] for name in kept)], texts


def _cell(cell: Cell) -> str:
    shots = f"{cell.shots} shot{'s' if cell.shots > 1 else ''} per class"
    trained = "" if cell.subset == "all" else f" (trained on: {cell.subset})"
    noise = noise_text(cell.noise, cell.rate)
    return f"{cell.dataset}, {shots}, {noise}, {cell.method}{trained}, {cell.backbone}, seed {cell.seed}"


def _training(cell: Cell) -> str:
    return _joined(
        f"{cell.epochs} epochs of the {cell.budget} budget", f"{cell.optimizer} in batches of {cell.batch_size}",
        f"learning rate {cell.learning_rate:g} ({cell.schedule})",
        f"warm-up {cell.warmup_epochs} at {cell.warmup_learning_rate:g}" if cell.warmup_epochs else "no warm-up",
        f"momentum {cell.momentum:g}", f"weight decay {cell.weight_decay:g}",
        f"epsilon {cell.epsilon:g}" if cell.optimizer != "sgd" else "",
        f"{cell.views} views" if cell.views else "plain images",
        f"{cell.validation} validation labels", f"evaluated every {cell.eval_every}" if cell.eval_every > 1 else "",
    )  # fmt: skip


def _options(cell: Cell) -> str:
    """List options that differ from the method's defaults; all, where these are unknown."""
    known = defaults(cell.method)
    told = [
        f"{name} = {value_text(value)}" + (f" (default {value_text(known[name])})" if name in known else "")
        for name, value in cell.options.items()
        if name not in known or known[name] != value
    ]
    if not known:
        return _joined(*told, f"{cell.method} is not known here, so these may be its defaults" if told else "")
    return _joined(*told) or "the method's defaults"


def _accuracy(record: Record) -> str:
    epoch = record.accuracy.selected_epoch
    words = {
        "last": "after the last epoch",
        "best": "at best (an oracle)",
        "selected": "chosen on validation" + ("" if epoch is None else f" (epoch {epoch})"),
    }
    known = {name: value for name in words if (value := getattr(record.accuracy, name)) is not None}
    agreement = "agreement with given test labels" if known and record.data.test_truth is False else ""
    return _joined(*(f"{_share(value)} % {words[name]}" for name, value in known.items()), agreement)


def _mislabeled(record: Record) -> str:
    words = {"memorized": "predicted as given (memorized)", "recovered": "as true (recovered)", "neither": "as neither"}
    last = {name: (record.curve.columns.get(name) or [None])[-1] for name in words}
    return _joined(*(f"{_share(last[name])} % {text}" for name, text in words.items() if last[name] is not None))


def _labels(noise: Labels) -> str:
    rates, known = noise.per_class_rate, noise.realised_rate
    return _joined(
        "" if known is None else f"{_share(known)} % wrong",
        "" if noise.mislabeled is None else f"{noise.mislabeled} samples",
        f"classes from {_share(min(rates))} % to {_share(max(rates))} %" if rates else "",
        "the true labels are unknown" if noise.truth is False else "",
        _digest("digest", noise.digest),
        _digest("images", noise.images_digest),
    )


def _data(data: Data) -> str:
    sizes = [f"{getattr(data, name)} {name}" for name in SIZES if getattr(data, name) is not None]
    short, skipped = data.classes_short_of_shots, data.skipped_images
    return _joined(
        *sizes,
        f"mode {data.mode}" if data.mode else "",
        _digest("digest", data.digest),
        f"{len(short)} classes have fewer images than shots" if short else "",
        f"left out: {few(skipped, NAMES)}" if skipped else "",
    )


def _cost(cost: Cost) -> str:
    seconds, parameters, peak = cost.seconds, cost.trained_parameters, cost.peak_memory_bytes
    steps = cost.optimizer_steps
    return _joined(
        "" if seconds is None else f"{seconds:.3g} s" if seconds < 60 else duration(seconds),
        f"optimizer steps: {' '.join(f'{name} {count}' for name, count in steps.items())}" if steps else "",
        f"{cost.forward_passes} forward passes" if cost.forward_passes else "",
        "" if parameters is None else f"{parameters:,.0f} trained parameters",
        "" if not peak else f"{size(peak)} of GPU memory",
        "" if cost.prompts_bytes is None else f"prompts kept ({size(cost.prompts_bytes)})",
        f"prompts not kept: {cost.prompts_not_kept}" if cost.prompts_not_kept else "",
    )


def _made(provenance: Provenance) -> str:
    code = provenance.code or CodeState()
    commit = (code.commit or "")[:DIGITS]
    begun, ended = (text.replace("T", " ") for text in (provenance.started, provenance.finished))
    return _joined(
        begun + (f" to {ended}" if ended else ""),
        f"commit {commit}{' with changes' if code.dirty else ''}" if commit else "",
    )


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name} {_words(item)}" for name, item in value.items())
    return re.sub(rf"([0-9a-f]{{{DIGITS}}})[0-9a-f]{{52}}", r"\1", str(value))


def _digest(name: str, value: Any) -> str:
    return f"{name} {str(value)[:DIGITS]}" if value else ""


def _joined(*texts: str) -> str:
    return ", ".join(text for text in texts if text)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"
