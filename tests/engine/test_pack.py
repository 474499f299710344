"""A cell in a pack has the bits that it has alone: every method and its variants, in packs of up to 16."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import open_clip
import pytest
import torch
from torch import Tensor

from bench.clip.backbone import Backbone, Position
from bench.clip.prompts import Form
from bench.clip.text import TextTower
from bench.contracts.dataset import Dataset, Split, SplitName
from bench.data.library import Library
from bench.data.sets.letters import Letters
from bench.data.splits import ArrayImages
from bench.engine.trial import TrialSettings
from bench.lockstep import FEW_ROWS, apart, in_lockstep, logaddexp, power, sigmoid, together
from bench.plugins import METHODS
from bench.testing import checks, fixtures
from tests.engine.packs import alone, differences, members, packed, why
from tests.few_digits import SETTINGS
from tests.testing.test_method_contract import VARIANTS

ALL = sorted(METHODS)
UNTRAINED = {"zero-shot", "linear-probe", "tip-adapter"}
APART = {
    ("deft", "fine_tune"): "it trains a copy of the image tower of its own",
    ("visprompt", "control"): 'its code reads "train_inputs", which is no buffer, and another in each member',
}
ADAPTIVE = {
    "optimizer": "adamw",
    "schedule": "cosine-step",
    "learning_rate": 0.002,
}  # makes of any gradient's bit a step


def check(cells: list[Any], settings: TrialSettings = SETTINGS, reason: str | None = None) -> None:
    one, other = alone(cells, settings), packed(cells, settings)
    assert [differences(*pair) for pair in zip(one, other, strict=True)] == [[] for _ in cells]
    if cells[0].method not in UNTRAINED:
        assert {why(run) for run in other if run.lockstep} == {reason}


@pytest.mark.parametrize("method", ALL)
def test_three_in_a_pack_have_the_bits_that_each_has_alone(method: str) -> None:
    check(members(method, 3, batch_size=10, **ADAPTIVE))


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(16,), pytest.param((1, 3, 8), marks=pytest.mark.long)], ids=str)
@pytest.mark.parametrize("method", ALL)
def test_a_pack_of_any_size_has_them(method: str, sizes: tuple[int, ...]) -> None:
    cells = members(method, max(sizes), batch_size=5, shots=1 + (method in ("linear-probe", "tip-adapter", "clap")))
    one = alone(cells)
    for size in sizes:
        other = packed(cells[:size])
        assert [differences(*pair) for pair in zip(one, other, strict=False)] == [[] for _ in other], size


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "given"), [(name, given) for name, variants in VARIANTS.items() for given in variants], ids=str
)
def test_a_pack_of_a_variant_has_them(method: str, given: dict[str, Any]) -> None:
    reason = next((APART.get((method, name)) for name, value in given.items() if value in (1, "shuffled")), None)
    check(members(method, 3, given, batch_size=7, optimizer="adam", learning_rate=0.002, shots=2), reason=reason)


@pytest.mark.parametrize("method", ["nlprompt", "joapr", "co-teaching"])
@pytest.mark.parametrize("size", [8, 33])
def test_sizes_of_batches_and_all_that_a_protocol_may_say(method: str, size: int) -> None:
    check(members(method, 5, batch_size=size, drop_last=True, views=2, validation="clean", eval_every=1, epochs=3))


class FewLetters(Letters):
    def load(self, split: SplitName) -> Split:
        whole = super().load(split)
        if split == "train":
            return whole
        assert isinstance(whole.images, ArrayImages)
        return Split(ArrayImages(whole.images.pixels[:10]), whole.labels[:10])


class LettersLibrary(Library):
    def open(self, name: str) -> Dataset:
        return FewLetters()


@pytest.mark.parametrize("method", ["coop", "srrs", "gce-coop", "plot"])
def test_with_26_classes(method: str) -> None:
    settings = TrialSettings(library=LettersLibrary(), cache=SETTINGS.cache)
    check(members(method, 3, dataset="letters", batch_size=20, shots=1, **ADAPTIVE), settings)


def wide() -> Backbone:
    """A random CLIP with a text tower of the width of ViT-B's, and an image tower of ViT-Ti's."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = open_clip.CLIP(
            embed_dim=fixtures.DIMENSIONS,
            vision_cfg={"layers": 2, "width": 192, "patch_size": 16, "image_size": fixtures.IMAGE, "head_width": 64},
            text_cfg={"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 2},
            quick_gelu=True,
        )
    return Backbone(model, "wide", {"size": fixtures.IMAGE, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)})


@pytest.mark.parametrize("method", ["coop", "visprompt", "maple"])
def test_towers_of_other_widths(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tower = wide()
    monkeypatch.setattr(fixtures, "backbone", lambda: tower)
    kind = METHODS.get(method)
    assert checks.runs_as_a_pack(kind, kind.Options()) == "bit for bit"


@pytest.mark.parametrize("classes", [2, 4, 5, 8])
@pytest.mark.parametrize("form", [None, "tree", "grouped"])
@pytest.mark.parametrize(
    ("position", "class_specific"),
    [("end", False), ("middle", False), ("front", False), ("end", True), ("front", True)],
)
def test_a_text_has_the_bits_that_it_has_alone(
    position: Position, class_specific: bool, classes: int, form: Form | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    tower = fixtures.backbone()
    monkeypatch.setattr(tower, "_text", TextTower(tower._model, form))
    names = tower.class_tokens(["sofa bed", *fixtures.CLASSES, "cat", "cup"][:classes])
    generator = torch.Generator().manual_seed(0)
    for vectors in (1, 2, 4, 16):
        shape = (5, *([len(names)] if class_specific else []), vectors, tower.width)
        contexts = (0.1 * torch.randn(shape, generator=generator)).requires_grad_()
        weights = torch.randn(5, len(names), fixtures.DIMENSIONS, generator=generator)
        text = partial(tower.text, classes=names, position=position, class_specific=class_specific)
        with in_lockstep():
            features = torch.vmap(text)(contexts)
        (gradients,) = torch.autograd.grad((features * weights).sum(), contexts)
        for number in range(len(contexts)):
            one = contexts[number].detach().clone().requires_grad_()
            alone = text(one)
            assert torch.equal(alone, features[number])
            (gradient,) = torch.autograd.grad((alone * weights[number]).sum(), one)
            assert torch.equal(gradient, gradients[number])


@pytest.mark.parametrize("size", [1, 7, 10, 33])
@pytest.mark.parametrize(
    "function",
    [lambda x: power(x.abs(), 0.7), lambda x: power(x.abs(), x.new_full((), 0.7)), sigmoid,
     lambda x: logaddexp(x, x.flip(-1) / 3)],
)  # fmt: skip
def test_the_last_elements_of_a_tensor_are_rounded_as_they_are_alone(
    function: Callable[[Tensor], Tensor], size: int
) -> None:
    x = 3 * torch.randn(64, size, generator=torch.Generator().manual_seed(0))
    with in_lockstep():
        assert torch.equal(torch.vmap(function)(x), torch.stack([function(row) for row in x]))


@pytest.mark.parametrize("rows", [1, FEW_ROWS - 1, FEW_ROWS])
def test_few_rows_are_multiplied_with_a_matrix_member_by_member(rows: int) -> None:
    """Whatever this processor makes of them: on some, less than 16 round otherwise than as a part of more."""
    stream = torch.Generator().manual_seed(1)
    x, matrix = torch.randn(3, 1, rows, 256, generator=stream), torch.randn(256, 8, generator=stream)
    seen: list[int] = []

    def product(x: Tensor) -> Tensor:
        seen.append(x.shape[:-1].numel())
        return x @ matrix

    alone = torch.stack([product(one) for one in x])
    seen.clear()
    with in_lockstep():
        packed = torch.func.vmap(together(lambda x: apart(product, x.flatten(0, -3)).view(*x.shape[:-1], -1)))(x)
    assert seen == ([rows] * 3 if rows < FEW_ROWS else [3 * rows])
    assert torch.equal(packed, alone)


def test_the_last_layer_of_a_text_has_few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone, seen = fixtures.backbone(), []
    classes = backbone.class_tokens(fixtures.CLASSES)
    context = torch.randn(3, 4, backbone.width, generator=torch.Generator().manual_seed(1))
    plain = torch.nn.functional.linear

    def noted(x: Tensor, *others: Tensor) -> Tensor:
        seen.append(x.shape[:-1].numel())
        return plain(x, *others)

    monkeypatch.setattr("torch.nn.functional.linear", noted)
    with in_lockstep():
        torch.func.vmap(lambda context: backbone.text(context, classes))(context)
    assert len(classes) in seen
    assert 3 * len(classes) not in seen
