"""The text tower with its two cuts against open_clip's own forward of whole prompts."""

from __future__ import annotations

import copy
from functools import lru_cache
from typing import Any

import open_clip
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bench.clip import attention
from bench.clip.backbone import LISTS_KEPT, Backbone, Position
from bench.clip.text import TextTower
from bench.errors import BenchError
from tests.clip import naive

WORDS = [
    "dog",
    "golden_retriever",
    "sea horse",
    "ceiling fan",
    "aeroplane",
    "Boeing 737-200",
    "x",
    "St. Bernard",
    "U.S.",
]
POSITIONS: list[Position] = ["end", "middle", "front"]


@lru_cache
def small(dense_limit: int = attention.DENSE_LIMIT) -> tuple[Any, Backbone]:
    built = naive.model(naive.SMALL)
    return built, Backbone(built, "small", {"size": 16}, dense_limit=dense_limit)


def vectors(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 0.3


def deviation(found: Tensor, expected: Tensor) -> float:
    assert found.shape == expected.shape
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-30))


def graded(function: Any, context: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Values, and the gradient of a weighted sum of them."""
    context = context.clone().requires_grad_()
    values = function(context)
    (gradient,) = torch.autograd.grad((values * weight).sum(), context)
    return values.detach(), gradient


@given(
    names=st.lists(st.sampled_from(WORDS), min_size=1, max_size=6),
    length=st.integers(1, 7),
    position=st.sampled_from(POSITIONS),
    class_specific=st.booleans(),
    lead=st.sampled_from([(), (1,), (3,), (2, 2)]),
    limit=st.sampled_from([0, 10**6]),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=40, deadline=None)
def test_values_and_gradients_equal_the_whole_forward(
    names: list[str],
    length: int,
    position: Position,
    class_specific: bool,
    lead: tuple[int, ...],
    limit: int,
    seed: int,
) -> None:
    built, backbone = small(limit)
    classes = backbone.class_tokens(names)
    inner = (len(names), length, backbone.width) if class_specific else (length, backbone.width)
    context = vectors(seed, *lead, *inner)
    weight = vectors(seed + 1, *lead, len(names), backbone.embed_dim)

    def whole(given: Tensor) -> Tensor:
        one_by_one = [naive.encode(built, one, classes, position) for one in given.reshape(-1, *inner)]
        return torch.stack(one_by_one).reshape(weight.shape)

    expected = graded(whole, context, weight)
    found = graded(lambda given: backbone.text(given, classes, position, class_specific), context, weight)
    assert deviation(found[0], expected[0]) < 1e-5
    assert deviation(found[1], expected[1]) < 1e-5


def test_the_cheaper_layout_is_taken() -> None:
    like = torch.zeros(1)
    assert isinstance(attention.layout(17, [(10, 3)], like), attention.Dense)
    assert isinstance(attention.layout(17, [(60, 3), (40, 4)], like), attention.Grouped)


@pytest.mark.parametrize("limit", [0, 10**6])
@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("class_specific", [False, True])
def test_a_stack_under_vmap_equals_the_loop(position: Position, class_specific: bool, limit: int) -> None:
    _, backbone = small(limit)
    classes = backbone.class_tokens(WORDS)
    shape = (len(WORDS), 4, backbone.width) if class_specific else (4, backbone.width)
    stack = vectors(3, 3, *shape)

    def loss(context: Tensor) -> Tensor:
        return backbone.text(context, classes, position, class_specific).square().sum()

    values = torch.func.vmap(lambda context: backbone.text(context, classes, position, class_specific))(stack)
    gradients = torch.func.vmap(torch.func.grad(loss))(stack)
    looped = torch.stack([backbone.text(context, classes, position, class_specific) for context in stack])
    assert deviation(values, looped) < 1e-5
    assert deviation(gradients, torch.stack([torch.func.grad(loss)(context) for context in stack])) < 1e-5


def test_per_image_contexts_under_vmap() -> None:
    _, backbone = small()
    classes = backbone.class_tokens(WORDS)
    stack = vectors(4, 3, 2, 5, backbone.width)
    values = torch.func.vmap(lambda contexts: backbone.text(contexts, classes))(stack)
    assert deviation(values, backbone.text(stack, classes)) < 1e-5


@pytest.mark.parametrize("change", [{"proj_bias": True}, {"proj_type": "none"}, {"ls_init_value": 0.5}])
@pytest.mark.parametrize("quick_gelu", [False, True])
def test_separate_text_modules(change: dict[str, Any], quick_gelu: bool) -> None:
    config = copy.deepcopy(naive.SMALL) | {"quick_gelu": quick_gelu}
    config["text_cfg"].update(change)
    built = naive.model(config, custom=True)
    backbone = Backbone(built, "separate", {"size": 16})
    classes = backbone.class_tokens(WORDS)
    context = vectors(5, 4, backbone.width)
    assert deviation(backbone.text(context, classes), naive.encode(built, context, classes)) < 1e-5


@lru_cache
def full_size(dense_limit: int) -> tuple[Backbone, tuple[Tensor, Tensor]]:
    """A facade over random weights of ViT-B/16's text tower, and what the whole forward gives."""
    config = open_clip.get_model_config("ViT-B-16")
    config["vision_cfg"]["layers"] = 1
    built = naive.model(config)
    backbone = Backbone(built, "ViT-B-16", {"size": 224}, dense_limit=dense_limit)
    classes, context, weight = backbone.class_tokens(WORDS[:4]), vectors(6, 16, 512), vectors(7, 4, 512)
    return backbone, graded(lambda given: naive.encode(built, given, classes), context, weight)


@pytest.mark.parametrize("limit", [0, 10**6])
def test_random_text_tower_of_vit_b_16(limit: int) -> None:
    backbone, expected = full_size(limit)
    classes, context, weight = backbone.class_tokens(WORDS[:4]), vectors(6, 16, 512), vectors(7, 4, 512)
    found = graded(lambda given: backbone.text(given, classes), context, weight)
    assert deviation(found[0], expected[0]) < 1e-5
    assert deviation(found[1], expected[1]) < 1e-5


def test_whole_texts_equal_encode_text() -> None:
    built, backbone = small()
    texts = [f"a photo of the {word}, in colour." for word in WORDS] * 40
    expected = built.encode_text(open_clip.SimpleTokenizer()(texts, 77))
    assert deviation(backbone.text_templates(texts), expected) < 1e-5


def test_whole_texts_are_encoded_once_and_nobody_can_write_to_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone, encoded = small()[1], list[tuple[str, ...]]()
    real = backbone._encode
    monkeypatch.setattr(backbone, "_encode", lambda texts: (encoded.append(tuple(texts)), real(texts))[1])
    lists = [[f"a {word} of kind {number}" for word in WORDS] for number in range(LISTS_KEPT + 1)]
    for _ in range(2):
        backbone.text_templates(lists[0]).zero_()
    assert torch.equal(backbone.text_templates(lists[0]), real(lists[0]))
    assert encoded == [tuple(lists[0])]
    for texts in lists[1:]:
        backbone.text_templates(texts)
    backbone.text_templates(lists[0])  # the oldest had to go
    assert len(encoded) == LISTS_KEPT + 2


def test_weights_stay_frozen_and_inputs_untouched() -> None:
    built, backbone = small()
    classes, context = backbone.class_tokens(WORDS), vectors(8, 4, backbone.width).requires_grad_()
    before, digest = context.detach().clone(), backbone.digest
    backbone.text(context, classes).sum().backward()
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in built.parameters())
    assert torch.equal(context.detach(), before)
    assert Backbone(built, "again", {"size": 16}).digest == digest


def test_class_order_does_not_matter() -> None:
    _, backbone = small()
    context = vectors(9, 4, backbone.width)
    features = backbone.text(context, backbone.class_tokens(WORDS))
    reverse = backbone.text(context, backbone.class_tokens(WORDS[::-1]))
    assert deviation(reverse.flip(0), features) < 1e-6


def test_a_prompt_too_long_names_the_class() -> None:
    _, backbone = small()
    classes = backbone.class_tokens(["dog", "a very long name of a class"])
    assert backbone.text(vectors(1, 67, backbone.width), classes).shape == (2, 24)
    with pytest.raises(BenchError, match=r'"a very long name of a class" takes 78 tokens.*at most 67 context'):
        backbone.text(vectors(1, 68, backbone.width), classes)
    with pytest.raises(BenchError, match="takes 103 tokens"):
        backbone.class_tokens(["dog " * 100])


@pytest.mark.parametrize("shape", [(4, 31), (4,), (2, 4, 32)])
def test_a_context_of_the_wrong_shape(shape: tuple[int, ...]) -> None:
    _, backbone = small()
    with pytest.raises(ValueError, match="context has shape"):
        backbone.text(torch.zeros(shape), backbone.class_tokens(WORDS), class_specific=len(shape) == 3)


def test_an_unknown_position() -> None:
    _, backbone = small()
    with pytest.raises(ValueError, match="none of end, middle, front"):
        backbone.text(torch.zeros(4, 32), backbone.class_tokens(WORDS), "back")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"no_causal_mask": True}, "not causal"),
        ({"pool_type": "last"}, 'pools "last"'),
        ({"pool_type": "eos", "eos_id": 2}, 'pools "eos"'),
        ({"embed_cls": True}, "class token"),
        ({"vocab_size": 32000}, "vocabulary of 32000"),
        ({"block_type": "custom"}, "built of Custom"),
    ],
)
def test_a_text_tower_of_another_kind(change: dict[str, Any], reason: str) -> None:
    config = copy.deepcopy(naive.SMALL)
    config["text_cfg"].update(change)
    with pytest.raises(BenchError, match=reason):
        TextTower(naive.model(config, custom=True))


def test_no_text_tower_at_all() -> None:
    with pytest.raises(BenchError, match="of another kind"):
        TextTower(torch.nn.Linear(1, 1))
