"""Faults of plugins, one table: where each happens, what it does, and what its cell is to be told as."""

from __future__ import annotations

import ctypes
import os
import random
import re
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple, NoReturn

import numpy as np
import torch
from torch import Tensor

import bench
from bench.contracts.method import Batch, Context, FullPass, Inputs, Losses, Needs, Phase, structural
from bench.contracts.noise import Labels, Sampled, Scene
from bench.noise.symmetric import Symmetric

LONG = 3_000_000
HUGE = 1 << 50  # elements


class Fault(NamedTuple):
    """What happens in a hook, and what comes of it.

    Attributes:
        hook: of the method, or "noise".
        do: called with the plugin and what the hook would return; returns what it does.
        status: of the cell.
        reason: a pattern for the whole reason.
        changed: what the record says was changed, a part of it.
    """

    hook: str
    do: Callable[[Any, Any], Any]
    status: str = "failed"
    reason: str = ""
    changed: str = ""


def raising(make: Callable[[], BaseException]) -> Callable[[Any, Any], NoReturn]:
    def do(_: Any, __: Any) -> NoReturn:
        raise make()

    return do


def doing(action: Callable[[], object]) -> Callable[[Any, Any], Any]:
    """Something beside what the hook returns."""

    def do(_: Any, value: Any) -> Any:
        action()
        return value

    return do


def giving(change: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    """Something else than what the hook returns."""
    return lambda _, value: change(value)


class Own(BaseException):
    """No Exception."""


class Speechless(Exception):
    """Has no text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class Wordless(Exception):
    """Has a text that is none."""

    def __str__(self) -> str:
        return 7  # type: ignore[return-value]  # noqa: PLE0307 - it is the fault


class Demanding(Exception):
    """Cannot be unpickled, and holds what cannot be pickled."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")
        self.lock = threading.Lock()


def forever() -> NoReturn:
    while True:
        time.sleep(0.01)


def slowly(check_time: Callable[[], None]) -> NoReturn:
    while True:
        time.sleep(0.1)
        check_time()


def swallow() -> NoReturn:
    while True:
        with suppress(BaseException):
            forever()


def recurse(depth: int = 0) -> int:
    return recurse(depth + 1) + 1


def with_terms(change: Callable[[Tensor], Any]) -> Callable[[Any, Any], Any]:
    return giving(lambda losses: Losses({name: change(term) for name, term in losses.terms.items()}, losses.state))


def with_phase(**changes: Any) -> Callable[[Any, Any], Any]:
    return giving(lambda phases: (Phase(**{"group": phases[0].group, "weight": phases[0].weight, **changes}),))


def with_labels(change: Callable[[Labels], Any]) -> Callable[[Any, Any], Any]:
    def do(_: Any, drawn: Sampled) -> Sampled:
        noisy = type(drawn.noisy)(drawn.noisy.true, change(drawn.noisy.observed), drawn.noisy.num_classes)
        return Sampled(drawn.positions, noisy, drawn.short)

    return do


def overwrite(_: Any, drawn: Sampled) -> Sampled:
    drawn.noisy.true[:] = 0
    return drawn


BOOM = {"do": raising(lambda: ValueError("boom")), "reason": "ValueError: boom"}
SIGNALLED = "the worker was ended by signal {} before it left a record"
KILL = {name: lambda number=number: os.kill(os.getpid(), number) for name, number in signal.Signals.__members__.items()}
TIME = r"no step ended within \d+ s|used up its time .*"

HOOKS = (
    "init", "needs", "setup", "begin_epoch", "draw", "forward", "end_epoch", "finalize", "prepare", "predict",
    "probes", "diagnostics", "per_sample",
)  # fmt: skip
FAULTS: Mapping[str, Fault] = {
    **{f"raise in {hook}": Fault(hook, **BOOM) for hook in (*HOOKS, "noise")},
    # ends
    "exit": Fault("forward", doing(lambda: sys.exit(0)), reason=r"faults\.py, line \d+, called sys\.exit\(0\)"),
    "exit with words": Fault(
        "predict", doing(lambda: sys.exit("bye\nbye")), reason=r"faults\.py, line \d+, called sys\.exit\('bye\\nbye'\)"
    ),
    "exit in init": Fault("init", doing(sys.exit), reason=r"faults\.py, line \d+, called sys\.exit\(\)"),
    "exit at once": Fault("forward", doing(lambda: os._exit(0)), reason="the worker ended with exit code 0 .*"),
    "interrupt": Fault("forward", raising(KeyboardInterrupt), reason=r"faults\.py, line \d+, raised KeyboardInterrupt"),
    "end the generator": Fault("predict", raising(GeneratorExit), reason=r"faults\.py, line \d+, raised GeneratorExit"),
    "no Exception": Fault("end_epoch", raising(Own), reason=r"faults\.py, line \d+, raised Own"),
    "stop the iteration": Fault("forward", raising(StopIteration), reason="StopIteration"),
    "exit in noise": Fault("noise", doing(sys.exit), reason=r"faults\.py, line \d+, called sys\.exit\(\)"),
    # signals
    "SIGKILL": Fault("forward", doing(KILL["SIGKILL"]), reason=SIGNALLED.format(r"9 \(SIGKILL\)")),
    "SIGTERM": Fault("forward", doing(KILL["SIGTERM"]), reason=SIGNALLED.format(r"15 \(SIGTERM\)")),
    "SIGABRT": Fault("forward", doing(os.abort), reason=SIGNALLED.format(r"6 \(SIGABRT\)")),
    "SIGSEGV": Fault("predict", doing(lambda: ctypes.string_at(0)), reason=SIGNALLED.format(r"11 \(SIGSEGV\)")),
    "SIGINT": Fault("forward", doing(KILL["SIGINT"]), "done"),
    # memory
    "MemoryError": Fault("setup", raising(MemoryError), "out_of_memory", "MemoryError"),
    "memory of the device": Fault(
        "forward", raising(lambda: torch.OutOfMemoryError("CUDA out of memory")), "out_of_memory",
        "OutOfMemoryError: CUDA out of memory",
    ),
    "an array too large": Fault("setup", doing(lambda: np.empty(HUGE)), "out_of_memory", ".*Unable to allocate.*"),
    "a tensor too large": Fault("forward", doing(lambda: torch.empty(HUGE)), "out_of_memory", ".*can't allocate.*"),
    "recursion": Fault("forward", doing(recurse), reason="RecursionError: .*"),
    # wrong values
    "logits of too many classes": Fault("predict", giving(lambda x: torch.cat([x, x], 1)), reason=".+"),
    "logits without classes": Fault("predict", giving(lambda x: x[:, 0]), reason=".+"),
    "logits of no samples": Fault("predict", giving(lambda x: x[:0]), reason=".+"),
    "logits that are an array": Fault("predict", giving(lambda x: x.numpy()), reason=".+"),
    "no logits": Fault("predict", giving(lambda x: None), reason=".+"),
    "logits of another device": Fault("predict", giving(lambda x: x.to("meta")), reason=".+"),
    "whole logits": Fault("predict", giving(lambda x: x.long()), "done"),
    "complex logits": Fault("predict", giving(lambda x: x.to(torch.complex64)), reason=".+"),
    "double logits": Fault("predict", giving(lambda x: x.double()), "done"),
    "logits that are not finite": Fault(
        "predict", giving(lambda x: x / 0 * 0), "diverged", "predictions after epoch 0 are not finite"
    ),
    "no losses": Fault("forward", giving(lambda x: None), reason=".+"),
    "losses without terms": Fault("forward", giving(lambda x: Losses({})), reason=".+"),
    "a loss per sample": Fault("forward", with_terms(lambda x: x.expand(3)), reason=".+"),
    "a loss that is a number": Fault("forward", with_terms(float), reason=".+"),
    "a loss without gradient": Fault("forward", with_terms(lambda x: x.detach()), reason=".+"),
    "a loss that is not finite": Fault("forward", with_terms(lambda x: x * float("nan")), "diverged", "loss is nan .*"),
    "no phases": Fault("begin_epoch", giving(lambda x: None), reason=".+"),
    "a phase of one sample": Fault("begin_epoch", with_phase(group=torch.zeros(1).long()), reason=".+"),
    "a weight of one sample": Fault("begin_epoch", with_phase(weight=torch.ones(1)), reason=".+"),
    "numbers of too few samples": Fault("per_sample", giving(lambda x: {"few": torch.zeros(1)}), reason=".+"),
    "numbers that are words": Fault("diagnostics", giving(lambda x: {"word": "much"}), reason=".+"),
    "labels beyond the classes": Fault("noise", with_labels(lambda x: x + 1000), reason=".+"),
    "labels below the classes": Fault("noise", with_labels(lambda x: x - 1000), reason=".+"),
    "too few labels": Fault("noise", with_labels(lambda x: x[:-1]), reason=".+"),
    "labels that are fractions": Fault("noise", with_labels(lambda x: x + 0.5), reason=".+"),
    # texts
    "no text": Fault("forward", raising(lambda: ValueError("")), reason="ValueError"),
    "bytes": Fault("forward", raising(lambda: ValueError(b"\xff\x00")), reason=r"ValueError: b'\\xff\\x00'"),
    "a long text": Fault("setup", raising(lambda: ValueError("x" * LONG)), reason="ValueError: x{1999}…"),
    "control characters": Fault("forward", raising(lambda: ValueError("a\x1b[31m\0b")), reason=r".*a\\x1b\[31m\\x00b"),
    "half a character": Fault("forward", raising(lambda: ValueError("a\udcff")), reason=r"ValueError: a\\udcff"),
    "lines": Fault("forward", raising(lambda: ValueError("a\r\n\u2028b")), reason="ValueError: a b"),
    "a text that fails": Fault("forward", raising(Speechless), reason="Speechless"),
    "a text that is none": Fault("forward", raising(Wordless), reason="Wordless"),
    "not to be pickled": Fault("forward", raising(lambda: Demanding("a", "b")), reason="Demanding: a b"),
    "a group": Fault(
        "forward", raising(lambda: ExceptionGroup("both", [ValueError("a")])), reason=r"ExceptionGroup: both \(1 .*"
    ),
    "markup": Fault("forward", raising(lambda: ValueError("[red]<b>$x_1$")), reason=r"ValueError: \[red\]<b>\$x_1\$"),
    # state
    "default dtype": Fault("setup", doing(lambda: torch.set_default_dtype(torch.float64)), "done", "", "dtype"),
    "random numbers": Fault("setup", doing(lambda: (torch.manual_seed(7), random.seed(7), np.random.seed(7))), "done",
                            "", "random"),
    "threads": Fault("forward", doing(lambda: torch.set_num_threads(3)), "done"),
    "gradient mode": Fault("setup", doing(lambda: torch.set_grad_enabled(False)), "failed", ".*grad.*", "gradient"),
    "environment": Fault("setup", doing(lambda: os.environ.update(OMP_NUM_THREADS="9")), "done", "", "environment"),
    "search path": Fault("setup", doing(lambda: sys.path.insert(0, "/nowhere")), "done"),
    "warnings": Fault("setup", doing(lambda: warnings.simplefilter("error")), "done"),
    "another's loss": Fault(
        "setup", doing(lambda: setattr(torch.nn.functional, "cross_entropy", torch.nn.functional.mse_loss)), "failed",
        "RuntimeError: .*", "rebound",
    ),
    "streams": Fault("forward", doing(lambda: (sys.stdout.close(), sys.stderr.close())), "done"),
    "state, and an error": Fault(
        "forward", doing(lambda: (np.seterr(all="raise"), int("x"))), "failed", "ValueError: invalid.*", "error mode"
    ),
    # time
    "hang": Fault("forward", doing(forever), "timeout", TIME),
    "hang and swallow": Fault("setup", doing(swallow), "timeout", TIME),
    "hang in C": Fault("forward", doing(lambda: ctypes.PyDLL(None).sleep(600)), "timeout", TIME),
    "hang in a pattern": Fault("predict", doing(lambda: re.match("(a*)*b", "a" * 60)), "timeout", TIME),
    "stop": Fault("forward", doing(KILL["SIGSTOP"]), "timeout", TIME),
    "hang in noise": Fault("noise", doing(forever), "timeout", TIME),
    "be slow": Fault("begin_epoch", lambda method, _: slowly(method.check_time), "timeout", TIME),
}  # fmt: skip
HANGING = tuple(name for name, fault in FAULTS.items() if fault.status == "timeout")
DEADLY = tuple(name for name, fault in FAULTS.items() if fault.reason.startswith("the worker "))
SPENDING = tuple(name for name, fault in FAULTS.items() if fault.changed)


class Faulty(bench.CoOp):
    """CoOp with a fault."""

    class Options(bench.CoOp.Options):
        """The fault."""

        fault: str = structural("", "name of a fault")

    options: Faulty.Options

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.at("init")

    def at(self, hook: str, value: Any = None) -> Any:
        fault = FAULTS[self.options.fault]
        return fault.do(self, value) if fault.hook == hook else value

    @classmethod
    def needs(cls, options: Any) -> Needs:
        fault = FAULTS[options.fault]
        return fault.do(cls, None) if fault.hook == "needs" else super().needs(options)

    def setup(self, context: Context) -> None:
        super().setup(context)
        self.at("setup")

    def begin_epoch(self, epoch: int, full_pass: FullPass) -> tuple[Phase, ...]:
        return self.at("begin_epoch", super().begin_epoch(epoch, full_pass))

    def draw(self, epoch: int, step: int, size: int, stream: Any) -> dict[str, Tensor]:
        return self.at("draw", super().draw(epoch, step, size, stream))

    def forward(self, batch: Batch) -> Losses:
        return self.at("forward", super().forward(batch))

    def end_epoch(self, epoch: int) -> None:
        self.at("end_epoch")

    def finalize(self, validation: Any) -> None:
        self.at("finalize")

    def prepare(self) -> dict[str, Tensor]:
        return self.at("prepare", super().prepare())

    def predict(self, inputs: Inputs, prepared: Mapping[str, Tensor]) -> Tensor:
        return self.at("predict", super().predict(inputs, prepared))

    def probes(self) -> Any:
        return self.at("probes", super().probes())

    def diagnostics(self) -> dict[str, float]:
        return self.at("diagnostics", super().diagnostics())

    def per_sample(self, inputs: Inputs) -> Mapping[str, Tensor]:
        return self.at("per_sample", super().per_sample(inputs))


class FaultyNoise(Symmetric):
    """Symmetric noise with a fault."""

    class Options(Symmetric.Options):
        """The fault."""

        fault: str = ""

    options: FaultyNoise.Options

    def draw(self, scene: Scene, rate: float) -> Sampled:
        return FAULTS[self.options.fault.replace("_", " ")].do(self, super().draw(scene, rate))
