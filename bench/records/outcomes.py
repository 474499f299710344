"""Check per-sample outcomes against their record. `bench.engine.outcomes` makes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.contracts.noise import Foreign, NoisyLabels, Sampled
from bench.records.record import Record


class Form(NamedTuple):
    """Shape by letters, numpy kinds and range of values; `high` None is the number of classes less one."""

    shape: str
    kinds: str
    low: float
    high: float | None = np.inf


# N training samples, M given to the method, R evaluated epochs, n test samples, H unseen samples, C classes.
FORMS: Final = {
    "positions": Form("N", "iu", 0),
    "true": Form("N", "iu", -1, None),
    "observed": Form("N", "iu", 0, None),
    "visible": Form("M", "iu", 0),
    "losses": Form("RN", "f", 0),
    "predictions": Form("RN", "iu", 0, None),
    "unseen": Form("H", "iu", 0),
    "probabilities": Form("HC", "f", 0, 1.001),
    "selected": Form("N", "iu", -1, 1),
    "foreign": Form("N", "iu", -1),
    "test_confidence": Form("n", "f", 0, 1.001),
    "test_predicted": Form("n", "iu", 0, None),
    "test_correct": Form("n", "b", 0, 1),
}
ALWAYS: Final = ("positions", "true", "observed", "visible", "losses", "predictions")
HALF: Final = 0.5  # of a test image
PLACES: Final = ("visible", "unseen")  # positions among the N


def misfit(arrays: Mapping[str, NDArray[Any]], record: Record) -> str:
    """Return why arrays cannot be the outcomes of a record: shape, range or another run; else empty."""
    classes = len(record.data.class_names)
    lengths = {"C": classes} if classes else {}
    for name in ALWAYS:
        if name not in arrays:
            return f"{name} is missing"
    for name, form in FORMS.items():
        if name in arrays and (wrong := _wrong(arrays[name], form, lengths)):
            return f"{name} {wrong}"
    beyond = next((name for name in PLACES if arrays.get(name, np.empty(0)).max(initial=-1) >= lengths["N"]), None)
    return f"{beyond} has positions beyond the samples" if beyond else _of_another(arrays, record)


def _of_another(arrays: Mapping[str, NDArray[Any]], record: Record) -> str:
    """Return which digest or accuracy of the record contradicts the arrays; else empty."""
    noisy = NoisyLabels(arrays["true"], arrays["observed"], 0)
    foreign = Foreign(str(record.noise.foreign), arrays["foreign"]) if "foreign" in arrays else None
    sampled = Sampled(arrays["positions"], noisy, foreign=foreign)
    if record.noise.digest not in (None, noisy.digest):
        return "observed has other labels than the record"
    if record.noise.images_digest not in (None, sampled.images_digest):
        return "positions has other images than the record"
    right, last = arrays.get("test_correct", np.empty(0)), record.accuracy.last
    apart = len(right) > 0 and last is not None and abs(float(right.mean()) - last) * len(right) > HALF
    return "test_correct has another accuracy than the record" if apart else ""


def _wrong(array: NDArray[Any], form: Form, lengths: dict[str, int]) -> str:
    """Return what is wrong with one array, and note the lengths that it is the first to have."""
    if array.dtype.kind not in form.kinds or array.ndim != len(form.shape):
        return f"is {array.dtype} {list(array.shape)}"
    for letter, size in zip(form.shape, array.shape, strict=True):
        if lengths.setdefault(letter, size) != size:
            return f"has {size} entries where others have {lengths[letter]}"
    high = lengths.get("C", np.inf) - 1 if form.high is None else form.high
    inside = (array >= form.low) & (array <= high)
    return "" if bool(inside.all()) else "has values out of range"
