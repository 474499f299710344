"""Kept prompts, method by method, and `bench predict`: what a record has learned says the same of the same images."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load, load_file, save_file

from bench.cli.main import invoke
from bench.cli.predict import predict_labels
from bench.clip.identity import TINY_WEIGHTS
from bench.contracts.method import Context, Inputs, Method
from bench.data.library import Library
from bench.engine.checkpoint import restore
from bench.engine.resources import TrialSettings, inputs_of, open_backbone
from bench.engine.trial import Run, one_thread, run_cell, run_pack
from bench.errors import BenchError
from bench.methods.coop import CoOp
from bench.plugins import METHODS
from bench.records.provenance import Clock, provenance_of
from bench.records.record import Record
from bench.records.store import Store
from tests.few_digits import FEW, FewLibrary, cache, execute, few, finished

ALL = sorted(METHODS)
FEWEST, MOST = 300, 200_000  # bytes of a file on `tiny`: nothing learned, and a second image tower
NOT_KEPT = {
    "visprompt": ({"control": "shuffled"}, "predicts from training images"),
    "promptsrc": ({"faithful": True}, "or from weights, that are no parameter"),
}
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("deft", {"fine_tune": 1}), ("co-teaching", {"faithful": True}), ("coop", {"class_specific": True}),
    ("tip-adapter-f", {"split": "argmax"}), ("visprompt", {"control": "image-free"}), ("upl", {"members": 2}),
]  # fmt: skip


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Library, "open", FewLibrary.open)


def predicted(method: Method, inputs: Inputs) -> torch.Tensor:
    with torch.no_grad(), one_thread():
        return method.predict(inputs.take(slice(None)), method.prepare())


def check(run: Run) -> dict[str, torch.Tensor]:
    """The restored method is the finished one on images that it has not seen; returns what was kept."""
    assert run.not_kept == ""
    assert run.method is not None
    restored, class_names, samples = restore(run.kept, run.cell, open_backbone("tiny", "cpu"))
    assert (class_names, samples) == (FEW.class_names, len(run.visible))
    needs = run.method.needs(run.method.options)
    inputs = inputs_of(FEW, "test", open_backbone("tiny", "cpu"), needs, run.settings)
    assert torch.equal(predicted(restored, inputs), predicted(run.method, inputs))
    kept = load(run.kept)
    assert kept.keys() <= run.method.state_dict().keys()
    return kept


@pytest.mark.parametrize("method", ALL)
def test_every_method_is_kept_in_its_default_form(method: str) -> None:
    run = finished(method)
    kept = check(run)
    assert FEWEST < len(run.kept) < MOST
    assert bool(kept) == (method != "zero-shot")
    assert not {"observed", "text", "teacher", "memory", "selected"} & kept.keys()
    assert run.entries()["cost"]["prompts_bytes"] == len(run.kept)
    assert run.outcomes()["prompts"].tobytes() == run.kept


@pytest.mark.parametrize(("method", "options"), VARIANTS, ids=[name for name, _ in VARIANTS])
def test_variants_are_kept_too(method: str, options: dict[str, Any]) -> None:
    run = Run(few(method, options=options), TrialSettings(cache=cache(), keep_prompts=True))
    execute(run)
    check(run)


@pytest.mark.parametrize("method", NOT_KEPT)
def test_what_cannot_be_kept_says_why_and_writes_nothing(method: str, tmp_path: Path) -> None:
    options, reason = NOT_KEPT[method]
    cell = few(method, options=options)
    record, outcomes = run_cell("0" * 16, cell, TrialSettings(cache=cache(), keep_prompts=True))
    assert record.status == "done"
    assert reason in record.cost.prompts_not_kept
    assert "prompts" not in outcomes
    store = Store(tmp_path / "s")
    store.publish(record, outcomes)
    assert store.prompts(record.key) is None
    with pytest.raises(
        BenchError, match=f"cannot be kept: it {reason.split()[0]}" if method == "visprompt" else reason
    ):
        told(store, record.key, "x.png")


def told(store: Store, key: str, *paths: str) -> None:
    predict_labels(key, [*paths], store=store.root)


class Greedy(CoOp):
    """Wants real features in its set-up."""

    def setup(self, context: Context) -> None:
        if not context.train.pooled.any():
            raise ValueError("no features\nat all")
        super().setup(context)


@pytest.mark.usefixtures("registries")
def test_a_set_up_that_fails_without_images_is_a_reason() -> None:
    METHODS.register("greedy", Greedy)
    assert finished("greedy").not_kept == "its set-up fails without training images: ValueError: no features at all"


def test_nothing_is_kept_unless_asked_for() -> None:
    record, outcomes = run_cell("key", few("coop"), TrialSettings(cache=cache()))
    assert "prompts" not in outcomes
    assert not {"prompts_bytes", "prompts_not_kept"} & record.cost.model_fields_set


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, dict[str, Record], Path]:
    """A store with the kept prompts of three methods, and the test images as files."""
    root = tmp_path_factory.mktemp("shop")
    store = Store(root / "store")
    records = {}
    for number, method in enumerate(("coop", "visprompt", "maple")):
        run = finished(method)
        record = Record(
            schema=1, key=f"{number}abc{number:012d}", status="done", cell=run.cell, provenance=provenance_of(Clock()),
            **run.entries(),
        )  # fmt: skip
        store.publish(record, run.outcomes())
        records[method] = record
    plain, outcomes = run_cell("1abcffffffffffff", few("coop"), TrialSettings(cache=cache()))
    store.publish(plain, outcomes)
    store.publish(plain.model_copy(update={"key": "3" * 16, "status": "failed", "reason": "as ordered"}), {})
    (root / "images" / "more").mkdir(parents=True)
    for index in range(len(FEW.splits["test"])):
        FEW.splits["test"].images[index].save(root / "images" / "more" / f"{index:03d}.png")
    return store, records, root


Shop = tuple[Store, dict[str, Record], Path]


@pytest.mark.parametrize("method", ["coop", "visprompt", "maple"])
def test_predictions_are_those_of_the_run_on_the_same_images(
    method: str, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    store, records, root = shop
    run = finished(method)
    assert run.method is not None
    needs = run.method.needs(run.method.options)
    inputs = inputs_of(FEW, "test", open_backbone("tiny", "cpu"), needs, run.settings)
    expected = predicted(run.method, inputs).softmax(1)
    assert invoke(["predict", records[method].key, str(root / "images"), "--store", store.root, "--top", "3"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 3 * len(expected)
    best = expected.topk(3, dim=1)
    for index in range(len(expected)):
        for place in range(3):
            row = rows[3 * index + place]
            assert Path(row["path"]).name == f"{index:03d}.png"
            assert row["rank"] == str(place + 1)
            assert row["label"] == FEW.class_names[int(best.indices[index, place])]
            assert float(row["probability"]) == pytest.approx(float(best.values[index, place]), abs=1e-5)
    if method == "coop":
        hits = np.mean(
            [row["label"] == FEW.class_names[FEW.splits["test"].labels[i]] for i, row in enumerate(rows[::3])]
        )
        assert hits == records[method].accuracy.last


def test_labels_stand_by_logits_where_probabilities_are_equal(
    shop: Shop, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, records, root = shop
    ask = ["predict", records["coop"].key, str(root / "images"), "--store", store.root, "--top", "3"]
    plain, answers = CoOp.predict, []
    for scale in (1.0, 1e-9):
        monkeypatch.setattr(CoOp, "predict", lambda self, *asked, by=scale: by * plain(self, *asked))
        assert invoke(ask) == 0
        answers.append([row["label"] for row in csv.DictReader(io.StringIO(capsys.readouterr().out))])
    assert answers[0] == answers[1]


def test_a_key_may_be_cut_short_and_the_answer_a_file(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    store, _, root = shop
    image, out = root / "images" / "more" / "000.png", root / "answers" / "a.csv"
    assert invoke(["predict", "0", str(image), "--store", store.root, "--out", str(out)]) == 0
    assert capsys.readouterr().out == ""
    assert out.read_text().splitlines()[0] == "path,rank,label,probability"
    assert len(out.read_text().splitlines()) == 2
    assert [file.name for file in out.parent.iterdir()] == ["a.csv"]


def test_images_that_cannot_be_decoded_are_named_and_skipped(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    store, _, root = shop
    folder = root / "broken"
    folder.mkdir()
    (folder / "text.png").write_text("no image")
    whole = (root / "images" / "more" / "001.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[:60])
    (folder / "whole.png").write_bytes(whole)
    (folder / "notes.txt").write_text("not asked for")
    assert invoke(["predict", "0abc", str(folder), "--store", store.root]) == 4
    captured = capsys.readouterr()
    assert [line.split(",")[0] for line in captured.out.splitlines()[1:]] == [str(folder / "whole.png")]
    assert f'note: "{folder / "text.png"}" cannot be decoded: not an image' in captured.err
    assert "cut.png" in captured.err
    assert "2 of 3 images were skipped" in captured.err
    assert "Traceback" not in captured.err


def test_folders_are_searched_by_the_rules_of_a_users_own_images(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    store, _, root = shop
    whole, folder = root / "images" / "more" / "000.png", root / "messy"
    for name in ("b.PNG", "a.png", "deep/c.png", ".ipynb_checkpoints/a-checkpoint.png", ".hidden.png", "@eaDir/b.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(whole.read_bytes())
    (folder / "notes.txt").write_text("no image")
    (folder / "phone.heic").write_bytes(b"x")
    (folder / "linked").symlink_to(root / "images" / "more")
    (folder / "gone.png").symlink_to(root / "nowhere.png")
    assert invoke(["predict", "0abc", str(folder), "--store", store.root]) == 0
    captured = capsys.readouterr()
    found = [row["path"].removeprefix(f"{folder}/") for row in csv.DictReader(io.StringIO(captured.out))]
    linked = [f"linked/{index:03d}.png" for index in range(len(FEW.splits["test"]))]
    assert found == ["a.png", "b.PNG", "deep/c.png", *linked]
    assert captured.err.splitlines() == [
        f'note: "{folder}": Left out: 1 file of a kind that is not read (.heic 1), "phone.heic".',
        f'note: "{folder}": Left out: 1 link that leads nowhere, "gone.png".',
        f'note: "{folder}": Left out: 2 hidden files or folders, first ".hidden.png".',
        f'note: "{folder}": Left out: 1 folder of a system\'s own files, "@eaDir".',
    ]


def test_deep_and_turned_images_are_read_as_in_a_run(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    store, _, root = shop
    folder = root / "forms"
    folder.mkdir()
    plain = FEW.splits["test"].images[0].convert("L")
    plain.putpixel((0, 0), 255)  # floats of no declared range are scaled by their own
    pixels = np.asarray(plain)
    plain.save(folder / "0.png")
    Image.fromarray(pixels.astype(np.uint16) * 257).save(folder / "1.png")
    Image.fromarray(pixels.astype(np.uint16) * 257).save(folder / "2.tif")
    Image.fromarray((pixels / 255).astype(np.float32)).save(folder / "3.tif")
    exif = Image.Exif()
    exif[0x112] = 6
    plain.transpose(Image.Transpose.ROTATE_90).save(folder / "4.png", exif=exif)
    assert invoke(["predict", "0abc", str(folder), "--store", store.root, "--top", "3"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    answers = [[(row["label"], row["probability"]) for row in rows[start : start + 3]] for start in range(0, 15, 3)]
    assert answers == [answers[0]] * 5


MISTAKES: dict[str, tuple[Callable[[Path], list[str]], str]] = {
    "unknown key": (lambda root: ["ffff", str(root)], 'has no record "ffff"'),
    "several keys": (lambda root: ["1abc", str(root)], '"1abc" begins 2 keys'),
    "not kept": (
        lambda root: ["1abcf", str(root / "images")],
        "with --set keep_prompts=true --set method=coop --set seed=1 --store OTHER.",
    ),
    "not done": (lambda root: ["333", str(root)], "is failed (as ordered), so it has learned nothing"),
    "no path": (lambda root: ["0", str(root / "nowhere")], 'nowhere" does not exist; give images'),
    "no UTF-8": (lambda root: ["0", str(root / "caf\udce9.png")], r'caf\xe9.png" has a name that is not UTF-8'),
    "too long": (lambda root: ["0", "x" * 300], "does not exist; give images"),
    "no image": (lambda root: ["0", str(root / "store")], "there is no image in"),
    "other weights": (
        lambda root: ["0", str(root / "images"), "--backbone", str(root / "other.safetensors")],
        "were trained on other weights",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_one_line(mistake: str, shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    store, _, root = shop
    state = load_file(TINY_WEIGHTS)
    state["logit_scale"] = state["logit_scale"] + 1
    save_file(state, root / "other.safetensors")
    for config in TINY_WEIGHTS.parent.glob("*.json"):
        (root / config.name.replace("weights", "other")).write_bytes(config.read_bytes())
    arguments, expected = MISTAKES[mistake]
    assert invoke(["predict", *arguments(root), "--store", store.root]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert expected in captured.err


def test_torn_and_foreign_files_are_refused() -> None:
    run, backbone = finished("coop"), open_backbone("tiny", "cpu")
    with pytest.raises(BenchError, match="are damaged"):
        restore(run.kept[:-9], run.cell, backbone)
    with pytest.raises(BenchError, match="are damaged"):
        restore(b"", run.cell, backbone)
    other = run.cell.model_copy(update={"method": "nlprompt", "options": few("nlprompt").options})
    with pytest.raises(BenchError, match="were kept by coop 1, here is nlprompt 1"):
        restore(run.kept, other, backbone)


def test_prompts_of_another_version_under_a_condition_are_refused() -> None:
    run = Run(few("nlprompt", options={"faithful": True}, rate=0.1), TrialSettings(cache=cache(), keep_prompts=True))
    execute(run)
    backbone = open_backbone("tiny", "cpu")
    with pytest.raises(BenchError, match=r"kept by nlprompt 1 \(faithful 1\), here is nlprompt 1 \(faithful 2\); run"):
        restore(run.kept.replace(b"(faithful 2)", b"(faithful 1)"), run.cell, backbone)
    restore(run.kept.replace(b"version_when", b"not_in_0.1.0"), run.cell, backbone)
    plain = run.cell.model_copy(update={"options": few("nlprompt").options})
    with pytest.raises(BenchError, match=r"kept by nlprompt 1 \(faithful 2\), here is nlprompt 1; run"):
        restore(run.kept, plain, backbone)


def test_the_store_publishes_prompts_with_the_record_and_never_over_a_done_one(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    published: list[bool] = []
    settings = TrialSettings(cache=cache(), keep_prompts=True)
    for epochs in (2, 1):
        run_pack(
            [("a" * 16, few("coop", epochs=epochs))],
            lambda record, outcomes: published.append(store.publish(record, outcomes)),
            settings,
        )
        if epochs == 2:
            before = store.prompts("a" * 16)
    assert published == [True, False]
    assert before is not None
    assert store.prompts("a" * 16) == before
    assert store.keys() == ["a" * 16]
    assert "prompts" not in store.outcomes("a" * 16)
    assert {file.suffix for file in (tmp_path / "s").iterdir()} <= {".json", ".safetensors", ".tmp"}


def test_the_command_line_keeps_and_predicts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NOISY_PROMPT_BENCH_CACHE", cache())
    small = ["--set", "noise=none", "--set", "seed=1", "--set", "epochs=1", "--set", "shots=2", "--workers", "1"]
    assert invoke(["run", "--set", "method=coop", "--set", "keep_prompts=true", *small]) == 0
    key = Store("results").keys()[0]
    FEW.splits["test"].images[0].save(tmp_path / "a.png")
    capsys.readouterr()
    assert invoke(["predict", key[:6], "a.png"]) == 0
    assert capsys.readouterr().out.startswith("path,rank,label,probability\na.png,1,")
