"""What Python callers lay over a grid, with types; the values are those of `--set`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypedDict

from bench.execution.execute import SchedulerName
from bench.grid.overrides import override
from bench.limits import Value
from bench.settings.schema import Config, load_config
from bench.variants import axis_text

Names: TypeAlias = str | Sequence[str]
Whole: TypeAlias = int | Sequence[int]
Numbers: TypeAlias = float | Sequence[float]


class Axes(TypedDict, total=False):
    """What may be laid over a grid, as `--set` does: one value, or of an axis a list of them.

    Methods, kinds of noise and data sets may have options in brackets: `method="gce-coop[q=0.5]"`. Each key is
    documented where it stands in `bench.toml`.
    """

    dataset: Names
    backbone: Names
    method: Names
    noise: Names
    rate: Numbers
    reference: Names
    shots: Whole
    seed: Whole
    epochs: Whole
    budget: str
    batch_size: int
    optimizer: str
    learning_rate: float
    schedule: str
    epsilon: float
    momentum: float
    weight_decay: float
    warmup_epochs: int
    warmup_learning_rate: float
    precision: str
    drop_last: bool
    validation: str
    views: int | str
    eval_every: int
    timeout: float
    pack: int | str
    keep_prompts: bool
    device: str


class PlanOptions(Axes, total=False):
    """Further options of `plan`.

    Attributes:
        config: settings file laid over the packaged ones; without it `./bench.toml`, where there is one.
        retry: also run cells that are "failed", "timeout", "out_of_memory", "diverged", or "all" of these.
        rerun: also run done cells anew that other code, or other files, have made.
    """

    config: str | Path
    retry: str
    rerun: bool


class RunOptions(PlanOptions, total=False):
    """Further options of `run`.

    Attributes:
        scheduler: "auto" (Ray where more than one worker fits), "ray" or "local".
        address: of a running Ray cluster.
        fail_fast: stop at the first cell that does not finish.
    """

    scheduler: SchedulerName
    address: str
    fail_fast: bool


def axes_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Split keywords into axes of a grid and texts for `--set`."""
    others = RunOptions.__annotations__.keys() - Axes.__annotations__.keys()
    return {name: value for name, value in options.items() if name not in others}


def laid_over(grid: str, options: Mapping[str, Any]) -> Config:
    """Return the settings with the axes among these options laid over a grid.

    Raises:
        BenchError: a name, an axis or a value is unknown or out of range.
    """
    sets = [f"{name}={_text(value)}" for name, value in axes_of(options).items()]
    return override(configuration(options.get("config")), grid, sets)


def configuration(file: str | Path | None = None) -> Config:
    """Return the settings, with those of a file laid over them.

    Raises:
        BenchError: the file is missing or malformed.
    """
    return load_config(None if file is None else str(file))


def _text(value: Any) -> str:
    """Format one value or several as `--set` takes them."""
    several = value if isinstance(value, Iterable) and not isinstance(value, str) else [value]
    return ",".join(axis_text(_plain(one)) for one in several)


def _plain(value: Any) -> Value:
    """Convert a value from numpy's type, and a path to text."""
    return str(value) if isinstance(value, Path) else getattr(value, "item", lambda: value)()
