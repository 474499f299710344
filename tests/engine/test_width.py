"""How many members of a pack are computed at a time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bench.engine import width


@pytest.mark.parametrize(("megabytes", "members"), [(0, 16), (0.33, 16), (1, 8), (3, 2), (12, 1)])
def test_on_a_processor_what_is_kept_for_the_backward_pass_stays_in_its_cache(
    megabytes: float, members: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(width, "CACHE_BYTES", 8 * 2**20)
    monkeypatch.setattr(width, "step_bytes", lambda _: int(megabytes * 2**20))
    member: Any = SimpleNamespace(data=SimpleNamespace(observed=torch.zeros(1)))
    assert width.fitting(member, 16) == members
