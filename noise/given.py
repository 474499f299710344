"""Noise that is already in the data."""

from __future__ import annotations

from typing import ClassVar

from bench.contracts.noise import AsStored, Noise, NoisyLabels, Sampled, Scene
from bench.errors import BenchError

GIVEN = "given"


class Given(Noise):
    """Labels already in the data: web labels, folder names, or any other.

    Where a data set knows both, these are its annotations "given" beside the true labels; where it knows no truth
    (Food-101N, Lee et al., CVPR 2018, arXiv 1711.07131; a user's own folder), they are its labels, and nothing that
    needs the truth is measured. The shots are balanced by the given label, as a user would do. No rate, not nested.

    Pitfalls: NLPrompt's and VisPrompt's scripts put synthetic noise on top of Food-101N's own unless its rate is set to
    zero; here that takes the option on_top=true of the synthetic kind. Where the truth is unknown, test accuracy is the
    only measure, and the clean subset cannot be told apart.
    """

    kind: ClassVar[str] = "given"
    takes_rate: ClassVar[bool] = False
    on_true: ClassVar[bool] = False
    Options = AsStored

    def draw(self, scene: Scene, rate: float) -> Sampled:
        """Draw shots with their original labels."""
        split = scene.split
        if split.truth and GIVEN not in split.annotations:
            validation = scene.split_name == "validation"
            way = 'set validation = "clean", or give it some.' if validation else "use none, or a synthetic kind."
            raise BenchError(
                f"noise {self.kind}: {scene.dataset} ({scene.split_name}) has no labels beside its own, and its labels "
                f"are true ones; {way}"
            )
        labels = split.annotations.get(GIVEN, split.labels)
        positions, short = scene.sample(labels)
        observed = labels[positions].copy()
        true = split.labels[positions] if split.truth else observed.copy()
        return Sampled(positions, NoisyLabels(true, observed, scene.num_classes, split.truth), short)
