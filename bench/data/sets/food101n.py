"""Food-101N: Food-101's classes with labels from the web (Lee et al., CVPR 2018, arXiv:1711.07131)."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.contracts.dataset import SplitName
from bench.data import catalogue
from bench.data.files.indexed import Index, Indexed, IndexedSplit
from bench.data.files.lines import lines_of
from bench.data.sets.coop import Food101
from bench.data.splits import stratified
from bench.errors import BenchError

LIST, FOOD101 = "meta/imagelist.tsv", "food-101"
ALL = "nlprompt"  # mode whose shots come from all images
VERIFIED = ("meta/verified_train.tsv", "meta/verified_val.tsv")


class Food101N(Indexed):
    """310,009 web images of Food-101's classes, about a fifth mislabelled. The true labels are unknown.

    Training and validation images (90/10 per class of what is labelled so) are Food-101N's own, with the labels as they
    stand; the test images are Food-101's in the same mode: CoOp's split (`coop`) or the official one (`tv`, JoAPR's).
    In mode `nlprompt` shots for training and for validation are drawn from all images, because that paper's code draws
    from all and has no validation set; the test images are CoOp's. Food-101 lies under `food-101` beside this data
    set's folder or in the default place, and nothing of one is ever stored under the other.
    """

    name = "food101n"
    modes: ClassVar[tuple[str, ...]] = ("coop", "tv", ALL)

    @cached_property
    def food101(self) -> Food101:
        """Data set that provides the test images."""
        beside = self.folder.parent / FOOD101
        mode = Food101.modes[0] if self.mode == ALL else self.mode
        return Food101(beside if beside.is_dir() else catalogue.default_root() / FOOD101, mode)

    def missing(self) -> list[str]:
        """List what is missing of both data sets."""
        absent = [*self.absent(), *self.food101.missing()]
        return absent or super().missing()

    def read(self) -> Index:
        """Read own images from the official list, and Food-101's test split."""
        food = self.food101.listed
        base = self.base(LIST) or self.folder
        whole = self._own(base, food.class_names)
        test = replace(food.parts["test"], prefix=f"{FOOD101}/")  # so that the names mark Food-101's images
        if self.mode == ALL:
            return Index(food.class_names, {"train": whole, "validation": whole, "test": test})
        index = stratified(whole.labels, self.name, (0.9, 0.1))
        train, validation = whole.take(index["train"].tolist()), whole.take(index["validation"].tolist())
        return Index(food.class_names, {"train": train, "validation": validation, "test": test})

    def verified(self, split: SplitName) -> NDArray[np.int8]:
        """Return human verdicts on the labels of a split, [N]: 1 right, 0 wrong, -1 unasked.

        Of 52,868 training and 4,741 validation images of the release, in our own splits.

        Raises:
            BenchError: a list of verdicts is not as expected.
        """
        part, verdicts = self.index.parts[split], self._verdicts
        return np.array([verdicts.get(name.removeprefix("images/"), -1) for name in part.names], dtype=np.int8)

    @cached_property
    def _verdicts(self) -> dict[str, int]:
        """Verdict by class and key. An image that is listed under another class than here has none."""
        found: dict[str, int] = {}
        for path in VERIFIED:
            file = self.place(path)
            for line in lines_of(file)[1:] if file else []:
                name, _, verdict = line.partition("\t")
                if verdict not in ("0", "1"):
                    raise BenchError(f'"{file}": "{line}" does not end in 0 or 1; fetch the files again.')
                found[_with_suffix(name)] = int(verdict)
        return found

    def _own(self, base: Path, classes: tuple[str, ...]) -> IndexedSplit:
        numbers = {name: label for label, name in enumerate(classes)}
        pairs = []
        for line in sorted(lines_of(base / LIST)[1:]):
            name = line.partition("\t")[0]
            label = numbers.get(name.partition("/")[0])
            if label is None:
                raise BenchError(f'"{base / LIST}": "{name}" is of no class of Food-101; fetch the files again.')
            pairs.append((f"images/{_with_suffix(name)}", label))
        return IndexedSplit.of(base, pairs, truth=False)


def _with_suffix(name: str) -> str:
    return name if name.endswith(".jpg") else f"{name}.jpg"
