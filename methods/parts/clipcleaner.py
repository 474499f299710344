"""CLIPCleaner's selection: two classifiers on frozen CLIP features, two rules for each, and their intersection.

Feng, Tzimiropoulos, Patras, "CLIPCleaner: Cleaning Noisy Labels with CLIP", ACM MM 2024 (arXiv 2408.10012). Shapes: N
samples, C classes, D embedding width, P texts of a class. Everything is computed without gradient and in float64.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from bench.contracts.objective import CleanSplit
from bench.methods.options.clipcleaner import Classifiers, Fill, Scope
from bench.methods.parts.splits import scaled

START = 0  # of k-means: the selection is then a function of features and labels alone (Q3)


@dataclass(frozen=True)
class Criteria:
    """How the selection is made; the defaults are its code's numbers with the repairs of Q1, Q3 and the mixture.

    Attributes:
        theta_gmm: least membership of the upper Gaussian; 0 switches the rule off.
        theta_cons: least ratio of the label's probability to the largest; 0 switches the rule off.
        temperature: of the zero-shot probabilities.
        mixture: whether scores are scaled, and the Gaussians fitted, over the "set" or within each observed "class".
        classifiers: which of the two are asked.
        fill: which scores fill a class that has no selected sample.
        starts: k-means starts of a mixture, of which the likeliest fit counts.
    """

    theta_gmm: float = 0.5
    theta_cons: float = 0.8
    temperature: float = 0.07
    mixture: Scope = "set"
    classifiers: Classifiers = "both"
    fill: Fill = "highest"
    starts: int = 10


REPAIRED = Criteria()


def clipcleaner_split(
    observed: Tensor, image: Tensor, class_texts: Tensor, criteria: Criteria = REPAIRED
) -> CleanSplit:
    """Select what zero-shot CLIP and a logistic regression on the features both confirm, by two rules each.

    Args:
        observed: [N] long.
        image: image features, [N, D].
        class_texts: features of the texts of each class, [C, P, D].
        criteria: thresholds, and how the mixtures are fitted.

    Returns:
        The split; pseudo-labels are zero-shot CLIP's predictions, or the regression's where that alone is asked.
        Numbers: share of the samples that each rule keeps, classes_filled, samples_filled.

    Raises:
        FloatingPointError: a feature is not finite.
    """
    asked: dict[str, Tensor] = {}
    if criteria.classifiers != "visual":
        asked["zero_shot"] = zero_shot_log_probabilities(image, class_texts, criteria.temperature)
    if criteria.classifiers != "zero-shot":
        asked["visual"] = regression_log_probabilities(image, observed, len(class_texts))
    rules: dict[str, Tensor] = {}
    for name, log_probability in asked.items():
        scores = likelihood_scores(log_probability, observed, criteria.mixture)
        membership = upper_membership(scores, observed, criteria.mixture, criteria.starts)
        rules[f"{name}_mixture"] = membership >= criteria.theta_gmm
        rules[f"{name}_consistency"] = consistency(log_probability, observed) >= criteria.theta_cons
    agreed = torch.stack(list(rules.values())).all(0)
    first = next(iter(asked.values()))
    clean = filled(agreed, likelihood_scores(first, observed, "class"), observed, len(class_texts), criteria.fill)
    numbers = {f"{name}_share": float(kept.double().mean()) for name, kept in rules.items()}
    numbers["classes_filled"] = float((observed[clean & ~agreed].bincount() > 0).sum())
    numbers["samples_filled"] = float((clean & ~agreed).sum())
    return CleanSplit(clean, first.argmax(1), numbers)


def zero_shot_log_probabilities(image: Tensor, class_texts: Tensor, temperature: float) -> Tensor:
    """Compute zero-shot log-probabilities [N, C], p_c in proportion to the sum over texts of exp(cosine / temperature).

    Args:
        image: [N, D].
        class_texts: [C, P, D]; every class has as many texts, so that none is favoured (Q5).
        temperature: above 0.

    Raises:
        FloatingPointError: a feature is not finite.
    """
    cosine = torch.einsum("nd,cpd->ncp", _normalised(image), _normalised(class_texts))
    return (cosine / temperature).logsumexp(2).log_softmax(1)


def regression_log_probabilities(image: Tensor, observed: Tensor, classes: int) -> Tensor:
    """Fit a logistic regression and return its log-probabilities [N, C] on the same samples (Q7).

    L2 penalty at scikit-learn's C = 1, classes weighted by the inverse of their number, on normalised features. A class
    without a sample has probability 0.

    Args:
        image: [N, D].
        observed: [N] long.
        classes: C.

    Raises:
        FloatingPointError: a feature is not finite.
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    features, labels = _normalised(image).cpu().numpy(), observed.cpu().numpy()
    found, present = np.zeros((len(labels), classes)), np.unique(labels)
    if len(present) == 1:
        found[:, present] = 1
    else:
        with threadpool_limits(1):
            model = LogisticRegression(max_iter=10_000, class_weight="balanced").fit(features, labels)
            found[:, present] = model.predict_proba(features)
    return torch.from_numpy(found).log().to(observed.device)


def likelihood_scores(log_probability: Tensor, observed: Tensor, scope: Scope) -> Tensor:
    """Scale the log-probability of the observed label to [0, 1], over the set or within each observed class; [N].

    Args:
        log_probability: [N, C].
        observed: [N] long.
        scope: "set" or "class"; where all of it are equal (Q4) they are 0.
    """
    label = log_probability.gather(1, observed.unsqueeze(1)).squeeze(1)
    if scope == "set":
        return scaled(label)
    scores = torch.zeros_like(label)
    for members in _members(observed):
        scores[members] = scaled(label[members])
    return scores


def consistency(log_probability: Tensor, observed: Tensor) -> Tensor:
    """Divide the label's probability by the largest one: log-probabilities [N, C] and labels [N] to ratios [N]."""
    return (log_probability.gather(1, observed.unsqueeze(1)).squeeze(1) - log_probability.amax(1)).exp()


def upper_membership(scores: Tensor, observed: Tensor, scope: Scope, starts: int) -> Tensor:
    """Fit two Gaussians, over the set or within each class; membership of the one with the larger mean, [N].

    Args:
        scores: [N].
        observed: [N] long.
        scope: "set" or "class".
        starts: k-means starts.
    """
    membership = torch.zeros_like(scores)
    everyone = [torch.arange(len(scores), device=scores.device)]
    for members in everyone if scope == "set" else _members(observed):
        values = scores[members].cpu().numpy()
        membership[members] = torch.from_numpy(_upper(values, starts)).to(scores.device)
    return membership


def _upper(values: NDArray[np.float64], starts: int) -> NDArray[np.float64]:
    """Compute membership [N] of the upper of two Gaussians, scikit-learn's defaults; 1 where all values are equal."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture
    from threadpoolctl import threadpool_limits

    if values.min() == values.max():  # also of a single sample, where the reference stops (Q4)
        return np.ones(len(values))
    model, column = GaussianMixture(2, n_init=starts, random_state=START), values.reshape(-1, 1)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # its hundred iterations are the method's
        return np.asarray(model.fit(column).predict_proba(column)[:, model.means_.argmax()], dtype=np.float64)


def filled(selected: Tensor, scores: Tensor, observed: Tensor, classes: int, by: Fill) -> Tensor:
    """Add `fill_count` samples to the selection for each class that has observed samples and none selected.

    Args:
        selected: [N] bool.
        scores: [N], compared within an observed class.
        observed: [N] long.
        classes: C.
        by: whether the highest scores fill, or, as in the reference (Q1), the lowest.
    """
    result, count = selected.clone(), fill_count(selected, observed, classes)
    for members in _members(observed):
        if not bool(selected[members].any()):
            order = scores[members].argsort(descending=by == "highest", stable=True)
            result[members[order[:count]]] = True
    return result


def fill_count(selected: Tensor, observed: Tensor, classes: int) -> int:
    """Count the samples for an empty class: the smallest number that another has, at least floor(N / C²) and 1.

    Arguments as in `filled`. At few shots the second is 0 (Q2).
    """
    counts = observed[selected].bincount()
    smallest = int(counts[counts > 0].min()) if bool(selected.any()) else 1
    return max(smallest, math.floor(len(observed) / classes**2))


def _normalised(features: Tensor) -> Tensor:
    if not bool(features.isfinite().all()):
        raise FloatingPointError("the features to be split by are not finite")
    return F.normalize(features.detach().double(), dim=-1)


def _members(observed: Tensor) -> list[Tensor]:
    """List the positions of the samples of each observed class."""
    return [(observed == label).nonzero().squeeze(1) for label in observed.bincount().nonzero()]
