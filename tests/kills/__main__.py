"""Kill runs at random moments and look at what is left: python -m tests.kills --rounds 200 --seed 1 --ray 0.5."""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from tests.kills.rounds import CELLS, drawn_night, night, undisturbed

PER_NIGHT = 4


def main() -> int:
    """Run the rounds; the exit code is 1 where there was a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200, help="moments at which something is killed")
    parser.add_argument("--seed", type=int, default=1, help="of what is drawn")
    parser.add_argument("--ray", type=float, default=0.5, help="share of drivers that use Ray")
    asked = parser.parse_args()
    reference, counts, faults, number = undisturbed(), Counter[str](), list[str](), 0
    while counts.total() < asked.rounds:
        number += 1
        chance, kills = drawn_night(asked.seed, number, min(PER_NIGHT, asked.rounds - counts.total()), asked.ray)
        with night() as store:
            for one in kills:
                if store.done == CELLS:
                    break  # nothing is left that could be disturbed
                struck = len(store.kills)
                _say(f"{asked.seed}/{number}: {one}: {store.round(one)}")
                if len(store.kills) > struck:
                    counts[f"{one.schedulers[0]}: {one.victim}"] += 1
            store.finish("ray" if chance.random() < asked.ray / 2 else "local", reference)
        for fault in store.faults:
            _say(f"{asked.seed}/{number}: FAULT: {fault}")
        faults += store.faults
    _say(f"{counts.total()} killed ({', '.join(f'{kind} {count}' for kind, count in sorted(counts.items()))})")
    _say(f"{len(faults)} faults")
    return 1 if faults else 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
