"""Images in files: a user's own stand upright, papers' are read as published, and the digest tells them apart."""

from __future__ import annotations

import hashlib
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.contracts.dataset import SPLITS
from bench.data.files.digests import listing_digest, reading_notes, readings
from bench.data.own.folder import Folder
from bench.images.decode import FileImages, orientation, read_image, reading
from tests.data.own.files import pictures

CORNERS = np.array([[250, 0, 0], [0, 0, 0]], dtype=np.uint8)  # light above left
ORIENTATION = 0x112
# Where the light corner of the stored image is once it stands upright, and its size, by EXIF orientation.
UPRIGHT = {
    1: ((0, 0), (3, 2)), 2: ((0, 2), (3, 2)), 3: ((1, 2), (3, 2)), 4: ((1, 0), (3, 2)),
    5: ((0, 0), (2, 3)), 6: ((0, 1), (2, 3)), 7: ((2, 1), (2, 3)), 8: ((2, 0), (2, 3)),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOISY_PROMPT_BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))


def photo(file: Path, orientation: int, large: int = 16) -> Path:
    """Two by three squares of some pixels each, so that no compression moves them."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    pixels = np.kron(CORNERS, np.ones((large, large), dtype=np.uint8))
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).convert("RGB").save(file, exif=exif)
    return file


def corner(image: Image.Image) -> tuple[tuple[int, int], tuple[int, int]]:
    """Row and column of the light square, and the size in squares."""
    small = np.asarray(image.convert("L"))[8::16, 8::16]
    row, column = np.unravel_index(small.argmax(), small.shape)
    return (int(row), int(column)), (small.shape[1], small.shape[0])


@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_photos_are_turned_upright_where_that_is_asked_for(ending: str, orientation: int, tmp_path: Path) -> None:
    file = photo(tmp_path / f"x.{ending}", orientation)
    assert corner(read_image(file, upright=True)) == UPRIGHT[orientation]
    assert corner(read_image(file)) == UPRIGHT[1], "as published"
    assert reading(file, upright=True) == ("turned" if orientation > 1 else "")
    assert reading(file, upright=False) == ""
    assert corner(FileImages(tmp_path, [file.name], upright=True)[0]) == UPRIGHT[orientation]


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_pillow_turns_tiff_itself_so_nothing_changes(orientation: int, tmp_path: Path) -> None:
    file = photo(tmp_path / "x.tif", orientation)
    assert corner(read_image(file, upright=True)) == corner(read_image(file)) == UPRIGHT[orientation]
    assert reading(file, upright=True) == ""


def test_grey_of_16_bits_is_scaled_and_turned(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    pixels = np.kron(CORNERS.astype(np.uint16) * 257, np.ones((16, 16), dtype=np.uint16))
    Image.fromarray(pixels).save(tmp_path / "x.png", exif=exif)
    assert reading(tmp_path / "x.png", upright=True) == "u16 turned"
    image = read_image(tmp_path / "x.png", upright=True)
    assert corner(image) == UPRIGHT[6]
    assert image.getextrema() == ((0, 250),) * 3


def test_png_may_hold_its_exif_behind_the_pixels(tmp_path: Path) -> None:
    file = photo(tmp_path / "x.png", 1)
    exif = Image.Exif()
    exif[ORIENTATION] = 3
    chunk = b"eXIf" + exif.tobytes()[6:]
    whole = file.read_bytes()
    start = whole.index(b"eXIf") - 4
    length = 12 + struct.unpack(">I", whole[start : start + 4])[0]
    bare, end = whole[:start] + whole[start + length : -12], whole[-12:]
    packed = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    file.write_bytes(bare + packed + end)
    assert corner(read_image(file, upright=True)) == UPRIGHT[3]
    assert reading(file, upright=True) == "turned"


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of EXIF that is cut short
def test_torn_exif_hides_no_image(tmp_path: Path) -> None:
    whole = photo(tmp_path / "x.jpg", 6).read_bytes()
    at = whole.index(b"Exif\0\0") + 6
    for torn in (b"II*\0", b"\xff" * 8, b"MM\0*\0\0\0\x08\0\xff"):
        (tmp_path / "x.jpg").write_bytes(whole[:at] + torn + whole[at + len(torn) :])
        assert corner(read_image(tmp_path / "x.jpg", upright=True)) in UPRIGHT.values()
        assert reading(tmp_path / "x.jpg", upright=True) in ("", "turned")
    assert reading(tmp_path / "nowhere.jpg", upright=True) == ""


def plain_digest(dataset: Folder) -> str:
    """The digest of a folder's images as it was before anything was turned or scaled."""
    names = [name for split in SPLITS for name in dataset.splits[split].names]
    state = hashlib.sha256()
    for split in SPLITS:
        count = len(dataset.splits[split])
        state.update(f"{split} {count}\n".encode() + np.zeros(count, "<i8").tobytes())
    for name in names:
        content = hashlib.sha256((dataset.root / name).read_bytes()).hexdigest()  # type: ignore[operator]
        state.update(f"{name}\t{content}\n".encode())
    return state.hexdigest()


def test_the_digest_is_another_one_exactly_where_pixels_are(tmp_path: Path) -> None:
    pictures(tmp_path, "a", "b", count=6)
    photo(tmp_path / "a" / "upright.jpg", 1)
    photo(tmp_path / "b" / "turned.tif", 6)
    before = Folder(tmp_path)
    assert before.images_digest == plain_digest(before)
    assert len(before.notes) == 2
    photo(tmp_path / "b" / "phone.jpg", 6)
    turned = Folder(tmp_path)
    assert turned.images_digest != plain_digest(turned)
    assert turned.digest != before.digest
    assert turned.notes[2:] == ("One image is turned upright, as EXIF says.",)
    (tmp_path / "b" / "phone.jpg").unlink()
    Image.new("I;16", (4, 4), 7).save(tmp_path / "a" / "deep.png")
    deep = Folder(tmp_path)
    assert deep.images_digest != plain_digest(deep)
    (tmp_path / "a" / "deep.png").unlink()
    assert Folder(tmp_path).digest == before.digest


def test_data_sets_of_papers_have_the_digest_they_had_and_jpeg_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [photo(tmp_path / f"{i}.jpg", 1 + i % 8).name for i in range(16)]
    labels = np.arange(16)
    state = hashlib.sha256(b"train 16\n" + labels.astype("<i8").tobytes())
    for name in names:
        state.update(f"{name}\t{hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()}\n".encode())
    assert listing_digest(tmp_path, {"train": (names, labels)}, upright=True) != state.hexdigest()

    def forbidden(*_: object) -> str:
        raise AssertionError("a header is read")

    monkeypatch.setattr(Image, "open", forbidden)
    assert listing_digest(tmp_path, {"train": (names, labels)}) == state.hexdigest()
    assert readings(tmp_path, names, upright=True), "remembered"


def test_torn_orientation_hides_no_image(monkeypatch: pytest.MonkeyPatch) -> None:
    def torn(_: Image.Image) -> None:
        raise struct.error("unpack requires a buffer of 4 bytes")

    monkeypatch.setattr(Image.Image, "getexif", torn)
    assert orientation(Image.new("L", (1, 1))) == 1


def test_what_is_said_counts_every_kind() -> None:
    assert reading_notes([""] * 9) == []
    assert reading_notes(["u16", "", "turned", "u16 turned", "float"]) == [
        "2 images are greyscale of 16 bits: 0 to 65,535 is scaled to 0 to 255.",
        "One image is greyscale of floating-point values: the lowest to the highest of each image is scaled to 0 to "
        "255.",
        "2 images are turned upright, as EXIF says.",
    ]
