"""`bench test`: checks of methods against the contract."""

from __future__ import annotations

from typing import Annotated

import typer

from bench import console
from bench.cli.app import Plugins, examples, verbs
from bench.registry import load_plugin_file

EXIT_FAILED = 1

app = verbs()


@app.command(
    "test", epilog=examples("bench test coop", "bench test 'gce-coop[q=0.5]'", "bench test mine.py --plugin base.py")
)
def check(
    method: Annotated[str, typer.Argument(metavar="PLUGIN", help="A method, a variant, or a Python file of methods.")],
    plugin: Plugins = None,
) -> int:
    """Check that methods keep the contract: gradients, reproducibility, leaks, batches, packs; else exit code 1."""
    from bench.testing.run import check_plugin

    for file in plugin or ():
        load_plugin_file(file)
    outcomes = check_plugin(method)
    rows = [
        [one.method, one.check.replace("_", " "), "fails" if one.reason else f"ok{one.remark and ': '}{one.remark}"]
        for one in outcomes
    ]
    console.table(["method", "check", "outcome"], rows)
    for one in outcomes:
        if one.reason:
            console.line(f"{one.method}: {one.check.replace('_', ' ')}: {one.reason}")
    failed = sum(bool(one.reason) for one in outcomes)
    tell = console.complaint if failed else console.line
    tell(f"{len(outcomes) - failed} of {len(outcomes)} checks passed.")
    if failed:
        console.line("the contract is in bench/contracts/method.py; each check's docstring says what it requires.")
    return EXIT_FAILED if failed else 0
