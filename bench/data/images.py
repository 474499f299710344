"""Images in files: decoded when indexed, and a file that cannot be decoded is named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from bench.errors import BenchError

HOW_TO_SKIP = "put it right, or leave such images out with skip_broken = true under [dataset.NAME] in bench.toml"
# What Pillow raises for files that it cannot decode.
UNDECODABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)


def reason(error: Exception) -> str:
    """What Pillow says of a file, in one line without the path, which the caller names."""
    text = " ".join(str(error).split()) or type(error).__name__
    return "not an image" if text.startswith("cannot identify image file") else text


def read_image(file: Path) -> Image.Image:
    """A file decoded whole, in RGB.

    Raises:
        FileNotFoundError: the file is missing.
        One of UNDECODABLE: it is cut short or not an image.
    """
    with Image.open(file) as image:
        # Pillow warns where it would drop a palette's transparency; the detour over RGBA gives the same colours.
        whole = image.convert("RGBA") if isinstance(image.info.get("transparency"), bytes) else image
        return whole.convert("RGB")


class FileImages(Sequence[Image.Image]):
    """Images by path, in RGB as open_clip's transform makes them. Small to pickle: a folder and names.

    Args:
        root: the folder that the names are relative to.
        names: paths with forward slashes, N of them.
    """

    def __init__(self, root: Path, names: Sequence[str]) -> None:
        self.root, self.names = Path(root), names

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Image.Image:  # type: ignore[override] # slices are never asked for
        """One image.

        Raises:
            BenchError: the file is missing or cannot be decoded.
        """
        file = self.root / self.names[index]
        try:
            return read_image(file)
        except FileNotFoundError as error:
            raise BenchError(f'image "{file}" is not there; restore it, or prepare the data set again.') from error
        except UNDECODABLE as error:
            raise BenchError(f'image "{file}" cannot be decoded: {reason(error)}; {HOW_TO_SKIP}.') from error
