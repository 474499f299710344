"""Benchmark harness for prompt learning of CLIP under noisy labels.

Run and read: `run`, `plan`, `load`, `report`, `compare`. Add to it: `register`, and the contracts of plugins. Names are
imported when they are first asked for, so that `import bench` costs nothing. See `docs/python.md`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.api.results import Results, compare, load, report
    from bench.api.training import plan, run
    from bench.contracts.dataset import Dataset, Split
    from bench.contracts.inputs import Inputs
    from bench.contracts.method import Batch, Context, FullPass, Losses, Method, Needs, Phase
    from bench.contracts.noise import Noise as NoiseKind
    from bench.contracts.noise import NoisyLabels, Sampled, Scene
    from bench.contracts.objective import CleanSplit
    from bench.contracts.options import Options, scalar, structural
    from bench.errors import BenchError
    from bench.methods.coop import CoOp
    from bench.methods.parts.objective import Objective
    from bench.plugins import register
    from bench.seeds import Stream

__version__ = "0.1.0"
__all__ = [
    "Batch", "BenchError", "CleanSplit", "CoOp", "Context", "Dataset", "FullPass", "Inputs", "Losses", "Method",
    "Needs", "NoiseKind", "NoisyLabels", "Objective", "Options", "Phase", "Results", "Sampled", "Scene", "Split",
    "Stream", "compare", "load", "plan", "register", "report", "run", "scalar", "structural",
]  # fmt: skip
_NAMES = {
    "bench.api.results": "Results compare load report",
    "bench.api.training": "plan run",
    "bench.contracts.dataset": "Dataset Split",
    "bench.contracts.inputs": "Inputs",
    "bench.contracts.method": "Batch Context FullPass Losses Method Needs Phase",
    "bench.contracts.noise": "Noise NoisyLabels Sampled Scene",
    "bench.contracts.objective": "CleanSplit",
    "bench.contracts.options": "Options scalar structural",
    "bench.errors": "BenchError",
    "bench.methods.coop": "CoOp",
    "bench.methods.parts.objective": "Objective",
    "bench.plugins": "register",
    "bench.seeds": "Stream",
}
HOMES = {name: (module, name) for module, names in _NAMES.items() for name in names.split()}
HOMES["NoiseKind"] = HOMES.pop("Noise")  # every kind's base class; its name in the package is shorter


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module 'bench' has no attribute {name!r}")
    module, attribute = HOMES[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
