"""Masks: labels from a file, replayed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, ClassVar

import numpy as np

from bench.contracts import mask_file
from bench.contracts.dataset import Split
from bench.contracts.noise import OUTSIDE, AsStored, Foreign, Labels, Noise, NoisyLabels, Sampled, Scene, from_file
from bench.contracts.reading import class_number
from bench.errors import BenchError, did_you_mean


class Mask(Noise):
    """Exactly the images and observed labels of a file, in its order. It is from `bench noise export`, or from
    elsewhere.

    `bench.contracts.mask_file` has the form. True labels are the data set's own; those of the file are held against
    them, and stand in for them where the data set has none and the file has one for every sample. Nothing is drawn, so
    neither the seed nor the number of shots changes a label, and a mask of few shots is refused at another number. A
    record's key holds the digest of the file's content, never its path; the record says under "mask" what the header
    says of its origin.

    Pitfalls: a published mask by `index` is right for one order of the images alone, so give it with true labels, which
    are compared one by one (the reference of CIFAR-N compares sums, which any permutation passes). A mask of a whole
    training split is replayed whole, not sampled.
    """

    kind: ClassVar[str] = "mask"
    takes_rate: ClassVar[bool] = False
    on_true: ClassVar[bool] = False

    class Options(AsStored):
        """Mask file."""

        file: str = from_file("", "CSV of paths and labels, as `bench noise export` writes it")

    options: Options

    def draw(self, scene: Scene, rate: float) -> Sampled:
        """Return the rows of the scene's split.

        Raises:
            BenchError: the file cannot be read, or is not of this data set.
        """
        return _Replay(mask_file.read(self.options.file), scene).sampled()


class _Replay:
    """Split of a mask, matched with the data set."""

    def __init__(self, mask: mask_file.MaskFile, scene: Scene) -> None:
        self.mask, self.scene, self.rows = mask, scene, mask.of(scene.split_name)
        self.name, self.where = mask.name, f"the {scene.split_name} split of {scene.dataset}"
        if not self.rows:
            way = ', or set validation = "clean"' if scene.split_name == "validation" else ""
            raise BenchError(f"{self.name} has no rows of the {scene.split_name} split; add some{way}.")
        shots = mask.origin().get("shots")
        if scene.split_name == "train" and isinstance(shots, int) and shots != scene.shots:
            raise BenchError(f"{self.name} is of {shots} shots, the cell has {scene.shots}; set shots = {shots}.")
        self.classes = self._classes()

    def sampled(self) -> Sampled:
        """Return samples and labels.

        Raises:
            BenchError: an image or a class is unknown, or something contradicts the data set or the header.
        """
        positions, guests = self._images()
        self._once(positions, guests)
        given = self._labels([row.true for row in self.rows], "true label")
        observed = self._labels([row.observed for row in self.rows], "observed label")
        if (observed == OUTSIDE).any():
            row = self.rows[int(np.argmax(observed == OUTSIDE))]
            raise BenchError(f"{self.name}, line {row.line}: the observed label is empty; write a class.")
        true, truth = self._true(positions, guests, given, observed)
        noisy = NoisyLabels(true, observed, self.scene.num_classes, truth)
        digest = self.mask.header.get(f"labels {self.scene.split_name}", noisy.digest)
        if digest != noisy.digest:
            raise BenchError(
                f"{self.name}: its {self.scene.split_name} labels are not those that its header has the digest of; "
                f'take the file as it was, or remove the line "labels {self.scene.split_name}" if the change is meant.'
            )
        foreign = Foreign(self.mask.header["foreign"], guests) if (guests >= 0).any() else None
        return Sampled(positions, noisy, self._short(), foreign, {"mask": self.mask.origin()})

    def _images(self) -> tuple[Labels, Labels]:
        """Return positions in the split [N], and in the other data set's training split [N].

        The latter is -1 for own images.
        """
        found = self._found([row.image for row in self.rows], self.scene.split)
        guests, other = np.full(len(self.rows), -1, dtype=np.int64), self.mask.header.get("foreign")
        left = np.flatnonzero(found < 0)
        if other is not None and self.scene.open_dataset is not None and len(left):
            images = [self.rows[i].image for i in left]
            paths = [image.removeprefix(f"{other}:") if image.startswith(f"{other}:") else "" for image in images]
            guests[left] = self._found(paths, self.scene.open_dataset(other).splits["train"])
        unknown = (found < 0) & (guests < 0)
        if unknown.any():
            row = self.rows[int(np.argmax(unknown))]
            known = (
                f"0 to {len(self.scene.split) - 1}"
                if self.mask.by_index
                else f'names like "{self.scene.split.name(0)}"'
            )
            raise BenchError(
                f"{self.name}: {unknown.sum()} of {len(unknown)} images are not in {self.where}, the first is "
                f'"{row.image}" (line {row.line}); expected {known}.'
            )
        return np.where(found < 0, 0, found), guests

    def _found(self, images: Sequence[str], split: Split) -> Labels:
        """Find positions of images by name, or by index if the mask has it; -1 if unknown."""
        if self.mask.by_index:
            numbers = [int(text) if text.strip().isdecimal() else -1 for text in images]
            return np.array([n if n < len(split) else -1 for n in numbers], dtype=np.int64)
        places = {split.name(position): position for position in range(len(split))}
        return np.array([places.get(image, -1) for image in images], dtype=np.int64)

    def _once(self, positions: Labels, guests: Labels) -> None:
        """Check for repeated images, unless the header declares them. Some kinds draw with replacement."""
        _, first = np.unique(np.stack([positions, guests]), axis=1, return_index=True)
        repeated = len(positions) - len(first)
        if repeated and str(repeated) != self.mask.header.get(f"repeated {self.scene.split_name}"):
            again = np.ones(len(positions), dtype=bool)
            again[first] = False
            row = self.rows[int(np.argmax(again))]
            raise BenchError(
                f"{self.name}: {repeated} rows name an image a second time, the first is "
                f'"{row.image}" (line {row.line}); keep one of each.'
            )

    def _classes(self) -> dict[str, int]:
        """Return classes by their text. Texts are numbers where no other text stands in the whole file, else names."""
        names = self.scene.class_names
        texts = {text for row in self.mask.rows for text in (row.true, row.observed) if text}
        if all(text.isdecimal() for text in texts) and not texts <= set(names):
            return {text: int(text) for text in texts if int(text) < len(names)}
        found = {}
        for text in texts:
            with suppress(BenchError):
                found[text] = class_number(text, names)
        return found

    def _labels(self, texts: Sequence[str], what: str) -> Labels:
        """Return classes [N]; `OUTSIDE` for an empty text."""
        unknown = next((text for text in texts if text and text not in self.classes), None)
        if unknown is not None:
            line, names = self.rows[texts.index(unknown)].line, self.scene.class_names
            near = f"expected 0 to {len(names) - 1}." if unknown.isdecimal() else did_you_mean(unknown, names)
            raise BenchError(
                f'{self.name}, line {line}: {what} "{unknown}" is not a class of {self.scene.dataset}; {near}'
            )
        return np.array([self.classes[text] if text else OUTSIDE for text in texts], dtype=np.int64)

    def _true(self, positions: Labels, guests: Labels, given: Labels, observed: Labels) -> tuple[Labels, bool]:
        """Return true labels [N], and whether they are known."""
        inside = guests < 0
        if not self.scene.split.truth:
            known = bool((given[inside] != OUTSIDE).all())
            return (given if known else observed.copy()), known
        true: Labels = np.where(inside, self.scene.split.labels[positions], OUTSIDE)
        wrong = (given != OUTSIDE) & (given != true)
        if wrong.any():
            first = int(np.argmax(wrong))
            row, names = self.rows[first], self.scene.class_names
            own = names[true[first]] if inside[first] else "none of the classes"
            raise BenchError(
                f"{self.name} is of other data or of another order: {wrong.sum()} of {len(wrong)} true labels are not "
                f'those of {self.where}, the first is "{row.true}" for "{row.image}" (line {row.line}), which is {own}.'
            )
        return true, True

    def _short(self) -> dict[int, int]:
        """Return the header's classes with fewer images than shots."""
        key = f"short {self.scene.split_name}"
        counts: Any = mask_file.value(self.mask.header.get(key, "{}"))
        names = self.scene.class_names
        if not isinstance(counts, dict) or not all(name in names and isinstance(n, int) for name, n in counts.items()):
            raise BenchError(f'{self.name}: its line "{key}" is not a JSON table of classes and counts; remove it.')
        return {names.index(name): count for name, count in counts.items()}
