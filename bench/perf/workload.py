"""Members to be timed: any method on a real or random backbone, with made-up images and labels.

What is timed is the engine's own step (`bench.engine.member`, `bench.engine.pack`) and loop. No kernel here has a
run time that depends on values, so that random features of the right shape cost what real ones do.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from bench.clip.architectures import check_named, models
from bench.clip.backbone import Backbone
from bench.clip.load import load_backbone
from bench.clip.spec import Spec
from bench.contracts.method import Inputs
from bench.engine.audit import Audit
from bench.engine.checkpoint import SetupInputs, context_of
from bench.engine.loop import Loop
from bench.engine.member import Member, TrainingData
from bench.engine.pack import Pack
from bench.errors import BenchError
from bench.grid.options import method_options
from bench.plugins import METHODS
from bench.records.cell import Cell
from bench.variants import parse_variant

WORDS = "zero one two three four five six seven eight nine black blue bright car cat dark deer dog flower frog game"
TEMPLATES = ("a photo of a {}.",)
RATE = 0.25  # of wrong labels
TESTED = 10  # test images per class; an evaluation is a part of a cell
VALIDATED = 4


@dataclass(frozen=True)
class Scale:
    """Size of what is timed: classes, training samples per class, words of a class name, samples per step."""

    classes: int = 10
    shots: int = 16
    words: int = 1
    batch_size: int = 32


def class_names(count: int, words: int) -> tuple[str, ...]:
    """Create names of `words` words each; of more where these do not suffice for so many different names."""
    spoken = WORDS.split()
    length = next(length for length in itertools.count(1) if len(spoken) ** length >= count)
    different = itertools.islice(itertools.product(spoken, repeat=length), count)
    return tuple(" ".join([*reversed(name), *["and"] * (words - length)]) for name in different)


def open_random(name: str, device: str) -> Backbone:
    """Load a backbone, or make one of an open_clip architecture (no tag) with random weights.

    Raises:
        BenchError: there is none of this name, or its towers are not CLIP's own.
    """
    if name not in models():
        return load_backbone(name, device)
    check_named(name, Spec(arch=name))
    import open_clip

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = open_clip.CLIP(**{k: v for k, v in models()[name].items() if k != "custom_text"})
    size = model.visual.image_size
    size = size if isinstance(size, int) else size[0]
    return Backbone(model, name, {"size": size, "mean": (0.0,) * 3, "std": (1.0,) * 3}).to(device)


class Workload:
    """One method at one scale.

    Raises:
        BenchError: the method is unknown, or trains nothing.
    """

    def __init__(self, method: str, scale: Scale, backbone: Backbone, epochs: int = 1) -> None:
        self.method, self.scale, self.backbone = method, scale, backbone
        variant = parse_variant(method)
        self._kind = METHODS.get(variant.name)
        self._cell = Cell(
            dataset="digits", shots=scale.shots, noise="symmetric", rate=RATE, method=METHODS.row(variant.name).name,
            options=method_options(variant.name, variant.options), backbone="tiny", seed=1, epochs=epochs,
            batch_size=scale.batch_size, learning_rate=0.002, momentum=0.9, weight_decay=5e-4, warmup_epochs=0,
            warmup_learning_rate=1e-5, views=0, eval_every=5,
        )  # fmt: skip
        self.needs = self._kind.needs(self._kind.Options(**self._cell.options))
        self._names = class_names(scale.classes, scale.words)
        with torch.no_grad():
            self._texts = F.normalize(backbone.text_templates([f"a photo of a {name}." for name in self._names]), dim=1)

    def members(self, count: int, backbone: Backbone | None = None) -> list[Member]:
        """Set up members that differ in their seeds; with `backbone` in place of the workload's."""
        return [self._member(seed, backbone or self.backbone) for seed in range(1, count + 1)]

    def steps(self, count: int, backbone: Backbone | None = None) -> Steps:
        """Set up members at the longest phase of their last epoch."""
        return Steps(self.members(count, backbone))

    def run_cells(self, count: int) -> None:
        """Set up members, train and evaluate them: alone, or in lockstep where there are several.

        Raises:
            BenchError: one of them has failed.
        """
        members = self.members(count)
        Loop(members).run()
        for member in members:
            if member.error is not None:
                raise BenchError(f"{self.method} failed while it was timed: {member.error}") from member.error

    def _member(self, seed: int, backbone: Backbone) -> Member:
        cell = self._cell.model_copy(update={"seed": seed})
        device, scale = self.backbone.device, self.scale
        generator = torch.Generator().manual_seed(seed)
        true = torch.arange(scale.classes).repeat(scale.shots)
        wrong = torch.rand(len(true), generator=generator) < RATE
        observed = torch.where(wrong, (true + 1) % scale.classes, true).to(device)
        parts = {name: self._inputs(count, generator).numbered(0 if name == "train" else len(true)) for name, count in
                 (("train", scale.shots), ("validation", VALIDATED), ("test", TESTED))}  # fmt: skip
        held_out = {name: torch.arange(scale.classes, device=device).repeat(count)
                    for name, count in (("validation", VALIDATED), ("test", TESTED))}  # fmt: skip
        visible = torch.arange(len(true), device=device)
        data = TrainingData(
            parts["train"], observed, visible, (parts["validation"], held_out["validation"]), parts["test"],
            scale.classes,
        )  # fmt: skip
        method = self._kind(self._kind.Options(**cell.options))
        given = SetupInputs(self._names, TEMPLATES, observed, RATE)
        pool = data.train.numbered(len(true)) if self.needs.pool else None
        method.setup(context_of(cell, given, backbone, data.train, pool))
        method.to(device)
        if not any(parameter.requires_grad for parameter in method.parameters()):
            raise BenchError(f'method "{self.method}" trains nothing, so it has no step to be timed; name another.')
        audit = Audit(true.to(device), observed, held_out["test"], held_out["validation"], visible)
        return Member(method, cell, data, audit)

    def _inputs(self, per_class: int, generator: torch.Generator) -> Inputs:
        """Create inputs near the texts of their classes, so that splits by prediction keep most samples."""
        texts, backbone = self._texts.repeat(per_class, 1), self.backbone
        noise = torch.randn(texts.shape, generator=generator).to(texts.device)
        pooled = texts + 0.3 * noise / texts.shape[1] ** 0.5
        tokens = pixels = None
        if self.needs.tokens:
            tokens = pooled[:, None].expand(-1, backbone.num_tokens, -1)
        if self.needs.pixels:
            image = torch.randn(1, 3, backbone.image_size, backbone.image_size, generator=generator)
            pixels = image.to(texts.device).expand(len(texts), -1, -1, -1)
        return Inputs(pooled, tokens, pixels)


class Steps:
    """Training steps of one member, or of several in lockstep; each call takes the next step of a phase."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.members, self._next = list(members), 0
        for member in self.members:
            member.begin_epoch(member.cell.epochs)
            sizes = [int((phase.group >= 0).sum()) for phase in member.phases]
            member.open_phase(sizes.index(max(sizes)))
        self._count = min(member.steps for member in self.members)
        self._pack = Pack(self.members) if len(self.members) > 1 else None

    def __call__(self) -> None:
        """Run the next step."""
        step, self._next = self._next % self._count, self._next + 1
        for member in self.members:
            member.gather(step)
        if self._pack is None:
            self.members[0].take(step)
        else:
            for member, done in zip(self.members, self._pack.train(), strict=True):
                self._pack.finish(member, step, done)
        if self._next % self._count == 0:
            for member in self.members:
                member.read_losses()
