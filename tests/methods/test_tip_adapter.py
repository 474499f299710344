"""Both Tip-Adapters against the authors' numbers, and the decisions on the reference's defects."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from bench.contracts.method import Batch, Context, Inputs, everything
from bench.engine.optim import learning_rate, optimizer_of
from bench.errors import BenchError
from bench.methods.parts.templates import zero_shot_logits
from bench.methods.tip_adapter import TipAdapter, TipCache, cache_keys, cache_values, search_grid
from bench.methods.tip_adapter_f import TipAdapterF
from bench.seeds import Stream
from bench.testing import fixtures
from tests.cells import make_cell
from tests.golden_data import TOLERANCE, Item, backbone, error

SETTINGS = ("beta1.0_alpha1.17", "beta5.5_alpha1.0", "beta2.0_alpha3.5")


def golden_context(golden: Item) -> Context:
    streams = Stream(1, "init"), Stream(1, "method")
    inputs = Inputs(golden["train_features_3augmentations"][0])
    observed, templates = golden["train_labels_observed"], tuple(golden.names("templates"))
    return Context(tuple(golden.names()), templates, observed, backbone(), inputs, *streams, len(observed), 1)


def golden_method(golden: Item, method: type[TipCache] = TipAdapter, **options: Any) -> TipCache:
    """Set up with the authors' templates and labels, on the keys of their three augmented views."""
    built = method(method.Options.model_validate(options))
    built.setup(golden_context(golden))
    with torch.no_grad():
        built.keys.copy_(cache_keys(golden["train_features_3augmentations"]))
    return built


def test_cache_and_classifier() -> None:
    golden = Item("tip")
    method = golden_method(golden)
    assert error(method.text.mT, golden["classifier_weights_DxC"]) < TOLERANCE
    assert error(method.keys.mT, golden["cache_keys_DxN"]) < TOLERANCE
    assert torch.equal(method.values, golden["cache_values_NxC"])


@pytest.mark.parametrize("setting", SETTINGS)
def test_logits(setting: str) -> None:
    golden = Item("tip")
    beta, alpha = (float(part.lstrip("betalph")) for part in setting.split("_"))
    method = golden_method(golden, alpha=alpha, beta=beta)
    features = golden["test_features"]
    assert error(features @ method.keys.mT, golden[f"{setting}/affinity_test"]) < TOLERANCE
    assert error(method.predict(Inputs(features), {}), golden[f"{setting}/tip_logits_test"]) < TOLERANCE


def searched(golden: Item) -> TipCache:
    ends, steps = golden["search_scale_beta_alpha"].tolist(), golden["search_step_beta_alpha"].tolist()
    grid = {"search_beta": ends[0], "search_alpha": ends[1], "steps_beta": steps[0], "steps_alpha": steps[1]}
    return golden_method(golden, **grid)


def test_the_search_ends_at_the_authors_setting() -> None:
    golden = Item("tip")
    method = searched(golden)
    validation = Inputs(golden["val_features"]), golden["val_labels"]
    assert method.best(*validation) == (float(golden["best_beta"]), float(golden["best_alpha"]))
    method.finalize(validation)
    assert method.diagnostics()["alpha"] == pytest.approx(float(golden["best_alpha"]))
    assert method.diagnostics()["beta"] == pytest.approx(float(golden["best_beta"]))
    found = method.predict(Inputs(golden["test_features"]), {})
    assert error(found, golden["tip_logits_test_at_best"]) < TOLERANCE


@pytest.mark.parametrize("method", [TipAdapter, TipAdapterF])
@pytest.mark.parametrize("change", [{"search_beta": 0.2}, {"search_alpha": 0.2}, {"steps_beta": 1}, {"steps_alpha": 1}])
def test_the_grid_and_its_steps_decide_what_is_found(method: type[TipCache], change: dict[str, Any]) -> None:
    golden = Item("tip")
    validation = Inputs(golden["val_features"]), golden["val_labels"]
    assert golden_method(golden, method, **change).best(*validation) != golden_method(golden, method).best(*validation)


def test_the_trajectory_of_the_keys() -> None:
    """Nine steps of AdamW with the cosine over all steps, through the engine's optimizer and rate."""
    golden = Item("tip")
    method = golden_method(golden, TipAdapterF, beta=float(golden["tipF/beta"]), alpha=float(golden["tipF/alpha"]))
    size, epochs = int(golden["tipF/batch_size"]), int(golden["tipF/epochs"])
    cell = make_cell(
        optimizer="adamw", schedule="cosine-step", learning_rate=float(golden["tipF/lr"]), weight_decay=0.01,
        epsilon=float(golden["tipF/eps"]), epochs=epochs,
    )  # fmt: skip
    optimizer = optimizer_of(cell, list(method.parameters()))
    chunks = torch.arange(len(method.keys)).split(size)
    observed, features = golden["train_labels_observed"], golden["tipF/features"]
    whole, after, losses = everything(len(observed)), [], []
    for epoch in range(epochs):
        for step, index in enumerate(chunks):
            optimizer.param_groups[0]["lr"] = learning_rate(epoch, cell, step / len(chunks))
            loss = method(
                Batch(
                    index, torch.ones(len(index), dtype=torch.bool), whole.group[index], whole.weight[index],
                    observed[index], None, Inputs(features[index]), {},
                )
            ).terms["ce"]  # fmt: skip
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            after.append(method.keys.detach().clone())
            losses.append(loss.item())
    assert len(after) == int(golden["tipF/n_steps"])
    assert error(after[0], golden["tipF/weight_NxD_after_first_step"]) < TOLERANCE
    assert error(after[-1], golden["tipF/weight_NxD_after_last_step"]) < TOLERANCE
    last = losses[-len(chunks) :]
    assert sum(last) / len(last) == pytest.approx(float(golden["tipF/mean_loss_last_epoch"]), rel=1e-5)


def slow_logits(method: TipCache, image: Tensor) -> list[float]:
    """One image, one class and one key at a time."""
    image = image / image.norm()
    logits = [100 * float(image @ text) for text in method.text]
    for key, label in zip(method.keys, method.get_buffer("observed").tolist(), strict=True):
        logits[label] += float(method.alpha) * float((-float(method.beta) * (1 - image @ key)).exp())
    return logits


@given(alpha=st.floats(0, 10), beta=st.floats(0, 10))
@settings(max_examples=15, deadline=None)
def test_logits_against_loops(alpha: float, beta: float) -> None:
    method = fixtures.build(TipAdapter, TipAdapter.Options(alpha=alpha, beta=beta))
    inputs = Inputs(torch.randn(3, fixtures.DIMENSIONS, generator=torch.Generator().manual_seed(1)))
    expected = torch.tensor([slow_logits(method, image) for image in inputs.pooled])
    assert torch.allclose(method.predict(inputs, {}), expected, rtol=1e-4, atol=1e-4)


def test_alpha_zero_is_zero_shot() -> None:
    golden = Item("tip")
    context = golden_context(golden)
    found = golden_method(golden, alpha=0.0).predict(context.train, {})
    assert torch.allclose(found / 100, zero_shot_logits(context) / backbone().scale, atol=1e-6)


def test_the_grid_leaves_its_end_out() -> None:
    assert search_grid(3.1, 3) == pytest.approx([0.1, 1.1, 2.1])


def grid_of_four(**options: Any) -> TipCache:
    golden = Item("tip")
    return golden_method(golden, search_beta=2.0, steps_beta=2, search_alpha=2.0, steps_alpha=2, **options)


def test_of_equal_settings_the_first_is_taken() -> None:
    method = grid_of_four()
    inputs = Inputs(method.text)  # the class texts themselves: every setting hits them all
    assert method.best(inputs, torch.arange(5)) == (0.1, 0.1)


def test_a_search_without_a_hit() -> None:
    """The reference switches the cache off; here the set values stay."""
    labels = torch.full((5,), -1)
    for faithful, expected in ((False, (1.0, 1.25)), (True, (0.0, 0.0))):
        method = grid_of_four(alpha=1.25, faithful=faithful)
        assert method.best(Inputs(method.text), labels) == expected


def test_without_validation_nothing_is_searched() -> None:
    method = grid_of_four(alpha=1.25)
    method.finalize(None)
    assert method.diagnostics() == {"alpha": 1.25, "beta": 1.0}
    assert TipAdapter.needs(TipAdapter.Options()).validation
    assert not TipAdapter.needs(TipAdapter.Options(search=False)).validation


def test_labels_without_the_last_class() -> None:
    """A2: the reference's one-hot is too narrow then; a width of 1 spreads over all classes."""
    observed = torch.tensor([0, 2, 1])
    assert torch.equal(cache_values(observed, 5), F.one_hot(observed, 5).float())
    assert torch.equal(cache_values(observed, 3, faithful=True), cache_values(observed, 3))
    assert cache_values(torch.zeros(3, dtype=torch.long), 5, faithful=True).shape == (3, 1)
    with pytest.raises(BenchError, match=r"^faithful=true: .* only 3 wide"):
        cache_values(observed, 5, faithful=True)


def test_trained_keys_of_16_shots_and_100_classes() -> None:
    context = golden_context(Item("tip"))
    train, observed = Inputs(torch.ones(1600, 512)), torch.arange(1600) % 5
    method = TipAdapterF(TipAdapterF.Options())
    method.setup(replace(context, train=train, observed=observed))
    assert isinstance(method.keys, nn.Parameter)
    assert sum(p.numel() for p in method.parameters()) == 819_200


def test_trained_keys_need_the_validation_twin_and_what_their_split_needs() -> None:
    needs = TipAdapterF.needs(TipAdapterF.Options(split="ot", search=False))
    assert needs.full_pass
    assert not needs.validation
    needs = TipAdapterF.needs(TipAdapterF.Options(split="small-loss"))
    assert needs.validation
    assert needs.oracle == ("noise_rate",)
