"""Verbs and options, nothing else. What they do is in `bench.commands`, imported when one is called."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

app = typer.Typer(
    help="Compare prompt-learning methods for CLIP under noisy labels.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    no_args_is_help=True,
)
# typer has its own copy of click or the real one, depending on its version; either way this is the base of its errors.
USAGE_ERRORS: tuple[type[typer.BadParameter], ...] = tuple(
    base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException"
)


class SchedulerName(StrEnum):
    """Schedulers; auto is Ray where more than one worker fits, else local."""

    AUTO = "auto"
    RAY = "ray"
    LOCAL = "local"


Grid = Annotated[str, typer.Option(help="A grid of bench.toml; `bench list grids`.")]
Sets = Annotated[list[str] | None, typer.Option("--set", help="axis=value1,value2; replaces an axis. Repeatable.")]
StoreRoot = Annotated[str | None, typer.Option("--store", help="Folder or URL of records.  [default: results]")]
ConfigFile = Annotated[str | None, typer.Option("--config", help="Settings laid over the packaged ones.")]
Plugins = Annotated[list[str] | None, typer.Option("--plugin", help="Python file that registers plugins. Repeatable.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Retry = Annotated[
    str | None, typer.Option(help="Also run cells that are failed, timeout, out_of_memory, diverged, or all of these.")
]
Workers = Annotated[int | None, typer.Option(min=1, help="Cells at a time.  [default: what fits]")]


@app.command()
def run(
    grid: Grid = "quick",
    sets: Sets = None,
    store: StoreRoot = None,
    scheduler: Annotated[SchedulerName, typer.Option(help="Who runs the workers.")] = SchedulerName.AUTO,
    workers: Workers = None,
    address: Annotated[str | None, typer.Option(help="A running Ray cluster.")] = None,
    retry: Retry = None,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Stop at the first cell that does not finish.")
    ] = False,
    plugin: Plugins = None,
    config: ConfigFile = None,
) -> int:
    """Train the cells of a grid that have no record yet."""
    from bench.commands import Selection, run_grid
    from bench.execute import Request

    selection = Selection(grid, sets or [], store, config, plugin or [], retry)
    return run_grid(selection, Request(scheduler.value, workers, address, fail_fast, tuple(plugin or [])))


@app.command()
def plan(
    grid: Grid = "quick",
    sets: Sets = None,
    store: StoreRoot = None,
    retry: Retry = None,
    workers: Workers = None,
    plugin: Plugins = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> int:
    """Count the cells of a grid that are done, failed and to do, and estimate time, memory and disk."""
    from bench.commands import Selection, show_plan

    return show_plan(Selection(grid, sets or [], store, config, plugin or [], retry), workers, json)


@app.command()
def status(
    grid: Annotated[str | None, typer.Option(help="Count this grid alone.  [default: all that were begun]")] = None,
    store: StoreRoot = None,
    plugin: Plugins = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> int:
    """Count what a store holds, by grid, with the reasons of cells that did not finish."""
    from bench.commands import Selection, show_status

    return show_status(Selection(grid, [], store, config, plugin or []), json)


@app.command()
def report(
    latex: Annotated[bool, typer.Option("--latex", help="Tables as LaTeX.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Tables as Markdown.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Tables as CSV.")] = False,
    out: Annotated[str | None, typer.Option(help="Folder of the report.  [default: report/ in the store]")] = None,
    store: StoreRoot = None,
    plugin: Plugins = None,
    config: ConfigFile = None,
) -> int:
    """Write tables and figures from the records of a store; without a format, all of them."""
    from bench.commands import Selection, write_report

    formats = {name for name, wanted in (("latex", latex), ("markdown", markdown), ("csv", csv)) if wanted}
    return write_report(Selection(None, [], store, config, plugin or []), formats, out)


@app.command()
def compare(
    baseline: Annotated[str, typer.Option(help="The committed file of accuracies.")],
    grid: Annotated[str | None, typer.Option(help="Compare the cells of this grid alone.")] = None,
    store: StoreRoot = None,
    write: Annotated[bool, typer.Option("--write", help="Write the baseline from the store instead.")] = False,
    plugin: Plugins = None,
    config: ConfigFile = None,
) -> int:
    """Hold the records of a store against a baseline; exit code 1 where anything is worse."""
    from bench.commands import Selection, compare_records

    return compare_records(Selection(grid, [], store, config, plugin or []), baseline, write)


@app.command(
    "list", context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
)
def list_(context: typer.Context) -> int:
    """List what is known by name: methods, noise, datasets, backbones, grids."""
    from bench.listing import list_command

    return list_command(context.args)


@app.command("test")
def contract(
    method: Annotated[str, typer.Argument(metavar="PLUGIN", help="A method, a variant, or a Python file of methods.")],
    plugin: Plugins = None,
) -> int:
    """Hold a method against the contract: gradients, reproducibility, leaks, batches, packs; exit code 1 on failure."""
    from bench.contract.run import check_plugin
    from bench.registry import load_plugin_file

    for file in plugin or []:
        load_plugin_file(file)
    return check_plugin(method)


@app.command("config")
def config_(
    grid: Grid = "quick",
    sets: Sets = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> int:
    """Show each value of the settings and where it came from; --set values stand in the grid."""
    from bench.commands import Selection, show_config

    return show_config(Selection(grid, sets or [], None, config, []), json)
