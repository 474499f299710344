"""What a run lacks is told at once, before anything is trained or written."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.cli.main import invoke
from bench.cli.selection import Selection
from bench.clip import features, load
from bench.clip.place import ENVIRONMENT, unwritable
from bench.clip.tokens import Vocabulary
from bench.contracts.method import Method, Text
from bench.data import catalogue, library
from bench.errors import BenchError, Several
from bench.execution import execute, preflight
from bench.execution.execute import Request, make_ready, set_up
from bench.execution.plan import make_plan
from bench.grid.expansion import expand
from bench.plugins import METHODS
from bench.records.store import Store
from bench.schedulers.local import Local
from tests.schedulers.fakes import fake_trials

RUN = ["run", "--set", "method=coop", "--set", "seed=1", "--set", "rate=0.5", "--scheduler", "local", "--workers", "1"]


@pytest.fixture(autouse=True)
def _nothing_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(catalogue.ENVIRONMENT, str(tmp_path / "data"))
    library.open_dataset.cache_clear()
    yield
    library.open_dataset.cache_clear()


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The backbones that were loaded; those with "32" in their name cannot be had."""
    asked: list[str] = []

    def fake(name: str) -> SimpleNamespace:
        asked.append(name)
        if "32" in name:
            raise BenchError(f"the weights of {name} are not on this machine.")
        return SimpleNamespace(vocabulary=Vocabulary(None, 77))

    monkeypatch.setattr(load, "load_backbone", fake)
    return asked


def complaints(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *sets: str) -> list[str]:
    """The errors of a run, of which nothing is trained or written."""
    before = sorted(Path().rglob("*"))
    with monkeypatch.context() as patched:
        patched.setattr(Local, "run", lambda *_: pytest.fail("it began"))
        assert invoke([*RUN, *(part for text in sets for part in ("--set", text))]) == 2
    assert sorted(Path().rglob("*")) == before
    lines = capsys.readouterr().err.splitlines()
    return [line.removeprefix("error: ") for line in lines if not line.startswith("note: ")]


def test_all_data_and_weights_that_are_missing_are_told_at_once(
    loaded: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = complaints(
        capsys, monkeypatch, "dataset=digits,dtd,caltech101[mode=tv]", "backbone=tiny,ViT-B-16/openai,ViT-B-32/openai",
        "noise=none,open-set[source=eurosat],instance[encoder=ViT-B-32/laion400m_e32]",
    )  # fmt: skip
    assert [line.split(":")[0] for line in lines] == [
        "dataset dtd", "dataset caltech101[mode=tv]", "dataset eurosat",
        "the weights of ViT-B-32/openai are not on this machine.",
        "the weights of ViT-B-32/laion400m_e32 are not on this machine.",
        "nothing was run; for the data sets",
    ]  # fmt: skip
    assert lines[-1].endswith("bench data prepare dtd 'caltech101[mode=tv]' eurosat")
    assert loaded == ["ViT-B-16/openai", "ViT-B-32/openai", "ViT-B-32/laion400m_e32"]  # each once, `tiny` never


def test_weights_alone_name_no_data_set(
    loaded: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert complaints(capsys, monkeypatch, "backbone=ViT-B-32/openai") == [
        "the weights of ViT-B-32/openai are not on this machine."
    ]


def test_a_root_in_the_settings_is_where_it_looks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("bench.toml").write_text('[dataset.dtd]\nroot = "elsewhere"\n')
    (line, last) = complaints(capsys, monkeypatch, "dataset=dtd")
    assert '"elsewhere" has no ' in line
    assert last.endswith("bench data prepare dtd")


def test_a_plan_needs_neither_data_nor_weights(loaded: list[str]) -> None:
    assert invoke(["plan", "--set", "dataset=dtd", "--set", "backbone=ViT-B-16/openai"]) == 0
    assert loaded == []
    assert not Path("data").exists()


def test_only_cells_that_are_to_be_run_count(monkeypatch: pytest.MonkeyPatch, loaded: list[str]) -> None:
    fake_trials(monkeypatch)
    assert invoke([*RUN, "--set", "backbone=ViT-B-16/openai"]) == 0
    assert loaded == ["ViT-B-16/openai"]
    assert invoke([*RUN, "--set", "backbone=ViT-B-16/openai"]) == 0
    assert loaded == ["ViT-B-16/openai"]


def test_a_file_that_went_away_between_plan_and_run(tmp_path: Path) -> None:
    matrix = tmp_path / "matrix.csv"
    matrix.write_text("\n".join(",".join("1" if i == j else "0" for j in range(10)) for i in range(10)))
    config = Selection("quick", ["method=coop", f"noise=matrix[file={matrix}]"], None, None, ()).configuration
    plan, request = make_plan(expand(config, "quick"), Store("results")), Request(workers=1)
    matrix.unlink()
    with pytest.raises(Several) as caught:
        make_ready(plan, config, set_up(plan, config, request), request, lambda *_: None)
    assert caught.value.lines == (f'"{matrix}", which a kind of noise reads, is not there any more; restore it.',)
    assert str(caught.value) == caught.value.lines[0]


def test_an_error_of_one_line_is_that_line() -> None:
    assert BenchError("one").lines == ("one",)
    assert Several(["one", "two"]).lines == ("one", "two")
    assert str(Several(["one", "two"])) == "one\ntwo"
    assert Several(["one"]).exit_code == 2


def mine(*classes: str, about: str = "") -> str:
    """A data set of noise images in folders of these names."""
    for number, name in enumerate(classes):
        for index in range(12):
            file = Path("mine") / name / f"{index}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng([number, index]).integers(0, 256, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).save(file)
    Path("mine/dataset.toml").write_text(about)
    return "dataset=folder:mine"


def problems(*sets: str, here: bool = True) -> list[str]:
    """What is said before a run over given labels."""
    library.open_dataset.cache_clear()
    noise = () if any("noise=" in text for text in sets) else ("noise=given",)
    common = (*noise, "shots=2", "seed=1", "epochs=1")
    config = Selection("quick", [*common, *sets], None, None, ()).configuration
    plan = make_plan(expand(config, "quick"), Store("store"))
    try:
        preflight.check(plan, execute.trial_settings(config, "quick", "cpu"), here)
    except Several as error:
        return list(error.lines)
    return []


@pytest.mark.parametrize(("first", "second"), [("Cat", "cat"), ("R&B", "R&amp;B"), ("one", "one_")])
def test_classes_that_no_prompt_tells_apart(first: str, second: str) -> None:
    name = mine(first, second, "dog")
    for method in ("coop", "zero-shot", "linear-probe"):
        lines = problems(name, f"method={method}")
        assert lines[0] == (
            f'dataset folder:mine: the classes "{first}" and "{second}" are the same tokens to CLIP, in any prompt; '
            "rename one (own images: [names] in dataset.toml)."
        )
    assert problems(mine(about=f'[names]\n"{first}" = "letter"\n"{second}" = "digit"\n'), "method=coop") == []


def test_a_run_says_so_before_anything_is_encoded(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features.FeatureStore, "parts", lambda *_, **__: pytest.fail("it encoded"))
    name = mine("___", "dog")
    with monkeypatch.context() as patched:
        patched.setattr(Local, "run", lambda *_: pytest.fail("it began"))
        assert invoke(["run", "--set", name, "--set", "noise=given", "--set", "method=coop", "--set", "shots=2"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    line = line.removeprefix("error: ")
    assert line.startswith('dataset folder:mine: class "___" has no word')


def test_a_precision_that_the_device_does_not_have(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (line,) = complaints(capsys, monkeypatch, "precision=tf32", "device=cpu")
    assert line == (
        'precision = "tf32" is of the matrix units of a GPU, and this is a processor: set precision = "float32" or '
        '"bf16", or run it where torch finds CUDA.'
    )


def test_all_words_that_the_backbone_does_not_know_are_told_at_once() -> None:
    name = mine("lion", "dog", "sea_cow", about='templates = ["a photo of a {}, a type of pet."]\n')
    (line,) = problems(name, "method=zero-shot,coop,coop[init=a portrait of],linear-probe")
    assert line.startswith("backbone tiny, dataset folder:mine: no embedding for the words ")
    assert {f'"{word}"' for word in ("lion", "sea", "cow", "pet", "portrait")} == set(
        line.partition("words ")[2].partition(";")[0].split(", ")
    )
    assert problems(name, "method=linear-probe") == []  # it has no prompt


def test_texts_of_methods_count_on_embedded_data_too() -> None:
    assert problems("dataset=digits", "method=coop,zero-shot", "noise=none") == []
    (line,) = problems("dataset=digits", "method=coop[init=a portrait of]", "noise=none")
    assert 'dataset digits: no embedding for the word "portrait"' in line


def test_texts_that_a_kind_of_noise_asks_about() -> None:
    name = mine("lion", "dog", about='labels = "true"\n')
    lines = problems(name, "method=linear-probe", "noise=confusion", "rate=0.5")
    assert lines == problems(name, "method=linear-probe,zero-shot", "noise=confusion", "rate=0.5")
    assert lines[0].startswith('backbone tiny, dataset folder:mine: no embedding for the word "lion"')
    assert problems("dataset=digits", "method=linear-probe", "noise=confusion", "rate=0.5") == []


class Stumbling(Method):
    """Fails where it is asked for its texts."""

    @classmethod
    def texts(cls, *_: Any) -> tuple[Text, ...]:
        raise ZeroDivisionError


def test_a_plugin_that_cannot_say_its_texts_is_left_to_its_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(METHODS.get("coop"), "texts", Stumbling.texts)
    assert problems(mine("lion", "dog"), "method=coop") == []


def test_embedded_data_under_tiny_are_known_to_fit_without_torch() -> None:
    program = (
        "import sys; from bench.execution import execute, preflight; from bench.cli.selection import Selection\n"
        "from bench.grid.expansion import expand; from bench.execution.plan import make_plan\n"
        "from bench.records.store import Store\n"
        "config = Selection('quick', [], None, None, ()).configuration\n"
        "plan = make_plan(expand(config, 'quick'), Store('store'))\n"
        "sys.modules['open_clip'] = None\n"
        "preflight.check(plan, execute.trial_settings(config, 'quick', 'cpu'))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("method", ["coop", "zero-shot", "promptsrc", "maple"])
def test_a_name_that_is_longer_than_the_text_tower(method: str) -> None:
    name = mine("dog", "cat", about=f'[names]\ndog = "{"dog " * 80}"\n')
    (line,) = problems(name, f"method={method}")
    assert "and the text tower has 77: shorten the name by" in line
    assert "at most" not in line
    assert len(line) < 400


def test_a_context_that_leaves_no_room() -> None:
    name = mine("dog", "cat", about=f'[names]\ndog = "{"dog " * 40}"\n')
    assert problems(name, "method=coop[context=16]") == []
    (line,) = problems(name, "method=coop[context=16],coop[context=64]")
    assert "takes 107 tokens with 64 context vectors" in line
    assert "or use at most 34 context vectors" in line


def test_a_feature_folder_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = mine("dog", "cat")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "file" / "below"))
    for dataset in (name, "dataset=digits"):
        (line,) = problems(dataset, "method=coop", "noise=none")
        assert f'the feature folder "{tmp_path}/file/below/features" cannot be written (Not a directory); name' in line
        assert ENVIRONMENT in line
        assert problems(dataset, "method=coop", "noise=none", here=False) == []  # a cluster's machines have their own
    Path("bench.toml").write_text(f'[paths]\ncache = "{tmp_path}/other"\n')
    assert problems(name, "method=coop") == []
    assert not (tmp_path / "other").exists()


def refused(**_: Any) -> Any:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


@pytest.mark.slow
def test_a_folder_that_is_shared_to_be_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is stored there is enough for these cells, and not for those of other images."""
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "cache"))
    name = mine("dog", "cat")
    assert invoke(["run", *(part for text in (name, "method=coop", "noise=given", "shots=2", "seed=1", "epochs=1")
                            for part in ("--set", text)), "--workers", "1", "--scheduler", "local"]) == 0  # fmt: skip
    monkeypatch.setattr(tempfile, "TemporaryFile", refused)
    monkeypatch.setattr(features.FeatureStore, "_compute", lambda *_, **__: pytest.fail("it encoded"))
    assert problems(name, "method=coop[context=8]") == []
    (line,) = problems(mine("dog", "cat", "bird"), "method=coop")
    assert "cannot be written (Read-only file system)" in line


def test_looking_whether_a_folder_can_be_written_leaves_nothing(tmp_path: Path) -> None:
    assert unwritable(tmp_path / "a" / "b") is None
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert unwritable(tmp_path / "link" / "b") is not None
