"""Write the rows of `reports/published/numbers.toml` from the collection of published figures.

The collection is a CSV file with the columns source, table, dataset, noise_type, noise_rate, shots, backbone, method,
accuracy, std, note. The first part of the TOML file, which says what its names, tables and notes stand for, is kept as
it is. A name or a note that it does not explain stops the script, so that nothing is dropped in silence.

Usage: python scripts/collect_published.py COLLECTION.csv [reports/published/numbers.toml]
"""

from __future__ import annotations

import csv
import json
import re
import sys
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any

from bench.files import write_whole
from bench.reports.published.numbers import FILE, parse

MARK = "# ---- Rows, by scripts/collect_published.py; do not edit.\n"
UNSTATED = ("", "unstated")
SPLIT = re.compile(r"; (?![^()]*\))")  # a semicolon within brackets does not end a remark
# Remarks that the first part of the file already holds: where the numbers were seen, the protocol, the spread.
EXPLAINED = (
    r"(seen in )?full-text copy of .*", r"that table says all non-TecoPrompt rows .*", r"1-decimal restatement",
    r"as quoted in three independent copies .*", r"primary PDF not seen", r"THIRD-PARTY RUN LOGS?, not a publication",
    r"noise made by replacing \d+ of 16 images per class .*", r"\d+ epochs(, lr .*)?", r"seed 1, \d+ epochs, .*",
    r"\d seeds", r"OT-clean precision .*", r"2-decimal cell as quoted .*", r"quoted in a third-party reading note",
    r"72\.44 and 85\.12 also .*", r"unpublished student project", r"third-party README",
    r"rest of this row .* are lost in the copy", r"CONFLICT with other quotes .*", r"65\.63 also quoted .*",
    r"papernotes\.org ablation table", r"total 8100 correct 388",
)  # fmt: skip


def collect(collection: str, file: str) -> str:
    """The text of the TOML file `file` with its rows replaced by those of the CSV text `collection`.

    Raises:
        SystemExit: with a line that says which name or remark is not explained.
    """
    head = file.partition(MARK)[0].rstrip() + "\n\n"
    known = tomllib.loads(head)
    groups: dict[str, dict[str, list[dict[str, str]]]] = {name: defaultdict(list) for name in known["table"]}
    names = {tuple(table["collected_as"]): name for name, table in known["table"].items()}
    left_out = {_place(row) for row in known["left_out"]}
    for row in csv.DictReader(collection.splitlines()):
        if _place(row) in left_out:
            continue
        name = names.get((row["source"], row["table"]))
        if name is None:
            raise SystemExit(f'table "{row["table"]}" of "{row["source"]}" is not described; add it to the file.')
        fields = _fields(row, known["table"][name], known["doubt"])
        groups[name][", ".join(f"{key} = {value}" for key, value in fields.items())].append(row)
    body = "".join(f"{name} = [\n{''.join(map(_line, rows.items()))}]\n" for name, rows in groups.items())
    return f"{head}{MARK}[rows]\n{body}"


def _place(row: dict[str, Any]) -> tuple[str, ...]:
    return (*(str(row[key]) for key in ("source", "table", "dataset", "method")), f"{float(row['accuracy']):g}")


def _fields(row: dict[str, str], table: dict[str, Any], doubts: dict[str, dict[str, Any]]) -> dict[str, str]:
    """What the rates of one line share, as TOML."""
    note = row["note"]
    doubt = [name for name, one in doubts.items() if one["note"] in note]
    _explained(note, [doubts[name]["note"] for name in doubt])
    epochs, seeds = re.search(r"(\d+) epochs", note), re.search(r"(\d) seeds", note)
    fields = {"dataset": json.dumps(row["dataset"]), "method": json.dumps(row["method"])}
    if row["noise_type"] not in UNSTATED:
        fields["noise"] = json.dumps(row["noise_type"])
    if row["shots"] != str(table.get("shots", "")):
        fields["shots"] = row["shots"]
    if row["backbone"] not in (*UNSTATED, table.get("backbone", "")):
        fields["backbone"] = json.dumps(row["backbone"])
    if epochs:
        fields["epochs"] = epochs[1]
    if seeds or "; seed 1," in note:
        fields["seeds"] = seeds[1] if seeds else "1"
    if doubt:
        fields["doubt"] = json.dumps(doubt)
    return fields


def _explained(note: str, doubts: list[str]) -> None:
    for remark in SPLIT.split(note):
        if not any(doubt in remark for doubt in doubts) and not any(re.fullmatch(known, remark) for known in EXPLAINED):
            raise SystemExit(f'the remark "{remark}" is not explained; add a [doubt] to the file, or to EXPLAINED.')


def _line(item: tuple[str, list[dict[str, str]]]) -> str:
    fields, rows = item
    lists = {
        "rates": [row["noise_rate"] for row in rows if row["noise_rate"]],
        "accuracy": [row["accuracy"] for row in rows],
        "std": [row["std"] for row in rows if row["std"]],
    }
    texts = [f"{key} = [{', '.join(map(_float, values))}]" for key, values in lists.items() if values]
    return f"    {{ {', '.join([fields, *texts])} }},\n"


def _float(text: str) -> str:
    return text if "." in text else f"{text}.0"


def main(collection: str, file: str = str(FILE)) -> None:
    """Rewrite the file, if what comes out is valid."""
    target = Path(file)
    text = collect(Path(collection).read_text(encoding="utf-8"), target.read_text(encoding="utf-8"))
    parse(text)
    write_whole(target, text)
    print(f"{target}: {len(text.encode()) / 1024:.0f} KiB")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
