"""The contract of a kind of label noise.

Labels are numpy vectors of int64, [N], with C classes. A kind draws from one private stream, which is keyed by data
set, split, shots, kind and seed, never by the rate, the method, an option or the order of runs.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bench.contracts.dataset import Dataset, Split, SplitName
from bench.contracts.options import Options, check_class
from bench.fewshot import sample
from bench.seeds import Stream

Labels: TypeAlias = NDArray[np.int64]
OUTSIDE = -1  # the "true label" of an image that belongs to none of the classes


class NoiseOptions(Options):
    """Options of a kind of noise.

    One that counts beside some values of others alone says so: `Field(…, json_schema_extra={"when": "by=text"})`, see
    `bench.contracts.conditions`.
    """

    on_top: bool = Field(default=False, description="allow labels whose truth is unknown, and change them further")


class AsStored(NoiseOptions):
    """Options of a kind that takes the labels as they are stored, true or not."""

    on_top: Literal[False] = Field(default=False, description="always false: nothing is changed")


def from_file(default: str, description: str) -> Any:
    """Create an option that names a file; keys hold the sha256 of its content, never the name."""
    return Field(default=default, description=description, json_schema_extra={"role": "file"})


def from_backbone(default: str, description: str) -> Any:
    """Create an option that names a backbone; keys hold the digest of its weights, never a path."""
    return Field(default=default, description=description, json_schema_extra={"role": "backbone"})


def from_dataset(default: str, description: str) -> Any:
    """Create an option that names a data set; keys hold its version, or the digest of a user's images."""
    return Field(default=default, description=description, json_schema_extra={"role": "dataset"})


@dataclass(frozen=True)
class NoisyLabels:
    """Observed and true labels, with what a record says of them.

    Attributes:
        true: [N]; `OUTSIDE` for an image of none of the classes.
        observed: [N].
        num_classes: C.
        truth: whether `true` is known; where not, it holds the labels of the data, and nothing is measured by it.
    """

    true: Labels
    observed: Labels
    num_classes: int
    truth: bool = True

    @cached_property
    def mislabeled(self) -> NDArray[np.bool_]:
        """[N], where the observed label is not the true one."""
        wrong: NDArray[np.bool_] = self.true != self.observed
        return wrong

    @property
    def realised_rate(self) -> float | None:
        """Share of mislabeled samples; None where the truth is unknown."""
        if not self.truth:
            return None
        return float(self.mislabeled.mean()) if len(self.true) else 0.0

    @property
    def per_class_rate(self) -> list[float] | None:
        """Share of mislabeled samples among those of each true class, [C]; 0 for an absent class."""
        if not self.truth:
            return None
        inside = self.true != OUTSIDE
        count = np.bincount(self.true[inside], minlength=self.num_classes)
        wrong = np.bincount(self.true[inside & self.mislabeled], minlength=self.num_classes)
        return [float(share) for share in wrong / np.maximum(count, 1)]

    @property
    def confusion(self) -> list[list[int]]:
        """Counts of each wrong pair as [true, observed, count], sorted; true is -1 for foreign images."""
        pairs = np.stack([self.true[self.mislabeled], self.observed[self.mislabeled]], 1)
        found, counts = np.unique(pairs, axis=0, return_counts=True)
        return [[int(true), int(observed), int(n)] for (true, observed), n in zip(found, counts, strict=True)]

    @property
    def digest(self) -> str:
        """sha256 of the observed labels as little-endian 64-bit integers, in index order."""
        return hashlib.sha256(self.observed.astype("<i8").tobytes()).hexdigest()

    def summary(self) -> dict[str, Any]:
        """Summarise the labels for a record."""
        return {
            "digest": self.digest,
            "truth": self.truth,
            "realised_rate": self.realised_rate,
            "per_class_rate": self.per_class_rate,
            "mislabeled": int(self.mislabeled.sum()) if self.truth else None,
            "confusion": self.confusion if self.truth else None,
            "observed_per_class": np.bincount(self.observed, minlength=self.num_classes).tolist(),
        }


@dataclass(frozen=True)
class Foreign:
    """Images of another data set among the samples.

    Attributes:
        dataset: its name, as in `bench list datasets`.
        positions: [N], the position in its training split, -1 where the sample is one of the data set's own.
    """

    dataset: str
    positions: Labels


@dataclass(frozen=True)
class Sampled:
    """Few shots of one split with their labels, in order: all that a method may see of it.

    Attributes:
        positions: in the split, [N]; of no meaning where `foreign` has an image instead.
        noisy: labels of the same samples.
        short: classes that have fewer images than shots, with the number they have.
        foreign: images of another data set, or None.
        facts: what else a record should say of the draw, JSON values by name.
    """

    positions: Labels
    noisy: NoisyLabels
    short: dict[int, int] = field(default_factory=dict)
    foreign: Foreign | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def images_digest(self) -> str:
        """sha256 over which images these are, in index order: [N] positions, and those in another data set if any."""
        places = [self.positions]
        if self.foreign is not None:  # where another image stands in, the position has no meaning
            places = [np.where(self.foreign.positions < 0, self.positions, -1), self.foreign.positions]
        name = "" if self.foreign is None else self.foreign.dataset.partition(":")[0]
        return hashlib.sha256(name.encode() + np.stack(places).astype("<i8").tobytes()).hexdigest()

    def summary(self) -> dict[str, Any]:
        """Summarise a draw for a record: digests of images and labels, rates, and what the kind says of itself."""
        foreign = {} if self.foreign is None else {"foreign": self.foreign.dataset}
        return {**self.noisy.summary(), "images_digest": self.images_digest, **foreign, **self.facts}


@dataclass(frozen=True)
class Scene:
    """Input of a kind of noise: a split of a data set and its frozen features. Nothing of a method.

    Attributes:
        split: all images of the split with their labels.
        split_name: which of the three it is.
        dataset: name for random streams, never a path.
        class_names: C names.
        shots: samples per class.
        seed: the cell's.
        superclasses: group of each class, or None where the data set has no groups.
        features: encoder's name and positions [N] to L2-normalised image features [N, D] float32 of the split. Besides
            backbones there is "thumbnail", which needs no weights: 16 x 16 colours, centred.
        texts: encoder's name to L2-normalised text features of the classes, [C, D] float32, averaged over templates.
        open_dataset: opens another data set by name.
        training: the training scene of the same cell; None where this is it, or there is none.
    """

    split: Split
    split_name: SplitName
    dataset: str
    class_names: tuple[str, ...]
    shots: int
    seed: int
    superclasses: tuple[int, ...] | None = None
    features: Callable[[str, Labels], NDArray[np.float32]] | None = None
    texts: Callable[[str], NDArray[np.float32]] | None = None
    open_dataset: Callable[[str], Dataset] | None = None
    training: Scene | None = None

    @property
    def num_classes(self) -> int:
        """C."""
        return len(self.class_names)

    @property
    def origin(self) -> Scene:
        """The training scene, or this one: where a kind draws and fits what it does to every split alike.

        Which samples are mislabeled differs between training and validation; which classes are noisy, or what an image
        is mistaken for, does not, because the same annotators would have labelled both.
        """
        return self.training or self

    def stream(self, kind: str, *axes: str | int) -> Stream:
        """Create the private stream of a kind; further axes give it another one."""
        return Stream(self.seed, "noise", self.dataset, self.split_name, self.shots, kind, *axes)

    def sample(self, labels: Labels | None = None) -> tuple[Labels, dict[int, int]]:
        """Draw few shots balanced by `labels` [n], the split's own where None. A class without images is short, too."""
        by = self.split.labels if labels is None else labels
        positions, short = sample(by, self.shots, self.seed, self.dataset, self.split_name)
        absent = np.setdiff1d(np.arange(self.num_classes), by).tolist()
        return positions, dict(sorted({**dict.fromkeys(absent, 0), **short}.items()))


class Noise(ABC):
    """A kind of label noise.

    Attributes:
        kind: the name in the registry, which keys the stream.
        takes_rate: whether the kind has a nominal rate; one without is as it is in the data.
        on_true: whether the kind starts from true labels, so that it is refused where only given ones are known.
        reads_texts: whether it asks an encoder about the class names; these are then checked before a run.
    """

    kind: ClassVar[str]
    takes_rate: ClassVar[bool] = True
    on_true: ClassVar[bool] = True
    reads_texts: ClassVar[bool] = False
    Options: ClassVar[type[NoiseOptions]] = NoiseOptions

    def __init_subclass__(cls, **more: Any) -> None:
        """Check what plans and lists ask of the class."""
        super().__init_subclass__(**more)
        check_class(cls)

    def __init__(self, options: NoiseOptions | None = None) -> None:
        self.options = self.Options() if options is None else options

    @abstractmethod
    def draw(self, scene: Scene, rate: float) -> Sampled:
        """Draw the few shots of a split and their labels at a nominal rate in [0, 1).

        Raises:
            BenchError: the kind cannot be applied to this data set; says what to change.
        """
