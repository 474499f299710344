"""Grey images of more than 8 bits: the picture that their 8-bit form shows, wherever images are looked at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image, features

from bench.contracts.dataset import Dataset, Split, SplitName
from bench.data.own.folder import Folder
from bench.images.augment import Augmented, View
from bench.images.decode import in_colour, read_image, reading
from bench.images.grey import SCALED, depth_of, scaled
from bench.images.pixels import Evaluation
from bench.reports.figures.contact_sheet import Tile
from bench.reports.figures.contact_sheet import _page as page
from tests.images.tiffs import write_tiff

LEVELS = np.arange(256, dtype=np.uint8).reshape(16, 16)  # every level once, from black to white
Writer = Callable[[Path], Path]


def pillow(pixels: np.ndarray[Any, Any], name: str) -> Writer:
    def write(folder: Path) -> Path:
        Image.fromarray(pixels).save(folder / name)
        return folder / name

    return write


def tiff(pixels: np.ndarray[Any, Any], bits: int = 0, **tags: float) -> Writer:
    return lambda folder: write_tiff(folder / "x.tif", pixels, bits, **tags)


def pgm(most: int, text: bool) -> Writer:
    values = LEVELS.astype(np.uint16) * (most // 255)

    def write(folder: Path) -> Path:
        head = f"{'P2' if text else 'P5'}\n16 16\n{most}\n".encode()
        plain = " ".join(map(str, values.ravel().tolist())).encode()
        (folder / "x.pgm").write_bytes(head + (plain if text else values.astype(">u2").tobytes()))
        return folder / "x.pgm"

    return write


def packed() -> np.ndarray[Any, Any]:
    """Two values of 12 bits in three bytes."""
    pairs = np.round(LEVELS.reshape(16, 8, 2) * (4095 / 255)).astype(np.int64)
    first, second = pairs[..., 0], pairs[..., 1]
    found = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=-1)
    return found.reshape(16, 24).astype(np.uint8)


WIDE = LEVELS.astype(np.uint16) * 257
UNIT = (LEVELS / 255).astype(np.float32)
FULL = LEVELS.astype(np.uint32) * 16843009
FILES: dict[str, tuple[str, Writer]] = {
    "PNG of 16 bits": ("u16", pillow(WIDE, "x.png")),
    "TIFF of 16 bits": ("u16", pillow(WIDE, "x.tif")),
    "little-endian": ("u16", tiff(WIDE.astype("<u2"))),
    "big-endian": ("u16", tiff(WIDE.astype(">u2"))),
    "0 is white": ("u16", tiff(65535 - WIDE, white=1)),
    "JPEG 2000 of 16 bits": ("u16", pillow(WIDE, "x.jp2")),
    "PGM of 16 bits": ("u16", pgm(65535, text=False)),
    "PGM up to 1,020": ("u16", pgm(1020, text=False)),
    "PGM in text": ("u16", pgm(2550, text=True)),
    "12 bits, packed": ("u12", tiff(packed(), bits=12)),
    "12 bits of 16": ("declared", tiff(np.round(LEVELS * (4095 / 255)).astype("<u2"), most=4095)),
    "a statistic": ("u16", tiff(WIDE.astype("<u2"), most=54321)),
    "a range of integers": ("declared", tiff((LEVELS.astype(np.uint16) * 10 + 7).astype(">u2"), smin=7, smax=2557)),
    "signed, 8 bits": ("s8", tiff((LEVELS.astype(np.int16) - 128).astype("i1"))),
    "signed, 16 bits": ("s16", tiff((WIDE.astype(np.int32) - 32768).astype(">i2"))),
    "32 bits": ("i32", tiff(FULL.astype("<u4"))),
    "signed, 32 bits": ("i32", tiff((FULL.astype(np.int64) - 2**31).astype("<i4"))),
    "16 bits in 32": ("i32", tiff(WIDE.astype("<u4"))),
    "16 signed bits in 32": ("i32", tiff((WIDE.astype(np.int32) - 32768).astype(">i4"))),
    "floats": ("float", pillow(UNIT, "x.tif")),
    "floats elsewhere": ("float", tiff((UNIT * 3000 - 1000).astype(">f4"))),
    "floats of a declared range": ("declared", tiff((UNIT * 8 - 4).astype("<f4"), smin=-4, smax=4)),
    "PFM": ("float", pillow(UNIT, "x.pfm")),
}


@pytest.mark.parametrize("name", FILES)
def test_every_depth_shows_the_picture_of_8_bits(name: str, tmp_path: Path) -> None:
    if name.startswith("JPEG 2000") and not features.check("jpg_2000"):
        pytest.skip("this Pillow has no JPEG 2000")
    code, write = FILES[name]
    file = write(tmp_path)
    assert reading(file, upright=False) == code
    shown = np.asarray(read_image(file))
    assert shown.shape == (16, 16, 3)
    assert (shown == LEVELS[..., None]).all()
    assert SCALED[code]


def test_a_declared_range_is_wider_than_the_image(tmp_path: Path) -> None:
    """The same values mean the same in every image of a data set."""
    for top in (1.0, 0.5):
        file = write_tiff(tmp_path / "x.tif", (UNIT * top).astype("<f4"), smin=0, smax=1)
        assert np.asarray(read_image(file)).max() == round(255 * top)
    assert np.asarray(read_image(write_tiff(tmp_path / "y.tif", UNIT * 5, smin=0, smax=1))).min() == 0
    for low, high in ((1, 1), (2, 1), (0, float("nan"))):
        assert reading(write_tiff(tmp_path / "z.tif", UNIT, smin=low, smax=high), upright=False) == "float"


def test_values_that_are_no_numbers_and_images_of_one_value(tmp_path: Path) -> None:
    values = np.array([[0, 1, 2, np.nan, np.inf, -np.inf]], dtype=np.float32)
    Image.fromarray(values).save(tmp_path / "x.tif")
    assert np.asarray(read_image(tmp_path / "x.tif"))[0, :, 0].tolist() == [0, 128, 255, 0, 255, 0]
    for value, level in ((7.5, 0), (np.nan, 0), (-np.inf, 0), (np.inf, 255)):
        assert set(scaled(Image.fromarray(np.full((2, 2), value, np.float32))).tobytes()) == {level}
    assert np.asarray(scaled(Image.fromarray(np.full((2, 2), 65535, np.uint16)))).min() == 255


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "CMYK", "1", "LA"])
def test_other_images_are_left_alone(mode: str) -> None:
    image = Image.fromarray(LEVELS).convert("RGB").convert(mode)
    assert depth_of(image) is None
    assert scaled(image) is image
    assert in_colour(image).tobytes() == image.convert("RGB").tobytes()


def test_png_of_16_bits_as_older_versions_of_pillow_open_it() -> None:
    image = Image.fromarray(WIDE.astype(np.int32))
    for name in ("PNG", "PPM"):
        image.format = name
        depth = depth_of(image)
        assert depth is not None
        assert depth.code == "u16"
        assert (np.asarray(scaled(image)) == LEVELS).all()


def test_whoever_looks_at_an_image_sees_the_same() -> None:
    """The evaluation of a run and of `predict`, augmented views, contact sheets."""
    deep, plain = Image.fromarray(WIDE), Image.fromarray(LEVELS)
    evaluation = Evaluation(image_transform_v2(PreprocessCfg(size=32), False))
    assert evaluation.decoded(deep).equal(evaluation.decoded(plain))
    views = [Augmented([image], ["x"], View("d", 1, 0, 0.3), "train", 32)[0].tobytes() for image in (deep, plain)]
    assert views[0] == views[1]
    tiles = [Tile(1, image, "a", "b") for image in (deep, plain)]
    shown = [np.asarray(page([tile], "T").axes[0].images[0].get_array()) for tile in tiles]
    assert (shown[0] == shown[1]).all()
    assert np.unique(shown[0]).size == 256


class Deep(Dataset):
    """A plugin's data set that hands over images as they are."""

    class_names = ("a", "b")
    templates = ("{}",)
    image = Image.fromarray(WIDE)

    def load(self, split: SplitName) -> Split:
        return Split([self.image, self.image], np.array([0, 1]))


def test_a_data_set_is_another_one_where_its_pixels_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = Deep().digest
    monkeypatch.setattr("bench.contracts.dataset.depth_of", lambda image: None)  # as it was
    assert Deep().digest != deep
    monkeypatch.setattr(Deep, "image", Image.fromarray(LEVELS))
    before = Deep().digest
    monkeypatch.undo()
    monkeypatch.setattr(Deep, "image", Image.fromarray(LEVELS))
    assert Deep().digest == before


def test_a_folder_of_deep_images_says_how_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOISY_PROMPT_BENCH_CACHE", str(tmp_path / "cache"))
    for number in range(8):
        folder = tmp_path / "mine" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        shifted = np.roll(LEVELS, number)
        Image.fromarray(shifted.astype(np.uint16) * 257 if number < 6 else shifted).save(folder / f"{number}.png")
    Image.fromarray(UNIT).save(tmp_path / "mine" / "a" / "f.tif")
    dataset = Folder(tmp_path / "mine")
    assert dataset.notes[2:] == (
        "6 images are greyscale of 16 bits: 0 to 65,535 is scaled to 0 to 255.",
        "One image is greyscale of floating-point values: the lowest to the highest of each image is scaled to 0 to "
        "255.",
    )
    images = [dataset.splits[split].images[i] for split in dataset.splits for i in range(len(dataset.splits[split]))]
    assert all(np.unique(np.asarray(image)).size == 256 for image in images)
