"""Labels of human annotators."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, field_validator

from bench.contracts.noise import AsStored, Labels, Noise, NoisyLabels, Sampled, Scene
from bench.errors import BenchError, did_you_mean


class Human(Noise):
    """Observed labels from a named set of human annotations beside the true labels.

    CIFAR-N (Wei et al., ICLR 2022, arXiv 2110.12088): on CIFAR-10 `aggregate` (majority of three annotators; 9.0 %
    wrong on the whole training set), `random1` to `random3` (one each; 17 to 18 %), `worst` (a wrong label wherever one
    of the three is wrong; 40.2 %); on CIFAR-100 `fine` (40.2 %). No rate: labels are as they are, so that nothing is
    nested and the realised rate is that of the few shots drawn.

    `balance` says by which label the shots are balanced: "observed", which a user could do, or "true", which needs an
    oracle and gives observed classes of unequal size. Pitfalls: the two draw different images; `worst` keeps a wrong
    label if any annotator erred, so it is no typical annotator; on CIFAR-100 three classes are labelled wrong more
    often than not; a class that no shot is labelled with is absent from the observed labels.
    """

    kind: ClassVar[str] = "human"
    takes_rate: ClassVar[bool] = False
    on_true: ClassVar[bool] = False

    class Options(AsStored):
        """Annotation set, and the labels by which the shots are balanced."""

        labels: str = Field(default="worst", description="name of the annotation set")
        balance: Literal["observed", "true"] = Field(default="observed", description="which label balances the shots")

        @field_validator("balance", mode="before")
        @classmethod
        def _word(cls, value: object) -> object:
            """Read the truth value that `true` becomes in a variant as a word."""
            return "true" if value is True else value

    options: Human.Options

    def draw(self, scene: Scene, rate: float) -> Sampled:
        """Draw shots with the labels of the annotation set."""
        split, labels = scene.split, self.annotation(scene)
        if self.options.balance == "true" and not split.truth:
            raise BenchError(
                f"noise {self.kind}: balance=true needs true labels, which {scene.dataset} does not have; "
                "use balance=observed."
            )
        positions, short = scene.sample(labels if self.options.balance == "observed" else None)
        observed = labels[positions].copy()
        true = split.labels[positions] if split.truth else observed.copy()
        return Sampled(positions, NoisyLabels(true, observed, scene.num_classes, split.truth), short)

    def annotation(self, scene: Scene) -> Labels:
        """Return the labels of the whole split, [n].

        Raises:
            BenchError: the split has no annotations, or none of this name; says which there are.
        """
        known, name = scene.split.annotations, self.options.labels
        if name in known:
            return known[name]
        if scene.split_name == "validation":
            raise BenchError(
                f'noise {self.kind}: {scene.dataset} (validation) has no annotation "{name}", which its training split '
                'has; set validation = "clean", or give it one.'
            )
        if not known:
            raise BenchError(
                f"noise {self.kind} needs human annotations, of which {scene.dataset} ({scene.split_name}) has none; "
                "use a data set that brings them (cifar10, cifar100: docs/datasets.md names the file), or "
                "another kind."
            )
        raise BenchError(
            f'noise {self.kind}: {scene.dataset} ({scene.split_name}) has no annotation "{name}" but '
            f"{', '.join(sorted(known))}; {did_you_mean(name, known)}"
        )
