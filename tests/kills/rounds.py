"""A night: runs on one store, each killed at some moment, and one at the end that is left alone."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

from tests import ROOT
from tests.kills.chance import Kill, drawn
from tests.kills.processes import MARK, kill, left, victims

COMMAND = [sys.executable, "-c", "from bench.cli.main import console_script; console_script()", "run", "--quiet"]
GRID = ("method=begun-coop,begun-tip", "noise=symmetric", "rate=0.25,0.5", "shots=2", "epochs=20", "seed=1..4")
CELLS = 16
PATIENCE = 300.0  # seconds that a run may take on a busy machine
GONE_SECONDS = 30.0  # in which all processes of a killed run have ended
EQUAL = ("curve", "accuracy", "noise", "diagnostics", "status")
KEPT = ".lock.tmp"
UNSTARTED = ("Ray did not start", "such as Ray, ended the process")  # what is said where Ray was only just starting
TORCHS = "torchinductor_"  # it leaves an empty folder, whatever happens


@dataclass
class Night:
    """One store, and what was done to it.

    Attributes:
        folder: of all that is written.
        faults: a line each.
        kills: the rounds, and when something was killed (before, after), in nanoseconds of the clock.
    """

    folder: Path
    faults: list[str] = field(default_factory=list)
    kills: list[tuple[int, int]] = field(default_factory=list)

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def begun(self) -> list[tuple[str, int]]:
        """Cells whose training has begun, by method and labels, and when."""
        file = self.folder / "begun"
        rows = [line.split() for line in file.read_text("utf-8").splitlines()] if file.exists() else []
        return [(key, int(at)) for key, at in rows]

    @property
    def done(self) -> int:
        """Records that are there."""
        return len(list(self.store.glob("*.json")))

    def start(self, scheduler: str, workers: int, pack: int, number: int = 0, *more: str) -> subprocess.Popen[str]:
        """Start a run in a session, and with a mark, of its own; `more` are further options."""
        options = ["--scheduler", scheduler, "--workers", str(workers), "--pack", str(pack), "--retry", "all"]
        options += more
        options += [word for one in GRID for word in ("--set", one)]
        options += ["--store", str(self.store), "--plugin", str(Path(__file__).with_name("begun.py"))]
        return subprocess.Popen(
            [*COMMAND, *options], cwd=self.folder, env=self.environment(number), start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def environment(self, number: int) -> dict[str, str]:
        """Return the environment of a run, or of a cluster, with a mark of its own."""
        scratch = self.folder / "tmp"
        scratch.mkdir(exist_ok=True)
        own = {"BEGUN": self.folder / "begun", "TMPDIR": scratch, "RAY_TMPDIR": self.folder, "PYTHONPATH": ROOT}
        fixed = {MARK: self._mark(number), "OMP_NUM_THREADS": "1"}
        return {**os.environ, **{name: str(path) for name, path in own.items()}, **fixed}

    def round(self, one: Kill) -> str:
        """Run, kill, look, and return how the drivers ended."""
        wanted = len(self.begun) + math.ceil(one.begun * (CELLS - self.done))
        drivers = [self.start(name, one.workers, one.pack, number) for number, name in enumerate(one.schedulers)]
        hit = self._strike(one, drivers[0], wanted)
        seen = self.records()
        ends = [self._end(driver) for driver in drivers]
        self._look(one, ends, hit, seen)
        codes = ", ".join(str(code) for code, _ in ends)
        return f"{'killed' if hit else 'missed'}, exit {codes}, {self.done} of {CELLS} cells"

    def finish(self, scheduler: str, reference: dict[str, Any]) -> None:
        """Run until done, and look at what is there."""
        before = self.records()
        self.expect(0, self.start(scheduler, 1, 8))
        self._unchanged(before)
        self.compare(reference)

    def expect(self, code: int, driver: subprocess.Popen[str]) -> None:
        """Wait for the end of a run."""
        found, said = self._end(driver)
        if found != code:
            self.faults.append(f"exit code {found} where {code} was expected: {said}")

    def compare(self, reference: dict[str, Any]) -> None:
        """Compare with a store that was never disturbed, and look for what was left, or trained twice."""
        self._left_behind()
        found = contents(self.store)
        self.faults += [f"not as undisturbed: {name}" for name in reference if found.get(name) != reference[name]]
        self.faults += [f"not asked for: {name}" for name in found.keys() - reference.keys()]
        self._once()

    def records(self) -> dict[str, bytes]:
        """Bytes by name of the records and their companions that are there."""
        names = {file.name.removesuffix(".json") for file in self.store.glob("*.json")}
        files = [file for name in names for file in self.store.glob(f"{name}.*")]
        return {file.name: file.read_bytes() for file in files}

    def _mark(self, number: int) -> str:
        return f"{self.folder.name}/{number}"

    def _strike(self, one: Kill, driver: subprocess.Popen[str], wanted: int) -> bool:
        """Wait for the moment and kill; False where the run was over before."""
        late, when = time.monotonic() + PATIENCE, 0.0
        while driver.poll() is None and time.monotonic() < late:
            found = victims(one.victim, driver.pid, self._mark(0)) if len(self.begun) >= wanted else []
            if found and not when:
                when = time.monotonic() + one.delay
            if when and time.monotonic() >= when and found:
                at = time.time_ns()
                if kill(one.victim, found[0]):
                    self.kills.append((at, time.time_ns()))
                    return True
            time.sleep(min(0.05, max(0.0, when - time.monotonic())) if when else 0.05)
        return False

    def _end(self, driver: subprocess.Popen[str]) -> tuple[int | None, str]:
        try:
            out, err = driver.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.faults.append(f"still runs after {PATIENCE:g} s: {driver.args!r}"[:300])
            for number in (0, 1):
                left(self._mark(number), 0)
            out, err = driver.communicate()
        return driver.returncode, " ".join((err or out).split())[-600:]

    def _look(self, one: Kill, ends: list[tuple[int | None, str]], hit: bool, seen: dict[str, bytes]) -> None:
        struck = hit and one.victim not in ("worker", "Ray's worker")
        for number, (code, said) in enumerate(ends):
            expected = (-9, 2) if struck and not number and one.victim not in ("node", "head") else (0,)
            if struck and not number and one.victim in ("node", "head"):
                expected = (0, 4, 2) if any(why in said for why in UNSTARTED) else (0, 4)
            if code not in expected:
                self.faults.append(f"{one}: driver {number + 1} ended with {code}, not one of {expected}: {said}")
            if "Traceback" in said:
                self.faults.append(f"{one}: a traceback: {said}")
            if running := left(self._mark(number), GONE_SECONDS):
                self.faults.append(f"{one}: still runs: {running}")
        self._unchanged(seen)

    def _unchanged(self, before: dict[str, bytes]) -> None:
        now = self.records()
        self.faults += [f"lost: {name}" for name in before if name not in now]
        self.faults += [f"changed: {name}" for name in before if now.get(name, before[name]) != before[name]]

    def _left_behind(self) -> None:
        names = {file.name for file in self.store.iterdir() if file.suffix not in (".json", ".safetensors")}
        self.faults += [f"left in the store: {name}" for name in sorted(names - {KEPT})]
        scratch = [file.name for file in (self.folder / "tmp").iterdir() if not file.name.startswith(TORCHS)]
        self.faults += [f"left in the folder of temporary files: {name}" for name in scratch]

    def _once(self) -> None:
        """No cell begins again unless something was killed since it began, and none that has a record."""
        begun: dict[str, list[int]] = {}
        for cell, at in self.begun:
            begun.setdefault(cell, []).append(at)
        ended = {}
        for file in self.store.glob("*.json"):
            record = json.loads(file.read_bytes())
            ended[f"{record['cell']['method']}/{record['noise']['digest']}"] = file.stat().st_mtime_ns
        self.faults += [f"never begun: {cell}" for cell in ended.keys() - begun.keys()]
        for cell, times in begun.items():
            if cell in ended and max(times) > ended[cell]:
                self.faults.append(f"begun though it had a record: {cell}")
            for first, second in pairwise(times):
                if not any(first <= after and before <= second for before, after in self.kills):
                    when = ", ".join(f"{(before - first) / 1e9:+.3f} s" for before, _ in self.kills)
                    apart = f"{(second - first) / 1e9:.3f} s later, kills: {when or 'none'}"
                    self.faults.append(f"trained twice though nothing was killed: {cell}, {apart}")


def contents(store: Path) -> dict[str, Any]:
    """What must be equal byte for byte, by name of the file."""
    found: dict[str, Any] = {}
    for file in store.iterdir():
        if file.suffix == ".json":
            record = json.loads(file.read_bytes())
            found[file.name] = json.dumps([record.get(name) for name in EQUAL])
        elif file.suffix == ".safetensors":
            found[file.name] = file.read_bytes()
    return found


@contextmanager
def night() -> Iterator[Night]:
    """A night in a folder whose name is short, for Ray's sockets."""
    folder = Path(tempfile.mkdtemp(prefix="k"))
    try:
        yield Night(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def undisturbed() -> dict[str, Any]:
    """Contents of the store of a run that nobody disturbs."""
    with night() as quiet:
        code, said = quiet._end(quiet.start("local", 1, 1))
        assert code == 0, said
        found = contents(quiet.store)
        assert len(found) == 2 * CELLS
        return found


def drawn_night(seed: int, number: int, kills: int, ray: float) -> tuple[Random, list[Kill]]:
    """Draw the rounds of a night."""
    chance = Random(f"{seed}/{number}")
    return chance, [drawn(chance, ray) for _ in range(kills)]
