"""Choose learning rates once, from clean data and validation labels alone.

Two rules, stated before any result. No noise is drawn and no test label read, and the seeds are of no grid.

The embedded protocol, for all methods (no argument): of the learning rates and numbers of epochs below, the pair with
the highest accuracy of plain CoOp (cross-entropy, 16 shots, 16 context vectors) on the whole clean validation split
after the last epoch, averaged over `digits` and `letters` and over the seeds; ties go to fewer epochs, then to the
smaller rate.

`budget = "tuned"`, for each method by itself (--tuned BACKBONE): of the learning rates of the ladder, the one with the
highest accuracy of the method's default variant on the whole clean validation split of one data set after the last
epoch, averaged over two seeds; ties go to the smaller rate. Methods that need the images themselves are judged by the
16 of each class that a cell has. The data set is `letters`, because on the validation images of `digits` every rate
ends within three points of every other. The rate is the same for every data set and every kind and rate of noise.
Prints the table for `bench.toml`; methods that train no parameter are left out.

Usage: python scripts/choose_protocol.py [--tuned tiny] [--dataset letters] [--methods coop,maple] [--epochs 50]
"""

from __future__ import annotations

import argparse
import itertools

import numpy as np

from bench.engine.loop import train
from bench.engine.member import Diverged, Member
from bench.engine.prediction import collect
from bench.engine.resources import TrialSettings, open_backbone, split_features
from bench.engine.trial import Run, one_thread
from bench.plugins import METHODS
from bench.records.cell import Cell

RATES = (0.002, 0.005, 0.01, 0.02, 0.05)
LADDER = (0.0005, 0.002, 0.005, 0.02, 0.05)  # of --tuned
EPOCHS = (50, 100)
SEEDS = (101, 102, 103)
NAMES = ("digits", "letters")


SETTINGS = TrialSettings()


def prepared(method: str, dataset: str, backbone: str, rate: float, epochs: int, seed: int) -> Member:
    """A cell of the method's default variant without noise, ready to be trained."""
    cell = Cell(
        dataset=dataset, shots=16, noise="none", rate=0.0, method=method, backbone=backbone, seed=seed, epochs=epochs,
        options=METHODS.get(method).Options().model_dump(), batch_size=32, learning_rate=rate, momentum=0.9,
        weight_decay=5e-4, warmup_epochs=1, warmup_learning_rate=1e-5, views=0, eval_every=epochs,
    )  # fmt: skip
    return Run(cell, SETTINGS).prepare()


def accuracy(method: str, dataset: str, backbone: str, rate: float, epochs: int, seed: int) -> float:
    """Accuracy on clean validation images after the last epoch, in percent; 0 where the loss diverged.

    The images are the whole split or, where a method needs them as they are, the 16 of each class that a cell has.
    """
    with one_thread():
        member = prepared(method, dataset, backbone, rate, epochs, seed)
        try:
            train(member)
        except Diverged:
            return 0.0
        inputs, labels = member.data.validation[0], member.data.validation[1].numpy()
        if not member.needs.pixels:
            data = SETTINGS.library.open(dataset)
            inputs = split_features(data, "validation", open_backbone(backbone, "cpu"), member.needs.tokens, SETTINGS)
            labels = data.splits["validation"].labels
        guess = collect(member.method.predict, inputs, member.method.prepare(), member.chunk).argmax(1)
    return 100 * float((guess.numpy() == labels).mean())


def choose_protocol() -> None:
    """Print CoOp's table and the choice for all methods."""
    found: dict[tuple[float, int], float] = {}
    for epochs, rate in itertools.product(EPOCHS, RATES):
        table = [[accuracy("coop", name, "tiny", rate, epochs, seed) for seed in SEEDS] for name in NAMES]
        found[rate, epochs] = float(np.mean(table))
        parts = ", ".join(f"{name} {np.mean(row):.2f}" for name, row in zip(NAMES, table, strict=True))
        print(f"epochs {epochs:3d}, learning rate {rate:<5g}: {found[rate, epochs]:.2f} ({parts})", flush=True)
    rate, epochs = max(found, key=lambda pair: (found[pair], -pair[1], -pair[0]))
    print(f"chosen: {epochs} epochs, learning rate {rate:g}")


def choose_rates(backbone: str, dataset: str, methods: list[str], epochs: int) -> None:
    """Print a learning rate for each method that has parameters, as a table of `bench.toml`."""
    print(f'[tuned."{backbone}"]', flush=True)
    for method in methods:
        if not prepared(method, dataset, backbone, LADDER[0], epochs, SEEDS[0]).parameters:
            continue
        found = {
            rate: np.mean([accuracy(method, dataset, backbone, rate, epochs, seed) for seed in SEEDS[:2]])
            for rate in LADDER
        }
        best = max(found, key=lambda rate: (found[rate], -rate))
        seen = ", ".join(f"{rate:g} {value:.1f}" for rate, value in found.items())
        print(f"{method} = {best:g}".ljust(32) + f" # {seen}", flush=True)


def main() -> None:
    """Choose by the rule that is asked for."""
    parser = argparse.ArgumentParser(description="Choose learning rates from clean data and validation labels.")
    parser.add_argument("--tuned", metavar="BACKBONE", help="choose one for each method")
    parser.add_argument("--dataset", default="letters")
    parser.add_argument("--methods", default=",".join(METHODS), help="names, with commas")
    parser.add_argument("--epochs", type=int, default=50)
    given = parser.parse_args()
    if given.tuned:
        choose_rates(given.tuned, given.dataset, given.methods.split(","), given.epochs)
    else:
        choose_protocol()


if __name__ == "__main__":
    main()
