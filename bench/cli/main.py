"""The `bench` command: runs a verb and turns errors into one line and an exit code."""

from __future__ import annotations

import gc
import os
import sys
import warnings

from bench import console, streams
from bench.errors import BenchError
from bench.registry import changed
from bench.schedulers.signals import EXIT_INTERRUPTED, supervised

EXIT_USAGE = 2
# New objects, less freed ones, until Python looks for cycles among them; 700 by default. Thousands of records are
# millions of objects without any, through which it would go again and again.
YOUNG_OBJECTS = 50_000


def console_script() -> None:
    """Run the command line on the process's arguments, and exit."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    gc.set_threshold(YOUNG_OBJECTS)
    streams.prepare()
    os.environ["MPLBACKEND"] = "agg"  # figures go to files; a notebook's own backend may not even be importable here
    sys.exit(supervised(lambda: streams.finished(invoke(sys.argv[1:]))))


def invoke(arguments: list[str]) -> int:
    """Run the command line and return the exit code; a user's mistake is one line on the standard error."""
    console.verbosity = console.Verbosity()
    try:
        return _verb(arguments)
    except BenchError as error:
        for text in error.lines:
            console.error(text)
        return error.exit_code
    except KeyboardInterrupt:
        console.error("interrupted; finished cells are kept, and the same command continues from there.")
        return EXIT_INTERRUPTED
    except streams.OutputLost as lost:
        if lost.reason:
            console.error(lost.reason)
        return lost.exit_code
    except SystemExit as error:  # of typer, which has answered a shell's question for completions, or could not
        return EXIT_USAGE if error.code else 0
    finally:
        for origin, names in changed.items():
            console.warn(f"{origin} changed {', '.join(names)} while it was imported; this global state was restored.")
        changed.clear()


def _verb(arguments: list[str]) -> int:
    from bench.cli.app import USAGE_ERRORS, app

    try:
        code = app(arguments, prog_name="bench", standalone_mode=False)
    except USAGE_ERRORS as error:
        console.error(error.format_message() if arguments else "no command given; `bench --help` lists them.")
        return EXIT_USAGE
    if code == EXIT_INTERRUPTED:  # typer turns Ctrl-C into this code
        raise KeyboardInterrupt
    return code if isinstance(code, int) else 0
