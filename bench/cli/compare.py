"""`bench compare`: the gate as a command, the baseline's making, and the summary for a comment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench import console
from bench.cli.app import AsJson, ConfigFile, Plugins, StoreRoot, examples, verbs
from bench.cli.selection import Selection
from bench.errors import BenchError
from bench.files import write_whole

if TYPE_CHECKING:
    from bench.regression.findings import Comparison

STEP_SUMMARY = "GITHUB_STEP_SUMMARY"

app = verbs()


@app.command(
    epilog=examples(
        "bench compare --baseline baseline.json",
        "bench compare --grid ci --store results/ci --baseline baseline.json --summary summary.md",
        "bench compare --write --baseline baseline.json --store results/ci",
    )
)
def compare(
    baseline: Annotated[str, typer.Option(help="The committed file of accuracies.")],
    grid: Annotated[
        str | None, typer.Option(help="Look at the records of this grid alone; the whole baseline counts.")
    ] = None,
    store: StoreRoot = None,
    write: Annotated[bool, typer.Option("--write", help="Write the baseline from the store instead.")] = False,
    summary: Annotated[
        str | None,
        typer.Option("--summary", "--markdown", help="Also write a Markdown summary, for a comment, to this file."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 also where a cell or a seed is not in the baseline.")
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
    """Hold the records of a store against a baseline; exit code 1 where anything is worse, failed or missing."""
    _check(write, summary is not None or json or strict or partial, minimum_effect)
    from bench.regression.baseline import read_baseline
    from bench.regression.findings import GateRules
    from bench.regression.stored import compare_store, write_store
    from bench.regression.text import markdown, stopped

    selection, file = Selection(grid, None, store, config, plugin), Path(baseline)
    if write:
        settings = selection.load()
        made = write_store(selection.existing(settings), settings, file, grid)
        console.line(f"wrote {made.groups} groups of cells to {baseline}, {made.seeds}.")
        for text in made.notes:
            console.warn(text)
        return 0
    try:
        settings = selection.load()
        read_baseline(file)  # told before a store that may hold thousands of records is read
        opened = selection.existing(settings)
        rules = GateRules(minimum_effect, strict, partial)
        result, notes = compare_store(opened, settings, file, grid, rules)
    except BenchError as error:
        if summary is not None:
            _summarise(summary, stopped(" ".join(error.lines), error.exit_code))
        raise
    for text in notes:
        console.warn(text)
    _tell(result, json)
    if summary is not None:
        _summarise(summary, markdown(result, baseline, opened.root, grid))
    return result.exit_code


def _check(write: bool, compares: bool, minimum_effect: float) -> None:
    """Refuse options that contradict each other; `compares` is whether any of a comparison was given."""
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
    """The findings; the last line is the verdict."""
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
    """Write the summary whole or not at all; it is added to the file that GitHub collects a job's summaries in."""
    file = Path(path).expanduser()
    collected = os.environ.get(STEP_SUMMARY)
    try:
        if collected and file == Path(collected):
            with file.open("a", encoding="utf-8") as stream:
                stream.write(text + "\n")
        else:
            write_whole(file, text)
    except OSError as error:
        raise BenchError(f'--summary "{path}" cannot be written: {error.strerror}; give the path of a file.') from error
