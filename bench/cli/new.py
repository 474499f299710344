"""`bench new`: writes a plugin to start from, with its test and its page."""

from __future__ import annotations

import os
from typing import Annotated, TypeVar, get_args

import typer

from bench import console
from bench.cli.app import examples, verbs
from bench.cli.selection import writing
from bench.errors import BenchError, did_you_mean
from bench.files import local_path, write_whole
from bench.scaffold.starter import Form, Kind, Starter, is_checkout

KINDS: tuple[Kind, ...] = get_args(Kind)
FORMS: tuple[Form, ...] = get_args(Form)

T = TypeVar("T", bound=str)

app = verbs()


@app.command(
    "new",
    epilog=examples(
        "bench new method my-method",
        "bench new noise my-noise --out plugins",
        "bench new loss my-loss --as package",
        "bench new split my-split --as file",
    ),
)
def write_starter(
    kind: Annotated[str, typer.Argument(metavar="|".join(KINDS), autocompletion=lambda: KINDS, help="What it is.")],
    name: Annotated[str, typer.Argument(help="Its name, as in --set method=NAME.")],
    form: Annotated[
        str, typer.Option("--as", metavar="|".join(FORMS), help="[default: checkout in one, else file]")
    ] = "",
    out: Annotated[str, typer.Option(help="Folder to write to.")] = ".",
) -> int:
    """Write a working plugin with its test and its page, to be changed into one's own."""
    root = local_path(out, "--out")
    here = is_checkout(root)
    form = form or ("checkout" if here else "file")
    starter = Starter(_one_of(kind, KINDS, "kind"), name, _one_of(form, FORMS, "form"))
    if form == "checkout" and not here:
        raise BenchError(
            f'"{out}" is no checkout of this project; use --as file or --as package, or name one by --out.'
        )
    files, edits = starter.files(), starter.edits(root)
    for path in files:
        if os.access(root / path, os.F_OK):
            raise BenchError(f'"{root / path}" is there, and nothing was written; choose another name or --out.')
    with writing("--out", out):
        for path, text in {**files, **edits}.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            write_whole(root / path, text)
            console.line(f"{'added a row to' if path in edits else 'wrote'} {root / path}")
    console.line()
    for text in starter.next_steps():
        console.line(text)
    return 0


def _one_of(text: str, known: tuple[T, ...], what: str) -> T:
    for one in known:
        if one == text:
            return one
    raise BenchError(f'bench new: unknown {what} "{text}"; {did_you_mean(text, known)}')
