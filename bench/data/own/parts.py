"""Splits of a user's images: names, label sets as they are written, and held-out parts."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.contracts.dataset import SplitName
from bench.errors import BenchError, did_you_mean

GIVEN, TRUE = "given", "true"
SPLIT_NAMES: dict[str, SplitName] = {
    "train": "train", "training": "train",
    "validation": "validation", "val": "validation", "valid": "validation", "dev": "validation",
    "test": "test", "testing": "test", "eval": "test", "evaluation": "test",
}  # fmt: skip
_BESIDE = r"images?|imgs?|pictures?|pics?|photos?|data|datasets?|sets?|splits?|samples?|files?"
_SPLIT = re.compile(rf"(?:(?:{_BESIDE})[-_ .]?)*({'|'.join(SPLIT_NAMES)})(?:[-_ .]?(?:{_BESIDE}))*")
UNDERSTOOD = (
    "train or training, validation, val, valid or dev, test, testing, eval or evaluation, each alone or with a word "
    'such as "images" or "set" ("train_images", "TestSet")'
)


@dataclass(frozen=True)
class OwnSplit:
    """Images of one split, in the order of their names.

    Attributes:
        names: N paths with forward slashes, relative to the data set's folder.
        labels: sets of labels by name ("given", "true", "worst"), N classes each as they are written.
        where: what a message calls each image, N texts.
    """

    names: Sequence[str]
    labels: Mapping[str, Sequence[str]]
    where: Sequence[str]

    @property
    def known(self) -> str:
        """Most reliable set of labels: "true" where there is one."""
        return TRUE if TRUE in self.labels else GIVEN

    @property
    def classes(self) -> set[str]:
        """Classes that given and true labels name."""
        return {label for name in (GIVEN, TRUE) for label in self.labels.get(name, ())}

    def take(self, positions: Sequence[int]) -> OwnSplit:
        """Select the images at these positions, in the order of their names."""
        order = sorted(positions, key=lambda position: self.names[position])
        labels = {name: [values[i] for i in order] for name, values in self.labels.items()}
        return OwnSplit([self.names[i] for i in order], labels, [self.where[i] for i in order])


def split_of(name: str) -> SplitName | None:
    """Return the split that a folder or a column is named after, in any case ("val", "Training"); else None.

    >>> [split_of(name) for name in ("Training", "images-test", "ValSet", "train station")]
    ['train', 'test', 'validation', None]
    """
    found = _SPLIT.fullmatch(name.strip().casefold())
    return SPLIT_NAMES[found[1]] if found else None


def like_split(name: str) -> SplitName | None:
    """Return the split that a name ends in, where `split_of` does not know it. A number or letter may follow.

    >>> [like_split(name) for name in ("train2017", "my_train", "testA", "train", "train station")]
    ['train', 'train', 'test', None, None]
    """
    words = [word for word in re.findall(r"[^\W\d_]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name)) if len(word) > 1]
    return split_of(words[-1]) if words and split_of(name) is None else None


def hold_out(part: OwnSplit, shares: Mapping[SplitName, int]) -> dict[SplitName, OwnSplit]:
    """Hold missing splits out of the training images, and return what remains of these too.

    Class by class, in the order of the sha256 of their paths, so that a copy elsewhere gives the same splits and a new
    image moves few old ones. Of a class with two images or more, test gets one at least, then validation.

    Args:
        part: the training images.
        shares: percent of each class, for each split that is to be held out.
    """
    order = sorted(range(len(part.names)), key=lambda i: hashlib.sha256(part.names[i].encode()).digest())
    members: dict[str, list[int]] = {}
    for position in order:
        members.setdefault(part.labels[part.known][position], []).append(position)
    taken: dict[SplitName, list[int]] = {name: [] for name in ("train", *shares)}
    for own in members.values():
        left = own
        for name in sorted(shares):  # test before validation
            count = min(len(left) - 1, max(1, (len(own) * shares[name] + 50) // 100))
            taken[name] += left[:count]
            left = left[count:]
        taken["train"] += left
    return {name: part.take(positions) for name, positions in taken.items()}


def read_classes(file: Path) -> tuple[str, ...]:
    """Read the class names in a file, one a line, in its order.

    Raises:
        BenchError: it has none, or one twice.
    """
    names = [line.strip() for line in text_of(file).splitlines() if line.strip()]
    if not names:
        raise BenchError(f'"{file}" names no class; write every class once, a line each.')
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise BenchError(f'"{file}" names class "{twice[0]}" twice; remove one of the lines.')
    return tuple(names)


def text_of(file: Path) -> str:
    """Read a text file in UTF-8, with or without a byte-order mark.

    Raises:
        BenchError: it cannot be read, is not UTF-8, or has a null character, which no path can hold.
    """
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BenchError(f'"{file}" is not UTF-8 (byte {error.start}); save it in that encoding.') from error
    except OSError as error:
        raise BenchError(f'"{file}" cannot be read: {error.strerror}; change its permissions.') from error
    if "\0" in text:
        line = text.partition("\0")[0].count("\n") + 1
        raise BenchError(f'"{file}" line {line} has a null character and is damaged; restore the file.')
    return text


def unknown_class(where: str, what: str, name: str, allowed: set[str]) -> BenchError:
    """Build the error for a class that is not among the known ones."""
    return BenchError(f'{where}: {what} "{name}" is none of the {len(allowed)} classes; {did_you_mean(name, allowed)}')
