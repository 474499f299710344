"""Help texts, their examples, the version and what a shell is told for completions."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperCommand
from typer.main import get_command

from bench.cli.app import VERBS, app
from bench.cli.main import invoke
from bench.grid.filters import FIELDS
from bench.grid.overrides import assigned, override
from bench.settings.schema import load_config
from tests import ROOT

Output = pytest.CaptureFixture[str]


def commands() -> Iterator[tuple[str, Any]]:
    """Every command that has a help text, by the words that lead to it."""
    root: Any = get_command(app)
    yield "", root
    for name in VERBS:
        verb = root.get_command(None, name)
        yield name, verb
        yield from ((f"{name} {inner}", one) for inner, one in getattr(verb, "commands", {}).items())


EXAMPLES = [
    (words, line.strip())
    for words, command in commands()
    for line in command.epilog.splitlines()
    if line.strip().startswith("bench ")
]


@pytest.mark.parametrize("words", [words for words, _ in commands()])
def test_every_help_has_examples_of_its_own(words: str, capsys: Output) -> None:
    assert invoke([*words.split(), "-h"]) == 0
    short = capsys.readouterr().out
    assert invoke([*words.split(), "--help"]) == 0
    assert capsys.readouterr().out == short
    assert not re.search(r"^ +-.*<(str|int|float|list|path)", short, re.MULTILINE), "options name no type of Python's"
    own = [line for of, line in EXAMPLES if of == words]
    assert 2 <= len(own) <= 4
    assert "  Examples:\n" in short
    for line in own:
        assert f"    {line}\n" in short
        assert line.startswith(f"bench {words}".strip())


@pytest.mark.parametrize("line", [line for _, line in EXAMPLES])
def test_every_example_is_understood(line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    found: list[dict[str, Any]] = []
    monkeypatch.setattr(TyperCommand, "invoke", lambda self, context: found.append(context.params) or 0)
    assert invoke(shlex.split(line)[1:]) == 0
    (given,) = found
    sets = given.get("sets") or ()
    if line.startswith("bench table"):
        assigned(sets, FIELDS)
    else:
        override(load_config(), given.get("grid") or "quick", sets)


def test_the_version_is_that_of_the_project(capsys: Output) -> None:
    assert invoke(["--version"]) == 0
    name, version = capsys.readouterr().out.split()
    assert f'name = "{name}"\nversion = "{version}"\n' in (ROOT / "pyproject.toml").read_text()


def completed(**environment: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    program = "from bench.cli.main import console_script; console_script()"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=variables, check=False)


def test_a_shell_is_told_what_may_follow() -> None:
    script = completed(_BENCH_COMPLETE="source_bash")
    assert (script.returncode, script.stderr) == (0, "")
    assert "complete -o default -F _bench_completion bench" in script.stdout
    for words, place, expected in (
        ("bench r", "1", {"run", "report", "reproduce"}),
        ("bench list da", "2", {"datasets"}),
        ("bench plan --ce", "2", {"--cells"}),
    ):
        told = completed(_BENCH_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=place)
        assert (told.returncode, set(told.stdout.split()), told.stderr) == (0, expected, "")


def test_what_is_no_shell_is_a_mistake() -> None:
    assert completed(_BENCH_COMPLETE="source_nosuch").returncode == 2


def test_help_of_every_verb_imports_nothing_heavy() -> None:
    program = (
        "import sys; from bench.cli.main import invoke\n"
        "from bench.cli.app import VERBS\n"
        "codes = [invoke(words) for words in (['--help'], *([verb, '--help'] for verb in VERBS))]\n"
        "heavy = {'torch', 'ray', 'pandas', 'scipy', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(repr((codes, heavy)) if any(codes) or heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
