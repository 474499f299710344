"""CLAP and its variants against the authors' numbers, and the decisions on the reference's defects."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bench.contracts.method import Batch, Context, Inputs, Phase, everything
from bench.engine.optim import learning_rate, optimizer_of
from bench.errors import BenchError
from bench.methods.clap import CLAP, class_multipliers
from bench.testing import fixtures
from tests.cells import make_cell
from tests.golden_data import TOLERANCE, Item, error
from tests.methods import from_golden

VARIANTS: dict[str, dict[str, Any]] = {
    "l2": {},
    "none": {"constraint": "none"},
    "l2constant": {"multiplier": "constant"},
    "l2corrected": {"multiplier": "normalised"},
    "l2balanced": {"multiplier": "unit"},
    "l2adaptative": {"adaptive": True},
}
VIEWS = 3


def golden_context(item: Item) -> Context:
    """All views of the item, each in the order of its samples."""
    views = tuple(Inputs(part) for part in item["train_features"].chunk(VIEWS))
    made = from_golden.context(item, views[0], item["labels_observed"], str(item.arrays["template"]))
    return replace(made, views=views, batch_size=int(item["l2/batch_size"]), epochs=6)


def golden_method(item: Item, **options: Any) -> CLAP:
    built = CLAP(CLAP.Options.model_validate(options))
    built.setup(golden_context(item))
    return built


def batch_of(item: Item, index: Tensor) -> Batch:
    """The samples at these positions of the stored features of all views."""
    whole = everything(len(index))
    features, labels = Inputs(item["train_features"][index]), item["train_labels"][index]
    return Batch(index, whole.group == 0, whole.group, whole.weight, labels, None, features, {})


def test_start_features_and_zero_shot_logits() -> None:
    item = Item("clap")
    assert torch.equal(item["train_labels"], item["labels_observed"].repeat(VIEWS))
    method = golden_method(item)
    assert error(method.text, item["base_text_features"]) < TOLERANCE
    assert torch.equal(method.weight, method.text)
    assert error(method.predict(Inputs(item["train_features"]), {}), item["zero_shot_logits"]) < TOLERANCE


@pytest.mark.parametrize("faithful", [False, True])
@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "none"])
def test_multipliers(variant: str, faithful: bool) -> None:
    item = Item("clap")
    method = golden_method(item, faithful=faithful, **VARIANTS[variant])
    assert error(method.alpha, item[f"{variant}/alpha"]) < 1e-5
    expected = item[f"{variant}/alpha"]
    numbers = method.diagnostics()
    assert numbers["alpha_mean"] == pytest.approx(float(expected.mean()), rel=1e-5)
    assert numbers["alpha_lowest"] == pytest.approx(float(expected.min()), rel=1e-5)
    assert numbers["alpha_highest"] == pytest.approx(float(expected.max()), rel=1e-5)


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_loss_and_gradient_at_given_weights(variant: str) -> None:
    item, group = Item("clap"), f"{variant}/given"
    method = golden_method(item, **VARIANTS[variant])
    with torch.no_grad():
        method.weight.copy_(item[f"{group}/weights"])
        if variant != "none":
            method.alpha.copy_(item[f"{group}/alpha"])
    index = torch.arange(len(item[f"{group}/logits"]))
    batch = batch_of(item, index)
    assert error(method.predict(batch.inputs, {}), item[f"{group}/logits"]) < TOLERANCE
    terms = method(batch).terms
    assert error(terms["ce"], item[f"{group}/ce"]) < TOLERANCE
    if variant != "none":
        assert error(terms["constraint"], item[f"{group}/constraint"]) < TOLERANCE
    (gradient,) = torch.autograd.grad(torch.stack(list(terms.values())).sum(), [method.weight])
    assert error(gradient, item[f"{group}/gradient"]) < TOLERANCE


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_the_trajectory_of_the_weights(variant: str) -> None:
    """Six epochs of SGD through the engine's optimizer and rate, on the batches that the reference drew."""
    item = Item("clap")
    method = golden_method(item, **VARIANTS[variant])
    size, steps = int(item[f"{variant}/batch_size"]), int(item[f"{variant}/steps_per_epoch"])
    order, epochs = item[f"{variant}/order"], len(item[f"{variant}/order"])
    cell = make_cell(learning_rate=0.1, weight_decay=0.0, epochs=epochs)
    optimizer, losses = optimizer_of(cell, [method.weight]), []
    for epoch in range(epochs):
        optimizer.param_groups[0]["lr"] = learning_rate(epoch, cell)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(float(item[f"{variant}/lr"][epoch]))
        for index in order[epoch][: steps * size].split(size):
            loss = torch.stack(list(method(batch_of(item, index)).terms.values())).sum()
            optimizer.zero_grad()
            loss.backward()
            losses.append(loss.detach().double())
            if len(losses) == 1:
                assert method.weight.grad is not None
                assert error(method.weight.grad, item[f"{variant}/first_gradient"]) < TOLERANCE
            optimizer.step()
        method.end_epoch(epoch + 1)
        assert error(method.weight, item[f"{variant}/weights"][epoch + 1]) < TOLERANCE
        if variant == "l2adaptative":
            assert error(method.alpha, item[f"{variant}/alpha_after"][epoch]) < TOLERANCE
    assert error(torch.stack(losses), item[f"{variant}/losses"]) < TOLERANCE


def slow_multipliers(confidence: list[float], labels: list[int], classes: int, kind: str) -> list[float]:
    """Class by class; a class without a sample gets the mean of the others."""
    own = [[p for p, label in zip(confidence, labels, strict=True) if label == k] for k in range(classes)]
    means = [sum(values) / len(values) for values in own if values]
    alpha = [sum(values) / len(values) if values else sum(means) / len(means) for values in own]
    total = sum(alpha)
    return {
        "class": alpha,
        "constant": [total / classes] * classes,
        "normalised": [value * classes / total for value in alpha],
        "unit": [1.0] * classes,
    }[kind]


@given(st.lists(st.tuples(st.floats(1e-6, 1), st.integers(0, 4)), min_size=1, max_size=12), st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_multipliers_against_loops(samples: list[tuple[float, int]], number: int) -> None:
    kind = ("class", "constant", "normalised", "unit")[number]
    confidence, labels = zip(*samples, strict=True)
    found = class_multipliers(torch.tensor(confidence, dtype=torch.float64), torch.tensor(labels), 5, kind)  # type: ignore[arg-type] # one of the four
    assert found.tolist() == pytest.approx(slow_multipliers(list(confidence), list(labels), 5, kind))


def test_the_cosine_constraint() -> None:
    method = golden_method(Item("clap"), constraint="cosine")
    assert method.constraint().item() == pytest.approx(0, abs=1e-6)
    with torch.no_grad():
        method.weight.mul_(3)
        assert method.constraint().item() == pytest.approx(0, abs=1e-6)  # of the direction alone
        method.weight.neg_()
    assert method.constraint().item() == pytest.approx(2 * float(method.alpha.mean()), rel=1e-5)


def contexts_with(labels: list[int]) -> Context:
    made = golden_context(Item("clap"))
    return replace(made, observed=torch.tensor(labels))


@pytest.mark.parametrize("absent", [1, 4])
def test_a_class_without_a_sample_gets_the_mean_of_the_others(absent: int) -> None:
    """K3: the reference divides by zero there, or crashes where it is the last class."""
    labels = [label if label != absent else 0 for label in Item("clap")["labels_observed"].tolist()]
    method = CLAP(CLAP.Options())
    method.setup(contexts_with(labels))
    others = [float(value) for number, value in enumerate(method.alpha) if number != absent]
    assert float(method.alpha[absent]) == pytest.approx(np.mean(others))
    for multiplier in ("class", "normalised", *(["constant"] if absent == 1 else [])):
        with pytest.raises(BenchError, match="no sample is labelled"):
            CLAP(CLAP.Options(faithful=True, multiplier=multiplier)).setup(contexts_with(labels))


def test_what_the_reference_survives_without_a_sample() -> None:
    labels = [label % 4 for label in Item("clap")["labels_observed"].tolist()]
    for multiplier in ("constant", "unit"):
        found = CLAP(CLAP.Options(faithful=True, multiplier=multiplier))
        found.setup(contexts_with(labels))
        assert found.alpha.isfinite().all()
    CLAP(CLAP.Options(faithful=True, constraint="none")).setup(contexts_with(labels))


def drawn(method: CLAP, epoch: int) -> Phase:
    (phase,) = method.begin_epoch(epoch, fixtures.full_pass(method))
    return phase


def test_an_epoch_of_the_reference_draws_whole_batches_from_all_views() -> None:
    """K1: 12 samples in batches of 8 make one step, of any 8 of the 36 stored features."""
    item = Item("clap")
    method = golden_method(item, faithful=True)
    seen = [drawn(method, epoch) for epoch in range(1, 7)]
    for phase in seen:
        assert phase.own is not None
        inputs, labels = phase.own
        assert torch.equal(inputs.pooled, item["train_features"])
        assert torch.equal(labels, item["train_labels"])
        assert int((phase.group == 0).sum()) == 8
        assert phase.weight.shape == (36,)
    assert torch.equal(seen[0].group, drawn(method, 1).group)
    assert not torch.equal(seen[0].group, seen[1].group)
    used = torch.stack([phase.group == 0 for phase in seen]).any(0)
    assert used.view(VIEWS, -1).any(1).all()
    whole = drawn(golden_method(item), 1)
    assert whole.own is None
    assert whole.group.tolist() == [0] * 12


def test_a_set_below_a_batch_makes_one_step_of_the_reference() -> None:
    method = CLAP(CLAP.Options(faithful=True))
    method.setup(replace(golden_context(Item("clap")), batch_size=20))
    assert int((drawn(method, 1).group == 0).sum()) == 20


def test_class_names_keep_their_underscores_as_in_the_reference() -> None:
    names, templates = ("sea_horse", "dog"), ("a photo of a {}.", "{} texture.")
    texts = [CLAP.texts(CLAP.Options(faithful=faithful), names, templates) for faithful in (False, True)]
    assert [text for text, _ in texts[0]] == [
        "a photo of a sea horse.",
        "a photo of a dog.",
        "sea horse texture.",
        "dog texture.",
    ]
    assert [text for text, _ in texts[1]] == [
        "a photo of a sea_horse.",
        "a photo of a dog.",
        "sea_horse texture.",
        "dog texture.",
    ]


def test_the_ensemble_is_a_mean_that_is_not_normalised() -> None:
    built = fixtures.build(CLAP, CLAP.Options(ensemble=True))
    assert isinstance(built, CLAP)
    texts = [text for text, _ in CLAP.texts(CLAP.Options(ensemble=True), fixtures.CLASSES, fixtures.TEMPLATES)]
    assert len(texts) == 9 * len(fixtures.CLASSES)
    assert texts[0] == "itap of a dog."
    encoded = fixtures.backbone().text_templates(texts).view(9, len(fixtures.CLASSES), -1)
    assert torch.allclose(built.text, encoded.mean(0), atol=1e-6)


def test_wrong_labels_lower_alpha_and_leave_unit_alone() -> None:
    item = Item("clap")
    confident = item["zero_shot_logits"][:12].argmax(1)
    found = []
    for labels in (confident, (confident + 1) % 5):
        method = CLAP(CLAP.Options())
        method.setup(replace(golden_context(item), observed=labels, views=()))
        found.append(method.diagnostics()["alpha_mean"])
    assert found[1] < found[0]


def test_views_are_asked_for_where_they_are_used() -> None:
    needs = {text: CLAP.needs(CLAP.Options.model_validate(options)).views for text, options in VARIANTS.items()}
    assert needs == {
        "l2": True, "none": False, "l2constant": True, "l2corrected": True, "l2balanced": False, "l2adaptative": True,
    }  # fmt: skip
    assert CLAP.needs(CLAP.Options(constraint="none", faithful=True)).views
