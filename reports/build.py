"""The report of a store: tables, figures and an index, written whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
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
from bench.reports.figures.kinds import MOST, Drawn, draw
from bench.reports.frame import Defaults, curves, tidy, written
from bench.reports.front_page import front_page_of, unfinished
from bench.reports.html.page import html_page
from bench.reports.names import AS_IS, UNCHANGED
from bench.reports.output.latex import escape_latex, latex_table
from bench.reports.output.markdown import markdown_report, markdown_table
from bench.reports.tables.accuracy import accuracy_tables
from bench.reports.tables.cost import cost_frame, cost_tables
from bench.reports.tables.summary import summarize
from bench.reports.tables.training import MEASURES, WITHOUT_TRUTH, agreement_tables, memorization_tables

if TYPE_CHECKING:
    from bench.records.store import Store

FORMATS = frozenset({"latex", "markdown", "csv", "html"})
MANIFEST = "files.txt"
# Figures stand in LaTeX at the size they were drawn for, smaller only where the page ends.
SHOWN = r"""\newcommand{\shown}[1]{\sbox0{\includegraphics{#1}}%
  \ifdim\ht0>0.8\textheight\sbox0{\includegraphics[height=0.8\textheight]{#1}}\fi
  \ifdim\wd0>\linewidth\includegraphics[width=\linewidth]{#1}\else\usebox0\fi}"""


def build_from_store(
    store_root: str | Store,
    out: Path,
    formats: frozenset[str] = FORMATS,
    published: bool = False,
    figures: int | None = None,
) -> list[Path]:
    """Write the report of a store.

    Args:
        store_root: the store, or its folder or URL; afterwards its `problems` name files that were left out.
        out: the report's folder; files of an earlier report in it that are no longer made are removed, others stay.
        formats: of the tables, and "html" for the page, among `FORMATS`; figures and `report.md` are always written.
        published: whether published numbers are set beside the records.
        figures: about how many are drawn at most, `MOST` of None.

    Returns:
        The files written, `report.md` first.

    Raises:
        BenchError: the store has no record, a format is unknown, `figures` is negative, or `out` cannot be written.
    """
    from bench.records.store import Store

    store = store_root if isinstance(store_root, Store) else Store(store_root)
    records = list(store.records())
    outcomes = store.outcomes_of(records)
    for record in records if figures != 0 else ():  # here, since figures are drawn by other processes
        outcomes(record.key)
    problems = list(store.problems.values())
    return build_report(
        records, out, formats,
        where=store.root, problems=problems, published=published, outcomes=outcomes, figures=figures,
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
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{out.name}-", suffix=".tmp", dir=out.parent))
    except OSError as error:
        raise BenchError(
            f'report "{out}" cannot be written: {error.strerror}; give --out a writable folder.'
        ) from error
    try:
        _write(records, frame, fresh, formats, problems, extra, outcomes, most)
        return _swap(fresh, out)
    except OSError as error:
        raise BenchError(
            f'report "{out}" cannot be written: {error.strerror}; give --out a writable folder.'
        ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


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
    tables = [*accuracy_tables(frame), *memorization_tables(frame), *agreement_tables(frame), *cost_tables(frame)]
    statistics, ranked = statistics_supplement(frame, folder / "figures" if most else None)
    extra = Supplement(
        (*statistics.tables, *extra.tables),
        (*statistics.chapters, *extra.chapters),
        {**statistics.files, **extra.files},
    )
    tables += extra.tables
    left_out: list[str] = []
    long = curves(records, frame) if most else pd.DataFrame()
    figures = [*draw(frame, long, folder / "figures", outcomes, left_out, most, cpus()), *ranked]
    renderers: dict[str, tuple[str, Callable[[Table], str]]] = {
        "latex": ("tex", latex_table),
        "markdown": ("md", markdown_table),
    }
    for suffix, renderer in (renderers[name] for name in sorted(formats & renderers.keys())):
        for table in tables:
            _text(folder / "tables" / f"{table.name}.{suffix}", renderer(table))
    if "latex" in formats:
        _text(folder / "report.tex", _driver(tables, figures))
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
    records = frame.drop(columns=ours).assign(optimizer_steps=steps, noise=frame["noise"].replace(AS_IS, "none"))
    noisy = frame["truth"] & ~frame["noise"].isin(UNCHANGED)
    files = {
        "records": records,
        "accuracy": summarize(frame),
        "memorization": _measures(frame[noisy], MEASURES),
        "agreement": _measures(frame[~frame["truth"]], WITHOUT_TRUTH),
        "cost": cost_frame(frame),
        "unfinished": unfinished(frame),
        **extra.files,
    }
    for name, table in files.items():
        if name not in ("memorization", "agreement") or len(table):
            table.to_csv(folder / f"{name}.csv", index=False, float_format=written, lineterminator="\n")


def _measures(rows: pd.DataFrame, measures: Iterable[str]) -> pd.DataFrame:
    """Stack summaries of measures on training samples; empty where no row is given."""
    return pd.concat([summarize(rows, m).assign(measure=m) for m in measures if len(rows)] or [rows], ignore_index=True)


def _driver(tables: Sequence[Table], figures: Sequence[Drawn]) -> str:
    r"""Write a LaTeX document that shows every table and figure; the tables themselves need booktabs alone."""
    body = [rf"\input{{tables/{table.name}.tex}}" for table in tables]
    body += [
        "\n".join(
            [
                r"\begin{figure}[htbp]\centering",
                rf"\shown{{figures/{figure.name}.pdf}}",
                rf"\caption{{{escape_latex(figure.caption)}}}",
                r"\end{figure}",
            ]
        )
        for figure in figures
    ]
    # LaTeX holds back a limited number of floats, so they are flushed now and then.
    pages = [part + (r"\clearpage" if number % 6 == 5 else "") for number, part in enumerate(body)]
    head = [r"\documentclass{article}", r"\usepackage[margin=0.8in]{geometry}", r"\usepackage{booktabs,graphicx}"]
    return "\n".join([*head, SHOWN, r"\begin{document}", *pages, r"\end{document}", ""])


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
