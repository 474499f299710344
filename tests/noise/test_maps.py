"""Maps of classes: the user's file of pairs, CIFAR-10's, superclasses; and the user's transition matrix."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.contracts.noise import NoisyLabels
from bench.errors import BenchError
from bench.grid.options import noise_identity
from bench.noise.flip import floor_share
from bench.noise.helpers import by_row
from bench.noise.matrix import read_matrix
from tests.noise.scenes import balanced, drawn, scene

NAMES = ("red fox", "grey_wolf", "cow", "horse, brown")
CIFAR = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
LINE = "noise class-map: line "


def mapped(tmp_path: Path, text: str, rate: float = 0.5, per_class: int = 12) -> NoisyLabels:
    file = tmp_path / "pairs.csv"
    file.write_text(text, encoding="utf-8")
    return drawn("class-map", scene(balanced(4, per_class), 4, class_names=NAMES), rate, file=str(file)).noisy


def confusion(noisy: NoisyLabels) -> dict[tuple[int, int], int]:
    return {(true, observed): count for true, observed, count in noisy.confusion}


@pytest.mark.parametrize(
    "text",
    [
        "red fox,cow\ncow,grey_wolf\n",
        "red fox -> cow\ncow -> grey_wolf",
        "From,To\n# from the literature\n\n  Red_Fox , COW \ncow,grey wolf\n",
        '\ufeffred fox,cow\r\n"cow","grey_wolf"\r\n',
    ],
)
def test_pairs_are_read_in_every_form(tmp_path: Path, text: str) -> None:
    assert confusion(mapped(tmp_path, text)) == {(0, 2): 6, (2, 1): 6}


def test_a_name_with_a_comma_stands_in_quotes_or_before_an_arrow(tmp_path: Path) -> None:
    assert confusion(mapped(tmp_path, '"horse, brown",cow')) == {(3, 2): 6}
    assert confusion(mapped(tmp_path, "horse, brown -> cow")) == {(3, 2): 6}


@given(rate=st.integers(0, 99).map(lambda n: n / 100), per_class=st.integers(1, 30))
@settings(max_examples=40, deadline=None)
def test_exactly_a_share_of_every_mapped_class_is_wrong(
    tmp_path_factory: pytest.TempPathFactory, rate: float, per_class: int
) -> None:
    noisy = mapped(tmp_path_factory.getbasetemp(), "red fox,cow\nred fox,grey_wolf\ncow,red fox", rate, per_class)
    count = floor_share(rate, per_class)
    assert [round(share * per_class) for share in noisy.per_class_rate or []] == [count, 0, count, 0]
    assert set(confusion(noisy)) <= {(0, 1), (0, 2), (2, 0)}


def test_several_targets_are_drawn_uniformly(tmp_path: Path) -> None:
    counts = confusion(mapped(tmp_path, "cow,red fox\ncow,grey_wolf\ncow -> horse, brown", 0.75, 4000))
    assert sum(counts.values()) == 3000
    assert all(abs(count - 1000) < 4 * np.sqrt(3000 * 2 / 9) for count in counts.values())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("red fox,cwo", LINE + '1 of "FILE": unknown class "cwo"; did you mean "cow"?'),
        ("cow,red fox\nlion -> cow", LINE + '2 of "FILE": unknown class "lion"; known: cow, grey_wolf, horse, brown,'),
        ("cow,Cow", LINE + '1 of "FILE" maps "cow" to itself; name another class or remove the line.'),
        ("# nothing\n\nfrom,to\n", 'noise class-map: file "FILE" has no pair; expected from,to or from -> to in a li'),
        ("cow", LINE + '1 of "FILE" is "cow"; expected from,to or from -> to.'),
        ("cow,red fox,grey_wolf", LINE + '1 of "FILE" is "cow,red fox,grey_wolf"; expected from,to or from -> to.'),
        ("cow ->", LINE + '1 of "FILE" is "cow ->"; expected from,to or from -> to.'),
        ("cow,red fox\ncow,red_fox", LINE + '2 of "FILE" repeats an earlier line; remove one of the two.'),
    ],
)
def test_a_file_that_is_no_map_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(BenchError) as caught:
        mapped(tmp_path, text)
    assert str(caught.value).replace(str(tmp_path / "pairs.csv"), "FILE").startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["class-map", "matrix"])
def test_no_file_a_missing_one_and_one_that_is_no_text(kind: str, tmp_path: Path) -> None:
    place = scene(balanced(4, 3), 4)
    with pytest.raises(BenchError, match=rf"noise {kind} needs a .*; write {kind}\[file=PATH\]\."):
        drawn(kind, place, 0.5)
    with pytest.raises(BenchError, match=rf"noise {kind} needs a file; write {kind}\[file=PATH\]\."):
        noise_identity(kind)  # what a plan asks, before anything runs
    with pytest.raises(BenchError, match=r"cannot be read: No such file or directory; give the path of a"):
        drawn(kind, place, 0.5, file=str(tmp_path / "none.csv"))
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BenchError, match="is not UTF-8 text; give a"):
        drawn(kind, place, 0.5, file=str(tmp_path / "binary"))


@pytest.mark.parametrize("names", [CIFAR, ("Plane", "car", *CIFAR[2:]), tuple(reversed(CIFAR))])
def test_the_map_of_cifar10_by_name_in_any_order(names: tuple[str, ...]) -> None:
    noisy = drawn("cifar10-map", scene(balanced(10, 20), 10, class_names=names), 0.4).noisy
    alias = {"plane": "airplane", "car": "automobile"}
    plain = [alias.get(name.lower(), name.lower()) for name in names]
    assert {(plain[a], plain[b]): n for (a, b), n in confusion(noisy).items()} == {
        ("truck", "automobile"): 8, ("bird", "airplane"): 8, ("deer", "horse"): 8, ("cat", "dog"): 8, ("dog", "cat"): 8,
    }  # fmt: skip
    assert noisy.realised_rate == pytest.approx(0.2)


def test_the_map_of_cifar10_on_other_data_names_what_is_missing() -> None:
    with pytest.raises(BenchError) as caught:
        drawn("cifar10-map", scene(balanced(3, 4), 3, class_names=("cat", "dog", "horse")), 0.5)
    assert str(caught.value) == (
        "noise cifar10-map needs the classes of CIFAR-10 and finds no truck, automobile or car, bird, "
        "airplane or plane, deer; use class-map[file=PATH] with pairs of this data set."
    )


def test_superclass_takes_the_next_of_the_group_and_leaves_a_lone_class_clean() -> None:
    noisy = drawn("superclass", scene(balanced(7, 10), 7, superclasses=(0, 1, 0, 2, 1, 0, 5)), 0.55).noisy
    assert confusion(noisy) == {(0, 2): 5, (2, 5): 5, (5, 0): 5, (1, 4): 5, (4, 1): 5}


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (None, "noise superclass needs a data set with superclasses, which digits does not have; use class-map"),
        ((0, 1, 2), "noise superclass finds no superclass with two classes in digits; use another kind."),
    ],
)
def test_superclass_without_groups(groups: tuple[int, ...] | None, message: str) -> None:
    with pytest.raises(BenchError) as caught:
        drawn("superclass", scene(balanced(3, 4), 3, superclasses=groups), 0.5)
    assert str(caught.value).startswith(message)


SHARES = np.array([[0.7, 0.1, 0.2], [0.0, 1.0, 0.0], [0.5, 0.25, 0.25]])
BARE = "0.7,0.1,0.2\n0,1,0\n.5, .25, .25\n"
NAMED = "true \\ observed,cow,Red_Fox,wolf\nwolf,0.25,0.5,0.25\nred fox,.1,.7,.2\ncow,1,0,0\n"
THREE = ("red fox", "cow", "wolf")


def test_a_matrix_is_read_bare_or_with_names_in_any_order(tmp_path: Path) -> None:
    for text in (BARE, NAMED, "\n" + BARE + "\n"):
        (tmp_path / "t.csv").write_text(text)
        assert np.allclose(read_matrix("matrix", str(tmp_path / "t.csv"), THREE), SHARES, atol=1e-15)


def test_labels_follow_the_rows_of_the_matrix(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(BARE)
    place = scene(np.repeat(np.arange(3), 8000), 3, class_names=THREE)
    noisy = drawn("matrix", place, 0.0, file=str(tmp_path / "t.csv")).noisy
    counts = np.zeros((3, 3))
    np.add.at(counts, (noisy.true, noisy.observed), 1)
    assert (np.abs(counts / 8000 - SHARES) <= 4 * np.sqrt(SHARES * (1 - SHARES) / 8000)).all()


def test_one_uniform_number_decides_each_label(tmp_path: Path) -> None:
    """The obvious loop over the same numbers gives the same labels; a matrix that differs little changes few."""
    place = scene(balanced(3, 200), 3, class_names=THREE)
    (tmp_path / "t.csv").write_text(BARE)
    noisy = drawn("matrix", place, 0.0, file=str(tmp_path / "t.csv")).noisy
    numbers = place.stream("matrix").uniform(600)
    for true, observed, number in zip(noisy.true, noisy.observed, numbers[np.arange(600)], strict=True):
        below = sum(SHARES[true, j] for j in range(observed))
        assert below <= number < below + SHARES[true, observed] + 1e-12
    (tmp_path / "u.csv").write_text(BARE.replace("0.7,0.1,0.2", "0.69,0.11,0.2"))
    other = drawn("matrix", place, 0.0, file=str(tmp_path / "u.csv")).noisy
    assert 0 < (other.observed != noisy.observed).sum() < 15


@given(
    shares=st.lists(st.sampled_from([0.0, 0.0, 0.25, 1.0, 1e-9]), min_size=2, max_size=6).filter(any),
    number=st.one_of(st.just(0.0), st.just(1 - 2.0**-53), st.floats(0, 1, exclude_max=True)),
)
def test_a_share_of_zero_is_never_drawn(shares: list[float], number: float) -> None:
    drawn_class = by_row(np.array([shares]), np.array([number]))[0]
    assert shares[drawn_class] > 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,0\n0,1\n", " has 2 rows of 2 cells; expected 3 of 3, or one more of each with class names."),
        ("1,0,0\n0,1\n0,0,1\n", " has 3 rows of 2 or 3 cells; expected 3 of 3, or one more of each"),
        ("", " has 0 rows of no cells; expected 3 of 3"),
        ("1,0,0\n.5,.4,0\n0,0,1\n", ', row "cow" sums to 0.9; every row must sum to 1, correct its shares.'),
        ("1,0,0\n.5,.5,2e-6\n0,0,1\n", ', row "cow" sums to 1.000002; every row must sum to 1'),
        ("1,0,0\n1.1,-.1,0\n0,0,1\n", ', row "cow": 1.1 is not a share; expected a number in [0, 1].'),
        ("1,0,0\n.5,.6,-.1\n0,0,1\n", ', row "cow": -0.1 is not a share; expected a number in [0, 1].'),
        ("1,0,0\nnan,1,0\n0,0,1\n", ', row "cow": nan is not a share; expected a number in [0, 1].'),
        ("1,0,0\nx,1,0\n0,0,1\n", ', row "cow": "x" is not a number; expected a share in [0, 1].'),
        (NAMED.replace(",wolf\n", ",wofl\n"), ', first row: unknown class "wofl"; did you mean "wolf"?'),
        (NAMED.replace("\nwolf", "\ncow"), ', first column: class "cow" stands there twice; name every class once.'),
        (NAMED.replace("cow,1", "pig,1"), ', first column: unknown class "pig"; known: cow, red fox, wolf.'),
    ],
)
def test_a_file_that_is_no_transition_matrix_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "t.csv"
    file.write_text(text)
    with pytest.raises(BenchError) as caught:
        drawn("matrix", scene(balanced(3, 4), 3, class_names=THREE), 0.0, file=str(file))
    assert str(caught.value).startswith(f'noise matrix: file "{file}"{message}')
    assert "\n" not in str(caught.value)


def test_rows_that_sum_to_one_within_rounding_are_fine(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("0.333333,0.333333,0.333334\n1,0,0\n0.9999995,0,0\n")
    assert np.allclose(read_matrix("matrix", str(tmp_path / "t.csv"), THREE).sum(1), 1, atol=1e-15)
