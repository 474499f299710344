"""The feature store: frozen image features, computed once and shared by every process of a machine.

An entry is a folder that is published whole: one array, memory-mapped when read, and `meta.json` with its key and
sha256. Chunk size and thread count are fixed, so the bits do not depend on who computed them.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, NamedTuple, TypeAlias

import numpy as np
import torch
from filelock import FileLock
from numpy.lib.format import write_array_header_1_0
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from bench.clip.backbone import Backbone
from bench.errors import BenchError

ENVIRONMENT: Final = "NOISY_PROMPT_BENCH_CACHE"
CHUNK: Final = 64
FORMAT: Final = 1

Part: TypeAlias = Literal["pooled", "tokens"]
Transform: TypeAlias = Callable[[Image.Image], Tensor]
logger = logging.getLogger(__name__)
_verified: dict[Path, tuple[int, int, int]] = {}


@dataclass(frozen=True)
class FeatureKey:
    """What features depend on, and nothing else.

    Attributes:
        dataset: digest of the data set.
        split: its part.
        backbone: digest of the weights.
        transform: what was done to the images, as text that is equal when they are.
        view: "plain", or which augmented view.
        device: kind of processor; another kind rounds differently.
    """

    dataset: str
    split: str
    backbone: str
    transform: str
    view: str = "plain"
    device: str = "cpu"

    @classmethod
    def of(cls, dataset: str, split: str, backbone: Backbone, view: str = "plain") -> FeatureKey:
        """The key under a backbone's own evaluation transform."""
        return cls(dataset, split, backbone.digest, backbone.preprocess_id, view, backbone.device.type)

    @property
    def digest(self) -> str:
        """The first 32 digits of the sha256 over all attributes; the name of the entry."""
        text = json.dumps({**asdict(self), "format": FORMAT}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


class Features(NamedTuple):
    """Features of N images, not normalised, memory-mapped: pooled [N, D], tokens [N, T, D] or None."""

    pooled: Tensor
    tokens: Tensor | None


def default_root() -> Path:
    """`features` in the folder named by the environment variable NOISY_PROMPT_BENCH_CACHE, or in the user's cache."""
    import platformdirs

    named = os.environ.get(ENVIRONMENT)
    return Path(named or platformdirs.user_cache_dir("noisy-prompt-bench")).expanduser() / "features"


class FeatureStore:
    """Features by key in one folder.

    Args:
        root: the folder, or None for `default_root`.
    """

    def __init__(self, root: Path | str | None = None) -> None:
        self.root = default_root() if root is None else Path(root).expanduser()

    def get(
        self,
        key: FeatureKey,
        images: Sequence[Image.Image],
        backbone: Backbone,
        tokens: bool = False,
        transform: Transform | None = None,
    ) -> Features:
        """The features of a key, computed if no sound entry is there; two processes at once compute once.

        Args:
            key: what the features depend on; the caller answers for its truth.
            images: N images, indexed only where something must be computed.
            backbone: computes them, on its device.
            tokens: whether patch tokens are wanted beside the pooled features.
            transform: image to pixels [3, H, W]; None is the backbone's own.

        Returns:
            Tensors on the CPU that share one copy in memory; writing to them changes neither file nor other processes.

        Raises:
            BenchError: the folder cannot be written.
        """
        wanted: tuple[Part, ...] = ("pooled", "tokens") if tokens else ("pooled",)
        if any(self._open(key, part, len(images)) is None for part in wanted):
            with self._locked(key):
                missing = [part for part in wanted if self._open(key, part, len(images)) is None]
                if missing:
                    self._compute(key, missing, images, backbone, transform or backbone.preprocess)
        arrays = {part: self._open(key, part, len(images)) for part in wanted}
        lost = [part for part, array in arrays.items() if array is None]
        if lost:
            raise BenchError(f'features in "{self.root}" were removed while in use; run again, or set {ENVIRONMENT}.')
        found = {part: torch.from_numpy(array) for part, array in arrays.items() if array is not None}
        return Features(found["pooled"], found.get("tokens"))

    def _folder(self, key: FeatureKey, part: Part) -> Path:
        return self.root / f"{key.digest}-{part}"

    def _open(self, key: FeatureKey, part: Part, count: int) -> NDArray[np.float32] | None:
        """The array of a sound entry, or None; says in the log why an entry is not sound."""
        folder = self._folder(key, part)
        if not folder.is_dir():
            return None
        try:
            meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
            problem = _unsound(folder / f"{part}.npy", meta, key)
            array: NDArray[np.float32] = np.load(folder / f"{part}.npy", mmap_mode="c", allow_pickle=False)
        except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
            problem, array = str(error), np.empty(0, dtype=np.float32)
        if problem is None and len(array) != count:
            problem = f"{len(array)} rows for {count} images"
        if problem is not None:
            logger.warning("feature entry %s is not sound (%s); it is computed again", folder.name, problem)
            return None
        return array

    @contextmanager
    def _locked(self, key: FeatureKey) -> Iterator[None]:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.root / f"{key.digest}.lock")
            lock.acquire()
        except OSError as error:
            raise BenchError(
                f'the feature folder "{self.root}" cannot be written ({error.strerror}); name another in {ENVIRONMENT}.'
            ) from error
        try:
            yield
        finally:
            lock.release()

    def _compute(
        self,
        key: FeatureKey,
        parts: list[Part],
        images: Sequence[Image.Image],
        backbone: Backbone,
        transform: Transform,
    ) -> None:
        for stale in self.root.glob(f".{key.digest}-*.tmp"):
            shutil.rmtree(stale)
        shapes: dict[Part, tuple[int, ...]] = {
            "pooled": (len(images), backbone.embed_dim),
            "tokens": (len(images), backbone.num_tokens, backbone.embed_dim),
        }
        folders = {part: self.root / f".{key.digest}-{part}-{uuid.uuid4().hex}.tmp" for part in parts}
        with ExitStack() as stack, one_intra_op_thread(), torch.inference_mode():
            streams = {part: stack.enter_context(_started(folders[part], part, shapes[part])) for part in parts}
            for start in range(0, len(images), CHUNK):
                chunk = range(start, min(start + CHUNK, len(images)))
                pixels = torch.stack([transform(images[index]) for index in chunk])
                features = backbone.image(pixels.to(backbone.device))
                for part, stream in streams.items():
                    stream.write(getattr(features, part).cpu().numpy().astype("<f4").tobytes())
        for part, folder in folders.items():
            _publish(folder, self._folder(key, part), part, key)


def _started(folder: Path, part: Part, shape: tuple[int, ...]) -> BinaryIO:
    """A file with the header of an array, open for its rows; written, not mapped, so that a full disk is an error."""
    folder.mkdir()
    stream = (folder / f"{part}.npy").open("wb")
    write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return stream


@contextmanager
def one_intra_op_thread() -> Iterator[None]:
    """Let torch compute with one thread, and give it back what it had."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _unsound(file: Path, meta: dict[str, Any], key: FeatureKey) -> str | None:
    """What is wrong with an entry, or None. A file is hashed once per process unless it changes."""
    if meta["key"] != asdict(key):
        return "it is of another key"
    state = file.stat()
    stamp = (state.st_ino, state.st_size, state.st_mtime_ns)
    if _verified.get(file) == stamp:
        return None
    if _sha256(file) != meta["sha256"]:
        return f"{file.name} is altered or torn"
    _verified[file] = stamp
    return None


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _publish(folder: Path, final: Path, part: Part, key: FeatureKey) -> None:
    """Put a finished folder in its place, after all of it has reached the disk."""
    file = folder / f"{part}.npy"
    meta = {"key": asdict(key), "sha256": _sha256(file), "chunk": CHUNK, "torch": torch.__version__}
    (folder / "meta.json").write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")
    for path in (file, folder / "meta.json", folder):
        _sync(path)
    if final.exists():
        doomed = final.with_name(f".{final.name}-{uuid.uuid4().hex}.tmp")
        final.rename(doomed)
        shutil.rmtree(doomed)
    folder.rename(final)
    _sync(final.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
