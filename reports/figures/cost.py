"""What a method costs against what it reaches."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.reports.document import Drawn
from bench.reports.figures.canvas import Scope, seeds_text, small
from bench.reports.figures.panels import legend, legend_height, level, logarithmic
from bench.reports.figures.style import Look
from bench.reports.frame import anchored
from bench.reports.tables.cost import cost_frame

AXES = {"seconds": "Seconds per cell", "forward_passes": "Forward passes per cell"}


def cost_figures(scope: Scope) -> Iterator[Drawn]:
    """Draw mean accuracy over the noise columns that every row has, against seconds and passes."""
    found = cost_frame(scope.part).merge(_spread(scope.part), on="label", how="left")
    found = found[found["label"].isin(list(scope.looks)) & found["accuracy"].notna()]
    costs = [name for name in AXES if (found[name] > 0).sum() > 1]
    if len(found) < 2 or not costs:
        return
    width, across = scope.page.inches(wide=True), scope.page.across(len(costs))
    height = 2.2 * len(costs) / across + legend_height(scope.looks, width)
    figure = Figure(figsize=(width, height), layout="constrained")
    grid = figure.subplots(len(costs) // across, across, squeeze=False, sharey=True)
    panels = list(grid.flat)
    for axes, name in zip(panels, costs, strict=True):
        _panel(axes, found, name, scope.looks)
    for axes in grid[:, 0]:
        axes.set_ylabel(f"{scope.measure} (%)")
    legend(figure, panels, scope.looks)
    common = int(found["common_columns"].max())
    over = "the one noise column" if common == 1 else f"the {common} noise columns"
    caption = (
        f". {scope.measure} after the last epoch, the mean over {over} that every row has, against the cost of a "
        f"cell (mean over its finished cells; logarithmic). {seeds_text(found['seeds'])}; bars: ± sample standard "
        f"deviation of {small(scope.measure)} over seeds; dotted: a row that trains nothing. Seconds hold for the "
        "machines in the records' provenance only."
    )
    terms = [str(name) for name in found.columns if str(name).startswith("steps_")]
    yield scope.save(figure, [found.drop(columns=terms)], "cost", caption)


def _panel(axes: Axes, found: pd.DataFrame, cost: str, looks: dict[str, Look]) -> None:
    for row in found.to_dict("records"):
        look = looks[str(row["label"])]
        if not row["trained_parameters"] > 0 and not look.marker:
            level(axes, str(row["label"]), float(row["accuracy"]))
        elif row[cost] > 0:
            axes.errorbar(
                [row[cost]], [row["accuracy"]], yerr=[row["sd"]], label=str(row["label"]), marker=look.marker or "o",
                markersize=5, capsize=1.5, elinewidth=0.8, capthick=0.8, **{**look.line(), "linestyle": "none"},
            )  # fmt: skip
    logarithmic(axes)
    axes.set_xlabel(AXES[cost])


def _spread(part: pd.DataFrame) -> pd.DataFrame:
    """Compute, by label, the seeds that have all common noise columns, and the sd of their means."""
    done = anchored(part).query("status == 'done' and last == last")
    table = done.pivot_table(index=["label", "seed"], columns=["noise", "rate"], values="last", observed=True)
    common = table.columns[table.groupby("label").count().gt(0).all()]
    means = table[common].dropna().mean(axis=1).groupby("label")
    return pd.DataFrame({"seeds": means.count(), "sd": means.std()}).reset_index()
