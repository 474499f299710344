"""Reads stores as tables, writes reports of them, and compares them with a baseline."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from bench.api.axes import configuration
from bench.api.plugins import Files, import_plugins
from bench.errors import BenchError
from bench.execution.plan import Plan
from bench.files import local_path
from bench.records.store import Store
from bench.settings.schema import Config

if TYPE_CHECKING:
    import pandas as pd

    from bench.regression.findings import Comparison

Place: TypeAlias = str | Path | Store
Format: TypeAlias = Literal["latex", "markdown", "csv", "html"]


class Results(Store):
    """A store of records that can be read as pandas tables; see `bench.run` and `bench.load`.

    Args:
        root: folder or URL.
        only: keys of the records that the tables hold; None: all.

    Attributes:
        problems: a line for each file of the store that is no record, by key, gathered while reading.
    """

    def __init__(self, root: str | Path, only: Iterable[str] | None = None) -> None:
        super().__init__(root)
        self._only = None if only is None else tuple(only)

    def frame(self) -> pd.DataFrame:
        """Return a tidy table, one row per cell; empty, without a column, where the store has no record.

        Accuracies ("last", "best", "selected") and shares are in percent, costs in seconds and bytes, absent numbers
        NaN; "status" and "reason" say what did not finish. Of several records of one cell the newest counts; folds,
        which are there for `bench suspects`, are left out. `bench.reports.frame.tidy` names all columns.

        Examples:
            >>> import bench
            >>> frame = bench.load("results").frame()
            >>> frame.groupby(["label", "noise", "rate"])["last"].agg(["mean", "std"])
        """
        return self._tables()[0]

    def curves(self) -> pd.DataFrame:
        """Return the curves of finished cells, one row per cell and epoch; empty where no cell has finished.

        Columns: "key", names as in `frame`, "epoch" (from 0, before training; the last row stands after the method's
        own end of training), and one per quantity: accuracies and shares in percent, losses as they are, absent
        numbers NaN.

        Examples:
            >>> import bench
            >>> curves = bench.load("results").curves()
            >>> curves.pivot_table("memorized", "epoch", "label")
        """
        from bench.reports.frame import wide_curves

        frame, long = self._tables()
        return wide_curves(long, frame)

    def _tables(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        from bench.reports.build import option_defaults
        from bench.reports.frame import curves, tidy

        records = list(self.records(self._only))
        frame = tidy(records, option_defaults({record.cell.method for record in records}))
        return frame, frame if frame.empty else curves(records, frame)


def load(store: str | Path | None = None, *, plugins: Files = (), config: str | Path | None = None) -> Results:
    """Open a store of records that is there.

    Args:
        store: folder or URL; None: the one that the settings name, `results`.
        plugins: Python files that register plugins, whose names and defaults the tables then know.
        config: settings file laid over the packaged ones.

    Raises:
        BenchError: the store does not exist, or a plugin file does not import.

    Examples:
        >>> import bench
        >>> bench.load("results").frame()
    """
    import_plugins(plugins)
    results = opened(store, configuration(config))
    if not results.exists():
        raise BenchError(f'store "{results.root}" does not exist; give the folder or the URL of a run.')
    return results


def report(
    store: Place,
    out: str | Path | None = None,
    *,
    formats: Collection[Format] = (),
    published: bool = False,
    figures: int | None = None,
) -> list[Path]:
    """Write tables and figures of a store, as `bench report` does.

    Args:
        store: folder, URL or store.
        out: folder of the report; None: `report` in that of the store.
        formats: of the tables, "html" being one page with all of them; empty: every one.
        published: whether published numbers are set beside the records.
        figures: about how many are drawn at most, 0 for none; None: as many as `bench report` draws.

    Returns:
        The files written, `report.md` first.

    Raises:
        BenchError: the store does not exist or has no record, a format is unknown, or `out` cannot be written.

    Examples:
        >>> import bench
        >>> bench.report("results", "report", formats=["markdown"], figures=0)[0]
    """
    from bench.reports.build import FORMATS, build_from_store

    root = _root(store)
    if out is None and "://" in root:
        raise BenchError(f'store "{root}" is a URL; name the folder of the report with out=.')
    folder = Path(root).expanduser() / "report" if out is None else local_path(out, "out=")
    return build_from_store(load(root), folder, frozenset(formats) or FORMATS, published, figures)


def compare(
    store: Place,
    baseline: str | Path,
    *,
    planned: Plan | None = None,
    minimum_effect: float = 1.0,
    strict: bool = False,
    partial: bool = False,
) -> Comparison:
    """Compare a store with a baseline that `bench compare --write` has made: which methods are worse, or gone.

    Args:
        store: folder, URL or store.
        baseline: path of the file.
        planned: only records of this plan's cells count, and it tells why a cell is missing; None: all records.
        minimum_effect: percentage points below which a difference is never called worse or better.
        strict: whether what the baseline does not have fails.
        partial: whether what the baseline has may be missing.

    Returns:
        The comparison: `exit_code` is 0 where nothing is worse, `as_json()` says all.

    Raises:
        BenchError: store or baseline cannot be read.
        NothingCompared: baseline and store have no cell in common.

    Examples:
        >>> import bench
        >>> bench.compare("results", "baseline.json", planned=bench.plan("ci")).exit_code
    """
    from bench.regression.findings import GateRules
    from bench.regression.stored import compare_store

    cells = None if planned is None else planned.grid.cells
    rules = GateRules(minimum_effect, strict, partial)
    return compare_store(load(_root(store)), configuration(), Path(baseline).expanduser(), rules, cells)[0]


def opened(store: Place | None, config: Config) -> Results:
    """Return a store, the settings' own where none is named. It need not exist."""
    return Results(config.settings.paths.store if store is None else _root(store))


def _root(store: Place) -> str:
    return store.root if isinstance(store, Store) else str(store)
