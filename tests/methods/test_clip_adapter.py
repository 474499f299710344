"""CLIP-Adapter against the same thing written with torch's own layers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bench.contracts.method import Inputs
from bench.methods.clip_adapter import CLIPAdapter
from bench.methods.parts.templates import zero_shot_text
from bench.testing import fixtures
from tests.golden_data import Item, backbone
from tests.methods.test_tip_adapter import golden_context


def built(seed: int = 1, **options: object) -> CLIPAdapter:
    return fixtures.build(CLIPAdapter, CLIPAdapter.Options.model_validate(options), seed)


def plain(method: CLIPAdapter, ratio: float) -> nn.Module:
    """The residual part as a stack of layers with the method's weights."""
    (hidden, width) = method.down.shape
    stack = nn.Sequential(nn.Linear(width, hidden, False), nn.ReLU(), nn.Linear(hidden, width, False), nn.ReLU())
    stack.load_state_dict({"0.weight": method.down, "2.weight": method.up})

    class Adapter(nn.Module):
        def forward(self, pooled: torch.Tensor) -> torch.Tensor:
            mixed = ratio * stack(pooled) + (1 - ratio) * pooled
            return backbone().scale * (mixed / mixed.norm(dim=-1, keepdim=True)) @ method.text.t()

    return Adapter()


@pytest.mark.parametrize("ratio", [0.2, 0.0, 1.0])
def test_logits_and_gradients_against_layers(ratio: float) -> None:
    context = golden_context(Item("tip"))
    method = CLIPAdapter(CLIPAdapter.Options(ratio=ratio))
    method.setup(context)
    found, expected = method.predict(context.train, {}), plain(method, ratio)(context.train.pooled)
    assert torch.allclose(found, expected, rtol=1e-5, atol=1e-5)
    one, other = (F.cross_entropy(logits, context.observed) for logits in (found, expected))
    assert one.item() == pytest.approx(other.item(), rel=1e-6)
    if ratio == 0:
        text = zero_shot_text(context)
        zero_shot = context.backbone.scale * F.normalize(context.train.pooled, dim=-1) @ text.mT
        assert torch.allclose(found, zero_shot, rtol=1e-5, atol=1e-5)


def test_the_feature_is_not_normalised_before_the_adapter() -> None:
    """Nor would it matter: without bias the adapter is homogeneous, and the length drops out at the end."""
    method, inputs = built(), fixtures.inputs_for(CLIPAdapter.needs(CLIPAdapter.Options()), 6, 3)
    assert torch.allclose(method.adapted(3 * inputs.pooled), 3 * method.adapted(inputs.pooled), atol=1e-5)
    longer = Inputs(3 * inputs.pooled)
    assert torch.allclose(method.predict(inputs, {}), method.predict(longer, {}), atol=1e-4)


def test_the_start_is_a_linear_layers_own() -> None:
    method = built()
    width = fixtures.DIMENSIONS
    assert method.down.shape == (width // 4, width)
    assert method.up.shape == (width, width // 4)
    for weight, columns in ((method.down, width), (method.up, width // 4)):
        bound = 1 / math.sqrt(columns)
        assert weight.abs().max() <= bound
        assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.15)


def test_a_bottleneck_is_at_least_one_wide() -> None:
    assert built(reduction=64).down.shape == (1, fixtures.DIMENSIONS)
