"""Processes that are set up differently draw the same labels: what two machines are to each other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.engine.trial import one_thread
from tests import ROOT
from tests.noise.kinds import SETTINGS, SPLITS, digests

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@pytest.mark.slow
def test_a_process_that_is_set_up_differently_draws_the_same(tmp_path: Path) -> None:
    """Two threads against one, another hash seed, another locale, working folder, and caches that are empty."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    environment = {
        **os.environ,
        **dict.fromkeys(THREADS, "2"),
        "PYTHONPATH": str(ROOT),
        "PYTHONHASHSEED": "4711",
        "LC_ALL": "C",
        "XDG_CACHE_HOME": str(there / "cache"),
    }
    command = [sys.executable, str(ROOT / "tests" / "noise" / "kinds.py"), str(there)]
    with subprocess.Popen(command, env=environment, cwd=there, stdout=subprocess.PIPE, text=True) as other:
        with one_thread():
            ours = digests(here)
        output, _ = other.communicate(timeout=250)
    assert other.returncode == 0
    assert json.loads(output) == ours
    assert len(ours) == len(SETTINGS) * len(SPLITS)
