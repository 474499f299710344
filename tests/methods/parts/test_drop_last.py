"""What a loader with `drop_last` reaches: whole batches, drawn anew, and everything where the set is below one."""

from __future__ import annotations

from dataclasses import replace

import torch

from bench.contracts.method import Needs, Phase, everything
from bench.contracts.objective import CleanSplit
from bench.methods.parts.drop_last import DropLast
from bench.methods.parts.splits import argmax_split
from bench.testing import fixtures


def loader(samples: int = 20, seed: int = 1) -> DropLast:
    return DropLast(fixtures.context(Needs(), seed, fixtures.labels(count=samples)))


def test_a_pass_reaches_whole_batches_of_its_own() -> None:
    first, again, other = loader(), loader(), loader(seed=2)
    orders = [first.scored(epoch) for epoch in (1, 2, 3)]
    assert {len(order) for order in orders} == {len(order.unique()) for order in orders} == {16}
    assert all(torch.equal(order, again.scored(epoch)) for epoch, order in enumerate(orders, 1))
    assert not torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0], other.scored(1))


def test_what_is_not_scored_is_label_0_and_not_selected() -> None:
    draws, logits, observed = (
        loader(),
        torch.randn(20, 5, generator=torch.Generator().manual_seed(0)),
        fixtures.labels(),
    )
    seen: list[torch.Tensor] = []

    def split(part: torch.Tensor, labels: torch.Tensor) -> CleanSplit:
        seen.append(labels)
        every = torch.ones(len(part))
        return replace(argmax_split(part, labels), confidence=every, selected=every > 0)

    found, whole = draws.split(2, logits, observed, split), argmax_split(logits, observed)
    order = draws.scored(2)
    assert torch.equal(seen[0], observed[order])
    assert found.scored is not None
    assert found.selected is not None
    assert found.confidence is not None
    assert torch.equal(found.scored.nonzero().squeeze(1), order.sort().values)
    assert torch.equal(found.clean, whole.clean & found.scored)
    assert torch.equal(found.pseudo, torch.where(found.scored, whole.pseudo, 0))
    assert torch.equal(found.selected, found.scored)
    assert torch.equal(found.confidence, found.scored.float())
    bare = draws.split(2, logits, observed, argmax_split)
    assert bare.confidence is None
    assert bare.selected is None


def test_of_each_part_whole_batches_are_trained() -> None:
    parts = [torch.arange(20) < 9, (torch.arange(20) >= 9) & (torch.arange(20) < 16), torch.arange(20) >= 16]
    phases = [Phase(torch.where(part, number, -1), torch.ones(20)) for number, part in enumerate(parts)]
    draws = loader()
    groups = [[phase.group for phase in draws.phases(epoch, phases)] for epoch in (1, 2, 3)]
    for found in groups:
        assert [int((group >= 0).sum()) for group in found] == [8, 0, 0]  # of 9, 7 and 4, in batches of 8
        assert torch.equal(found[0][found[0] >= 0], torch.zeros(8, dtype=torch.long))
        assert parts[0][found[0] >= 0].all()
    assert any(not torch.equal(found[0], groups[0][0]) for found in groups)


def test_a_set_below_one_batch_is_not_cut() -> None:
    draws = loader(samples=7)
    assert len(draws.scored(1)) == 7
    (phase,) = draws.phases(1, [everything(7)])
    assert torch.equal(phase.group, everything(7).group)
