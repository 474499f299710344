"""Texts of the command line: whatever is written is read again, to the last digit and with every comma."""

from __future__ import annotations

import math
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.cli.main import invoke
from bench.errors import BenchError
from bench.grid.overrides import TEXTS as NAMED
from bench.grid.overrides import assigned
from bench.variants import (
    axis_text,
    entry_text,
    parse_value,
    parse_variant,
    split_list,
    unquoted,
    value_text,
    variant_text,
)

TEXTS = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=12).filter(
    lambda text: text not in ("true", "false")  # which stand for themselves and for truth
)
VALUES = st.one_of(st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXTS)


@given(VALUES)
def test_a_value_is_read_as_it_was(value: bool | int | float | str) -> None:
    read = parse_value(value_text(value))
    assert read == value
    assert isinstance(read, str) == isinstance(value, str)


@given(st.dictionaries(st.sampled_from(["file", "q", "rate"]), VALUES))
def test_options_are_read_as_they_were_whatever_is_in_them(options: dict[str, bool | int | float | str]) -> None:
    read = parse_variant(variant_text("mask", options), "noise").options
    assert {name: value for name, value in read.items() if not isinstance(value, float)} == {
        name: value for name, value in options.items() if not isinstance(read[name], float)
    }
    assert all(math.isclose(float(options[n]), v, rel_tol=0) for n, v in read.items() if isinstance(v, float))


@given(st.lists(TEXTS.map(str.strip).filter(bool), min_size=1, max_size=4))
def test_entries_of_a_list_are_read_as_they_were(texts: list[str]) -> None:
    written = ",".join(map(entry_text, texts))
    assert list(map(unquoted, split_list(written))) == texts
    (read,) = assigned([shlex.split(shlex.quote(f"dataset={written}"))[0]], NAMED).values()
    assert read == texts


def test_variants_need_no_quotes_in_a_list() -> None:
    assert axis_text("gce-coop[q=0.5,loss=mae]@clean") == "gce-coop[q=0.5,loss=mae]@clean"
    assert axis_text("folder:my photos") == "folder:my photos"
    assert axis_text("folder:a,b") == '"folder:a,b"'
    assert axis_text(0.1 + 0.2) == "0.30000000000000004"


@pytest.mark.parametrize("axis", ["dataset", "backbone", "noise", "method", "reference"])
@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('"folder:a,b"', ["folder:a,b"]),
        ('folder:"a,b", x', ["folder:a,b", "x"]),
        ('x,"a ""b"", c"', ["x", 'a "b", c']),
        ('mask[file="a,b.csv"],none', ['mask[file="a,b.csv"]', "none"]),
    ],
)
def test_double_quotes_protect_commas_on_every_axis_of_names(axis: str, text: str, values: list[str]) -> None:
    assert assigned([f"{axis}={text}"], NAMED) == {axis: values}


@pytest.mark.parametrize(
    ("setting", "quoted"),
    [
        ("dataset=folder:a,b", """'dataset="folder:a,b"'"""),
        ("dataset=digits,folder:my photos, 2024", """'dataset="folder:my photos, 2024"'"""),
        ("backbone=tiny,w,x.pt", """'backbone="w,x.pt"'"""),
    ],
)
def test_a_path_that_commas_split_is_named_with_the_way_to_write_it(
    setting: str, quoted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a,b", "my photos, 2024", "w,x.pt"):
        Path(name).mkdir()
    with pytest.raises(BenchError) as caught:
        assigned([setting], NAMED)
    assert str(caught.value).endswith(f"in double quotes it is one value: --set {quoted}")
    assert assigned(shlex.split(quoted), NAMED)


def test_a_comma_in_an_option_says_what_protects_it() -> None:
    with pytest.raises(BenchError, match=r'"b\.csv" is not of the form option=value; a value with a comma'):
        parse_variant("mask[file=a,b.csv]", "noise")


def test_a_folder_with_a_comma_and_blanks_is_shown_and_its_hints_can_be_pasted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    for split, number in (("train", 4), ("validation", 2), ("test", 2)):
        for place, name in enumerate(("ant", "bee")):
            Path("my, images", split, name).mkdir(parents=True)
            for index in range(number):
                Image.new("L", (4, 4), 20 * index + place).save(Path("my, images", split, name, f"{index}.png"))
    chosen = ["--set", 'dataset="folder:my, images"', "--set", "noise=symmetric[on_top=true]", "--set", "rate=0.5"]
    assert invoke(["noise", "show", *chosen, "--set", "shots=2", "--set", "seed=1,2,3,4"]) == 0
    (hint,) = [line for line in capsys.readouterr().out.splitlines() if "for example" in line]
    assert invoke(["noise", "show", *chosen, "--set", "shots=2", *shlex.split(hint.partition("for example ")[2])]) == 0
    capsys.readouterr()
    assert invoke(["noise", "export", *chosen, "--set", "shots=2", "--set", "seed=1", "--out", "a, b.csv"]) == 0
    hint = capsys.readouterr().out.splitlines()[-1].partition(": ")[2]
    assert hint == """--set 'noise=mask[file="a, b.csv"]' --set shots=2"""
    assert invoke(["noise", "show", *chosen[:2], *shlex.split(hint), "--set", "seed=1"]) == 0
