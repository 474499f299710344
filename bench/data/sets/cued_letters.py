"""Two rendered letters over each other, shipped with the package; a colour says which one is named."""

from __future__ import annotations

from functools import cached_property
from importlib.resources import as_file, files
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.contracts.dataset import SPLITS, Dataset, Split, SplitName
from bench.data.splits import ArrayImages


class CuedLetters(Dataset):
    """Pairs of the letters a to j on a coloured ground, of which the label names the warm one.

    In fonts and a hand held out of the pretraining of `tiny`. Rendered once by `scripts/render_cued_letters.py` and
    stored: 32 training, 8 validation and 40 test images per class, in colour. How bright the other letter may be was
    fixed on another seed, before any method ran, so that zero-shot accuracy lies near 50 %. `docs/evidence.md` says
    what the data are for.
    """

    class_names = tuple("abcdefghij")
    templates = ("a photo of a {}.",)
    licence = "Apache-2.0"
    embedded: ClassVar[bool] = True
    source = "rendered by this project"

    @cached_property
    def _arrays(self) -> dict[str, NDArray[np.uint8]]:
        stored = files("bench.data.sets") / "cued_letters.npz"
        with as_file(stored) as path, np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}

    def load(self, split: SplitName) -> Split:
        """Load one stored part."""
        arrays = self._arrays
        index = np.flatnonzero(arrays["split"] == SPLITS.index(split))
        return Split(ArrayImages(arrays["image"][index]), arrays["label"][index].astype(np.int64))
