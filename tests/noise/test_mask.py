"""Masks: what is exported is replayed bit by bit, masks from elsewhere are read, and mistakes are one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.contracts import mask_file
from bench.contracts.dataset import Dataset, Split, SplitName
from bench.contracts.noise import OUTSIDE, Sampled
from bench.data import library
from bench.engine import mask_export
from bench.engine.labelling import draw, scene_of
from bench.errors import BenchError
from bench.grid.expansion import expand
from bench.grid.options import noise_identity
from bench.grid.overrides import override
from bench.records.cell import Cell
from bench.settings.schema import load_config
from tests.cells import make_cell
from tests.noise.scenes import drawn, scene

FEW: tuple[SplitName, ...] = ("train", "validation")
NAMES = ("ant", "bee", "crow")


class Toy(Dataset):
    """Twelve images of three classes in each split, named like files."""

    class_names = NAMES
    templates = ("a photo of a {}.",)
    licence = source = "none"
    digest = "toy"
    truth = True

    def load(self, split: SplitName) -> Split:
        images: Any = range(12)
        return Split(images, np.arange(12) % 3, [f"{split}/{n:02d}, small.jpg" for n in range(12)], truth=self.truth)


class Untold(Toy):
    """The same with labels of unknown truth."""

    truth = False


def few_of(dataset: Dataset, cell: Cell) -> dict[SplitName, Sampled]:
    return {split: draw(scene_of(dataset, cell, split), cell) for split in FEW}


def export(dataset: Dataset, cell: Cell, file: Path) -> dict[SplitName, Sampled]:
    few = few_of(dataset, cell)
    mask_file.write(file, *mask_export.mask_of(cell, dataset, few, library.open_dataset))
    return few


def same(one: Sampled, other: Sampled) -> None:
    own = np.ones(len(one.positions), bool) if one.foreign is None else one.foreign.positions < 0
    assert (one.positions == other.positions)[own].all()
    assert one.noisy.summary() == other.noisy.summary()
    assert one.noisy.true.dtype == other.noisy.true.dtype == one.noisy.observed.dtype == other.noisy.observed.dtype
    assert (one.noisy.true == other.noisy.true).all()
    assert one.short == other.short
    assert (one.foreign is None) == (other.foreign is None)
    if one.foreign is not None and other.foreign is not None:
        assert one.foreign.dataset == other.foreign.dataset
        assert (one.foreign.positions == other.foreign.positions).all()


@pytest.mark.parametrize(
    ("noise", "rate", "shots"),
    [("none", 0.0, 4), ("symmetric", 0.5, 16), ("asymmetric", 0.29, 3), ("replacement", 0.5, 16), ("open-set", 0.4, 8),
     ("symmetric", 0.75, 200)],
)  # fmt: skip
def test_a_replayed_mask_is_what_was_exported(noise: str, rate: float, shots: int, tmp_path: Path) -> None:
    cell = make_cell(dataset="digits", noise=noise, rate=rate, shots=shots, seed=3)
    digits, file = library.open_dataset("digits"), tmp_path / "mask.csv"
    few = export(digits, cell, file)
    replay = cell.model_copy(update={"noise": f"mask[file={file}]", "rate": 0.0, "seed": 4})
    again = few_of(digits, replay)
    for split in FEW:
        same(few[split], again[split])
    origin = dict(again["train"].facts["mask"])
    assert origin.pop("data") == digits.digest
    rated = {} if noise == "none" else {"rate": rate}
    assert origin == {"dataset": "digits", "noise": noise, **rated, "shots": shots, "seed": 3}
    mask_file.write(tmp_path / "again.csv", *mask_export.mask_of(replay, digits, again, library.open_dataset))
    assert (tmp_path / "again.csv").read_bytes() == file.read_bytes(), "a mask of a mask is the same file"
    if shots == 200:
        assert few["train"].short
    if noise == "open-set":
        assert few["train"].foreign is not None


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 99), rate=st.sampled_from([0.1, 0.5, 0.9]), shots=st.integers(1, 6), known=st.booleans())
def test_any_labels_survive_the_file(seed: int, rate: float, shots: int, known: bool, tmp_path: Path) -> None:
    dataset = Toy() if known else Untold()
    cell = make_cell(noise="symmetric" if known else "symmetric[on_top=true]", rate=rate, shots=shots, seed=seed)
    few = export(dataset, cell, tmp_path / "mask.csv")
    for split, again in few_of(dataset, make_cell(noise=f"mask[file={tmp_path}/mask.csv]", shots=shots)).items():
        assert (again.positions == few[split].positions).all()
        assert again.noisy.summary() == few[split].noisy.summary()
        assert again.noisy.truth is known


def test_the_file_is_plain_csv_without_a_path_of_this_machine(tmp_path: Path) -> None:
    table = tmp_path / "matrix.csv"
    table.write_text("0,1,0\n0,0,1\n1,0,0\n")
    cell = make_cell(noise=f"matrix[file={table}]", shots=2)
    few = export(Toy(), cell, tmp_path / "mask.csv")
    lines = (tmp_path / "mask.csv").read_text().splitlines()
    head = lines.index("split,path,true_label,observed_label")
    assert lines[:5] == [
        "# mask: 1", "# dataset: toy", "# data: toy", "# noise: matrix",
        '# options: {"file": "' + str(noise_identity(cell.noise)["options"]["file"]) + '"}',
    ]  # fmt: skip
    assert f"# labels train: {few['train'].noisy.digest}" in lines[:head]
    assert str(tmp_path) not in "\n".join(lines)
    assert len(lines) - head - 1 == 12
    first = int(few["train"].positions[0])
    true, observed = NAMES[first % 3], NAMES[int(few["train"].noisy.observed[0])]
    assert lines[head + 1] == f'train,"train/{first:02d}, small.jpg",{true},{observed}'


def test_a_clean_twin_is_no_part_of_a_mask(tmp_path: Path) -> None:
    cell = make_cell(noise="symmetric", rate=0.5, shots=2, validation="clean")
    export(Toy(), cell, tmp_path / "mask.csv")
    assert "validation" not in (tmp_path / "mask.csv").read_text()
    replay = make_cell(noise=f"mask[file={tmp_path}/mask.csv]", shots=2)
    with pytest.raises(BenchError, match='no rows of the validation split; add some, or set validation = "clean"'):
        few_of(Toy(), replay)
    few = few_of(Toy(), replay.model_copy(update={"validation": "clean"}))
    assert not few["validation"].noisy.mislabeled.any()


def toy_scene(truth: bool = True) -> Any:
    dataset = Toy() if truth else Untold()
    return scene([0], 3, class_names=NAMES, split=dataset.splits["train"], open_dataset=library.open_dataset)


def read(tmp_path: Path, text: str, truth: bool = True) -> Sampled:
    (tmp_path / "m.csv").write_text(text, encoding="utf-8", newline="")
    return drawn("mask", toy_scene(truth), 0.0, file=str(tmp_path / "m.csv"))


@pytest.mark.parametrize(
    "text",
    [
        'path,observed_label\n"train/04, small.jpg",crow\n"train/02, small.jpg",Crow\n',
        'observed_label,note,path\r\n2,x,"train/04, small.jpg"\r\n\r\n2,y,"train/02, small.jpg"\r\n',
        "index,label\n4,crow\n2,crow\n",
        "\ufeff# a mask from elsewhere\n#rate: 40 %\nindex,label,true_label\n4,2,1\n2,2,\n",
        "split,index,label\nvalidation,0,bee\ntrain,4,crow\ntrain,2,crow\n",
    ],
)
def test_a_mask_from_elsewhere(text: str, tmp_path: Path) -> None:
    sampled = read(tmp_path, text)
    assert sampled.positions.tolist() == [4, 2]
    assert sampled.noisy.observed.tolist() == [2, 2]
    assert sampled.noisy.true.tolist() == [1, 2], "true labels are the data set's own"
    assert sampled.facts["mask"] == ({"rate": "40 %"} if "rate" in text else {})


def test_true_labels_of_the_file_stand_in_where_the_data_have_none(tmp_path: Path) -> None:
    told = read(tmp_path, "index,true_label,label\n4,bee,crow\n2,ant,crow\n", truth=False)
    assert (told.noisy.truth, told.noisy.true.tolist(), told.noisy.realised_rate) == (True, [1, 0], 1.0)
    half = read(tmp_path, "index,true_label,label\n4,bee,crow\n2,,crow\n", truth=False)
    assert (half.noisy.truth, half.noisy.realised_rate) == (False, None)


def test_foreign_images_have_no_true_label(tmp_path: Path) -> None:
    text = '# foreign: digits\npath,true_label,observed_label\ndigits:000007,,bee\n"train/04, small.jpg",bee,bee\n'
    sampled = read(tmp_path, text)
    assert sampled.noisy.true.tolist() == [OUTSIDE, 1]
    assert sampled.foreign is not None
    assert sampled.foreign.positions.tolist() == [7, -1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no rows; expected one per sample"),
        ("path,observed_label\n", "has no rows; expected one per sample"),
        ("# only: this\n", "has no rows; expected one per sample"),
        ("file,observed_label\n1,2\n", "has no column path (or index); found file, observed_label; add it."),
        ("path,observed_lable\n1,2\n", "has no column observed_label (or label); found path, observed_lable; add it."),
        ("index,label\n1,bee,3\n", "line 2: 3 values, expected 2"),
        ('index,label\n1,"bee\n', "is no CSV: unexpected end of data"),
        ("index,label\n1,\n", "line 2: the observed label is empty; write a class."),
        ("index,label\n1,beee\n", 'line 2: observed label "beee" is not a class of digits; did you mean "bee"?'),
        ("index,label\n1,1\n2,7\n", 'line 3: observed label "7" is not a class of digits; expected 0 to 2.'),
        ("index,true_label,label\n1,bat,bee\n", 'true label "bat" is not a class of digits; did you mean "ant"?'),
        ("index,label\n1,bee\n12,bee\n-1,bee\n", '2 of 3 images are not in the train split of digits, the first is '
         '"12" (line 3); expected 0 to 11.'),
        ("path,label\nx.jpg,bee\n", '1 of 1 images are not in the train split of digits, the first is "x.jpg" '
         '(line 2); expected names like "train/00, small.jpg".'),
        ("index,label\n1,bee\n2,ant\n1,crow\n", '1 rows name an image a second time, the first is "1" (line 4)'),
        ("index,true_label,label\n1,bee,bee\n2,bee,bee\n", 'of other data or of another order: 1 of 2 true labels are '
         'not those of the train split of digits, the first is "bee" for "2" (line 3), which is crow.'),
        ("split,index,label\nvalidation,1,bee\n", "has no rows of the train split; add some."),
        ("split,index,label\ntest,1,bee\n", 'line 2: split "test"; known: train, validation.'),
        ("# shots: 4\nindex,label\n1,bee\n", "is of 4 shots, the cell has 1; set shots = 4."),
        ("# labels train: 00\nindex,label\n1,bee\n", 'take the file as it was, or remove the line "labels train"'),
        ("# repeated train: 2\nindex,label\n1,bee\n1,bee\n", "1 rows name an image a second time"),
        ('# short train: {"bat": 1}\nindex,label\n1,bee\n', 'its line "short train" is not a JSON table of classes'),
        ("# foreign: digits\nindex,label\ndigits:9999,bee\n", "1 of 1 images are not in the train split"),
        ("# foreign: digit\nindex,label\ndigit:1,bee\n", 'unknown dataset "digit"; did you mean "digits"?'),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(BenchError) as error:
        read(tmp_path, text)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "m.png").write_bytes(b"\x89PNG\r\n\x1a\n\xff")
    for file, message in (("m.png", "is not UTF-8 text"), ("none.csv", "cannot be read"), ("", "cannot be read")):
        with pytest.raises(BenchError, match=message):
            drawn("mask", toy_scene(), 0.0, file=str(tmp_path / file))
    with pytest.raises(BenchError, match=r"write mask\[file=PATH\]"):
        drawn("mask", toy_scene(), 0.0)


def test_an_image_that_no_text_can_name_is_told(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r'mask row "train,caf\\udce9.jpg,ant,bee": the name of the image'):
        mask_file.write(tmp_path / "m.csv", {}, [["train", "caf\udce9.jpg", "ant", "bee"]])
    assert not list(tmp_path.iterdir())


def test_the_key_depends_on_the_content_of_the_file_and_not_on_its_name(tmp_path: Path) -> None:
    def key(file: Path) -> str:
        sets = [f"noise=mask[file={file}]", "method=zero-shot", "seed=1"]
        cells = expand(override(load_config(), "quick", sets), "quick").cells
        assert len(cells) == 1
        return cells[0].key

    for name, label in (("a.csv", "one"), ("b.csv", "one"), ("c.csv", "two")):
        (tmp_path / name).write_text(f"index,label\n1,{label}\n")
    keys = [key(tmp_path / name) for name in ("a.csv", "b.csv", "c.csv")]
    assert keys[0] == keys[1] != keys[2]
