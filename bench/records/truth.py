"""What is known of the labels, completed where a record did not get to say it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence


def completed(said: Sequence[bool | None], *places: Sequence[Hashable]) -> list[bool]:
    """Complete whether labels are known to be right, of records of lost cells by their place.

    Args:
        said: by each record; None where it says nothing.
        places: of each record, the narrowest first; where several are of one place they speak for each other.

    Returns:
        What the record says, or all others of the first place that is known; True where none is.
    """
    known: list[dict[Hashable, bool]] = []
    for names in places:
        found: dict[Hashable, bool] = defaultdict(lambda: True)
        for name, value in zip(names, said, strict=True):
            if value is not None:
                found[name] &= value
        known.append(dict(found))
    return [
        next((found[names[number]] for names, found in zip(places, known, strict=True) if names[number] in found), True)
        if value is None
        else value
        for number, value in enumerate(said)
    ]
