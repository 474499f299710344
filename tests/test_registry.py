from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.errors import BenchError
from bench.plugins import BACKBONES, DATASETS, METHODS, NOISE
from bench.registry import Registry, Row, changed, load_plugin_file
from tests import ROOT

ALL: list[Registry[Any]] = [METHODS, NOISE, DATASETS, BACKBONES]


def registry(*rows: Row, base: str | None = None, group: str = "no.such.group") -> Registry[Any]:
    return Registry("thing", group, base, rows)


@pytest.mark.parametrize("known", ALL, ids=lambda known: known.kind)
def test_static_rows_hold_for_the_objects_they_name(known: Registry[Any]) -> None:
    for row in known.rows():
        found = known.get(row.name)
        assert row.summary
        if hasattr(found, "version"):
            assert found.version == row.version, row.name
        for alias in row.aliases:
            assert known.get(alias) is found


def test_options_are_told_without_the_plugin_where_its_row_says_where_they_are() -> None:
    row = Row("a", "no_such_module:Thing", options="pathlib:Path")
    assert registry(row).options("a") is Path
    with pytest.raises(BenchError, match=r'thing "a" \(built-in\) does not load from pathlib:NoSuch'):
        registry(Row("a", "pathlib:Path", options="pathlib:NoSuch")).options("a")
    with pytest.raises(BenchError, match="pathlib:Path are not the Options of collections:Counter; correct its row"):
        registry(Row("a", "collections:Counter", options="pathlib:Path")).get("a")


@pytest.mark.parametrize(("imported", "said"), [("json", "Options False"), ("torch", "torch; move the options")])
def test_a_third_partys_options_wait_for_no_torch(tmp_path: Path, imported: str, said: str) -> None:
    own = f"import {imported}\nfrom bench.contracts import options\nclass Options(options.Options): pass\n"
    (tmp_path / "theirs.py").write_text(own)
    program = (
        "import sys; from bench.registry import Registry, Row\n"
        "row = Row('a', 'no_such:Thing', origin='package theirs 1', options='theirs:Options')\n"
        "print(Registry('thing', 'no.such.group', None, (row,)).options('a').__name__, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False,
                          env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"})  # fmt: skip
    assert said in done.stdout + done.stderr


@pytest.mark.parametrize("options", ["pathlib:Path", "sys:path", "pydantic:BaseModel"])
def test_what_is_no_class_of_options_is_one_line(options: str) -> None:
    row = Row("a", "no_such:Thing", origin="package theirs 1", options=options)
    with pytest.raises(BenchError, match=rf'thing "a" \(package theirs 1\): {options} is no class from Options'):
        registry(row).options("a")


def test_an_alias_is_another_name_and_iteration_gives_names() -> None:
    known = registry(Row("path", "pathlib:Path", aliases=("p",)))
    assert known.get("p") is Path
    assert known.row("p").name == "path"
    assert list(known) == ["path"]


def test_an_unknown_name_gets_the_nearest_or_the_known_ones() -> None:
    known = registry(Row("symmetric", "a:b", aliases=("sym",)), Row("none", "a:b"))
    with pytest.raises(BenchError, match='unknown thing "symetric"; did you mean "symmetric"'):
        known.row("symetric")
    with pytest.raises(BenchError, match=r"known: none, sym, symmetric\."):
        known.get("qqqq")


def test_two_rows_of_one_name_name_both_origins() -> None:
    known = registry(Row("a", "x:y"), Row("b", "x:y", aliases=("c",)))
    for row in (
        Row("a", "z:z", origin="file p.py"),
        Row("c", "z:z", origin="file p.py"),
        Row("d", "z:z", aliases=("b",)),
    ):
        with pytest.raises(BenchError, match=r"from .* is already registered from built-in"):
            known.add(row)


@pytest.mark.parametrize("target", ["no_such_module:thing", "pathlib:NoSuch"])
def test_a_plugin_that_does_not_load_is_one_line(target: str) -> None:
    with pytest.raises(BenchError, match=r'thing "a" \(built-in\) does not load from'):
        registry(Row("a", target)).get("a")


def test_an_object_of_another_kind_is_refused() -> None:
    with pytest.raises(BenchError, match="is not a pathlib:Path; derive it"):
        registry(Row("a", "collections:Counter"), base="pathlib:Path").get("a")
    with pytest.raises(BenchError, match="is not a"):
        registry(base="pathlib:Path").add(Row("a", "x:y"), obj=dict)


def test_entry_points_are_listed_without_being_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    point = importlib.metadata.EntryPoint("theirs", "no_such_module:Thing", "some.group")
    real = importlib.metadata.entry_points
    found = {"some.group": [point]}
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **by: found.get(by.get("group")) or real(**by))
    known = registry(group="some.group")
    assert [(row.name, row.origin) for row in known.rows()] == [("theirs", "an installed package")]
    with pytest.raises(BenchError, match="does not load"):
        known.get("theirs")


def test_a_plugin_file_registers_and_is_imported_once(tmp_path: Path) -> None:
    file = tmp_path / "extra_thing.py"
    file.write_text("COUNT = []\nCOUNT.append(1)\n")
    try:
        load_plugin_file(str(file))
        load_plugin_file(str(file))
        assert sys.modules["bench_plugin_extra_thing"].COUNT == [1]
    finally:
        sys.modules.pop("bench_plugin_extra_thing", None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named"),
        ("def f(:", "SyntaxError"),
        ("raise ValueError('two\\nlines')", "ValueError: two lines"),
        ("import sys\nsys.exit(0)", r"broken\.py, line 2, called sys\.exit\(0\); a plugin must not end the process"),
        ("exit()", r"broken\.py, line 1, called sys\.exit\(\)"),
        ("raise GeneratorExit", r"broken\.py, line 1, raised GeneratorExit"),
        ("import bench\nclass Mine(bench.CoOp): needs = 3", r"Mine\.needs is 3; expected a class method that takes"),
        ("import bench\nclass Mine(bench.CoOp): Options = 3", r"Mine\.Options is 3; derive a class from Options"),
        (
            "import bench\nclass Mine(bench.NoiseKind): Options = int",
            r"Mine\.Options is .*from Options",
        ),
        ("class Own(BaseException): pass\nraise Own('mine')", r"broken\.py, line 2, raised Own: mine"),
    ],
)
def test_a_plugin_file_that_does_not_import_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "broken.py"
    file.write_text(text)
    with pytest.raises(BenchError, match=message) as caught:
        load_plugin_file(str(file))
    assert "\n" not in str(caught.value)
    assert "bench_plugin_broken" not in sys.modules


def test_a_missing_plugin_file_or_one_that_is_not_python_is_said(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="does not exist"):
        load_plugin_file(str(tmp_path / "none.py"))
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(BenchError, match=r"must end in \.py"):
        load_plugin_file(str(tmp_path / "a.txt"))


def test_a_user_may_interrupt_the_import_of_a_plugin(tmp_path: Path) -> None:
    file = tmp_path / "broken.py"
    file.write_text("raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load_plugin_file(str(file))
    assert "bench_plugin_broken" not in sys.modules


def test_an_installed_plugin_that_exits_at_import_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "exits_at_import.py").write_text("import sys\nsys.exit(0)\n")
    monkeypatch.syspath_prepend(tmp_path)
    known = registry(Row("a", "exits_at_import:Thing", origin="package exits 1.0"))
    with pytest.raises(BenchError, match=r"does not load from .*: exits_at_import\.py, line 2, called sys\.exit\(0\)"):
        known.get("a")


def test_what_a_plugin_changes_at_import_is_put_back_and_its_neighbours_stay_in_reach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "changing.py"
    file.write_text("import sys, numpy\nnumpy.seterr(all='ignore')\nsys.path.insert(0, '/of/its/own')\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = list(sys.path)
    try:
        load_plugin_file(str(file))
        assert np.geterr()["over"] == "warn"
        assert sys.path == [*before, "/of/its/own"]
        assert list(changed) == ["file changing.py"]
        assert changed["file changing.py"][0].startswith("numpy's error mode")
    finally:
        sys.modules.pop("bench_plugin_changing", None)
        changed.clear()
