"""The parent of the command line: exit codes and signals as they were, and a word where the command was cut off."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil
import pytest

from tests import ROOT

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")

CUT_OFF = (
    "error: a plugin or a library below it, such as Ray, ended the process by {} before the command was done; "
    "what was finished is kept."
    "\n"
)
UNNAMED = [  # a signal that has a number and no name, where the system has such
    (f"os.kill(os.getpid(), {number})", (2, CUT_OFF.format(f"signal {number}")))
    for number in range(getattr(signal, "SIGRTMIN", 0) + 3, getattr(signal, "SIGRTMIN", -9) + 4)
]
# A job in the background of a shell, or one under nohup, ignores these two, and so do its children.
LISTENING = "signal.signal(signal.SIGINT, signal.default_int_handler)\nsignal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
# Waits, and tidies up for half a second when it is interrupted; says on its output what it does.
BUSY = """
def command():
    try:
        print(os.getpid(), flush=True)
        for _ in range(600):  # a signal just before a long sleep would wait for its end, in any Python
            time.sleep(0.1)
    except KeyboardInterrupt:
        time.sleep(0.5)
        print("tidied up", flush=True)
        return 130
"""


def start(command: str, before: str = "") -> subprocess.Popen[str]:
    """A process that runs a `command()` under supervision, as the leader of a group of its own."""
    program = (
        "import atexit, ctypes, os, signal, sys, time\nfrom bench.schedulers.signals import supervised\n"
        f"{LISTENING}{before}\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", f"{program}{command}\nsys.exit(supervised(command))"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return 0", (0, "")),
        ("return 4", (4, "")),
        ("os._exit(0)", (2, CUT_OFF.format("exit code 0"))),
        ("os._exit(4)", (2, CUT_OFF.format("exit code 4"))),
        ("ctypes.string_at(0)", (2, CUT_OFF.format("signal 11 (SIGSEGV)"))),
        ("os.kill(os.getpid(), signal.SIGKILL)", (2, CUT_OFF.format("signal 9 (SIGKILL)"))),
        ("atexit.register(os._exit, 7); return 4", (4, "")),
        ("os.fork() or os._exit(0); return 4", (4, "")),
        *UNNAMED,
        ("os.fork() or [os.close(1), os.close(2), time.sleep(5)]; os._exit(0)", (2, CUT_OFF.format("exit code 0"))),
    ],
)
def test_the_exit_code_is_the_commands_or_a_line_says_why_there_is_none(body: str, expected: tuple[int, str]) -> None:
    code, _, err = ended(start(f"def command():\n    {body}"))
    assert (code, err) == expected


def test_an_exception_is_an_end() -> None:
    code, _, err = ended(start("def command():\n    raise ValueError('of the command')"))
    assert code == 1
    assert err.endswith("ValueError: of the command\n")


@pytest.mark.parametrize("group", [False, True], ids=["to the parent alone", "to both, as from a terminal"])
def test_ctrl_c_interrupts_once_and_leaves_time_to_tidy_up(group: bool) -> None:
    process = start(BUSY)
    child = int(line(process))
    (os.killpg if group else os.kill)(process.pid, signal.SIGINT)
    assert ended(process) == (130, "tidied up\n", "")
    assert gone(child)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("group", [False, True], ids=["to the parent alone", "to both"])
def test_other_signals_leave_time_to_tidy_up_and_end_both(number: signal.Signals, group: bool) -> None:
    process = start(BUSY)
    child = int(line(process))
    (os.killpg if group else os.kill)(process.pid, number)
    assert ended(process) == (-number, "tidied up\n", "")
    assert gone(child)


def test_a_signal_to_the_child_alone_ends_both() -> None:
    process = start(BUSY)
    os.kill(int(line(process)), signal.SIGTERM)
    assert ended(process) == (-signal.SIGTERM, "tidied up\n", "")


def test_what_was_to_be_ignored_is_ignored() -> None:
    process = start(BUSY, before="signal.signal(signal.SIGHUP, signal.SIG_IGN)")
    line(process)
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGINT)
    assert ended(process) == (130, "tidied up\n", "")


def test_where_ctrl_c_is_ignored_as_in_a_background_the_others_still_end_both() -> None:
    process = start(BUSY, before="signal.signal(signal.SIGINT, signal.SIG_IGN)")
    line(process)
    process.send_signal(signal.SIGTERM)
    assert ended(process) == (-signal.SIGTERM, "tidied up\n", "")


def test_the_child_hears_of_ctrl_c_alone_whatever_its_parent_hears() -> None:
    """Ray's code answers SIGTERM by itself while it starts."""
    busy = BUSY.replace("try:", "signal.signal(signal.SIGTERM, signal.SIG_DFL)\n    try:", 1)
    process = start(busy)
    line(process)
    process.send_signal(signal.SIGTERM)
    assert ended(process) == (-signal.SIGTERM, "tidied up\n", "")


def test_the_child_does_not_outlive_its_parent() -> None:
    process = start(BUSY)
    child = int(line(process))
    process.kill()
    assert ended(process)[0] == -signal.SIGKILL
    assert gone(child)


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def gone(number: int) -> bool:
    """Whether a process ends by itself; one that nobody asks for its exit code has ended too."""
    try:
        child = psutil.Process(number)
        return child.status() == psutil.STATUS_ZOMBIE or child.wait(timeout=30) is None
    except psutil.NoSuchProcess:
        return True
