"""Sessions that have ended, daemons of dead drivers, clusters that do not answer."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from bench.doctor import ray_sessions
from bench.schedulers.ray_processes import OURS, RayProcess, running_processes
from tests.doctor.subjects import problems

ENDED = "session_2020-01-01_00-00-00_123456_4194304"  # above the largest process id of Linux


def living() -> str:
    begun = datetime.fromtimestamp(psutil.Process().create_time() + 5)  # noqa: DTZ006 - as Ray writes it
    return f"session_{begun:%Y-%m-%d_%H-%M-%S}_123456_{os.getpid()}"


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(psutil, "process_iter", list)


def daemon(
    session: str, ours: bool = True, program: str = "ray/core/src/ray/raylet/raylet", **files: str
) -> SimpleNamespace:
    """A process that names a session on its command line and has files open, by their mode."""
    environment = {OURS: "1"} if ours else {}
    return SimpleNamespace(
        pid=77,
        uids=lambda: SimpleNamespace(real=os.getuid()),
        cmdline=lambda: [f"/usr/lib/{program}", f"--session-dir=/tmp/ray/{session}"],
        open_files=lambda: [SimpleNamespace(path=path, mode=mode) for mode, path in files.items()],
        environ=lambda: environment,
    )


def found() -> list[RayProcess]:
    return [*running_processes()]


def test_who_writes_to_a_session_is_of_it_and_who_reads_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    log = f"/tmp/ray/{ENDED}/logs/worker.out"
    reads, names, raylet = daemon("none", program="tail", r=log), daemon(ENDED, program="bin/grep"), daemon(ENDED)
    writes = daemon("none", program="ray::IDLE", **{"r+": "/elsewhere", "a": log})
    monkeypatch.setattr(psutil, "process_iter", lambda: [reads, names, writes, raylet])
    assert [(id(one.process), one.session) for one in found()] == [(id(writes), ENDED), (id(raylet), ENDED)]


def test_processes_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    monkeypatch.setattr(psutil, "process_iter", lambda: looks.append(1) or [])
    assert [one.state for one in ray_sessions.left_over()] == ["ok", "ok"]
    assert looks == [1]


def test_the_folder_is_rays_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    utils = pytest.importorskip("ray._common.utils")
    of_ray = getattr(utils, "get_default_ray_temp_dir", None) or utils.get_ray_temp_dir  # its older name
    for variables in ({"RAY_TMPDIR": str(tmp_path)}, {"TMPDIR": str(tmp_path)}, {}):
        for name in ("RAY_TMPDIR", "TMPDIR"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        assert str(ray_sessions.ray_folder()) == of_ray()


def test_a_session_is_of_a_process_that_began_before_it() -> None:
    assert ray_sessions.began_by(living()) == os.getpid()
    assert ray_sessions.began_by(ENDED) is None
    assert ray_sessions.began_by(f"session_2020-01-01_00-00-00_123456_{os.getpid()}") is None  # its number was reused


def test_a_process_that_nobody_has_waited_for_has_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        begun = datetime.now() + timedelta(seconds=5)  # noqa: DTZ005 - as Ray writes it
        assert ray_sessions.began_by(f"session_{begun:%Y-%m-%d_%H-%M-%S}_123456_{child.pid}") is None


def test_ended_sessions_are_named_and_living_ones_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (ENDED, living()):
        (tmp_path / "ray" / name / "logs").mkdir(parents=True)
    (tmp_path / "ray" / "session_latest").symlink_to(tmp_path / "ray" / ENDED)
    (tmp_path / "ray" / ENDED / "logs" / "raylet.out").write_bytes(b"0" * 2048)
    (note,) = ray_sessions.sessions(found())
    assert (note.state, note.found) == ("note", f"1 that have ended, 2 KiB in {tmp_path}/ray")
    monkeypatch.setattr(ray_sessions, "LARGE_BYTES", 1000)
    (wrong,) = problems(ray_sessions.sessions(found()))
    assert os.system(wrong.mend) == 0
    assert sorted(path.name for path in (tmp_path / "ray").iterdir()) == [living(), "session_latest"]
    assert next(iter(ray_sessions.sessions(found()))).state == "ok"


def test_the_folder_of_a_cluster_that_runs_is_not_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ray" / ENDED).mkdir(parents=True)
    monkeypatch.setattr(psutil, "process_iter", lambda: [daemon(ENDED, ours=False)])
    assert [one.state for one in ray_sessions.sessions(found())] == ["ok"]


@pytest.mark.parametrize(
    ("session", "ours", "state", "mend"),
    [(ENDED, True, "problem", "kill 77"), (ENDED, False, "note", "ray stop  # ends it"), (living(), True, "ok", "")],
    ids=["dead and ours", "dead and foreign", "living"],
)
def test_daemons_of_a_dead_driver(
    session: str, ours: bool, state: str, mend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil, "process_iter", lambda: [daemon(session, ours), daemon(ENDED, program="bin/grep")])
    (told,) = ray_sessions.processes(found())
    assert (told.state, told.mend) == (state, mend)


@pytest.fixture
def port() -> Iterator[int]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield int(listening.getsockname()[1])


def test_a_cluster_of_the_environment_answers_or_not(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", f"ray://127.0.0.1:{port}")
    assert [one.state for one in ray_sessions.ports()] == ["ok", "note"]
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # taken, and nobody listens
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{closed.getsockname()[1]}")
        (wrong,) = problems(ray_sessions.ports())
    assert wrong.mend == "unset RAY_ADDRESS"
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert [one.state for one in ray_sessions.ports()] == ["ok", "note"]


def test_a_cluster_that_ray_start_has_noted(tmp_path: Path, port: int) -> None:
    (tmp_path / "ray").mkdir()
    file = tmp_path / "ray" / "ray_current_cluster"
    file.write_text(f"127.0.0.1:{port}")
    assert [one.state for one in ray_sessions.ports()] == ["ok", "note"]
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        file.write_text(f"127.0.0.1:{closed.getsockname()[1]}")
        (wrong,) = problems(ray_sessions.ports())
    assert wrong.mend == f"rm {file}"


def test_a_loopback_address_without_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(99, "Cannot assign requested address")

    monkeypatch.setattr(ray_sessions.socket.socket, "bind", refuse)
    (wrong,) = problems(ray_sessions.ports())
    assert wrong.mend == "bench run --scheduler local"


def test_shared_memory_too_small_for_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_sessions, "SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(ray_sessions.shutil, "disk_usage", lambda place: SimpleNamespace(free=64 * 2**20))
    (wrong,) = problems(ray_sessions.shared_memory())
    assert "--shm-size" in wrong.mend
