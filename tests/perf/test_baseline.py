"""A slowdown is told from noise, and from what was not measured; never by seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import BenchError, NothingCompared
from bench.perf.baseline import NAIVE, SpeedBaseline, compare_speed, exit_code, pack_name, write_speed
from bench.perf.speed import MethodSpeed
from tests import ROOT
from tests.perf.made import made_speed


@pytest.fixture
def baseline(tmp_path: Path) -> SpeedBaseline:
    path = tmp_path / "perf.json"
    write_speed([made_speed(), made_speed("maple", naive=None)], "tiny", 10, path)
    return SpeedBaseline.read(path)


def verdicts(baseline: SpeedBaseline, *speeds: MethodSpeed, packs: tuple[int, ...] = (16,)) -> dict[str, str]:
    return {one.what: one.verdict for one in compare_speed(speeds, baseline, "tiny", 10, packs)}


def test_what_is_written_is_read(baseline: SpeedBaseline) -> None:
    assert set(baseline.ratios) == {"coop", "maple"}
    assert baseline.ratios["coop"][NAIVE].median == 5.0
    assert set(baseline.ratios["maple"]) == {pack_name(16)}


@pytest.mark.parametrize(
    ("pack", "verdict"), [(4.0, "same"), (2.9, "same"), (2.7, "slower"), (5.6, "same"), (6.0, "faster")]
)
def test_a_ratio_counts_as_slower_from_seven_tenths_on(baseline: SpeedBaseline, pack: float, verdict: str) -> None:
    found = compare_speed([made_speed(pack=pack)], baseline, "tiny", 10, (16,))
    assert {one.what: one.verdict for one in found} == {pack_name(16): verdict, NAIVE: "same"}
    assert exit_code(found) == (1 if verdict == "slower" else 0)


def test_repetitions_that_overlap_prove_nothing(tmp_path: Path) -> None:
    from bench.perf.timing import Ratio

    path = tmp_path / "perf.json"
    speed = made_speed()
    wide = MethodSpeed(**{**vars(speed), "step": type(speed.step)(0.002, {16: Ratio(4.0, 1.5, 5.0)})})
    write_speed([wide], "tiny", 10, path)
    assert verdicts(SpeedBaseline.read(path), made_speed(pack=2.0)) == {pack_name(16): "same"}


def test_a_pack_that_fails_is_slower_and_one_that_was_not_asked_for_is_missing(baseline: SpeedBaseline) -> None:
    assert verdicts(baseline, made_speed(pack=None)) == {pack_name(16): "slower", NAIVE: "same"}
    assert verdicts(baseline, made_speed(pack=None), packs=(8,)) == {pack_name(16): "missing", NAIVE: "same"}


def test_nothing_is_compared_with_another_backbone_or_other_methods(baseline: SpeedBaseline) -> None:
    for speeds, backbone, classes in (([made_speed("plot")], "tiny", 10), ([made_speed()], "ViT-B-16", 10),
                                      ([made_speed()], "tiny", 26)):  # fmt: skip
        with pytest.raises(NothingCompared):
            compare_speed(speeds, baseline, backbone, classes, (16,))


@pytest.mark.parametrize("content", [None, "{", '{"kind": "noisy-prompt-bench baseline"}'])
def test_a_file_that_is_none_is_one_line(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "perf.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(BenchError, match="bench perf --save") as raised:
        SpeedBaseline.read(path)
    assert len(raised.value.lines) == 1


def test_the_committed_baseline_holds_ratios_alone() -> None:
    found = SpeedBaseline.read(ROOT / "tests" / "perf.json")
    assert (found.backbone, found.classes) == ("tiny", 10)
    assert {"coop", "gce-coop", "visprompt", "maple"} <= set(found.ratios)
    for ratios in found.ratios.values():
        assert set(ratios) <= {NAIVE, pack_name(4), pack_name(8), pack_name(16)}
        assert all(0 < one.low <= one.median <= one.high for one in ratios.values())
