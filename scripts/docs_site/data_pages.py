"""A page for each registered kind of noise and each data set."""

from __future__ import annotations

import html
import tomllib
from typing import Any

from committed import ROOT, Table, built_in, of_variants, plain, tables
from option_tables import option_table
from typeset import inline, paragraph, paragraphs

from bench.cli.description import limit_text
from bench.plugins import DATASETS, NOISE
from bench.rows import Row

CATALOGUE = ROOT / "bench" / "data" / "catalogue"
BUNDLED = ("digits", "letters", "cued-letters")


def noise_pages() -> dict[str, str]:
    """Write the pages of all built-in kinds of noise, by their path in the site."""
    return {f"noise/{row.name}.md": _noise_page(row) for row in built_in(NOISE)}


def dataset_pages() -> dict[str, str]:
    """Write the pages of all built-in data sets, by their path in the site."""
    return {f"datasets/{row.name}.md": _dataset_page(row) for row in built_in(DATASETS)}


def noise_nav() -> list[Any]:
    """List the pages of the kinds of noise, as an entry of the navigation."""
    return [{row.name: f"noise/{row.name}.md"} for row in built_in(NOISE)]


def dataset_nav() -> list[Any]:
    """List the pages of the data sets, as an entry of the navigation."""
    return [
        {row.title or _catalogued(row.name).get("title", row.name): f"datasets/{row.name}.md"}
        for row in built_in(DATASETS)
    ]


def _noise_page(row: Row) -> str:
    kind = NOISE.get(row.name)
    definition, *rest = paragraphs(kind.__doc__ or "")
    told = [text for text in rest if not text.startswith("Pitfalls")]
    sections = [
        f"# {row.title or row.name}",
        f'<div class="lead">{paragraph(definition, math=True)}</div>',
        _noise_facts(row),
        *(paragraph(text, math=True) for text in told),
        *(f"## Pitfalls\n\n{paragraph(text.partition(':')[2])}" for text in rest if text.startswith("Pitfalls")),
        f"## Options\n\n{option_table(kind.Options, {})}",
        _noise_results(row),
    ]
    return "\n\n".join(part for part in sections if part) + "\n"


def _noise_facts(row: Row) -> str:
    table = tables("noise.md")[0]
    found = next(cells for cells in table.rows if plain(cells[0]) == row.name)
    facts = dict(zip(table.head[1:], found[1:], strict=True))
    if row.identifiable < 1 or row.commonest:
        facts["ranked"] = f"{limit_text(row)}: beyond, labels alone cannot tell the truth"
    if row.paper:
        facts["paper"] = inline(row.paper)
    facts["code"] = f"[`{_source(row)}`](../source/{_source(row)}.md), version {row.version}"
    lines = "\n".join(f"| {name} | {fact} |" for name, fact in facts.items() if fact)
    command = (
        "bench list noise"
        if row.name in ("class-map", "matrix", "human", "mask")
        else (
            f"bench noise show --set noise={row.name}"
            + (" --set rate=0.5" if facts.get("nested") else "")
            + " --set seed=1"
        )
    )
    if row.name in ("cifar10-map", "superclass"):
        command += " --set dataset=cifar" + ("10" if row.name == "cifar10-map" else "100")
    return f'```sh\n{command}\n```\n\n<div class="facts" markdown>\n\n| | |\n| --- | --- |\n{lines}\n\n</div>'


def _source(row: Row) -> str:
    return row.target.partition(":")[0].removeprefix("bench.").replace(".", "/") + ".py"


def _noise_results(row: Row) -> str:
    accuracy, memorized = tables("embedded.md", "Kinds of noise")[:2]
    found = of_variants(accuracy, row.name)
    if not found:
        return ""
    wanted = found | {place for place, cells in enumerate(accuracy.rows) if plain(cells[0]) == "symmetric"}
    parts = [
        "## On the embedded digits",
        "At one half, 16 shots, 50 epochs, three seeds ([grid `noise`](../embedded.md#kinds-of-noise)): accuracy (%) "
        "after the last epoch.",
        accuracy.only(wanted).markdown(),
    ]  # fmt: skip
    if held := of_variants(memorized, row.name):
        parts += ["Memorized: share (%) of the wrong labels that the method predicts.", memorized.only(held).markdown()]
    return "\n\n".join(parts)


def _catalogued(name: str) -> dict[str, Any]:
    file = CATALOGUE / f"{name}.toml"
    return tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def _dataset_page(row: Row) -> str:
    known = _catalogued(row.name)
    idea, *rest = paragraphs(DATASETS.get(row.name).__doc__ or "")
    sections = [
        f"# {known.get('title', row.name)}",
        f'<div class="lead">{paragraph(idea)}</div>',
        _dataset_facts(row, known),
        *(paragraph(text) for text in rest),
        "\n".join(f"- {note}" for note in known.get("notes", ())),
        _sizes(known), _downloads(known), _dataset_results(row),
    ]  # fmt: skip
    return "\n\n".join(part for part in sections if part) + "\n"


def _dataset_facts(row: Row, known: dict[str, Any]) -> str:
    table = tables("datasets.md")[0]
    found = next(cells for cells in table.rows if plain(cells[0].partition(" ")[0]) == row.name)
    names = ", ".join(f"`{name}`" for name in (row.name, *row.aliases))
    facts = {"name": names, "classes": found[1], "licence of the images": found[-2], "how to get it": found[-1]}
    if "citation" in known:
        facts["paper"] = html.escape(" ".join(known["citation"].split()))
        facts["source"] = f"<{known['source']}>"
    if "templates" in known:
        facts["templates"] = ", ".join(f"`{template}`" for template in known["templates"])
    if "folder" in known:
        facts["folder"] = f"`{known['folder']}`, in [this layout](../datasets.md#layouts)"
    file = row.target.partition(":")[0].replace(".", "/") + ".py"
    facts["code"] = f"[`{file}`](../source/{file}.md), version {row.version}"
    lines = "\n".join(f"| {name} | {fact} |" for name, fact in facts.items())
    return f'<div class="facts" markdown>\n\n| | |\n| --- | --- |\n{lines}\n\n</div>\n\n```sh\n{_commands(row)}\n```'


def _commands(row: Row) -> str:
    if row.name == "folder":
        return "bench run --set dataset=folder:photos --set noise=given --set method=zero-shot,coop"
    fetched = [] if row.name in BUNDLED else [f"bench data prepare {row.name}", f"bench data verify {row.name}"]
    return "\n".join([*fetched, f"bench run --set dataset={row.name} --set method=coop"])


def _sizes(known: dict[str, Any]) -> str:
    if "sizes" not in known:
        return ""
    columns = ("classes", "train", "validation", "test")
    rows = tuple((f"`{mode}`", *(f"{sizes[name]:,}" if name in sizes else "–" for name in columns))
                 for mode, sizes in known["sizes"].items())  # fmt: skip
    return f"## Sizes\n\n{Table(('mode', *columns), rows).markdown()}"


def _downloads(known: dict[str, Any]) -> str:
    rows = tuple(
        (f"`{one['name']}`", f"{one['bytes'] / 1e6:,.1f}" if "bytes" in one else "–",
         f"`{one['sha256'][:16]}…`" if "sha256" in one else "not known")
        for one in known.get("downloads", ())
    )  # fmt: skip
    return f"## Files\n\n{Table(('file', 'MB', 'SHA-256'), rows).markdown()}" if rows else ""


def _dataset_results(row: Row) -> str:
    where = {
        "digits": "embedded.md#digits",
        "letters": "embedded.md#letters",
        "cued-letters": "evidence.md#what-came-out",
    }
    if row.name not in where:
        return ""
    return f"What all methods do on it: [the committed table](../{where[row.name]})."
