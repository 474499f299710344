"""Ray's sessions: addresses that are wrong, clusters that end, signals, and what listens while a grid runs."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.errors import BenchError
from bench.records.store import Store
from bench.schedulers import ray_session
from bench.schedulers.contract import ClusterLost
from bench.schedulers.ray_session import Cluster, answering
from tests import ROOT
from tests.schedulers.test_contract import KEYS, gone

ADVICE = "give --address HOST:PORT of a head that runs (`ray start --head` prints it), or leave --address out."


@pytest.fixture
def deaf() -> Iterator[socket.socket]:
    """A server that takes connections and never answers, on every address: Ray has its own name for localhost."""
    with closing(socket.create_server(("", 0))) as server:
        yield server


@pytest.mark.parametrize("address", ["nonsense", "ray://head:10001", "head:", "head:99999", "s3://bucket"])
def test_what_is_no_address_is_said(address: str) -> None:
    with pytest.raises(BenchError) as raised:
        answering(address)
    assert str(raised.value) == f'--address "{address}" is no address of a Ray cluster; {ADVICE}'


def test_a_port_that_is_closed_is_said_at_once(deaf: socket.socket) -> None:
    port = deaf.getsockname()[1]
    deaf.close()
    with pytest.raises(BenchError, match=rf'^--address "localhost:{port}": nothing answers at .*:{port} \(.+\); give'):
        answering(f"localhost:{port}")


def test_what_answers_and_is_no_ray_is_said(deaf: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_session, "CHECK_SECONDS", 3.0)
    port = deaf.getsockname()[1]
    with pytest.raises(BenchError, match=rf":{port} answers, but not as Ray does; give --address HOST:PORT"):
        answering(f"localhost:{port}")


def test_a_cluster_that_stops_answering_is_not_waited_for(deaf: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_session, "WATCH_SECONDS", 0.05)
    cluster = Cluster(("localhost", deaf.getsockname()[1]))
    cluster.call(lambda: time.sleep(0.3))
    assert not cluster.lost

    def dies() -> None:
        deaf.close()
        time.sleep(60)

    with pytest.raises(ClusterLost, match=r"^the Ray cluster at localhost:\d+ does not answer any more$"):
        cluster.call(dies)
    assert (cluster.lost, cluster.over, ClusterLost.exit_code) == (True, True, 4)


def test_errors_of_a_cluster_that_answers_are_its_own(deaf: socket.socket) -> None:
    cluster = Cluster(("localhost", deaf.getsockname()[1]))
    with pytest.raises(ZeroDivisionError):
        cluster.call(lambda: 1 // 0 and None)
    assert not cluster.lost


def driver(store: Path, **order: Any) -> subprocess.Popen[str]:
    """A program without handlers of its own that runs a grid on Ray, while RAY_ADDRESS names another cluster."""
    text = json.dumps({"scheduler": "ray", "workers": 2, "store": str(store), "count": 4, **order})
    return subprocess.Popen(
        [sys.executable, "-m", "tests.schedulers.fakes", text], cwd=ROOT, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env={**os.environ, "RAY_ADDRESS": "127.0.0.1:9"},
    )  # fmt: skip


def under(process: subprocess.Popen[str], done: int) -> list[psutil.Process]:
    """All processes under a driver of which so many cells are done."""
    assert process.stdout is not None
    for _ in range(done):
        assert process.stdout.readline(), process.communicate()
    return psutil.Process(process.pid).children(recursive=True)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.long)])
def test_a_signal_ends_a_driver_as_ctrl_c_does_and_nothing_is_left(number: signal.Signals, tmp_path: Path) -> None:
    process = driver(tmp_path, mishaps={"2": "hold", "4": "stop"})
    children = under(process, 2)
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert gone(children, within=5)
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert "terminate called" not in err
    assert "Check failed" not in err
    assert process.returncode == -signal.SIGINT
    assert set(Store(tmp_path).statuses()) == {KEYS[0], KEYS[2]}


def test_the_local_scheduler_listens_nowhere(tmp_path: Path) -> None:
    process = driver(tmp_path, scheduler="local", mishaps={"2": "hold", "4": "hold"})
    everyone = [psutil.Process(process.pid), *under(process, 2)]
    open_ones = [one for each in everyone for one in each.net_connections("inet")]
    process.kill()
    process.communicate(timeout=60)
    assert len(everyone) > 2
    assert open_ones == []
    assert gone(everyone[1:], within=15)


@pytest.mark.slow
@pytest.mark.long
def test_the_end_of_a_head_that_was_started_here_is_told_in_seconds(tmp_path: Path) -> None:
    process = driver(tmp_path, mishaps={"2": "hold", "4": "stop"})
    children = under(process, 2)
    head = next(each for each in children if "/gcs/gcs_server " in " ".join(each.cmdline()))
    head.kill()
    _, err = process.communicate(timeout=50)  # Ray itself would end the process after 60 s
    assert gone(children, within=15)
    assert err.endswith("ClusterLost: the Ray that was started for this run does not answer any more\n")
    assert set(Store(tmp_path).statuses()) == {KEYS[0], KEYS[2]}


@pytest.mark.slow
def test_nothing_listens_but_on_loopback_and_a_killed_driver_leaves_nothing(tmp_path: Path) -> None:
    process = driver(tmp_path, mishaps={"2": "hold", "4": "stop"})
    children = under(process, 2)
    everyone = [psutil.Process(process.pid), *children]
    addresses = {
        one.laddr.ip for each in everyone for one in each.net_connections("inet") if one.status == psutil.CONN_LISTEN
    }
    titles = [" ".join(each.cmdline()) for each in children]
    [scratch] = [Path(each.cmdline()[-2]) for each in children if "bench.schedulers.ray_reaper" in each.cmdline()]
    assert scratch.is_dir()
    raylet = next(each for each, title in zip(children, titles, strict=True) if "/raylet/raylet " in title)
    environment, head = raylet.environ(), re.search(r"--gcs-address=(\S+)", " ".join(raylet.cmdline()))
    assert head is not None
    check = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", head[1]]
    with_token = subprocess.run(check, env=environment, capture_output=True, timeout=60, check=False)
    no_token = {name: value for name, value in environment.items() if not name.startswith("RAY_AUTH")}
    without = subprocess.run(
        check, env={**no_token, "RAY_AUTH_MODE": "disabled"}, capture_output=True, text=True, timeout=60, check=False
    )
    process.kill()
    process.communicate(timeout=60)
    left = not gone(children, within=15)
    assert addresses, "Ray listens somewhere"
    assert addresses <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    assert not [title for title in titles if "dashboard/dashboard.py" in title and "--disable-frontend" not in title]
    assert (environment["RAY_USAGE_STATS_ENABLED"], environment["RAY_AUTH_MODE"]) == ("0", "token")
    assert with_token.returncode == 0
    assert "AuthenticationError" in without.stderr
    assert not left
    assert not scratch.exists(), "the folder of Tune's state"
