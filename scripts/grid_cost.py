"""What a grid on files costs on a GPU, by arithmetic: operations of a step and of a prediction, times how many.

Matrix products are counted on random weights, at two numbers of classes and two batch sizes on the CPU; cost is linear
in either. What a step costs on the device is then operations over an assumed share of its rate: this is no measurement.
What is left out: image features, which are computed once, the set-up, scores of a method's own in the full pass, and a
phase that only later epochs have.

Usage: python scripts/grid_cost.py [--grid full] [--rate 67e12] [--share 0.3] [--methods coop,maple]
"""

from __future__ import annotations

import argparse
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torch.utils.flop_counter import FlopCounterMode

import bench.data
from bench.clip.backbone import Backbone
from bench.engine.trial import one_thread
from bench.errors import BenchError
from bench.grid.expansion import expand
from bench.perf.workload import Scale, Workload, open_random
from bench.plugins import METHODS
from bench.records.cell import Cell
from bench.settings.schema import load_config

CATALOGUE = Path(bench.data.__file__).parent / "catalogue"
BATCHES, CLASSES, WORDS = (2, 4), (40, 50), 2
COLUMNS = ("method", "GFLOP of a step", "MFLOP of a prediction", "TFLOP of a Caltech101 cell", "cells", "hours")


@dataclass(frozen=True)
class Work:
    """Operations of an epoch's steps by sample, of a prediction by image, and of what predictions share."""

    step: float
    sample: float
    image: float
    shared: float


def counted(method: str, classes: int, backbone: Backbone) -> Work:
    """At one number of classes; a step is what one of `BATCHES` costs, carried on to 32."""
    steps, samples, shared, images = [], [], 0, []
    for size in BATCHES:
        (member,) = Workload(method, Scale(classes, 1, WORDS, size), backbone).members(1)
        member.begin_epoch(1)
        steps.append(0)
        count = 0
        for number in range(len(member.phases)):
            member.open_phase(number)
            member.gather(0)
            with FlopCounterMode(display=False) as counter:
                member.take(0)
            steps[-1] = max(steps[-1], counter.get_total_flops())
            count += member.steps * counter.get_total_flops()
            member.close_phase()
        samples.append(count / classes)
        with FlopCounterMode(display=False) as counter:
            prepared = member.prepare()
        shared = counter.get_total_flops()
        with FlopCounterMode(display=False) as counter:
            member.method.predict(member.data.test.take(slice(0, size)), prepared)
        images.append(counter.get_total_flops())
    few, more = BATCHES
    slope = (steps[1] - steps[0]) / (more - few)
    step = steps[0] + (32 - few) * slope
    return Work(step, step / 32 * samples[0] / (steps[0] / few), (images[1] - images[0]) / (more - few), shared)


def between(one: Work, other: Work, classes: int) -> Work:
    """The straight line through two counts, at some number of classes."""
    part = (classes - CLASSES[0]) / (CLASSES[1] - CLASSES[0])
    pairs = zip(vars(one).values(), vars(other).values(), strict=True)
    return Work(*(first + part * (last - first) for first, last in pairs))


def sizes(dataset: str) -> tuple[int, int]:
    """Classes and test images."""
    name = dataset.partition("[")[0]
    content = tomllib.loads((CATALOGUE / f"{name}.toml").read_text(encoding="utf-8"))["sizes"]["coop"]
    return content["classes"], content["test"]


def operations(cell: Cell, work: Work, classes: int, tested: int) -> float:
    """Of a whole cell: steps, an evaluation of the training set per epoch, the others as often as it says."""
    train, held_out = cell.shots * classes, tested + min(cell.shots, 4) * classes
    often = -(-cell.epochs // cell.eval_every) + 1
    predicted = (cell.epochs + 1) * train + often * held_out
    return cell.epochs * train * work.sample + predicted * work.image + (cell.epochs + 1) * work.shared


def rows(grid: str, methods: list[str], speed: float) -> Iterator[list[str]]:
    """Of each method, at `speed` operations a second, and of all."""
    cells: dict[str, list[Cell]] = defaultdict(list)
    for planned in expand(load_config(), grid).cells:
        cells[planned.cell.method].append(planned.cell)
    backbone = open_random("ViT-B-16", "cpu")
    whole, count = 0.0, 0
    for method in methods or list(METHODS):
        try:
            works = [counted(method, classes, backbone) for classes in CLASSES] if method in cells else []
        except BenchError:
            continue  # trains nothing
        if not works:
            continue
        scales = [(cell, *sizes(cell.dataset)) for cell in cells[method]]
        spent = [operations(cell, between(*works, classes), classes, tested) for cell, classes, tested in scales]
        hours, hundred = sum(spent) / speed / 3600, between(*works, 100)
        cost = operations(cells[method][0], hundred, *sizes("caltech101"))
        whole, count = whole + hours, count + len(spent)
        yield [method, f"{hundred.step / 1e9:,.0f}", f"{hundred.image / 1e6:,.1f}", f"{cost / 1e12:,.0f}",
               str(len(spent)), f"{hours:,.1f}"]  # fmt: skip
    yield ["all of these", "", "", "", str(count), f"{whole:,.1f}"]


def main() -> None:
    """Prints a table in Markdown."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--grid", default="full")
    parser.add_argument("--rate", type=float, default=67e12, help="operations a second; an H200's float32")
    parser.add_argument("--share", type=float, default=0.3, help="of the rate that a step reaches")
    parser.add_argument("--methods", default="")
    given = parser.parse_args()
    print("| " + " | ".join(COLUMNS) + " |\n| --- " + "| ---: " * (len(COLUMNS) - 1) + "|")
    with one_thread():
        for row in rows(given.grid, [m for m in given.methods.split(",") if m], given.rate * given.share):
            print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
