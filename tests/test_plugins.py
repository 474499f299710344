"""`bench.register`: one function for all kinds, and the origin is the file that calls it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import bench
from bench.clip.load import load_tiny
from bench.grid import code
from bench.methods.coop import CoOp
from bench.noise.symmetric import Symmetric
from bench.plugins import BACKBONES, DATASETS, METHODS, NOISE, REGISTRIES
from bench.registry import load_plugin_file
from tests import ROOT
from tests.few_digits import FewDigits

pytestmark = pytest.mark.usefixtures("registries")


def test_the_kind_is_told_from_the_object_and_the_origin_from_the_caller() -> None:
    for registry, plugin in ((METHODS, CoOp), (NOISE, Symmetric), (DATASETS, FewDigits)):
        bench.register("mine", plugin, "one line", aliases=["my-own"], version=3)
        row = registry.row("my-own")
        assert (row.name, row.summary, row.version, row.aliases) == ("mine", "one line", 3, ("my-own",))
        assert registry.get("mine") is plugin
        assert (row.origin, row.files[0]) == ("file test_plugins.py", str(Path(__file__).resolve()))
        assert row.plugin_file == ""


def test_a_kind_may_be_named() -> None:
    bench.register("mine", load_tiny, kind="backbone")
    assert BACKBONES.get("mine") is load_tiny
    with pytest.raises(bench.BenchError, match="the kind of plugin of load_tiny is unknown"):
        bench.register("other", load_tiny)
    with pytest.raises(bench.BenchError, match=r"is not a bench\.contracts\.noise:Noise; derive it"):
        bench.register("other", CoOp, kind="noise")
    with pytest.raises(bench.BenchError, match='unknown kind "noises"; did you mean "noise"'):
        bench.register("other", CoOp, kind="noises")


@pytest.mark.parametrize("plugin", [3, dict, "bench.methods.coop:CoOp", None])
def test_an_object_of_no_kind_is_refused(plugin: object) -> None:
    with pytest.raises(bench.BenchError, match=r'register\("mine"\): the kind of plugin of .* is unknown'):
        bench.register("mine", plugin)
    assert all("mine" not in registry for registry in REGISTRIES)


def test_a_plugin_file_needs_nothing_but_bench_and_its_code_is_followed_through_it(tmp_path: Path) -> None:
    """A digest that ended at the name `bench.CoOp` would not see that CoOp's code has changed."""
    coop = ROOT / "bench" / "methods" / "parts" / "prompt_learner.py"
    forms = {
        "as_module": "import bench\nclass Mine(bench.CoOp): pass\nbench.register('as-module', Mine)\n",
        "renamed": "import bench as b\nclass Mine(b.CoOp): pass\nb.register('renamed', Mine)\n",
        "by_name": "from bench import CoOp, register\nclass Mine(CoOp): pass\nregister('by-name', Mine)\n",
        "deep": "from bench.methods.coop import CoOp\nfrom bench.plugins import METHODS\n"
        "class Mine(CoOp): pass\nMETHODS.register('deep', Mine)\n",
    }
    for name, text in forms.items():
        file = tmp_path / f"{name}.py"
        file.write_text(text, encoding="utf-8")
        load_plugin_file(str(file))
        row = METHODS.row(name.replace("_", "-"))
        assert (row.origin, row.files, row.plugin_file) == (f"file {name}.py", (str(file),), str(file))
        closure = code._closure([file], code._Scope(code.PLUGINS, tmp_path))
        assert coop in closure, name
        assert ROOT / "bench" / "api" / "run.py" not in closure


def test_a_file_that_registers_for_another_is_known_by_the_outer_one(tmp_path: Path) -> None:
    (tmp_path / "inner_module.py").write_text("import bench\nbench.register('inner', bench.CoOp)\n", encoding="utf-8")
    outer = tmp_path / "outer_plugin.py"
    outer.write_text(f"import sys\nsys.path.append({str(tmp_path)!r})\nimport inner_module\n", encoding="utf-8")
    path = list(sys.path)
    try:
        load_plugin_file(str(outer))
    finally:
        sys.path[:] = path
        sys.modules.pop("inner_module", None)
    row = METHODS.row("inner")
    assert (row.origin, row.plugin_file) == ("file inner_module.py", str(outer))


def test_a_file_that_has_changed_since_it_was_imported_is_told(tmp_path: Path) -> None:
    file = tmp_path / "changing_plugin.py"
    file.write_text("import bench\nbench.register('changing', bench.CoOp)\n", encoding="utf-8")
    load_plugin_file(str(file))
    load_plugin_file(str(file))
    file.write_text("import bench\nbench.register('changed', bench.CoOp)\n", encoding="utf-8")
    with pytest.raises(bench.BenchError, match="has changed since it was imported; start Python, or the kernel, anew"):
        load_plugin_file(str(file))


SESSION = """
import bench
class Mine(bench.CoOp):
    pass
bench.register("mine", Mine)
print(bench.plan(method="mine", noise="none", seed=1).counts()["todo"])
try:
    bench.run(method="mine", noise="none", seed=1, store="no-store")
except bench.BenchError as error:
    print(error)
"""


def test_a_plugin_of_a_session_can_be_planned_and_is_refused_where_workers_would_need_it(tmp_path: Path) -> None:
    """As in a notebook: the code comes from no file."""
    ran = subprocess.run(
        [sys.executable, "-"], input=SESSION, capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert ran.stderr == ""
    assert ran.stdout.splitlines() == [
        "1",
        'method "mine" was registered by this program itself, where worker processes cannot find it; put it into a '
        "Python file of its own and give plugins=[that file].",
    ]
    assert not list(tmp_path.iterdir())
