"""A record of a store by the beginning of its key."""

from __future__ import annotations

from bench.cell import Record
from bench.errors import BenchError
from bench.store import Store

NAMED = 5  # keys in a message


def find_record(store: Store, key: str) -> Record:
    """The one record whose key is `key`, or begins so.

    Raises:
        BenchError: there is none, there are several, or its file is torn.
    """
    known = store.keys()
    keys = [found for found in known if found.startswith(key)]
    if not keys:
        raise BenchError(f'store "{store.root}" has no record "{key}"; keys are the names of its .json files.')
    if len(keys) > 1 and key not in keys:
        shown = ", ".join(keys[:NAMED]) + (", …" if len(keys) > NAMED else "")
        raise BenchError(f'"{key}" begins {len(keys)} keys of store "{store.root}" ({shown}); give more of it.')
    record = store.read(key if key in keys else keys[0])
    if record is None:
        raise BenchError(next(iter(store.problems.values())))
    return record
