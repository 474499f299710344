"""The report of a store: tables, figures and an index, written whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from bench.errors import BenchError
from bench.machine import cpus
from bench.records.record import Record
from bench.reports.chapters.published import published_supplement
from bench.reports.chapters.statistics import statistics_supplement
from bench.reports.document import Supplement, Table
from bench.reports.figures.canvas import Outcomes
from bench.reports.figures.folder import FigureFolder
from bench.reports.figures.kinds import MOST, draw
from bench.reports.frame import Defaults, curves, tidy, written
from bench.reports.front_page import front_page_of, unfinished
from bench.reports.html.page import html_page
from bench.reports.names import AS_IS
from bench.reports.output.latex import latex_report, latex_table
from bench.reports.output.markdown import markdown_report, markdown_table
from bench.reports.staging import fresh_folder
from bench.reports.tables.kinds import KINDS as TABLE_KINDS
from bench.spreadsheet import inert_frame

if TYPE_CHECKING:
    from bench.records.store import Store

FORMATS = frozenset({"latex", "markdown", "csv", "html"})
RENDERERS: dict[str, tuple[str, Callable[[Table], str]]] = {
    "latex": ("tex", latex_table), "markdown": ("md", markdown_table),
}  # fmt: skip
MANIFEST = "files.txt"


def build_from_store(
    store: Store, out: Path, formats: frozenset[str] = FORMATS, published: bool = False, figures: int | None = None
) -> list[Path]:
    """Write the report of a store.

    Args:
        store: afterwards its `problems` name files that were left out.
        out: the report's folder; files of an earlier report in it that are no longer made are removed, others stay.
        formats: of the tables, and "html" for the page, among `FORMATS`; figures and `report.md` are always written.
        published: whether published numbers are set beside the records.
        figures: about how many are drawn at most, `MOST` of None.

    Returns:
        The files written, `report.md` first.

    Raises:
        BenchError: the store has no record, a format is unknown, `figures` is negative, or `out` cannot be written.
    """
    records = list(store.records())
    outcomes = store.outcomes_of(records)
    for record in records if figures != 0 else ():  # here, since figures are drawn by other processes
        outcomes(record.key)
    return build_report(
        records, out, formats, where=store.root, problems=list(store.problems.values()), published=published,
        outcomes=outcomes, figures=figures,
    )  # fmt: skip


def build_report(
    records: Sequence[Record],
    out: Path,
    formats: frozenset[str] = FORMATS,
    *,
    where: str = "the store",
    defaults: Defaults | None = None,
    problems: Sequence[str] = (),
    published: bool = False,
    outcomes: Outcomes | None = None,
    figures: int | None = None,
) -> list[Path]:
    """Write the report of records at hand.

    Args:
        where: how messages name the records' origin.
        problems: a line per file of the store that is no record; named in the index.
        outcomes: per-sample outcomes of a record by its key, for the figures that show them.
        defaults: the methods' default options, which labels leave out; None asks the registry of methods.

    Raises:
        BenchError: as in `build_from_store`.
    """
    if unknown := sorted(formats - FORMATS):
        raise BenchError(f'unknown table format "{unknown[0]}"; expected {", ".join(sorted(FORMATS))}.')
    most = MOST if figures is None else figures
    if most < 0:
        raise BenchError(f"{most} figures cannot be drawn; give --figures 0 for none, or how many at most.")
    if not records:
        raise BenchError(f'no record in "{where}", so there is nothing to report; run `bench run` first.')
    if all(record.cell.fold for record in records):
        raise BenchError(f'"{where}" holds nothing but folds, which no table shows; they are for `bench suspects`.')
    known = option_defaults({r.cell.method for r in records}) if defaults is None else defaults
    frame = tidy(records, known)
    extra = published_supplement(frame, records, known) if published else Supplement()
    with fresh_folder(out.parent, out.name, f'report "{out}"') as fresh:
        _write(records, frame, fresh, formats, problems, extra, outcomes, most)
        return _swap(fresh, out)


def option_defaults(methods: set[str]) -> Defaults:
    """Collect the default options of the registered methods among `methods`."""
    from bench.grid.options import defaults

    return {name: defaults(name) for name in sorted(methods)}


def _write(
    records: Sequence[Record],
    frame: pd.DataFrame,
    folder: Path,
    formats: frozenset[str],
    problems: Sequence[str],
    extra: Supplement,
    outcomes: Outcomes | None,
    most: int,
) -> None:
    for name in ("tables", "figures"):
        (folder / name).mkdir()
    tables = [table for kind in TABLE_KINDS.values() for table in kind.tables(frame)]
    figure_folder = FigureFolder(folder / "figures")
    statistics, ranked = statistics_supplement(frame, figure_folder if most else None)
    extra = Supplement(
        (*statistics.tables, *extra.tables),
        (*statistics.chapters, *extra.chapters),
        {**statistics.files, **extra.files},
    )
    tables += extra.tables
    long = curves(records, frame) if most else pd.DataFrame()
    drawn, left_out = draw(frame, long, figure_folder, outcomes, most, cpus())
    figures = [*drawn, *ranked]
    for table in tables:
        for suffix, render in (RENDERERS[name] for name in formats & RENDERERS.keys()):
            _text(folder / "tables" / f"{table.name}.{suffix}", render(table))
    if "latex" in formats:
        _text(folder / "report.tex", latex_report(tables, figures))
    if "csv" in formats:
        _data(frame, folder / "tables", extra)
    front = front_page_of(frame, tables, figures, extra.chapters, problems=problems, formats=formats, left_out=left_out)
    if "html" in formats:
        _text(folder / "report.html", html_page(frame, records, front))
    _text(folder / "report.md", markdown_report(front))


def _data(frame: pd.DataFrame, folder: Path, extra: Supplement) -> None:
    """Write the numbers as CSV: one row per record, and one file per kind of table over all settings."""
    steps = ["; ".join(f"{term} {n:g}" for term, n in sorted(terms.items())) for terms in frame["steps"]]
    ours = ["steps", "made", "named", "by_noise"]
    files = {
        "records": frame.drop(columns=ours).assign(optimizer_steps=steps, noise=frame["noise"].replace(AS_IS, "none")),
        **{name: kind.numbers(frame) for name, kind in TABLE_KINDS.items()},
        "unfinished": unfinished(frame),
        **extra.files,
    }
    for name, table in files.items():
        if len(table.columns):
            inert_frame(table).to_csv(folder / f"{name}.csv", index=False, float_format=written, lineterminator="\n")


def _swap(fresh: Path, out: Path) -> list[Path]:
    """Move the new files into place, the index last, and remove what an earlier report left and this one lacks."""
    names = sorted(p.relative_to(fresh).as_posix() for p in fresh.rglob("*") if p.is_file())
    _text(fresh / MANIFEST, "\n".join(names) + "\n")
    out.mkdir(exist_ok=True)
    manifest = out / MANIFEST
    earlier = manifest.read_text(encoding="utf-8").splitlines() if manifest.is_file() else []
    for name in sorted([*names, MANIFEST], key=lambda name: (name in (MANIFEST, "report.md"), name)):
        (out / name).parent.mkdir(exist_ok=True)
        (fresh / name).replace(out / name)
    for name in set(earlier) - set(names):
        if (stale := (out / name)).resolve().is_relative_to(out.resolve()):
            stale.unlink(missing_ok=True)
    return [out / "report.md", *(out / name for name in names if name != "report.md")]


def _text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
