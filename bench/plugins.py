"""The registries: methods, kinds of noise, data sets, backbones, losses and splits by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bench.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

    from bench.clip.backbone import Backbone
    from bench.contracts.dataset import Dataset
    from bench.contracts.method import Method
    from bench.contracts.noise import Noise
    from bench.contracts.objective import Split

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
SPLITS: Registry[Callable[..., Split]] = Registry(
    "split", "noisy_prompt_bench.splits", None, "bench.methods.parts:SPLITS"
)
REGISTRIES: tuple[Registry[Any], ...] = (METHODS, NOISE, DATASETS, BACKBONES, LOSSES, SPLITS)
