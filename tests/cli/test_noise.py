"""`bench noise`: what is shown is what every method is given, and an exported mask gives the identical record."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.cli.main import invoke
from bench.cli.noise import DETAILED
from bench.contracts.noise import OUTSIDE, NoisyLabels, Sampled
from bench.engine.labellings import Combination, distinct
from bench.execution.labels import Drawing
from bench.grid.expansion import expand
from bench.grid.overrides import override
from bench.records.record import Record
from bench.records.store import Store
from bench.settings.schema import load_config
from tests.cells import make_cell

ONE = ["--set", "noise=symmetric", "--set", "rate=0.5", "--set", "seed=1"]
NAMES = ("ant", "bee", "crow")
Output = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def shown(capsys: Output, *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    assert invoke(["noise", "show", *arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def ran(store: str, *arguments: str) -> dict[str, Record]:
    """Records by method of a run of two epochs."""
    small = ["--set", "epochs=2", "--set", "eval_every=1", "--store", store, "--scheduler", "local"]
    assert invoke(["run", *small, *arguments]) == 0
    return {record.cell.method: record for record in Store(store).records()}


def combination(true: list[int], observed: list[int], truth: bool = True, **cell: Any) -> Combination:
    noisy = NoisyLabels(np.array(true), np.array(observed), len(NAMES), truth)
    sampled = Sampled(np.arange(len(true)), noisy)
    return Combination(make_cell(**cell), NAMES, {"train": sampled, "validation": sampled})


def given_as_shown(capsys: Output, records: Mapping[str, Record], *arguments: str) -> None:
    (found,) = shown(capsys, *ONE, *arguments)["combinations"]
    for record in records.values():
        noise = record.model_dump(mode="json")["noise"]
        for name, value in found["train"].items():
            assert noise[name] == value, name
        assert noise["validation"] == found["validation"]


@pytest.mark.slow
def test_what_is_shown_is_what_every_method_of_a_run_is_given(capsys: Output) -> None:
    records = ran("store", *ONE, "--set", "method=zero-shot,coop", "--workers", "2")
    assert sorted(records) == ["coop", "zero-shot"]
    given_as_shown(capsys, records)
    assert invoke(["noise", "show", *ONE]) == 0
    out = capsys.readouterr().out
    assert f"  {records['coop'].noise.digest[:12]}\n" in out
    assert "These are the samples and labels that every method is given" in out


@pytest.mark.slow
def test_importing_an_exported_mask_gives_the_identical_record(capsys: Output) -> None:
    methods = ["--set", "method=coop,nlprompt", "--set", "shots=4", "--workers", "1"]
    before = ran("one", *ONE, *methods)
    given_as_shown(capsys, before, "--set", "shots=4")
    assert invoke(["noise", "export", "--out", "folder/mask.csv", *ONE, "--set", "shots=4"]) == 0
    assert [path.name for path in Path("folder").iterdir()] == ["mask.csv"]
    assert "40 training and 40 validation labels in folder/mask.csv" in capsys.readouterr().out
    after = ran("two", "--set", "noise=mask[file=folder/mask.csv]", "--set", "seed=1", *methods)
    assert before.keys() == after.keys() == {"coop", "nlprompt"}
    for method, record in before.items():
        replay = after[method]
        assert replay.key != record.key
        assert replay.noise.mask.items() >= {"noise": "symmetric", "rate": 0.5, "seed": 1, "shots": 4}.items()
        for part in ("curve", "accuracy", "data", "diagnostics"):
            assert getattr(replay, part) == getattr(record, part), part
        for name, value in drawn_part(record.noise.model_dump()).items():
            assert json.dumps(drawn_part(replay.noise.model_dump())[name]) == json.dumps(value), name
        sidecars = [Store(store).outcomes(key) for store, key in (("one", record.key), ("two", replay.key))]
        assert all((sidecars[0][name] == sidecars[1][name]).all() for name in sidecars[0])


def drawn_part(noise: Mapping[str, Any]) -> dict[str, Any]:
    """What a record says of labels, without where they come from."""
    kept = {name: value for name, value in noise.items() if name not in ("kind", "rate", "mask")}
    return {**kept, "validation": {name: value for name, value in noise["validation"].items() if name != "mask"}}


def test_a_grid_is_one_row_per_labelling(capsys: Output) -> None:
    config = load_config()
    cells = distinct(expand(config, "quick"))
    assert len(cells) == 25
    assert invoke(["noise", "show"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["#", "data", "set", "noise"]
    assert len(lines) == 1 + 25 + 3
    for line, cell in zip(lines[1:], cells, strict=False):
        one = Drawing(config, "quick").draw(cell)
        assert line.endswith(one.noisy.digest[:12])
        if cell.rate:
            assert f" {100 * cell.rate:g}  " in line
            rates = one.noisy.per_class_rate or []
            assert f"{100 * min(rates):.1f} {one.class_names[int(np.argmin(rates))]} " in line
            assert f"{100 * max(rates):.1f} {one.class_names[int(np.argmax(rates))]} " in line
    assert f"narrow these to {DETAILED} or fewer" in lines[-2]


def test_one_labelling_is_shown_class_by_class(capsys: Output) -> None:
    assert invoke(["noise", "show", *ONE]) == 0
    out = capsys.readouterr().out
    one = Drawing(load_config(), "quick").draw(
        distinct(expand(override(load_config(), "quick", ONE[1::2]), "quick"))[0]
    )
    true, observed = one.noisy.true, one.noisy.observed
    for label, name in enumerate(one.class_names):
        wrong = int(((true == label) & (observed != label)).sum())
        row = next(line for line in out.splitlines() if line.startswith(f"{name} "))
        assert row.split() == [name, "16", str(wrong), f"{100 * wrong / 16:.1f}", str(int((observed == label).sum()))]
    best = max(one.confusions(), key=lambda pair: pair[2])
    assert f"{best[0]} -> {best[1]} {best[2]}" in out
    assert ((true == one.class_names.index(best[0])) & (observed == one.class_names.index(best[1]))).sum() == best[2]


def test_labellings_with_the_same_labels_are_flagged(capsys: Output) -> None:
    assert invoke(["noise", "export", "--out", "mask.csv", *ONE]) == 0
    assert "\nmask: dataset digits, data " in _text(capsys, "--set", "noise=mask[file=mask.csv]", "--set", "seed=1")
    both = ["--set", "noise=symmetric,mask[file=mask.csv]", "--set", "rate=0.5", "--set", "seed=1"]
    found = shown(capsys, *both)["combinations"]
    assert found[0]["same_labels_as"] == [found[1]["label"] and "digits · mask[file=mask.csv] · 16 shots · seed 1"]
    assert invoke(["noise", "show", *both]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("same labels as")
    assert (lines[1].split()[-1], lines[2].split()[-1]) == ("#2", "#1")
    assert "same labels as" not in _text(capsys, *ONE)
    text = _text(capsys, "--set", "noise=open-set", "--set", "rate=0.25,0.5", "--set", "seed=1")
    assert (text.splitlines()[1].split()[-1], text.splitlines()[2].split()[-1]) == ("#2*", "#1*")
    assert "*: of other images" in text
    assert " 100.0 outside " in text


def _text(capsys: Output, *arguments: str) -> str:
    assert invoke(["noise", "show", *arguments]) == 0
    return capsys.readouterr().out


def test_classes_without_a_clean_sample_are_named(capsys: Output) -> None:
    few = ["--set", "noise=symmetric", "--set", "rate=0.9", "--set", "seed=1", "--set", "shots=2"]
    found = shown(capsys, *few)["combinations"][0]
    lost = found["classes_without_clean_sample"]
    assert len(lost) >= 8
    assert f"without any clean sample: {', '.join(lost)}" in _text(capsys, *few)


def test_foreign_images_and_unknown_truth_are_counted_as_such() -> None:
    one = combination([0, 0, 1, OUTSIDE, OUTSIDE], [0, 1, 2, 2, 2])
    assert one.matrix.tolist() == [[1, 1, 0], [0, 0, 1], [0, 0, 0], [0, 0, 2]]
    assert one.confusions() == [("outside", "crow", 2), ("ant", "bee", 1), ("bee", "crow", 1)]
    assert one.unsupported == [1, 2]
    assert one.extremes == (0, 1), "a class without an image is not the lowest"
    blind = combination([0, 1], [0, 1], truth=False)
    assert (blind.confusions(), blind.unsupported, blind.extremes) == ([], [], None)


def test_a_folder_without_truth_is_shown_without_rates(capsys: Output) -> None:
    from PIL import Image

    for split, number in (("train", 4), ("validation", 2), ("test", 2)):
        for name in NAMES:
            Path("own", split, name).mkdir(parents=True)
            for index in range(number):
                Image.new("L", (4, 4), index + len(name)).save(Path("own", split, name, f"{index}.png"))
    given = ["--set", "dataset=folder:own", "--set", "seed=1", "--set", "shots=3"]
    text = _text(capsys, *given, "--set", "noise=given")
    assert "the true labels are unknown, so nothing can be compared with them" in text
    assert [line.split() for line in text.splitlines()[7:10]] == [[name, "3"] for name in NAMES]
    assert invoke(["noise", "export", "--out", "m.csv", *given, "--set", "noise=given"]) == 0
    assert "train/ant/" in Path("m.csv").read_text()
    both = shown(capsys, *given, "--set", "noise=given,mask[file=m.csv]")["combinations"]
    assert both[0]["train"]["realised_rate"] is None
    assert [both[1][split].pop("mask")["noise"] for split in ("train", "validation")] == ["given", "given"]
    assert [both[0][split] for split in ("train", "validation")] == [both[1][s] for s in ("train", "validation")]


def test_what_cannot_be_drawn_is_a_note_unless_it_is_all(capsys: Output) -> None:
    assert invoke(["noise", "show", "--set", "noise=none,superclass", "--set", "rate=0.5", "--set", "seed=1"]) == 0
    printed = capsys.readouterr()
    assert "digits    none" in printed.out
    assert printed.err.startswith("note: digits · superclass 0.5: ")
    assert invoke(["noise", "show", "--set", "noise=superclass", "--set", "rate=0.5"]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_figures_hold_the_numbers_they_show(capsys: Output) -> None:
    found = shown(capsys, "--set", "noise=none,symmetric", "--set", "seed=1", "--out", "figures")
    names = sorted(path.name for path in Path("figures").iterdir())
    assert sorted(Path(file).name for file in found["files"]) == names
    stems = {name.rpartition(".")[0] for name in names}
    assert stems == {
        "nesting-digits_16_shots_seed_1",
        *(f"noise-digits-16shots-seed1-symmetric_{rate}" for rate in ("0.25", "0.5")),
    }
    assert names == sorted(f"{stem}.{suffix}" for stem in stems for suffix in ("csv", "pdf", "png", "svg"))
    rows = table("figures/noise-digits-16shots-seed1-symmetric_0.5.csv")
    wrong = [r for r in rows if r["panel"] == "confusion" and r["true"] != r["observed"]]
    assert sum(int(float(row["value"])) for row in wrong) == found["combinations"][2]["train"]["mislabeled"] == 80
    shares = [float(row["value"]) / 100 for row in rows if row["panel"] == "wrong_percent"]
    assert shares == pytest.approx(found["combinations"][2]["train"]["per_class_rate"], abs=1e-6)
    states = table("figures/nesting-digits_16_shots_seed_1.csv")
    count = {(r["rate"], r["state"]): 0 for r in states}
    for row in states:
        count[row["rate"], row["state"]] += 1
    assert count == {
        ("0.25", "wrong"): 40, ("0.25", "correct"): 120, ("0.5", "wrong"): 80, ("0.5", "correct"): 80,
    }  # fmt: skip


def table(file: str) -> list[dict[str, str]]:
    return list(csv.DictReader(Path(file).read_text().splitlines()))


def test_a_label_that_is_not_kept_at_a_higher_rate_shows() -> None:
    from bench.reports.figures.label_noise import STATES, nesting

    low, high = combination([0, 0, 1, 2], [1, 0, 2, 2]), combination([0, 0, 1, 2], [1, 2, 0, 2])
    states, samples = nesting([low, high])
    assert samples == ["0", "2", "1", "3"], "in the order in which they become wrong"
    assert [[STATES[state] for state in row] for row in states] == [
        ["wrong", "wrong", "correct", "correct"],
        ["wrong", "changed", "wrong", "correct"],
    ]


def test_figures_of_few_and_many_classes_of_foreign_images_and_of_unknown_truth() -> None:
    from bench.reports.figures.label_noise import draw_noise

    many = NoisyLabels(np.arange(250), (np.arange(250) + 1) % 250, 250)
    sampled = Sampled(np.arange(250), many)
    names = tuple(f"class {number}" for number in range(250))
    large = Combination(make_cell(noise="large"), names, {"train": sampled, "validation": sampled})
    some = [
        combination([0, 1, OUTSIDE], [0, 2, 1], noise="open"),
        combination([0, 1, 2], [0, 1, 2], truth=False, noise="given"),
        combination([0, 1, 2], [0, 1, 2], noise="none"),
        combination([0, 1, 2], [1, 1, 2], noise="mask[file=a/m.csv]"),
        combination([0, 1, 2], [1, 1, 2], noise="mask[file=b/m.csv]"),
        large,
    ]
    files = draw_noise(some, Path("figures"))
    assert sorted({file.stem for file in files}) == [
        "noise-toy-4shots-seed1-given", "noise-toy-4shots-seed1-large", "noise-toy-4shots-seed1-mask_file_m.csv",
        "noise-toy-4shots-seed1-mask_file_m.csv-2", "noise-toy-4shots-seed1-open",
    ]  # fmt: skip
    assert sorted(Path("figures").iterdir()) == sorted(files)
    assert "outside,bee,1" in Path("figures/noise-toy-4shots-seed1-open.csv").read_text()
    assert "observed,,bee,1" in Path("figures/noise-toy-4shots-seed1-given.csv").read_text()


def test_figures_of_data_sets_that_are_called_alike_are_all_there() -> None:
    from bench.reports.figures.label_noise import draw_noise

    some = [
        combination([0, 1, 2], observed, dataset=f"folder:{name}", noise="symmetric", rate=rate)
        for name in ("x/mine", "y/mine", "写真", "画像")
        for rate, observed in ((0.3, [1, 1, 2]), (0.6, [1, 2, 2]))
    ]
    stems = sorted({file.stem for file in draw_noise(some, Path("figures"))})
    assert [stem for stem in stems if stem.startswith("nesting")] == [
        "nesting-folder_4_shots_seed_1", "nesting-folder_4_shots_seed_1-2",
        "nesting-folder_mine_4_shots_seed_1", "nesting-folder_mine_4_shots_seed_1-2",
    ]  # fmt: skip
    assert len(stems) == 4 + len(some)


def test_showing_labels_needs_no_torch() -> None:
    assert invoke(["noise", "show", *ONE]) == 0  # the options of the grid's methods are remembered from here on
    program = (
        "import sys; from bench.cli.main import invoke\n"
        f"code = invoke(['noise', 'show', *{ONE!r}])\n"
        "sys.exit(repr((code, {'ray', 'matplotlib'} & set(sys.modules))))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "(0, set())"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "--grid", "quik"], 'unknown grid "quik"; did you mean "quick"?'),
        (["show", "--set", "noise=symetric"], 'unknown noise "symetric"; did you mean "symmetric"?'),
        (["show", "--out", "file"], '--out "file" is a file; give a folder for the figures.'),
        (["show", *ONE, "--out", "file/below"], '"file/below" cannot be written: Not a directory'),
        (["show", "--set", "noise=mask[file=none.csv]"], 'file "none.csv" cannot be read: No such file'),
        (["show", "--set", "noise=mask"], "write mask[file=PATH]"),
        (["show", "--set", "noise=mask[fil=m]"], 'has no option "fil"; did you mean "file"?'),
        (["show", "--set", "noise=mask[file=file]"], "has no rows"),
        (["export"], "--out"),
        (["export", "--out", "m.csv"],
         "one labelling, these options give 25; narrow them: --set noise=asymmetric --set rate=0.5 --set seed=5."),
        (["export", "--out", ".", *ONE], '--out "." is a folder; give the name of a file, for example ./mask.csv.'),
        (["export", "--out", "file/m.csv", *ONE], 'mask "file/m.csv" cannot be written'),
        (["sho"], "No such command 'sho'"),
        ([], "Missing command"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_nothing_is_written(arguments: list[str], message: str, capsys: Output) -> None:
    Path("file").write_text("")
    assert invoke(["noise", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert message in printed.err
    assert [path.name for path in Path().rglob("*")] == ["file"]
