"""State of numpy, torch, Pillow and scikit-learn, and the objects that their names and ours are bound to."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from types import FunctionType, ModuleType
from typing import Any, Final

from bench.global_state.item import Item, attributes

OURS = ("bench",)
PATCHABLE = ("torch", "torch.nn.functional", "torch.optim", "torch.linalg", "torch.autograd", "numpy", "numpy.linalg",
             "os", "math", "random", "time", "json", "pathlib", "shutil")  # fmt: skip
BASE_CLASSES = (("torch", "Tensor"), ("torch.nn", "Module"), ("torch.optim", "Optimizer"))
MODULES = ("torch.nn", "torch.optim")  # all classes of these
DERIVED = ("Storage",)  # torch binds it by the default dtype
BINDINGS = (staticmethod, classmethod, property, int, float)
KERNELS = ("flash", "mem_efficient", "math", "cudnn")
HOOKS = ("_global_forward_hooks", "_global_forward_pre_hooks", "_global_backward_hooks", "_global_backward_pre_hooks",
         "_global_module_registration_hooks", "_global_parameter_registration_hooks",
         "_global_buffer_registration_hooks")  # fmt: skip


def library_item(
    module: str,
    name: str,
    read: Callable[[Any], Any],
    write: Callable[[Any, Any], object] | None = None,
    draws: bool = False,
) -> Item:
    """Build an item whose functions receive a module."""
    put = None if write is None else lambda before: write(sys.modules[module], before)
    return Item(name, lambda: read(sys.modules[module]), put, module, draws=draws)


torch_item = partial(library_item, "torch")
numpy_item = partial(library_item, "numpy")


def _set_device(torch: Any, before: Any) -> None:
    torch.set_default_device(None)
    kept: Any = getattr(torch, "_GLOBAL_DEVICE_CONTEXT", None)
    if getattr(kept, "device_context", torch) is None:
        del kept.device_context  # torch 2.8 cannot read a default that is None, only one that was never set
    if torch.get_default_device() != before:
        torch.set_default_device(before)


def _autocast(torch: Any) -> dict[str, Any]:
    kinds = ("cpu", "cuda")
    found = {kind: (torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in kinds}
    return {**found, "cache": torch.is_autocast_cache_enabled()}


def _set_autocast(torch: Any, before: Mapping[str, Any]) -> None:
    for kind in ("cpu", "cuda"):
        torch.set_autocast_enabled(kind, before[kind][0])
        torch.set_autocast_dtype(kind, before[kind][1])
    torch.set_autocast_cache_enabled(before["cache"])


def _deterministic(torch: Any) -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


def _kernels(torch: Any) -> dict[str, bool]:
    return {name: getattr(torch.backends.cuda, f"{name}_sdp_enabled")() for name in KERNELS}


def _set_kernels(torch: Any, before: Mapping[str, bool]) -> None:
    for name, on in before.items():
        getattr(torch.backends.cuda, f"enable_{name}_sdp")(on)


def _hooks() -> dict[str, tuple[Any, ...]]:
    module = sys.modules["torch.nn.modules.module"]
    return {name: tuple(getattr(module, name, ())) for name in HOOKS}


def _set_hooks(before: Mapping[str, tuple[Any, ...]]) -> None:
    for name, known in before.items():
        hooks = getattr(sys.modules["torch.nn.modules.module"], name, {})
        for number in [number for number in hooks if number not in known]:
            del hooks[number]


def _devices(torch: Any) -> tuple[Any, ...]:
    """Return the current GPU and the generator states of all; nothing before CUDA is in use."""
    if not torch.cuda.is_initialized():
        return ()
    return torch.cuda.current_device(), *(state.numpy().tobytes() for state in torch.cuda.get_rng_state_all())


def _set_devices(torch: Any, before: tuple[Any, ...]) -> None:
    if before:
        torch.cuda.set_device(before[0])
        states = [torch.frombuffer(bytearray(state), dtype=torch.uint8) for state in before[1:]]
        torch.cuda.set_rng_state_all(states)


def _set_generator(torch: Any, before: bytes) -> None:
    torch.set_rng_state(torch.frombuffer(bytearray(before), dtype=torch.uint8))


def _numpy_generator(numpy: Any) -> tuple[Any, ...]:
    state = numpy.random.get_state()
    return state[0], state[1].tobytes(), *state[2:]


def _set_numpy_generator(numpy: Any, before: tuple[Any, ...]) -> None:
    kind, key, *rest = before
    numpy.random.set_state((kind, numpy.frombuffer(key, dtype=numpy.uint32), *rest))


def _namespaces() -> dict[str, Any]:
    """List modules and classes that all computations share: of torch and numpy, and all of ours."""
    modules: dict[str, Any] = {
        name: module
        for name, module in list(sys.modules.items())
        if name in PATCHABLE or (isinstance(module, ModuleType) and name.partition(".")[0] in OURS)
    }
    return modules | _classes(modules)


def _classes(modules: Mapping[str, Any]) -> dict[str, type]:
    """List classes that all computations share: torch's tensors, layers and optimizers, and all of ours."""
    classes = {f"{name}.{one}": getattr(sys.modules[name], one) for name, one in BASE_CLASSES if name in sys.modules}
    for name in MODULES:
        members = vars(sys.modules[name]).values() if name in sys.modules else ()
        classes.update({f"{name}.{one.__qualname__}": one for one in members if isinstance(one, type)})
    for name, module in modules.items():
        if name.partition(".")[0] in OURS:
            own = [one for one in vars(module).values() if isinstance(one, type) and one.__module__ == name]
            classes.update({f"{name}.{one.__qualname__}": one for one in own})
    return classes


def _unhooked(value: Any) -> Any:
    """Unwrap a function. torch wraps an optimizer's step for its profiler at the first use."""
    return value.__wrapped__ if getattr(value, "hooked", False) is True else value


class Bindings:
    """Reader of the names in these namespaces, which reads them anew only where one of them has changed."""

    def __init__(self) -> None:
        self._modules: dict[str, Any] = {}
        self._contents: list[tuple[Any, dict[str, Any]]] = []
        self._bound: dict[str, Any] = {}
        self._methods: dict[str, frozenset[str]] = {}

    def bound(self) -> dict[str, Any]:
        """Return the functions, classes and numbers of these namespaces, by "namespace:name"."""
        self._refresh()
        return self._bound

    def methods(self) -> dict[str, frozenset[str]]:
        """Return names of the functions of every class when `bound` was last read, or since names were put back."""
        if not self._contents:
            self._refresh()
        return self._methods

    def put_back(self, before: Mapping[str, Any]) -> None:
        """Restore the names that were bound otherwise."""
        namespaces = _namespaces()
        for place, value in before.items():
            where, _, name = place.partition(":")
            if where in namespaces and _unhooked(vars(namespaces[where]).get(name, self)) is not value:
                setattr(namespaces[where], name, value)
        self._contents = []

    def _refresh(self) -> None:
        known = self._contents and _same(sys.modules, self._modules)
        if known and all(_same(vars(namespace), content) for namespace, content in self._contents):
            return
        namespaces = _namespaces()
        listing = [sys.modules[name] for name in MODULES if name in sys.modules]  # whose classes are looked at
        modules = dict(sys.modules)
        contents = [(namespace, dict(vars(namespace))) for namespace in (*listing, *namespaces.values())]
        self._contents = []  # so that nothing old counts where a thread's import makes what follows fail
        self._bound = {
            f"{where}:{name}": _unhooked(value)
            for where, namespace in namespaces.items()
            for name, value in vars(namespace).items()
            if (callable(value) or isinstance(value, BINDINGS)) and name not in DERIVED
        }
        self._methods = {
            where: frozenset(name for name, value in vars(one).items() if isinstance(value, FunctionType))
            for where, one in namespaces.items()
            if isinstance(one, type)
        }
        self._modules, self._contents = modules, contents


BOUND: Final = Bindings()


def _same(now: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    try:
        return bool(now == before)
    except Exception:  # noqa: BLE001 - what cannot be compared is something else
        return False


def _remove_methods(before: Mapping[str, frozenset[str]]) -> None:
    namespaces = _namespaces()
    for where, names in BOUND.methods().items():
        for name in names - before.get(where, names):
            delattr(namespaces[where], name)


LIBRARIES: Final[tuple[Item, ...]] = (
    Item("rebound names", BOUND.bound, BOUND.put_back, entries="old"),
    Item("added methods", BOUND.methods, _remove_methods, entries="old"),
    numpy_item("numpy's error mode", lambda n: n.geterr(), lambda n, b: n.seterr(**b)),
    numpy_item("numpy's error function", lambda n: n.geterrcall(), lambda n, b: n.seterrcall(b)),
    numpy_item("numpy's buffer size", lambda n: n.getbufsize(), lambda n, b: n.setbufsize(b)),
    numpy_item("numpy's random generator", _numpy_generator, _set_numpy_generator, draws=True),
    torch_item("torch's default dtype", lambda t: t.get_default_dtype(), lambda t, b: t.set_default_dtype(b)),
    torch_item("torch's default device", lambda t: t.get_default_device(), _set_device),
    torch_item("torch's gradient mode", lambda t: t.is_grad_enabled(), lambda t, b: t.set_grad_enabled(b)),
    torch_item("torch's inference mode", lambda t: t.is_inference_mode_enabled()),
    torch_item(
        "torch's anomaly detection",
        lambda t: (t.is_anomaly_enabled(), t.is_anomaly_check_nan_enabled()),
        lambda t, b: t.autograd.set_detect_anomaly(*b),
    ),
    torch_item("torch's autocast", _autocast, _set_autocast),
    torch_item(
        "torch's deterministic algorithms",
        _deterministic,
        lambda t, b: t.use_deterministic_algorithms(b[0], warn_only=b[1]),
    ),
    torch_item(
        "torch's matmul precision",
        lambda t: t.get_float32_matmul_precision(),
        lambda t, b: t.set_float32_matmul_precision(b),
    ),
    torch_item("torch's threads", lambda t: t.get_num_threads(), lambda t, b: t.set_num_threads(b)),
    torch_item("torch's threads between operations", lambda t: t.get_num_interop_threads()),
    torch_item("torch's attention kernels", _kernels, _set_kernels),
    torch_item(
        "torch's fast path of attention",
        lambda t: t.backends.mha.get_fastpath_enabled(),
        lambda t, b: t.backends.mha.set_fastpath_enabled(b),
    ),
    torch_item(
        "torch's sharing of tensors",
        lambda t: t.multiprocessing.get_sharing_strategy(),
        lambda t, b: t.multiprocessing.set_sharing_strategy(b),
    ),
    attributes("torch's cuDNN flags", "torch.backends.cudnn", "enabled", "benchmark", "benchmark_limit",
               "deterministic", "allow_tf32"),
    attributes("torch's oneDNN flags", "torch.backends.mkldnn", "enabled", "deterministic", "allow_tf32"),
    attributes("torch's einsum flags", "torch.backends.opt_einsum", "enabled", "strategy"),
    attributes("torch's filling of memory", "torch.utils.deterministic", "fill_uninitialized_memory"),
    Item("torch's hooks of all modules", _hooks, _set_hooks, "torch.nn.modules.module"),
    torch_item("torch's random generator", lambda t: t.get_rng_state().numpy().tobytes(), _set_generator, draws=True),
    torch_item("torch's GPU and its random generators", _devices, _set_devices, draws=True),
    attributes("Pillow's limits", "PIL.Image", "MAX_IMAGE_PIXELS"),
    attributes("Pillow's reading of files", "PIL.ImageFile", "LOAD_TRUNCATED_IMAGES", "MAXBLOCK"),
    library_item("sklearn", "scikit-learn's settings", lambda s: s.get_config(), lambda s, b: s.set_config(**b)),
)  # fmt: skip
