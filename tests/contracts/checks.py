"""What every method must pass, as plain functions of a method class and its options.

Authors of third-party methods call them from their own tests:
`for check in CHECKS: check(MyMethod, MyMethod.Options())`. Each raises AssertionError with the reason. The
backbone is a small random CLIP, the features are random numbers.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import open_clip
import torch
from torch import Tensor
from torch.func import functional_call, grad, stack_module_state, vmap

from bench.clip.backbone import Backbone
from bench.seeds import Stream
from methods.base import Batch, Context, Inputs, Method, Options, Phase, scalar_options

Check: TypeAlias = Callable[[type[Method], Options], None]
CLASSES = ("dog", "golden retriever", "sea horse", "ceiling fan", "aeroplane")
SAMPLES, TOKENS, DIMENSIONS, PADDING, EPOCHS = 20, 4, 32, 3, 3


@lru_cache(maxsize=1)
def backbone() -> Backbone:
    """A random CLIP: text width 64 with 2 heads and 1 layer, embedding width 32, 4 patch tokens."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = open_clip.CLIP(
            embed_dim=DIMENSIONS,
            vision_cfg={"layers": 1, "width": 32, "patch_size": 16, "image_size": 32, "head_width": 16},
            text_cfg={"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 1},
        )
    return Backbone(model, "random", {"size": 32, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)})


def features(count: int, seed: int, tokens: bool = True) -> Inputs:
    generator = torch.Generator().manual_seed(seed)
    pooled = torch.randn(count, DIMENSIONS, generator=generator)
    return Inputs(pooled, torch.randn(count, TOKENS, DIMENSIONS, generator=generator) if tokens else None)


def labels(seed: int = 0) -> Tensor:
    return torch.randint(0, len(CLASSES), (SAMPLES,), generator=torch.Generator().manual_seed(100 + seed))


def build(method: type[Method], options: Options, seed: int = 1, observed: Tensor | None = None) -> Method:
    """A method after `setup`, given exactly what it declares."""
    needs = method.needs(options)
    built = method(options)
    built.setup(
        Context(
            class_names=CLASSES,
            templates=("a photo of a {}.", "a drawing of a {}."),
            observed=labels() if observed is None else observed,
            backbone=backbone(),
            train=features(SAMPLES, 5, needs.tokens),
            init=Stream(seed, "init"),
            method=Stream(seed, "method", "setup"),
            batch_size=8,
            epochs=EPOCHS,
            oracle={"noise_rate": 0.3} if "noise_rate" in needs.oracle else {},
        )
    )
    return built


def full_pass(method: Method) -> Callable[..., Tensor]:
    def scores(view: str = "plain") -> Tensor:
        assert method.needs(method.options).full_pass, "asks for a full pass that its needs do not declare"
        with torch.no_grad():
            return method.predict(features(SAMPLES, 5, method.needs(method.options).tokens), method.prepare())

    return scores


def as_batch(method: Method, phase: Phase, observed: Tensor, seed: int = 1, step: int = 0) -> Batch:
    """All samples of a phase in one step, padded; a paired cycle puts group 0 first."""
    chosen = (phase.group >= 0).nonzero().squeeze(1)
    chosen = chosen[phase.group[chosen].argsort(stable=True)]
    index = torch.cat([chosen, chosen.new_zeros(SAMPLES + PADDING - len(chosen))])
    return Batch(
        index=index,
        valid=torch.arange(len(index)) < len(chosen),
        group=phase.group[index],
        weight=phase.weight[index],
        observed=observed[index],
        target=None if phase.target is None else phase.target[index],
        inputs=features(SAMPLES, 5, method.needs(method.options).tokens).take(index),
        draws=method.draw(1, step, len(index), Stream(seed, "method", step)),
    )


def phases(method: Method) -> list[tuple[int, Phase]]:
    """The phases of all epochs, without training in between."""
    return [(epoch, p) for epoch in range(1, EPOCHS + 1) for p in method.begin_epoch(epoch, full_pass(method))]


def total(method: Method, batch: Batch) -> Tensor:
    return torch.stack(list(method(batch).terms.values())).sum()


def train(method: Method, seed: int = 1, rate: float = 0.05) -> None:
    """Plain gradient descent, one step per phase."""
    for epoch in range(1, EPOCHS + 1):
        for phase in method.begin_epoch(epoch, full_pass(method)):
            loss = total(method, as_batch(method, phase, method.get_buffer("observed"), seed, epoch))
            gradients = torch.autograd.grad(loss, list(method.parameters()), allow_unused=True)
            with torch.no_grad():
                for parameter, gradient in zip(method.parameters(), gradients, strict=True):
                    if gradient is not None:
                        parameter.sub_(gradient, alpha=rate)
        method.end_epoch(epoch)
    method.finalize(None)


def predictions(method: Method, inputs: Inputs) -> Tensor:
    with torch.no_grad():
        return method.predict(inputs, method.prepare())


def is_documented(method: type[Method], options: Options) -> None:
    """A docstring with the paper; every option with a description and a role."""
    text = method.__doc__ or ""
    assert len(text.splitlines()) > 3, "the class docstring must state idea, paper, equations and decisions"
    for name, spec in type(options).model_fields.items():
        extra = spec.json_schema_extra
        assert isinstance(extra, dict), f"option {name}: declare it with structural() or scalar()"
        assert extra.get("role") in ("structural", "scalar"), f"option {name}: declare it with structural() or scalar()"
        assert spec.description, f"option {name} has no description"
        assert isinstance(getattr(options, name), bool | int | float | str), f"option {name} does not fit into a record"


def has_finite_gradients(method: type[Method], options: Options) -> None:
    """Every parameter that a phase trains gets a finite gradient, not all zero; the backbone gets none."""
    built = build(method, options)
    assert not any(p is backbone().token_embedding for p in built.parameters()), "the backbone is a parameter"
    seen: dict[str, bool] = {}
    for _, phase in phases(built):
        trained = dict(built.named_parameters())
        names = list(trained) if phase.train is None else list(phase.train)
        loss = total(built, as_batch(built, phase, labels()))
        assert torch.isfinite(loss), f"loss is {loss.item()}"
        for name, gradient in zip(names, torch.autograd.grad(loss, [trained[n] for n in names]), strict=True):
            assert torch.isfinite(gradient).all(), f"gradient of {name} is not finite"
            seen[name] = seen.get(name, False) or bool(gradient.any())
    assert set(seen) == {name for name, _ in built.named_parameters()}, "a parameter is never trained"
    assert not list(built.parameters()) or any(seen.values()), "all gradients are 0"
    assert backbone().token_embedding.grad is None
    assert not backbone().token_embedding.requires_grad


def is_reproducible(method: type[Method], options: Options) -> None:
    """The same seed gives the same bits after training; another seed other parameters (where there are any)."""
    first, second, other = (build(method, options, seed) for seed in (1, 1, 2))
    train(first)
    train(second)
    for (name, a), b in zip(first.state_dict().items(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b), f"{name} differs between two runs of one seed"
    inputs = features(6, 9, method.needs(options).tokens)
    assert torch.equal(predictions(first, inputs), predictions(second, inputs))
    random_start = not getattr(options, "init", "")
    if list(first.parameters()) and random_start:
        fresh = build(method, options, 1)
        pairs = zip(fresh.parameters(), other.parameters(), strict=True)
        assert any(not torch.equal(a, b) for a, b in pairs), "the seed does not enter the start"


def is_pure(method: type[Method], options: Options) -> None:
    """No global generator is drawn from; `forward`, `predict` and `diagnostics` change no parameter and no buffer."""
    states = random.getstate(), torch.random.get_rng_state(), np.random.get_state(legacy=False)["state"]["key"].copy()
    built = build(method, options)
    for epoch, phase in phases(built):
        batch = as_batch(built, phase, labels(), step=epoch)
        before = {name: value.clone() for name, value in built.state_dict().items()}
        assert torch.equal(total(built, batch), total(built, batch)), "two calls of forward differ"
        predictions(built, features(3, 9, method.needs(options).tokens))
        assert all(np.isfinite(value) for value in built.diagnostics().values()), "records hold finite numbers"
        for name, value in built.state_dict().items():
            assert torch.equal(value, before[name]), f"{name} was changed"
    assert random.getstate() == states[0], "random was drawn from"
    assert torch.equal(torch.random.get_rng_state(), states[1]), "torch's global generator was drawn from"
    assert (np.random.get_state(legacy=False)["state"]["key"] == states[2]).all(), (
        "numpy's global generator was drawn from"
    )


def predicts_one_by_one(method: type[Method], options: Options) -> None:
    """Predictions do not depend on the batch's size or order."""
    built = build(method, options)
    train(built)
    inputs = features(7, 9, method.needs(options).tokens)
    whole = predictions(built, inputs)
    assert whole.shape == (7, len(CLASSES))
    order = torch.tensor([3, 1, 6, 0, 5, 2, 4])
    single = torch.cat([predictions(built, inputs.take(slice(i, i + 1))) for i in range(7)])
    tolerance = 1e-5 * float(whole.abs().max())
    assert (single - whole).abs().max() <= tolerance, "depends on the batch's size"
    assert (predictions(built, inputs.take(order)) - whole[order]).abs().max() <= tolerance, "depends on the order"


def ignores_padding(method: type[Method], options: Options) -> None:
    """What stands in the padding of a batch changes no loss; a batch of padding alone has loss 0 and gradient 0."""
    built = build(method, options)
    for _, phase in phases(built):
        batch = as_batch(built, phase, labels())
        moved = batch.index.clone()
        moved[~batch.valid] = SAMPLES - 1
        other = Batch(
            moved, batch.valid, phase.group[moved], phase.weight[moved], labels()[moved],
            None if phase.target is None else phase.target[moved],
            features(SAMPLES, 5, method.needs(options).tokens).take(moved), batch.draws,
        )  # fmt: skip
        assert torch.allclose(total(built, batch), total(built, other), rtol=1e-5, atol=1e-7), "padding is read"
        nothing = Batch(**{**vars(batch), "valid": torch.zeros_like(batch.valid)})
        loss = total(built, nothing)
        assert loss.item() == 0, "a batch without a valid sample has a loss"
        for gradient in torch.autograd.grad(loss, list(built.parameters()), allow_unused=True):
            assert gradient is None or not gradient.any(), "a batch without a valid sample has a gradient"


def runs_as_a_pack(method: type[Method], options: Options) -> None:
    """Gradients of three members under vmap equal each member's alone.

    The members differ in seed, observed labels and scalar options; a Python number read in `forward` shows here.
    """
    names = scalar_options(type(options))
    limited = [options.model_copy(update={n: getattr(options, n) * factor for n in names}) for factor in (1, 0.9, 0.8)]
    members = [build(method, o, seed, labels(seed)) for seed, o in enumerate(limited, 1)]
    if not list(members[0].parameters()):
        return
    lockstep = list(zip(*[[phase for _, phase in phases(member)] for member in members], strict=True))
    kinds = {(packed[0].policy, packed[0].group.max().item() > 1): packed for packed in lockstep}
    for packed in kinds.values():
        batches = [
            as_batch(member, phase, member.get_buffer("observed"), seed)
            for seed, (member, phase) in enumerate(zip(members, packed, strict=True), 1)
        ]
        alone = [
            _gradients(member, dict(member.named_parameters()), dict(member.named_buffers()), batch)
            for member, batch in zip(members, batches, strict=True)
        ]
        parameters, buffers = stack_module_state(members)
        stacked = {n: torch.stack([_tensors(b)[n] for b in batches]) for n in _tensors(batches[0])}
        together = vmap(lambda p, b, t: _gradients(members[0], p, b, _untensors(t)))(parameters, buffers, stacked)
        # some gradients are 0 but for rounding: a softmax does not see the bias of its keys
        noise = 1e-6 * max(float(gradient.abs().max()) for member in alone for gradient in member.values())
        for name, value in together.items():
            expected = torch.stack([a[name] for a in alone])
            assert (value - expected).abs().max() <= 1e-5 * expected.abs().max() + noise, f"{name} differs in a pack"


def _gradients(method: Method, parameters: dict[str, Tensor], buffers: dict[str, Tensor], batch: Batch) -> Any:
    def loss(p: dict[str, Tensor]) -> Tensor:
        losses = functional_call(method, (p, buffers), (batch,))
        return torch.stack(list(losses.terms.values())).sum()

    return grad(loss)({name: value.detach() for name, value in parameters.items()})


def _tensors(batch: Batch) -> dict[str, Tensor]:
    fields = {n: getattr(batch, n) for n in ("index", "valid", "group", "weight", "observed", "target")}
    inputs = {"inputs.pooled": batch.inputs.pooled, "inputs.tokens": batch.inputs.tokens}
    draws = {f"draws.{name}": value for name, value in batch.draws.items()}
    return {name: value for name, value in (fields | inputs | draws).items() if value is not None}


def _untensors(tensors: dict[str, Tensor]) -> Batch:
    plain = {n: tensors.get(n) for n in ("index", "valid", "group", "weight", "observed", "target")}
    draws = {n.removeprefix("draws."): value for n, value in tensors.items() if n.startswith("draws.")}
    return Batch(**plain, inputs=Inputs(tensors["inputs.pooled"], tensors.get("inputs.tokens")), draws=draws)  # type: ignore[arg-type]


CHECKS: tuple[Check, ...] = (
    is_documented,
    has_finite_gradients,
    is_reproducible,
    is_pure,
    predicts_one_by_one,
    ignores_padding,
    runs_as_a_pack,
)
