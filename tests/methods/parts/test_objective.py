"""Loss and split as options: each against the same thing written out."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bench.contracts.method import Phase
from bench.methods.coop import CoOp
from bench.methods.gce_coop import GCECoOp
from bench.methods.parts import losses, splits
from bench.methods.parts.clipcleaner import clipcleaner_split
from bench.methods.parts.templates import template_features
from bench.methods.promptmae import PromptMAE
from bench.plugins import METHODS
from bench.testing import fixtures

SPLITS = ("ot", "argmax", "mixture", "small-loss", "zero-shot", "clipcleaner")


def built(seed: int = 1, **options: Any) -> CoOp:
    return fixtures.build(CoOp, CoOp.Options.model_validate(options), seed)


def first_phases(method: CoOp) -> tuple[Phase, ...]:
    return method.begin_epoch(1, fixtures.full_pass(method))


@pytest.mark.parametrize("name", ["ce", "gce", "mae", "sce", "double-softmax"])
def test_each_loss_is_the_function_of_that_name(name: str) -> None:
    method = built(loss=name, q=0.6, a=0.4, b=2.0)
    (phase,) = first_phases(method)
    batch = fixtures.as_batch(method, phase, fixtures.labels())
    logits, labels = method.batch_logits(batch)[batch.valid], batch.observed[batch.valid]
    expected = {
        "ce": lambda: losses.cross_entropy(logits, labels),
        "gce": lambda: losses.generalised_cross_entropy(logits, labels, 0.6),
        "mae": lambda: losses.mean_absolute_error(logits, labels),
        "sce": lambda: losses.symmetric_cross_entropy(logits, labels, 0.4, 2.0),
        "double-softmax": lambda: losses.double_softmax_cross_entropy(logits, labels),
    }[name]()
    assert method(batch).terms[name].item() == pytest.approx(expected.mean().item(), rel=1e-5)


@pytest.mark.parametrize("split", SPLITS)
def test_a_split_trains_its_clean_part_and_then_the_rest(split: str) -> None:
    method = built(split=split)
    clean, rest = first_phases(method)
    assert torch.equal(clean.group >= 0, clean.clean)
    assert torch.equal(rest.group >= 0, ~clean.clean)
    for phase, term, other in ((clean, "ce", "rest_mae"), (rest, "rest_mae", "ce")):
        if (phase.group >= 0).any():
            terms = method(fixtures.as_batch(method, phase, fixtures.labels())).terms
            assert terms[term] != 0
            assert terms[other] == 0
    assert method.diagnostics()["clean_share"] == pytest.approx(clean.clean.double().mean().item())


@pytest.mark.parametrize("split", SPLITS)
def test_a_split_is_the_partition_of_that_name(split: str) -> None:
    method = built(split=split)
    scores = fixtures.predictions(method, fixtures.features(20, 5))
    found = first_phases(method)[0].clean
    sample_losses = losses.cross_entropy(scores, method.observed)
    if split == "ot":
        expected = splits.nlprompt_split(scores, method.observed, 0.01).clean
    elif split == "argmax":
        expected = scores.argmax(1) == method.observed
    elif split == "small-loss":
        expected = sample_losses <= sample_losses.sort().values[int(0.7 * len(sample_losses)) - 1]
    elif split == "zero-shot":
        assert method.zero_shot is not None
        expected = method.zero_shot.argmax(1) == method.observed
    elif split == "clipcleaner":
        context = fixtures.context(CoOp.needs(method.options), 1, method.observed)
        pooled = context.train.pooled
        expected = clipcleaner_split(method.observed, pooled, template_features(context)).clean
    else:
        assert method.seeds is not None
        expected = splits.mixture_split(sample_losses, int(method.seeds[0]), scores.argmax(1)).clean
    assert torch.equal(found, expected)


def test_what_is_dropped_is_not_trained() -> None:
    phases = first_phases(built(split="argmax", rest="drop"))
    assert len(phases) == 1
    assert torch.equal(phases[0].group >= 0, phases[0].clean)


def test_without_a_split_nothing_is_asked_of_the_engine() -> None:
    assert not CoOp.needs(CoOp.Options()).full_pass
    assert CoOp.needs(CoOp.Options(split="small-loss")).oracle == ("noise_rate",)
    assert not CoOp.needs(CoOp.Options(split="zero-shot")).full_pass


def test_named_losses_are_coop_with_that_loss() -> None:
    """GCE-CoOp and PromptMAE are CoOp with another default: the same terms."""
    for other, name in ((GCECoOp, "gce"), (PromptMAE, "mae")):
        method, same = fixtures.build(other, other.Options()), built(loss=name)
        (phase,) = same.begin_epoch(1, fixtures.full_pass(same))
        pair = [m(fixtures.as_batch(m, phase, fixtures.labels())).terms for m in (method, same)]
        assert pair[0].keys() == pair[1].keys() == {name}
        assert torch.equal(pair[0][name], pair[1][name])


def test_the_factor_of_promptmae_is_of_mae_alone() -> None:
    double = fixtures.build(PromptMAE, PromptMAE.Options(factor=2.0, split="argmax", rest="ce"))
    single = fixtures.build(PromptMAE, PromptMAE.Options(split="argmax", rest="ce"))
    for phase in double.begin_epoch(1, fixtures.full_pass(double)):
        one, two = [m(fixtures.as_batch(m, phase, fixtures.labels())).terms for m in (single, double)]
        assert torch.allclose(two["mae"], 2 * one["mae"])
        assert torch.equal(two["rest_ce"], one["rest_ce"])


LEARNERS = (
    "coop",
    "elr",
    "kgcoop",
    "cocoop",
    "prograd",
    "plot",
    "maple",
    "promptsrc",
    "clip-adapter",
    "tip-adapter-f",
    "clap",
)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", LEARNERS)
def test_any_split_and_loss_on_any_learner(name: str, split: str) -> None:
    """NLPrompt's split on MaPLe, generalised cross-entropy on PromptSRC: options, no code."""
    kind = METHODS.get(name)
    options = kind.Options.model_validate({"split": split, "loss": "gce", "rest": "sce"})
    method = fixtures.build(kind, options)
    first, rest = method.begin_epoch(1, fixtures.full_pass(method))
    assert torch.equal((first.group >= 0) ^ (rest.group >= 0), torch.ones(20, dtype=torch.bool))
    for number, (phase, term) in enumerate(((first, "gce"), (rest, "rest_sce"))):
        terms = method(fixtures.as_batch(method, phase, fixtures.labels(), number=number)).terms
        assert bool(terms[term] != 0) == bool((phase.group >= 0).any())
    fixtures.train(method)
    assert fixtures.predictions(method, fixtures.inputs_for(kind.needs(options), 4, 9)).isfinite().all()
