"""Find images below a folder, and report which files are skipped and why."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal, TypeAlias

from PIL import Image, features

from bench.errors import BenchError, legible
from bench.images.decode import UNDECODABLE

# Pillow's names of formats that it opens and that are no pictures, or need another program or a unit to be shown.
NO_PICTURES: Final = frozenset({"BUFR", "EPS", "FITS", "GRIB", "HDF5", "IPTC", "MPEG", "PDF", "WMF"})
OPTIONAL: Final = {"AVIF": "avif", "JPEG2000": "jpg_2000", "WEBP": "webp"}  # what Pillow may have been built without
ALIKE: Final = frozenset(
    {".heic", ".heif", ".hif", ".avif", ".jxl", ".jp2", ".webp", ".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw",
     ".srf", ".sr2", ".orf", ".rw2", ".raf", ".pef", ".srw", ".raw", ".svg", ".svgz", ".xcf", ".exr", ".hdr", ".dcm",
     ".jls", ".jxr", ".eps", ".fit", ".fits", ".wmf", ".emf"}
)  # fmt: skip
SYSTEM: Final = frozenset(
    {"@eadir", "@recycle", "#recycle", "#snapshot", "$recycle.bin", "__macosx", "lost+found",
     "system volume information"}
)  # fmt: skip
_LAST = re.compile(r"(\.[a-z0-9]+)(?:\.\d+|[^a-z0-9.].*)?$")  # the ending also of "a.jpg~", "a.jpg.1", "a.jpg?w=200"

Why: TypeAlias = Literal["ending", "link", "unreadable", "hidden", "system", "loose", "split", "unlisted"]
SAID: Final[dict[Why, tuple[str, str]]] = {
    "ending": ("file of a kind that is not read", "files of kinds that are not read"),
    "link": ("link that leads nowhere", "links that lead nowhere"),
    "unreadable": ("file or folder that cannot be read", "files or folders that cannot be read"),
    "hidden": ("hidden file or folder", "hidden files or folders"),
    "system": ("folder of a system's own files", "folders of a system's own files"),
    "loose": ("image in no folder of a class", "images in no folder of a class"),
    "split": (
        "folder of images that is no split with folders of classes",
        "folders of images that are no splits with folders of classes",
    ),
    "unlisted": ("image in a folder of a split that no row names", "images in folders of splits that no row names"),
}


@lru_cache(maxsize=1)
def endings() -> frozenset[str]:
    """Return the lower-case file endings of pictures that the installed Pillow opens."""
    lacking = {name for name, feature in OPTIONAL.items() if not features.check(feature)}
    known = Image.registered_extensions()
    return frozenset(e for e, name in known.items() if name in Image.OPEN and name not in NO_PICTURES | lacking)


class Walk:
    """Search for images below a root. Hidden files and folders of systems are no images, links are followed.

    Args:
        root: the folder that names are relative to in what is said.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.left: dict[Why, dict[str, None]] = {}

    def leave(self, why: Why, path: Path) -> None:
        """Count a path as left out, once."""
        self.left.setdefault(why, {})[legible(path.relative_to(self.root).as_posix())] = None

    @property
    def left_out(self) -> tuple[str, ...]:
        """Sentences on the files left out, one for each reason, in the order of `SAID`."""
        return tuple(_sentence(why, list(self.left[why])) for why in SAID if why in self.left)

    def folders(self, folder: Path) -> list[Path]:
        """List the folders in a folder, sorted.

        Raises:
            BenchError: one has a name that is not UTF-8.
        """
        return [Path(entry) for entry in self._entries(folder) if self._is_folder(entry, hidden=folder != self.root)]

    def loose(self, folder: Path) -> list[str]:
        """List the images directly in a folder, sorted."""
        return [entry.name for entry in self._entries(folder) if self._is_image(entry)]

    def images(self, folder: Path) -> Iterator[Path]:
        """List all images below a folder, through links too. Of a folder that is reached twice the first way counts.

        Raises:
            BenchError: a file or folder has a name that is not UTF-8.
        """
        seen: set[str] = set()
        waiting = [folder]
        while waiting:
            here = waiting.pop()
            real = os.path.realpath(here)
            if real in seen:
                continue
            seen.add(real)
            entries = self._entries(here)
            yield from (Path(entry) for entry in entries if self._is_image(entry))
            waiting += [Path(entry) for entry in reversed(entries) if self._is_folder(entry, hidden=True)]

    def _entries(self, folder: Path) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as found:
                return sorted(found, key=lambda entry: entry.name)
        except OSError:
            self.leave("unreadable", folder)
            return []

    def _is_folder(self, entry: os.DirEntry[str], hidden: bool) -> bool:
        """Return whether an entry is a folder of the user's; with `hidden`, hidden ones are counted."""
        try:
            if not entry.is_dir():
                return False
        except OSError:  # a link in a circle, said of it as an image
            return False
        if entry.name.casefold() in SYSTEM:
            self.leave("system", Path(entry))
        elif not entry.name.startswith("."):
            return check_name(Path(entry))
        elif hidden:
            self.leave("hidden", Path(entry))
        return False

    def _is_image(self, entry: os.DirEntry[str]) -> bool:
        """Return whether an entry is an image that can be opened. What merely looks like one is counted."""
        name = entry.name.casefold()
        found = _LAST.search(name)
        ending = found[1] if found else ""
        if name.startswith("._") or (ending and ending not in endings() and ending not in ALIKE):
            return False  # what macOS writes beside a file elsewhere; texts and the like
        why = _why_not(entry, Path(name).suffix in endings(), bool(ending))
        if why == "":
            return check_name(Path(entry))
        if why is not None:
            self.leave(why, Path(entry))
        return False


def _why_not(entry: os.DirEntry[str], usual: bool, ending: bool) -> Why | Literal[""] | None:
    """Return why a file is no image. "" where it is one, and None where it does not even look like one.

    Args:
        entry: a file, folder or link.
        usual: whether it ends as an image does.
        ending: whether it ends as if it were one.
    """
    try:
        if entry.is_symlink() and not Path(entry).exists():
            return "link"
        if entry.is_dir():
            return None
        there = entry.is_file() and os.access(entry, os.R_OK)
    except OSError:
        there = False
    if entry.name.startswith("."):
        return "hidden" if usual else None
    if not there:
        return "unreadable" if ending else None
    if usual:
        return ""
    return "ending" if ending or _opens(Path(entry)) else None


def _opens(file: Path) -> bool:
    try:
        with Image.open(file) as image:
            return image.format not in NO_PICTURES
    except UNDECODABLE:
        return False


def check_name(path: Path) -> bool:
    """Reject a path that no record or table could hold. Returns True for others.

    Raises:
        BenchError: it is not UTF-8.
    """
    if legible(str(path)) != str(path):
        raise BenchError(
            f'"{legible(str(path))}" has a name that is not UTF-8; rename it, for a whole folder with: convmv -r -f '
            "latin1 -t utf8 --notest FOLDER."
        )
    return True


def _sentence(why: Why, paths: Sequence[str]) -> str:
    one, many = SAID[why]
    kinds = Counter(Path(path).suffix.casefold() or "no ending" for path in paths)
    shown = f" ({', '.join(f'{kind} {count:,}' for kind, count in kinds.most_common(5))})" if why == "ending" else ""
    number = f"{len(paths):,} {many}" if len(paths) > 1 else f"1 {one}"
    return f'Left out: {number}{shown}, {"first " if len(paths) > 1 else ""}"{paths[0]}".'
