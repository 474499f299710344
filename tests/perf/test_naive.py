"""The naive text tower that everything is measured against encodes what the fast one does."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bench.clip.backbone import Backbone, Position
from bench.perf.naive import FullLengthText
from bench.testing.fixtures import CLASSES, backbone


def context(*shape: int) -> Tensor:
    return torch.randn(*shape, 64, generator=torch.Generator().manual_seed(1)) * 0.02


def alike(first: Tensor, second: Tensor) -> bool:
    return bool((first - second).abs().max() <= 1e-5 * second.abs().max())


@pytest.mark.parametrize("position", ["end", "middle", "front"])
@pytest.mark.parametrize("shape", [(4,), (2, 3, 4)])
def test_it_encodes_a_shared_context(position: Position, shape: tuple[int, ...]) -> None:
    fast = backbone()
    slow, classes = FullLengthText.of(fast), fast.class_tokens(CLASSES)
    expected = fast.text(context(*shape), classes, position)
    assert alike(slow.text(context(*shape), classes, position), expected)
    assert slow.calls == 1


def test_it_encodes_contexts_by_class_and_deep_prompts() -> None:
    fast = backbone()
    slow, classes = FullLengthText.of(fast), fast.class_tokens(CLASSES)
    own = context(len(CLASSES), 4)
    assert alike(slow.text(own, classes, "end", True), fast.text(own, classes, "end", True))
    deep = [context(3, 4) + 0.1]
    assert alike(slow.text(context(3, 4), classes, deep=deep), fast.text(context(3, 4), classes, deep=deep))


def test_it_shares_the_weights_and_leaves_the_fast_one_as_it_is() -> None:
    fast = backbone()
    slow = FullLengthText.of(fast)
    assert type(fast) is Backbone
    assert slow.token_embedding is fast.token_embedding
    assert slow.parameters is not fast.parameters
    given, other = context(4).requires_grad_(), context(4).requires_grad_()
    classes = fast.class_tokens(CLASSES)
    slow.text(given, classes).square().sum().backward()
    fast.text(other, classes).square().sum().backward()
    assert given.grad is not None
    assert other.grad is not None
    assert alike(given.grad, other.grad)
