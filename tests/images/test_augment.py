"""Augmented views: torchvision's distribution, and the same crop whoever asks for it and when."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from scipy.stats import binomtest, ks_2samp
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.v2 import InterpolationMode, RandomHorizontalFlip
from torchvision.transforms.v2 import functional as F

from bench.images.augment import Augmented, Crop, View, random_crop
from bench.images.loader import in_order
from bench.images.pixels import Evaluation, read
from bench.seeds import Stream

DRAWS = 1500
PINNED = [(11, 32, 183, 193, True), (0, 91, 175, 184, False), (1, 73, 199, 170, False)]
SIZES = [(300, 200), (200, 300), (64, 64), (400, 90), (60, 400)]


def drawn(width: int, height: int, least: float) -> np.ndarray[Any, Any]:
    crops = [random_crop(Stream(1, "augment", number), width, height, least) for number in range(DRAWS)]
    return np.array(crops)


def torchvisions(width: int, height: int, least: float) -> np.ndarray[Any, Any]:
    image = Image.new("L", (width, height))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        crops = [RandomResizedCrop.get_params(image, [least, 1.0], [3 / 4, 4 / 3]) for _ in range(DRAWS)]
    return np.array(crops)


@pytest.mark.parametrize("least", [0.08, 0.5])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_crops_are_distributed_as_torchvisions(width: int, height: int, least: float) -> None:
    ours, theirs = drawn(width, height, least), torchvisions(width, height, least)
    measures = {
        "top": lambda crop: crop[:, 0],
        "left": lambda crop: crop[:, 1],
        "height": lambda crop: crop[:, 2],
        "width": lambda crop: crop[:, 3],
        "area": lambda crop: crop[:, 2] * crop[:, 3],
        "ratio": lambda crop: crop[:, 3] / crop[:, 2],
        "right": lambda crop: crop[:, 1] + crop[:, 3],
        "bottom": lambda crop: crop[:, 0] + crop[:, 2],
    }
    for name, measure in measures.items():
        assert ks_2samp(measure(ours), measure(theirs)).pvalue > 1e-4, name
    assert binomtest(int(ours[:, 4].sum()), DRAWS, 0.5).pvalue > 1e-4


@given(width=st.integers(1, 500), height=st.integers(1, 500), least=st.floats(0.01, 1), seed=st.integers(0, 2**32))
@settings(max_examples=300, deadline=None)
def test_a_crop_lies_in_its_image(width: int, height: int, least: float, seed: int) -> None:
    top, left, h, w, flipped = random_crop(Stream(seed, "augment"), width, height, least)
    assert 0 <= top <= top + h <= height
    assert 0 <= left <= left + w <= width
    assert (h, w) >= (1, 1)
    assert flipped in (False, True)


@pytest.mark.parametrize(
    ("size", "expected"), [((900, 30), (0, 430, 30, 40)), ((30, 900), (430, 0, 40, 30)), ((900, 31), (0, 429, 31, 41))]
)
def test_an_image_that_is_too_long_is_cropped_in_the_middle(size: tuple[int, int], expected: tuple[int, ...]) -> None:
    """At least nine tenths of its area in a ratio of at most 4:3 do not fit; torchvision then takes the centre."""
    theirs = RandomResizedCrop.get_params(Image.new("L", size), [0.9, 1.0], [3 / 4, 4 / 3])
    assert random_crop(Stream(1, "augment"), *size, 0.9)[:4] == tuple(theirs) == expected


def pictures() -> list[Image.Image]:
    generator = np.random.Generator(np.random.Philox(2))
    sizes = [(20, 30, 3), (40, 25, 3), (30, 30, 3), (8, 8, 3)]
    return [Image.fromarray(generator.integers(0, 256, size, dtype=np.uint8)) for size in sizes]


NAMES = ("a.jpg", "b.jpg", "c.jpg", "d.jpg")


def seen(number: int = 0, seed: int = 1, dataset: str = "toy", split: str = "train", crop: float = 0.08) -> Augmented:
    return Augmented(pictures(), NAMES, View(dataset, seed, number, crop), split, 16)


def pixels(images: Augmented) -> bytes:
    return b"".join(images[index].tobytes() for index in range(len(images)))


def test_a_view_is_the_papers_crop_resize_and_flip() -> None:
    for index, image in enumerate(pictures()):
        crop = random_crop(Stream(1, "augment", "toy", "train", NAMES[index], 3), *image.size, 0.08)
        part = image.crop((crop.left, crop.top, crop.left + crop.width, crop.top + crop.height))
        expected = part.resize((16, 16), Image.Resampling.BICUBIC)
        expected = expected.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if crop.flipped else expected
        assert seen(3)[index].tobytes() == expected.tobytes()


def test_a_view_is_what_torchvisions_transforms_make_of_the_same_numbers() -> None:
    class Fixed(RandomResizedCrop):
        @staticmethod
        def get_params(img: Any, scale: Any, ratio: Any) -> Any:
            return crop[:4]

    for index, image in enumerate(pictures()):
        crop: Crop = random_crop(Stream(1, "augment", "toy", "train", NAMES[index], 0), *image.size, 0.08)
        flip = RandomHorizontalFlip(p=float(crop.flipped))
        theirs = flip(Fixed(16, interpolation=InterpolationMode.BICUBIC)(image))
        assert torch.equal(F.pil_to_tensor(seen()[index]), F.pil_to_tensor(theirs))


def test_grey_images_become_rgb() -> None:
    images = Augmented([image.convert("L") for image in pictures()], NAMES, View("toy", 1, 0, 0.5), "train", 16)
    assert {(images[index].mode, images[index].size) for index in range(len(images))} == {("RGB", (16, 16))}


def test_another_seed_view_set_part_or_name_is_another_crop() -> None:
    others = [seen(1), seen(seed=2), seen(dataset="other"), seen(split="validation"), seen(crop=0.5)]
    renamed = Augmented(pictures(), NAMES[::-1], View("toy", 1, 0, 0.08), "train", 16)
    found = [pixels(images) for images in (seen(), *others, renamed)]
    assert len(set(found)) == len(found)
    assert str(seen().view) != str(seen(1).view) != str(seen(crop=0.5).view)


def test_an_images_crop_depends_on_nothing_else() -> None:
    images, order = pictures(), [2, 0, 3]
    some = Augmented([images[i] for i in order], [NAMES[i] for i in order], View("toy", 1, 0, 0.08), "train", 16)
    assert [some[place].tobytes() for place in (2, 0, 1)] == [seen()[index].tobytes() for index in (3, 2, 0)]


def test_other_processes_see_the_same_pixels() -> None:
    evaluation, images = Evaluation(image_transform_v2(PreprocessCfg(size=16), False)), seen()
    torch.manual_seed(7)
    expected = torch.stack([F.pil_to_tensor(images[index]) for index in range(len(images))])
    (found,) = in_order(lambda chunk: [read(images, index, evaluation) for index in chunk], len(images), processes=1)
    assert torch.equal(torch.stack(found), expected)


def test_a_machine_elsewhere_draws_the_same_crops() -> None:
    """Written down: bits of Philox and arithmetic of floats, of no library's distributions."""
    streams = [Stream(seed, "augment", "toy", "train", "a.jpg", 0) for seed in (1, 2, 3)]
    assert [tuple(random_crop(stream, 300, 200, 0.08)) for stream in streams] == PINNED
