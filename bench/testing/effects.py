"""Compares the effects of options with their declarations: each changes a short run exactly where it should.

A run is the contract's own: 20 random samples, three epochs. Compared are the loss terms of every step, the rows of
the curve and the losses of single samples. What a method reports of itself may repeat an option, so it is compared only
where nothing may change.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from bench.contracts.conditions import OptionComparison, conditions_of, idle, listed_values
from bench.contracts.method import Losses, Method, Options
from bench.errors import BenchError
from bench.limits import Value
from bench.testing.fixtures import build, train

Numbers: TypeAlias = NDArray[np.float64]
RELATIVE, ABSOLUTE = 1e-5, 1e-6  # below is rounding: the transport of a single prompt is uniform but for that
TEXTS = ("a picture of the", "a picture of the {}.", "a picture, of the", "a {}, of a picture.")


@dataclass(frozen=True)
class Trace:
    """Numbers of a run that an option may change, and what the method reports of itself."""

    effect: tuple[Numbers, ...]
    reports: tuple[Numbers, ...]

    def differs(self, other: Trace, reports: bool) -> bool:
        """Check whether a number, or also a report, differs by more than rounding."""
        mine, theirs = (one.effect + (one.reports if reports else ()) for one in (self, other))
        return len(mine) != len(theirs) or not all(map(_close, mine, theirs))


def _close(first: Numbers, second: Numbers) -> bool:
    return first.shape == second.shape and np.allclose(first, second, RELATIVE, ABSOLUTE, equal_nan=True)


@dataclass
class Runs:
    """Short runs of a method by its options, each made once."""

    method: type[Method]
    known: dict[str, Trace | None] = field(default_factory=dict)

    def trace(self, options: Options) -> Trace | None:
        """Run with these options; None where the method refuses them or its numbers diverge.

        Raises:
            AssertionError: the run ends in any other error.
        """
        name = options.model_dump_json()
        if name not in self.known:
            try:
                self.known[name] = self._trace(options)
            except (BenchError, ArithmeticError):
                self.known[name] = None
            except Exception as error:
                raise AssertionError(f"{_given(options)}: {type(error).__name__}: {error}") from error
        return self.known[name]

    def differ(self, options: Options, others: Iterable[Options], reports: bool = False) -> bool:
        """Check whether some of the others give another run; `reports` as in `Trace.differs`."""
        before = self.trace(options)
        return before is not None and any(trace and before.differs(trace, reports) for trace in map(self.trace, others))

    def _trace(self, options: Options) -> Trace:
        steps: list[list[float]] = []

        def note(_method: object, _batch: object, losses: Losses) -> None:
            steps.append([float(value.detach()) for _, value in sorted(losses.terms.items())])

        built = build(self.method, options)
        built.register_forward_hook(note)
        audit = train(built)
        rows = [[math.nan if value is None else value for value in row.values()] for row in audit.rows]
        tested = [] if audit.tested is None else [audit.tested.confidence.numpy()]
        reports = [value for _, value in sorted(built.diagnostics().items())]
        return Trace(tuple(map(np.array, (*steps, *rows, *audit.losses, *tested))), (np.array(reports),))


def differences(method: type[Method], options: Options, names: Iterable[str] | None = None) -> Iterator[str]:
    """Find options whose effect is not as declared, one line for each option.

    Each is tried beside these options, and beside those that switch it on or off. One that says why a short run does
    not show it (`unseen`) is left out.

    Args:
        method: of the contract.
        options: to begin with.
        names: of the options that are tried; None for all.
    """
    runs = Runs(method)
    for name in type(options).model_fields if names is None else names:
        extra = type(options).model_fields[name].json_schema_extra
        if not (isinstance(extra, dict) and extra.get("unseen")):
            found = (line for beside in (options, *turned(options, name)) for line in _difference(runs, beside, name))
            yield from islice(found, 1)


def _difference(runs: Runs, options: Options, name: str) -> Iterator[str]:
    others = list(variants(options, name))
    where = f"beside {_given(options, name)}"
    if name in idle(options):
        if runs.differ(options, others[:2], reports=True):
            yield f"option {name} counts {where}, where it is declared to do nothing"
    elif others and not any(runs.differ(beside, variants(beside, name)) for beside in _around(options, name)):
        tried = ", ".join(str(getattr(other, name)) for other in others)
        yield f"option {name} does nothing {where}, tried {tried}"


def _given(options: Options, but: str = "") -> str:
    """Describe the options that are not at their defaults."""
    fields = type(options).model_fields
    return ", ".join(f"{n}={v}" for n, v in options if n != but and v != fields[n].default) or "the defaults"


def _around(options: Options, name: str) -> Iterator[Options]:
    """Replace one other amount or text at a time, beside which `name` counts too and may show sooner.

    What chooses a code path, a word of a list, a truth value or 0, stays: beside another one a condition is due.
    """
    yield options
    still = {name, *idle(options)}
    for other, own in options:
        amount = own and not isinstance(own, bool) and not listed_values(type(options).model_fields[other])
        if other not in still and amount:
            near = variants(options, other)
            yield from (changed for changed in near if getattr(changed, other) and name not in idle(changed))


def turned(options: Options, name: str) -> Iterator[Options]:
    """Find options that switch an option on that is off beside these, or off where it is on."""
    if name in idle(options):
        yield from _fulfilled(options, name)
        return
    for one in {one.name: one for both in conditions_of(type(options)).get(name, ()) for one in both}.values():
        edges = [one.value] if not isinstance(one.value, str) or one.sign == "!=" else []
        for other in (*_valid(options, one.name, edges), *variants(options, one.name)):
            if name in idle(other):
                yield other
                break


def _fulfilled(options: Options, name: str) -> Iterator[Options]:
    """Find options beside which an option counts, one for each alternative of its condition if possible."""
    for both in conditions_of(type(options)).get(name, ()):
        changed = options
        for one in both:
            changed = _with(changed, one)
            if one.name in idle(changed):
                changed = next(_fulfilled(changed, one.name), changed)
        if name not in idle(changed):
            yield changed


def _with(options: Options, comparison: OptionComparison) -> Options:
    """Replace one option so that a comparison holds, where it does not and can."""
    values, name = dict(options), comparison.name
    if comparison.holds(values[name], values):
        return options
    wanted: list[Any] = [comparison.value] if comparison.sign == "=" else []
    if comparison.sign == ">" and not isinstance(comparison.value, str):
        wanted = [comparison.value + 1]
    found = [*_valid(options, name, wanted), *variants(options, name)]
    return next((o for o in found if comparison.holds(dict(o)[name], dict(o))), options)


def variants(options: Options, name: str) -> Iterator[Options]:
    """Replace the value of one option by every other valid one, the likeliest to show first."""
    own = getattr(options, name)
    field = type(options).model_fields[name]
    wanted = (one for one in listed_values(field) or _values(field.annotation, own) if one != own)
    return _valid(options, name, wanted)


def _values(annotation: Any, own: Value) -> Iterator[Value]:
    """List values of a type; numbers lie around the present one."""
    if annotation is bool:
        yield not own
    elif annotation is str:
        yield from TEXTS
    elif annotation is int and isinstance(own, int):
        yield from (2 * own, own // 2, own + 1, own - 1, 0, 1)
    elif annotation is float:
        yield from (2.0 * own, own / 2) if isinstance(own, int | float) else ()
        yield from (0.5, 0.25, 0.0, 1.0)
    else:
        for part in get_args(annotation):
            yield from _values(part, own) if part is not type(None) else ()


def _valid(options: Options, name: str, values: Iterable[Any]) -> Iterator[Options]:
    seen = []
    for value in values:
        try:
            changed = type(options).model_validate({**dict(options), name: value})
        except ValidationError:
            continue
        if changed not in seen:
            seen.append(changed)
            yield changed
