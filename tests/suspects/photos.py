"""A user's folder with wrong labels and names of strangers, and a store that judges them, made without training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bench.data.library import open_dataset
from bench.records.store import Store
from tests.reports.factory import changed
from tests.suspects.test_suspects import Shop

CLASSES = ("<img src=x onerror=alert(1)>", '=a,b "c"', "plain", "\u202eright\x1b[31m")
NAMES = {CLASSES[0]: "img one", CLASSES[1]: "two", CLASSES[2]: "three", CLASSES[3]: "four"}


def wrong(label: int, number: int) -> bool:
    """Whether an image is in the folder of the class before its own."""
    return number == 0 and label < 3


def make_photos(root: Path, count: int = 6, test: bool = False) -> Path:
    """Write images whose colour is their class; the first of three classes lies in another one's folder."""
    for split in ("train", *(["test"] if test else [])):
        for label in range(len(CLASSES)):
            for number in range(count):
                place = root / split / CLASSES[(label + 1) % 4 if wrong(label, number) and split == "train" else label]
                place.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (24, 16), (60 * label, 30 * number, 90)).save(place / f"{label} <b>{number}',\".png")
    names = "".join(f"{json.dumps(name)} = {json.dumps(said)}\n" for name, said in NAMES.items())
    (root / "dataset.toml").write_text(f"[names]\n{names}", encoding="utf-8")
    return root


def judge(root: Path, store: Path, guess: int | None = None, **changes: Any) -> Path:
    """Publish records of two folds that know the true label of every training image, but guess at one class."""
    data = open_dataset(f"folder:{root}")
    split = data.splits["train"]
    shop = Shop(count=len(split))
    shop.positions, shop.observed = np.arange(len(split)), split.labels
    order = [data.class_labels.index(name) for name in CLASSES]
    shop.true = np.array([order[int(Path(name).name[0])] for name in split.names])
    predicted = np.where(shop.true == guess, np.arange(len(split)) % 4, shop.true)
    for number in (1, 2):
        shop.fold(number, dataset=f"folder:{root}", noise="given", truth=False, **changes)
        outcomes = shop.outcomes[shop.records[-1].key]
        outcomes["probabilities"][:] = 0.05 + 0.8 * np.eye(4)[predicted[outcomes["unseen"]]]
        facts = {"class_names": data.class_names, "class_labels": data.class_labels, "digest": data.digest}
        visible = np.setdiff1d(np.arange(len(split)), outcomes["unseen"])
        rows = {"losses": np.zeros((1, len(split)), np.float32), "predictions": np.zeros((1, len(split)), np.int16)}
        key = f"{changes.get('shots', 0):08d}{number:08d}"
        record = changed(shop.records[-1], data=facts, key=key)
        Store(store).publish(record, {**outcomes, "visible": visible, **rows})
    return store
