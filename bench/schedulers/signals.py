"""Run the command line in a child process, so that a plugin cannot end it without a message.

`os._exit(0)` in a plugin file, or a crash in the code below it, would end the command with whatever exit code comes of
it. The parent has imported nothing that is not Python's: it waits, passes signals and the exit code on, and knows
whether the command came to its end, because the child says so over a pipe.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

EXIT_CUT_OFF = 2
EXIT_INTERRUPTED = 130
PASSED_ON = ("SIGINT", "SIGTERM", "SIGHUP")
LINUX: bool = sys.platform == "linux"
TWICE_SECONDS = 1.0  # the terminal sends Ctrl-C to both processes, and the parent passes it on
PR_SET_PDEATHSIG = 1
POLL_SECONDS = 1.0


def supervised(command: Callable[[], int]) -> int:
    """Run a command in a child process where the system can fork, and return its exit code.

    Signals are passed on; SIGTERM and SIGHUP interrupt the command as Ctrl-C does and then end both processes. Where
    anything else ends the child before the command does, one line says so and the exit code is 2.
    """
    if not hasattr(os, "fork"):
        return command()
    answer, word = os.pipe()
    parent, interrupts = os.getpid(), Interrupts()
    heard = {number for number in _passed_on() if signal.getsignal(number) != signal.SIG_IGN}  # nohup has some ignored
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*heard, signal.SIGCHLD})
    child = os.fork()
    if not child:
        die_with(parent)
        interrupts.take()
        return _answering(command, word, interrupts, before)
    os.close(word)
    status, last = _awaited(child, heard)
    for number in heard:  # one that came too late
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return _exit_code(_read(answer), status, last)


def die_with(parent: int) -> None:
    """End this process as soon as its parent, `parent`, has ended in any way."""
    if LINUX:
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_SECONDS)
        os._exit(EXIT_CUT_OFF)

    threading.Thread(target=watch, name="watch of the parent", daemon=True).start()


class Interrupts:
    """A user's signals to this process. Each interrupts it, as Ctrl-C does, so that it can tidy up.

    One that comes twice interrupts once: a second time would break into the tidying up.
    """

    def __init__(self) -> None:
        self.number, self._last = 0, -TWICE_SECONDS

    def take(self) -> None:
        """Handle all signals that the process was not told to ignore."""
        for number in _passed_on():
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(number, self._interrupt)

    @staticmethod
    @contextmanager
    def taken() -> Iterator[None]:
        """Handle them while the block runs; outside the main thread, which alone may, they stay as they are."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in _passed_on()}
        Interrupts().take()
        try:
            yield
        finally:
            for number, handler in before.items():
                if handler is not None:  # of a program around Python
                    signal.signal(number, handler)

    def _interrupt(self, number: int, _: FrameType | None) -> None:
        if time.monotonic() - self._last >= TWICE_SECONDS:
            self.number, self._last = number, time.monotonic()
            raise KeyboardInterrupt


def _answering(command: Callable[[], int], word: int, interrupts: Interrupts, mask: set[Any]) -> int:
    """Run the command in the child and report its end over the pipe. An exception counts as an end."""
    code, own = 1, os.getpid()
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        code = command()
    finally:
        if os.getpid() == own:  # and not a copy that a plugin has forked
            if interrupts.number not in (0, signal.SIGINT):
                _end_by(interrupts.number)
            with suppress(OSError):
                os.write(word, bytes([code & 0xFF]))
    return code


def _end_by(number: int) -> None:
    """End this process by a signal, as if it had not been handled."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _exit_code(word: bytes, status: int, last: int) -> int:
    """Return the exit code of the child, or a line on why it has none.

    Args:
        word: what it has reported.
        status: of its end.
        last: the signal that came last, 0 for none.
    """
    if word and not (word[0] == EXIT_INTERRUPTED and last not in (0, signal.SIGINT)):
        return word[0]
    number = last if word else os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    if number in _passed_on():
        _end_by(number)
        return 128 + number  # process 1 of a container is not ended by its own signal
    how = signal_text(number) if number else f"exit code {os.WEXITSTATUS(status)}"
    sys.stderr.write(
        f"error: a plugin or a library below it, such as Ray, ended the process by {how} before the command was done; "
        "what was finished is kept.\n"
    )
    return EXIT_CUT_OFF


def signal_text(number: int) -> str:
    """Return the name of a signal for display.

    >>> signal_text(11)
    'signal 11 (SIGSEGV)'
    """
    known = number in {int(one) for one in signal.Signals}
    return f"signal {number} ({signal.Signals(number).name})" if known else f"signal {number}"


def _read(answer: int) -> bytes:
    """Read what the child has reported, if anything. A process that a plugin has started may hold the pipe open."""
    os.set_blocking(answer, False)
    try:
        return os.read(answer, 1)
    except BlockingIOError:
        return b""


def _passed_on() -> set[signal.Signals]:
    return {getattr(signal, name) for name in PASSED_ON if hasattr(signal, name)}


def _awaited(child: int, heard: set[signal.Signals]) -> tuple[int, int]:
    """Wait for the child. The signals `heard`, which are blocked, are passed on until then, each as SIGINT.

    For Ray's code, while it starts, answers SIGTERM by itself with a trace. Signals are waited for one by one: a
    handler would not be called while the system waits for the child.

    Returns:
        Its status, and the signal that came last, 0 for none.
    """
    last = 0
    signal.signal(signal.SIGCHLD, lambda *_: None)  # some systems drop what nobody handles, though it is blocked
    while True:
        number = signal.sigwait({*heard, signal.SIGCHLD})
        if number in heard:
            last = number
            os.kill(child, signal.SIGINT if signal.SIGINT in heard else number)  # in a background it is ignored
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status, last
