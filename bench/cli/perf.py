"""`bench perf`: speed on this machine, as ratios of sides that are measured in turn in one process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench import console
from bench.cli.app import AsJson, Plugins, examples, verbs
from bench.cli.selection import writing
from bench.errors import BenchError
from bench.files import local_path, write_whole
from bench.registry import load_plugin_file
from bench.variants import split_list

if TYPE_CHECKING:
    from bench.perf.baseline import SpeedFinding
    from bench.perf.result import PerfResult

METHODS = "coop,gce-coop,visprompt,maple"
LEAST, MOST_CLASSES, MOST_MEMBERS = 2, 10_000, 1_000

app = verbs()


@app.command(
    "perf",
    epilog=examples(
        "bench perf --quick",
        "bench perf --methods coop,plot --json --plot speed.png --markdown speed.md",
        "bench perf --backbone ViT-B-16 --device cuda --classes 100 --packs 8,36",
        "bench perf --quick --baseline tests/perf.json",
    ),
)
def measure_speed(
    methods: Annotated[str, typer.Option(help="Methods, or variants of them, that train something.")] = METHODS,
    backbone: Annotated[
        str, typer.Option(help="As for `run`; an open_clip architecture without a tag gets random weights.")
    ] = "tiny",
    device: Annotated[str, typer.Option(help='"cpu" or "cuda".')] = "cpu",
    classes: Annotated[
        str, typer.Option(help="Numbers of classes: the first for all tables, the others for how cost grows.")
    ] = "10,26,100,400",
    packs: Annotated[str | None, typer.Option(help="Numbers of members.  [default: 4,8,16; with --quick 16]")] = None,
    repeats: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Repetitions of each side.  [default: 5; with --quick 3]")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Few repetitions, small cells, and not how cost grows: under a minute.")
    ] = False,
    baseline: Annotated[
        str | None, typer.Option(help="Compare ratios with this file; exit code 1 where one is clearly slower.")
    ] = None,
    save: Annotated[str | None, typer.Option(help="Write the ratios as a baseline to this file.")] = None,
    plot: Annotated[str | None, typer.Option(help="Draw how cost grows to this PNG, PDF or SVG file.")] = None,
    markdown: Annotated[
        str | None,
        typer.Option(help="Also write the tables as Markdown to this file, or between the marks of a page of ours."),
    ] = None,
    plugin: Plugins = None,
    json: AsJson = False,
) -> int:
    """Measure training steps and cells, alone, in packs and against the naive text tower, side by side."""
    if plot is not None and quick:
        raise BenchError("--plot draws how cost grows, which --quick leaves out; leave out one of the two.")
    for file in plugin or ():
        load_plugin_file(file)
    from bench.perf.baseline import SpeedBaseline, compare_speed, exit_code
    from bench.perf.measurement import PerfRequest, run
    from bench.perf.speed import Effort

    sizes = _numbers("--packs", packs, MOST_MEMBERS) if packs else (16,) if quick else (4, 8, 16)
    request = PerfRequest(
        tuple(split_list(methods)), backbone, device, _numbers("--classes", classes, MOST_CLASSES),
        Effort(sizes, repeats or (3 if quick else 5), quick),
    )  # fmt: skip
    named = {"--baseline": baseline, "--save": save, "--plot": plot, "--markdown": markdown}
    files = {option: local_path(path, option) for option, path in named.items() if path}
    # mistakes are told before minutes pass
    before = SpeedBaseline.read(files["--baseline"]) if baseline else None
    if plot is not None:
        from bench.perf.figure import check_format

        check_format(files["--plot"])
    result = run(request, console.detail)
    if json:
        console.as_json(result.as_json())
    _tell(result)
    _write(result, files)
    if before is None:
        return 0
    found = compare_speed(result.speeds, before, backbone, request.classes[0], sizes)
    _judge(found)
    return exit_code(found)


def _write(result: PerfResult, files: Mapping[str, Path]) -> None:
    """Write the files that were asked for, by option."""
    if page := files.get("--markdown"):
        from bench.perf.result import inserted, markdown

        with writing("--markdown", str(page)):
            text = page.read_text(encoding="utf-8") if page.is_file() else ""
            write_whole(page, inserted(text, markdown(result)))
    if plot := files.get("--plot"):
        from bench.perf.figure import draw_growth

        with writing("--plot", str(plot)):
            draw_growth(result, plot)
    if baseline := files.get("--save"):
        from bench.perf.baseline import write_speed

        with writing("--save", str(baseline)):
            write_speed(result.speeds, result.backbone, result.scale.classes, baseline)


def _numbers(option: str, text: str, most: int) -> tuple[int, ...]:
    """Read whole numbers between commas, each once."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and part.isascii() and LEAST <= int(part) <= most for part in parts):
        raise BenchError(f'{option} "{text}": expected whole numbers from {LEAST} to {most:,} between commas.')
    return tuple(dict.fromkeys(map(int, parts)))


def _tell(result: PerfResult) -> None:
    for table in result.tables():
        console.table(table.columns, table.rows, title=f"{table.title}:")
        console.line()
    console.line(result.summary)
    for text in result.reasons():
        console.warn(text)


def _judge(found: Sequence[SpeedFinding]) -> None:
    console.line()
    rows = [
        [one.method, one.what, f"{one.before.median:.2f}" if one.before else "–",
         f"{one.after.median:.2f}" if one.after else "–", one.verdict]
        for one in found if one.verdict != "missing"
    ]  # fmt: skip
    console.table(["method", "ratio", "baseline", "now", "verdict"], rows)
    slower = sum(one.verdict == "slower" for one in found)
    tell = console.complaint if slower else console.line
    tell(f"{slower} of {len(rows)} ratios are slower than the baseline's." if slower else
         f"none of {len(rows)} ratios is slower than the baseline's.")  # fmt: skip
