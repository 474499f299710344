"""What a paper asks of a report: which numbers, how tables are set, and how figures are drawn."""

from __future__ import annotations

from dataclasses import dataclass

from bench.reports.figures.style import AS_NEEDED, PageStyle
from bench.reports.output.latex import FLOATS, LatexForm
from bench.reports.tables.choice import EVERYTHING, Choice


@dataclass(frozen=True)
class PaperForm:
    """What is shown and how; as it stands, everything in the usual form.

    Attributes:
        sets: texts "axis=v1,v2" as of `bench table --set`: only records with one of these values.
        choice: rows, columns and decimals of tables.
        latex: how LaTeX tables are set.
        page: font and width of figures.
    """

    sets: tuple[str, ...] = ()
    choice: Choice = EVERYTHING
    latex: LatexForm = FLOATS
    page: PageStyle = AS_NEEDED


USUAL = PaperForm()
