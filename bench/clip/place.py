"""Locate the cache of features and digests and check that it is writable, without importing torch."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

ENVIRONMENT: Final = "NOISY_PROMPT_BENCH_CACHE"
ELSEWHERE: Final = f"name another folder in {ENVIRONMENT}, or as cache under [paths] of bench.toml, which comes first."


def cache_folder(cache: str | Path | None = None) -> Path:
    """Return the folder `cache`, the one that NOISY_PROMPT_BENCH_CACHE names, or the user's cache folder."""
    import platformdirs

    named = cache or os.environ.get(ENVIRONMENT) or platformdirs.user_cache_dir("noisy-prompt-bench")
    return Path(named).expanduser()


def features_root(cache: str | Path | None = None) -> Path:
    """Return the folder of frozen features in the `cache_folder`."""
    return cache_folder(cache) / "features"


def unwritable(folder: Path) -> str | None:
    """Return why a folder cannot be written or created; None where it can. Leaves nothing behind."""
    place = folder
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place):
            return None
    except OSError as error:
        return error.strerror or str(error)
