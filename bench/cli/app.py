"""The `bench` command: its verbs, each imported when it is asked for, and the options that they share."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module, metadata
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from bench import console, streams
from bench.errors import BenchError, escape

VERBS = ("run", "plan", "status", "show", "table", "report", "export", "import", "compare", "reproduce", "predict",
         "suspects", "list", "new", "test", "config", "noise", "data", "perf", "doctor")  # fmt: skip
MODULES = {"import": "import_archive"}  # of verbs that cannot be the name of a module
EVERYWHERE = ("quiet", "verbose")  # options of `bench` that may also stand behind a verb
# What help and reference show for values: some versions of typer show Python's types.
METAVARS = {
    "--set": "AXIS=VALUES", "--methods": "NAMES", "--columns": "KIND@RATE", "--retry": "STATUS", "--width": "WIDTH",
    **dict.fromkeys(("--backbone", "--data", "--font", "--grid", "--project", "--wandb"), "NAME"),
    **dict.fromkeys(("--baseline", "--config", "--markdown", "--mlflow", "--out", "--plugin", "--store"), "PATH"),
    "--address": "ADDRESS", "--classes": "NUMBERS", "--device": "NAME", "--mode": "NAME", "--packs": "NUMBERS",
    **dict.fromkeys(("--plot", "--save", "--tensorboard"), "PATH"),
    **dict.fromkeys(("--digits", "--figures", "--minimum-effect", "--pack", "--sheets", "--top"), "NUMBER"),
    **dict.fromkeys(("--repeats", "--workers"), "NUMBER"),
}  # fmt: skip
DEFAULT_GRID = "quick"
EXIT_UNFINISHED = 4
# typer has its own copy of click or the real one, depending on its version; either way this is the base of its errors.
USAGE_ERRORS: tuple[type[typer.BadParameter], ...] = tuple(
    base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException"
)

Grid = Annotated[str, typer.Option(help="A grid of bench.toml; `bench list grids`.")]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", help="axis=value1,value2, or seed=1..5; replaces an axis. Repeatable."),
]
RecordSets = Annotated[
    list[str] | None,
    typer.Option("--set", help="axis=value1,value2; only records with one of these values. Repeatable."),
]
StoreRoot = Annotated[str | None, typer.Option("--store", help="Folder or URL of records.  [default: results]")]
ConfigFile = Annotated[str | None, typer.Option("--config", help="Settings laid over the packaged ones.")]
Plugins = Annotated[list[str] | None, typer.Option("--plugin", help="Python file that registers plugins. Repeatable.")]
Retry = Annotated[
    str | None,
    typer.Option(help="Also run cells of this status again: failed, timeout, out_of_memory, diverged, or all."),
]
Rerun = Annotated[bool, typer.Option("--rerun", help="Also run done cells again that other code or files have made.")]
Workers = Annotated[int | None, typer.Option(min=1, max=10_000, help="Cells at a time.  [default: what fits]")]
PackSize = Annotated[
    int | None, typer.Option("--pack", min=1, max=1000, help="Cells at most in lockstep.  [default: what fits]")
]
Key = Annotated[str, typer.Argument(help="A record of the store, by the beginning of its key.")]
Weights = Annotated[str | None, typer.Option(help="The record's weights, where they have moved.")]


def json_option(text: str = "Print JSON.") -> Any:
    """Create the option `--json`, which keeps the standard output for a program."""

    def keep(asked: bool) -> bool:
        console.verbosity.json |= asked
        if asked:
            streams.reserve()
        return asked

    return typer.Option("--json", callback=keep, help=text)


AsJson = Annotated[bool, json_option()]


class Verbs(TyperGroup):
    """Imports a verb when it is asked for, and gives it the options that may stand anywhere."""

    def list_commands(self, ctx: Any) -> list[str]:
        """List the verbs in the order of the help."""
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import a verb; of an unknown name all, so that the nearest is suggested."""
        for name in (cmd_name,) if cmd_name in VERBS else VERBS:
            if name not in self.commands:
                self.commands[name] = self._equipped(
                    get_command(import_module(f"bench.cli.{MODULES.get(name, name)}").app)
                )
        return self.commands.get(cmd_name)

    def _equipped(self, command: Any) -> Any:
        command.params += [option for option in self.params if option.name in EVERYWHERE]
        for param in command.params:
            param.metavar = param.metavar or METAVARS.get(param.opts[-1])
        for inner in getattr(command, "commands", {}).values():
            self._equipped(inner)
        return command

    def invoke(self, ctx: Any) -> Any:
        """Run the verb; a plugin that exits meanwhile is an error."""
        try:
            return super().invoke(ctx)
        except SystemExit as error:
            raise BenchError(
                f"{escape(error)} during the command; a plugin must not end the process, raise an error."
            ) from error


def examples(*lines: str) -> str:
    """Format command lines as the end of a help text."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


def verbs(text: str | None = None, epilog: str | None = None) -> typer.Typer:
    """Create an app for a verb, or for several with a text on all of them."""
    return typer.Typer(help=text, epilog=epilog, add_completion=False, rich_markup_mode=None)


def _flag(name: str, callback: Callable[[bool], None], text: str, is_eager: bool = False) -> Any:
    return typer.Option(name, callback=callback, expose_value=False, is_eager=is_eager, help=text)


def _version(asked: bool) -> None:
    if asked:
        console.result(f"noisy-prompt-bench {metadata.version('noisy-prompt-bench')}")
        raise typer.Exit


def _quiet(asked: bool) -> None:
    _say(quiet=asked)


def _verbose(asked: bool) -> None:
    _say(verbose=asked)


def _say(quiet: bool = False, verbose: bool = False) -> None:
    console.verbosity.quiet |= quiet
    console.verbosity.verbose |= verbose
    if console.verbosity.quiet and console.verbosity.verbose:
        raise BenchError("--quiet says less and --verbose says more; leave out one of the two.")


app = typer.Typer(
    cls=Verbs,
    epilog=examples("bench run", "bench run --grid embedded --quiet", "bench list methods", "bench report --html"),
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    no_args_is_help=True,
)


@app.callback()
def bench(
    version: Annotated[bool, _flag("--version", _version, "Print the version.", is_eager=True)] = False,
    quiet: Annotated[
        bool, _flag("--quiet", _quiet, "No progress, tables and remarks; still errors, notes, JSON and CSV.")
    ] = False,
    verbose: Annotated[
        bool,
        _flag("--verbose", _verbose, "Also where settings and store come from, and a line per cell as it ends."),
    ] = False,
) -> None:
    """Compare prompt-learning methods for CLIP under noisy labels."""
