"""Semantic confusion: wrong labels are classes that an encoder finds similar."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bench.contracts.noise import Noise, NoisyLabels, Sampled, Scene, from_backbone
from bench.errors import BenchError
from bench.noise.flip import Flip, changed, leading, require_classes
from bench.noise.helpers import by_row

LOG_TAU = (-18.0, 18.0)


class Confusion(Noise):
    """⌊r·N⌋ samples get a label from row y of a confusion matrix T with zero diagonal.

    T[y, j] = softmax over j ≠ y of s[y, j] / tau, where s is
    - `by=text`: the cosine of the two classes' text features by `encoder`, averaged over the data set's templates;
    - `by=zero-shot`: log(1 + n[y, j]), where n counts the training images of class y, those among the shots left out,
      that the encoder's zero-shot prediction takes for j. So tau = 1 is the confusion matrix as counted, with one
      image added to every pair, so that a pair never seen remains possible.
    tau is solved by bisection so that the share of the likeliest wrong class, averaged over y, is `top_share`; the
    default .4 is about that of the human labels of CIFAR-10N (.35 to .42; of CIFAR-100N .24). T is the same for both
    splits. Nested over rates, as `symmetric`, with one uniform number per sample for its wrong label; `per_class` as
    there.

    A construction of this project: no reference has one (VisPrompt's read-me speaks of similar classes, its code takes
    the next index). tau and the share reached stand in the record. Pitfalls: where the generating encoder is the
    evaluated model, the noise is the model's own mistakes and the comparison is rigged against it; report both. With
    three classes or fewer no top share below one half exists.
    """

    kind: ClassVar[str] = "confusion"

    class Options(Flip.Options):
        """Source of the confusions."""

        by: Literal["text", "zero-shot"] = Field(default="text", description="text similarity, or zero-shot mistakes")
        encoder: str = from_backbone("tiny", "frozen encoder that takes classes for similar; not the evaluated one")
        top_share: float = Field(default=0.4, gt=0, lt=1, description="mean share of the likeliest wrong class")

    options: Confusion.Options
    reads_texts: ClassVar[bool] = True

    def draw(self, scene: Scene, rate: float) -> Sampled:
        """Draw the usual few shots, and confuse the labels of some."""
        require_classes(self.kind, scene)
        shares, tau = self.matrix(scene)
        positions, short = scene.sample()
        true, stream = scene.split.labels[positions], scene.stream(self.kind)
        order = stream.permutation(len(true))
        wrong = by_row(shares[true], stream.uniform(len(true)))
        observed = changed(true, wrong, leading(order, rate, true if self.options.per_class else None))
        facts = {"encoder": self.options.encoder, "tau": tau, "top_share": float(shares.max(1).mean())}
        return Sampled(positions, NoisyLabels(true, observed, scene.num_classes, scene.split.truth), short, facts=facts)

    def matrix(self, scene: Scene) -> tuple[NDArray[np.float64], float]:
        """Compute T [C, C], and the tau that gives it.

        Raises:
            BenchError: the encoder cannot be run here, no image is left to count, or no tau gives the top share.
        """
        if scene.features is None or scene.texts is None:
            raise BenchError(f"noise {self.kind} needs the encoder {self.options.encoder}, which cannot be run here.")
        texts = scene.texts(self.options.encoder).astype(np.float64)
        scores = texts @ texts.T if self.options.by == "text" else np.log1p(self._mistakes(scene.origin, texts))
        return self._solved(scores)

    def _mistakes(self, origin: Scene, texts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Count zero-shot predictions on training images that are no shots, by true and predicted class, [C, C]."""
        others = np.setdiff1d(np.arange(len(origin.split)), origin.sample()[0])
        if not len(others) or origin.features is None:
            raise BenchError(
                f"noise {self.kind}[by=zero-shot] counts mistakes on training images that are no shots, and all "
                f"{len(origin.split)} are; use by=text, or fewer shots."
            )
        predicted = (origin.features(self.options.encoder, others) @ texts.T).argmax(1)
        counts = np.zeros((origin.num_classes, origin.num_classes))
        np.add.at(counts, (origin.split.labels[others], predicted), 1)
        return counts

    def _solved(self, scores: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
        from scipy.optimize import bisect

        wanted = self.options.top_share
        low, high = (top_share(scores, np.exp(bound)) for bound in reversed(LOG_TAU))
        if not low < wanted < high:
            raise BenchError(
                f"noise {self.kind}: top_share {wanted:g} cannot be reached, with these {len(scores)} classes it lies "
                f"between {low:.4g} and {high:.4g}; choose one between, or another kind."
            )
        tau = float(np.exp(bisect(lambda log: top_share(scores, np.exp(log)) - wanted, *LOG_TAU)))
        return confusions(scores, tau), tau


def confusions(scores: NDArray[np.float64], tau: float) -> NDArray[np.float64]:
    """Compute a softmax of the off-diagonal of scores / tau by row, [C, C]. The diagonal is zero."""
    from scipy.special import softmax

    logits = scores / tau
    np.fill_diagonal(logits, -np.inf)
    shares: NDArray[np.float64] = softmax(logits, axis=1)
    return shares


def top_share(scores: NDArray[np.float64], tau: float) -> float:
    """Return the share of the likeliest wrong class, averaged over the classes; falls as tau rises."""
    return float(confusions(scores, tau).max(axis=1).mean())
