"""What differs between a published protocol and ours is named at the row, and nothing unknown is taken for equal."""

from __future__ import annotations

from typing import Any

import pytest

from bench.reports.build import option_defaults
from bench.reports.frame import tidy
from bench.reports.published.match import NEARLY, SAME, comparisons
from bench.reports.published.numbers import load
from tests.reports.factory import changed
from tests.reports.published.small import SMALL, full, held, of, of_number, thrice


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"views": 0}, "plain images here, new random crops and flips in every epoch there"),
        ({"views": 4}, "4 stored views of each image here, new random crops and flips in every epoch there"),
        ({"backbone": "RN50/openai@weights.pt"}, "weights of the backbone from a file here"),
        ({"drop_last": True}, "incomplete batches kept there, dropped here"),
    ],
)
def test_what_differs_without_forbidding_the_comparison_is_told(changes: dict[str, Any], difference: str):
    row = of_number(held(thrice("coop", "symmetric", 0.5, 71.0, **changes)), "main", 70.25)
    assert (row["grade"], row["differences"]) == (NEARLY, difference)


@pytest.mark.parametrize(
    ("before", "after", "difference"),
    [
        ("epochs = 50, ", "", "epochs (50 here) not stated there"),
        (
            "epochs = 50, batch_size = 32, learning_rate = 0.002, ",
            "",
            "epochs (50 here), batch size (32 here) and learning rate (0.002 here) not stated there",
        ),
        (
            ', schedule = "cosine", weight_decay = 5e-4',
            "",
            "schedule (cosine here) and weight decay (0.0005 here) not stated there",
        ),
        ('precision = "single"\n', "", "precision not stated there (float32 here)"),
        ('precision = "single"', 'precision = "half"', "half precision there, float32 here"),
        ('precision = "single"', 'precision = { CoOp = "mixed" }', "mixed precision there, float32 here"),
        ('precision = "single"', 'precision = { GCE = "single" }', "precision not stated there (float32 here)"),
        ("drop_last = false\n", "", "whether incomplete batches are dropped not stated there (kept here)"),
        ("drop_last = false", "drop_last = true", "incomplete batches dropped there, kept here"),
        ("augmented = true", "augmented = false", "50 stored views of each image here, plain images there"),
        ("seeds = 3, ", "seeds = 4, ", "4 seeds there, 3 here"),
        ("seeds = 3, ", "seeds = 1, ", "1 seed there, 3 here"),
        ("deviation =", "seeds = [4, 5, 6]\ndeviation =", "seeds 4, 5 and 6 there, 1, 2 and 3 here"),
        (
            '"CoOp" = { variant = "coop" }',
            '"CoOp" = { variant = "coop", unstated = ["context"] }',
            "context of the method",
        ),
        ("seeds = 3, ", "", "number of seeds not stated there"),
        ('selection = "last"\n', "", "which epoch's accuracy not stated there (the last here)"),
        ("augmented = true\n", "", "image augmentation not stated there (50 stored views of each image here)"),
        ('split = "coop"\nbackbone', "backbone", "split of the data set not stated there"),
        ("augmented = true\n", 'augmented = true\ncaveats = [{ text = "by hand" }]\n', "by hand"),
    ],
)
def test_what_is_not_stated_is_told_and_never_taken_for_equal(before: str, after: str, difference: str):
    assert before in SMALL
    text = SMALL.replace(before, after, 1)
    row = of_number(held(thrice("coop", "symmetric", 0.5, 71.0), text), "main", 70.25)
    assert row["grade"] == NEARLY
    assert row["differences"].startswith(difference)
    assert ";" not in row["differences"]


def test_a_doubtful_number_is_never_the_same_protocol():
    text = SMALL.replace('doubt = ["odd"], rates', 'doubt = ["odd"], seeds = 3, rates')
    row = of_number(held(thrice("coop", "symmetric", 0.75, 41.0), text), "main", 40.0)
    assert (row["grade"], row["doubt"], row["differences"]) == (NEARLY, "odd", "")


def test_a_repaired_defect_of_the_reference_is_told():
    text = SMALL.replace('variant = "coop" }', 'variant = "nlprompt" }')
    for faithful, grade in ((False, NEARLY), (True, SAME)):
        made = thrice("nlprompt", "symmetric", 0.5, 71.0, options=full("nlprompt", faithful=faithful))
        row = of_number(held(made, text), "main", 70.25)
        assert row["grade"] == grade
        assert ("defects of the reference" in row["differences"]) == (grade == NEARLY)


def test_half_precision_is_a_difference_and_nothing_else_of_a_replayed_log():
    """NLPrompt's code, run by others with seed 1: with its defects, views and batches only the precision differs."""
    options = full("nlprompt", faithful=True)
    given = {"epochs": 200, "views": 200, "drop_last": True, "budget": "paper", "options": options}
    known = option_defaults({"nlprompt"})
    for seeds, differences in (((1,), ""), ((2,), "; seed 1 there, 2 here"), ((1, 2), "; 1 seed there, 2 here")):
        made = [of("nlprompt", "symmetric", 0.5, 88.0, seed, **given) for seed in seeds]
        rows = comparisons(tidy(made, known), made, load(), known)
        (row,) = rows[rows["sheet"] == "nlprompt-rerun"].query("grade == @NEARLY").to_dict("records")
        assert row["published"] == 88.8
        assert row["differences"] == f"half precision there, float32 here{differences}"


def test_the_labels_of_the_validation_set_are_asked_where_a_method_chooses_by_them():
    text = SMALL.replace('variant = "coop" }', 'variant = "linear-probe" }')
    for validation, there, said in (
        ("noisy", 'validation = "clean"\n', "labels of the validation set clean there, noisy here"),
        ("noisy", "", "labels of the validation set not stated there (noisy here)"),
        ("clean", 'validation = "clean"\n', ""),
    ):
        options = full("linear-probe", faithful=True)
        made = thrice("linear-probe", "symmetric", 0.5, 71.0, options=options, validation=validation)
        row = of_number(held(made, text.replace('validation = "clean"\n', there)), "main", 70.25)
        assert row["differences"] == said
    assert of_number(held(thrice("coop", "symmetric", 0.5, 71.0)), "main", 70.25)["differences"] == ""


def test_images_that_are_left_out_are_a_difference():
    made = thrice("coop", "symmetric", 0.5, 71.0)
    short = [changed(one, data={"skipped_images": ["a.jpg"] if one.cell.seed == 2 else []}) for one in made]
    row = of_number(held(short), "main", 70.25)
    assert row["differences"] == "1 image that cannot be decoded left out here"


def test_shots_from_other_images_are_a_difference_and_another_test_set_is_an_obstacle():
    text = SMALL.replace('"Caltech101"', '"Food101N"').replace('"caltech101"', '"food101n"')
    text = text.replace('selection = "last"', 'selection = "last"\npool = { Food101N = "nlprompt" }')
    rows = {
        mode: of_number(held(thrice("coop", "symmetric", 0.5, 71.0, dataset=f"food101n{mode}"), text), "main", 70.25)
        for mode in ("", "[mode=nlprompt]", "[mode=tv]")
    }
    assert rows[""]["differences"] == "shots drawn from 310,009 images there, from others here (mode coop)"
    assert (rows["[mode=nlprompt]"]["grade"], rows["[mode=nlprompt]"]["differences"]) == (SAME, "")
    assert rows["[mode=tv]"]["reason"] == "other split of the data (nlprompt there, tv here)"
