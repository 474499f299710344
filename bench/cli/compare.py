"""`bench compare`: the gate as a command, the baseline's making, and the summary for a comment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench import console
from bench.cli.app import AsJson, ConfigFile, Plugins, StoreRoot, examples, verbs
from bench.cli.selection import Selection, writing
from bench.errors import BenchError
from bench.files import local_path, write_whole
from bench.grid.expansion import expand

if TYPE_CHECKING:
    from bench.regression.findings import Comparison

STEP_SUMMARY = "GITHUB_STEP_SUMMARY"

app = verbs()


@app.command(
    "compare",
    epilog=examples(
        "bench compare --baseline baseline.json",
        "bench compare --grid ci --store results/ci --baseline baseline.json --summary summary.md",
        "bench compare --write --baseline baseline.json --store results/ci",
    ),
)
def compare_records(
    baseline: Annotated[str, typer.Option(help="The committed file of accuracies.")],
    grid: Annotated[
        str | None, typer.Option(help="Compare the records of this grid alone; the whole baseline counts.")
    ] = None,
    store: StoreRoot = None,
    write: Annotated[bool, typer.Option("--write", help="Write the baseline from the store instead.")] = False,
    summary: Annotated[
        str | None,
        typer.Option("--summary", "--markdown", help="Also write a Markdown summary, for a comment, to this file."),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Exit with 1 also where a cell or a seed is not in the baseline, or a record is other code's.",
        ),
    ] = False,
    partial: Annotated[
        bool, typer.Option("--partial", help="A partial run: cells and seeds of the baseline may be missing.")
    ] = False,
    minimum_effect: Annotated[
        float, typer.Option(min=0, help="Points of accuracy below which a difference never counts.")
    ] = 1.0,
    json: AsJson = False,
    plugin: Plugins = None,
    config: ConfigFile = None,
) -> int:
    """Compare the records of a store with a baseline; exit code 1 where anything is worse, failed or missing."""
    _check(write, summary is not None or json or strict or partial, minimum_effect)
    from bench.regression.baseline import read_baseline
    from bench.regression.findings import GateRules
    from bench.regression.stored import compare_store, write_store
    from bench.regression.text import markdown, stopped

    selection, file = Selection(grid, None, store, config, plugin), local_path(baseline, "--baseline")
    if write:
        made = write_store(selection.existing(), selection.configuration, file, grid)
        console.line(f"wrote {made.groups} groups of cells to {baseline}, {made.seeds}.")
        for text in made.notes:
            console.warn(text)
        return 0
    try:
        settings = selection.configuration
        read_baseline(file)  # a mistake in it is told before thousands of records are read
        opened = selection.existing()
        planned = expand(settings, grid).cells if grid else None
        rules = GateRules(minimum_effect, strict, partial)
        result, notes = compare_store(opened, settings, file, rules, planned)
    except BenchError as error:
        if summary is not None:
            _summarise(summary, stopped(" ".join(error.lines), error.exit_code))
        raise
    for text in notes:
        console.warn(text)
    _tell(result, json)
    if summary is not None:
        flags = Selection(config=config, plugins=plugin).flags()
        _summarise(summary, markdown(result, baseline, opened.root, grid, flags))
    return result.exit_code


def _check(write: bool, compares: bool, minimum_effect: float) -> None:
    """Reject options that contradict each other; `compares`: whether an option of a comparison was given."""
    if write and compares:
        raise BenchError(
            "--write makes the baseline and compares nothing; leave out --summary, --json, --strict and --partial, or "
            "--write."
        )
    if not 0 <= minimum_effect < 100:
        raise BenchError(
            f"--minimum-effect {minimum_effect:g}: expected a finite number of points of accuracy below 100, such as 1."
        )


def _tell(result: Comparison, json: bool) -> None:
    from bench.regression.text import lines

    if json:
        console.as_json(result.as_json())
        return
    *findings, verdict = lines(result)
    for text in findings:
        console.line(text)
    tell = console.complaint if result.exit_code else console.line
    tell(verdict)


def _summarise(path: str, text: str) -> None:
    """Write the summary; to GitHub's file of a job's summaries it is appended."""
    file = local_path(path, "--summary")
    collected = os.environ.get(STEP_SUMMARY)
    with writing("--summary", path):
        if collected and file == Path(collected):
            with file.open("a", encoding="utf-8") as stream:
                stream.write(text + "\n")
        else:
            write_whole(file, text)
