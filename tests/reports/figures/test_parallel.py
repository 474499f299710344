"""Figures by several processes, against one after the other."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from functools import partial
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.reports.document import Drawn
from bench.reports.figures.folder import FigureFolder
from bench.reports.figures.kinds import draw
from bench.reports.figures.parallel import FEW, Job, perform
from bench.reports.frame import curves, tidy
from tests.reports.factory import GRID, grid

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux alone")


def some(folder: Path, number: int) -> list[Drawn]:
    """`number` % 3 figures."""
    made = []
    for part in range(number % 3):
        path = folder / f"{number}-{part}.png"
        path.write_text(str(number))
        made.append(Drawn("k", "s", path.stem, "", (path,)))
    return made


def jobs(folder: Path, count: int) -> list[Job]:
    folder.mkdir()
    return [partial(some, folder, number) for number in range(count)]


def in_a_pool(folder: Path) -> list[str]:
    return [one.name for one in perform(jobs(folder, 2 * FEW), 5, processes=3)[0]]


def test_a_worker_of_a_pool_draws_all_itself(tmp_path: Path):
    """It may have no process of its own."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        drawn = pool.apply(in_a_pool, (tmp_path / "pool",))
    assert drawn == in_a_pool(tmp_path / "here")


@pytest.mark.parametrize("most", [1, 2, 5, 12, 100])
def test_the_same_figures_and_no_file_beyond(tmp_path: Path, most: int):
    alone, done = perform(jobs(tmp_path / "one", 2 * FEW), most)
    together, also = perform(jobs(tmp_path / "two", 2 * FEW), most, processes=3)
    assert [one.name for one in together] == [one.name for one in alone]
    assert also == done
    assert {path.name for path in (tmp_path / "two").iterdir()} == {path.name for path in (tmp_path / "one").iterdir()}


def test_a_report_is_the_same_byte_for_byte(tmp_path: Path):
    records = [r for name in ("digits", "letters", "a_b%") for r in grid(dataset=name, columns=GRID[:2], epochs=3)]
    frame, folders = tidy(records), [tmp_path / "one", tmp_path / "two"]
    left = []
    for number, folder in enumerate(folders):
        folder.mkdir()
        left += draw(frame, curves(records, frame), FigureFolder(folder, ("png",)), most=11, processes=1 + number)[1:]
    one, two = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders)
    assert one == two
    assert left[0] == left[1] != []


def test_what_fails_in_a_process_fails_here(tmp_path: Path):
    def broken() -> list[Drawn]:
        raise ZeroDivisionError("in a panel")

    def killed() -> list[Drawn]:
        os.kill(os.getpid(), signal.SIGKILL)
        return []

    with pytest.raises(ZeroDivisionError, match="in a panel"):
        perform([*jobs(tmp_path / "one", FEW), broken], 100, processes=2)
    with pytest.raises(BenchError, match="a process that draws figures was lost"):
        perform([*jobs(tmp_path / "two", FEW), killed], 100, processes=2)
