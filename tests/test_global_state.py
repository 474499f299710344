"""Global state that a plugin may leave behind: found by name, put back, and without effect on the cells after it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.ImageFile
import pytest
import sklearn
import torch
import torch.backends.opt_einsum

from bench.contracts.method import Context
from bench.global_state import ITEMS, Guard, libraries, note, put_back
from bench.global_state.libraries import BOUND
from bench.methods.coop import CoOp
from bench.plugins import METHODS
from bench.records.record import Record
from bench.records.store import Store
from bench.schedulers.work import Work
from tests import ROOT
from tests.cells import make_cell
from tests.registered import registered

# What a plugin does, and what it has changed by it. Each is put back where it was.
CHANGES = {
    "os.chdir('/')": "working directory",
    "os.umask(0o123)": "umask",
    "os.environ.update(LEFT='1', HOME='/')": "environment variables (HOME, LEFT)",
    "os.environ.pop('PATH')": "environment variables (PATH)",
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)": "signal handlers (SIGTERM)",
    "signal.setitimer(signal.ITIMER_PROF, 60)": "timers (ITIMER_PROF)",
    "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])": "signal mask",
    "resource.setrlimit(resource.RLIMIT_NOFILE, (99, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))": (
        "resource limits (RLIMIT_NOFILE)"
    ),
    "os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1])": "processor affinity",
    "sys.setrecursionlimit(5000)": "recursion limit",
    "sys.setswitchinterval(1)": "switch interval",
    "gc.disable()": "garbage collector (enabled)",
    "gc.set_threshold(7)": "garbage collector (thresholds)",
    "sys.stdout = io.StringIO()": "streams and hooks (stdout)",
    "sys.excepthook = print": "streams and hooks (excepthook)",
    "threading.excepthook = print": "exception hook of threads (excepthook)",
    "sys.setprofile(lambda *_: None)": "profile function",
    "threading.settrace(lambda *_: None)": "trace function of threads",
    "sys.dont_write_bytecode = not sys.dont_write_bytecode": "compiled modules (dont_write_bytecode)",
    "builtins.print = len": "builtins (print)",
    "builtins.left = 1": "builtins (left)",
    "warnings.showwarning = print": "warnings (showwarning)",
    "logging.root.addHandler(logging.NullHandler())": "logging",
    "logging.disable()": "logging",
    "locale.setlocale(locale.LC_ALL, 'C' if locale.setlocale(locale.LC_ALL) != 'C' else 'C.UTF-8')": "locale",
    "decimal.getcontext().prec = 3": "decimal context (prec)",
    "socket.setdefaulttimeout(1)": "socket timeout",
    "multiprocessing.set_start_method('spawn', force=True)": "start method of processes",
    "random.seed(1)": "Python's random generator",
    "np.seterr(all='raise')": "numpy's error mode (divide, over, under, invalid)",
    "np.seterrcall(print)": "numpy's error function",
    "np.setbufsize(16)": "numpy's buffer size",
    "np.random.seed(1)": "numpy's random generator",
    "torch.set_default_dtype(torch.float64)": "torch's default dtype",
    "torch.set_default_device('meta')": "torch's default device",
    "torch.set_grad_enabled(False)": "torch's gradient mode",
    "torch.autograd.set_detect_anomaly(True)": "torch's anomaly detection",
    "torch.set_autocast_enabled('cpu', True)": "torch's autocast (cpu)",
    "torch.use_deterministic_algorithms(True)": "torch's deterministic algorithms",
    "torch.set_float32_matmul_precision('medium')": "torch's matmul precision",
    "torch.set_num_threads(torch.get_num_threads() + 1)": "torch's threads",
    "torch.set_flush_denormal(True)": "denormal numbers",
    "torch.backends.cudnn.benchmark = True": "torch's cuDNN flags (benchmark)",
    "torch.backends.mkldnn.enabled = False": "torch's oneDNN flags (enabled)",
    "torch.backends.opt_einsum.enabled = False": "torch's einsum flags (enabled)",
    "torch.utils.deterministic.fill_uninitialized_memory = False": "torch's filling of memory",
    "torch.backends.cuda.enable_math_sdp(False)": "torch's attention kernels (math)",
    "torch.backends.mha.set_fastpath_enabled(False)": "torch's fast path of attention",
    "torch.multiprocessing.set_sharing_strategy('file_system')": "torch's sharing of tensors",
    "torch.nn.modules.module.register_module_forward_hook(print)": "torch's hooks of all modules",
    "torch.manual_seed(1)": "torch's random generator",
    "torch.nn.functional.cross_entropy = torch.nn.functional.mse_loss": "rebound names",
    "bench.engine.prediction.POOLED_CHUNK = 3": "rebound names (bench.engine.prediction:POOLED_CHUNK)",
    "torch.optim.SGD.step = lambda self: None": "rebound names (torch.optim.SGD:step)",
    "torch.nn.LayerNorm.forward = lambda self, x: x": "rebound names (torch.nn.LayerNorm:forward)",
    "bench.engine.loop.Loop.__bool__ = lambda self: False": "added methods (bench.engine.loop.Loop)",
    "bench.engine.loop.Loop.run = None": "rebound names (bench.engine.loop.Loop:run)",
    "del torch.Tensor.backward": "rebound names (torch.Tensor:backward)",
    "PIL.ImageFile.LOAD_TRUNCATED_IMAGES = True": "Pillow's reading of files (LOAD_TRUNCATED_IMAGES)",
    "PIL.Image.MAX_IMAGE_PIXELS = 7": "Pillow's limits (MAX_IMAGE_PIXELS)",
    "sklearn.set_config(assume_finite=True)": "scikit-learn's settings (assume_finite)",
}
IMPORTS = (
    "builtins decimal gc io locale logging multiprocessing os random resource signal socket sys threading warnings"
)
THROUGH_A_WORKER = (
    "working directory", "umask", "environment variables (HOME, LEFT)", "signal handlers (SIGTERM)",
    "numpy's error mode (divide, over, under, invalid)", "torch's default dtype", "torch's default device",
    "torch's gradient mode", "torch's autocast (cpu)", "torch's random generator", "denormal numbers", "rebound names",
)  # fmt: skip
HARMLESS = "random generator"
IMPORTING = "torch's deterministic algorithms"  # the call imports more of torch, which changes other things once


def do(text: str) -> None:
    """Run a statement as a plugin would."""
    names: dict[str, Any] = {"np": np, "torch": torch, "PIL": PIL, "sklearn": sklearn}
    exec(f"import {', '.join(IMPORTS.split())}\nimport bench.engine.loop, bench.engine.prediction\n{text}", names)


@pytest.mark.parametrize("text", CHANGES, ids=CHANGES.values())
def test_what_is_changed_is_named_and_put_back(text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if "einsum" in text and not torch.backends.opt_einsum.is_available():
        pytest.skip("opt_einsum is not installed")
    expected = CHANGES[text]
    monkeypatch.chdir(tmp_path)
    with Guard() as guard:
        do(text)
    found = [name for name in guard.changed if name.startswith(expected)]
    assert len(found) == 1
    assert guard.changed == found or expected == IMPORTING
    assert guard.spent == (not expected.endswith(HARMLESS))
    guard.changed.clear()
    guard.put_back()
    assert guard.changed == []


# What cannot be put back, or not by everybody: statements, and what they change.
ALONE = {
    "os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) + 1)": "priority",
    "resource.setrlimit(resource.RLIMIT_NOFILE, (99, 99))": "resource limits (RLIMIT_NOFILE)",
    "os.close(1)": "open standard streams (standard output)",
    "threading.Thread(target=time.sleep, args=[9], daemon=True, name='left').start()": "threads (left)",
    "ctypes.CDLL(None).fesetround(0x400)": "rounding of numbers",
}
OF_TORCH = {
    "left = torch.inference_mode(); left.__enter__()": "torch's inference mode",
    "torch.set_num_interop_threads(3)": "torch's threads between operations",
}


@pytest.mark.parametrize("text", ALONE, ids=ALONE.values())
def test_what_cannot_be_put_back_is_named_all_the_same(text: str) -> None:
    found = alone(f"import ctypes, os, resource, threading, time\n{guarded([text])}")
    assert ALONE[text] in found["changed"]
    assert found["spent"]


def test_so_is_what_torch_cannot_put_back() -> None:
    found = alone(f"import torch\n{guarded(OF_TORCH)}")
    assert set(OF_TORCH.values()) <= set(found["changed"])
    assert found["spent"]


def guarded(texts: Iterable[str]) -> str:
    lines = "\n    ".join(texts)
    return (
        f"import json, os, sys\nfrom bench.global_state import Guard\nwith Guard() as guard:\n    {lines}\n"
        "os.write(2, json.dumps({'changed': guard.changed, 'spent': guard.spent}).encode())\nos._exit(0)"
    )


def alone(program: str) -> Any:
    """What a program says as JSON on its standard error."""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stderr)


def test_every_item_is_tried_here() -> None:
    tried = " ".join([*CHANGES.values(), *ALONE.values(), *OF_TORCH.values()])
    quiet = {item.name for item in ITEMS if item.quiet}
    assert quiet == {"sys.path", "warning filters"}
    others = {"trace function", "profile function of threads", "torch's GPU and its random generators"}
    assert {item.name for item in ITEMS if item.name not in tried} <= quiet | others


def test_what_libraries_change_at_import_is_put_back_without_a_word() -> None:
    path, filters = list(sys.path), list(warnings.filters)
    with Guard() as guard:
        sys.path.insert(0, "/left")
        warnings.simplefilter("error", BytesWarning)
    assert (sys.path, warnings.filters) == (path, filters)
    assert (guard.changed, guard.spent) == ([], False)


def test_the_first_use_of_an_optimizer_changes_nothing() -> None:
    """Torch wraps the step of each kind then, for its profiler."""
    torch.optim.SGD([torch.zeros(1, requires_grad=True)])  # imports more of torch
    with Guard() as guard:
        for one in (torch.optim.Adagrad, torch.optim.Adadelta):
            one([torch.zeros(1, requires_grad=True)])
    assert guard.changed == []


def test_names_are_read_anew_only_where_one_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    known = BOUND.bound()
    assert BOUND.bound() is known
    assert BOUND.methods() is BOUND.methods()
    monkeypatch.setattr(CoOp, "left", 7, raising=False)
    assert "bench.methods.coop.CoOp:left" in BOUND.bound().keys() - known.keys()
    monkeypatch.undo()
    assert BOUND.bound() == known


def test_a_worker_with_plugins_knows_every_method_before_its_first_cell(tmp_path: Path) -> None:
    """What a cell itself would import first could not be compared."""
    (tmp_path / "mine.py").write_text("", encoding="utf-8")
    found = alone(
        "import json, os, sys\nfrom bench.schedulers.work import Work\n"
        f"Work('s', run_pack='os:getcwd', plugins=({str(tmp_path / 'mine.py')!r},)).begin()\n"
        "os.write(2, json.dumps([*sys.modules]).encode())\nos._exit(0)"
    )
    assert {"bench.methods.coop", "bench.methods.visprompt", "bench.methods.linear_probe"} <= set(found)
    assert "torch.backends.opt_einsum" in found


def test_the_innermost_guard_is_asked_and_told() -> None:
    put_back()
    note("of nobody")
    with Guard() as outer:
        with Guard() as inner:
            np.seterr(all="ignore")
            put_back()
            assert np.geterr()["over"] == "warn"
            note("weights of the backbone")
        assert inner.changed[1:] == ["weights of the backbone"]
    assert outer.changed == []
    assert inner.spent


def test_a_guard_may_take_what_is_now_for_what_is_to_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    with Guard() as guard:
        monkeypatch.setenv("KEPT", "1")
        guard.renew()
    assert os.environ["KEPT"] == "1"
    assert guard.changed == []


def test_the_default_device_is_put_back_as_one_that_was_never_set() -> None:
    """Where it was, but set in so many words, every call of torch would go through a device context."""
    for _ in range(2):
        with Guard() as guard:
            torch.set_default_device("meta")
        assert guard.changed == ["torch's default device"]
        assert torch.get_default_device() == torch.device("cpu")
        assert torch.overrides._get_current_function_mode_stack() == []


def test_a_working_directory_that_is_gone_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gone").mkdir()
    with Guard() as guard:
        os.chdir("gone")
        (tmp_path / "gone").rmdir()
    assert Path.cwd() == tmp_path
    assert guard.changed == ["working directory"]


class Leaving(CoOp):
    """CoOp, and a statement that leaves something behind."""

    text = ""

    def setup(self, context: Context) -> None:
        super().setup(context)
        do(self.text)


class Scribbling(CoOp):
    """CoOp that writes to the weights that all cells share."""

    def setup(self, context: Context) -> None:
        super().setup(context)
        context.backbone.token_embedding.data.mul_(2)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Work]:
    folder = tmp_path_factory.mktemp("work")
    with registered():
        for name, method in {"leaving": Leaving, "scribbling": Scribbling}.items():
            METHODS.register(name, method)
        yield Work(str(folder / "store"), {"cache": str(folder / "cache")})


def ran(work: Work, key: str, method: str) -> tuple[Record, bool]:
    """The record of a cell, and whether its worker is spent."""
    cell = make_cell(
        dataset="digits", backbone="tiny", method=method, shots=1, noise="symmetric", rate=0.5, epochs=1, batch_size=16,
        options=CoOp.Options().model_dump(), eval_every=2,
    )  # fmt: skip
    [outcome], spent = work(((key, cell),))
    record = Store(work.store).read(key)
    assert record is not None, outcome.reason
    return record, spent


def bits(record: Record) -> str:
    assert record.status == "done", record.reason
    return record.model_dump_json(include={"curve", "accuracy", "noise", "diagnostics"})


@pytest.fixture(scope="module")
def alone_bits(work: Work) -> str:
    record, spent = ran(work, "alone", "coop")
    assert "changed_state" not in record.provenance.model_fields_set
    assert not spent
    return bits(record)


@pytest.mark.parametrize("name", THROUGH_A_WORKER)
def test_a_cell_after_one_that_changes_something_has_the_same_bits_as_alone(
    name: str, work: Work, alone_bits: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one worker; where a worker is given up after such a cell, it is not even the same."""
    monkeypatch.setattr(Leaving, "text", next(text for text, changed in CHANGES.items() if changed == name))
    record, spent = ran(work, f"before-{THROUGH_A_WORKER.index(name)}", "leaving")
    assert any(found.startswith(name) for found in record.provenance.changed_state)
    assert spent == (not name.endswith(HARMLESS))
    after, spent = ran(work, f"after-{THROUGH_A_WORKER.index(name)}", "coop")
    assert bits(after) == alone_bits
    assert "changed_state" not in after.provenance.model_fields_set
    assert not spent


def test_a_backbone_that_a_plugin_has_written_to_is_loaded_anew(work: Work, alone_bits: str) -> None:
    record, spent = ran(work, "scribbled", "scribbling")
    assert record.provenance.changed_state == ["weights of the backbone"]
    assert spent
    assert bits(ran(work, "after-scribbling", "coop")[0]) == alone_bits


def test_a_reading_that_fails_in_the_middle_leaves_none_of_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread imports at that moment, say; names of before would be put back as if they were today's."""
    place, real = "bench.records.store.Store:publish", Store.publish

    class FailsOnce:
        failed = False

        def __call__(self) -> None: ...

        @property
        def hooked(self) -> bool:
            if not self.failed:
                self.failed = True
                raise RuntimeError("dictionary changed size during iteration")
            return False

    names = libraries.Bindings()
    with monkeypatch.context() as patch:
        patch.setattr(Store, "publish", id)
        assert names.bound()[place] is id
    monkeypatch.setattr(Store, "later", FailsOnce(), raising=False)
    with pytest.raises(RuntimeError):
        names.bound()
    assert names.bound()[place] is real
