"""Clauses of the contract, each a function of a method class and its options that raises AssertionError.

One may return a remark beside having passed.

Authors of methods outside this repository call them from their own tests
(`for check in CHECKS: check(MyMethod, MyMethod.Options())`) or run `bench test PLUGIN`.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from bench.contracts.method import Method, Options, scalar_options
from bench.engine.loop import Loop
from bench.grid.options import alone as alone_because
from bench.plugins import METHODS
from bench.testing.effects import differences
from bench.testing.fixtures import (
    CLASSES,
    DIMENSIONS,
    SAMPLES,
    Used,
    as_batch,
    backbone,
    build,
    context,
    inputs_for,
    labels,
    member,
    phases,
    predictions,
    total,
    train,
    watch_full_pass,
)

Check: TypeAlias = Callable[[type[Method], Options], str | None]
DECLARE = "declare when each counts, or why it is unseen"
OWN_LOSS = (
    'a method with a loss of its own overrides sample_loss, and its Options name it, loss: Literal["NAME"] '
    '(docs/tutorials/add_a_method.md, "A loss of your own")'
)


def is_documented(method: type[Method], options: Options) -> None:
    """Check that the class has a docstring with the paper, and every option a description and a role."""
    text = inspect.cleandoc(method.__doc__ or "")  # as Python 3.13 keeps it
    assert len(text.splitlines()) >= 3, "the class docstring must state idea, paper, equations and decisions"
    for name, spec in type(options).model_fields.items():
        extra = spec.json_schema_extra
        assert isinstance(extra, dict), f"option {name}: declare it with structural() or scalar()"
        assert extra.get("role") in ("structural", "scalar"), f"option {name}: declare it with structural() or scalar()"
        assert spec.description, f"option {name} has no description"
        assert isinstance(getattr(options, name), bool | int | float | str), f"option {name} does not fit into a record"


def does_what_options_say(method: type[Method], options: Options) -> None:
    """Check that every option changes a short run exactly where it is declared to count (`structural`)."""
    found = list(differences(method, options))
    advice = OWN_LOSS if any(line.startswith("option loss does nothing") for line in found) else DECLARE
    assert not found, "; ".join((*found, advice))


def has_finite_gradients(method: type[Method], options: Options) -> None:
    """Check that every trainable parameter gets a finite gradient, not all zero, and the backbone none."""
    built = build(method, options)
    frozen = {id(value) for value in backbone().parameters()}
    assert not any(id(p) in frozen for p in built.parameters()), "the backbone is a parameter"
    trainable = {name: p for name, p in built.named_parameters() if p.requires_grad}
    copied = [
        name for name, p in trainable.items() if p.ndim > 1 and any(_equal(p, w) for w in backbone().parameters())
    ]
    declared = method.needs(options).trains_backbone
    assert declared or not copied, f"trains a copy of the backbone ({copied[:1]}): declare trains_backbone"
    assert copied or not declared, "declares trains_backbone and does not train a copy of it"
    seen: dict[str, bool] = {}
    for epoch, number, phase in phases(built):
        names = list(trainable) if phase.train is None else list(phase.train)
        loss = total(built, as_batch(built, phase, labels(), number=number, epoch=epoch))
        assert torch.isfinite(loss), f"loss is {loss.item()}"
        gradients = torch.autograd.grad(loss, [trainable[n] for n in names], materialize_grads=True)
        for name, gradient in zip(names, gradients, strict=True):
            assert torch.isfinite(gradient).all(), f"gradient of {name} is not finite"
            seen[name] = seen.get(name, False) or bool(gradient.any())
    assert set(seen) == set(trainable), f"never trained: {', '.join(sorted(set(trainable) - set(seen)))}"
    assert not trainable or any(seen.values()), "all gradients are 0"
    assert all(p.grad is None and not p.requires_grad for p in backbone().parameters()), "the backbone is trained"


def _equal(first: Tensor, second: Tensor) -> bool:
    return first.shape == second.shape and torch.equal(first, second)


def is_reproducible(method: type[Method], options: Options) -> None:
    """Check that one seed gives the same bits after training, and another seed another start."""
    starts_from_the_seed(method, options)
    first, second = build(method, options), build(method, options)
    for built in (first, second):
        train(built)
    _same_state(first, second, "two runs of one seed")
    inputs = inputs_for(method.needs(options), 6, 9)
    assert torch.equal(predictions(first, inputs), predictions(second, inputs))


def starts_from_the_seed(method: type[Method], options: Options) -> None:
    """Check that two seeds start from different parameters, where there are any."""
    fresh, started = (dict(build(method, options, seed).named_parameters()) for seed in (1, 2))
    trained = [name for name, p in fresh.items() if p.requires_grad]
    if trained and not getattr(options, "init", "") and method.random_start:
        assert any(not torch.equal(fresh[name], started[name]) for name in trained), "the seed does not enter the start"


def _same_state(first: Method, second: Method, what: str) -> None:
    for (name, a), b in zip(first.state_dict().items(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b), f"{name} differs between {what}"


def leaks_nothing(method: type[Method], options: Options) -> None:
    """Check that other true labels in the audit change no bit of state and predictions.

    Where a method says that it reads no labels, other observed ones change no prediction either.
    """
    first, second = build(method, options), build(method, options)
    one, other = train(first, true=labels(1)), train(second, true=labels(2))
    _same_state(first, second, "runs whose true labels differ")
    assert all((a == b).all() for a, b in zip(one.predictions, other.predictions, strict=True)), "predictions differ"
    if not method.reads_labels:
        blind = build(method, options, observed=labels(3))
        train(blind)
        inputs = inputs_for(method.needs(options), 6, 9)
        assert torch.equal(predictions(first, inputs), predictions(blind, inputs)), (
            "reads_labels is False, and predictions depend on labels"
        )


def is_pure(method: type[Method], options: Options) -> None:
    """Check that no global generator is drawn from, and that `forward`, `predict` and `diagnostics` change no state."""
    with _no_global_draws():
        built = build(method, options)
        for epoch, number, phase in phases(built):
            batch = as_batch(built, phase, labels(), step=epoch, number=number, epoch=epoch)
            before = {name: value.clone() for name, value in built.state_dict().items()}
            assert torch.equal(total(built, batch), total(built, batch)), "two calls of forward differ"
            predictions(built, inputs_for(method.needs(options), 3, 9))
            assert all(np.isfinite(value) for value in built.diagnostics().values()), "records hold finite numbers"
            for name, value in built.state_dict().items():
                assert torch.equal(value, before[name]), f"{name} was changed"


@contextmanager
def _no_global_draws() -> Iterator[None]:
    before = _generators()
    yield
    for name, state in _generators().items():
        assert state == before[name], f"{name} was drawn from"


def _generators() -> dict[str, Any]:
    """Read the states of the global generators; numpy's key alone changes only once in 624 draws."""
    numpy = np.random.get_state(legacy=False)["state"]
    return {
        "random": random.getstate(),
        "torch's global generator": torch.random.get_rng_state().tolist(),
        "numpy's global generator": (numpy["key"].tolist(), numpy["pos"]),
    }


def predicts_one_by_one(method: type[Method], options: Options) -> None:
    """Check that predictions do not depend on the batch's size or order."""
    built = build(method, options)
    train(built)
    inputs = inputs_for(method.needs(options), 7, 9)
    whole = predictions(built, inputs)
    assert whole.shape == (7, len(CLASSES)), f"predictions have shape {tuple(whole.shape)}"
    order = torch.tensor([3, 1, 6, 0, 5, 2, 4])
    single = torch.cat([predictions(built, inputs.take(slice(i, i + 1))) for i in range(7)])
    tolerance = 1e-5 * float(whole.abs().max())
    assert (single - whole).abs().max() <= tolerance, "depends on the batch's size"
    assert (predictions(built, inputs.take(order)) - whole[order]).abs().max() <= tolerance, "depends on the order"


def tells_of_samples_one_by_one(method: type[Method], options: Options) -> None:
    """Check numbers of single samples: finite, independent of the batch, without text, changing no state.

    No diagnostic has one of their names, also with the endings that the audit gives them.
    """
    if method.per_sample is Method.per_sample:
        return
    used = Used()
    built = method(options)
    built.setup(context(method.needs(options), 1, labels(), None, _Watching(used)))  # type: ignore[arg-type] # as below
    train(built)
    used.clear()
    inputs, order = inputs_for(method.needs(options), 7, 9), torch.tensor([3, 1, 6, 0, 5, 2, 4])
    before = {name: value.clone() for name, value in built.state_dict().items()}
    with torch.no_grad(), _no_global_draws():
        whole, moved = built.per_sample(inputs), built.per_sample(inputs.take(order))
        single = [built.per_sample(inputs.take(slice(i, i + 1))) for i in range(7)]
    assert "text" not in used, "per_sample encodes texts"
    for name, value in built.state_dict().items():
        assert torch.equal(value, before[name]), f"per_sample changed {name}"
    assert all(part.keys() == whole.keys() for part in (moved, *single)), "names differ from batch to batch"
    for name, values in whole.items():
        assert values.shape == (7,), f"{name} has shape {tuple(values.shape)}, not one number for each of 7 samples"
        assert torch.isfinite(values).all(), f"{name} is not finite"
        tolerance = 1e-5 * float(values.abs().max())
        assert (torch.cat([part[name] for part in single]) - values).abs().max() <= tolerance, (
            f"{name} depends on the batch's size"
        )
        assert (moved[name] - values[order]).abs().max() <= tolerance, f"{name} depends on the order"
    taken = {f"{name}{ending}" for name in whole for ending in ("", "_clean", "_mislabeled", "_auroc")}
    assert not taken & built.diagnostics().keys(), "a name of per_sample is one of diagnostics"


def ignores_padding(method: type[Method], options: Options) -> None:
    """Check that padding of a batch changes no loss, and that padding alone has loss 0 and gradient 0."""
    built = build(method, options)
    trained = [p for p in built.parameters() if p.requires_grad]
    for epoch, number, phase in phases(built):
        batch = as_batch(built, phase, labels(), number=number, epoch=epoch)
        moved = batch.index.clone()
        moved[~batch.valid] = len(phase.group) - 1
        inputs, given = phase.own or (inputs_for(method.needs(options), SAMPLES, 5), labels())
        target = None if phase.target is None else phase.target[moved]
        other = replace(batch, index=moved, group=phase.group[moved], weight=phase.weight[moved], observed=given[moved],
                        target=target, inputs=inputs.take(moved))  # fmt: skip
        assert torch.allclose(total(built, batch), total(built, other), rtol=1e-5, atol=1e-6), "padding is read"
        loss = total(built, replace(batch, valid=torch.zeros_like(batch.valid)))
        assert loss.item() == 0, "a batch without a valid sample has a loss"
        for gradient in torch.autograd.grad(loss, trained, allow_unused=True):
            assert gradient is None or not gradient.any(), "a batch without a valid sample has a gradient"


def uses_what_it_declares(method: type[Method], options: Options) -> None:
    """Check that every declared need is used; what was not declared is not there to be used."""
    needs, used = method.needs(options), Used()
    tower = _Watching(used)
    built = method(options)
    built.setup(context(needs, 1, labels(), used, tower))  # type: ignore[arg-type] # stands in for the backbone
    used.discard("text")
    watch_full_pass(built, used)
    train(built, used=used)
    used.discard("text")
    prepared = built.prepare()
    used.discard("text")
    with torch.no_grad():
        built.predict(inputs_for(needs, 3, 9), prepared)
    if "text" in used:
        used.add("per_image_text")
    for name in ("tokens", "pixels", "full_pass", "pool", "views", "validation", "per_image_text"):
        if getattr(needs, name):
            assert name in used, f"declares {name} and does not use it"
    assert needs.per_image_text or "per_image_text" not in used, "encodes texts in predict: declare per_image_text"
    for fact in needs.oracle:
        assert fact in used, f"declares the oracle {fact} and does not use it"
    overridden = method.combine is not Method.combine
    assert needs.separate_gradients == overridden, "declare separate_gradients if, and only if, combine is overridden"


class _Watching:
    """The backbone, noting in `used` when texts are encoded."""

    def __init__(self, used: Used) -> None:
        self._used = used

    def __getattr__(self, name: str) -> Any:
        if name == "text":
            self._used.add("text")
        return getattr(backbone(), name)


def runs_as_a_pack(method: type[Method], options: Options) -> str:
    """Check that three members trained in lockstep end as each does alone, to 1e-5; returns how near.

    The members differ in seed, observed labels, oracle facts and scalar options. What cannot be computed for several at
    once is trained one by one: then the reason is returned, which a row may give beforehand.
    """
    row = METHODS.row_of(method)
    if row is not None and (reason := alone_because(row.name, options.model_dump())):
        return f"is trained alone: {reason}"
    names = scalar_options(type(options))
    limited = [options.model_copy(update={n: getattr(options, n) * factor for n in names}) for factor in (1, 0.9, 0.8)]
    alone, packed = ([build(method, o, seed, labels(seed)) for seed, o in enumerate(limited, 1)] for _ in range(2))
    if not any(p.requires_grad for p in alone[0].parameters()):
        return ""
    for seed, built in enumerate(alone, 1):
        train(built, seed)
    loop = Loop([member(built, seed) for seed, built in enumerate(packed, 1)])
    loop.run()
    for one in loop.members:
        if one.error is not None:
            raise one.error
    pairs = [pair for members in zip(alone, packed, strict=True) for pair in _compared(*members)]
    for name, expected, value in pairs:
        apart, size = (value.double() - expected.double()).abs(), expected.double().abs().clamp(min=1)
        near = torch.equal(value, expected) or bool((apart <= 1e-5 * size.max()).all())
        assert near, f"{name} differs in a pack"
    if loop.alone:
        return f"is trained alone: {loop.alone}"
    return "bit for bit" if all(torch.equal(value, expected) for _, expected, value in pairs) else "within 1e-5"


def _compared(alone: Method, packed: Method) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Pair parameters, buffers and predictions by name."""
    inputs = inputs_for(alone.needs(alone.options), 6, 9)
    for (name, expected), value in zip(alone.state_dict().items(), packed.state_dict().values(), strict=True):
        yield name, expected, value
    yield "a prediction", predictions(alone, inputs), predictions(packed, inputs)


CHECKS: tuple[Check, ...] = (
    is_documented,
    does_what_options_say,
    has_finite_gradients,
    is_reproducible,
    leaks_nothing,
    is_pure,
    predicts_one_by_one,
    tells_of_samples_one_by_one,
    ignores_padding,
    uses_what_it_declares,
    runs_as_a_pack,
)
__all__ = [
    "CHECKS", "CLASSES", "DIMENSIONS", "Check", "as_batch", "backbone", "build", "inputs_for", "labels", "phases",
    "predictions", "total", "train",
]  # fmt: skip
