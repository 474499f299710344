"""Closed, full and narrow-minded outputs: no traceback, nothing lost, and an exit code that is none of the verbs'."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.records.store import Store
from bench.streams import EXIT_CLOSED, HANDLER, Output, _replacement
from tests import ROOT
from tests.reports.factory import cell, record
from tests.terminal import on_terminal

BENCH = [sys.executable, "-c", "from bench.cli.main import console_script; console_script()"]
FAKE = (  # a run whose trials are replaced
    "import sys; from bench.execution import execute; from bench.schedulers.work import Work\n"
    "from bench.cli.main import console_script\n"
    "execute._work = lambda plan, store, *_: Work("
    "store.root, {'mishaps': {'2': 'fail'}}, 'tests.schedulers.fakes:run_pack', 'builtins:dict')\n"
    "console_script()"
)
RUN = [
    "run",
    "--set",
    "method=coop",
    "--set",
    "seed=1,2,3,4,5",
    "--set",
    "noise=none,symmetric",
    "--scheduler",
    "local",
]
TEXT = "digits · none – 5… → 猫 \udcff"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def closed_after(command: list[str], size: int) -> tuple[int, str]:
    """Exit code and errors of a command whose reader goes away after some bytes."""
    reader, writer = os.pipe()
    process = subprocess.Popen(command, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    if size:
        os.read(reader, size)
    os.close(reader)
    _, errors = process.communicate()
    return process.returncode, errors


@pytest.mark.parametrize("verb", [["list", "methods"], ["list", "--help"], ["run", "--help"], ["config"], ["plan"]])
def test_a_reader_that_has_gone_is_no_mistake(verb: list[str]) -> None:
    assert closed_after([*BENCH, *verb], 0) == (EXIT_CLOSED, "")


def test_a_reader_that_goes_in_mid_run_ends_it_and_what_was_finished_stays() -> None:
    assert closed_after([sys.executable, "-c", FAKE, *RUN, "--workers", "2"], 10) == (EXIT_CLOSED, "")
    assert 0 < len(Store("results").keys()) < 15
    assert {record.status for record in Store("results").records()} <= {"done", "failed"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_behind_the_output_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*BENCH, "config"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "error: the standard output cannot be written: No space left on device.\n"


def test_what_a_plugin_prints_is_no_part_of_the_json() -> None:
    """Neither what the command imports prints to it, nor a process that it starts."""
    Path("talks.py").write_text("import os\nprint('from Python')\nos.system('echo from a process')\n")
    command = [*BENCH, "list", "splits", "--plugin", "talks.py", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert [row["name"] for row in json.loads(done.stdout)]
    assert "from Python\n" in done.stderr
    assert "from a process\n" in done.stderr


def test_closed_descriptors_are_never_those_of_our_files() -> None:
    one = "noise export --set noise=symmetric --set rate=0.5 --set seed=1 --set shots=2 --out mask.csv"
    program = (
        f"exec '{sys.executable}' -c 'from bench.cli.main import console_script; console_script()' {one} <&- >&- 2>&-"
    )
    assert subprocess.run(["sh", "-c", program], check=False).returncode == 0
    assert Path("mask.csv").read_text().startswith("# ")
    assert "labels in" not in Path("mask.csv").read_text()


@pytest.mark.parametrize(
    ("encoding", "written"),
    [
        ("ascii", b"digits - none - 5... -> \\u732b \\udcff"),
        ("latin-1", b"digits \xb7 none - 5... -> \\u732b \\udcff"),
        ("cp437", b"digits \xfa none - 5... -> \\u732b \\udcff"),
        ("utf-8", "digits · none – 5… → 猫 \\udcff".encode()),
    ],
)
def test_characters_that_an_encoding_lacks_are_replaced_or_escaped(encoding: str, written: bytes) -> None:
    import codecs

    codecs.register_error(HANDLER, _replacement)
    stream = Output(io.TextIOWrapper(io.BytesIO(), encoding=encoding), ends=True)
    stream.write(TEXT)
    stream.flush()
    assert stream.buffer.getvalue() == written  # type: ignore[attr-defined]


def test_a_run_says_all_it_has_to_say_in_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    done = subprocess.run([sys.executable, "-c", FAKE, *RUN, "--workers", "1"], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (4, b"")
    assert b"digits - none - coop - seed 2: failed: as ordered" in done.stdout


@pytest.mark.parametrize(("term", "bar"), [("xterm", True), ("dumb", False)])
def test_a_terminal_that_has_ascii_alone(term: str, bar: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "TERM": term, "COLUMNS": "60", "NO_COLOR": "1"}
    command = [sys.executable, "-c", FAKE, *RUN, "--workers", "1"]
    code, shown = on_terminal(command, environment, errors=True)
    assert code == 4
    assert shown.isascii()
    assert b"Traceback" not in shown
    assert (b"\x1b[" in shown) == bar
    assert b"failed: digits - none - coop - seed 2: as ordered" in shown


def test_a_worker_s_output_ends_nothing() -> None:
    worker = "from bench import streams; streams.prepare(ends=False)\nfor _ in range(9): print('·' * 9999, flush=True)"
    assert closed_after([sys.executable, "-c", worker], 0) == (0, "")


def test_drawing_asks_for_no_window_and_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    for method in ("coop", "gce-coop"):
        Store("results").publish(record(cell(method, "symmetric", 0.5)), {})
    one = ["--set", "noise=symmetric", "--set", "rate=0.5", "--set", "seed=1", "--set", "shots=2"]
    verbs = [["noise", "show", *one, "--out", "f"], ["report", "--markdown", "--figures", "1"], ["suspects"]]
    program = (
        "import sys; from bench.cli.main import console_script\n"
        f"for verb in {verbs!r}:\n"
        "    sys.argv[1:] = verb\n"
        "    try: console_script()\n"
        "    except SystemExit as end: sys.stderr.write(f'{end.code}\\n')"
    )
    monkeypatch.setenv("MPLBACKEND", "nosuch")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    lines = done.stderr.splitlines()
    assert [lines[0], lines[1], lines[-1]] == ["0", "0", "2"], done.stderr
    assert lines[2].startswith("error: none of the 2 records chosen can judge labels")
    assert list(Path("f").glob("*.png"))
    assert list(Path("results/report/figures").glob("*.png"))
