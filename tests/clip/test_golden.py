"""The backbone and CoOp's text side against numbers of the original code."""

from __future__ import annotations

import open_clip
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from bench.clip.image import image_tower
from bench.clip.tokens import END, START, encode
from bench.engine.optim import learning_rate
from tests.cells import make_cell
from tests.golden_data import FOLDER, TOLERANCE, Item, backbone, deviation, error

FORMS = [
    ("shared_M16_end", "end", False),
    ("shared_M4_end", "end", False),
    ("csc_M16_end", "end", True),
    ("shared_M4_middle", "middle", False),
    ("shared_M4_front", "front", False),
]


def logits_of(images: Tensor, text: Tensor) -> Tensor:
    pooled = F.normalize(backbone().image(images).pooled, dim=-1)
    return backbone().scale * pooled @ F.normalize(text, dim=-1).T


def test_image_features_and_patch_tokens() -> None:
    base = Item("base")
    features = backbone().image(base["images"])
    assert error(features.pooled, base["image_features"]) < TOLERANCE
    assert error(features.tokens, base["patch_features"]) < TOLERANCE
    assert features.tokens.shape[1:] == (backbone().num_tokens, backbone().embed_dim)


def test_templates_tokens_and_zero_shot_logits() -> None:
    base = Item("base")
    texts = [f"a photo of a {name}." for name in base.names()]
    for text, row, end in zip(texts, base["token_ids"].tolist(), base["eot_index"].tolist(), strict=True):
        assert row[: end + 1] == [START, *encode(text), END]
    features = backbone().text_templates(texts)
    assert error(features, base["text_features"]) < TOLERANCE
    assert error(logits_of(base["images"], features), base["logits_per_image"]) < TOLERANCE
    assert float(backbone().scale) == pytest.approx(float(base["logit_scale_exp"]), rel=1e-6)


def test_head_count_comes_from_the_configuration() -> None:
    base = Item("base")
    wrong = base["wrong_image_features_if_heads_were_1"]
    assert deviation(backbone().image(base["images"]).pooled, wrong) > 0.01
    text = backbone().text_templates([f"a photo of a {name}." for name in base.names()])
    assert deviation(text, base["wrong_text_features_if_heads_were_1"]) > 0.01


@pytest.mark.parametrize(("form", "position", "class_specific"), FORMS)
def test_coop(form: str, position: str, class_specific: bool) -> None:
    golden = Item("coop")
    classes = backbone().class_tokens(golden.names())
    context = golden[f"{form}/ctx"].requires_grad_()
    text = backbone().text(context, classes, position=position, class_specific=class_specific)  # type: ignore[arg-type]
    logits = logits_of(golden["images"], text)
    loss = F.cross_entropy(logits, golden["labels_observed"])
    loss.backward()
    assert context.grad is not None
    assert error(F.normalize(text, dim=-1), golden[f"{form}/text_features_normalised"]) < TOLERANCE
    assert error(logits, golden[f"{form}/logits"]) < TOLERANCE
    assert error(loss, golden[f"{form}/loss_ce"]) < TOLERANCE
    assert error(context.grad, golden[f"{form}/grad_ctx"]) < TOLERANCE


@pytest.mark.parametrize("form", [form for form, _, _ in FORMS])
def test_coop_tokens(form: str) -> None:
    golden = Item("coop")
    classes = backbone().class_tokens(golden.names())
    vectors = golden[f"{form}/ctx"].shape[-2]
    placeholder = encode("X") * vectors
    rows, ends = golden[f"{form}/token_ids"].tolist(), golden[f"{form}/eot_index"].tolist()
    for name, tail, row, end in zip(classes.ids, classes.tails, rows, ends, strict=True):
        assert row[: end + 1] == [START, *placeholder, *name, *tail]


def test_initial_phrase() -> None:
    golden = Item("coop")
    context = backbone().phrase("a photo of a")
    assert error(context, golden["init_a_photo_of_a/ctx"]) == 0
    text = backbone().text(context, backbone().class_tokens(golden.names()))
    assert error(logits_of(golden["images"], text), golden["init_a_photo_of_a/logits"]) < TOLERANCE


def test_modified_resnet_attention_pool_with_all_queries() -> None:
    golden = Item("rn_visual")
    visual = open_clip.modified_resnet.ModifiedResNet([1, 2, 1, 1], output_dim=32, heads=4, image_size=64, width=8)
    weights = load_file(FOLDER / "rn_tiny_visual.safetensors")
    visual.load_state_dict({key.removeprefix("visual."): value.float() for key, value in weights.items()})
    tower = image_tower(visual.eval().requires_grad_(False))
    pooled, tokens = tower.encode(golden["images"])
    everything = golden["plot_all_tokens_global_first_LBD"].transpose(0, 1)
    assert error(pooled, golden["image_features"]) < TOLERANCE
    assert error(tokens, everything[:, 1:]) < TOLERANCE
    assert tower.num_tokens == 4


@pytest.mark.parametrize("kind", ["const", "sched"])
def test_sgd_trajectory(kind: str) -> None:
    golden: Item = Item("sgd_trajectory")
    classes = backbone().class_tokens(golden.names())
    context = golden["ctx_init"].requires_grad_()
    momentum, decay = float(golden["momentum"]), float(golden["weight_decay"])
    optimizer = torch.optim.SGD([context], lr=1.0, momentum=momentum, weight_decay=decay)
    trajectory = golden[f"{kind}_ctx"]
    steps, base = len(trajectory) - 1, float(golden["lr0"])
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = (
            learning_rate(step, make_cell(epochs=steps, learning_rate=base)) if kind == "sched" else base
        )
        optimizer.zero_grad()
        loss = F.cross_entropy(
            logits_of(golden["images"], backbone().text(context, classes)), golden["labels_observed"]
        )
        assert float(loss.detach()) == pytest.approx(float(golden[f"{kind}_loss"][step]), rel=TOLERANCE)
        loss.backward()
        optimizer.step()
        assert error(context, trajectory[step + 1]) < TOLERANCE
    assert deviation(golden["ctx_init"], trajectory[-1]) > 10 * TOLERANCE
