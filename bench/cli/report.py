"""`bench report`: tables and figures of a store as files."""

from __future__ import annotations

from typing import Annotated

import typer

from bench import console
from bench.cli.app import ConfigFile, Plugins, StoreRoot, examples, json_option, verbs
from bench.cli.selection import Selection, report_folder

app = verbs()


@app.command(
    "report",
    epilog=examples(
        "bench report",
        "bench report --latex --figures 0 --store results/ci",
        "bench report --html --published --out paper/report --json",
    ),
)
def write_report(
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
    json: Annotated[bool, json_option("Print the names of the files as JSON.")] = False,
) -> int:
    """Write tables and figures from the records of a store; without a format, all of them."""
    from bench.reports.build import FORMATS, build_from_store

    chosen = {"latex": latex, "markdown": markdown, "csv": csv, "html": html}
    formats = frozenset(name for name, wanted in chosen.items() if wanted) or FORMATS
    opened = Selection(store=store, config=config, plugins=plugin).existing()
    folder = report_folder(opened.root, out, "report")
    files = build_from_store(opened, folder, formats, published, figures)
    for problem in opened.problems.values():
        console.warn(problem)
    console.line(f"report: {files[0]} and {len(files) - 1} more files in {files[0].parent}")
    if json:
        names = [file.relative_to(folder).as_posix() for file in files]
        console.as_json({"store": opened.root, "folder": str(folder), "files": names,
                         "problems": [*opened.problems.values()]})  # fmt: skip
    return 0
