"""Every command of README and docs: understood by the real command line, and run, planned, or listed with its reason.

The pages in `WALKED` are run whole by `test_tutorials`. Of the others, what ends in seconds is run here on a small
store, and a run that takes minutes is planned, which resolves every name, option and cell of it.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperCommand
from typer.main import get_command

from bench.cli.app import VERBS, app
from bench.cli.main import invoke
from bench.data import library
from bench.grid.filters import FIELDS
from bench.grid.overrides import assigned, override
from bench.records.store import Store
from bench.settings.schema import load_config
from tests import ROOT
from tests.data.own.files import pictures
from tests.docs.blocks import PAGES, WALKED, blocks, commands, words

EVERYWHERE = [(page.relative_to(ROOT).as_posix(), line) for page in PAGES for line in commands(page)]
ELSEWHERE = [one for one in EVERYWHERE if one[0].removeprefix("docs/") not in WALKED]
# Why a command is not run, by what its line has. The first that is found counts.
NOT_RUN = {
    "--address": "it needs a running Ray cluster",
    "data prepare": "it downloads a data set",
    "data verify caltech101": "it needs a data set that is downloaded",
    "backbone=ViT": "it needs CLIP's weights, which are downloaded",
    "backbone=weights": "it needs CLIP's weights",
    "--device cuda": "it needs a GPU",
    "bench perf": "it measures speed for minutes; tests/perf and tests/cli/test_perf.py run it small",
    "--columns none": "tests/cli/test_report.py runs it; the columns are those of the reader's records",
    "--published": "tests/reports/published build that part; here the store has nothing like it",
    "--format": "it writes with packages of the extra `tracking`; tests/tracking and tests/cli/test_export.py run it",
    "bench reproduce": "tests/reproduce run it; it trains a record's cell again",
    "bench doctor": "tests/doctor and tests/cli/test_doctor.py run it; what it answers depends on the machine",
    "bench import": "tests/cli/test_export.py runs it; the archive is another reader's",
    "bench suspects --store": "it follows runs of minutes",
    "bench compare": "tests/cli/test_compare.py and the tutorial of the gate run it; the baseline is the reader's",
    "corrections.csv": "a browser saves the file; tests/suspects/test_page_in_browser.py opens it as a data set",
    "others.csv": "the page writes the file, from the reader's suspects",
    "new_photos": "tests/cli/test_predict.py runs it; the images are the reader's",
    "new_images": "tests/cli/test_predict.py runs it; the images are the reader's",
}
# Runs of minutes or of files that the page makes before: planned instead.
PLANNED = ("bench run",)
INSTANT = ("list", "plan", "status", "show", "table", "report", "config", "noise", "data", "suspects")


def reason(line: str) -> str:
    return next((told for mark, told in NOT_RUN.items() if mark in line), "")


def in_place(text: str, key: str = "0f3a") -> str:
    """The line with a value for what stands for one."""
    return re.sub(r"\bKEY\b|\b3f2a\b", key, text).replace("FILE", "baseline.json").replace("DIR", "runs")


@pytest.mark.parametrize(("page", "line"), EVERYWHERE)
def test_every_command_is_understood(page: str, line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    _write_settings(page)
    found: list[dict[str, Any]] = []
    monkeypatch.setattr(TyperCommand, "invoke", lambda self, context: found.append(context.params) or 0)
    assert invoke(words(in_place(line))) == 0
    (given,) = found
    sets = given.get("sets") or ()
    if line.split()[1] in ("table", "suspects", "export", "compare", "status"):
        assigned(sets, FIELDS)
    elif "--plugin" not in line:
        override(load_config(), given.get("grid") or "quick", sets)


INLINE = [
    (page.relative_to(ROOT).as_posix(), found)
    for page in PAGES
    for found in dict.fromkeys(re.findall(r"`(bench [a-z][^`]*)`", page.read_text(encoding="utf-8")))
]


def test_verbs_and_options_that_sentences_name_exist() -> None:
    root: Any = get_command(app)
    assert len(INLINE) > 60
    unknown = []
    for page, text in INLINE:
        _, verb, *rest = " ".join(text.split()).split()
        command = root.get_command(None, verb) if verb in VERBS else None
        command = getattr(command, "commands", {}).get(rest[0] if rest else "", command)
        known = {option for one in getattr(command, "params", ()) for option in one.opts} | {"-h", "--help"}
        if command is None or not {word.partition("=")[0] for word in rest if word.startswith("-")} <= known:
            unknown.append((page, text))
    assert unknown == []


def _write_settings(page: str) -> None:
    """The `bench.toml` that a page tells its reader to write."""
    for block in blocks(ROOT / page):
        if block.file == "bench.toml":
            Path(block.file).write_text(block.text, encoding="utf-8")


def test_what_is_not_run_is_not_run_for_a_reason_that_is_needed() -> None:
    lines = [line for _, line in ELSEWHERE]
    assert len(lines) > 80
    used = {next(mark for mark in NOT_RUN if mark in line) for line in lines if reason(line)}
    assert used == {*NOT_RUN}, "a reason that no line has"
    rest = [line for line in lines if not reason(line)]
    assert [line for line in rest if line.split()[1] not in (*INSTANT, "run", "test")] == []


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as a reader has it: a store of two records, a folder of images, a plugin file, a mask."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NOISY_PROMPT_BENCH_CACHE", str(tmp_path / "cache"))
    library.open_dataset.cache_clear()
    shutil.copy(ROOT / "examples" / "my_method.py", "mine.py")
    pictures(Path("photos"), *(f"{split}/{name}" for split in ("train", "test") for name in ("one", "two")), count=4)
    axes = {"method": "coop,gce-coop", "noise": "symmetric", "rate": "0.5", "seed": "1", "shots": "2", "epochs": "2"}
    sets = [part for name, value in axes.items() for part in ("--set", f"{name}={value}")]
    assert invoke(["run", *sets, "--scheduler", "local", "--workers", "1"]) == 0
    assert invoke(["noise", "export", *sets[2:], "--out", "mask.csv"]) == 0
    return tmp_path


@pytest.mark.slow
@pytest.mark.usefixtures("registries")
def test_what_ends_in_seconds_is_run_and_what_takes_longer_is_planned(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("bench.reports.figures.kinds.draw", lambda *_: ([], []))  # tests/reports draw
    key = Store("results").keys()[0][:8]
    lines = dict.fromkeys(in_place(line, key) for page, line in ELSEWHERE if not reason(line))
    failed = []
    for line in lines:
        arguments = words(line)
        if line.startswith(PLANNED):
            arguments = ["plan", *_for_plan(arguments[1:])]
        if (code := invoke(arguments)) != 0:
            failed.append((line, code, capsys.readouterr().err))
    assert not failed, "\n".join(map(str, failed))


def _for_plan(arguments: list[str]) -> list[str]:
    """The options of a run that a plan has too."""
    without = {"--workers": 1, "--tensorboard": 1, "--mlflow": 1, "--wandb": 1, "--rerun": 0, "--retry": 1}
    kept, rest = [], iter(arguments)
    for word in rest:
        if word in without:
            for _ in range(without[word]):
                next(rest)
        else:
            kept.append(word)
    return kept
