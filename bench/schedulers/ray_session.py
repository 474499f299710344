"""Sessions of Ray: one started here on the loopback address, or a connection to a running cluster."""

from __future__ import annotations

import atexit
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError
from bench.schedulers.contract import ClusterLost
from bench.schedulers.ray_processes import OURS
from bench.schedulers.signals import Interrupts

if TYPE_CHECKING:
    import psutil

OBJECT_STORE_BYTES = 100 * 1024**2
# Read when ray is imported. Tune's own handler would swallow Ctrl-C and end as if all were done; the pattern hides the
# raylet's messages on dead workers, which come back as reasons instead.
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_AUTO_CONNECT": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".*",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    OURS: "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_WARN_THRESHOLD_S": "3600",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
}
LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
CONNECT_SECONDS = 3.0
CHECK_SECONDS = 15.0  # importing ray takes one to three of them
END_SECONDS = 5.0
WATCH_SECONDS = 1.0
MISSES = 3  # looks in a row that a cluster does not answer before it counts as lost


@dataclass
class Cluster:
    """Connection to Ray.

    Attributes:
        target: host and port of the head.
        own: whether Ray was started here.
        over: whether nobody waits for results any more. Tune copies what its stopper holds, so it is no event.
        lost: whether the cluster does not answer any more.
    """

    target: tuple[str, int]
    over: bool = False
    lost: bool = False
    own: bool = False

    def call(self, function: Callable[[], None]) -> None:
        """Call a function that uses Ray in a thread of its own, for Ray waits long for a dead head.

        Raises:
            ClusterLost: the cluster does not answer any more.
            KeyboardInterrupt: the user's.
        """
        future: Future[None] = Future()
        threading.Thread(target=_fulfil, args=(future, function), name="ray", daemon=True).start()
        try:
            self._attend(future)
            future.result()
        except ClusterLost:
            raise
        except Exception as error:
            if not _open(self.target):
                raise self._gone() from error
            raise
        finally:
            self.over = True
            wait([future], 0 if self.lost else END_SECONDS)

    def _attend(self, future: Future[None]) -> None:
        misses = 0
        while not wait([future], WATCH_SECONDS).done:
            misses = 0 if _open(self.target) else misses + 1
            if misses == MISSES:
                raise self._gone()

    def _gone(self) -> ClusterLost:
        self.lost = True
        if self.own:
            return ClusterLost("the Ray that was started for this run does not answer any more", advice="")
        host, port = self.target
        return ClusterLost(f"the Ray cluster at {host}:{port} does not answer any more")


def _fulfil(future: Future[None], function: Callable[[], None]) -> None:
    try:
        function()
    except BaseException as error:  # noqa: BLE001 - raised again by who waits
        future.set_exception(error)
    else:
        future.set_result(None)


@contextmanager
def session(address: str | None, workers: int, gpus: int, scratch: str) -> Iterator[Cluster]:
    """Start Ray here, or connect to a cluster, and leave no process of it behind.

    While it runs, SIGTERM and SIGHUP interrupt as Ctrl-C does. The folder `scratch` is removed even if this process is
    killed. Yields the connection.

    Raises:
        BenchError: Ray does not start, or nothing that is Ray answers at `address`.
        ClusterLost: the cluster does not answer any more.
        KeyboardInterrupt: the user's.
    """
    os.environ.update(QUIET)
    with Interrupts.taken():
        before, guard, cluster = _below(), None, None
        target = None if address is None else answering(address)
        try:
            directory, head = _begin(address, workers, gpus)
            guard = _guard(directory if address is None else "", scratch)
            cluster = Cluster(target or head, own=target is None)
            yield cluster
        finally:
            _end(before, cluster is not None and cluster.lost, guard)


def _begin(address: str | None, workers: int, gpus: int) -> tuple[str, tuple[str, int]]:
    """Start or connect; returns the folder of the session, and host and port of the head."""
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address is None:
        os.environ[LOOPBACK] = "0"
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        # "local" starts one though RAY_ADDRESS names another
        options |= {"address": "local", "num_cpus": workers, "num_gpus": gpus, "include_dashboard": False}
        options |= {"object_store_memory": OBJECT_STORE_BYTES}
    else:
        options |= {"address": address}
    import ray

    try:
        with _own_signals():
            context: Any = ray.init(**options)
    except Exception as error:
        text = " ".join(str(error).split())
        raise BenchError(f"Ray did not start: {text[:300]}; check --address, or use --scheduler local.") from error
    for name in ("ray", "ray.tune"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    host, _, port = str(context.address_info["gcs_address"]).rpartition(":")
    return str(context.address_info["session_dir"]), (host.strip("[]"), int(port))


def _guard(directory: str, scratch: str) -> subprocess.Popen[bytes]:
    """Start a process that notices by the end of its input that this one is gone, however it ended."""
    command = [sys.executable, "-m", "bench.schedulers.ray_reaper", Path(directory).name, scratch, f"{END_SECONDS}"]
    none = subprocess.DEVNULL
    return subprocess.Popen(  # noqa: S603 - no shell
        command, stdin=subprocess.PIPE, stdout=none, stderr=none, start_new_session=True
    )


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep our handler of SIGTERM, where there is one. Ray's calls sys.exit()."""
    before = signal.getsignal(signal.SIGTERM)
    ours = callable(before) and threading.current_thread() is threading.main_thread()
    try:
        yield
    except SystemExit:
        if not ours:
            raise
        signal.signal(signal.SIGTERM, before)
        signal.raise_signal(signal.SIGTERM)
    finally:
        if ours:
            signal.signal(signal.SIGTERM, before)


def _below() -> set[psutil.Process]:
    """Return the processes under this one."""
    import psutil

    return set(psutil.Process().children(recursive=True))


def _end(before: set[psutil.Process], lost: bool, guard: subprocess.Popen[bytes] | None) -> None:
    """End Ray, and kill what it has started and left. A lost cluster is waited for a few seconds at most."""
    import psutil

    started = _below() - before
    try:
        _leave() if lost else _shut_down()
    finally:
        if guard and guard.stdin:
            guard.stdin.close()
        _, left = psutil.wait_procs(started, timeout=END_SECONDS)
        for process in left:
            with suppress(psutil.Error):
                process.kill()
        if guard:
            guard.wait()


def _shut_down() -> None:
    import ray

    with suppress(Exception):  # of a session that an interrupt has left half begun, or that is dead
        ray.shutdown()


def _leave() -> None:
    import ray

    closing = threading.Thread(target=_shut_down, name="end of ray", daemon=True)
    closing.start()
    closing.join(END_SECONDS)
    if closing.is_alive():
        atexit.unregister(ray.shutdown)  # it would wait in the same way


def answering(address: str) -> tuple[str, int]:
    """Return host and port of the cluster at an address ("auto", "HOST:PORT"), after checking that Ray answers there.

    Raises:
        BenchError: the address has no such form, nothing answers there within seconds, or what answers is not Ray.
    """
    advice = "give --address HOST:PORT of a head that runs (`ray start --head` prints it), or leave --address out."
    host, port = _target(address, advice)
    try:
        socket.create_connection((host, port), CONNECT_SECONDS).close()
    except OSError as error:
        why = error.strerror or str(error) or "no answer"
        raise BenchError(f'--address "{address}": nothing answers at {host}:{port} ({why}); {advice}') from error
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", f"{host}:{port}"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=CHECK_SECONDS, check=False)  # noqa: S603 - no shell
    except subprocess.TimeoutExpired as error:
        raise BenchError(f'--address "{address}": {host}:{port} answers, but not as Ray does; {advice}') from error
    if asked.returncode:
        said = (asked.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise BenchError(f'--address "{address}": {host}:{port} answers, but `ray health-check` fails: {said[:300]}')
    return host, port


def _target(address: str, advice: str) -> tuple[str, int]:
    from ray._private.services import canonicalize_bootstrap_address

    try:
        found = "" if "://" in address else canonicalize_bootstrap_address(address) or ""
        host, _, port = found.rpartition(":")
        if not host or not 0 < int(port) < 65536:
            raise ValueError(found)
        return host.strip("[]"), int(port)
    except ConnectionError as error:
        raise BenchError(f'--address "{address}": no Ray cluster runs on this machine; {advice}') from error
    except ValueError as error:
        raise BenchError(f'--address "{address}" is no address of a Ray cluster; {advice}') from error


def _open(target: tuple[str, int]) -> bool:
    try:
        socket.create_connection(target, CONNECT_SECONDS).close()
    except OSError:
        return False
    return True
