"""Augmented views of training images: random resized crop and horizontal flip, reproducible by seed.

As CoOp and its descendants train (Dassl: torchvision's `RandomResizedCrop(size, scale=(0.08, 1))`, bicubic, then a flip
with probability one half; method specification 1.4). Tip-Adapter crops at least half of the area.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from PIL import Image
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from bench.images.decode import in_colour
from bench.seeds import Stream

RATIOS: Final = (3 / 4, 4 / 3)
TRIES: Final = 10
PER_TRY: Final = 4


class Crop(NamedTuple):
    """Crop of an image in pixels, and whether it is mirrored."""

    top: int
    left: int
    height: int
    width: int
    flipped: bool


@dataclass(frozen=True)
class View:
    """One augmented view of every image of a set.

    Attributes:
        dataset: the name that random streams know the data set by.
        seed: the cell's.
        number: which view, from 0.
        crop: least share of an image's area that is kept.
    """

    dataset: str
    seed: int
    number: int
    crop: float

    def __str__(self) -> str:
        """Return its text in a feature key."""
        return f"augmented {self.number} of {self.dataset}, seed {self.seed}, crop {self.crop:g}"


def random_crop(stream: Stream, width: int, height: int, least: float) -> Crop:
    """Draw a random resized crop and flip of an image, distributed as torchvision's.

    Ten times a share of the area, uniform in [`least`, 1], and a ratio of width to height, log-uniform in [3/4, 4/3];
    the first that fits, anywhere in the image; where none does, the largest central part of an allowed ratio.

    Args:
        stream: gives 41 numbers, however many tries are needed.
        width: of the image in pixels.
        height: likewise.
        least: share of the area.
    """
    numbers = stream.uniform(TRIES * PER_TRY + 1)
    flipped = bool(numbers[-1] < 0.5)
    low, high = math.log(RATIOS[0]), math.log(RATIOS[1])
    for area, ratio, down, right in numbers[:-1].reshape(TRIES, PER_TRY).tolist():
        target, shape = width * height * (least + (1 - least) * area), math.exp(low + (high - low) * ratio)
        w, h = round(math.sqrt(target * shape)), round(math.sqrt(target / shape))
        if 0 < w <= width and 0 < h <= height:
            return Crop(int(down * (height - h + 1)), int(right * (width - w + 1)), h, w, flipped)
    w, h = min(width, round(height * RATIOS[1])), min(height, round(width / RATIOS[0]))
    return Crop((height - h) // 2, (width - w) // 2, h, w, flipped)


class Augmented(Sequence[Image.Image]):
    """Images under one view, RGB, `size` x `size`, so that an evaluation transform keeps their geometry.

    Args:
        images: N images.
        names: what each is called, N texts; an image has one crop per view, whoever asks for it and in what order.
        view: which.
        split: which part of the data set they are from.
        size: height and width in pixels.
    """

    def __init__(self, images: Sequence[Image.Image], names: Sequence[str], view: View, split: str, size: int) -> None:
        self.images, self.names, self.view, self.split, self.size = images, names, view, split, size

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Image.Image:  # type: ignore[override] # slices are never asked for
        image = in_colour(self.images[index])
        view = self.view
        stream = Stream(view.seed, "augment", view.dataset, self.split, self.names[index], view.number)
        crop = random_crop(stream, *image.size, view.crop)
        part = F.resized_crop(image, *crop[:4], size=[self.size, self.size], interpolation=InterpolationMode.BICUBIC)
        found: Image.Image = F.horizontal_flip(part) if crop.flipped else part
        return found
