"""Claims of cells among drivers that share a store, so that no cell is trained twice.

A worker claims a cell for its driver before it trains it, and gives it free when the record is published: a file
KEY.claim that can be created once, in a folder of its own beside the records. A driver rewrites a file of its own every
few seconds. One that is gone, or that was not heard of for long, is buried by another: its claims are removed. Only
their owner or the one who buries it removes claims, and burying needs a claim itself, so that no claim of a driver that
runs is ever removed.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Final, Self

from bench.errors import BenchError
from bench.files import open_folder
from bench.schedulers.driver import Driver

FOLDER: Final = ".claims"
CLAIM: Final = ".claim"
DRIVER: Final = ".driver"
BEAT_SECONDS: Final = 5.0
LOOKS: Final = 9  # one after the other at an unchanged file, after which its driver is dead: 45 s; clocks may differ
GRACE_SECONDS: Final = 1.0  # in which the workers of a dead driver end
SWEPT_SECONDS: Final = 10.0  # a temporary file of a claim is there for as good as no time
NOBODY: Final = Driver("", "unknown host", "", 0, 0.0)


def visible(store: str, driver: str) -> bool:
    """Return whether the store of a running driver is seen here, by the id of the driver.

    On another machine the same path may be another folder, or none.
    """
    try:
        return open_folder(f"{store.rstrip('/')}/{FOLDER}").read(driver + DRIVER) is not None
    except Exception:  # noqa: BLE001 - whatever it is, the store is not reached from here
        return False


class Claims:
    """Claims in a store, as one driver and its workers see them."""

    def __init__(self, store: str, owner: Driver) -> None:
        self.owner, self.files = owner, open_folder(f"{store.rstrip('/')}/{FOLDER}")
        self._content = _text(owner)

    @property
    def exclusive(self) -> bool:
        """Whether the store's file system can have claims."""
        return self.files.exclusive

    def take(self, key: str) -> bool:
        """Hold a cell for this driver; False where another has it.

        Raises:
            OSError: the store cannot be written.
        """
        return self.files.create(key + CLAIM, self._content) or self.holder(key) == self.owner

    def holder(self, key: str) -> Driver | None:
        """Return the driver that has claimed a cell, if any; `NOBODY` where the claim does not say."""
        return self._driver(key + CLAIM)

    def release(self, key: str) -> None:
        """Free a cell, if it is this driver's."""
        if self.holder(key) == self.owner:
            self.files.remove(key + CLAIM)

    def release_all(self, owner: Driver) -> int:
        """Remove all claims of a driver; returns how many there were."""
        names = [name for name in self.files.names(CLAIM) if self._driver(name) == owner]
        for name in names:
            self.files.remove(name)
        return len(names)

    def owners(self) -> set[Driver]:
        """Return all drivers that have claims."""
        found = {self._driver(name) for name in self.files.names(CLAIM)}
        return {driver for driver in found if driver is not None}

    def _driver(self, name: str) -> Driver | None:
        content = self.files.read(name)
        if content is None:
            return None
        try:
            return Driver(**json.loads(content))
        except (ValueError, TypeError, RecursionError):
            return NOBODY


@dataclass
class _Seen:
    """What was last seen of a driver.

    Attributes:
        content: of its file; None without one.
        looks: how often in a row that was found unchanged.
        moved: whether it ever changed.
        gone: whether its process was.
    """

    content: bytes | None
    looks: int = -1
    moved: bool = False
    gone: bool = False


class Fleet:
    """Drivers that share a store: tells the others that this one runs, and buries those that are dead.

    Used as a context; at its end all claims of this driver are given free.

    Attributes:
        claims: of this driver.
    """

    def __init__(self, store: str, note: Callable[[str], None], beat: float = BEAT_SECONDS) -> None:
        self.claims, self.store, self.note, self.beat = Claims(store, Driver.here()), store, note, beat
        self._files, self._beats, self._seen = self.claims.files, 0, dict[Driver, _Seen]()
        self._asked, self._looking, self._end = set[Driver](), threading.Lock(), threading.Event()

    @property
    def owner(self) -> Driver | None:
        """This driver, as owner of claims; None where the store cannot have any."""
        return self.claims.owner if self.claims.exclusive else None

    def __enter__(self) -> Self:
        """Join, and clean up after dead drivers of this machine.

        Raises:
            BenchError: the store cannot be written, or cannot be shared and another driver uses it.
        """
        try:
            self._join()
        except BaseException as error:
            self._leave()
            if isinstance(error, BenchError) or not isinstance(error, Exception):
                raise
            text = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
            raise BenchError(
                f'store "{self.store}" cannot be written: {text}; change --store or its permissions.'
            ) from error
        threading.Thread(target=self._keep_on, name="heartbeat", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Free all cells of this driver, and leave."""
        if kind is None:  # a user who has interrupted it does not wait
            with suppress(Exception):
                self._bury_near()
        self._end.set()
        with self._looking:
            self._leave()

    def ask(self, drivers: Iterable[Driver]) -> None:
        """Add drivers to look at, which hold claims and may have no file."""
        self._asked |= set(drivers)

    def look(self, timed: bool = True) -> None:
        """Update the own heartbeat, check that of each other driver, and bury those that are dead.

        Args:
            timed: whether a heartbeat of each may be expected since the last look.
        """
        with self._looking:
            if self._end.is_set():
                return
            self._show()
            others = self._others()
            self._seen = {driver: self._seen.get(driver) or _Seen(content) for driver, content in others.items()}
            for driver, content in others.items():
                seen, gone = self._seen[driver], not driver.alive()
                seen.looks = 0 if seen.content != content else seen.looks + timed
                seen.moved = seen.moved or seen.content != content
                if (gone and seen.gone) or seen.looks >= LOOKS:
                    self._bury(driver)
                seen.content, seen.gone = content, gone

    def _show(self) -> None:
        self._beats += 1
        content = _text(self.claims.owner) + f"\n{self._beats}\n".encode()
        self._files.write(f"{self.claims.owner.id}{DRIVER}", content, replace=True)

    def _others(self) -> dict[Driver, bytes | None]:
        """Return the drivers that have a file, with its content, and those that were asked for and have none."""
        found: dict[Driver, bytes | None] = dict.fromkeys(self._asked)
        for name in self._files.names(DRIVER):
            content = self._files.read(name)
            if content is not None:
                found[_parsed(content, name)] = content
        found.pop(self.claims.owner, None)
        return found

    def _bury(self, driver: Driver) -> None:
        """Remove what is left of a driver, unless another does."""
        key = f"buried-{driver.id}"
        if self.claims.exclusive and not self.claims.take(key):
            return
        claims = self.claims.release_all(driver)
        self._files.remove(f"{driver.id}{DRIVER}")
        self.claims.release(key)
        self._asked.discard(driver)
        self._seen.pop(driver, None)
        if claims:
            self.note(f"another run ({who(driver)}) ended before its cells did; what it has not trained is run here.")

    def _join(self) -> None:
        with suppress(FileNotFoundError):  # another driver's end removed the empty folder at that moment
            self._show()
        self._files.sweep(SWEPT_SECONDS)
        self.look()
        if not self.claims.exclusive:
            self._be_alone()
            return
        self.ask(self.claims.owners() - {self.claims.owner})
        self._bury_near()

    def _bury_near(self) -> None:
        """End with what is left of dead drivers of this machine."""
        if any(not driver.alive() for driver in self._others()):
            self.look(timed=False)
            time.sleep(GRACE_SECONDS)
            self.look(timed=False)

    def _be_alone(self) -> None:
        """Reject a store that another driver uses. One that may be dead is watched until that is sure."""
        while self._seen:
            for driver, seen in self._seen.items():
                if seen.moved or (driver.near() and driver.alive()):
                    raise BenchError(
                        f'store "{self.store}" is in use by another run ({who(driver)}), and its file system cannot '
                        "create a file exclusively, which sharing needs; wait for that run, or give another --store."
                    )
            time.sleep(self.beat)
            self.look()

    def _leave(self) -> None:
        with suppress(Exception):  # the store may be gone, which is told elsewhere; others find this driver dead
            self.claims.release_all(self.claims.owner)
            self._files.remove(f"{self.claims.owner.id}{DRIVER}")
            self._files.sweep(SWEPT_SECONDS)
            self._files.discard()

    def _keep_on(self) -> None:
        while not self._end.wait(self.beat):
            with suppress(Exception):  # next time the store may be reached again
                self.look()


def who(driver: Driver) -> str:
    """Describe a driver for people."""
    return f"{driver.host}, process {driver.pid}"


def _text(driver: Driver) -> bytes:
    return json.dumps(asdict(driver)).encode()


def _parsed(content: bytes, name: str) -> Driver:
    try:
        return Driver(**json.loads(content.partition(b"\n")[0]))
    except (ValueError, TypeError, RecursionError):
        return Driver(name.removesuffix(DRIVER), "unknown host", "", 0, 0.0)
