"""Augmented views from the data to the method: recorded by seed, one per epoch, and never in the audit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.contracts.method import Batch, FullPass, Inputs, Losses, Method, Needs, Options, Phase
from bench.contracts.noise import Foreign, NoisyLabels, Sampled
from bench.engine.audit import Audit
from bench.engine.feature_rows import SampleOrigin, alone
from bench.engine.inputs import features_of
from bench.engine.loop import train
from bench.engine.member import Member, TrainingData
from bench.engine.resources import (
    TrialSettings,
    inputs_of,
    labelled,
    open_backbone,
    store_of,
    views_of,
)
from bench.engine.trial import Run, run_cell
from bench.images.augment import Augmented, View
from bench.images.loader import LoaderLimits
from bench.plugins import METHODS
from bench.records.cell import Cell
from tests.cells import make_cell


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> TrialSettings:
    return TrialSettings(cache=str(tmp_path_factory.mktemp("features")))


def small(method: str, **changes: Any) -> Cell:
    values: dict[str, Any] = {
        "dataset": "digits", "backbone": "tiny", "method": method, "shots": 2, "noise": "symmetric", "rate": 0.5,
        "epochs": 2, "batch_size": 16, "learning_rate": 0.002, "views": 2,
    }  # fmt: skip
    options = METHODS.get(method).Options().model_dump()
    return make_cell(**{**values, "options": options, **changes})


def text(cell: Cell, settings: TrialSettings) -> str:
    record, _ = run_cell("key", cell, settings)
    assert record.status == "done", record.reason
    return record.model_dump_json(include={"curve", "accuracy", "diagnostics"})


class Watching(Method):
    """A linear classifier that keeps its batches and full passes."""

    def __init__(self) -> None:
        super().__init__(Options())
        self.weight = nn.Parameter(torch.ones(3, 2))
        self.register_buffer("observed", torch.zeros(10, dtype=torch.long))
        self.batches: list[Batch] = []
        self.passes: list[dict[str, Tensor]] = []

    @classmethod
    def needs(cls, options: Options) -> Needs:
        return Needs(full_pass=True)

    def begin_epoch(self, epoch: int, full_pass: FullPass) -> tuple[Phase, ...]:
        self.passes.append({view: full_pass(view) for view in ("plain", "augmented")} | {"default": full_pass()})
        with pytest.raises(ValueError, match="unknown view 'other'"):
            full_pass("other")
        return super().begin_epoch(epoch, full_pass)

    def forward(self, batch: Batch) -> Losses:
        self.batches.append(batch)
        return Losses({"ce": F.cross_entropy(self.predict(batch.inputs, {}), batch.observed)})

    def predict(self, inputs: Inputs, prepared: Mapping[str, Tensor]) -> Tensor:
        return inputs.pooled @ self.weight.T


def watched(views: int, epochs: int = 3) -> tuple[Watching, Member]:
    generator = torch.Generator().manual_seed(0)
    plain, *others = (Inputs(torch.randn(10, 2, generator=generator)) for _ in range(1 + views))
    labels, shown = torch.arange(10) % 3, torch.tensor([7, 1, 4, 8, 0, 2, 3, 5, 6, 9])
    method = Watching()
    data = TrainingData(plain, labels, shown, (plain, labels), plain, 3, others)
    cell = make_cell(epochs=epochs, batch_size=10, views=views, learning_rate=1e-3)
    member = Member(method, cell, data, Audit(labels, labels, labels, labels, shown))
    train(member)
    return method, member


@pytest.mark.parametrize(("views", "expected"), [(0, [None, None, None]), (2, [0, 1, 0]), (3, [0, 1, 2])])
def test_an_epoch_trains_on_its_view_and_as_many_as_epochs_on_a_new_one_each(
    views: int, expected: list[int | None]
) -> None:
    method, member = watched(views)
    data = member.data
    for batch, number in zip(method.batches, expected, strict=True):
        source = data.train if number is None else data.views[number]
        assert torch.equal(batch.inputs.pooled, source.pooled[data.visible[batch.index]])


@pytest.mark.parametrize("views", [0, 2])
def test_a_full_pass_is_plain_unless_the_epochs_view_is_asked_for(views: int) -> None:
    method, member = watched(views)
    data, weight = member.data, torch.ones(3, 2)
    for epoch, found in enumerate(method.passes):
        if epoch:
            assert torch.equal(found["plain"], found["default"])
            continue
        assert torch.equal(found["plain"], data.train.pooled[data.visible] @ weight.T)
        assert torch.equal(found["augmented"], data.seen(1).pooled[data.visible] @ weight.T)
    assert all(torch.equal(found["plain"], found["augmented"]) == (views == 0) for found in method.passes)


def test_the_audit_keeps_the_plain_view(settings: TrialSettings) -> None:
    """Nothing is trained, so every number is the same whatever the views."""
    assert text(small("zero-shot"), settings) == text(small("zero-shot", views=0), settings)
    assert watched(0, epochs=1)[1].audit.rows[0] == watched(2, epochs=1)[1].audit.rows[0]


@pytest.mark.parametrize("method", ["coop", "visprompt", "joapr", "upl", "tip-adapter-f", "clap"])
def test_views_change_what_is_learned_and_repeat_bit_for_bit(
    method: str, settings: TrialSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = text(small(method), settings)
    assert (seen == text(small(method, views=0), settings)) == (method == "upl"), "upl trains on the pool, as it is"
    monkeypatch.setattr(LoaderLimits, "processes", lambda *_: 2)
    assert text(small(method), TrialSettings(cache=str(tmp_path), processors=2)) == seen


def manual(cell: Cell, number: int, crop: float, settings: TrialSettings) -> Tensor:
    """A cell's training images under a view, preprocessed one by one, [N, 3, H, W]."""
    dataset, backbone = settings.library.open(cell.dataset), open_backbone(cell.backbone, "cpu")
    positions = labelled(dataset, cell, settings)["train"].positions.tolist()
    split = dataset.splits["train"]
    images = [split.images[position] for position in positions]
    names = [split.name(position) for position in positions]
    seen = Augmented(images, names, View("digits", cell.seed, number, crop), "train", backbone.image_size)
    return torch.stack([backbone.preprocess(image) for image in seen])


def test_features_and_pixels_are_those_of_the_view(settings: TrialSettings) -> None:
    cell = small("maple")
    member = Run(cell, settings).prepare()
    backbone, views = open_backbone("tiny", "cpu"), member.data.views
    assert len(views) == 2
    for number in range(2):
        expected = manual(cell, number, 0.08, settings)
        batch = views[number].take(torch.tensor([3, 1]))
        assert torch.equal(batch.images(), expected[[3, 1]])
        assert torch.allclose(views[number].pooled, backbone.image(expected).pooled, atol=1e-5)
    assert not torch.equal(views[0].pooled, views[1].pooled)
    with pytest.raises(IndexError):
        views[2]
    plain = member.data.train.take(slice(0, 2)).images()
    dataset = settings.library.open("digits")
    positions = labelled(dataset, cell, settings)["train"].positions[:2]
    images = [dataset.splits["train"].images[position] for position in positions.tolist()]
    assert torch.equal(plain, torch.stack([backbone.preprocess(image) for image in images]))


@pytest.mark.parametrize("views", [0, 3])
def test_tip_adapters_keys_are_the_mean_over_views_of_half_the_image(views: int, settings: TrialSettings) -> None:
    cell = small("tip-adapter", views=views)
    run = Run(cell, settings)
    plain = run.prepare().data.train.pooled
    assert run.method is not None
    backbone = open_backbone("tiny", "cpu")
    pooled = [backbone.image(manual(cell, number, 0.5, settings)).pooled for number in range(views)] or [plain]
    expected = F.normalize(torch.stack(pooled).mean(0), dim=-1)
    assert torch.allclose(run.method.get_buffer("keys"), expected, atol=1e-5)


def test_undeclared_views_are_not_handed_over(settings: TrialSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = METHODS.get("coop")
    contexts: list[Any] = []
    setup = kind.setup
    monkeypatch.setattr(kind, "setup", lambda method, context: (contexts.append(context), setup(method, context))[1])
    Run(small("coop"), settings).prepare()
    assert contexts[0].views == ()


def test_few_of_many_are_encoded_alone_and_the_rule_knows_sizes_only() -> None:
    assert not alone(900, 10), "digits: every seed has the same bits"
    assert not alone(4096, 1)
    assert alone(1_281_167, 16_000)
    assert alone(13_500, 160)
    assert not alone(7639, 1616)


def subset(positions: list[int], foreign: list[int] | None = None) -> Sampled:
    labels = np.zeros(len(positions), dtype=np.int64)
    other = None if foreign is None else Foreign("letters", np.array(foreign))
    return Sampled(np.array(positions), NoisyLabels(labels, labels, 10), foreign=other)


SETS = [
    subset([5, 3, 700, 3]),
    subset([5, -1, 700, -1, 2], [-1, 40, -1, 7, -1]),
    subset([-1, -1], [40, 40]),
    subset([9, 8], [-1, -1]),
]


@pytest.mark.parametrize("needs", [Needs(), Needs(tokens=True, pixels=True)], ids=["pooled", "all"])
@pytest.mark.parametrize("sampled", SETS, ids=["own", "mixed", "foreign", "none foreign"])
def test_features_of_positions_are_rows_of_the_whole(
    sampled: Sampled, needs: Needs, settings: TrialSettings, tmp_path: Path
) -> None:
    dataset, backbone = settings.library.open("digits"), open_backbone("tiny", "cpu")
    whole = inputs_of(dataset, "train", backbone, needs, settings, sampled)
    apart = TrialSettings(cache=str(tmp_path), encode_whole=0)
    alone_ = inputs_of(dataset, "train", backbone, needs, apart, sampled)
    assert torch.allclose(whole.pooled, alone_.pooled, rtol=0, atol=1e-6 * float(whole.pooled.abs().max()))
    elsewhere = sampled.foreign.positions.tolist() if sampled.foreign else [-1] * len(sampled.positions)
    letters = settings.library.open("letters")
    images = [
        dataset.splits["train"].images[own] if other < 0 else letters.splits["train"].images[other]
        for own, other in zip(sampled.positions.tolist(), elsewhere, strict=True)
    ]
    pixels = torch.stack([backbone.preprocess(image) for image in images])
    assert torch.allclose(whole.pooled, backbone.image(pixels).pooled, atol=1e-5)
    if needs.pixels:
        assert torch.equal(whole.take(slice(None)).images(), pixels)
        assert torch.equal(alone_.take(slice(None)).images(), pixels)
        assert whole.tokens is not None
        assert alone_.tokens is not None
        assert torch.allclose(whole.tokens, alone_.tokens, atol=1e-5)


def test_an_entry_of_positions_holds_each_image_once_and_serves_any_order(
    settings: TrialSettings, tmp_path: Path
) -> None:
    dataset, backbone, store = (
        settings.library.open("digits"),
        open_backbone("tiny", "cpu"),
        store_of(TrialSettings(cache=str(tmp_path))),
    )
    first, second = (
        SampleOrigin(dataset, "train", np.array(order), 4, encode_whole=0) for order in ([5, 3, 700, 3], [700, 5, 5, 3])
    )
    one, other = (features_of([origin], backbone, False, store).pooled for origin in (first, second))
    assert torch.equal(one[[0, 1, 2, 1]], one)
    assert torch.equal(other, one[[2, 0, 0, 1]])
    (entry,) = (tmp_path / "features").glob("*-pooled")
    assert np.load(entry / "pooled.npy").shape[0] == 3


def test_a_foreign_image_has_the_view_of_its_own_data_set(settings: TrialSettings) -> None:
    dataset, backbone = settings.library.open("digits"), open_backbone("tiny", "cpu")
    cell, needs = small("maple"), Needs(pixels=True)
    found = views_of(dataset, cell, backbone, needs, settings, SETS[1], torch.arange(5))[1]
    letters = settings.library.open("letters").splits["train"]
    own = Augmented([letters.images[40]], [letters.name(40)], View("letters", 1, 1, 0.08), "train", 32)
    assert torch.equal(found.take(slice(1, 2)).images()[0], backbone.preprocess(own[0]))
    assert torch.allclose(found.pooled, backbone.image(found.take(slice(None)).images()).pooled, atol=1e-5)
