"""SRRS without BLIP against the authors' numbers, slow versions, and the decisions on the reference's defects."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.contracts.method import Batch, FullPass, Inputs
from bench.errors import BenchError
from bench.methods import srrs
from bench.methods.parts.mixup import mix
from bench.methods.parts.splits import Mixture, scaled
from bench.methods.srrs import MATCHED, SRRS, UNMATCHED, Screening
from bench.testing import fixtures
from tests.golden_data import TOLERANCE, Item, backbone, entry_error, error
from tests.methods.from_golden import load, one_batch, set_up

EVALUATIONS = range(7)
SEED = 3  # of our mixtures; the items are those where every start gives the same fit
GROUPS = ("default_beta", "beta_4", "none_matched", "all_matched", "gce")


def golden_losses(item: Item) -> Tensor:
    """Scaled losses of all evaluations, [E, N], from logits averaged over the views."""
    simple, featured = (item[f"logits_{name}"][:, 0].mean(1) for name in ("simple", "featured"))
    observed, weight = item["labels_observed"], float(item["co_lambda"])
    pairs = zip(simple, featured, strict=True)
    return torch.stack([srrs.srrs_losses(one, other, observed, weight, faithful=True) for one, other in pairs])


def golden_probability(item: Item, evaluation: int) -> Tensor:
    """Mean of both learners' probabilities in the second pass, [N, C]."""
    logits = torch.stack([item[f"logits_{name}"][evaluation, 1].mean(0) for name in ("simple", "featured")])
    return logits.softmax(-1).mean(0)


def golden_mixture(item: Item, evaluation: int) -> Mixture:
    (m1, m2), (s1, s2) = (item[f"gmm_{name}"][evaluation].tolist() for name in ("means", "std"))
    return Mixture(item["clean_probability"][evaluation].numpy(), (m1, m2), (s1**2, s2**2), True)


def test_losses_are_the_authors() -> None:
    item = Item("srrs_split")
    losses = golden_losses(item)
    assert error(losses, item["losses_normalised"]) < 1e-6
    means = torch.stack([losses[max(0, last - 4) : last + 1].mean(0) for last in EVALUATIONS])
    assert error(means, item["losses_mean_of_last_5"]) < 1e-6


@pytest.mark.parametrize("evaluation", EVALUATIONS)
def test_screening_is_the_authors(evaluation: int) -> None:
    item = Item("srrs_split")
    split = srrs.srrs_screening(golden_losses(item)[: evaluation + 1], SEED, float(item["theta"]))
    assert error(torch.tensor(split.mixture.mean), item["gmm_means"][evaluation].float()) < 1e-5
    assert error(torch.tensor(split.mixture.variance).sqrt(), item["gmm_std"][evaluation].float()) < 1e-5
    assert entry_error(torch.from_numpy(split.mixture.low), item["clean_probability"][evaluation]) < 1e-5
    expected = [float(item[f"alpha_{number}"][evaluation]) for number in (1, 2)]
    assert split.thresholds == pytest.approx(expected, abs=1e-5)
    assert torch.equal(split.clean, item["clean"][evaluation])
    assert torch.equal(split.noisy, item["noisy"][evaluation])
    assert torch.equal(~(split.clean | split.noisy), item["confused"][evaluation])


@pytest.mark.parametrize("evaluation", EVALUATIONS)
def test_thresholds_follow_from_the_components(evaluation: int) -> None:
    """Exactly, in both orders of the two: the last evaluation but one has alpha_1 above alpha_2 by .006."""
    item = Item("srrs_split")
    found = srrs.srrs_thresholds(golden_mixture(item, evaluation), float(item["theta"]))
    expected = [float(item[f"alpha_{number}"][evaluation]) for number in (1, 2)]
    assert entry_error(torch.tensor(found, dtype=torch.double), torch.tensor(expected, dtype=torch.double)) < 1e-9
    low, high = sorted(expected)
    mean = item["losses_mean_of_last_5"][evaluation]
    assert torch.equal(mean < low, item["clean"][evaluation])
    assert torch.equal(mean > high, item["noisy"][evaluation])


@pytest.mark.parametrize("evaluation", EVALUATIONS)
def test_targets_and_rectified_labels_are_the_authors(evaluation: int) -> None:
    item = Item("srrs_split")
    masks = (item[name][evaluation] for name in ("clean", "noisy"))
    split = Screening(*masks, golden_mixture(item, evaluation), (0.0, 0.0))
    targets = srrs.srrs_targets(golden_probability(item, evaluation), item["labels_observed"], split)
    assert error(targets, item["refined_targets"][evaluation]) < 1e-6
    assert torch.equal(targets.argmax(1), item["refined_labels"][evaluation])


def test_re_screening_matches_as_the_authors() -> None:
    item = Item("srrs_split")
    labels = item["refined_labels"].unsqueeze(-1)
    scores = torch.stack(list(map(scaled, item["itm_scores"].mean(1).gather(-1, labels).squeeze(-1))))
    assert error(scores, item["itm_normalised"]) < 1e-6
    for evaluation in EVALUATIONS:
        mean = scores[max(0, evaluation - 4) : evaluation + 1].mean(0)
        assert error(mean, item["itm_mean_of_last_5"][evaluation]) < 1e-6
        match, mixture = srrs.srrs_match(scores[: evaluation + 1], SEED)
        assert torch.equal(match, item["match"][evaluation])
        high = torch.from_numpy(1 - mixture.low)
        assert entry_error(high, item["match_probability"][evaluation]) < 1e-5


class Described(SRRS):
    """With the descriptions of the item."""

    __doc__ = SRRS.__doc__

    @classmethod
    def described(cls, options: Any, names: Any, templates: Any) -> list[str]:
        told = Item("srrs_step").names("descriptions")
        return [f"{name}, {description}" for name, description in zip(names, told, strict=True)]


def pixels(item: Item) -> Tensor:
    """Images of all views, the first view first, [K·B, 3, 32, 32]."""
    return item["views"].flatten(0, 1)


def pooled(images: Tensor) -> Tensor:
    with torch.no_grad():
        return backbone().image(images).pooled


def golden_method(item: Item, **options: Any) -> tuple[Described, Batch]:
    """The method with the item's contexts and all views as one batch, and the observed labels."""
    images = pooled(pixels(item))
    method, _ = set_up(Described, item, Inputs(images[: len(item["index"])]), faithful=True, **options)
    load(method, item, {"context": "ctx_simple", "featured_context": "ctx_featured"})
    return method, one_batch(Inputs(images), item["labels_observed"].repeat(len(item["views"])))


def check_gradients(method: SRRS, item: Item, group: str) -> None:
    for parameter, key in ((method.context, "simple"), (method.featured_context, "featured")):
        assert parameter.grad is not None
        assert error(parameter.grad, item[f"{group}/grad_ctx_{key}"]) < TOLERANCE


def test_prompts_hold_the_authors_tokens() -> None:
    item = Item("srrs_step")
    method, _ = golden_method(item)
    phrase = item["tokens_simple"][0, 1:5].tolist()
    for name, classes in (("simple", method.classes), ("featured", method.featured)):
        for row, ids, tail in zip(item[f"tokens_{name}"].tolist(), classes.ids, classes.tails, strict=True):
            whole = [49406, *phrase, *ids, *tail]
            assert row == whole + [0] * (len(row) - len(whole))


def test_the_warm_up_step_is_the_authors() -> None:
    item = Item("srrs_step")
    method, batch = golden_method(item)
    simple, featured = method.both(batch.inputs.pooled)
    assert error(simple, item["warmup/logits_simple"]) < TOLERANCE
    assert error(featured, item["warmup/logits_featured"]) < TOLERANCE
    terms = method(batch).terms
    for name in ("simple", "featured"):
        assert error(terms[f"ce_{name}"], item[f"warmup/ce_{name}"]) < TOLERANCE
        assert error(terms[f"negative_entropy_{name}"] / 0.5, item[f"warmup/penalty_{name}"]) < TOLERANCE
    total = torch.stack(list(terms.values())).sum()
    assert error(total, item["warmup/loss"]) < TOLERANCE
    total.backward()  # type: ignore[no-untyped-call]
    check_gradients(method, item, "warmup")


def arranged(item: Item, group: str) -> tuple[Tensor, Tensor]:
    """The authors' order of the stacked views, matched first, and which of them are matched."""
    index = item["index"].repeat(len(item["views"]))
    matched = torch.isin(index, item[f"{group}/match_ids"])
    return torch.cat([matched.nonzero(), (~matched).nonzero()]).squeeze(1), matched


def check_terms(item: Item, group: str, terms: dict[str, Tensor], loss: str) -> None:
    assert error(terms[f"{loss}_simple"], item[f"{group}/loss_simple"]) < TOLERANCE
    assert error(terms[f"{loss}_featured"], item[f"{group}/loss_featured"]) < TOLERANCE
    assert error(terms["consistency"] / 0.5, item[f"{group}/co_reg"]) < TOLERANCE
    assert error(terms["balance"], item[f"{group}/penalty"]) < TOLERANCE
    assert error(torch.stack(list(terms.values())).sum(), item[f"{group}/loss"]) < TOLERANCE


@pytest.mark.parametrize("group", GROUPS)
def test_a_step_on_mixed_pixels_is_the_authors(group: str) -> None:
    """Rows made as the authors make them, by mixing pixels; logits, terms and gradients are ours."""
    item = Item("srrs_step")
    loss = "gce" if group == "gce" else "ce"
    method, _ = golden_method(item, loss=loss)
    order, matched = arranged(item, group)
    images, target = pixels(item)[order], item["refined_targets"][item["index"].repeat(len(item["views"]))[order]]
    share, partner = item[f"{group}/mix_lambda"].float(), item[f"{group}/permutation"]
    rows = pooled(torch.cat([images, mix(images, share, partner)]))
    targets = torch.cat([target, mix(target, share, partner)])
    mask = torch.cat([matched[order], torch.ones_like(matched)])
    assert error(targets[mask], item[f"{group}/all_targets"]) < TOLERANCE
    logits = method.both(rows)
    assert error(logits[0, mask], item[f"{group}/logits_simple"]) < TOLERANCE
    assert error(logits[1, mask], item[f"{group}/logits_featured"]) < TOLERANCE
    terms = method.screened_terms(logits, targets, mask)
    check_terms(item, group, terms, loss)
    torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
    check_gradients(method, item, group)


def test_a_whole_step_at_the_default_beta_is_the_authors() -> None:
    """Through `forward`: lambda is 1, so that mixing features and mixing pixels are the same."""
    item, group = Item("srrs_step"), "default_beta"
    method, batch = golden_method(item)
    order, matched = arranged(item, group)
    target = item["refined_targets"][item["index"].repeat(len(item["views"]))[order]]
    draws = {"share": item[f"{group}/mix_lambda"].float(), "keys": item[f"{group}/permutation"].argsort().double()}
    kinds = torch.where(matched[order], MATCHED, UNMATCHED)
    inputs, observed = batch.inputs.take(order), batch.observed[order]
    step = Batch(batch.index, batch.valid, kinds, batch.weight, observed, target, inputs, draws)
    terms = dict(method(step).terms)
    check_terms(item, group, terms, "ce")
    torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
    check_gradients(method, item, group)


def test_prediction_is_the_authors() -> None:
    item = Item("srrs_step")
    method, _ = golden_method(item)
    with torch.no_grad():
        found = method.predict(Inputs(pooled(item["inference/images"])), method.prepare())
    assert error(found, item["inference/logits"]) < TOLERANCE


def test_consistency() -> None:
    """S1: the code's hardly moves; ours is the Jensen-Shannon divergence."""
    first, second = torch.randn(2, 6, 10, generator=torch.Generator().manual_seed(0)) * 20
    slow = []
    for one, other in zip(first.double().softmax(1).tolist(), second.double().softmax(1).tolist(), strict=True):
        middle = [(p + q) / 2 for p, q in zip(one, other, strict=True)]
        halves = [sum(p * math.log(p / m) for p, m in zip(part, middle, strict=True)) for part in (one, other)]
        slow.append(sum(halves) / 2)
    assert srrs.consistency(first, second).tolist() == pytest.approx(slow, rel=1e-4)
    assert srrs.consistency(first, first).tolist() == pytest.approx([0] * 6, abs=1e-6)
    bound = 2 * (math.e - 1) / (math.e + 9)
    assert float(srrs.consistency(first, second, faithful=True).max()) <= bound + 1e-6
    opposite = torch.eye(2) * 100
    assert float(srrs.consistency(opposite[0], opposite[1])) == pytest.approx(math.log(2))


def test_equal_losses_are_confused_and_keep_their_labels() -> None:
    """S9: the code divides 0 by 0."""
    observed = torch.arange(6) % 3
    losses = srrs.srrs_losses(torch.zeros(6, 3), torch.zeros(6, 3), observed, 0.5)
    assert losses.tolist() == [0] * 6
    split = srrs.srrs_screening(losses.unsqueeze(0), 1)
    assert not (split.clean | split.noisy).any()
    targets = srrs.srrs_targets(torch.full((6, 3), 1 / 3), observed, split)
    assert torch.equal(targets, torch.nn.functional.one_hot(observed, 3).float())
    match, _ = srrs.srrs_match(losses.unsqueeze(0), 1)
    assert not match.any()


def test_the_mixtures_start_from_the_cells_seed() -> None:
    """S3: two set-ups of one seed agree, another seed draws other starts."""
    one, same, other = (fixtures.build(SRRS, SRRS.Options(), seed=seed).seeds for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def scored(views: list[str]) -> FullPass:
    """A full pass that notes the view it is asked for."""

    def ask(view: str = "plain") -> Tensor:
        views.append(view)
        return torch.randn(3, 20, 5, generator=torch.Generator().manual_seed(len(views))) * 5

    return ask


@pytest.mark.parametrize(("faithful", "view"), [(False, "plain"), (True, "augmented")])
def test_screening_every_second_epoch_after_warm_up(faithful: bool, view: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """S4: `faithful` scores the view that the epoch is trained on."""
    monkeypatch.setattr(fixtures, "EPOCHS", 5)
    method = fixtures.build(SRRS, SRRS.Options(faithful=faithful, warmup=1))
    asked: list[str] = []
    phases = [method.begin_epoch(epoch, scored(asked))[0] for epoch in range(1, 6)]
    assert asked == [view] * 2
    assert phases[0].target is None
    assert phases[1] is phases[2]
    assert phases[3] is phases[4] is not phases[1]


def test_re_screening_by_zero_shot_clip_and_by_nobody() -> None:
    groups = {}
    for rescreen in ("zero-shot", "none"):
        method = fixtures.build(SRRS, SRRS.Options(rescreen=rescreen, warmup=0))
        (phase,) = method.begin_epoch(1, scored([]))
        logits = scored([])()
        assert phase.pseudo is not None
        scores = scaled(logits[2].softmax(1).gather(1, phase.pseudo.unsqueeze(1)).squeeze(1))
        match, _ = srrs.srrs_match(scores.unsqueeze(0), int(method.seeds[0, 1]))
        groups[rescreen] = phase.group == MATCHED
        assert torch.equal(groups[rescreen], match if rescreen == "zero-shot" else torch.zeros_like(match))
    assert 0 < int(groups["zero-shot"].sum()) < 20


def test_the_matched_count_twice() -> None:
    """S12: without mix-up a matched sample's loss is there unmixed and mixed."""
    method = fixtures.build(SRRS, SRRS.Options(beta=0.0, warmup=0))
    (phase,) = method.begin_epoch(1, scored([]))
    batch = fixtures.as_batch(method, phase, fixtures.labels())
    logits = method.both(batch.inputs.pooled)[0].detach().double().log_softmax(1)
    assert batch.target is not None
    losses, count = -(batch.target * logits).sum(1), torch.where(batch.group == MATCHED, 2, 1) * batch.valid
    assert float(method(batch).terms["ce_simple"].detach()) == pytest.approx(
        float((losses * count).sum() / count.sum()), rel=1e-5
    )


def test_the_second_template_stands_in_for_descriptions() -> None:
    options, names = SRRS.Options(), ["sea_horse", "dog"]
    assert SRRS.described(options, names, ["a {}.", "a drawing of a {}, or so."]) == [
        "a drawing of a sea horse, or so",
        "a drawing of a dog, or so",
    ]
    assert SRRS.described(options, names, ["{} texture."]) == ["sea horse texture", "dog texture"]
    own = SRRS.Options(template="the {}")
    assert [text.text for text in SRRS.texts(own, ["dog"], ["a {}."])] == [
        "a photo of a dog.",
        "a photo of a the dog.",
        "the dog",
    ]
    with pytest.raises(BenchError, match="has no"):
        fixtures.build(SRRS, SRRS.Options(template="a dog"))


@pytest.mark.parametrize(("epochs", "expected"), [(3, 1), (5, 1), (10, 2), (200, 2)])
def test_warm_up_takes_at_most_a_fifth_of_the_epochs(
    epochs: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fixtures, "EPOCHS", epochs)
    assert fixtures.build(SRRS, SRRS.Options()).diagnostics()["warmup_epochs"] == expected
