"""The text tower with its two cuts against open_clip's own forward of whole prompts."""

from __future__ import annotations

import copy
from functools import lru_cache
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bench.clip.attention import Dense, Grouped
from bench.clip.backbone import LISTS_KEPT, Backbone, Position
from bench.clip.load import load_tiny
from bench.clip.prompts import FORMS, Form, Prompts, Shape, lay_out
from bench.clip.text import TextTower
from bench.clip.tokens import VOCABULARY, ClassTokens, tokenise
from bench.clip.tree import Tree
from bench.errors import BenchError
from bench.plugins import DATASETS
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
    "Boeing 737-300",
    "2012 Audi S5 Coupe",
    "2012 Audi S5 Convertible",
    "2012 Audi S4 Sedan",
    "2012 BMW X5 SUV",
    "2011 Audi S6 Sedan",
]
POSITIONS: list[Position] = ["end", "middle", "front"]
KNOWS_EOS = pytest.mark.skipif(
    not hasattr(open_clip.model.CLIPTextCfg, "eos_id"), reason="this version of open_clip builds no such tower"
)


@lru_cache
def small(form: Form | None = None) -> tuple[Any, Backbone]:
    built = naive.model(naive.SMALL)
    return built, Backbone(built, "small", {"size": 16}, form=form)


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
    names=st.lists(st.sampled_from(WORDS), min_size=1, max_size=14),
    length=st.integers(1, 7),
    position=st.sampled_from(POSITIONS),
    class_specific=st.booleans(),
    lead=st.sampled_from([(), (1,), (3,), (2, 2)]),
    form=st.sampled_from(FORMS),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=40, deadline=None)
def test_values_and_gradients_equal_the_whole_forward(
    names: list[str],
    length: int,
    position: Position,
    class_specific: bool,
    lead: tuple[int, ...],
    form: Form,
    seed: int,
) -> None:
    built, backbone = small(form)
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
    """The class names of the embedded data sets stay within what is computed at once."""

    def kind(width: int, names: list[str], class_specific: bool = False) -> type:
        table, positions = torch.zeros(VOCABULARY, width), torch.zeros(77, width)
        classes = tokenise(names, ".", table)
        return type(lay_out(Shape(16, "end", class_specific), classes, table, positions, None).axis)

    letters = list("abcdefghijklmnopqrstuvwxyz")
    for name in ("digits", "letters"):
        assert kind(64, list(DATASETS.get(name)(None).class_names)) is Dense
    assert kind(512, letters) is Dense
    assert kind(64, letters, class_specific=True) is Grouped
    assert kind(512, letters, class_specific=True) is Tree
    alike = [f"2012 Audi S{number} Coupe" for number in range(8)]
    assert (kind(512, alike), kind(64, alike)) == (Tree, Dense)


def test_what_names_have_in_common_is_computed_once() -> None:
    tree = Tree(2, [(1, 2, 3), (4,), (1, 2, 5), (1,), (4,)], torch.zeros(1))
    assert (tree.symbols, tree.depths) == ([1, 2, 3, 5, 4], [0, 1, 2, 2, 0])
    assert tree.ends.tolist() == [4, 6, 5, 2, 6]
    assert tree.mask[0, 0].isfinite().int().tolist() == [
        [1, 1, 1, 0, 0, 0, 0],
        [1, 1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0, 1, 0],
        [1, 1, 0, 0, 0, 0, 1],
    ]


@pytest.mark.parametrize("classes", [30, 90])
def test_a_tree_of_several_chunks_and_padding(classes: int) -> None:
    """Names of up to seven tokens over an alphabet of three, so that many begin alike across the chunks."""
    built, backbone = small("tree")
    draw = np.random.default_rng(classes)
    names = [" ".join(draw.choice(["sea", "horse", "dog"], draw.integers(1, 7))) for _ in range(classes)]
    tokens = backbone.class_tokens(names)
    context, weight = vectors(11, 4, backbone.width), vectors(12, classes, backbone.embed_dim)
    expected = graded(lambda given: naive.encode(built, given, tokens), context, weight)
    found = graded(lambda given: backbone.text(given, tokens), context, weight)
    assert deviation(found[0], expected[0]) < 1e-5
    assert deviation(found[1], expected[1]) < 1e-5
    axis = lay_out(Shape(4, "end", False), tokens, backbone.token_embedding, torch.zeros(77, 32), "tree").axis
    assert isinstance(axis, Tree)
    assert axis.chunks > 1
    assert len(axis.symbols) < sum(tokens.lengths)


@pytest.mark.parametrize("form", FORMS)
def test_what_is_kept_between_calls_outlives_transformations_and_inference(form: Form) -> None:
    _, backbone = small(form)
    context = vectors(13, 16, backbone.width)

    def loss(given: Tensor, classes: ClassTokens) -> Tensor:
        return backbone.text(given, classes).square().sum()

    def gradient(classes: ClassTokens) -> Tensor:
        return graded(lambda given: backbone.text(given, classes), context, torch.ones(()))[1]

    expected = gradient(backbone.class_tokens(WORDS))
    for first in (
        lambda classes: torch.func.grad(loss)(context, classes),
        lambda classes: torch.func.vmap(torch.func.grad(loss), (0, None))(torch.stack([context] * 2), classes),
        lambda classes: torch.inference_mode()(loss)(context, classes),
        lambda classes: torch.no_grad()(loss)(context, classes),
    ):
        classes = backbone.class_tokens(WORDS)
        first(classes)
        assert torch.equal(gradient(classes), expected)


@pytest.mark.parametrize("rows", [1, 8, 32])
def test_what_is_constant_in_the_first_layer_changes_no_bit(rows: int) -> None:
    backbone = load_tiny()
    classes, context = backbone.class_tokens(list("0123456789")), vectors(14, rows, 4, backbone.width)
    weight = vectors(15, rows, 10, backbone.embed_dim)
    found = graded(lambda given: backbone.text(given, classes), context, weight)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Prompts, "keep", lambda *_: None)
        again = backbone.class_tokens(list("0123456789"))
        expected = graded(lambda given: backbone.text(given, again), context, weight)
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], expected[1])


def test_a_context_shape_of_its_own_is_lay_out_for_each() -> None:
    _, backbone = small()
    classes = backbone.class_tokens(WORDS)
    for shape in (4, 7, 4):
        context = vectors(16, shape, backbone.width)
        assert deviation(backbone.text(context, classes), backbone.text(context, backbone.class_tokens(WORDS))) == 0


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("class_specific", [False, True])
def test_a_stack_under_vmap_equals_the_loop(position: Position, class_specific: bool, form: Form) -> None:
    _, backbone = small(form)
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
def full_size(form: Form) -> tuple[Backbone, tuple[Tensor, Tensor]]:
    """A facade over random weights of ViT-B/16's text tower, and what the whole forward gives."""
    config = open_clip.get_model_config("ViT-B-16")
    config["vision_cfg"]["layers"] = 1
    built = naive.model(config)
    backbone = Backbone(built, "ViT-B-16", {"size": 224}, form=form)
    classes, context, weight = backbone.class_tokens(WORDS[:4]), vectors(6, 16, 512), vectors(7, 4, 512)
    return backbone, graded(lambda given: naive.encode(built, given, classes), context, weight)


@pytest.mark.parametrize("form", FORMS)
def test_random_text_tower_of_vit_b_16(form: Form) -> None:
    backbone, expected = full_size(form)
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
        pytest.param({"pool_type": "eos", "eos_id": 2}, 'pools "eos"', marks=KNOWS_EOS),
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
