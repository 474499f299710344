"""Per-sample outcomes of a run: the arrays beside its record.

N training samples, M of them given to the method; n test samples, of ImageNet 50,000, so 7 bytes for each of these.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from bench.contracts.noise import Labels, Sampled
from bench.engine.audit import Audit

SampleOutcomes: TypeAlias = dict[str, NDArray[Any]]
MANY = 2**22  # probabilities; in single precision 16 MiB


def sample_outcomes(
    audit: Audit, train: Sampled, visible: Labels, unseen: NDArray[np.bool_], many: int = MANY
) -> SampleOutcomes:
    """Collect the per-sample outcomes of a finished run.

    Args:
        visible: positions among the N that the method was given, [M].
        unseen: samples whose labels the method never saw, [N].
        many: probabilities from which half precision is enough.

    Returns:
        positions, true and observed labels [N]; visible [M]; losses and predictions [rows, N]. Of the last row:
        `test_confidence` [n] float32, the largest probability, which half precision would put into other bins of the
        calibration error; `test_predicted` [n] int16, its class; `test_correct` [n] bool. Where labels were never seen:
        `unseen` [H], which, and `probabilities` [H, C] of the last row for them, float32, float16 if many. Where the
        method makes clean splits: `selected` [N] int8, the last one, 1 for what it trusts, -1 for samples it was not
        given. Where images of another data set are among the samples: `foreign` [N], their positions there, -1 for the
        data set's own.
    """
    return {
        "positions": train.positions,
        "true": train.noisy.true,
        "observed": train.noisy.observed,
        "visible": visible,
        "losses": np.stack(audit.losses),
        "predictions": np.stack(audit.predictions),
        **_on_test(audit),
        **_out_of_sample(audit, np.flatnonzero(unseen), many),
        **_selected(audit, visible),
        **({} if train.foreign is None else {"foreign": train.foreign.positions}),
    }


def _on_test(audit: Audit) -> SampleOutcomes:
    if audit.tested is None:
        return {}
    told = audit.tested
    found = {"test_confidence": told.confidence, "test_predicted": told.predicted, "test_correct": told.correct}
    return {name: values.cpu().numpy() for name, values in found.items()}


def _out_of_sample(audit: Audit, unseen: Labels, many: int) -> SampleOutcomes:
    if audit.logits is None or not len(unseen):
        return {}
    logits = audit.logits[torch.from_numpy(unseen).to(audit.logits.device)]
    probabilities = logits.float().softmax(1).cpu().numpy()
    return {
        "unseen": unseen,
        "probabilities": probabilities.astype(np.float16 if logits.numel() > many else np.float32),
    }


def _selected(audit: Audit, visible: Labels) -> SampleOutcomes:
    if audit.clean is None:
        return {}
    selected = np.full(len(audit.true), -1, dtype=np.int8)
    selected[visible] = audit.clean.cpu().numpy()
    return {"selected": selected}
