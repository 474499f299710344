"""For workers alone: the trial, noting each entry of the feature store that is computed on the way."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.clip.encode import FeaturePart
from bench.clip.features import FeatureKey, FeatureStore
from bench.engine.trial import run_pack as run_pack

_real = FeatureStore._compute


def _compute(self: FeatureStore, key: FeatureKey, parts: Sequence[FeaturePart], *rest: Any) -> None:
    with Path(os.environ["COMPUTED"]).open("a", encoding="utf-8") as log:
        log.write(f"{key.digest} {','.join(parts)}\n")
    _real(self, key, parts, *rest)


FeatureStore._compute = _compute  # type: ignore[method-assign]
