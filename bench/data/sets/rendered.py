"""Rendered images that are shipped with the package: a base for data sets that are one file."""

from __future__ import annotations

from functools import cached_property
from importlib.resources import as_file, files
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.contracts.dataset import SPLITS, Dataset, Split, SplitName
from bench.data.splits import ArrayImages


class Rendered(Dataset):
    """Data set of images in one file beside this module.

    Attributes:
        file: its name; it holds `image` [N, ...] uint8, `label` [N] and `split` [N], a number of `SPLITS`.
    """

    file: ClassVar[str]
    templates = ("a photo of a {}.",)
    licence = "Apache-2.0"
    embedded: ClassVar[bool] = True
    source = "rendered by this project"

    @cached_property
    def _arrays(self) -> dict[str, NDArray[np.uint8]]:
        with as_file(files("bench.data.sets") / self.file) as path, np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}

    def load(self, split: SplitName) -> Split:
        """Load one stored part."""
        arrays = self._arrays
        index = np.flatnonzero(arrays["split"] == SPLITS.index(split))
        return Split(ArrayImages(arrays["image"][index]), arrays["label"][index].astype(np.int64))
