"""Everything that one `bench perf` measures, as JSON, and as tables for a terminal or a page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from bench.perf.growth import Growth
from bench.perf.parts import EPOCHS, PARTS, REST, CellParts
from bench.perf.speed import Compared, MethodSpeed
from bench.perf.timing import Ratio, median
from bench.perf.workload import Scale

NONE = "–"
BEGIN, END = "<!-- bench perf -->", "<!-- end of bench perf -->"
SCHEMA = 1


class SpeedTable(NamedTuple):
    """A table of texts, and what it shows."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class PerfResult:
    """One measurement.

    Attributes:
        processor: name of the processor or GPU.
        versions: of torch and others, by import name.
        matrix_rate: floating-point operations per second of a product of two large matrices in float32.
        overhead: seconds of cells that train nothing, repetition by repetition.
    """

    backbone: str
    device: str
    processor: str
    versions: dict[str, str]
    scale: Scale
    matrix_rate: float
    speeds: Sequence[MethodSpeed]
    growth: Sequence[Growth]
    parts: Sequence[CellParts]
    overhead: Sequence[float]

    def as_json(self) -> dict[str, Any]:
        """Convert to JSON values."""
        return {"schema": SCHEMA, **asdict(self)}

    @property
    def summary(self) -> str:
        """What was measured where, in a sentence."""
        scale = self.scale
        return (
            f"{self.backbone}, {scale.classes} classes, {scale.shots} shots, batches of {scale.batch_size}, float32, "
            f"{'one thread of ' if self.device == 'cpu' else ''}{self.processor}: matrix products at "
            f"{self.matrix_rate / 1e9:,.0f} GFLOP/s; a cell that trains nothing takes "
            f"{1000 * median(self.overhead):.0f} ms."
        )

    def tables(self) -> Iterator[SpeedTable]:
        """Yield the tables: steps, work and memory, cells and their parts, growth."""
        counts = sorted({count for speed in self.speeds for count in speed.step.packs})
        packs = [f"pack of {count}" for count in counts]
        yield SpeedTable(
            "A training step: milliseconds alone, and how many times faster that is than on 77 tokens, and each member "
            "of a pack than alone (median, quartiles)",
            ["method", "ms", "against 77 tokens", *packs],
            [
                [s.method, _figure(1000 * s.step.seconds), _ratio(s.step.naive), *_ratios(s.step, counts)]
                for s in self.speeds
            ],
        )
        yield SpeedTable(
            "Work and memory of a step: GFLOP of matrix products, those on 77 tokens, share of the matrix rate, MB per "
            "member kept for the backward pass",
            ["method", "GFLOP", "on 77 tokens", "share alone", *(f"in a {p}" for p in packs), "MB alone", *packs],
            [[s.method, *_work(s, counts)] for s in self.speeds],
        )
        counts = sorted({count for speed in self.speeds for count in speed.cell.packs})
        yield SpeedTable(
            "A cell of one epoch with set-up and two evaluations: milliseconds alone, and how many times faster per "
            "member of a pack; an epoch's steps at the full number of shots, in milliseconds",
            ["method", "ms", *(f"pack of {count}" for count in counts), "steps of an epoch, ms"],
            [
                [s.method, _figure(1000 * s.cell.seconds), *_ratios(s.cell, counts), _figure(1000 * s.epoch)]
                for s in self.speeds
            ],
        )
        if self.parts:
            yield SpeedTable(
                f"Where the time of a cell of {EPOCHS} epochs goes, {EPOCHS + 1} evaluations of the training set and "
                "two of the others: milliseconds per member",
                ["method", "members", *PARTS, REST],
                [[one.method, str(one.members), *(_figure(1000 * one.seconds[part]) for part in (*PARTS, REST))]
                 for one in self.parts],
            )  # fmt: skip
        for axis, of in (("classes", "a step"), ("tokens", "a step"), ("shots", "a cell of one epoch")):
            rows = [one for one in self.growth if one.axis == axis]
            values = list(dict.fromkeys(one.value for one in rows))
            if rows:
                title = f"Milliseconds of {of} alone by {'tokens of a class name' if axis == 'tokens' else axis}"
                yield SpeedTable(title, ["method", *(f"{v:g}" for v in values)], list(_grown(rows, values)))

    def reasons(self) -> list[str]:
        """List why methods could not be run in packs."""
        return [f"{speed.method} was not run in a pack of {speed.reason}." for speed in self.speeds if speed.reason]


def markdown(result: PerfResult) -> str:
    """Format the tables for a page."""
    parts = [result.summary]
    for title, columns, rows in result.tables():
        rule = "|" + "|".join([" --- ", *[" ---: "] * (len(columns) - 1)]) + "|"
        lines = ["| " + " | ".join(row) + " |" for row in (columns, *rows)]
        parts.append("\n".join([f"{title}:", "", lines[0], rule, *lines[1:]]))
    return "\n\n".join([*parts, *result.reasons()]) + "\n"


def inserted(page: str, tables: str) -> str:
    """Replace what a page has between `BEGIN` and `END` by the tables; without these lines the tables are the page."""
    before, found, rest = page.partition(f"{BEGIN}\n")
    _, ends, after = rest.partition(END)
    return f"{before}{BEGIN}\n{tables}{END}{after}" if found and ends else tables


def _work(speed: MethodSpeed, counts: Sequence[int]) -> Iterator[str]:
    yield _figure(speed.flops / 1e9)
    yield NONE if speed.naive_flops is None else _figure(speed.naive_flops / 1e9)
    for count in (1, *counts):
        yield f"{100 * speed.shares[count]:.0f} %" if count in speed.shares else NONE
    for count in (1, *counts):
        yield _figure(speed.saved[count] / 1e6) if count in speed.saved else NONE


def _grown(rows: Sequence[Growth], values: Sequence[float]) -> Iterator[list[str]]:
    for method in dict.fromkeys(one.method for one in rows):
        own = {one.value: one.seconds for one in rows if one.method == method}
        yield [method, *(_figure(1000 * own[value]) if value in own else NONE for value in values)]


def _ratios(compared: Compared, counts: Sequence[int]) -> list[str]:
    return [_ratio(compared.packs.get(count)) for count in counts]


def _ratio(ratio: Ratio | None) -> str:
    return NONE if ratio is None else f"{ratio.median:.2f} ({ratio.low:.2f}-{ratio.high:.2f})"


def _figure(value: float) -> str:
    """Format a number with three significant digits, without an exponent."""
    digits = max(0, 2 - math.floor(math.log10(value))) if value > 0 else 0
    return f"{value:,.{min(digits, 6)}f}"
