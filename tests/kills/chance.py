"""What is killed, when, and under which options: all of it drawn from one seed."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

VICTIMS = {
    "local": ("driver", "parent of the driver", "worker", "group"),
    "ray": ("driver", "parent of the driver", "worker", "group", "Ray's worker", "node", "head"),
}


@dataclass(frozen=True)
class Kill:
    """One round.

    Attributes:
        schedulers: one per driver; the first driver is the one that is hit.
        workers: of each driver.
        pack: cells of a pack at most.
        victim: what is killed of the first driver.
        begun: share of the cells left of which the training must have begun before the moment; 0 for none.
        delay: seconds from then, or from the start of the victim, to the moment.
    """

    schedulers: tuple[str, ...]
    workers: int
    pack: int
    victim: str
    begun: float
    delay: float

    def __str__(self) -> str:
        when = f"{self.begun:.0%} of what was left had begun" if self.begun else "it was there"
        drivers = " and ".join(self.schedulers)
        return f"{drivers}, {self.workers} workers, pack {self.pack}: {self.victim}, {self.delay:.2f} s after {when}"


def drawn(chance: Random, ray: float) -> Kill:
    """Draw a round. `ray` is the share of drivers that use Ray."""

    def scheduler() -> str:
        return "ray" if chance.random() < ray else "local"

    first = scheduler()
    schedulers = (first, scheduler()) if chance.random() < 1 / 3 else (first,)
    begun = chance.choice([0.0, chance.uniform(0.01, 0.9), chance.uniform(0.01, 0.9)])
    delay = chance.uniform(0, 0.5 if begun else 4.0)
    return Kill(schedulers, chance.choice((1, 2)), chance.choice((1, 8)), chance.choice(VICTIMS[first]), begun, delay)
