"""What `bench new` writes works at once: each kind, as a file, as a package and in a checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import get_args

import pytest

from bench.cli.main import invoke
from bench.cli.new import KINDS
from bench.errors import BenchError
from bench.plugins import REGISTRIES
from bench.scaffold.starter import PAGES, PLACES, Kind, Starter
from tests import ROOT
from tests.in_process import bench

Output = pytest.CaptureFixture[str]


def python(folder: Path, *arguments: str) -> str:
    """The output of the interpreter in a folder, whose modules come before the installed ones."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    found = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


@pytest.mark.slow
def test_files_are_run_and_pass_their_own_tests(tmp_path: Path, capsys: Output) -> None:
    for kind in KINDS:
        assert invoke(["new", kind, f"my-{kind}", "--out", str(tmp_path)]) == 0
    tested = python(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "not pack", ".")
    assert "failed" not in tested
    plugins = [word for kind in KINDS for word in ("--plugin", f"my_{kind}.py")]
    axes = ("method=my-method,coop[loss=my-loss],coop[split=my-split]", "dataset=my-dataset", "noise=my-noise",
            "rate=0.5", "seed=1", "epochs=1", "shots=2")  # fmt: skip
    sets = [word for axis in axes for word in ("--set", axis)]
    assert bench(tmp_path, "run", *plugins, "--scheduler", "local", "--workers", "1", *sets) == 0
    capsys.readouterr()
    assert bench(tmp_path, "table", *plugins) == 0
    assert "my-method" in capsys.readouterr().out
    assert len(list((tmp_path / "results").glob("*.json"))) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_package_names_its_object_in_the_group_of_its_kind(kind: Kind, tmp_path: Path) -> None:
    assert invoke(["new", kind, "my-own", "--as", "package", "--out", str(tmp_path)]) == 0
    project = tomllib.loads((tmp_path / "my-own" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    registry = next(one for one in REGISTRIES if one.kind == kind)
    (points,) = project["entry-points"].values()
    assert list(project["entry-points"]) == [registry.group]
    module, _, name = points["my-own"].partition(":")
    code = (tmp_path / "my-own" / module / "__init__.py").read_text(encoding="utf-8")
    assert f"class {name}(" in code or f"def {name}(" in code
    assert "bench.register" not in code
    assert (tmp_path / "my-own" / "tests" / f"test_{module}.py").is_file()
    assert (tmp_path / "my-own" / "README.md").is_file()


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkout_gets_a_file_a_test_and_rows(kind: Kind, tmp_path: Path) -> None:
    tables = {rows for _, _, rows, _ in PLACES.values()} | {page for page, _ in PAGES.values()}
    for file in (*tables, "tests/testing/test_method_contract.py"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    before = {file: (tmp_path / file).read_text(encoding="utf-8").split("\n") for file in tables}
    assert invoke(["new", kind, "my-own", "--out", str(tmp_path)]) == 0
    folder, tests, rows, names = PLACES[kind]
    assert (tmp_path / folder / "my_own.py").is_file()
    assert (tmp_path / tests / "test_my_own.py").is_file()
    program = f"import runpy; print(runpy.run_path({rows!r})[{names!r}][-1])"
    assert "name='my-own'" in python(tmp_path, "-c", program)
    for file in tables:
        after = (tmp_path / file).read_text(encoding="utf-8").split("\n")
        added = [line for line in after if line not in before[file]]
        due = file == rows or (kind in PAGES and PAGES[kind][0] == file)
        assert (len(after) - len(before[file]), len(added)) == (due, due)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("method", "My_Method"), "no name for a method; use lower-case letters"),
        (("method", "class"), "no name for a method"),
        (("method", "gce"), "there already (built-in)"),
        (("metod", "mine"), 'unknown kind "metod"; did you mean "method"?'),
        (("method", "mine", "--as", "fil"), 'unknown form "fil"; did you mean "file"?'),
        (("method", "mine", "--as", "checkout"), "is no checkout of this project"),
    ],
)
def test_what_cannot_be_written_is_one_line(
    arguments: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.chdir(tmp_path)
    assert invoke(["new", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_there_is_kept_and_nothing_is_written(tmp_path: Path, capsys: Output) -> None:
    (tmp_path / "test_mine.py").write_text("mine")
    assert invoke(["new", "loss", "mine", "--out", str(tmp_path)]) == 2
    assert "nothing was written" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["test_mine.py"]
    assert (tmp_path / "test_mine.py").read_text() == "mine"


def test_a_checkout_of_another_shape_is_named(tmp_path: Path) -> None:
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "__init__.py").write_text("")
    with pytest.raises(BenchError, match='no "ROWS = \\(", so that no row can be added'):
        Starter("method", "mine", "checkout").edits(tmp_path)


def test_kinds_are_those_of_the_registries() -> None:
    assert {*get_args(Kind)} == {registry.kind for registry in REGISTRIES} - {"backbone"}
