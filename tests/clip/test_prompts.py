"""Prompts in the image tower and deep prompts in the text tower, against open_clip's own blocks in turn."""

from __future__ import annotations

import copy
from functools import lru_cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bench.clip.backbone import Backbone
from bench.clip.prompts import FORMS, Form
from bench.clip.tokens import START, ClassTokens
from bench.errors import BenchError
from tests.clip import naive

WORDS = ["dog", "golden_retriever", "sea horse", "Boeing 737-200", "Boeing 737-800", "x", "U.S."]
LAYERS = 4
CHANGES: tuple[dict[str, Any], ...] = ({}, {"pool_type": "avg"}, {"pool_type": "avg", "final_ln_after_pool": True})


@lru_cache
def small(change: int = 0, form: Form | None = None) -> tuple[Any, Backbone]:
    config = copy.deepcopy(naive.SMALL)
    config["vision_cfg"] |= {"layers": LAYERS} | CHANGES[change]
    config["text_cfg"]["layers"] = LAYERS
    built = naive.model(config)
    built.visual.class_embedding.data.mul_(10)
    return built, Backbone(built, "small", {"size": 16}, form=form)


def vectors(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 0.5


def deviation(found: Tensor, expected: Tensor) -> float:
    assert found.shape == expected.shape
    return float((found - expected).detach().abs().max() / expected.abs().max().clamp(min=1e-30))


def naive_image(built: Any, pixels: Tensor, prompts: Tensor, norm: bool, where: int) -> tuple[Tensor, Tensor]:
    """Prompts [J, P, Wv], one layer's each, inserted at token `where` by explicit concatenation."""
    visual, count = built.visual, prompts.shape[1]
    x = visual.conv1(pixels).flatten(2).mT
    x = torch.cat([visual.class_embedding.expand(len(x), 1, -1), x], 1) + visual.positional_embedding
    rows = [p.expand(len(x), -1, -1) for p in prompts]
    if norm:
        x = visual.ln_pre(torch.cat([x[:, :where], rows[0], x[:, where:]], 1))
    else:
        x = visual.ln_pre(x)
        x = torch.cat([x[:, :where], rows[0], x[:, where:]], 1)
    for number, block in enumerate(visual.transformer.resblocks):
        if 0 < number < len(rows):
            x = torch.cat([x[:, :where], rows[number], x[:, where + count :]], 1)
        x = block(x)
    x = torch.cat([x[:, :where], x[:, where + count :]], 1)
    if visual.pool_type == "avg" and visual.final_ln_after_pool:
        return visual.ln_post(x[:, 1:].mean(1)) @ visual.proj, visual.ln_post(x[:, 1:]) @ visual.proj
    x = visual.ln_post(x)
    pooled = x[:, 0] if visual.pool_type == "tok" else x[:, 1:].mean(1)
    return pooled @ visual.proj, x[:, 1:] @ visual.proj


def image(backbone: Backbone, pixels: Tensor, prompts: Tensor, norm: bool = True) -> tuple[Tensor, Tensor]:
    return backbone.image(pixels, prompts[0], prompts[1:].unbind(0), norm)


@given(
    depth=st.integers(1, LAYERS),
    count=st.integers(1, 3),
    norm=st.booleans(),
    where=st.sampled_from([1, 3, 5]),
    change=st.integers(0, len(CHANGES) - 1),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=30, deadline=None)
def test_visual_prompts_equal_explicit_concatenation(
    depth: int, count: int, norm: bool, where: int, change: int, seed: int
) -> None:
    """Wherever they are inserted: the pooled feature and the patch tokens do not know."""
    built, backbone = small(change)
    pixels, prompts = vectors(seed, 3, 3, 16, 16), vectors(seed + 1, depth, count, 32).requires_grad_()
    weights = vectors(seed + 2, 3, 24), vectors(seed + 3, 3, 4, 24)
    outcomes = []
    for found in (image(backbone, pixels, prompts, norm), naive_image(built, pixels, prompts, norm, where)):
        total = torch.stack([(part * weight).sum() for part, weight in zip(found, weights, strict=True)]).sum()
        outcomes.append((*found, *torch.autograd.grad(total, prompts)))
    for found, expected in zip(*outcomes, strict=True):
        assert deviation(found.detach(), expected.detach()) < 1e-5


def test_without_prompts_the_path_is_open_clips_own() -> None:
    built, backbone = small()
    pixels = vectors(1, 5, 3, 16, 16)
    features = backbone.image(pixels)
    assert torch.equal(features.pooled, built.encode_image(pixels))
    assert features.tokens.shape == (5, backbone.num_tokens, backbone.embed_dim)


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("shared", [True, False])
def test_visual_prompts_under_vmap(norm: bool, shared: bool) -> None:
    _, backbone = small()
    pixels, prompts = vectors(2, 3, 5, 3, 16, 16), vectors(3, 3, 2, 4, 32)

    def loss(given: Tensor, seen: Tensor) -> Tensor:
        return image(backbone, seen, given, norm)[0].square().sum()

    seen = pixels[:1].expand_as(pixels) if shared else pixels
    looped = torch.stack([torch.func.grad(loss)(p, x) for p, x in zip(prompts, seen, strict=True)])
    gradient = torch.func.grad(loss)
    if shared:
        together = torch.func.vmap(gradient, in_dims=(0, None))(prompts, pixels[0])
    else:
        together = torch.func.vmap(gradient)(prompts, pixels)
    assert deviation(together, looped) < 1e-5


def test_private_layers_are_a_trainable_copy() -> None:
    built, backbone = small()
    pixels, own = vectors(4, 5, 3, 16, 16), backbone.image_layers()
    hidden = backbone.hidden(pixels, own)
    assert deviation(hidden @ built.visual.proj, backbone.image(pixels).pooled) < 1e-5
    hidden.sum().backward()
    assert all(parameter.grad is not None for parameter in own.parameters())
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in backbone.parameters())


def test_a_changed_copy_leaves_the_original() -> None:
    _, backbone = small()
    digest = backbone.digest
    doubled = backbone.changed(lambda name, weight: 2 * weight if name == "visual.proj" else weight)
    pixels = vectors(5, 2, 3, 16, 16)
    assert torch.equal(doubled.image(pixels).pooled, 2 * backbone.image(pixels).pooled)
    assert doubled.digest != digest
    assert not any(parameter.requires_grad for parameter in doubled.parameters())
    assert Backbone(small()[0], "again", {"size": 16}).digest == digest


def naive_text(built: Any, context: Tensor, classes: ClassTokens, deep: tuple[Tensor, ...]) -> Tensor:
    """All 77 positions of every class through open_clip's blocks, positions 1 … M overwritten; [C, D]."""
    table, rows, ends, count = built.token_embedding.weight, [], [], len(context)
    for name, tail in zip(classes.ids, classes.tails, strict=True):
        prompt = torch.cat([table[START : START + 1], context, table[torch.tensor(name + tail)]])
        ends.append(len(prompt) - 1)
        rows.append(torch.cat([prompt, table[0].expand(77 - len(prompt), -1)]))
    x = torch.stack(rows) + built.positional_embedding
    for number, block in enumerate(built.transformer.resblocks):
        if 0 < number <= len(deep):
            x = torch.cat([x[:, :1], deep[number - 1].expand(len(x), -1, -1), x[:, 1 + count :]], 1)
        x = block(x, attn_mask=built.attn_mask)
    features: Tensor = built.ln_final(x)[torch.arange(len(rows)), torch.tensor(ends)] @ built.text_projection
    return features


@given(
    names=st.lists(st.sampled_from(WORDS), min_size=1, max_size=6),
    count=st.integers(1, 5),
    depth=st.integers(1, LAYERS),
    lead=st.sampled_from([(), (1,), (2,), (2, 2)]),
    form=st.sampled_from(FORMS),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=30, deadline=None)
def test_deep_text_prompts_equal_the_whole_forward(
    names: list[str], count: int, depth: int, lead: tuple[int, ...], form: Form, seed: int
) -> None:
    built, backbone = small(form=form)
    classes = backbone.class_tokens(names)
    prompts = vectors(seed, depth, *lead, count, 32).requires_grad_()
    weight = vectors(seed + 1, *lead, len(names), 24)
    found = backbone.text(prompts[0], classes, deep=prompts[1:].unbind(0))
    flat = prompts.reshape(depth, -1, count, 32).unbind(1)
    expected = torch.stack([naive_text(built, one[0], classes, one[1:].unbind(0)) for one in flat]).reshape(
        weight.shape
    )
    gradients = [torch.autograd.grad((values * weight).sum(), prompts)[0] for values in (found, expected)]
    assert deviation(found.detach(), expected.detach()) < 1e-5
    assert deviation(*gradients) < 1e-5


@pytest.mark.parametrize("form", FORMS)
def test_deep_text_prompts_under_vmap(form: Form) -> None:
    _, backbone = small(form=form)
    classes, stack = backbone.class_tokens(WORDS), vectors(6, 3, 3, 4, 32)

    def loss(prompts: Tensor) -> Tensor:
        return backbone.text(prompts[0], classes, deep=prompts[1:].unbind(0)).square().sum()

    looped = torch.stack([torch.func.grad(loss)(prompts) for prompts in stack])
    assert deviation(torch.func.vmap(torch.func.grad(loss))(stack), looped) < 1e-5


def test_deep_text_prompts_need_a_shared_context_before_the_name() -> None:
    _, backbone = small()
    classes, context, deep = backbone.class_tokens(WORDS), vectors(7, 4, 32), vectors(8, 4, 32)
    with pytest.raises(ValueError, match="all classes share"):
        backbone.text(context, classes, position="front", deep=(deep,))
    with pytest.raises(ValueError, match="all classes share"):
        backbone.text(context.expand(len(WORDS), -1, -1), classes, class_specific=True, deep=(deep,))
    with pytest.raises(ValueError, match="4 deep prompts, but only 3 layers"):
        backbone.text(context, classes, deep=(deep,) * LAYERS)
    with pytest.raises(ValueError, match=r"has shape \(3, 32\)"):
        backbone.text(context, classes, deep=(deep[:3],))


def test_visual_prompts_of_the_wrong_shape() -> None:
    _, backbone = small()
    pixels, prompts = vectors(9, 2, 3, 16, 16), vectors(10, 2, 32)
    with pytest.raises(ValueError, match="expected"):
        backbone.image(pixels, prompts[:, :31])
    with pytest.raises(ValueError, match="of the first"):
        backbone.image(pixels, prompts, (prompts[:1],))
    with pytest.raises(ValueError, match="only 3 layers"):
        backbone.image(pixels, prompts, (prompts,) * LAYERS)
    with pytest.raises(ValueError, match="none was given"):
        backbone.image(pixels, deep=(prompts,))


def test_the_sizes_of_the_towers() -> None:
    _, backbone = small()
    assert (backbone.vision_width, backbone.vision_layers, backbone.patch_size) == (32, LAYERS, 8)
    assert backbone.text_layers == LAYERS


@pytest.mark.parametrize(
    "change",
    [{"layers": [1, 1, 1, 1], "width": 8, "image_size": 64, "head_width": 16}, {"block_type": "custom"}],
    ids=["ResNet", "another block"],
)
def test_an_image_tower_without_room_for_prompts(change: dict[str, Any]) -> None:
    config = copy.deepcopy(naive.SMALL)
    config["vision_cfg"] |= change
    backbone = Backbone(naive.model(config), "other", {"size": 16})
    for ask in (
        lambda: backbone.image(torch.zeros(1, 3, 64, 64), torch.zeros(2, 32)),
        lambda: backbone.vision_width,
        lambda: backbone.vision_layers,
        lambda: backbone.patch_size,
        backbone.image_layers,
    ):
        with pytest.raises(BenchError, match="choose a backbone such as"):
            ask()
