"""A small file of published numbers, and records of its protocol."""

from __future__ import annotations

from typing import Any

from bench.grid.options import method_options
from bench.records.record import Record
from bench.reports.build import option_defaults
from bench.reports.frame import tidy
from bench.reports.published.match import comparisons
from bench.reports.published.numbers import parse
from tests.reports.factory import cell, record

SMALL = """
dataset = { "Caltech101" = "caltech101", "Elsewhere" = "" }
backbone = { "RN50" = "RN50/openai" }
left_out = []

[method]
"CoOp" = { variant = "coop" }
"GCE" = { variant = "gce-coop[q=0.5]" }
"Theirs" = {}

[doubt]
odd = { text = "odd", note = "ODD" }
void = { text = "never trained", note = "VOID", unusable = true }

[replication]
points = 2.0
published = "main"
rerun = "main"
without = []
cells = 1
mean = 0.0
mean_absolute = 1.8
largest = 5.8

[source.paper]
name = "Paper"
citation = "A. Author"
venue = "CVPR 2030"
arxiv = "3001.00001"

[table.main]
source = "paper"
title = "Table 1"
collected_as = ["paper", "one"]
seen = "paper"
noise = { sym = "symmetric", swap = "replacement" }
split = "coop"
backbone = "RN50"
shots = 16
selection = "last"
augmented = true
precision = "single"
drop_last = false
validation = "clean"
deviation = "population"
budget = { epochs = 50, batch_size = 32, learning_rate = 0.002, optimizer = "sgd", schedule = "cosine", weight_decay = 5e-4 }

[table.again]
source = "paper"
title = "Table 2"
collected_as = ["paper", "two"]
seen = "paper"
noise = { sym = "symmetric" }
split = "coop"
shots = 16
backbone = "RN50"
restates = ["main"]

# ---- Rows, by scripts/collect_published.py; do not edit.
[rows]
main = [
    { dataset = "Caltech101", method = "CoOp", noise = "sym", seeds = 3, rates = [0.25, 0.5], accuracy = [80.0, 70.25], std = [1.0, 0.5] },
    { dataset = "Caltech101", method = "CoOp", noise = "sym", doubt = ["odd"], rates = [0.75], accuracy = [40.0] },
    { dataset = "Caltech101", method = "GCE", noise = "swap", rates = [0.5], accuracy = [77.0] },
    { dataset = "Caltech101", method = "GCE", noise = "sym", doubt = ["void"], rates = [0.5], accuracy = [16.0] },
    { dataset = "Caltech101", method = "Theirs", noise = "sym", rates = [0.5], accuracy = [90.0] },
    { dataset = "Elsewhere", method = "CoOp", noise = "sym", rates = [0.5], accuracy = [50.0] },
]
again = [
    { dataset = "Caltech101", method = "CoOp", noise = "sym", rates = [0.25, 0.375], accuracy = [80.02, 75.0] },
]
"""  # noqa: E501
PLACE = {"dataset": "caltech101", "backbone": "RN50/openai"}


def full(method: str, **given: Any) -> dict[str, Any]:
    return dict(method_options(method, given))


def of(method: str, noise: str, rate: float, last: float, seed: int = 1, **changes: Any) -> Record:
    """A record under the protocol of `SMALL`, with `changes`; accuracy in percent."""
    given = {"options": full(method, **({"q": 0.5} if method == "gce-coop" else {})), "views": 50, **PLACE}
    return record(cell(method, noise, rate, seed, **{**given, **changes}), last / 100)


def thrice(method: str, noise: str, rate: float, last: float, **changes: Any) -> list[Record]:
    """As `of`, of three seeds."""
    return [of(method, noise, rate, last, seed, **changes) for seed in (1, 2, 3)]


def held(records: list[Record], text: str = SMALL) -> list[dict[str, Any]]:
    known = option_defaults({made.cell.method for made in records})
    return comparisons(tidy(records, known), records, parse(text), known).to_dict("records")


def of_number(rows: list[dict[str, Any]], table: str, accuracy: float) -> dict[str, Any]:
    found = [row for row in rows if row["sheet"] == table and row["published"] == accuracy]
    assert len(found) == 1
    return found[0]
