"""The prompts of all classes laid on one token axis, with what is the same in every call computed once.

Shapes: N batch, C classes, M context vectors, P tokens of the shared prefix, S tokens behind it, W width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Final, Literal, NamedTuple, TypeAlias, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.clip.attention import Dense, Grouped, Layout
from bench.clip.tokens import START, VOCABULARY, ClassTokens, TokenGroup
from bench.clip.tree import Tree
from bench.lockstep import FEW_ROWS

Position: TypeAlias = Literal["end", "middle", "front"]
POSITIONS: tuple[Position, ...] = ("end", "middle", "front")
Form: TypeAlias = Literal["dense", "grouped", "tree"]
FORMS: tuple[Form, ...] = get_args(Form)
DENSE_LIMIT: Final = 128  # tokens
TREE_WIDTH: Final = 256  # the miniature's stored numbers are of the other forms, and the tree rounds otherwise
WORTH_IT: Final = 0.9  # tokens of the tree to those it stands for: it takes more operations


class Shape(NamedTuple):
    """Shape of a context: its M vectors, where the class name stands, and whether each class has its own."""

    vectors: int
    position: Position
    class_specific: bool

    @property
    def before(self) -> int:
        """Number of vectors before the name."""
        return {"end": self.vectors, "middle": self.vectors // 2, "front": 0}[self.position]

    @property
    def prefix(self) -> int:
        """Number of tokens P that all prompts share, [SOS] first."""
        return 1 if self.class_specific else 1 + self.before

    @property
    def constant(self) -> bool:
        """Whether no context vector stands behind the prefix."""
        return not self.class_specific and self.before == self.vectors


class Prompts(ABC):
    """Prompts of all classes with a context of one shape.

    Args:
        shape: of the context.
        table: token embeddings, [49408, W].
        positions: position embeddings.
        axis: which token sees which.
        inverse: class k is number `inverse[k]` on the axis, [C]; None where that is the given order.

    Attributes:
        rest: tokens behind the prefix with their positions, [S, W], where they are constant.
    """

    def __init__(
        self, shape: Shape, table: Tensor, positions: Tensor, axis: Layout, inverse: Tensor | None = None
    ) -> None:
        self.shape, self.axis, self.inverse = shape, axis, inverse
        self.start = table[START] + positions[:1]
        self.places = positions[1 : shape.prefix]
        self.rest: Tensor | None = None
        self._projected: tuple[Tensor, Tensor] | None = None

    def keep(self, block: Any) -> None:
        """Compute what no context vector changes: tokens behind the prefix, and the first layer's projection of them.

        Args:
            block: the first layer.
        """
        self.rest = self.behind(self.start.new_zeros(1, self.shape.vectors, self.start.shape[-1]))[0]
        projected = project(block, torch.cat([self.start, self.rest]))
        self._projected = projected[:1], projected[1:]

    def prefix(self, context: Tensor) -> Tensor:
        """Return the context vectors of the prefix with their positions, [N, P - 1, W].

        Takes a context [N, M, W] or [N, C, M, W].
        """
        return context[..., : self.shape.prefix - 1, :] + self.places

    def tokens(self, context: Tensor, prefix: Tensor) -> Tensor:
        """Return embedded tokens with their positions, [N, P + S, W]."""
        count = len(context)
        rest = self.behind(context) if self.rest is None else self.rest.expand(count, -1, -1)
        own = [] if self.shape.class_specific else [prefix]
        return torch.cat([self.start.expand(count, -1, -1), *own, rest], dim=1)

    def first(self, block: Any, x: Tensor, prefix: Tensor) -> Tensor:
        """Compute what `project` does in the first layer, from tokens [N, P + S, W] and their prefix."""
        count = len(x)
        if self._projected is None or count * prefix.shape[1] < FEW_ROWS:
            return project(block, x)
        start, rest = (part.expand(count, -1, -1) for part in self._projected)
        return torch.cat([start, project(block, prefix), rest], dim=1)

    @abstractmethod
    def behind(self, context: Tensor) -> Tensor:
        """Return the tokens behind the prefix with their positions, [N, S, W]."""


class GroupPrompts(Prompts):
    """Prompts one after the other, those of equal length together."""

    def __init__(
        self, shape: Shape, table: Tensor, positions: Tensor, classes: ClassTokens, kind: type[Dense] | type[Grouped]
    ) -> None:
        lengths = [(len(group.classes), group.length + self._own(shape)) for group in classes.groups]
        super().__init__(shape, table, positions, kind(shape.prefix, lengths, positions), classes.inverse)
        self.groups = classes.groups
        self.positions = positions

    @staticmethod
    def _own(shape: Shape) -> int:
        return shape.vectors + 1 - shape.prefix

    def behind(self, context: Tensor) -> Tensor:
        """See `Prompts`."""
        shape, parts = self.shape, []
        before, after = context[..., : shape.before, :], context[..., shape.before :, :]
        for group in self.groups:
            tokens = _suffix(group, before if shape.class_specific else None, after, shape.class_specific)
            places = self.positions[shape.prefix : shape.prefix + tokens.shape[2]]
            parts.append((tokens + places).flatten(1, 2))
        return torch.cat(parts, dim=1)


class TreePrompts(Prompts):
    """Prompts as the tree of their distinct beginnings."""

    def __init__(self, shape: Shape, table: Tensor, positions: Tensor, classes: ClassTokens) -> None:
        sequences = [_symbols(shape, classes, number) for number in range(len(classes))]
        self.axis: Tree
        axis = Tree(shape.prefix, sequences, positions)
        super().__init__(shape, table, positions, axis)
        symbols = torch.tensor(axis.symbols, device=table.device)
        words = symbols < VOCABULARY
        depths = shape.prefix + torch.tensor(axis.depths, device=table.device)
        self.words = table[symbols[words]] + positions[depths[words]]
        self.vectors = symbols[~words] - VOCABULARY
        self.behind_places = positions[depths[~words]]
        self.order = torch.cat([words.nonzero(), (~words).nonzero()]).flatten().argsort()

    def behind(self, context: Tensor) -> Tensor:
        """See `Prompts`."""
        words = self.words.expand(len(context), -1, -1)
        if not len(self.vectors):
            return words
        vectors = context.flatten(1, -2).index_select(1, self.vectors) + self.behind_places
        return torch.cat([words, vectors], dim=1).index_select(1, self.order)


def lay_out(shape: Shape, classes: ClassTokens, table: Tensor, positions: Tensor, form: Form | None) -> Prompts:
    """Build prompts in the form that costs least, or in the given one.

    Up to `DENSE_LIMIT` tokens all attention is computed at once. A tower of `TREE_WIDTH` or more computes every
    distinct beginning once beyond it, and where that leaves out a tenth of the tokens.
    """
    length = sum(classes.lengths) + len(classes) * (shape.vectors + 1 - shape.prefix)
    few = shape.prefix + length <= DENSE_LIMIT
    if form == "tree" or (form is None and positions.shape[-1] >= TREE_WIDTH):
        tree = TreePrompts(shape, table, positions, classes)
        if form == "tree" or not few or len(tree.axis.symbols) < WORTH_IT * length:
            return tree
    dense = few if form is None else form == "dense"
    return GroupPrompts(shape, table, positions, classes, Dense if dense else Grouped)


def project(block: Any, x: Tensor) -> Tensor:
    """Compute a layer's queries, keys and values, [..., 3W], from tokens [..., W]."""
    return F.linear(block.ln_1(x), block.attn.in_proj_weight, block.attn.in_proj_bias)


def _symbols(shape: Shape, classes: ClassTokens, number: int) -> tuple[int, ...]:
    """Return what identifies the tokens of a class behind the prefix: ids, and numbers beyond them for vectors."""
    first = VOCABULARY + (number * shape.vectors if shape.class_specific else 0)
    before, after = range(first, first + shape.before), range(first + shape.before, first + shape.vectors)
    return (*(before if shape.class_specific else ()), *classes.ids[number], *after, *classes.tails[number])


def _suffix(group: TokenGroup, before: Tensor | None, after: Tensor, class_specific: bool) -> Tensor:
    """Return a group's tokens behind the shared prefix, [N, G, L, W]. Context parts are [N, m, W] or [N, C, m, W]."""
    count = len(group.classes)
    parts = []
    if before is not None:
        parts.append(before[:, group.classes])
    parts.append(group.name.expand(len(after), -1, -1, -1))
    if after.shape[-2]:
        parts.append(after[:, group.classes] if class_specific else after.unsqueeze(1).expand(-1, count, -1, -1))
    parts.append(group.tail.expand(len(after), -1, -1, -1))
    return torch.cat(parts, dim=2)
