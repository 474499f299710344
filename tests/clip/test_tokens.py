"""Class names as the text tower gets them: which cannot be told apart, spoken, or fitted in."""

from __future__ import annotations

import pytest
import torch
from open_clip import IMAGENET_CLASSNAMES

from bench.clip.load import load_tiny
from bench.clip.tokens import END, START, Vocabulary, encode, indistinct, tokenise, too_long, unknown_words
from bench.data.sets.imagenet import ImageNet
from bench.errors import BenchError
from bench.plugins import BACKBONES, DATASETS
from tests import ROOT

TINY = ROOT / "bench" / "clip" / "tiny"
TABLE = torch.zeros(49408, 4)
ALIKE = [
    ("Cat", "cat"),
    ("cat", "cat_"),
    ("sea horse", "sea__horse"),
    ("sea_horse", "sea horse"),
    ("R&B", "R&amp;B"),
    ("caf\u00e9", "cafe\u0301"),
    ("\u201cquoted\u201d", '"quoted"'),
    ("caf\u00c3\u00a9", "caf\u00e9"),
]


@pytest.mark.parametrize(("first", "second"), ALIKE)
def test_names_that_are_one_to_the_tokenizer(first: str, second: str) -> None:
    (line,) = indistinct(["dog", first, "bird", second])
    assert line.startswith(f'the classes "{first}" and "{second}" are the same tokens to CLIP, in any prompt; rename')
    with pytest.raises(BenchError, match="are the same tokens to CLIP"):
        tokenise(["dog", first, "bird", second], ".", TABLE)


def test_spaces_that_nobody_sees_are_written_in_the_message() -> None:
    (line,) = indistinct(["sea horse", "sea  horse"])
    assert '"sea horse" and "sea__horse"' in line


@pytest.mark.parametrize("name", ["_", "___", ""])
def test_a_name_without_a_word(name: str) -> None:
    (line,) = indistinct(["dog", name])
    assert line.startswith(f'class "{name}" has no word')
    with pytest.raises(BenchError, match="has no word"):
        tokenise(["dog", name], ".", TABLE)


def test_names_that_differ_in_what_follows_them() -> None:
    """The period that ends a prompt joins the one of a name; compared is what the text tower gets."""
    assert indistinct(["cat", "cat.", "cat!", "cats", "c a t", "ca t", "12", "1 2 3"]) == []
    assert len(tokenise(["cat", "cat.", "cat!"], ".", TABLE)) == 3


def test_digits_are_tokens_of_their_own() -> None:
    assert indistinct(["12", "1 2"]) != []


def test_a_name_that_two_classes_have() -> None:
    (line,) = indistinct(["cat", "dog", "cat"])
    assert '"cat" and "cat"' in line
    assert indistinct(["cat", "dog", "cat"], homonyms=["cat"]) == []
    assert indistinct(["cat", "dog", "Cat"], homonyms=["cat", "Cat"]) != []


def test_whole_texts_may_be_equal() -> None:
    assert len(tokenise(["a dog.", "A dog."], "", TABLE, underscores=False)) == 2


def test_names_that_come_with_the_package() -> None:
    for row in DATASETS.rows():
        dataset = DATASETS.get(row.name)
        if dataset.embedded:
            opened = dataset(None)
            assert indistinct(opened.class_names) == []
            assert load_tiny().vocabulary.problems([(f"{name}.", 64) for name in opened.class_names]) == []


def test_of_the_names_that_clip_gave_imagenet_two_stand_for_two_classes_each() -> None:
    assert len(indistinct(IMAGENET_CLASSNAMES)) == 2
    assert indistinct(IMAGENET_CLASSNAMES, ImageNet.homonyms) == []


@pytest.mark.parametrize(
    ("context", "length", "message"),
    [
        (0, 76, None),
        (16, 60, None),
        (
            0,
            77,
            "x takes 78 tokens and the text tower has 77: shorten the name by 1 (own images: [names] in",
        ),
        (16, 61, "with 16 context vectors and the text tower has 77: shorten the name by 1"),
        (16, 61, ", or use at most 15 context vectors."),
        (1, 76, "takes 78 tokens with 1 context vectors"),
    ],
)
def test_what_to_do_about_a_prompt_that_is_too_long(context: int, length: int, message: str | None) -> None:
    found = too_long("x", length, context, 77)
    assert found is None if message is None else found and message in found


@pytest.mark.parametrize(("context", "length"), [(0, 100), (1, 76), (4, 77), (16, 76), (16, 200)])
def test_nobody_is_told_to_use_no_context(context: int, length: int) -> None:
    assert "at most" not in str(too_long("x", length, context, 77))


def test_a_long_name_is_cut_in_the_message() -> None:
    assert len(str(too_long(f'the prompt "{"dog " * 100}"', 101, 0, 77))) < 300


def test_all_unknown_words_are_told_at_once() -> None:
    rows = frozenset({START, END, *encode("a dog, the sea.")})
    assert unknown_words(["a Lion, a dog", "the sea lion's tiger"], rows) == ["lion", "'s", "tiger"]
    assert unknown_words(["anything"], None) == []
    with pytest.raises(BenchError, match=r'for the words "lion", "tiger" in "sea lion\." and other texts'):
        tokenise(["dog", "sea lion", "tiger", "lion"], ".", TABLE, rows)
    with pytest.raises(BenchError, match='for the word "lion" in "lion"'):
        encode("lion", rows)


def test_a_vocabulary_names_words_and_the_longest_prompt() -> None:
    rows, long = frozenset({START, END, *encode("a dog.")}), "dog " * 80
    words, room = Vocabulary(rows, 77).problems([("a cat.", 0), (long, 0), ("dog dog " * 40 + "dog", 0), ("bird.", 4)])
    assert words.startswith('no embedding for the words "cat", "bird"; use other words')
    assert "takes 83 tokens and the text tower has 77: shorten the name by 6" in room
    assert Vocabulary(None, 77).problems([("a cat.", 16), ("é" * 30, 16)]) == []
    (line,) = Vocabulary(None, 77).problems([("dog " * 60, 16), ("cat " * 61, 0)])
    assert "takes 78 tokens with 16 context vectors" in line


def test_words_that_tiny_is_said_to_know() -> None:
    words = (TINY / "words.txt").read_text(encoding="utf-8").split()
    vocabulary = load_tiny().vocabulary
    assert words == sorted(set(words))
    assert unknown_words(words, vocabulary.rows) == []
    assert f"the {len(words)} words" in BACKBONES.row("tiny").summary
    signs = {token for text in ('".', ")?") for token in encode(text)}
    listed = {token for word in words for token in encode(word)} | signs | {START, END}
    assert vocabulary.rows == listed | set(range(512))  # single bytes, of which letters, digits and signs are made


def test_nothing_is_no_text() -> None:
    backbone = load_tiny()
    for call, expected in (
        (lambda: backbone.phrase(" "), 'the phrase " " has no words'),
        (lambda: backbone.class_tokens([]), "no class name was given"),
    ):
        with pytest.raises(BenchError, match=expected):
            call()
