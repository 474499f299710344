"""`bench report`: tables and figures of a store as files."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Annotated

import typer

from bench import console
from bench.cli.app import ConfigFile, Plugins, RecordSets, StoreRoot, examples, json_option, verbs
from bench.cli.selection import Selection, report_folder
from bench.errors import BenchError
from bench.records.store import uncollected
from bench.variants import split_list

# What a paper chooses of a report.
Methods = Annotated[
    str | None, typer.Option(help="Rows of the tables, in this order: coop,gce-coop[q=0.5],coop@clean.")
]
Columns = Annotated[
    str | None, typer.Option(help="Columns of the tables, in this order: none,symmetric@0.5; symmetric: all rates.")
]
Digits = Annotated[int, typer.Option(help="Decimals of accuracies and shares.")]
Tabular = Annotated[bool, typer.Option("--tabular", help="LaTeX tables without float, caption and notes.")]
Wide = Annotated[bool, typer.Option("--wide", help="LaTeX tables over both columns of a page (table*).")]
ShortCaptions = Annotated[
    bool, typer.Option("--short-captions", help="LaTeX captions of what a paper needs, and no notes but on signs.")
]
Font = Annotated[str, typer.Option(help="Font of figures: sans, serif (like Times), or an installed family.")]
Width = Annotated[
    str | None, typer.Option(help="Width of all figures: column or text.  [default: as their panels need]")
]

app = verbs()


@app.command(
    "report",
    epilog=examples(
        "bench report",
        "bench report --latex --figures 0 --store results/ci",
        "bench report --html --published --out paper/report --json",
        "bench report --latex --methods coop,visprompt --columns none,symmetric@0.5 --tabular --out paper",
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
    sets: RecordSets = None,
    methods: Methods = None,
    columns: Columns = None,
    digits: Digits = 1,
    tabular: Tabular = False,
    wide: Wide = False,
    short_captions: ShortCaptions = False,
    font: Font = "sans",
    width: Width = None,
    out: Annotated[str | None, typer.Option(help="Folder of the report.  [default: report/ in the store]")] = None,
    store: StoreRoot = None,
    plugin: Plugins = None,
    config: ConfigFile = None,
    json: Annotated[bool, json_option("Print the names of the files as JSON.")] = False,
) -> int:
    """Write tables and figures from the records of a store; without a format, all of them."""
    from bench.reports.build import FORMATS, build_from_store
    from bench.reports.figures.style import PageStyle
    from bench.reports.output.latex import LatexForm
    from bench.reports.paper import PaperForm
    from bench.reports.tables.choice import Choice

    chosen = {"latex": latex, "markdown": markdown, "csv": csv, "html": html}
    formats = frozenset(name for name, wanted in chosen.items() if wanted) or FORMATS
    paper = PaperForm(
        tuple(sets or ()),
        Choice(_names("--methods", methods), _names("--columns", columns), digits),
        LatexForm(tabular, wide, short_captions),
        PageStyle(font, width or ""),
    )
    opened = Selection(store=store, config=config, plugins=plugin).existing()
    folder = report_folder(opened.root, out, "report")
    with uncollected() if figures == 0 else nullcontext():  # figures hold cycles
        files = build_from_store(opened, folder, formats, published, figures, paper)
    for problem in opened.problems.values():
        console.warn(problem)
    console.line(f"report: {files[0]} and {len(files) - 1} more files in {files[0].parent}")
    if json:
        names = [file.relative_to(folder).as_posix() for file in files]
        console.as_json({"store": opened.root, "folder": str(folder), "files": names,
                         "problems": [*opened.problems.values()]})  # fmt: skip
    return 0


def _names(option: str, text: str | None) -> tuple[str, ...]:
    """Split names at commas outside brackets."""
    names = tuple(name.strip() for name in split_list(text or ""))
    if "" in names or text == "":
        raise BenchError(f'{option} "{text}" has an empty name; give names with commas between them.')
    return names
