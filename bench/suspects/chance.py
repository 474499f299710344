"""Classes on which the predictions say nothing: no better than chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.suspects.score import SuspectRanking

LEVEL = 0.05


@dataclass(frozen=True)
class ClassAgreement:
    """What out-of-sample predictions say of one class, by its position among the class names.

    Attributes:
        label: the class.
        given: how many samples have it as their given label.
        agreed: for how many of these it is predicted.
        predicted: for how many of all samples it is predicted.
        chance: probability of so many agreements or more where predictions ignore labels.
    """

    label: int
    given: int
    agreed: int
    predicted: int
    chance: float

    @property
    def guessed(self) -> bool:
        """Whether the predictions are no better than chance on this class."""
        return self.chance > LEVEL


def class_agreements(ranking: SuspectRanking) -> tuple[ClassAgreement, ...]:
    """Test, class by class, whether predictions and given labels go together.

    One-sided exact test of Fisher (1935) on given label and prediction. A method that always says one class is told
    from none by it, which accuracy against 1/C would take for a success. The classes are those that a sample has; none
    where no trained method left samples out, since a prediction that saw the label agrees with it for that reason.
    """
    from scipy.stats import hypergeom

    if not ranking.out_of_sample:
        return ()
    given, predicted = ranking.table["given"].to_numpy(), ranking.table["proposed"].to_numpy()
    classes = len(ranking.labels.class_names)
    by_given, by_prediction, both = (
        np.bincount(labels, minlength=classes) for labels in (given, predicted, given[given == predicted])
    )
    chances = hypergeom.sf(both - 1, len(given), by_given, by_prediction)
    return tuple(
        ClassAgreement(label, int(by_given[label]), int(both[label]), int(by_prediction[label]), float(chances[label]))
        for label in range(classes)
        if by_given[label]
    )


def guessed_classes(ranking: SuspectRanking) -> tuple[int, ...]:
    """List the classes on which the methods are no better than chance."""
    return tuple(found.label for found in class_agreements(ranking) if found.guessed)
