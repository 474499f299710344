"""Tokenise class names in CLIP's byte-pair vocabulary, grouped by length and embedded once.

The convention is CoOp's (arXiv 2109.01134): `_` becomes a space and the prompt ends in a period, so a prompt reads
[SOS] context, name, ".", [EOT] with the name before, inside or behind the context.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from bench.errors import BenchError

if TYPE_CHECKING:
    from open_clip import SimpleTokenizer

VOCABULARY = 49408
START, END = 49406, 49407
PROMPT_CHARACTERS = 100  # characters of a prompt in a message
MOST_WORDS = 40  # in a message
TEXTS_KEPT = 2**14  # tokenised, for the cells that follow
OWN = "(own images: [names] in dataset.toml)"
RENAME = f"; rename one {OWN}."


@dataclass(frozen=True)
class TokenGroup:
    """Classes whose names have equally many tokens, and so do their tails.

    Attributes:
        classes: their positions among all C classes, [G] long.
        name: token embeddings of the names, [G, L, W].
        tail: token embeddings of what follows up to and including [EOT], [G, K, W].
    """

    classes: Tensor
    name: Tensor
    tail: Tensor

    @property
    def length(self) -> int:
        """Number of tokens of name and tail, L + K."""
        return self.name.shape[1] + self.tail.shape[1]


@dataclass(frozen=True)
class ClassTokens:
    """Tokenised and embedded class names, immutable and usable with any context and position.

    Attributes:
        names: the C class names as given.
        ids: token ids of each name, without the tail.
        tails: token ids of what follows each name, [EOT] last.
        groups: the classes by token counts.
        inverse: [C] long; class k is number `inverse[k]` when the groups are laid one after the other; None where
            that is the given order.
    """

    names: tuple[str, ...]
    ids: tuple[tuple[int, ...], ...]
    tails: tuple[tuple[int, ...], ...]
    groups: tuple[TokenGroup, ...]
    inverse: Tensor | None

    def __len__(self) -> int:
        return len(self.names)

    @property
    def lengths(self) -> tuple[int, ...]:
        """Tokens of each class behind [SOS], without the context."""
        return tuple(len(name) + len(tail) for name, tail in zip(self.ids, self.tails, strict=True))

    def check_room(self, context: int, positions: int) -> None:
        """Raise where a prompt of `context` vectors does not fit into `positions`.

        Raises:
            BenchError: names the longest class.
        """
        longest = max(range(len(self)), key=lambda index: self.lengths[index])
        problem = too_long(f'the prompt of class "{self.names[longest]}"', self.lengths[longest], context, positions)
        if problem:
            raise BenchError(problem)


def too_long(what: str, length: int, context: int, positions: int) -> str | None:
    """Return advice on a prompt that exceeds the text tower's positions, as a sentence; None where it fits.

    Args:
        what: names the prompt.
        length: its tokens behind [SOS], context vectors not counted.
        context: how many of these go with it.
        positions: of the text tower.
    """
    beyond = 1 + context + length - positions
    if beyond <= 0:
        return None
    vectors = f" with {context} context vectors" if context else ""
    fewer = f", or use at most {context - beyond} context vectors" if context > beyond else ""
    what = what if len(what) <= PROMPT_CHARACTERS else f'{what[:PROMPT_CHARACTERS]}…"'
    return (
        f"{what} takes {1 + context + length} tokens{vectors} and the text tower has {positions}: shorten the name by "
        f"{beyond} {OWN}{fewer}."
    )


@lru_cache(maxsize=1)
def tokenizer() -> SimpleTokenizer:
    """Return the byte-pair tokenizer that OpenAI's and most open_clip weights share."""
    from open_clip import SimpleTokenizer

    return SimpleTokenizer()


def encode(text: str, rows: frozenset[int] | None = None) -> tuple[int, ...]:
    """Tokenise a text to ids, without [SOS] and [EOT].

    Args:
        text: any text.
        rows: the token ids that the weights have an embedding for; None is all.

    Raises:
        BenchError: a token has no embedding; names the words.
    """
    check_words([text], rows)
    return _ids(text)


@lru_cache(maxsize=TEXTS_KEPT)
def _ids(text: str) -> tuple[int, ...]:
    return tuple(int(token) for token in tokenizer().encode(text))


@lru_cache(maxsize=TEXTS_KEPT)
def _words(text: str) -> tuple[str, ...]:
    """Divide a text as the tokenizer does."""
    return tuple(tokenizer().pat.findall(tokenizer().clean_fn(text)))


def unknown_words(texts: Iterable[str], rows: frozenset[int] | None) -> list[str]:
    """List the words of some texts, once each, that contain a token without embedding.

    They are spelt as the tokenizer divides them.
    """
    if rows is None:
        return []
    words = dict.fromkeys(word for text in texts for word in _words(text))
    return [word for word in words if not rows.issuperset(_ids(word))]


def check_words(texts: Sequence[str], rows: frozenset[int] | None) -> None:
    """Reject words without an embedding.

    Raises:
        BenchError: names all of them, and the first text with one.
    """
    words = unknown_words(texts, rows)
    if words:
        text = next(text for text in texts if unknown_words([text], rows))
        raise BenchError(
            f'the backbone has no embedding for the {listed("word", words)} in "{text[:PROMPT_CHARACTERS]}"'
            f"{' and other texts' if len(words) > 1 and len(texts) > 1 else ''}: its {len(rows or ())} token rows are "
            "those of its own pretraining; use other words or a backbone with the whole vocabulary."
        )


def listed(noun: str, words: Sequence[str]) -> str:
    """Format words as `word "a"` or `words "a", "b" and 3 more`."""
    shown = ", ".join(f'"{word}"' for word in words[:MOST_WORDS])
    more = f" and {len(words) - MOST_WORDS} more" if len(words) > MOST_WORDS else ""
    return f"{noun}{'s' if len(words) > 1 else ''} {shown}{more}"


def indistinct(names: Sequence[str], homonyms: Collection[str] = ()) -> list[str]:
    """Explain, a sentence each, which class names are unfit for prompts: no token, or another's tokens.

    Compared is what the text tower is given, the name with the period that follows it: CLIP's tokenizer knows no upper
    case, unescapes HTML, mends Unicode and leaves out spaces, and `_` is one.

    Args:
        names: the C class names.
        homonyms: names that several classes may share, since those who published the data set gave them so.
    """
    lines: list[str] = []
    first: dict[tuple[int, ...], str] = {}
    for name in names:
        spoken = name.replace("_", " ")
        ids = encode(f"{spoken}.")
        if not encode(spoken):
            lines.append(f'class "{_written(name)}" has no word that a prompt could hold{RENAME}')
        elif ids in first and not (first[ids] == name and name in homonyms):
            both = f'"{_written(first[ids])}" and "{_written(name)}"'
            lines.append(f"the classes {both} are the same tokens to CLIP, in any prompt{RENAME}")
        first.setdefault(ids, name)
    return lines


def _written(name: str) -> str:
    """Format a name for a message, with invisible spaces written as `_`."""
    return name if name == " ".join(name.split()) and name else name.replace(" ", "_")


@dataclass(frozen=True)
class Vocabulary:
    """Token and length limits of a backbone's text tower.

    Attributes:
        rows: the token ids that have an embedding; None is all.
        positions: of the tower, [SOS] and [EOT] included.
    """

    rows: frozenset[int] | None
    positions: int

    def problems(self, prompts: Collection[tuple[str, int]]) -> list[str]:
        """Report all unknown words of some prompts in one sentence, and the longest prompt that does not fit.

        Args:
            prompts: texts, each with the number of context vectors that go with it.
        """
        words = unknown_words((text for text, _ in prompts), self.rows)
        lines: list[str] = []
        if words:
            lines.append(
                f"no embedding for the {listed('word', words)}; use other words {OWN}, or a backbone with the whole "
                "vocabulary, such as ViT-B-16/openai."
            )
        lengths = {
            (text, context): len(encode(text)) + 1
            for text, context in prompts
            if len(text.encode()) + context + 2 > self.positions  # else it fits, since no token is less than a byte
        }
        if lengths:
            text, context = max(lengths, key=lambda prompt: lengths[prompt] + prompt[1])
            problem = too_long(f'the prompt "{text}"', lengths[text, context], context, self.positions)
            lines += [problem] if problem else []
        return lines


def tokenise(
    names: Sequence[str], suffix: str, table: Tensor, rows: frozenset[int] | None = None, underscores: bool = True
) -> ClassTokens:
    """Tokenise and embed names, each followed by `suffix` and [EOT].

    Name and suffix are encoded together, because a name that ends in punctuation merges with a period.

    Args:
        names: C names, at least one.
        suffix: usually ".".
        table: token embeddings, [49408, W].
        rows: the token ids that have an embedding; None is all.
        underscores: whether these are names of classes, in which `_` becomes a space; else whole texts.

    Raises:
        BenchError: no name, words without an embedding, or two different names of classes that are the same tokens.
    """
    if not names:
        raise BenchError("no class name was given; at least one is needed.")
    texts = [name.replace("_", " ") if underscores else name for name in names]
    check_words([text + suffix for text in texts], rows)
    if underscores and (problems := indistinct(names, homonyms=names)):
        raise BenchError(problems[0])
    ids, tails = [], []
    for text in texts:
        length = len(encode(text))
        whole = encode(text + suffix)
        ids.append(whole[:length])
        tails.append((*whole[length:], END))
    groups, order = _grouped(ids, tails, table.detach())
    inverse = None if order == sorted(order) else torch.tensor(order, device=table.device).argsort()
    return ClassTokens(tuple(names), tuple(ids), tuple(tails), groups, inverse)


def _grouped(
    ids: list[tuple[int, ...]], tails: list[tuple[int, ...]], table: Tensor
) -> tuple[tuple[TokenGroup, ...], list[int]]:
    members: dict[tuple[int, int], list[int]] = {}
    for index, (name, tail) in enumerate(zip(ids, tails, strict=True)):
        members.setdefault((len(name), len(tail)), []).append(index)
    groups = []
    for (length, rest), indices in sorted(members.items()):
        tokens = [ids[index] + tails[index] for index in indices]
        embedded = table[torch.tensor(tokens, device=table.device)]
        classes = torch.tensor(indices, device=table.device)
        groups.append(TokenGroup(classes, *torch.split(embedded, [length, rest], dim=1)))
    return tuple(groups), [index for _, indices in sorted(members.items()) for index in indices]
