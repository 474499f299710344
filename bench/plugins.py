"""Registries of methods, noise kinds, data sets, backbones, losses and splits, and how third parties add to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError, did_you_mean
from bench.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

    from bench.clip.backbone import Backbone
    from bench.contracts.dataset import Dataset
    from bench.contracts.method import Method
    from bench.contracts.noise import Noise
    from bench.contracts.objective import CleanSplit

METHODS: Registry[type[Method]] = Registry(
    "method", "noisy_prompt_bench.methods", "bench.contracts.method:Method", "bench.methods:ROWS"
)
NOISE: Registry[type[Noise]] = Registry(
    "noise", "noisy_prompt_bench.noise", "bench.contracts.noise:Noise", "bench.noise:ROWS"
)
DATASETS: Registry[type[Dataset]] = Registry(
    "dataset", "noisy_prompt_bench.datasets", "bench.contracts.dataset:Dataset", "bench.data.sets:ROWS"
)
BACKBONES: Registry[Callable[[], Backbone]] = Registry(
    "backbone", "noisy_prompt_bench.backbones", None, "bench.clip:ROWS"
)
LOSSES: Registry[Callable[..., Tensor]] = Registry(
    "loss", "noisy_prompt_bench.losses", None, "bench.methods.parts:LOSSES"
)
SPLITS: Registry[Callable[..., CleanSplit]] = Registry(
    "split", "noisy_prompt_bench.splits", None, "bench.methods.parts:SPLITS"
)
REGISTRIES: tuple[Registry[Any], ...] = (METHODS, NOISE, DATASETS, BACKBONES, LOSSES, SPLITS)


def register(
    name: str, plugin: Any, summary: str = "", *, aliases: Sequence[str] = (), kind: str = "", **metadata: Any
) -> None:
    """Add a plugin under a name: method, kind of noise, data set, backbone, loss or split.

    Call it in a plugin file, which `--plugin FILE` and `plugins=[FILE]` import. An installed package needs no call: its
    entry points do the same.

    Args:
        name: used in settings, on the command line and in records.
        plugin: a class derived from `bench.Method`, `bench.NoiseKind` or `bench.Dataset`, or a function, of which
            `kind` says what it is.
        summary: one line for `bench list`.
        aliases: other names of the same plugin.
        kind: "method", "noise", "dataset", or of a function "backbone", "loss" or "split"; empty: that of the class.
        metadata: what else the registry of this kind knows of a plugin, such as `version`, to be raised whenever
            results may change; it is part of every record's key.

    Raises:
        BenchError: a name is taken, or the object is of no kind, or not of the one that is named.

    Examples:
        >>> import bench
        >>> class Mine(bench.CoOp):
        ...     "CoOp at half the loss."
        >>> bench.register("half-coop", Mine, "CoOp at half the loss", aliases=["half"])
    """
    others = (aliases,) if isinstance(aliases, str) else tuple(aliases)
    _registry_of(name, plugin, kind).register(name, plugin, summary, aliases=others, **metadata)


def _registry_of(name: str, plugin: Any, kind: str) -> Registry[Any]:
    by_kind = {registry.kind: registry for registry in REGISTRIES}
    if kind:
        if kind not in by_kind:
            raise BenchError(f'register("{name}"): unknown kind "{kind}"; {did_you_mean(kind, by_kind)}')
        return by_kind[kind]
    found = [registry for registry in REGISTRIES if registry.holds(plugin)]
    if len(found) != 1:
        shown = getattr(plugin, "__qualname__", repr(plugin))
        raise BenchError(
            f'register("{name}"): the kind of plugin of {shown} is unknown; derive it from bench.Method, '
            f"bench.NoiseKind or bench.Dataset, or give kind= as one of {', '.join(by_kind)}."
        )
    return found[0]
