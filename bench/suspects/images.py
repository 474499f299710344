"""Find the images of suspects: their data set, if it still exists unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from bench import console, dataset_name
from bench.contracts.dataset import Dataset, Split
from bench.data.library import Library
from bench.errors import BenchError
from bench.settings.schema import Config
from bench.suspects.groups import LabelSet

DIGEST_DIGITS = 12


@dataclass(frozen=True)
class LabelSetImages:
    """Paths and images of one label set.

    Attributes:
        dataset: None where it is not at hand.
        guests: name and training split of the data set that foreign images are from.
    """

    dataset: Dataset | None
    guests: tuple[str, Split | None] = ("", None)

    @property
    def own(self) -> Split | None:
        """Training split, None where it is not at hand."""
        return None if self.dataset is None else self.dataset.splits["train"]

    @property
    def class_labels(self) -> tuple[str, ...]:
        """Classes as a user has written them, see `bench.contracts.dataset.Dataset`."""
        return () if self.dataset is None else self.dataset.class_labels

    def path(self, image: int) -> str:
        """Return an image's path, or "NAME:path" of a foreign one. It is the position where the split is missing."""
        name, guests = self.guests
        split, position, before = (self.own, image, "") if image >= 0 else (guests, -1 - image, f"{name}:")
        return before + (f"{position:06d}" if split is None else split.name(position))

    def image(self, image: int) -> Image.Image | None:
        """Return the image itself, None where it is missing or cannot be decoded."""
        split, position = (self.own, image) if image >= 0 else (self.guests[1], -1 - image)
        try:
            return None if split is None else split.images[position]
        except BenchError as error:
            console.warn(str(error))
            return None


class SuspectImages:
    """Data sets by name, opened under the settings or replaced by a given one.

    Raises:
        BenchError: `data` has none of the `digests`, which are those of the records' data sets.
    """

    def __init__(self, config: Config, data: str | None, digests: Sequence[str]) -> None:
        self.library = Library.of(config.settings.dataset)
        self._found: dict[tuple[str, str, str], LabelSetImages] = {}
        self.instead = None if data is None else self.library.open(dataset_name.canonical(data))
        if self.instead is not None and self.instead.digest not in digests:
            found = ", ".join(sorted({digest[:DIGEST_DIGITS] for digest in digests}))
            raise BenchError(
                f'--data "{data}" has digest {self.instead.digest[:DIGEST_DIGITS]}, the records were made of {found}; '
                "give the images as they were."
            )

    def of(self, labels: LabelSet) -> LabelSetImages:
        """Find the images of a label set. Why there are none is said on the standard error, once."""
        foreign = next((one.record.noise.foreign for one in labels.members if one.record.noise.foreign), "")
        wanted = labels.name.dataset, labels.name.digest, foreign
        if wanted not in self._found:
            self._found[wanted] = LabelSetImages(self._own(*wanted[:2]), self._guests(foreign))
        return self._found[wanted]

    def _own(self, name: str, digest: str) -> Dataset | None:
        if self.instead is not None and self.instead.digest == digest:
            return self.instead
        try:
            dataset = self.library.open(name)
            same = dataset.digest == digest
        except BenchError as error:
            console.warn(f"{error} Until then images are named by position and not drawn; --data says where they are.")
            return None
        if not same:
            console.warn(f"{dataset_name.shown(name)} has changed since; images are named by position, not drawn.")
        return dataset if same else None

    def _guests(self, name: str) -> tuple[str, Split | None]:
        try:
            return name, self.library.open(name).splits["train"] if name else None
        except BenchError as error:
            console.warn(str(error))
            return name, None
