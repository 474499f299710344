"""Choose the embedded protocol once, for all methods, from clean data and plain CoOp alone.

The rule, stated before any result: of the learning rates and numbers of epochs below, the pair with the highest
accuracy of CoOp (cross-entropy, 16 shots, 16 context vectors) on the whole clean validation split at the last epoch,
averaged over `digits` and `letters` and over three seeds that no grid reports; ties go to fewer epochs, then to the
smaller rate. No noise is drawn, no test label read, no other method run.

Usage: python scripts/choose_protocol.py
"""

from __future__ import annotations

import itertools

import numpy as np

from bench.engine.loop import collect
from bench.engine.trial import Run, Settings, one_thread, open_backbone, open_dataset, split_features
from bench.plugins import METHODS
from bench.records.cell import Cell

RATES = (0.002, 0.005, 0.01, 0.02, 0.05)
EPOCHS = (50, 100)
SEEDS = (101, 102, 103)
NAMES = ("digits", "letters")


def accuracy(dataset: str, rate: float, epochs: int, seed: int) -> float:
    """Accuracy of CoOp on the whole clean validation split after the last epoch, in percent."""
    cell = Cell(
        dataset=dataset, shots=16, noise="none", rate=0.0, method="coop", backbone="tiny", seed=seed, epochs=epochs,
        options=METHODS.get("coop").Options().model_dump(), batch_size=32, learning_rate=rate, momentum=0.9,
        weight_decay=5e-4, warmup_epochs=1, warmup_learning_rate=1e-5, views=0, eval_every=epochs,
    )  # fmt: skip
    settings = Settings()
    with one_thread():
        loop = Run(cell, settings).prepare()
        loop.run()
        stored = open_dataset(dataset, None)
        inputs = split_features(stored, "validation", open_backbone("tiny", "cpu"), False, settings)
        guess = collect(loop.method.predict, inputs, loop.method.prepare(), len(inputs)).argmax(1)
    return 100 * float((guess.numpy() == stored.splits["validation"].labels).mean())


def main() -> None:
    """Print the table and the choice."""
    found: dict[tuple[float, int], float] = {}
    for epochs, rate in itertools.product(EPOCHS, RATES):
        table = [[accuracy(dataset, rate, epochs, seed) for seed in SEEDS] for dataset in NAMES]
        found[rate, epochs] = float(np.mean(table))
        parts = ", ".join(f"{name} {np.mean(row):.2f}" for name, row in zip(NAMES, table, strict=True))
        print(f"epochs {epochs:3d}, learning rate {rate:<5g}: {found[rate, epochs]:.2f} ({parts})", flush=True)
    rate, epochs = max(found, key=lambda pair: (found[pair], -pair[1], -pair[0]))
    print(f"chosen: {epochs} epochs, learning rate {rate:g}")


if __name__ == "__main__":
    main()
