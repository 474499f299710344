"""A user's own folder from the command line to the report, with nobody knowing which labels are wrong."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

from bench.cli.main import invoke
from bench.data import library
from bench.records.store import Store
from bench.reports.figures import kinds
from tests.data.own.files import pictures

CLASSES = ("one", "two", "three")
METHODS = ["coop", "gce-coop", "coop@clean", "co-teaching"]
Output = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NOISY_PROMPT_BENCH_CACHE", str(tmp_path / "cache"))
    library.open_dataset.cache_clear()
    pictures(Path("photos"), *(f"{split}/{name}" for split in ("train", "test") for name in CLASSES), count=8)


def run(dataset: str, store: str, *more: str, methods: list[str] | None = None) -> int:
    sets = [
        f"dataset=folder:{dataset}",
        f"method={','.join(methods or METHODS)}",
        "shots=4",
        "epochs=2",
        "seed=1",
        *more,
    ]
    options = [part for text in sets for part in ("--set", text)]
    return invoke(["run", *options, "--scheduler", "local", "--workers", "1", "--store", store])


def test_what_cannot_be_measured_is_skipped_and_left_out(capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("photos", "one", "noise=given") == 0
    printed = capsys.readouterr().out
    assert "agrees with given %" in printed
    assert "memorized" not in printed
    assert "unfinished" in printed
    assert "did not finish" not in printed
    records = {record.cell.method + record.cell.suffix: record for record in Store("one").records()}
    reasons = {name: record.reason for name, record in records.items() if record.status == "skipped"}
    assert reasons == {
        "coop@clean": "the truth is unknown, so no clean subset can be told apart",
        "co-teaching": "the method is told the noise rate, which is unknown here",
    }
    done = records["coop"]
    assert done.noise.truth is False
    assert done.data.test_truth is True
    assert done.data.notes == [
        "The validation split is 20 % of the training images of every class, held out by a hash of their paths."
    ]
    assert set(done.curve.memorized) == set(done.curve.split_precision) == {None}
    assert None not in done.curve.train_given_accuracy

    assert run("photos", "one", "noise=given") == 0
    assert "nothing left to do, 2 of 4 done, 2 skipped." in capsys.readouterr().out
    assert invoke(["run", "--set", "dataset=folder:photos", "--set", "noise=given", "--set", "method=coop@clean,coop",
                   "--set", "shots=2", "--set", "epochs=1", "--set", "seed=1", "--scheduler", "local", "--workers", "1",
                   "--store", "fast", "--fail-fast"]) == 0  # fmt: skip
    assert len(Store("fast").keys()) == 2, "a skipped cell stops nothing"

    monkeypatch.setattr(kinds, "draw", lambda *_: ([], []))
    assert invoke(["report", "--store", "one"]) == 0
    text = Path("one/report/report.md").read_text(encoding="utf-8")
    assert "2 of 4 recorded cells finished, 2 were skipped." in text
    assert "\n## folder:photos, 4 shots, tiny\n\nfolder:photos, 4 shots per class, backbone tiny" in text
    assert "Nobody knows which training labels are wrong here" in text
    assert "*Memorized*" not in text
    assert (
        "S: skipped, because the truth is unknown, so no clean subset can be told apart, or the method is told" in text
    )
    assert "## Skipped" in text
    tables = {path.name.partition("-")[0] for path in Path("one/report/tables").glob("*.tex")}
    assert tables == {"accuracy", "agreement", "cost"}
    rows = list(csv.DictReader(Path("one/report/tables/agreement.csv").read_text(encoding="utf-8").splitlines()))
    assert {row["measure"] for row in rows} >= {"train_given_accuracy", "train_given_accuracy_excess"}


def test_a_copy_elsewhere_gives_the_same_keys_and_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree("photos", "deep/er/copy")
    assert run("photos", "one", "noise=given", methods=["gce-coop"]) == 0
    monkeypatch.setenv("NOISY_PROMPT_BENCH_CACHE", "another")
    assert run("deep/er/copy", "two", "noise=given", methods=["gce-coop"]) == 0
    (one,), (two,) = (list(Store(name).records()) for name in ("one", "two"))
    assert one.key == two.key
    for part in ("curve", "accuracy", "noise", "data"):
        assert getattr(one, part) == getattr(two, part), part
    assert one.cell.dataset != two.cell.dataset


def test_labels_that_are_true_take_synthetic_noise_and_others_only_on_top(capsys: Output) -> None:
    assert run("photos", "one", "noise=symmetric", "rate=0.5", methods=["coop"]) == 4
    assert "use noise given, or add the option on_top=true" in capsys.readouterr().out
    assert run("photos", "top", "noise=symmetric[on_top=true]", "rate=0.5", methods=["coop"]) == 0
    assert [record.noise.truth for record in Store("top").records()] == [False]
    Path("photos/dataset.toml").write_text('labels = "true"')
    library.open_dataset.cache_clear()
    assert run("photos", "two", "noise=symmetric", "rate=0.5", methods=["coop", "coop@clean"]) == 0
    assert "memorized %" in capsys.readouterr().out
    assert {record.noise.realised_rate for record in Store("two").records()} == {0.5}
    assert {record.status for record in Store("two").records()} == {"done"}


def test_what_is_left_out_is_said_at_the_start_in_the_record_and_in_the_report(
    capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("photos", "none", "noise=given", methods=["zero-shot"]) == 0
    assert capsys.readouterr().err == ""
    Path("photos/train/one/phone.heic").write_bytes(b"x")
    Path("photos/train/one/gone.png").symlink_to("nowhere")
    pictures(Path("photos"), "more/one")
    library.open_dataset.cache_clear()
    assert run("photos", "one", "noise=given", methods=["zero-shot", "coop"]) == 0
    left_out = [
        'Left out: 1 file of a kind that is not read (.heic 1), "train/one/phone.heic".',
        'Left out: 1 link that leads nowhere, "train/one/gone.png".',
        'Left out: 1 folder of images that is no split with folders of classes, "more".',
    ]
    captured = capsys.readouterr()
    assert captured.err == f"note: folder:photos: {' '.join(left_out)}\n"
    records = list(Store("one").records())
    assert [record.data.left_out for record in records] == [left_out] * 2
    assert {record.key for record in Store("none").records()} < {record.key for record in records}
    monkeypatch.setattr(kinds, "draw", lambda *_: ([], []))
    assert invoke(["report", "--store", "one"]) == 0
    assert 'Left out: 1 link that leads nowhere, "train/one/gone.png"' in Path("one/report/report.md").read_text()


def test_a_folder_that_is_not_there_is_one_line(capsys: Output) -> None:
    assert run("nowhere", "one", "noise=given") == 2
    assert capsys.readouterr().err == "error: dataset folder:nowhere does not exist; change the path.\n"
    assert not Path("one").exists()
