"""CLIPCleaner's selection: the original's numbers, its defects and their repairs, cases with a known answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.contracts.method import Method
from bench.errors import BenchError
from bench.methods.clipcleaner import CLIPCleaner
from bench.methods.coop import CoOp
from bench.methods.kgcoop import KgCoOp
from bench.methods.maple import MaPLe
from bench.methods.parts import clipcleaner
from bench.methods.parts.clipcleaner import Criteria
from bench.methods.parts.templates import template_features, zero_shot_text
from bench.testing import checks, fixtures
from tests.golden_data import Item, error, note

REFERENCE = Criteria(mixture="class", fill="lowest", starts=1)
GROUPS = ("plain", "empty_class")


class Case:
    """A group of the item, with what both classifiers say of it."""

    def __init__(self, group: str) -> None:
        item = Item("clipcleaner")
        self.of = {key.removeprefix(f"{group}/"): item[key] for key in item.arrays if key.startswith(f"{group}/")
                   and item.arrays[key].dtype.kind in "bif"}  # fmt: skip
        self.image, self.texts, self.observed = (
            self.of[name] for name in ("image_features", "text_features", "labels_observed")
        )
        self.zero_shot = clipcleaner.zero_shot_log_probabilities(self.image, self.texts, float(self.of["temperature"]))
        self.visual = clipcleaner.regression_log_probabilities(self.image, self.observed, len(self.texts))


@pytest.mark.parametrize("group", GROUPS)
def test_the_originals_two_classifiers(group: str) -> None:
    case = Case(group)
    assert error(case.zero_shot.exp(), case.of["prediction_zero_shot"]) < 1e-5
    assert error(case.visual.exp(), case.of["prediction_logistic"]) < 1e-3


@pytest.mark.parametrize("group", GROUPS)
def test_the_originals_four_scores(group: str) -> None:
    case = Case(group)
    scores = [
        score
        for answer in (case.zero_shot, case.visual)
        for score in (
            clipcleaner.likelihood_scores(answer, case.observed, "class"),
            clipcleaner.consistency(answer, case.observed),
        )
    ]
    assert error(torch.stack(scores), case.of["scores"]) < 1e-5


@pytest.mark.parametrize("group", GROUPS)
def test_the_originals_four_rules(group: str) -> None:
    """The mixtures, which the original starts at random, where eight starts of it agree."""
    case = Case(group)
    for row in range(4):
        score = case.of["scores"][row]
        if row % 2:
            kept = score >= float(case.of["theta_cons"])
        else:
            membership = clipcleaner.upper_membership(score, case.observed, "class", starts=1)
            kept = membership >= float(case.of["theta_gmm"])
        stable = case.of["selection_stable"][row]
        assert stable.double().mean() > 0.9
        assert torch.equal(kept[stable], case.of["selected_by"][row][stable])


@pytest.mark.parametrize("group", GROUPS)
def test_the_originals_intersection_and_what_fills_an_empty_class(group: str) -> None:
    case = Case(group)
    agreed = case.of["selected_by"].all(0)
    assert torch.equal(agreed, case.of["intersection"])
    classes = len(case.texts)
    assert clipcleaner.fill_count(agreed, case.observed, classes) == int(case.of["fill_count"])
    found = clipcleaner.filled(agreed, case.of["scores"][0], case.observed, classes, "lowest")
    assert torch.equal(found, case.of["selected"])
    assert torch.equal(case.observed[found & ~agreed].unique(), case.of["empty_classes"].long())


@pytest.mark.parametrize("group", GROUPS)
def test_the_originals_selection_as_a_whole(group: str) -> None:
    case = Case(group)
    split = clipcleaner.clipcleaner_split(case.observed, case.image, case.texts, REFERENCE)
    certain = case.of["selection_stable"].all(0)
    assert torch.equal(split.clean[certain], case.of["selected"][certain])
    assert torch.equal(split.pseudo, case.of["prediction_zero_shot"].argmax(1))
    note(float((split.clean != case.of["selected"]).double().mean()))


def test_q1_the_reference_fills_with_the_lowest_scores_and_the_repair_with_the_highest() -> None:
    observed = torch.tensor([0, 0, 0, 1, 1, 1, 1])
    selected = torch.tensor([True, True, False, False, False, False, False])
    scores = torch.tensor([0.0, 1.0, 0.5, 0.2, 1.0, 0.0, 0.9])
    assert clipcleaner.filled(selected, scores, observed, 2, "highest")[3:].tolist() == [False, True, False, True]
    assert clipcleaner.filled(selected, scores, observed, 2, "lowest")[3:].tolist() == [True, False, True, False]


def test_how_many_fill_an_empty_class() -> None:
    observed = torch.arange(40) % 2
    few = torch.zeros(40, dtype=torch.bool)
    assert clipcleaner.fill_count(few, observed, 2) == 10  # nothing at all is selected: floor(N / C²), or 1
    assert clipcleaner.fill_count(few, observed, 8) == 1
    few[:6] = True
    assert clipcleaner.fill_count(few, observed, 2) == 10
    assert clipcleaner.fill_count(few, observed, 8) == 3  # Q2: of the smallest class that is not empty
    filled = clipcleaner.filled(torch.zeros(40, dtype=torch.bool), torch.arange(40.0), observed, 8, "highest")
    assert filled.nonzero().squeeze(1).tolist() == [38, 39]


def planted(samples: int, classes: int, wrong: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Features near the texts of their classes, and labels of which the first `wrong` name the next class."""
    generator = torch.Generator().manual_seed(seed)
    texts = F.normalize(torch.randn(classes, 1, 16, generator=generator), dim=-1)
    true = torch.arange(samples) % classes
    image = 3 * texts[true, 0] + 0.4 * torch.randn(samples, 16, generator=generator)
    return true, torch.where(torch.arange(samples) < wrong, (true + 1) % classes, true), image, texts


@pytest.mark.parametrize("classifiers", ["both", "zero-shot", "visual"])
def test_planted_noise_is_left_out(classifiers: Any) -> None:
    true, observed, image, texts = planted(120, 5, 30)
    split = clipcleaner.clipcleaner_split(observed, image, texts, Criteria(classifiers=classifiers))
    right = observed == true
    assert split.clean[~right].double().mean() < 0.1
    assert split.clean[right].double().mean() > 0.8
    assert split.numbers["classes_filled"] == split.numbers["samples_filled"] == 0
    assert ("visual_mixture_share" in split.numbers) == (classifiers != "zero-shot")
    assert ("zero_shot_consistency_share" in split.numbers) == (classifiers != "visual")


def test_q3_mixtures_by_class_throw_out_clean_samples_and_hang_on_their_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen samples in each of ten classes, no noise; scores that no class is special in."""
    scores = torch.from_numpy(np.random.Generator(np.random.Philox(0)).normal(size=160)).double()
    observed = torch.arange(160) % 10
    found: dict[str, list[Tensor]] = {"once": [], "ten": []}
    for start in range(3):
        monkeypatch.setattr(clipcleaner, "START", start)
        for name, starts in (("once", 1), ("ten", 10)):
            found[name].append(clipcleaner.upper_membership(scores, observed, "class", starts) >= 0.5)
    changed = {name: (torch.stack(masks) != masks[0]).any(0).double().mean().item() for name, masks in found.items()}
    assert changed["once"] > changed["ten"]
    assert found["once"][0].double().mean() < 0.8


def test_thresholds_of_zero_switch_a_rule_off() -> None:
    _, observed, image, texts = planted(60, 4, 20)
    everyone = clipcleaner.clipcleaner_split(observed, image, texts, Criteria(theta_gmm=0, theta_cons=0))
    assert everyone.clean.all()
    alone = Criteria(theta_gmm=0, theta_cons=1, classifiers="zero-shot")
    confirmed = clipcleaner.clipcleaner_split(observed, image, texts, alone)
    assert torch.equal(confirmed.clean, (image @ texts[:, 0].T).argmax(1) == observed)


def test_several_texts_of_a_class_count_alike() -> None:
    """Q5: as many texts in each class, so their sum is their mean; a text said twice changes nothing."""
    _, _, image, texts = planted(20, 4, 0)
    once = clipcleaner.zero_shot_log_probabilities(image, texts, 0.07)
    twice = clipcleaner.zero_shot_log_probabilities(image, texts.repeat(1, 2, 1), 0.07)
    assert torch.allclose(once, twice, atol=1e-12)


@pytest.mark.parametrize("mixture", ["set", "class"])
@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 1, 2, 3], [0, 0, 3, 3], [2, 2, 2, 3]])
def test_q4_classes_of_one_sample_and_absent_ones(mixture: Any, labels: list[int]) -> None:
    observed = torch.tensor(labels)
    _, _, image, texts = planted(4, 4, 0)
    split = clipcleaner.clipcleaner_split(observed, image, texts, Criteria(mixture=mixture))
    assert torch.equal(observed[split.clean].unique(), observed.unique())
    alike = clipcleaner.clipcleaner_split(observed, image[:1].expand(4, -1), texts, Criteria(mixture=mixture))
    assert torch.equal(observed[alike.clean].unique(), observed.unique())


def test_a_regression_gives_no_probability_to_a_class_without_a_sample() -> None:
    _, _, image, _ = planted(12, 3, 0)
    found = clipcleaner.regression_log_probabilities(image, torch.arange(12) % 2 * 2, 4).exp()
    assert torch.allclose(found.sum(1), torch.ones(12, dtype=torch.float64))
    assert not found[:, [1, 3]].any()
    assert (clipcleaner.regression_log_probabilities(image, torch.full((12,), 2), 4).exp()[:, 2] == 1).all()


def test_features_that_are_not_finite() -> None:
    _, observed, image, texts = planted(8, 4, 0)
    image[3, 2] = torch.nan
    for classifiers in ("zero-shot", "visual"):
        with pytest.raises(FloatingPointError):
            clipcleaner.clipcleaner_split(observed, image, texts, Criteria(classifiers=classifiers))  # type: ignore[arg-type]


def test_the_method_is_coop_on_the_split_that_every_learner_can_take() -> None:
    own = fixtures.build(CLIPCleaner, CLIPCleaner.Options())
    plain = fixtures.build(CoOp, CoOp.Options(split="clipcleaner", rest="drop"))
    one, other = (method.begin_epoch(1, fixtures.full_pass(method)) for method in (own, plain))
    assert len(one) == len(other) == 1
    assert torch.equal(one[0].group, other[0].group)
    assert own.diagnostics() == plain.diagnostics()
    for method in (own, plain):
        fixtures.train(method)
    assert all(torch.equal(*pair) for pair in zip(own.parameters(), plain.parameters(), strict=True))


@pytest.mark.parametrize(("learner", "options"), [(CoOp, {}), (KgCoOp, {"rest": "drop"}), (MaPLe, {"depth": 1})])
def test_no_true_label_leaks_into_a_learner_that_takes_it(learner: type[Method], options: dict[str, Any]) -> None:
    checks.leaks_nothing(learner, learner.Options.model_validate(options | {"split": "clipcleaner"}))


def test_it_is_made_once() -> None:
    method = fixtures.build(CLIPCleaner, CLIPCleaner.Options())
    assert isinstance(method, CLIPCleaner)
    assert not CLIPCleaner.needs(method.options).full_pass
    first = method.partition(1, fixtures.full_pass(method))
    fixtures.train(method)
    assert method.partition(3, fixtures.full_pass(method)) is first
    ours = fixtures.build(CoOp, CoOp.Options(split="argmax"))
    assert ours.partition(1, fixtures.full_pass(ours)) is not ours.partition(2, fixtures.full_pass(ours))


def test_faithful_is_the_reference() -> None:
    def criteria(**options: Any) -> Criteria:
        return CLIPCleaner(CLIPCleaner.Options.model_validate(options)).criteria()

    assert criteria() == Criteria()
    assert criteria(faithful=True) == REFERENCE
    assert criteria(mixture="class", fill="lowest", theta_gmm=0.4, temperature=0.1, classifiers="visual") == Criteria(
        0.4, 0.8, 0.1, "class", "visual", "lowest"
    )


def test_its_template() -> None:
    built = [fixtures.build(CLIPCleaner, CLIPCleaner.Options(template=text)) for text in ("dataset", "a {}.")]
    context = fixtures.context(CLIPCleaner.needs(CLIPCleaner.Options()), 1, fixtures.labels())
    for method, template in zip(built, ("dataset", "a {}."), strict=True):
        assert torch.equal(method.class_texts, template_features(context, template))  # type: ignore[arg-type]
    assert built[0].class_texts.shape == (5, len(fixtures.TEMPLATES), fixtures.DIMENSIONS)  # type: ignore[union-attr]
    assert torch.equal(zero_shot_text(context), F.normalize(template_features(context).transpose(0, 1).mean(0), dim=-1))
    with pytest.raises(BenchError, match="has no"):
        fixtures.build(CLIPCleaner, CLIPCleaner.Options(template="a photo"))
