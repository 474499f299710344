"""The report of a store: tables, figures and an index, written whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.errors import BenchError
from bench.grid.filters import filtered
from bench.machine import cpus
from bench.records.record import Record
from bench.reports.background import begin
from bench.reports.chapters.published import published_supplement
from bench.reports.chapters.statistics import statistics_supplement
from bench.reports.document import Drawn, Supplement, Table
from bench.reports.frame import Defaults, curves, tidy, written
from bench.reports.front_page import front_page_of, unfinished
from bench.reports.html.page import html_page, page_data
from bench.reports.names import AS_IS
from bench.reports.output.latex import latex_report, latex_table
from bench.reports.output.markdown import markdown_report, markdown_table
from bench.reports.paper import USUAL, PaperForm
from bench.reports.staging import fresh_folder
from bench.reports.tables.kinds import KINDS as TABLE_KINDS
from bench.reports.tables.summary import describe, short_names
from bench.spreadsheet import inert_frame

if TYPE_CHECKING:
    from bench.records.store import Store
    from bench.reports.figures.canvas import Outcomes

FORMATS = frozenset({"latex", "markdown", "csv", "html"})
MANIFEST = "files.txt"
MANY = 1000  # records from which on their part of the page is worth a process of its own
NO_FIGURE = "no figure was drawn, because of --figures 0; without it they are drawn"


def build_from_store(
    store: Store,
    out: Path,
    formats: frozenset[str] = FORMATS,
    published: bool = False,
    figures: int | None = None,
    paper: PaperForm = USUAL,
) -> list[Path]:
    """Write the report of a store.

    Args:
        store: afterwards its `problems` name files that were left out.
        out: the report's folder; files of an earlier report in it that are no longer made are removed, others stay.
        formats: of the tables, and "html" for the page, among `FORMATS`; figures and `report.md` are always written.
        published: whether published numbers are set beside the records.
        figures: about how many are drawn at most, `MOST` of None.
        paper: which numbers, and how they are set.

    Returns:
        The files written, `report.md` first.

    Raises:
        BenchError: the store has no record, a format is unknown, `figures` is negative, `out` cannot be written, or
            `paper` names what is not there.
    """
    records = filtered(list(store.records()), paper.sets, f'store "{store.root}"')
    outcomes = store.outcomes_of(records)
    for record in records if figures != 0 else ():  # here, since figures are drawn by other processes
        outcomes(record.key)
    return build_report(
        records, out, formats, where=store.root, problems=list(store.problems.values()), published=published,
        outcomes=outcomes, figures=figures, paper=paper,
    )  # fmt: skip


@pd.option_context("mode.string_storage", "python")  # pyarrow's texts are slow to ask one by one
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
    paper: PaperForm = USUAL,
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
    if figures is not None and figures < 0:
        raise BenchError(f"{figures} figures cannot be drawn; give --figures 0 for none, or how many at most.")
    if not records:
        raise BenchError(f'no record in "{where}", so there is nothing to report; run `bench run` first.')
    if all(record.cell.fold for record in records):
        raise BenchError(f'"{where}" holds nothing but folds, which no table shows; they are for `bench suspects`.')
    known = option_defaults({r.cell.method for r in records}) if defaults is None else defaults
    frame = paper.choice.of(tidy(records, known))
    paper.page.check()
    extra = published_supplement(frame, records, known) if published else Supplement()
    with fresh_folder(out.parent, out.name, f'report "{out}"') as fresh:
        for name in ("tables", "figures"):
            (fresh / name).mkdir()
        drawn: list[Drawn] = []
        folder, left_out = None, [NO_FIGURE]
        if figures != 0:
            from bench.reports.figures.folder import FigureFolder  # and matplotlib with it
            from bench.reports.figures.kinds import MOST, draw

            folder, most = FigureFolder(fresh / "figures", page=paper.page), MOST if figures is None else figures
            drawn, left_out = draw(frame, curves(records, frame), folder, outcomes, most, cpus())
        page: Callable[[], dict[str, Any]] = partial(page_data, frame, records)
        if "html" in formats and len(records) >= MANY:
            page = begin(page)
        statistics, ranked = statistics_supplement(frame, folder, paper.choice)
        parts = _Parts(frame, page, statistics.joined(extra), (*drawn, *ranked), paper)
        _write(parts, fresh, formats, problems, left_out)
        return _swap(fresh, out)


def option_defaults(methods: set[str]) -> Defaults:
    """Collect the default options of the registered methods among `methods`."""
    from bench.grid.options import defaults

    return {name: defaults(name) for name in sorted(methods)}


@dataclass(frozen=True)
class _Parts:
    """What a report is put together from."""

    frame: pd.DataFrame
    page: Callable[[], dict[str, Any]]
    extra: Supplement
    figures: Sequence[Drawn]
    paper: PaperForm

    @cached_property
    def tables(self) -> list[Table]:
        """All tables, in the order of the report."""
        own = [table for kind in TABLE_KINDS.values() for table in kind.tables(self.frame, self.paper.choice)]
        return [*own, *self.extra.tables]


def _write(
    parts: _Parts, folder: Path, formats: frozenset[str], problems: Sequence[str], left_out: Sequence[str]
) -> None:
    tables, figures, form, names = parts.tables, parts.figures, parts.paper.latex, short_names(parts.frame)
    renderers: dict[str, tuple[str, Callable[[Table], str]]] = {
        "latex": ("tex", lambda table: latex_table(table, form, names)),
        "markdown": ("md", markdown_table),
    }
    for table in tables:
        for suffix, render in (renderers[name] for name in formats & renderers.keys()):
            _text(folder / "tables" / f"{table.name}.{suffix}", render(table))
    if "latex" in formats:
        across = parts.paper.page.width != "column"
        shown = [_in_short(one, parts.frame, names) for one in figures] if form.short else figures
        _text(folder / "report.tex", latex_report(tables, shown, form, names, across))
    if "csv" in formats:
        _data(parts.frame, folder / "tables", parts.extra)
    front = front_page_of(
        parts.frame, tables, figures, parts.extra.chapters, problems=problems, formats=formats, left_out=left_out
    )
    if "html" in formats:
        _text(folder / "report.html", html_page(parts.page(), front))
    _text(folder / "report.md", markdown_report(front))


def _in_short(figure: Drawn, frame: pd.DataFrame, names: Mapping[str, str]) -> Drawn:
    """Name the setting of a figure in its caption by its short name."""
    part = frame[frame["setting"] == figure.setting]
    if part.empty:
        return figure
    return replace(figure, caption=figure.caption.replace(describe(part), names[figure.setting]))


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
