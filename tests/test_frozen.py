"""Keys and messages are those that were frozen; `python -m tests.frozen` writes what a change of them wants."""

from __future__ import annotations

import pytest

from tests import frozen


@pytest.mark.parametrize("name", ["keys", "messages"])
def test_what_was_frozen_is_as_it_was(name: str) -> None:
    known = (frozen.FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    now = getattr(frozen, name)()
    gone, new = sorted(set(known) - set(now)), sorted(set(now) - set(known))
    assert not gone + new, "is this change wanted? then: python -m tests.frozen"
