"""Class names as tokens of CLIP's byte-pair vocabulary, grouped by length and embedded once.

The convention is CoOp's (arXiv 2109.01134): `_` becomes a space and the prompt ends in a period, so a prompt reads
[SOS] context, name, ".", [EOT] with the name before, inside or behind the context.
"""

from __future__ import annotations

from collections.abc import Sequence
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


@dataclass(frozen=True)
class Group:
    """Classes whose names have equally many tokens, and whose tails too.

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
        """Tokens of name and tail, L + K."""
        return self.name.shape[1] + self.tail.shape[1]


@dataclass(frozen=True)
class ClassTokens:
    """Tokenised and embedded class names; frozen, and good for any context and position.

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
    groups: tuple[Group, ...]
    inverse: Tensor | None

    def __len__(self) -> int:
        return len(self.names)

    @property
    def lengths(self) -> tuple[int, ...]:
        """Tokens of each class behind [SOS], the context not counted."""
        return tuple(len(name) + len(tail) for name, tail in zip(self.ids, self.tails, strict=True))

    def check_room(self, context: int, positions: int) -> None:
        """Raise where a prompt of `context` vectors does not fit into `positions`.

        Raises:
            BenchError: names the longest class.
        """
        longest = max(range(len(self)), key=lambda index: self.lengths[index])
        needed = 1 + context + self.lengths[longest]
        if needed > positions:
            raise BenchError(
                f'the prompt of class "{self.names[longest]}" takes {needed} tokens with {context} context vectors and '
                f"the text tower has {positions}; shorten the name or use at most "
                f"{max(positions - needed + context, 0)} context vectors."
            )


@lru_cache(maxsize=1)
def tokenizer() -> SimpleTokenizer:
    """The byte-pair tokenizer that OpenAI's and most open_clip weights share."""
    from open_clip import SimpleTokenizer

    return SimpleTokenizer()


def encode(text: str, rows: frozenset[int] | None = None) -> tuple[int, ...]:
    """Token ids of a text, without [SOS] and [EOT].

    Args:
        text: any text.
        rows: the token ids that the weights have an embedding for; None is all.

    Raises:
        BenchError: a token has no embedding; names the word.
    """
    ids = tuple(int(token) for token in tokenizer().encode(text))
    missing = () if rows is None else tuple(token for token in ids if token not in rows)
    if missing:
        word = next((word for word in text.split() if missing[0] in tokenizer().encode(word)), text)
        raise BenchError(
            f'the backbone has no embedding for the word "{word}" in "{text}": its {len(rows or ())} token rows are '
            "those of its own pretraining; use other words or a backbone with the whole vocabulary."
        )
    return ids


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
        underscores: whether `_` becomes a space.

    Raises:
        BenchError: no name, or a word without an embedding.
    """
    if not names:
        raise BenchError("no class name was given; at least one is needed.")
    ids, tails = [], []
    for name in names:
        text = name.replace("_", " ") if underscores else name
        length = len(encode(text, rows))
        whole = encode(text + suffix, rows)
        ids.append(whole[:length])
        tails.append((*whole[length:], END))
    groups, order = _grouped(ids, tails, table.detach())
    inverse = None if order == sorted(order) else torch.tensor(order, device=table.device).argsort()
    return ClassTokens(tuple(names), tuple(ids), tuple(tails), groups, inverse)


def _grouped(
    ids: list[tuple[int, ...]], tails: list[tuple[int, ...]], table: Tensor
) -> tuple[tuple[Group, ...], list[int]]:
    members: dict[tuple[int, int], list[int]] = {}
    for index, (name, tail) in enumerate(zip(ids, tails, strict=True)):
        members.setdefault((len(name), len(tail)), []).append(index)
    groups = []
    for (length, rest), indices in sorted(members.items()):
        tokens = [ids[index] + tails[index] for index in indices]
        embedded = table[torch.tensor(tokens, device=table.device)]
        classes = torch.tensor(indices, device=table.device)
        groups.append(Group(classes, *torch.split(embedded, [length, rest], dim=1)))
    return tuple(groups), [index for _, indices in sorted(members.items()) for index in indices]
