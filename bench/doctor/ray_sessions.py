"""Examine what Ray left behind: session folders, processes of dead drivers; and what it needs: ports, shared memory.

Ray is not started, nor imported. A session's folder is named by the process that began it.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import socket
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from bench.console import size
from bench.doctor.diagnosis import Diagnosis, judged
from bench.doctor.folders import bytes_below
from bench.schedulers.ray_processes import SESSION, RayProcess, running_processes
from bench.schedulers.ray_session import OBJECT_STORE_BYTES

LARGE_BYTES = 2**30
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - looked at, never written
CURRENT = "ray_current_cluster"
HEAD_PORT = 6379
PATIENCE_SECONDS = 1.0


def ray_folder() -> Path:
    """Return the folder of Ray's sessions, by Ray's own rule."""
    if named := os.environ.get("RAY_TMPDIR"):
        return Path(named) / "ray"
    named = os.environ.get("TMPDIR") if platform.system() == "Linux" else None
    return Path(named or "/tmp") / "ray"  # noqa: S108 - Ray's own place


def began_by(session: str) -> int | None:
    """Return the process id of the one that began a session and still runs; None where it has ended."""
    import psutil

    found = SESSION.search(session)
    if found is None:
        return None
    try:
        process = psutil.Process(int(found[2]))
        created, ended = process.create_time(), process.status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return None
    begun = datetime.strptime(found[1], "%Y-%m-%d_%H-%M-%S").timestamp()  # noqa: DTZ007 - Ray writes local time
    return int(found[2]) if not ended and created <= begun + 1 else None  # a later one has the number again


def left_over() -> Iterator[Diagnosis]:
    """List folders and processes of sessions that have ended, after one look at the processes of this machine."""
    running = list(running_processes())
    yield from sessions(running)
    yield from processes(running)


def sessions(running: Sequence[RayProcess]) -> Iterator[Diagnosis]:
    """List the folders of sessions that have ended; Ray never deletes them."""
    folder, used = ray_folder(), {one.session for one in running}
    found = [path for path in sorted(folder.glob("session_*")) if SESSION.fullmatch(path.name) and _mine(path)]
    stale = [path for path in found if path.name not in used and began_by(path.name) is None]
    if not stale:
        yield Diagnosis("Ray sessions", "ok", f"none left in {folder}")
        return
    total = sum(map(bytes_below, stale))
    kept = "".join(f" -not -name {shlex.quote(path.name)}" for path in found if path not in stale)
    which = f"-maxdepth 1 -type d -user {os.getuid()} -name 'session_*'{kept}"
    mend = f"find {shlex.quote(str(folder))} {which} -exec rm -r {{}} +"
    told = f"{len(stale)} that have ended, {size(total)} in {folder}"
    yield Diagnosis("Ray sessions", "problem" if total >= LARGE_BYTES else "note", told, mend)


def processes(running: Sequence[RayProcess]) -> Iterator[Diagnosis]:
    """List Ray's processes: orphans of a dead driver of ours, and clusters that somebody has started."""
    driverless = [one for one in running if began_by(one.session) is None]
    orphans = [one.process.pid for one in driverless if one.ours]
    others = [one.process.pid for one in driverless if not one.ours]
    if orphans:
        shown = " ".join(map(str, orphans))
        yield Diagnosis(
            "Ray processes", "problem", f"{len(orphans)} of a run whose driver is dead ({shown})", f"kill {shown}"
        )
    if others:
        shown = ", ".join(map(str, others))
        told = f"a cluster runs here (processes {shown}); `bench run --address auto` uses it"
        yield Diagnosis("Ray processes", "note", told, "ray stop  # ends it")
    if not orphans and not others:
        yield Diagnosis("Ray processes", "ok", "none of a dead driver")


def shared_memory() -> Iterator[Diagnosis]:
    """Compare the free shared memory with Ray's object store."""
    if SHARED_MEMORY.is_dir():
        free = shutil.disk_usage(SHARED_MEMORY).free
        told = f"{size(free)} free in {SHARED_MEMORY}, Ray takes {size(OBJECT_STORE_BYTES)}"
        mend = "docker run --shm-size=1g ...  # or: bench run --scheduler local"
        yield judged("shared memory", told, free < OBJECT_STORE_BYTES, mend)


def ports() -> Iterator[Diagnosis]:
    """Test that a port of the loopback address can be had, and that the cluster of RAY_ADDRESS answers."""
    try:
        with socket.socket() as opened:
            opened.bind(("127.0.0.1", 0))
        yield Diagnosis("ports", "ok", "the loopback address gives ports")
    except OSError as error:
        told = f"the loopback address gives no port ({error.strerror}), which Ray needs"
        yield Diagnosis("ports", "problem", told, "bench run --scheduler local")
    if address := os.environ.get("RAY_ADDRESS"):
        yield _cluster("RAY_ADDRESS", address, "unset RAY_ADDRESS")
    elif (file := ray_folder() / CURRENT).is_file():  # of `ray start`, which Ray itself reads next
        address = file.read_text(encoding="utf-8", errors="replace").strip()
        yield _cluster(str(file), address, f"rm {shlex.quote(str(file))}")
    elif _answers("127.0.0.1", HEAD_PORT):
        yield Diagnosis("ports", "note", f"something listens on port {HEAD_PORT}, where `ray start --head` would")


def _cluster(place: str, address: str, mend: str) -> Diagnosis:
    """Test whether the cluster answers that the environment or a file names."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not port.isdigit():
        return Diagnosis("Ray cluster", "note", f'{place} names "{address}"', mend)
    if _answers(host, int(port)):
        return Diagnosis("Ray cluster", "note", f'{place} names "{address}", which answers')
    return Diagnosis("Ray cluster", "problem", f'{place} names "{address}", which does not answer', mend)


def _answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=PATIENCE_SECONDS):
            return True
    except OSError:
        return False


def _mine(path: Path) -> bool:
    return path.lstat().st_uid == os.getuid()
