"""Noise that depends on the image."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bench.contracts.noise import Labels, Noise, NoiseOptions, NoisyLabels, Sampled, Scene, from_backbone
from bench.errors import BenchError
from bench.noise.flip import require_classes
from bench.noise.helpers import by_row, normal


class Instance(Noise):
    """Image-dependent flips and targets: the generator of Xia et al. on frozen features.

    Xia et al., "Part-dependent Label Noise", NeurIPS 2020 (arXiv 2006.07836); the generator, not the parts, which
    belong to their method. Sample i of class y has a flip rate q_i, truncated normal on [0, 1] with location r and
    standard deviation `sd`; the class has a matrix W_y ~ N(0, 1)^{D x C}. The sample flips with probability q_i, and
    then to class j ≠ y with probability softmax over j ≠ y of (x_i W_y)_j / temperature.

    x_i are features of `encoder`, less their mean over the training shots and divided by the root of the mean squared
    length that is left. So logits have mean 0 and standard deviation 1 over the training shots whatever the encoder,
    and temperature 1 leaves them there: the rule by which the scale was set, before any result. Numbers are float64 and
    drawn by inverse distribution functions; W is the same for both splits, so the twin has the same confusions.

    Nested over rates: one uniform number per sample gives q_i, which grows with r; a second decides the flip, a third
    the class. A sample flips at every rate where q_i exceeds its second number, always to the same class. The realised
    rate is not exact, as in the original: its expectation, the mean of the q_i drawn, is in the record as
    `mean_flip_rate`, beside the mean share of the likeliest wrong class, `mean_top_share`.

    Pitfalls: the truncation lifts the mean of q at low rates: .129 at r = .1, .206 at .2, .300 at .3. The original (and
    DeFT, arXiv 2409.19696) multiplies raw pixels of 0 to 255, so its logits have a standard deviation of thousands and
    the softmax is one-hot: the wrong class is a function of the image, which a temperature of .01 comes near. An
    encoder of the evaluated model's family aligns the noise with the student; `thumbnail` (16 x 16 colours) needs no
    weights and is the default.
    """

    kind: ClassVar[str] = "instance"

    class Options(NoiseOptions):
        """Options of the generator."""

        encoder: str = from_backbone("thumbnail", "frozen encoder of the images; not the evaluated one")
        temperature: float = Field(
            default=1.0, ge=1e-6, le=1e6, description="what logits of unit deviation are divided by"
        )
        sd: float = Field(default=0.1, ge=1e-6, le=10, description="standard deviation of the flip rates")

    options: Instance.Options

    def draw(self, scene: Scene, rate: float) -> Sampled:
        """Draw the usual few shots, each relabelled by its own distribution."""
        require_classes(self.kind, scene)
        positions, short = scene.sample()
        true, stream = scene.split.labels[positions], scene.stream(self.kind)
        rates = flip_rates(rate, self.options.sd, stream.uniform(len(true)))
        flips = stream.uniform(len(true)) < rates
        targets = self.targets(true, self._features(scene, positions), scene)
        wrong = by_row(targets, stream.uniform(len(true)))
        noisy = NoisyLabels(true, np.where(flips, wrong, true), scene.num_classes, scene.split.truth)
        facts = {"mean_flip_rate": float(rates.mean()), "mean_top_share": float(targets.max(1).mean())}
        return Sampled(positions, noisy, short, facts=facts)

    def targets(self, true: Labels, features: NDArray[np.float64], scene: Scene) -> NDArray[np.float64]:
        """Compute shares of wrong classes, [N, C], 0 at the true one, from features [N, D]."""
        from scipy.special import softmax

        logits = np.empty((len(true), scene.num_classes))
        for label in np.unique(true):  # one class at a time: W as a whole would be C²·D numbers
            members, shape = true == label, (features.shape[1], scene.num_classes)
            drawn = normal(scene.origin.stream(self.kind, "projection", int(label)), shape[0] * shape[1])
            logits[members] = features[members] @ drawn.reshape(shape) / self.options.temperature
        logits[np.arange(len(true)), true] = -np.inf
        shares: NDArray[np.float64] = softmax(logits, axis=1)
        return shares

    def _features(self, scene: Scene, positions: Labels) -> NDArray[np.float64]:
        """Centre and scale features by the statistics of the training shots, [N, D]."""
        origin = scene.origin
        basis = self._encoded(origin, positions if origin is scene else origin.sample()[0])
        centre = basis.mean(axis=0)
        length = np.sqrt(((basis - centre) ** 2).sum(axis=1).mean())
        found: NDArray[np.float64] = (basis if origin is scene else self._encoded(scene, positions)) - centre
        return found / max(float(length), 1e-12)

    def _encoded(self, scene: Scene, positions: Labels) -> NDArray[np.float64]:
        if scene.features is None:
            raise BenchError(f"noise {self.kind} needs the encoder {self.options.encoder}, which cannot be run here.")
        return scene.features(self.options.encoder, positions).astype(np.float64)


def flip_rates(rate: float, sd: float, uniform: NDArray[np.float64]) -> NDArray[np.float64]:
    """Draw truncated normal numbers on [0, 1] by inversion, [N]. Every one grows with the location, and is 0 at rate 0.

    Args:
        rate: location before truncation, in [0, 1).
        sd: standard deviation before truncation.
        uniform: [N], in [0, 1).
    """
    from scipy.special import ndtr, ndtri

    if rate == 0:
        return np.zeros_like(uniform)
    low, high = ndtr(-rate / sd), ndtr((1 - rate) / sd)
    found: NDArray[np.float64] = np.clip(rate + sd * ndtri(low + uniform * (high - low)), 0, 1)
    return found
