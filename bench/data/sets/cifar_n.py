"""Label sets of human annotators: CIFAR-10N and CIFAR-100N (Wei et al., ICLR 2022, arXiv:2110.12088).

The labels are CC BY-NC 4.0; they are fetched by the user and never shipped.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Final

import numpy as np

from bench.contracts.noise import Labels
from bench.errors import BenchError

CLEAN: Final = "clean_label"
# Our names of the sets by the authors' keys; "worst" is a wrong label if any of the three annotators gave one.
CIFAR10N: Final = {
    "aggregate": "aggre_label",
    "random1": "random_label1",
    "random2": "random_label2",
    "random3": "random_label3",
    "worst": "worse_label",
}
CIFAR100N: Final = {"fine": "noisy_label"}


def human_labels(file: Path, sets: Mapping[str, str], true: Labels, num_classes: int) -> dict[str, Labels]:
    """Read the label sets of a file, in the order of the official training images.

    The file's own copy of the true labels is compared position by position: the authors' loader compares the sums of
    both, which every other order passes too.

    Args:
        file: pickled numpy arrays in torch's format; nothing but arrays is unpickled.
        sets: the authors' keys by our names.
        true: [N], the order expected.
        num_classes: C.

    Raises:
        BenchError: the file cannot be read, lacks a set, or is in another order.
    """
    content = _arrays(file, (CLEAN, *sets.values()), len(true))
    other = np.flatnonzero(content[CLEAN] != true)
    if len(other):
        first = int(other[0])
        raise BenchError(
            f'human labels "{file}" are in another order than the images: {CLEAN} differs at {len(other):,} of '
            f"{len(true):,} positions, first at {first} ({content[CLEAN][first]}, expected {true[first]}); "
            "take the file in torchvision's order, not TensorFlow's."
        )
    outside = [name for name, key in sets.items() if content[key].min() < 0 or content[key].max() >= num_classes]
    if outside:
        raise BenchError(f'human labels "{file}": {sets[outside[0]]} is not of 0 to {num_classes - 1}; fetch it again.')
    return {name: content[key] for name, key in sets.items()}


def _arrays(file: Path, keys: tuple[str, ...], size: int) -> dict[str, Labels]:
    """Return the arrays under these keys, [size] each."""
    try:
        content = _restricted(file)
    except (OSError, RuntimeError, UnpicklingError, EOFError, ValueError, KeyError, AttributeError) as error:
        raise BenchError(f'human labels "{file}" cannot be read as arrays of labels; fetch the file again.') from error
    for key in keys:
        found = content.get(key) if isinstance(content, dict) else None
        if found is None or np.shape(found) != (size,):
            shape = "nothing" if found is None else f"an array of shape {list(np.shape(found))}"
            raise BenchError(f'human labels "{file}" have {shape} as {key}, expected [{size}]; fetch the file again.')
    return {key: np.asarray(content[key], dtype=np.int64) for key in keys}


def _restricted(file: Path) -> Any:
    """Unpickle the content of the file, allowing only tensors and numpy arrays."""
    import torch

    reconstruct: Any = np.zeros(0).__reduce__()[0]  # numpy's own function, whose module was renamed in numpy 2
    allowed: list[Any] = [
        np.ndarray,
        np.dtype,
        *{type(np.dtype(kind)) for kind in (np.int64, np.int32, np.uint8, np.int16)},
    ]
    aliases: list[Any] = [
        (reconstruct, f"{module}.multiarray._reconstruct") for module in ("numpy.core", "numpy._core")
    ]
    with torch.serialization.safe_globals([*allowed, *aliases]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of foreign files it says how they differ, and then refuses them
        return torch.load(file, map_location="cpu", weights_only=True)
