"""Towers in bfloat16 and TF32: what changes by how much, and what must not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.clip.backbone import Backbone
from bench.clip.precision import full, precision_of, tower
from bench.clip.prompts import FORMS, Form
from bench.engine.resources import TrialSettings
from bench.engine.trial import run_cell
from bench.errors import BenchError
from bench.limits import Precision
from tests.cells import make_cell
from tests.clip import naive

WORDS = ["dog", "sea horse", "x"]


def small(form: Form | None = None) -> Backbone:
    return Backbone(naive.model(naive.SMALL), "small", {"size": 16}, form=form)


def vectors(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)) * 0.3


def graded(function: Callable[[Tensor], Tensor], context: Tensor) -> tuple[Tensor, Tensor]:
    context = context.clone().requires_grad_()
    values = function(context)
    (gradient,) = torch.autograd.grad(values.square().sum(), context)
    return values.detach(), gradient


@pytest.mark.parametrize("form", FORMS)
def test_texts_in_bf16_are_near_and_float32(form: Form) -> None:
    backbone, context = small(form), vectors(16, 32)
    classes = backbone.class_tokens(WORDS)
    exact = graded(lambda given: backbone.text(given, classes), context)
    with precision_of("bf16", "cpu"):
        found = graded(lambda given: backbone.text(given, classes), context)
    again = graded(lambda given: backbone.text(given, classes), context)
    for one, reference, after in zip(found, exact, again, strict=True):
        assert one.dtype == torch.float32
        assert 1e-4 < float((one - reference).norm() / reference.norm()) < 0.05
        assert torch.equal(after, reference)


def test_texts_in_bf16_under_vmap() -> None:
    backbone, stack = small(), vectors(3, 16, 32)
    classes = backbone.class_tokens(WORDS)

    def loss(context: Tensor) -> Tensor:
        return backbone.text(context, classes).square().sum()

    with precision_of("bf16", "cpu"):
        gradients = torch.func.vmap(torch.func.grad(loss))(stack)
        looped = torch.stack([torch.func.grad(loss)(context) for context in stack])
    assert gradients.dtype == torch.float32
    assert float((gradients - looped).norm() / looped.norm()) < 0.05


def test_images_in_bf16_only_where_prompts_are() -> None:
    backbone, pixels, prompts = small(), vectors(2, 3, 16, 16), vectors(2, 32)
    plain, prompted = backbone.image(pixels), backbone.image(pixels, prompts)
    with precision_of("bf16", "cpu"):
        assert torch.equal(backbone.image(pixels).pooled, plain.pooled)
        found = backbone.image(pixels, prompts)
    for one, reference in zip(found, prompted, strict=True):
        assert one.dtype == torch.float32
        assert 1e-4 < float((one - reference).norm() / reference.norm()) < 0.05


def test_float32_changes_no_bit() -> None:
    backbone, context = small(), vectors(16, 32)
    classes = backbone.class_tokens(WORDS)
    before = backbone.text(context, classes)
    with precision_of("float32", "cpu"):
        assert torch.equal(backbone.text(context, classes), before)


def test_tf32_needs_a_gpu() -> None:
    with (
        pytest.raises(BenchError, match=r'precision = "tf32" is of the matrix units of a GPU'),
        precision_of("tf32", "cpu"),
    ):
        pass


def test_tf32_ends_with_its_cell_and_spares_shared_features() -> None:
    before = torch.get_float32_matmul_precision()
    with precision_of("tf32", "cuda"):
        with tower(torch.device("cpu")):
            assert torch.get_float32_matmul_precision() == "high"
        assert torch.get_float32_matmul_precision() == "high"
        with full():
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "high"
    assert torch.get_float32_matmul_precision() == before


def test_a_cell_in_another_precision(tmp_path: Path) -> None:
    settings = TrialSettings(cache=str(tmp_path))

    def done(precision: Precision) -> tuple[str, str | None, Any]:
        cell = make_cell(dataset="digits", backbone="tiny", method="coop", epochs=1, shots=2, precision=precision)
        record, _ = run_cell("0" * 16, cell, settings)
        return record.status, record.reason, record.curve.loss_clean[-1:]

    exact, reduced, refused = done("float32"), done("bf16"), done("tf32")
    assert exact[:2] == reduced[:2] == ("done", None)
    assert exact[2] != reduced[2]
    assert exact[2] == pytest.approx(reduced[2], rel=0.05)
    assert refused[0] == "failed"
    assert str(refused[1]).startswith('precision = "tf32" is of the matrix units of a GPU')


def test_the_precision_is_part_of_the_key() -> None:
    keys = {make_cell(precision=precision).key({}) for precision in ("float32", "tf32", "bf16")}
    assert len(keys) == 3
