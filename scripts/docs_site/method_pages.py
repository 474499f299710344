"""A page for each registered method: its docstring, options, needs, defects and committed numbers."""

from __future__ import annotations

import html
import re
from typing import Any

from committed import ROOT, Table, built_in, named, of_variants, plain, tables
from option_tables import option_table
from typeset import equations, inline, paragraph, paragraphs

from bench.cli.description import needs_of
from bench.plugins import METHODS
from bench.rows import FAMILIES, Row

ORACLE = "**the {}, which a user would not know (oracle, †)**"
# Items of the golden table that several methods share.
SHARED = {
    "CLIP": ("zero-shot",), "losses": ("gce-coop", "promptmae", "sce", "visprompt", "coop-split"),
    "NLPrompt": ("ot-clean",), "Tip-Adapter": ("tip-adapter-f",),
}  # fmt: skip
SAME_REFERENCE = {"ot-clean": "nlprompt", "tip-adapter-f": "tip-adapter"}  # so the same defects
DEFECTS = "Defects decided on"
DECIDED = re.compile(r"^Defects (?:of the reference )?decided on[.:,]\s+(.)")  # which the heading says
ACCURACY = {"Digits": "digits", "Letters": "letters"}


def method_pages() -> dict[str, str]:
    """Write the pages of all built-in methods, by their path in the site."""
    return {f"methods/{row.name}.md": method_page(row) for row in built_in(METHODS)}


def method_nav() -> list[Any]:
    """List the pages by family, as an entry of the navigation."""
    families: dict[str, list[dict[str, str]]] = {}
    for row in built_in(METHODS):
        families.setdefault(row.family, []).append({row.title or row.name: f"methods/{row.name}.md"})
    return [{FAMILIES[family][0].upper() + FAMILIES[family][1:]: pages} for family, pages in families.items()]


def method_page(row: Row) -> str:
    """Write the page of a method."""
    idea, *rest = paragraphs(METHODS.get(row.name).__doc__ or "")
    sections = [
        f"# {row.title or row.name}",
        f'<p class="lead">{inline(idea)}</p>',
        _facts(row),
        f"```sh\nbench run --set method={row.name}\nbench test {row.name}\n```",
        _explained(rest),
        f"## Options\n\n`{row.name}[option=value]` is a variant, with a row of its own.\n\n" + _options(row),
        _paper_budget(row.name), _defects(row), _golden(row), _embedded(row),
    ]  # fmt: skip
    return "\n\n".join(part for part in sections if part) + "\n"


def _facts(row: Row) -> str:
    family = FAMILIES[row.family]
    facts = [
        ("name", ", ".join(f"`{name}`" for name in (row.name, *row.aliases))), ("family", family),
        ("paper", inline(row.paper) or "none: a control or baseline of this project"),
        ("code", f"[`methods/{_file(row)}`](../source/methods/{_file(row)}.md), version {row.version}"),
        ("parameters", f"{_parameters(row.name)} (ViT-B/16, 100 classes, 16 shots, defaults)"),
        ("needs", needs_of(METHODS.get(row.name), ORACLE)),
        ("an epoch", f"takes about {row.cost:g} times as long as CoOp's, on the CPU"),
    ]  # fmt: skip
    if row.alone:
        when = f" with `{row.alone_when}`" if row.alone_when else ""
        facts.append(("lockstep", f"never{when}: {html.escape(row.alone)}"))
    lines = "\n".join(f"| {name} | {fact} |" for name, fact in facts)
    return f'<div class="facts" markdown>\n\n| | |\n| --- | --- |\n{lines}\n\n</div>'


def _file(row: Row) -> str:
    return row.target.partition(":")[0].rpartition(".")[2] + ".py"


def _parameters(name: str) -> str:
    table = tables("methods.md")[0]
    return next(row[2] for row in table.rows if plain(row[0]) == name)


def _explained(parts: list[str]) -> str:
    """Put headings over what a docstring says: source, equations, defects, and all else."""
    shown: list[str] = []
    current = ""
    for text in parts:
        heading = _heading(text, current)
        if heading != current:
            shown.append(f"## {heading}")
        current = heading
        body = DECIDED.sub(lambda found: found[1].upper(), re.sub(r"^Equations[.:] ", "", text))
        shown.append(equations(body) if heading == "Equations" else paragraph(body, math=heading == "Notes"))
    return "\n\n".join(shown)


def _heading(text: str, current: str) -> str:
    if text.startswith("Equations"):
        return "Equations"
    if text.startswith("Defects") or (current == DEFECTS and text.startswith(("Repaired", "Kept"))):
        return DEFECTS
    return "Source" if current in ("", "Source") else "Notes"


def _options(row: Row) -> str:
    return option_table(METHODS.get(row.name).Options, _packaged().get(row.name, {}))


def _packaged() -> dict[str, dict[str, Any]]:
    from bench.settings.schema import load_config

    return {name: table.options for name, table in load_config().settings.method.items()}


def _paper_budget(name: str) -> str:
    """Copy the tables [method.NAME.paper] of bench.toml, with their comments."""
    lines, inside = [], False
    for line in (ROOT / "bench.toml").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            inside = line.strip("[ ").startswith((f"method.{name}.paper]", f"method.{name}.paper.when]"))
        if inside and not line.startswith("#"):
            lines.append(line)
    if not lines:
        return ""
    text = "\n".join(lines).strip()
    return (
        '## Under `budget = "paper"`\n\n'
        "What its authors train with, from the packaged [`bench.toml`](../reference/settings.md):\n\n"
        f"```toml\n{text}\n```"
    )


def _defects(row: Row) -> str:
    table = next(table for table in tables("methods.md") if table.head[1:2] == ("defect of the reference",))
    whose = [named(one.name, one.title) for one in (row, METHODS.row(SAME_REFERENCE.get(row.name, row.name)))]
    wanted = set()
    for place, (_, defect, _, again) in enumerate(table.rows):
        before = [re.sub(r" \(.*\)| [A-Z]\d.*", "", part) for part in defect.partition(":")[0].split(", ")]
        if any(one.fullmatch(part) for one in whose for part in before) or f"`{row.name}[" in again:
            wanted.add(place)
    if not wanted:
        return ""
    also = "[those that all share](../methods.md#known-defects-of-the-references)"
    return f"## Known defects of the reference\n\nBeside {also}:\n\n{table.only(wanted).markdown()}\n\n{_measured(row)}"


def _measured(row: Row) -> str:
    table = tables("embedded.md", "What the references' defects change")[0]
    whose = named(row.name, row.title)
    found = {place for place, cells in enumerate(table.rows) if whose.match(cells[0]) or f"`{row.name}`" in cells[0]}
    if not found:
        return ""
    return (
        "What they change on the [embedded digits](../embedded.md#what-the-references-defects-change), accuracy (%) "
        f"repaired → as the reference runs, mean over three seeds:\n\n{table.only(found).markdown()}"
    )


def _golden(row: Row) -> str:
    table = next(table for table in tables("methods.md") if table.head[0] == "item")
    whose = named(row.name, row.title)
    single = {place for place, (item, *_) in enumerate(table.rows)
              if whose.fullmatch(item) or row.name in SHARED.get(item, ())}  # fmt: skip
    whole = next(table for table in tables("correctness.md") if table.head[-1].startswith("seeds"))
    trained = {place for place, (item, *_) in enumerate(whole.rows) if whose.match(item)}
    parts = ["## Against the authors' code"]
    if single:
        parts += [
            "Largest deviation from numbers that the authors' code computes, relative to the largest entry "
            "([all items](../methods.md#against-the-original-authors-code), `make golden`):",
            table.only(single).markdown(),
        ]
    if trained:
        parts += [
            "Whole trainings, theirs and ours, on the embedded digits, accuracy (%) "
            "([how](../correctness.md#whole-trainings-the-originals-own-trainers)):",
            whole.only(trained).markdown(),
        ]
    if not single and not trained:
        parts.append(
            "No number of an authors' program of this method is among the golden vectors. What it shares with others "
            "([losses, optimizer, schedule, CLIP](../methods.md#against-the-original-authors-code)) is held against "
            "theirs, and `bench test` holds the rest against the [contract](../correctness.md)."
        )
    return "\n\n".join(parts)


def _embedded(row: Row) -> str:
    parts = ["## On the embedded data"]
    for heading, name in ACCURACY.items():
        table = tables("embedded.md", heading)[0]
        own = of_variants(table, row.name)
        found = own | {place for place, cells in enumerate(table.rows) if plain(cells[0]) in ("zero-shot", "coop")}
        if own:
            parts.append(f"{heading}:\n\n{Table((name, *table.head[1:]), table.only(found).rows).markdown()}")
    if len(parts) == 1:
        return ""
    parts.insert(1, (
        "Backbone `tiny`, 16 shots, 50 epochs, learning rate 0.005 for all, three seeds: test accuracy (%) after the "
        "last epoch, and share (%) of the mislabeled training samples predicted as their wrong label. A miniature says "
        "how methods behave, not [how they rank on CLIP](../embedded.md)."
    ))  # fmt: skip
    return "\n\n".join(parts)
