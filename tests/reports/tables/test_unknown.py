"""Reports where nobody knows which labels are wrong, and kinds of noise that have no rate."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from bench.execution.summary import AGREEMENT, summary_rows
from bench.records.parts import Data
from bench.records.record import Record
from bench.reports.build import build_report
from bench.reports.document import Table
from bench.reports.figures.folder import FigureFolder
from bench.reports.frame import tidy
from bench.reports.front_page import unfinished
from bench.reports.names import AS_IS
from bench.reports.tables.accuracy import accuracy_tables
from bench.reports.tables.averages import dataset_groups
from bench.reports.tables.cost import cost_tables
from bench.reports.tables.training import agreement_tables, memorization_tables
from bench.schedulers.work import lost_record
from tests.reports.drawing import draw_records
from tests.reports.factory import cell, grid, record

PLACE = "folder:somewhere/photos"
REASON = "the truth is unknown, so no clean subset can be told apart"
SEEN = [0.1, 0.2, 0.5]


def unknown(
    columns: tuple[str, ...] = ("none", "given"), place: str = PLACE, test_truth: bool = True, digest: str = "abcdef01"
) -> list[Record]:
    """A folder without truth: CoOp, NLPrompt, which splits the samples, and the oracle row that has to be skipped."""
    records = []
    for made in grid(("coop", "nlprompt"), (1, 2), [(kind, 0.0) for kind in columns], oracle=False, epochs=2,
                     dataset=place):  # fmt: skip
        nothing = dict.fromkeys(("memorized", "recovered", "neither", "train_clean_accuracy"), [None] * 3)
        seen = [share + (0.2 if made.cell.method == "coop" else 0) for share in SEEN]
        split = [None, 20, 30] if made.cell.method == "nlprompt" else [None] * 3
        made.curve = made.curve.model_copy(update={**nothing, "train_given_accuracy": seen, "split_size": split})
        records.append(made)
    records += [record(cell("coop", "given", 0.0, seed, subset="clean", epochs=2, dataset=place), status="skipped",
                       reason=REASON) for seed in (1, 2) if "given" in columns]  # fmt: skip
    for made in records:
        made.noise.truth = False
        made.data = Data(test_truth=test_truth, digest=digest, train=40, notes=["Held out."])
    return records


def without_rate(columns: tuple[str, ...]) -> list[Record]:
    """The truth is known, and kinds of noise without rates stand beside one with them."""
    records = grid(("zero-shot", "coop"), (1, 2), [("none", 0.0), ("symmetric", 0.5), *((k, 0.0) for k in columns)],
                   oracle=False, epochs=2)  # fmt: skip
    for made in records:
        made.noise.truth = True
        if made.cell.noise in columns:
            made.curve.memorized = [0.1, 0.2, 0.3]
    return records


def labels(table: Table, section: int) -> list[str]:
    return [row.label for row in table.sections[section].rows]


def test_nothing_is_said_of_memorization_and_agreement_takes_its_place() -> None:
    frame = tidy(unknown())
    assert memorization_tables(frame) == []
    (table,) = agreement_tables(frame)
    assert table.head == (("", "Labels as they are"), ("", "Given"))
    assert [section.title.partition(" ")[0] for section in table.sections] == ["Predicted", "Agrees", "Taken"]
    agreement, excess, split = (section.rows for section in table.sections)
    assert [row.entries[1].mean for row in agreement[:2]] == pytest.approx([70, 50])
    assert [row.entries[1].mean for row in excess[:2]] == pytest.approx([40, 40])
    assert agreement[2].entries[1].signs == "S"
    assert labels(table, 2) == ["NLPrompt"], "methods that split the samples alone"
    assert split[0].entries[0].mean == pytest.approx(75)
    assert any("better neither high nor low" in note for note in table.notes)


def test_what_is_known_has_no_table_of_agreement() -> None:
    frame = tidy(grid())
    assert agreement_tables(frame) == []
    assert len(memorization_tables(frame)) == 1


def test_the_skipped_oracle_is_shown_with_its_reason_and_borrows_no_number() -> None:
    records = unknown()
    (table,) = accuracy_tables(tidy(records))
    (oracle,) = table.sections[-1].rows
    assert [(entry.printed, entry.signs) for entry in oracle.entries] == [("–", ""), ("–", "S")]
    assert f"S: skipped, because {REASON}." in table.notes
    left = unfinished(tidy(records))
    assert list(left["status"]) == ["skipped", "skipped"], "labels as they are have no clean subset, so none is missing"


def test_a_test_split_of_given_labels_has_no_accuracy() -> None:
    frame = tidy(unknown(test_truth=False))
    (table,) = accuracy_tables(frame)
    (cost,) = cost_tables(frame)
    assert table.caption[0].startswith("Agreement with given test labels (%)")
    assert not any("ccuracy" in sentence for sentence in table.caption)
    assert any("as noisy" in note for note in table.notes)
    assert cost.head[0] == ("", "Agreement (%)")
    (known,) = accuracy_tables(tidy(unknown()))
    assert known.caption[0].startswith("Test accuracy (%)")
    assert not any("as noisy" in note for note in known.notes)


def test_the_front_page_says_what_cannot_be_measured(tmp_path: Path) -> None:
    records = unknown()
    for made in records:
        made.data.skipped_images = ["train/a/x.png", "train/a/y_1.png"]
    build_report(records, tmp_path / "own", defaults={}, figures=0)
    text = (tmp_path / "own" / "report.md").read_text(encoding="utf-8")
    assert "8 of 10 recorded cells finished, 2 were skipped." in text
    assert "Nobody knows which training labels are wrong here" in text
    assert "Held out. 2 images that cannot be decoded were left out, first train/a/x.png." in text
    assert "are replaced" not in text
    assert "*Memorized*" not in text
    assert f"skipped at Given (seeds 1, 2), because {REASON}." in text
    assert "## Skipped" in text
    assert not (tmp_path / "own" / "tables" / "memorization.csv").exists()
    rows = pd.read_csv(tmp_path / "own" / "tables" / "records.csv")
    assert set(rows["noise"]) == {"none", "given"}
    assert not rows["truth"].any()
    assert set(rows["dataset"]) == {"folder:photos"}, "no path of the machine"
    assert set(pd.read_csv(tmp_path / "own" / "tables" / "agreement.csv")["measure"]) == {
        "train_given_accuracy", "train_given_accuracy_excess", "split_share",
    }  # fmt: skip

    both = [*unknown(test_truth=False), *grid(("coop",), epochs=2)]
    build_report(both, tmp_path / "both", defaults={}, figures=0)
    text = (tmp_path / "both" / "report.md").read_text(encoding="utf-8")
    assert text.count("Nobody knows which") == 1
    assert "are as noisy" in text
    assert "*Memorized*" in text
    assert (tmp_path / "both" / "tables" / "memorization.csv").exists()


def test_the_figure_of_agreement(tmp_path: Path) -> None:
    drawn = draw_records(unknown(test_truth=False), FigureFolder(tmp_path, ("svg",)))
    assert {"accuracy", "agreement"} <= {one.kind for one in drawn}
    assert not {"memorization", "losses", "splits"} & {one.kind for one in drawn}
    drawn = [next(one for one in drawn if one.kind == kind) for kind in ("accuracy", "agreement")]
    data = pd.read_csv(drawn[1].files[-1])
    assert set(data["quantity"]) == {"train_given_accuracy", "test_accuracy"}
    assert set(data["noise"]) == {AS_IS, "given"}
    coop = data[(data["label"] == "CoOp") & (data["quantity"] == "train_given_accuracy") & (data["noise"] == "given")]
    assert list(coop["mean"]) == pytest.approx([30, 40, 70])
    shown = drawn[0].files[0].read_text(encoding="utf-8")
    assert "Labels as they are" in shown
    assert "Agreement with given test labels (%)" in shown
    assert "clean subset" not in shown, "a row without a number is no line of the legend"


def test_kinds_without_a_rate_are_measured_and_drawn_side_by_side(tmp_path: Path) -> None:
    records = without_rate(("human", "human[labels=aggregate]"))
    frame = tidy(records)
    (accuracy,), (memorization,) = accuracy_tables(frame), memorization_tables(frame)
    human = ("Human", "labels worst"), ("Human", "labels aggregate")
    assert accuracy.head == (("", "Clean"), ("Symmetric", "50 %"), *human)
    assert memorization.head == accuracy.head[1:]
    assert memorization.sections[0].rows[1].entries[1].mean == pytest.approx(30)
    overview, levels = draw_records(records, tmp_path, "overview", "accuracy")
    data = pd.read_csv(levels.files[-1])
    fixed = data[data["panel"] == "kinds without a rate"]
    assert list(dict.fromkeys(fixed["noise"])) == ["none", "human", "human[labels=aggregate]"]
    assert set(data["panel"]) == {"symmetric", "kinds without a rate"}
    assert "at symmetric 50 %" in overview.caption
    only = [made for made in records if made.cell.noise != "symmetric"]
    overview, levels = draw_records(only, tmp_path, "overview", "accuracy")
    assert "against the kind of noise" in overview.caption
    assert set(pd.read_csv(levels.files[-1])["panel"]) == {"kinds without a rate"}


def test_many_kinds_without_a_rate_share_a_table() -> None:
    columns = ("given", *(f"human[labels={name}]" for name in "abcdef"))
    tables = accuracy_tables(tidy(without_rate(columns)))
    assert [table.name.rpartition("epochs-")[2] for table in tables] == ["symmetric", "without-rate"]
    assert [len(table.head) for table in tables] == [2, 8]
    assert all("[" not in table.name for table in tables)


def test_folders_of_one_name_and_other_content_are_two_settings() -> None:
    one, two = unknown(digest="1" * 64), unknown(place="folder:elsewhere/photos", digest="2" * 64)
    frame = tidy([*one, *two])
    assert set(frame["dataset"]) == {"folder:photos (111111)", "folder:photos (222222)"}
    assert len(agreement_tables(frame)) == 2
    assert set(tidy(one)["dataset"]) == {"folder:photos"}


def test_a_lost_cell_stands_in_the_column_of_its_finished_seeds() -> None:
    records = [one for one in unknown(("none",)) if (one.cell.method, one.cell.seed) != ("coop", 2)]
    frame = tidy([*records, lost_record("e" * 16, cell("coop", seed=2, epochs=2, dataset=PLACE), "failed", "died")])
    assert accuracy_tables(frame)[0].head == (("", "Labels as they are"),)
    missing = unfinished(frame)
    assert missing[["label", "noise", "seed", "status"]].to_numpy().tolist() == [["CoOp", AS_IS, 2, "failed"]]


def test_a_lost_cell_of_other_noise_takes_the_truth_of_its_setting() -> None:
    lost = lost_record("e" * 16, cell("coop", "symmetric", 0.5, seed=2, epochs=2, dataset=PLACE), "failed", "died")
    frame = tidy([*unknown(("none",)), lost])
    assert not frame["truth"].any()
    assert memorization_tables(frame) == []


def test_a_lost_cell_does_not_make_accuracy_of_agreement_with_noisy_test_labels() -> None:
    right = [record(cell(method, seed=seed, epochs=2)) for method in ("coop", "nlprompt") for seed in (1, 2)]
    noisy = unknown(("none",), place="folder:letters", test_truth=False)
    for one in noisy:
        one.noise.truth = True
    lost = lost_record("0" * 16, cell("zero-shot", epochs=2, dataset="folder:letters"), "failed", "died")
    for records in ([*right, *noisy], [*right, lost, *noisy]):
        frame = tidy(records)
        assert list(dataset_groups(frame)) == []
        titles = [table.title for table in accuracy_tables(frame)]
        assert [title.partition(" (")[0] for title in titles] == ["Test accuracy", "Agreement with given test labels"]
    assert {row[0] for row in summary_rows([*noisy, lost])[1]} == {f"folder:letters · {AGREEMENT}"}
