"""Find the images of suspects: their data set, if it still exists unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from bench import console, dataset_name
from bench.contracts.dataset import Split
from bench.data.library import Library
from bench.errors import BenchError
from bench.settings.schema import Config
from bench.suspects.groups import LabelSet

DIGEST_DIGITS = 12


@dataclass(frozen=True)
class LabelSetImages:
    """Paths and images of one label set.

    Attributes:
        own: the training split, None where it is not at hand.
        guests: name and training split of the data set that foreign images are from.
        class_labels: of the data set, see `bench.contracts.dataset.Dataset`.
    """

    own: Split | None
    guests: tuple[str, Split | None] = ("", None)
    class_labels: tuple[str, ...] = ()

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
        self.instead = None if data is None else self.library.open(dataset_name.canonical(data))
        if self.instead is not None and self.instead.digest not in digests:
            found = ", ".join(sorted({digest[:DIGEST_DIGITS] for digest in digests}))
            raise BenchError(
                f'--data "{data}" has digest {self.instead.digest[:DIGEST_DIGITS]}, the records were made of {found}; '
                "give the images as they were."
            )

    def of(self, labels: LabelSet) -> LabelSetImages:
        """Find the images of a label set. Why there are none is said on the standard error."""
        foreign = next((one.record.noise.foreign for one in labels.members if one.record.noise.foreign), "")
        if self.instead is not None and self.instead.digest == labels.name.digest:
            return LabelSetImages(self.instead.splits["train"], self._guests(foreign), self.instead.class_labels)
        try:
            dataset = self.library.open(labels.name.dataset)
            same = dataset.digest == labels.name.digest
        except BenchError as error:
            console.warn(f"{error} Until then images are named by position and not drawn; --data says where they are.")
            return LabelSetImages(None)
        if not same:
            console.warn(
                f"{dataset_name.shown(labels.name.dataset)} has changed since; images are named by position, not drawn."
            )
            return LabelSetImages(None)
        return LabelSetImages(dataset.splits["train"], self._guests(foreign), dataset.class_labels)

    def _guests(self, name: str) -> tuple[str, Split | None]:
        try:
            return name, self.library.open(name).splits["train"] if name else None
        except BenchError as error:
            console.warn(str(error))
            return name, None
