"""Texts of a CSV that a spreadsheet would take for formulas.

Names of classes, files and methods are a stranger's, and a cell that begins with "=" is run as a formula by the program
that most people open a CSV with. Such a text has an apostrophe before it, and so has one that has apostrophes already.
Files that this package reads itself (masks) hold texts as they are.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_FORMULA = re.compile(r"'*[=+\-@\t\r].*\w", re.DOTALL)  # signs alone, as of tables, compute nothing


def inert(value: Any) -> Any:
    """Return a value of a CSV, with an apostrophe before it where it would be a formula.

    >>> inert("=1+1"), inert("'=1"), inert("-0.5"), inert(-0.5), inert("one=1"), inert("=*")
    ("'=1+1", "''=1", '-0.5', -0.5, 'one=1', '=*')
    """
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) and not _number(value) else value


def inert_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose texts no spreadsheet computes; columns of numbers are the same ones."""
    texts = frame.select_dtypes(exclude=["number", "bool", "datetime"]).columns
    return frame.assign(**{name: frame[name].map(inert) for name in texts})


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
