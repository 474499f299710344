"""A small random CLIP, features, labels, and a method set up and trained on them as the engine would.

N samples, C classes, D embedding width. Whatever a method does not declare in its needs is not there.
"""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor

from bench.clip.backbone import Backbone
from bench.contracts.method import Batch, Context, FullPass, Inputs, Method, Needs, Options, Phase
from bench.engine.audit import Audit
from bench.engine.loop import train as train_member
from bench.engine.member import Member, TrainingData
from bench.engine.prediction import collect
from bench.records.cell import Cell
from bench.seeds import Stream

CLASSES = ("dog", "golden retriever", "sea horse", "ceiling fan", "aeroplane")
TEMPLATES = ("a photo of a {}.", "a drawing of a {}.")
SAMPLES, TOKENS, DIMENSIONS, PADDING, EPOCHS, BATCH, IMAGE = 20, 4, 32, 3, 3, 8, 32
POOL, HELD_OUT, VIEWS = 40, 10, 2
NOISE_RATE = 0.3
Built = TypeVar("Built", bound=Method)


@cache
def backbone() -> Backbone:
    """Create a random CLIP: 2 layers, text width 64 with 2 heads, vision and embedding width 32, 4 tokens."""
    import open_clip

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = open_clip.CLIP(
            embed_dim=DIMENSIONS,
            vision_cfg={"layers": 2, "width": 32, "patch_size": 16, "image_size": IMAGE, "head_width": 16},
            text_cfg={"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
        )
    return Backbone(model, "random", {"size": IMAGE, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)})


class Used(set[str]):
    """Names of what a method has read."""


@dataclass(frozen=True)
class Watched(Inputs):
    """Inputs that note in `used` when patch tokens or images are read."""

    used: Used = field(default_factory=Used)

    def __getattribute__(self, name: str) -> Any:
        value = object.__getattribute__(self, name)
        if name in ("tokens", "pixels") and value is not None:
            object.__getattribute__(self, "used").add(name)
        return value

    def _parts(self) -> tuple[Tensor, Tensor | None, Any, Tensor | None]:
        return tuple(object.__getattribute__(self, name) for name in ("pooled", "tokens", "pixels", "index"))

    def _like(self, *parts: Any) -> Inputs:
        return watched(Inputs(*parts), self.used)


def watched(inputs: Inputs, used: Used) -> Inputs:
    """Wrap inputs so that they note in `used` what is read."""
    return Watched(inputs.pooled, inputs.tokens, inputs.pixels, inputs.index, used)


@dataclass(frozen=True)
class WatchedContext(Context):
    """Context that notes in `used` when the pool or the augmented views are read."""

    used: Used = field(default_factory=Used)

    def __getattribute__(self, name: str) -> Any:
        if name in ("pool", "views"):
            object.__getattribute__(self, "used").add(name)
        return object.__getattribute__(self, name)


class WatchedFacts(UserDict[str, float]):
    """Oracle facts that note in `used` which of them were read."""

    def __init__(self, facts: Mapping[str, float], used: Used) -> None:
        super().__init__(facts)
        self.used = used

    def __getitem__(self, name: str) -> float:
        self.used.add(name)
        return super().__getitem__(name)


class WatchedPair(tuple[Inputs, Tensor]):
    """The validation twin; notes in `used` when it is opened."""

    used: Used

    def __iter__(self) -> Iterator[Any]:
        self.used.add("validation")
        return super().__iter__()

    def __getitem__(self, index: Any) -> Any:
        self.used.add("validation")
        return super().__getitem__(index)


def watch_finalize(method: Method, used: Used) -> None:
    """Note in `used` when `method.finalize` opens the validation twin."""
    finalize = method.finalize

    def noting(validation: tuple[Inputs, Tensor] | None) -> None:
        pair = None if validation is None else WatchedPair(validation)
        if pair is not None:
            pair.used = used
        finalize(pair)

    object.__setattr__(method, "finalize", noting)


def watch_full_pass(method: Method, used: Used) -> None:
    """Note in `used` when `method.begin_epoch` asks for a full pass."""
    begin_epoch = method.begin_epoch

    def noting(epoch: int, ask: FullPass) -> tuple[Phase, ...]:
        def asked(view: str = "plain") -> Tensor:
            used.add("full_pass")
            return ask(view)

        return begin_epoch(epoch, asked)

    object.__setattr__(method, "begin_epoch", noting)


def features(count: int, seed: int, tokens: bool = True, pixels: bool = False, first: int = 0) -> Inputs:
    """Draw inputs: pooled [count, D], tokens [count, T, D], images [count, 3, 32, 32] (pooled is then theirs).

    They are numbered from `first` on: training samples from 0, held-out ones from `SAMPLES`.
    """
    generator = torch.Generator().manual_seed(seed)
    pooled = torch.randn(count, DIMENSIONS, generator=generator)
    grid = torch.randn(count, TOKENS, DIMENSIONS, generator=generator) if tokens else None
    if not pixels:
        return Inputs(pooled, grid).numbered(first)
    images = torch.randn(count, 3, IMAGE, IMAGE, generator=generator)
    return Inputs(backbone().image(images).pooled.clone(), grid, images).numbered(first)


def inputs_for(needs: Needs, count: int, seed: int, first: int = 0) -> Inputs:
    """Draw inputs with what was declared, numbered from `first` on."""
    return features(count, seed, needs.tokens, needs.pixels, first)


def labels(seed: int = 0, count: int = SAMPLES) -> Tensor:
    """Draw labels, [count]."""
    return torch.randint(0, len(CLASSES), (count,), generator=torch.Generator().manual_seed(100 + seed))


def context(
    needs: Needs, seed: int, observed: Tensor, used: Used | None = None, tower: Backbone | None = None
) -> Context:
    """Create what `setup` is given under these needs."""
    used = Used() if used is None else used
    facts = {"noise_rate": NOISE_RATE + 0.1 * (seed - 1)} if "noise_rate" in needs.oracle else {}
    return WatchedContext(
        class_names=CLASSES,
        templates=TEMPLATES,
        observed=observed,
        backbone=tower or backbone(),
        train=watched(inputs_for(needs, len(observed), 5), used),
        init=Stream(seed, "init"),
        method=Stream(seed, "method", "setup"),
        batch_size=BATCH,
        epochs=EPOCHS,
        oracle=WatchedFacts(facts, used),
        pool=inputs_for(needs, POOL, 6, len(observed)) if needs.pool else None,
        views=tuple(inputs_for(needs, len(observed), 9 + number) for number in range(VIEWS)) if needs.views else (),
        used=used,
    )


def build(
    method: type[Built], options: Options, seed: int = 1, observed: Tensor | None = None, used: Used | None = None
) -> Built:
    """Create a method and set it up with exactly what it declares."""
    built = method(options)
    built.setup(context(method.needs(options), seed, labels() if observed is None else observed, used))
    return built


def full_pass(method: Method) -> Callable[..., Tensor]:
    """Create the full pass over the training set of `build`; it fails where it was not declared."""
    needs = method.needs(method.options)

    def scores(view: str = "plain") -> Tensor:  # noqa: ARG001 - the contract names it
        assert needs.full_pass, "asks for a full pass that its needs do not declare"
        with torch.no_grad():
            return collect(method.scores, inputs_for(needs, SAMPLES, 5), method.prepare(), SAMPLES)

    return scores


def as_batch(
    method: Method, phase: Phase, observed: Tensor, seed: int = 1, step: int = 0, number: int = 0, epoch: int = 1
) -> Batch:
    """Put all samples of a phase into one padded batch; a paired cycle puts group 0 first."""
    chosen = (phase.group >= 0).nonzero().squeeze(1)
    chosen = chosen[phase.group[chosen].argsort(stable=True)]
    size = len(phase.group) + PADDING
    index = torch.cat([chosen, chosen.new_zeros(size - len(chosen))])
    inputs, given = phase.own or (inputs_for(method.needs(method.options), SAMPLES, 5), observed)
    return Batch(
        index=index,
        valid=torch.arange(size) < len(chosen),
        group=phase.group[index],
        weight=phase.weight[index],
        observed=given[index],
        target=None if phase.target is None else phase.target[index],
        inputs=inputs.take(index),
        draws=method.draw(epoch, step, size, Stream(seed, "method", step)),
        phase=number,
    )


def phases(method: Method) -> list[tuple[int, int, Phase]]:
    """List epoch, number and phase of all epochs, without training in between."""
    return [
        (epoch, number, phase)
        for epoch in range(1, EPOCHS + 1)
        for number, phase in enumerate(method.begin_epoch(epoch, full_pass(method)))
    ]


def total(method: Method, batch: Batch) -> Tensor:
    """Add up the loss terms, 0-dimensional."""
    return torch.stack(list(method(batch).terms.values())).sum()


def member(
    method: Method, seed: int = 1, rate: float = 0.05, true: Tensor | None = None, used: Used | None = None
) -> Member:
    """Create what the engine's loop trains; its audit alone holds the `true` labels."""
    used = Used() if used is None else used
    watch_finalize(method, used)
    needs = method.needs(method.options)
    observed = labels() if "observed" not in dict(method.named_buffers()) else method.get_buffer("observed")
    validation, answers = inputs_for(needs, HELD_OUT, 7, SAMPLES), labels(7, HELD_OUT)
    material = TrainingData(
        train=watched(inputs_for(needs, SAMPLES, 5), used),
        observed=observed,
        visible=torch.arange(SAMPLES),
        validation=(validation, answers),
        test=watched(inputs_for(needs, HELD_OUT, 8, SAMPLES), used),
        classes=len(CLASSES),
    )
    audit = Audit(observed if true is None else true, observed, answers, answers, material.visible)
    return Member(method, cell(seed, rate), material, audit)


def train(
    method: Method, seed: int = 1, rate: float = 0.05, true: Tensor | None = None, used: Used | None = None
) -> Audit:
    """Train in the engine's own loop; returns the audit."""
    trained = member(method, seed, rate, true, used)
    train_member(trained)
    return trained.audit


def cell(seed: int, rate: float) -> Cell:
    """Create a cell of plain gradient descent over `EPOCHS` epochs."""
    return Cell(
        dataset="contract", shots=4, noise="none", rate=0.0, method="contract", backbone="random", seed=seed,
        epochs=EPOCHS, batch_size=BATCH, learning_rate=rate, momentum=0.0, weight_decay=0.0, warmup_epochs=0,
        warmup_learning_rate=rate, views=0, eval_every=1,
    )  # fmt: skip


def predictions(method: Method, inputs: Inputs) -> Tensor:
    """Compute logits [B, C] without gradient."""
    with torch.no_grad():
        return method.predict(inputs, method.prepare())
