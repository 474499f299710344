"""Feature store: frozen image features, computed once and shared by all processes of a machine.

An entry is a folder that is published whole: one array, memory-mapped when read, and `meta.json` with its key and
sha256. Chunk size and thread count are fixed, so the bits do not depend on who computed them, nor on how many processes
did. For prompts in the image tower the store also keeps decoded images, as bytes before they are scaled.
"""

from __future__ import annotations

import errno
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
from typing import Any, BinaryIO, Final

import numpy as np
import torch
from filelock import FileLock
from numpy.lib.format import write_array_header_1_0
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from bench.clip.backbone import Backbone
from bench.clip.encode import FeaturePart, encoded
from bench.clip.place import ELSEWHERE, features_root
from bench.errors import BenchError
from bench.files import file_sha256
from bench.images.loader import CHUNK_SIZE, DEFAULT_LIMITS, LoaderLimits, one_intra_op_thread
from bench.images.pixels import Evaluation

STORE_FORMAT: Final = 1
UNWRITABLE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
PLAIN_VIEW: Final = "plain"

Listen = Callable[[int], None]
logger = logging.getLogger(__name__)
_verified: dict[Path, tuple[int, int, int]] = {}


@dataclass(frozen=True)
class FeatureKey:
    """Everything that features depend on.

    Attributes:
        dataset: digest of the data set.
        split: its part.
        backbone: digest of the weights; empty for decoded images.
        transform: what was done to the images, as text that is equal when they are.
        view: "plain", or which augmented view.
        device: kind of processor, another kind rounds differently; empty for decoded images.
        positions: digest of the positions where only some of the part are encoded, empty for all.
        code: version and code of a third party's backbone, empty for ours.
    """

    dataset: str
    split: str
    backbone: str
    transform: str
    view: str = PLAIN_VIEW
    device: str = "cpu"
    positions: str = ""
    code: str = ""

    @classmethod
    def of(
        cls,
        dataset: str,
        split: str,
        backbone: Backbone,
        view: str = PLAIN_VIEW,
        positions: str = "",
        pixels: bool = False,
    ) -> FeatureKey:
        """Build the key for a backbone's own evaluation transform. With `pixels`, it is that of the decoded images."""
        weights, device = ("", "") if pixels else (backbone.digest, backbone.device.type)
        return cls(dataset, split, weights, backbone.preprocess_id, view, device, positions, backbone.code)

    @property
    def entries(self) -> dict[str, str]:
        """All attributes by name; `positions` and `code` only where they are set."""
        return {name: value for name, value in asdict(self).items() if value or name not in ("positions", "code")}

    @property
    def digest(self) -> str:
        """First 32 digits of the SHA-256 over all entries: the entry's folder name."""
        text = json.dumps({**self.entries, "format": STORE_FORMAT}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


class FeatureStore:
    """Features by key in one folder.

    Args:
        root: the folder, or None for `features_root`.
        limits: of the processes that compute.
    """

    def __init__(self, root: Path | str | None = None, limits: LoaderLimits = DEFAULT_LIMITS) -> None:
        self.root = features_root() if root is None else Path(root).expanduser()
        self.limits = limits

    def lacks(self, key: FeatureKey, part: FeaturePart, count: int) -> bool:
        """Return whether a part of `count` images would have to be computed."""
        return self._open(key, part, count) is None

    def parts(
        self,
        key: FeatureKey,
        wanted: Sequence[FeaturePart],
        images: Sequence[Image.Image],
        backbone: Backbone,
        listen: Listen | None = None,
    ) -> dict[FeaturePart, Tensor]:
        """Return parts of a key, computing them where no valid entry exists. Two processes at once compute once.

        Args:
            key: what the features depend on; the caller answers for its truth.
            wanted: features, unnormalised: "pooled" [N, D], "tokens" [N, T, D]; or only "pixels" [N, 3, H, W], decoded
                and unscaled.
            images: N images, indexed only where something must be computed, perhaps by other processes.
            backbone: computes them, on its device.
            listen: called with the number of images done since the last call.

        Returns:
            Tensors on the CPU that share one copy in memory; writing to them changes neither file nor other processes.

        Raises:
            BenchError: the folder cannot be written, or an image cannot be decoded.
        """
        arrays = {part: self._open(key, part, len(images)) for part in wanted}
        if any(array is None for array in arrays.values()):
            with self._locked(key):
                missing = [part for part in wanted if self.lacks(key, part, len(images))]
                try:
                    if missing:
                        self._compute(key, missing, images, backbone, listen)
                except OSError as error:
                    if error.errno not in UNWRITABLE:
                        raise
                    raise BenchError(
                        f'features cannot be written to "{self.root}" ({error.strerror}); {ELSEWHERE}'
                    ) from error
            arrays = {part: self._open(key, part, len(images)) for part in wanted}
        if any(array is None for array in arrays.values()):
            raise BenchError(f'features in "{self.root}" were removed while in use; run again, or {ELSEWHERE}')
        return {part: torch.from_numpy(array) for part, array in arrays.items() if array is not None}

    def _folder(self, key: FeatureKey, part: FeaturePart) -> Path:
        return self.root / f"{key.digest}-{part}"

    def _open(self, key: FeatureKey, part: FeaturePart, count: int) -> NDArray[Any] | None:
        """Open the array of a valid entry, or return None and log why the entry is invalid."""
        folder = self._folder(key, part)
        if not (os.access(folder, os.F_OK) and folder.is_dir()):
            return None
        try:
            meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
            problem = _unsound(folder / f"{part}.npy", meta, key)
            array: NDArray[Any] = np.load(folder / f"{part}.npy", mmap_mode="c", allow_pickle=False)
        except (OSError, ValueError, KeyError, TypeError, EOFError, RecursionError) as error:
            problem, array = str(error), np.empty(0)
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
                f'the feature folder "{self.root}" cannot be written ({error.strerror or error}); {ELSEWHERE}'
            ) from error
        try:
            yield
        finally:
            lock.release()

    def _compute(
        self,
        key: FeatureKey,
        parts: Sequence[FeaturePart],
        images: Sequence[Image.Image],
        backbone: Backbone,
        listen: Listen | None,
    ) -> None:
        for stale in self.root.glob(f".{key.digest}-*.tmp"):
            shutil.rmtree(stale)
        evaluation = Evaluation(backbone.preprocess)
        kinds = _kinds(len(images), backbone, evaluation)
        folders = {part: self.root / f".{key.digest}-{part}-{uuid.uuid4().hex}.tmp" for part in parts}
        with ExitStack() as stack, one_intra_op_thread():
            streams = {part: stack.enter_context(_started(folders[part], part, *kinds[part])) for part in parts}
            for chunk in encoded(images, parts, backbone, evaluation, self.limits):
                for part, stream in streams.items():
                    stream.write(chunk[part].tobytes())
                if listen is not None:
                    listen(len(chunk[parts[0]]))
        for part, folder in folders.items():
            _publish(folder, self._folder(key, part), part, key)


def _kinds(count: int, backbone: Backbone, evaluation: Evaluation) -> dict[FeaturePart, tuple[str, tuple[int, ...]]]:
    """Return type and shape of every part of `count` images."""
    size = backbone.image_size
    return {
        "pooled": ("<f4", (count, backbone.embed_dim)),
        "tokens": ("<f4", (count, backbone.num_tokens, backbone.embed_dim)),
        "pixels": ("|u1" if evaluation.in_bytes else "<f4", (count, 3, size, size)),
    }


def _started(folder: Path, part: FeaturePart, kind: str, shape: tuple[int, ...]) -> BinaryIO:
    """Open a file with the header of an array, ready for its rows.

    It is written, not mapped, so that a full disk is an error.
    """
    folder.mkdir()
    stream = (folder / f"{part}.npy").open("wb")
    try:
        write_array_header_1_0(stream, {"descr": kind, "fortran_order": False, "shape": shape})
    except OSError:
        stream.close()
        raise
    return stream


def _unsound(file: Path, meta: dict[str, Any], key: FeatureKey) -> str | None:
    """Return what is wrong with an entry, or None. A file is hashed once per process unless it changes."""
    if meta["key"] != key.entries:
        return "it is of another key"
    state = file.stat()
    stamp = (state.st_ino, state.st_size, state.st_mtime_ns)
    if _verified.get(file) == stamp:
        return None
    if file_sha256(file) != meta["sha256"]:
        return f"{file.name} is altered or torn"
    _verified[file] = stamp
    return None


def _publish(folder: Path, final: Path, part: FeaturePart, key: FeatureKey) -> None:
    """Move a finished folder into place, after all of it has reached the disk."""
    file = folder / f"{part}.npy"
    meta = {"key": key.entries, "sha256": file_sha256(file), "chunk": CHUNK_SIZE, "torch": torch.__version__}
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
