from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench.reports import background, build
from bench.reports.background import begin
from tests import ROOT
from tests.reports.factory import GRID, grid

FORKED = pytest.mark.skipif(sys.platform != "linux", reason="nothing is forked here")


@FORKED
def test_a_job_is_done_elsewhere(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(background, "cpus", lambda: 2)
    wait = begin(os.getpid)
    assert wait() != os.getpid()


def test_one_processor_does_it_when_asked(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(background, "cpus", lambda: 1)
    assert begin(os.getpid)() == os.getpid()


@FORKED
def test_a_process_that_is_refused_costs_nothing(monkeypatch: pytest.MonkeyPatch):
    def refused() -> int:
        raise BlockingIOError("Resource temporarily unavailable")

    monkeypatch.setattr(background, "cpus", lambda: 2)
    monkeypatch.setattr(os, "fork", refused)
    assert begin(os.getpid)() == os.getpid()


@FORKED
def test_a_worker_of_a_pool_does_it_itself(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(background, "cpus", lambda: 2)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        worker, found = pool.apply(_begun)
    assert worker == found


def _begun() -> tuple[int, int]:
    return os.getpid(), begin(os.getpid)()


@FORKED
def test_a_lost_process_costs_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(background, "cpus", lambda: 2)
    own = os.getpid()

    def job() -> int:
        if os.getpid() != own:
            os.kill(os.getpid(), signal.SIGKILL)
        return 7

    assert begin(job)() == 7


@FORKED
def test_a_mistake_is_told_here(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    monkeypatch.setattr(background, "cpus", lambda: 2)

    def job() -> int:
        raise ValueError("of the job")

    wait = begin(job)
    with pytest.raises(ValueError, match="of the job"):
        wait()
    assert capfd.readouterr().err == ""


@FORKED
def test_the_page_is_the_same_wherever_its_data_are_collected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(background, "cpus", lambda: 2)
    pages = []
    for many in (1, 10**6):
        monkeypatch.setattr(build, "MANY", many)
        build.build_report(grid(columns=GRID[:2], epochs=2), tmp_path / f"{many}", figures=0)
        pages.append((tmp_path / f"{many}" / "report.html").read_bytes())
    assert pages[0] == pages[1]


@FORKED
def test_nothing_is_left_of_a_process_that_has_gone():
    program = (
        "import os\n"
        "from bench.reports import background\n"
        "background.cpus = lambda: 2\n"
        "background.begin(lambda: 'x' * 10**7)\n"
        "os._exit(3)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=False, cwd=ROOT)
    assert (done.returncode, done.stderr) == (3, b""), "and the pipe that the process had inherited is closed"
