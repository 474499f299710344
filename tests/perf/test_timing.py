"""Ratios of sides that are timed in turn, with a clock that only moves when a side runs."""

from __future__ import annotations

import pytest

from bench.perf.timing import LEAST_SECONDS, MOST_CALLS, Ratio, interleaved


class Clock:
    """Time that passes when asked to."""

    def __init__(self) -> None:
        self.time = 0.0
        self.ran: list[str] = []

    def __call__(self) -> float:
        return self.time

    def side(self, name: str, seconds: float) -> object:
        def run() -> None:
            self.ran.append(name)
            self.time += seconds

        return run


def test_sides_run_in_turn_and_short_ones_several_times() -> None:
    clock = Clock()
    sides = {name: clock.side(name, seconds) for name, seconds in (("quick", 0.01), ("slow", 2.0), ("idle", 0.0))}
    found = interleaved(sides, 2, clock)  # type: ignore[arg-type]
    assert found["quick"] == pytest.approx([0.01, 0.01])
    assert found["slow"] == pytest.approx([2.0, 2.0])
    assert found["idle"] == [0.0, 0.0]
    calls = round(LEAST_SECONDS / 0.01)
    warm_up = ["quick", "quick", "slow", "idle", "idle"]  # what takes long is warm after one call
    assert (
        clock.ran
        == warm_up
        + ["quick"] * calls
        + ["slow"]
        + ["idle"] * MOST_CALLS
        + ["quick"] * calls
        + ["slow"]
        + ["idle"] * MOST_CALLS
    )


def test_a_ratio_is_taken_repetition_by_repetition() -> None:
    ratio = Ratio.of([2.0, 40.0, 3.0], [1.0, 10.0, 1.0], factor=2.0)  # a machine that is 10 times slower in one
    assert (ratio.median, ratio.low, ratio.high) == pytest.approx((6.0, 5.0, 7.0))
