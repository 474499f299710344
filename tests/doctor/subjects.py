"""Subjects of an examination, for tests."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bench.doctor.diagnosis import Diagnosis, Subject
from bench.grid.overrides import override
from bench.settings.layers import read_layers
from bench.settings.schema import validated


def subject(
    store: str | Path = "results", *sets: str, cache: str | Path = "", grid: str = "quick", **axes: list[str]
) -> Subject:
    """The packaged settings, with `--set` and axes, of which nothing is checked, laid over a grid."""
    layers = read_layers(None)
    layers.lay({"paths": {"cache": str(cache)}, "grid": {grid: axes}}, "a test")
    return Subject(override(validated(layers), grid, sets) if sets else validated(layers), grid, str(store))


def problems(found: Iterable[Diagnosis]) -> list[Diagnosis]:
    """Those that must be mended; each says how."""
    wrong = [one for one in found if one.state == "problem"]
    assert all(one.mend for one in wrong)
    return wrong
