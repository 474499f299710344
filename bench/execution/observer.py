"""Observers of a run: a silent one, and one that displays notes and progress."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from bench import console
from bench.execution.plan import Plan
from bench.execution.progress import Listener, Progress, shown
from bench.schedulers.contract import Pack


class Observer:
    """Receiver of the events of a run, in this order; it says nothing."""

    def begin(self, plan: Plan, packs: Sequence[Pack], workers: int | None, where: str) -> None:
        """Handle the start; `workers` is None where a cluster may be used whole, `where` names scheduler and device."""

    def note(self, text: str) -> None:
        """Handle a line that the user should read."""

    def nodes(self, lines: list[str]) -> None:
        """Handle the nodes of a cluster, a line each; more than once where cells are run once more."""

    def encoding(self) -> AbstractContextManager[Callable[[int, int | None], None]]:
        """Return a context whose value is called with the images encoded so far and in all."""
        return nullcontext(lambda *_: None)

    def encoded(self, images: int, seconds: float) -> None:
        """Handle the end of encoding; without images there was nothing to encode."""

    def training(self, plan: Plan) -> AbstractContextManager[Listener]:
        """Return a context whose value is called once per ended cell."""
        return nullcontext(lambda *_: None)

    def end(self, progress: Progress) -> None:
        """Handle the end of the run."""


class Display(Observer):
    """Observer that prints notes and progress."""

    def note(self, text: str) -> None:
        """Print a note."""
        console.warn(text)

    def encoding(self) -> AbstractContextManager[Callable[[int, int | None], None]]:
        """Return a context that displays how many images are encoded."""
        return console.amount("image features", "images")

    def training(self, plan: Plan) -> AbstractContextManager[Listener]:
        """Return a context that displays the outcomes of cells."""
        return shown(len(plan.todo), {planned.key: planned.cell.label() for planned in plan.todo})
