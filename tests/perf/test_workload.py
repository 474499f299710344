"""What is timed is the engine's own step, and operations and bytes are counted right."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bench.clip.load import load_backbone
from bench.engine.member import Member
from bench.engine.width import kept_bytes
from bench.errors import BenchError
from bench.perf.growth import measure_growth
from bench.perf.parts import EPOCHS, cell_parts
from bench.perf.speed import Effort, matrix_product, measure
from bench.perf.workload import Scale, Workload, class_names, open_random

SMALL = Scale(classes=4, shots=4, batch_size=8)
EFFORT = Effort(packs=(2,), repeats=1)


class Clock:
    """Counts how often it is read."""

    def __init__(self) -> None:
        self.read = 0

    def __call__(self) -> float:
        self.read += 1
        return float(self.read)


def test_names_differ_and_have_as_many_words_as_asked() -> None:
    assert class_names(3, 1) == ("zero", "one", "two")
    assert class_names(2, 3) == ("zero and and", "one and and")
    many = class_names(400, 1)
    assert len(set(many)) == 400
    assert load_backbone("tiny").class_tokens(many)


def test_steps_train_every_member_of_a_pack_as_alone() -> None:
    work = Workload("coop", SMALL, load_backbone("tiny"))
    alone, pack = work.steps(1), work.steps(3)
    before = [member.method.get_parameter("context").detach().clone() for member in pack.members]
    for _ in range(3):
        alone()
        pack()
    after = [member.method.get_parameter("context").detach() for member in pack.members]
    assert torch.equal(alone.members[0].method.get_parameter("context"), after[0])
    assert all(not torch.equal(old, new) for old, new in zip(before, after, strict=True))
    assert len({member.taken for member in (*pack.members, *alone.members)}) == 1


@pytest.mark.parametrize("method", ["coop", "visprompt", "clip-adapter"])
def test_a_method_is_measured(method: str) -> None:
    found = measure(method, SMALL, load_backbone("tiny"), EFFORT, Clock())
    assert found.reason == ""
    assert set(found.step.packs) == set(found.cell.packs) == {2}
    assert found.step.packs[2].median == pytest.approx(2.0)  # every side takes as long on this clock
    assert set(found.shares) == set(found.saved) == {1, 2}
    encodes = method != "clip-adapter"
    assert (found.step.naive is not None) == (found.naive_flops is not None) == encodes
    if found.naive_flops is not None:
        assert found.naive_flops > 2 * found.flops
    assert found.peak == {}


def test_what_trains_nothing_has_no_step() -> None:
    with pytest.raises(BenchError, match="trains nothing"):
        Workload("zero-shot", SMALL, load_backbone("tiny")).steps(1)


def test_what_cannot_be_packed_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.engine.pack import Unlike
    from bench.perf import workload

    def refuse(members: object) -> None:
        raise Unlike("they differ")

    monkeypatch.setattr(workload, "Pack", refuse)
    found = measure("coop", SMALL, load_backbone("tiny"), EFFORT, Clock())
    assert found.reason == "2 members: Unlike: they differ"
    assert found.step.packs == {}


def test_operations_and_bytes_of_a_known_step_are_counted() -> None:
    product, operations = matrix_product(torch.device("cpu"))
    assert product().shape == (1024, 1024)  # type: ignore[attr-defined]
    assert operations == 2 * 1024**3
    weight = torch.ones(8, 4, requires_grad=True)

    def step() -> None:
        x: Tensor = torch.ones(3, 8) @ weight  # keeps what the weight is multiplied with: 3 x 8
        x.exp().sum().backward()  # keeps its result: 3 x 4

    assert kept_bytes(step) == 4 * (3 * 8 + 3 * 4)


def test_growth_is_measured_along_each_axis_and_leaves_out_what_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.perf import growth

    backbone = load_backbone("tiny")
    speed = measure("coop", SMALL, backbone, Effort(packs=(2,), repeats=1), Clock())
    monkeypatch.setattr(growth, "_free", lambda device: 2 * speed.saved[1] * 3)  # half of it: three times as many
    rows = measure_growth(speed, SMALL, backbone, (4, 8, 40), Clock())
    assert [row.value for row in rows if row.axis == "classes"] == [4, 8]
    assert [row.value for row in rows if row.axis == "tokens"] == [3, 4, 6, 10]  # words, the period and the end
    assert [row.value for row in rows if row.axis == "shots"] == [1, 4, 16]
    assert all(row.seconds > 0 for row in rows)


def test_the_parts_of_a_cell_are_all_of_its_time() -> None:
    clock, before = Clock(), vars(Member)["begin_epoch"]
    alone, pack = cell_parts("coop", SMALL, load_backbone("tiny"), (1, 3), clock)
    assert sum(alone.seconds.values()) + 3 * sum(pack.seconds.values()) == pytest.approx(clock.read - 2)
    steps = EPOCHS * 2
    assert alone.seconds["forward and backward"] == steps
    assert pack.seconds["forward and backward"] == pytest.approx((steps + 1) / 3)  # one is taken to measure memory
    assert (alone.seconds["stacking"], alone.members, pack.members) == (0, 1, 3)
    assert pack.seconds["stacking"] > 0
    assert vars(Member)["begin_epoch"] is before


def test_a_random_architecture_needs_a_name_of_open_clip() -> None:
    with pytest.raises(BenchError, match="ViT-B-16"):
        open_random("ViT-B/16", "cpu")
    with pytest.raises(BenchError, match="CLIP's own towers"):
        open_random("roberta-ViT-B-32", "cpu")
