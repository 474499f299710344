"""`bench doctor`: what is wrong with machine, installation, settings and store, and the command that mends it."""

from __future__ import annotations

from dataclasses import asdict

from bench import console
from bench.cli.app import DEFAULT_GRID, AsJson, ConfigFile, Grid, Plugins, Sets, StoreRoot, examples, verbs
from bench.cli.selection import Selection

EXIT_PROBLEM = 1

app = verbs()


@app.command(
    "doctor",
    epilog=examples(
        "bench doctor",
        "bench doctor --grid ci --store results/ci",
        "bench doctor --set backbone=ViT-B-16/openai --json",
    ),
)
def examine_all(
    grid: Grid = DEFAULT_GRID,
    sets: Sets = None,
    store: StoreRoot = None,
    plugin: Plugins = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> int:
    """Examine machine, packages, Ray, data, weights, disks and store; exit code 1 where something must be mended."""
    from bench.doctor.diagnosis import Subject
    from bench.doctor.examination import examine
    from bench.grid.overrides import grid_table

    def subject() -> Subject:
        settings = Selection(grid, sets, store, config).configuration
        grid_table(settings, grid)
        return Subject(settings, grid, store or settings.settings.paths.store)

    found = examine(plugin or (), subject)
    problems = [one for one in found if one.state == "problem"]
    if json:
        console.as_json({"ok": not problems, "diagnoses": [asdict(one) for one in found]})
        return EXIT_PROBLEM if problems else 0
    console.table(["check", "state", "found"], [[one.check, one.state, one.found] for one in found])
    mends = dict.fromkeys((one.check, one.mend) for one in found if one.mend)
    if mends:
        console.line("what to do:")
        console.facts([(f"  {check}", mend) for check, mend in mends])
    count = len(problems)
    console.line("nothing is wrong." if not count else f"{count} problem{'s' * (count > 1)} to mend.")
    return EXIT_PROBLEM if problems else 0
