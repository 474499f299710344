"""Digests of source code: what changes them, what does not, and how a record of other code is told."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.clip.features import FeatureKey
from bench.clip.load import load_tiny
from bench.data.library import Library
from bench.engine.resources import open_backbone
from bench.grid import code
from bench.grid.freshness import NOT_NOTED, stale_lines, stale_parts
from bench.plugins import BACKBONES, METHODS
from bench.records.parts import CodeState
from bench.registry import Row, load_plugin_file
from tests.cells import make_cell
from tests.in_process import READ_ONCE, bench
from tests.registered import registered
from tests.reports.factory import cell, record
from tests.test_plugin import PLUGIN

CODE = '''
"""A module."""

import helper
from bench.methods.coop import CoOp


class Mine(CoOp):
    """A method."""

    text = """two

lines"""

    def objective(self, logits, batch):
        """Its loss."""
        return {"ce": helper.SCALE * logits.mean()}  # smooth
'''


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Files are read once in a process; here they change."""
    for one in READ_ONCE:
        one.cache_clear()
    yield
    for one in READ_ONCE:
        one.cache_clear()


def digest(folder: Path, text: str = CODE, helper: str = "SCALE = 2\n") -> str:
    (folder / "mine.py").write_text(text, encoding="utf-8")
    (folder / "helper.py").write_text(helper, encoding="utf-8")
    for one in (code._plugin, code._source, code._tree, code._content):
        one.cache_clear()
    return code._plugin(Row("mine", "mine:Mine", origin="file mine.py", files=(str(folder / "mine.py"),)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("helper.SCALE * ", "helper.SCALE + "), ("import helper", "import helper as other"),
        ("two\n\nlines", "two\nlines"), ("return", "logits = logits / 2\n        return"),
    ],
)  # fmt: skip
def test_a_change_of_code_changes_the_digest(tmp_path: Path, old: str, new: str) -> None:
    assert old in CODE
    assert digest(tmp_path) != digest(tmp_path, CODE.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""A method."""', '"""Another\n\n    description."""'), ("    def", "    # why\n\n    def"),
        ('"""Its loss."""', '"""The loss."""'), ("class", "\n\nclass"), ("import helper\n", "import helper   \n"),
    ],
)  # fmt: skip
def test_comments_docstrings_and_blank_lines_do_not(tmp_path: Path, old: str, new: str) -> None:
    assert old in CODE
    assert digest(tmp_path) == digest(tmp_path, CODE.replace(old, new))


def test_what_a_plugin_imports_from_its_folder_counts_and_what_lies_beside_it_does_not(tmp_path: Path) -> None:
    first = digest(tmp_path)
    assert digest(tmp_path, helper="SCALE = 3\n") != first
    (tmp_path / "stranger.py").write_text("SCALE = 4\n")
    assert digest(tmp_path) == first


@pytest.mark.parametrize("text", ['"""D."""; K = {}', 'class A: "D."; K = {}', 'def f(): "D."; return {}'])
def test_code_that_shares_a_line_with_a_docstring_counts(tmp_path: Path, text: str) -> None:
    assert digest(tmp_path, text.format(1)) != digest(tmp_path, text.format(2))


@pytest.mark.parametrize("line", ["import pack.part.code", "from pack.part import code", "import pack.part.code as c"])
def test_the_packages_of_a_module_count_with_it(tmp_path: Path, line: str) -> None:
    (tmp_path / "pack" / "part").mkdir(parents=True)
    (tmp_path / "pack" / "part" / "code.py").write_text("A = 1\n")
    (tmp_path / "pack" / "__init__.py").write_text("A = 1\n")
    first = digest(tmp_path, line)
    (tmp_path / "pack" / "__init__.py").write_text("A = 2\n")
    assert digest(tmp_path, line) != first


def test_what_a_plugin_imports_from_a_users_own_folder_on_the_path_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, plugins = tmp_path / "library", tmp_path / "plugins"
    own.mkdir()
    plugins.mkdir()
    monkeypatch.syspath_prepend(str(own))
    (own / "my_losses.py").write_text("A = 1\n")
    line = "def f():\n    import my_losses, numpy, json\n"
    first = digest(plugins, line)
    (own / "my_losses.py").write_text("A = 2\n")
    assert digest(plugins, line) != first
    assert [code._elsewhere(name) for name in ("numpy", "json", "sys", "not_there", "bench")] == [[]] * 5


def test_helpers_that_exchange_their_names_count_and_the_name_of_a_plugin_does_not(tmp_path: Path) -> None:
    line = "import helper, other\n"
    (tmp_path / "other.py").write_text("SCALE = 3\n")
    first = digest(tmp_path, line)
    (tmp_path / "other.py").write_text("SCALE = 2\n")
    assert digest(tmp_path, line, "SCALE = 3\n") != first
    (tmp_path / "renamed.py").write_text(line)
    row = Row("mine", "renamed:Mine", origin="file renamed.py", files=(str(tmp_path / "renamed.py"),))
    assert code._plugin(row) == digest(tmp_path, line, "SCALE = 3\n")


@pytest.mark.usefixtures("registries")
def test_a_plugin_is_read_before_anything_is_run(tmp_path: Path) -> None:
    """What is written to a file while another cell trains is not what its plugin runs."""
    file = tmp_path / "early_plugin.py"
    text = "from bench.plugins import METHODS\nfrom bench.methods.coop import CoOp\nclass Mine(CoOp): A = 1\n"
    file.write_text(text + "METHODS.register('early', Mine)\n")
    load_plugin_file(str(file))
    code.read_plugins.cache_clear()
    code.code_of(cell("zero-shot"))
    first = code._content(file)
    file.write_text(text.replace("A = 1", "A = 2") + "METHODS.register('early', Mine)\n")
    before = code._plugin(METHODS.row("early"))
    assert "A = 1" in first
    code._plugin.cache_clear()
    assert code._plugin(METHODS.row("early")) == before


def test_features_of_other_code_of_a_backbone_are_other_features(tmp_path: Path) -> None:
    file = tmp_path / "my_tower.py"

    def key(text: str, version: int = 1) -> FeatureKey:
        file.write_text(text)
        for one in (code._plugin, code._source, code._tree, code._content, open_backbone):
            one.cache_clear()
        with registered():
            BACKBONES.add(Row("mine", "my_tower:load", "x", version, (), "file my_tower.py", (str(file),)), load_tiny)
            return FeatureKey.of("digest", "train", open_backbone("mine", "cpu"))

    first = key("A = 1\n")
    assert first.digest == key("A = 1\n").digest
    assert first.backbone == key("A = 2\n").backbone, "of one weights"
    assert len({first.digest, key("A = 2\n").digest, key("A = 1\n", 2).digest}) == 3
    ours = FeatureKey.of("digest", "train", open_backbone("tiny", "cpu"))
    assert "code" not in ours.entries, "the key it always was"


def test_a_file_that_is_no_python_of_this_version_counts_as_it_is(tmp_path: Path) -> None:
    assert digest(tmp_path, helper="SCALE = \n") != digest(tmp_path, helper="SCALE = (\n")


def test_what_is_inherited_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A base class of ours is a file of ours; other methods are none."""
    files = code._closure([code.ROOT / "bench/methods/gce_coop.py"], code._Scope(code.PLUGINS))
    names = {file.name for file in files}
    assert {"gce_coop.py", "coop.py", "losses.py", "prompt_learner.py"} <= names
    assert not {"visprompt.py", "__init__.py", "joapr.py"} & names


def test_every_plugin_of_ours_has_a_digest_and_different_files_different_ones() -> None:
    for registry in (METHODS, code.NOISE, code.DATASETS):
        digests: dict[str, set[str]] = {}
        for row in registry.rows():
            if row.origin == "built-in":
                digests.setdefault(row.target.partition(":")[0], set()).add(code._plugin(row))
        assert all(len(found) == 1 and "" not in found for found in digests.values())
        assert len(set.union(*digests.values())) == len(digests)


def test_the_engine_is_what_a_trial_imports_of_the_harness() -> None:
    files = code._closure([code.ROOT / name for name in code.ENGINE], code._Scope(("bench",)))
    names = {file.relative_to(code.ROOT).as_posix() for file in files}
    assert {
        "bench/engine/trial.py", "bench/engine/loop.py", "bench/engine/audit.py", "bench/clip/text.py",
        "bench/seeds.py", "bench/fewshot.py", "bench/contracts/method.py", "bench/contracts/noise.py",
    } <= names  # fmt: skip
    assert not {"bench/console.py", "bench/records/store.py", "bench/cli/run.py", "methods/coop.py"} & names


def test_a_package_counts_with_its_version_and_nothing_else_of_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "third_party_method"
    package.mkdir()
    (package / "__init__.py").write_text("from third_party_method.core import Mine\n")
    (package / "core.py").write_text("import numpy\nimport neighbour\nclass Mine: pass\n")
    (tmp_path / "neighbour.py").write_text("A = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def one(version: str) -> str:
        for cached in (code._plugin, code._source, code._tree, code._content):
            cached.cache_clear()
        return code._plugin(Row("mine", "third_party_method:Mine", origin=f"package third {version}"))

    first = one("1.0")
    assert one("1.1") != first
    (tmp_path / "neighbour.py").write_text("A = 2\n")
    assert one("1.0") == first, "of another distribution only the version could be known"
    (package / "core.py").write_text("class Mine: B = 1\n")
    assert one("1.0") != first, "also where an editable install keeps its version"
    monkeypatch.delitem(sys.modules, "third_party_method", raising=False)


@pytest.mark.usefixtures("registries")
def test_a_plugin_is_where_it_was_registered_and_where_its_class_is(tmp_path: Path) -> None:
    """A class may be made by a helper; the file that registers it decides too."""
    file = tmp_path / "registering_plugin.py"
    file.write_text("from bench.plugins import METHODS\nfrom bench.methods.coop import CoOp\n"
                    "METHODS.register('again-coop', CoOp)\n")  # fmt: skip
    load_plugin_file(str(file))
    row = METHODS.row("again-coop")
    assert [Path(name).name for name in row.files] == ["registering_plugin.py", "coop.py"]
    assert row.origin == "file registering_plugin.py"


def test_records_of_other_code_and_of_code_that_was_not_noted_are_told() -> None:
    now = code.code_of(cell())
    same, other, engine, unknown, synthetic = (record(cell(seed=seed)) for seed in range(5))
    same.provenance.sources = now
    other.provenance.sources = {**now, "method": "0" * 12, "noise": "1" * 12}
    engine.provenance.sources = {**now, "engine": "0" * 12}
    unknown.provenance.code = CodeState(commit="abc", dirty=False)
    found = stale_parts([same, other, engine, unknown, synthetic], Library())
    assert found == {
        other.key: ("other code of method coop", "other code of noise none"),
        engine.key: ("another engine",),
        unknown.key: (NOT_NOTED,),
    }
    (line,) = stale_lines(found)
    assert line.startswith("3 done cells were not made by the code and data that are here now: other code of method")
    assert line.endswith("They count as done, and tables tell them apart or say so; --rerun runs them anew.")
    assert stale_lines(found, rerun=True)[0].endswith("They are run anew.")
    assert stale_lines({}) == []


def test_a_plugin_that_is_gone_is_no_other_code() -> None:
    one = record(cell())
    one.provenance.sources = {"engine": "0" * 12}
    gone = one.model_copy(update={"cell": make_cell(dataset="digits", method="gone")})
    assert stale_parts([gone], Library()) == {}


@pytest.mark.slow
def test_an_edited_plugin_is_told_run_anew_on_request_and_never_averaged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(PLUGIN, encoding="utf-8")
    small = ["--plugin", "mine.py", "--set", "method=halved", "--set", "noise=none", "--set", "epochs=1", "--set",
             "shots=1", "--scheduler", "local", "--workers", "1"]  # fmt: skip

    def run(*more: str) -> tuple[str, list[dict[str, object]]]:
        exit_code, said = bench(tmp_path, "run", *small, *more), "".join(reversed(capsys.readouterr()))
        assert exit_code == 0, said
        files = sorted((tmp_path / "results").glob("*.json"))
        return said, [json.loads(file.read_text(encoding="utf-8")) for file in files]

    _, (first,) = run("--set", "seed=1")
    plugin.write_text(PLUGIN.replace("/ 2", "/ 3"), encoding="utf-8")
    said, (kept,) = run("--set", "seed=1")
    assert "1 done cell was not made by the code and data that are here now: other code of method halved-coop" in said
    assert "nothing left to do" in said
    assert kept == first

    said, records = run("--set", "seed=1,2")
    rows = [line.split() for line in said.splitlines() if line.startswith("digits")]
    assert len(records) == len(rows) == 2, "two seeds of two codes are two rows"

    said, records = run("--set", "seed=1,2", "--rerun")
    assert "They are run anew." in said
    (again,) = [one for one in records if one["key"] == first["key"]]
    assert again["provenance"]["sources"] != first["provenance"]["sources"]  # type: ignore[index]
    (attempt,) = again["attempts"]  # type: ignore[misc]
    assert attempt["record"] == {name: value for name, value in first.items() if name != "attempts"}
    assert "not made by" not in run("--set", "seed=1,2")[0]
