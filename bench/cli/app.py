"""Verbs and options, nothing else. What they do is in `bench.cli.commands`, imported when one is called."""

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
Rerun = Annotated[
    bool, typer.Option("--rerun", help="Also run done cells anew that other code, or other files, have made.")
]
Workers = Annotated[int | None, typer.Option(min=1, max=10_000, help="Cells at a time.  [default: what fits]")]


@app.command()
def run(
    grid: Grid = "quick",
    sets: Sets = None,
    store: StoreRoot = None,
    scheduler: Annotated[SchedulerName, typer.Option(help="Who runs the workers.")] = SchedulerName.AUTO,
    workers: Workers = None,
    address: Annotated[str | None, typer.Option(help="A running Ray cluster.")] = None,
    retry: Retry = None,
    rerun: Rerun = False,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Stop at the first cell that does not finish.")
    ] = False,
    plugin: Plugins = None,
    config: ConfigFile = None,
) -> int:
    """Train the cells of a grid that have no record yet."""
    from bench.cli.commands import Selection, run_grid
    from bench.execution.execute import Request

    selection = Selection(grid, sets or [], store, config, plugin or [], retry)
    return run_grid(selection, Request(scheduler.value, workers, address, fail_fast, tuple(plugin or []), rerun))


@app.command()
def plan(
    grid: Grid = "quick",
    sets: Sets = None,
    store: StoreRoot = None,
    retry: Retry = None,
    rerun: Rerun = False,
    workers: Workers = None,
    plugin: Plugins = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> int:
    """Count the cells of a grid that are done, failed and to do, and estimate time, memory and disk."""
    from bench.cli.commands import Selection, show_plan

    return show_plan(Selection(grid, sets or [], store, config, plugin or [], retry), workers, json, rerun)


@app.command()
def status(
    grid: Annotated[str | None, typer.Option(help="Count this grid alone.  [default: all that were begun]")] = None,
    store: StoreRoot = None,
    plugin: Plugins = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> int:
    """Count what a store holds, by data set, noise and method, and how far the grids are that were begun."""
    from bench.cli.commands import Selection
    from bench.cli.status import show_status

    return show_status(Selection(grid, [], store, config, plugin or []), json)


@app.command()
def show(
    key: Annotated[str, typer.Argument(help="A record of the store, by the beginning of its key.")],
    store: StoreRoot = None,
    plugin: Plugins = None,
    config: ConfigFile = None,
    json: Annotated[bool, typer.Option("--json", help="Print the record itself.")] = False,
) -> int:
    """Tell what a record holds: cell, accuracies, curve, labels, provenance, and how to make it again."""
    from bench.cli.commands import Selection
    from bench.cli.show import show_record

    return show_record(Selection(None, [], store, config, plugin or []), key, json)


@app.command()
def table(
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", help="axis=value1,value2; only records with one of these values. Repeatable."),
    ] = None,
    grid: Annotated[str | None, typer.Option(help="Only records of cells of this grid.")] = None,
    store: StoreRoot = None,
    plugin: Plugins = None,
    config: ConfigFile = None,
) -> int:
    """Show the table that `run` ends with, of the records that a store holds."""
    from bench.cli.commands import Selection
    from bench.cli.show import show_table

    return show_table(Selection(grid, [], store, config, plugin or []), sets or [])


@app.command()
def report(
    latex: Annotated[bool, typer.Option("--latex", help="Tables as LaTeX.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Tables as Markdown.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Tables as CSV.")] = False,
    html: Annotated[bool, typer.Option("--html", help="One HTML file: tables, curves and a page per cell.")] = False,
    published: Annotated[
        bool, typer.Option("--published", help="Also set published numbers beside the records, where they compare.")
    ] = False,
    figures: Annotated[
        int | None,
        typer.Option(
            min=0, max=100_000, help="About how many figures at most; 0 for none, which is quick.  [default: 100]"
        ),
    ] = None,
    out: Annotated[str | None, typer.Option(help="Folder of the report.  [default: report/ in the store]")] = None,
    store: StoreRoot = None,
    plugin: Plugins = None,
    config: ConfigFile = None,
) -> int:
    """Write tables and figures from the records of a store; without a format, all of them."""
    from bench.cli.commands import Selection, write_report

    chosen = {"latex": latex, "markdown": markdown, "csv": csv, "html": html}
    formats = {name for name, wanted in chosen.items() if wanted}
    return write_report(Selection(None, [], store, config, plugin or []), formats, out, published, figures)


@app.command()
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
    from bench.cli.commands import Selection
    from bench.cli.compare import Gate, compare_records

    selection = Selection(grid, [], store, config, plugin or [])
    return compare_records(selection, Gate(baseline, write, summary, strict, partial, minimum_effect, json))


@app.command()
def reproduce(
    key: Annotated[str, typer.Argument(help="A record of the store, by the beginning of its key.")],
    store: StoreRoot = None,
    data: Annotated[str | None, typer.Option(help="Your own images, where they have moved: folder:PATH.")] = None,
    backbone: Annotated[str | None, typer.Option(help="The record's weights, where they have moved.")] = None,
    cached: Annotated[
        bool, typer.Option("--cached", help="Take image features from the cache; without it all are encoded again.")
    ] = False,
    plugin: Plugins = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> int:
    """Run one record again from what it says of itself; exit code 1 where any bit differs. The store is only read."""
    from bench.cli.commands import Selection
    from bench.cli.reproduce import show_reproduction
    from bench.reproduce.rerun import Asked

    return show_reproduction(Selection(None, [], store, config, plugin or []), Asked(key, data, backbone, cached), json)


@app.command()
def predict(
    key: Annotated[str, typer.Argument(help="A record of the store, by the beginning of its key.")],
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Images, and folders of images.")],
    store: StoreRoot = None,
    top: Annotated[int, typer.Option(min=1, max=1_000_000, help="Labels for each image.")] = 1,
    out: Annotated[str | None, typer.Option(help="File of the CSV.  [default: the standard output]")] = None,
    backbone: Annotated[str | None, typer.Option(help="The record's weights, where they have moved.")] = None,
    plugin: Plugins = None,
    config: ConfigFile = None,
) -> int:
    """Apply the prompts that a record has kept to images: path, rank, label and probability as CSV."""
    from bench.cli.commands import Selection
    from bench.cli.predict import Question
    from bench.cli.predict import predict as answer

    return answer(Selection(None, [], store, config, plugin or []), Question(key, paths, top, out, backbone))


@app.command()
def suspects(
    grid: Annotated[str | None, typer.Option(help="Ask the records of this grid alone.  [default: all]")] = None,
    sets: Sets = None,
    store: StoreRoot = None,
    out: Annotated[
        str | None, typer.Option(help="Folder of the CSV and sheets.  [default: suspects/ in the store]")
    ] = None,
    top: Annotated[int, typer.Option(min=0, max=100_000, help="Images on contact sheets; the CSV has all.")] = 48,
    data: Annotated[str | None, typer.Option(help="Where the images are now, for example folder:PATH.")] = None,
    plugin: Plugins = None,
    config: ConfigFile = None,
) -> int:
    """Rank training samples whose labels are probably wrong: a CSV, and contact sheets of the first."""
    from bench.cli.commands import Selection
    from bench.cli.suspects import Asked, show_suspects

    return show_suspects(Selection(grid, sets or [], store, config, plugin or []), Asked(out, top, data))


@app.command(
    "list", context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
)
def list_(context: typer.Context) -> int:
    """List what is known by name: methods, noise, datasets, backbones, grids."""
    from bench.cli.list import list_command

    return list_command(context.args)


@app.command("test")
def contract(
    method: Annotated[str, typer.Argument(metavar="PLUGIN", help="A method, a variant, or a Python file of methods.")],
    plugin: Plugins = None,
) -> int:
    """Hold a method against the contract: gradients, reproducibility, leaks, batches, packs; exit code 1 on failure."""
    from bench.registry import load_plugin_file
    from bench.testing.run import check_plugin

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
    from bench.cli.commands import Selection, show_config

    return show_config(Selection(grid, sets or [], None, config, []), json)


noise = typer.Typer(help="What the cells of a grid are given: labels shown, drawn, and written as files.")
app.add_typer(noise, name="noise")


@noise.command("show")
def noise_show(
    grid: Grid = "quick",
    sets: Sets = None,
    out: Annotated[str | None, typer.Option(help="Folder for figures and their data.  [default: none drawn]")] = None,
    plugin: Plugins = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> int:
    """Show the label noise of a grid's cells: rates, classes, confusions, digests; with --out as figures too."""
    from bench.cli.commands import Selection
    from bench.cli.noise import show_noise

    return show_noise(Selection(grid, sets or [], None, config, plugin or []), out, json)


@noise.command("export")
def noise_export(
    out: Annotated[str, typer.Option(help="The CSV file to write.")],
    grid: Grid = "quick",
    sets: Sets = None,
    plugin: Plugins = None,
    config: ConfigFile = None,
) -> int:
    """Write one labelling as a mask: image path, true and observed label; noise "mask[file=FILE]" replays it."""
    from bench.cli.commands import Selection
    from bench.cli.noise import export_mask

    return export_mask(Selection(grid, sets or [], None, config, plugin or []), out)


data = typer.Typer(help="Data sets in files: what is there, getting what is not, and whether it is as it should be.")
app.add_typer(data, name="data")
Names = Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Data sets; `bench data list`.")]
Mode = Annotated[str | None, typer.Option(help="coop or tv, of all that are named without a mode of their own.")]


@data.command("list")
def data_list(plugin: Plugins = None, config: ConfigFile = None, json: AsJson = False) -> int:
    """List the data sets with their sizes, modes and state: embedded, ready, missing, or in need of your hand."""
    from bench.cli.data import Wanted, list_data

    return list_data(Wanted((), None, config, plugin or []), json)


@data.command("prepare")
def data_prepare(
    names: Names = None,
    mode: Mode = None,
    again: Annotated[bool, typer.Option("--again", help="Fetch and unpack also archives that are in place.")] = False,
    plugin: Plugins = None,
    config: ConfigFile = None,
) -> int:
    """Fetch and unpack what data sets lack; exit code 4 where something is left to do by hand."""
    from bench.cli.data import Wanted, prepare_data

    return prepare_data(Wanted(names or [], mode, config, plugin or []), again)


@data.command("verify")
def data_verify(names: Names = None, mode: Mode = None, plugin: Plugins = None, config: ConfigFile = None) -> int:
    """Hold data sets against what is known of them and decode every image; without a name, all that are ready."""
    from bench.cli.data import Wanted, verify_data

    return verify_data(Wanted(names or [], mode, config, plugin or []))
