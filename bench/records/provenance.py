"""Provenance of a record: versions, code state, processor, times. Never a user's name or a path."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from bench.records.parts import CodeState, Provenance

PACKAGES = {
    "torch": "torch",
    "open_clip": "open_clip_torch",
    "numpy": "numpy",
    "sklearn": "scikit-learn",
    "pot": "POT",
    "noisy_prompt_bench": "noisy-prompt-bench",
}


@dataclass(frozen=True)
class Clock:
    """Start of a run."""

    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    _begin: float = field(default_factory=time.perf_counter)

    def seconds(self) -> float:
        """Return the seconds since then."""
        return time.perf_counter() - self._begin


def provenance_of(clock: Clock, device: str = "cpu", *, threads: int = 1, **noted: Any) -> Provenance:
    """Collect the provenance of a run that began at `clock` and ends now.

    `noted` are further fields of `Provenance`.
    """
    return Provenance(
        versions=versions(),
        code=code_state(),
        device=device,
        processor=processor() if device == "cpu" else accelerator(),
        platform=f"{platform.system()} {platform.machine()}",
        threads=threads,
        started=clock.started.isoformat(timespec="seconds"),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        **noted,
    )


@cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the installed `PACKAGES`, by import name."""
    found = {"python": platform.python_version()}
    for name, distribution in PACKAGES.items():
        try:
            found[name] = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return found


@cache
def code_state() -> CodeState:
    """Return the commit and whether files differ from it; empty outside a git checkout."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return CodeState()
    commit = _git(root, "rev-parse", "HEAD")
    changes = _git(root, "status", "--porcelain", "--untracked-files=no")
    return CodeState(commit=commit, dirty=bool(changes)) if commit else CodeState()


def _git(root: Path, *arguments: str) -> str | None:
    """Return the output of a git command; None where git is missing or refuses."""
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments
            ["git", "-C", str(root), *arguments],  # noqa: S607 - whichever git the user has
            capture_output=True, text=True, check=True, timeout=10, env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


@cache
def processor() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


@cache
def accelerator() -> str:
    """Return the name of the GPU."""
    import torch

    return torch.cuda.get_device_name()
