"""Decoding and scaling: the bits of open_clip's own transform, whatever is cut, cached, threaded or put off."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from bench.errors import BenchError
from bench.images.grey import scaled
from bench.images.pixels import Chosen, Decoded, Evaluation, Joined, LazyPixels, read

MODES = ("L", "RGB", "RGBA", "P", "CMYK", "1", "LA", "I;16")
SIZES = ((8, 8), (40, 25), (25, 60), (33, 32), (32, 32), (5, 90))


def pictures(mode: str = "RGB") -> list[Image.Image]:
    """Noise in several sizes, [width, height]."""
    generator = np.random.Generator(np.random.Philox(1))
    found = []
    for width, height in SIZES:
        pixels = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
        image = Image.fromarray(pixels)
        found.append(Image.fromarray(pixels[..., 0].astype(np.uint16) * 200) if mode == "I;16" else image.convert(mode))
    return found


def transform(**changes: Any) -> Any:
    return image_transform_v2(PreprocessCfg(**{"size": 32, **changes}), False)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("resize", ["shortest", "longest", "squash"])
def test_the_bits_are_those_of_open_clips_transform(mode: str, resize: str) -> None:
    own = transform(resize_mode=resize)
    evaluation, images = Evaluation(own), pictures(mode)
    assert evaluation.in_bytes
    decoded = torch.stack([evaluation.decoded(image) for image in images])
    expected = torch.stack([own(scaled(image)) for image in images])  # which cuts grey of 16 bits off at 255
    assert decoded.dtype == torch.uint8
    assert torch.equal(evaluation.scaled(decoded), expected)
    assert torch.equal(evaluation.scaled(decoded[2:3]), expected[2:3]), "scaling does not depend on the batch"


def test_a_transform_of_another_kind_is_applied_whole() -> None:
    def halves(image: Image.Image) -> torch.Tensor:
        return torch.full((3, 4, 4), image.size[0] / 2)

    evaluation = Evaluation(halves)
    decoded = torch.stack([evaluation.decoded(image) for image in pictures()])
    assert not evaluation.in_bytes
    assert torch.equal(evaluation.scaled(decoded), torch.stack([halves(image) for image in pictures()]))


@pytest.mark.parametrize("threads", [1, 3])
def test_images_are_handed_over_when_asked_for(threads: int) -> None:
    own = transform()
    evaluation, images = Evaluation(own), pictures()
    whole = torch.stack([own(image) for image in images])
    for unscaled in (Decoded(images, evaluation, threads), torch.stack([evaluation.decoded(i) for i in images])):
        lazy = LazyPixels(unscaled, torch.tensor([4, 1, 1, 3]), evaluation)
        assert torch.equal(lazy[torch.tensor([1, 0])], whole[[1, 4]])
        assert torch.equal(lazy[1:], whole[[1, 1, 3]])
        assert torch.equal(lazy.only(torch.tensor([3, 0])).to("cpu")[:], whole[[3, 4]])
        assert torch.equal(lazy.only(slice(2, 4))[torch.tensor([1])], whole[[3]])


def test_a_subset_decodes_nothing() -> None:
    class Untouchable(list[Image.Image]):
        def __getitem__(self, index: Any) -> Any:
            raise AssertionError("an image was decoded")

    decoded = Decoded(Untouchable(pictures()), Evaluation(transform()))
    lazy = LazyPixels(decoded, torch.arange(5), Evaluation(transform())).only(slice(0, 3)).to("cpu")
    with pytest.raises(AssertionError, match="was decoded"):
        lazy[torch.tensor([0])]


def test_sequences_of_images_are_chosen_from_and_joined() -> None:
    images = pictures()
    joined = Joined([images[:2], [], images[2:]])
    assert len(joined) == len(images)
    assert [joined[i] is images[i] for i in range(len(images))] == [True] * len(images)
    chosen = Chosen(joined, [5, 0, 5])
    assert [chosen[i].size for i in range(len(chosen))] == [SIZES[5], SIZES[0], SIZES[5]]


@pytest.mark.parametrize("error", [OSError("broken data\nstream"), Image.DecompressionBombError("too large")])
def test_an_image_that_cannot_be_decoded_is_one_line(error: Exception) -> None:
    class Broken(list[Image.Image]):
        def __getitem__(self, index: Any) -> Any:
            raise error

    with pytest.raises(BenchError, match="image 2 of 6 cannot be decoded") as caught:
        read(Broken(pictures()), 2, Evaluation(transform()))
    assert "\n" not in str(caught.value)
