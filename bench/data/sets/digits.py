"""Handwritten digits that come with scikit-learn."""

from __future__ import annotations

from functools import cached_property
from importlib.metadata import distribution
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.contracts.dataset import Dataset, Split, SplitName
from bench.data.splits import ArrayImages, stratified


class Digits(Dataset):
    """1,797 real handwritten digits of 8 x 8 pixels with 17 grey levels, white on black.

    The test part of the UCI "Optical Recognition of Handwritten Digits" collection (Alpaydin and Kaynak, 1998), as
    `sklearn.datasets.load_digits` ships it. It has no official split; ours is 50/20/30 per class, CoOp's shares.
    """

    class_names = (
        "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
    )  # fmt: skip
    templates = ("a photo of a {}.",)
    licence = "CC BY 4.0"
    embedded: ClassVar[bool] = True
    source = "UCI Machine Learning Repository, doi 10.24432/C50P49, through scikit-learn"

    @cached_property
    def _arrays(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        # Its file alone: to import scikit-learn takes each worker longer than many a cell.
        file = distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz")
        rows = np.loadtxt(str(file), np.int64, delimiter=",")
        return np.round(rows[:, :-1].reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8), rows[:, -1]

    def load(self, split: SplitName) -> Split:
        """Load one part of the stratified split."""
        pixels, labels = self._arrays
        index = stratified(labels, "digits", (0.5, 0.2))[split]
        return Split(ArrayImages(pixels[index]), labels[index])
