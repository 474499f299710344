from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from bench.errors import BenchError, NothingCompared
from bench.records.cell import Cell
from bench.records.naming import newest
from bench.records.parts import Provenance
from bench.records.record import Record
from bench.regression.baseline import pooled_variance, read_baseline
from bench.regression.comparison import Comparison, compare, write_baseline
from bench.regression.findings import GateRules
from bench.regression.text import lines, markdown
from bench.statistics import rank_test, smallest_drop
from tests import ROOT
from tests.reports.factory import cell, grid, record

METHODS = ("zero-shot", "coop", "gce-coop", "joapr")
SEED_SD = 0.015
NONE = {"worse": 0, "failed": 0, "missing": 0, "better": 0, "new": 0, "same": 0}


def shifted(records: Sequence[Record], method: str, by: float, jitter: float = 0.0) -> list[Record]:
    """The records with `by` (a fraction) added to one method's accuracies, and noise to all trained ones."""
    generator = np.random.default_rng(0)
    moved = []
    for r in records:
        noise = float(generator.normal(0, jitter)) if r.cell.method != "zero-shot" else 0.0
        last = float(r.accuracy.last or 0) + noise + (by if r.cell.method == method else 0.0)
        moved.append(r.model_copy(update={"accuracy": r.accuracy.model_copy(update={"last": last})}))
    return moved


@pytest.fixture
def baseline(tmp_path: Path) -> Path:
    path = tmp_path / "ci" / "baseline.json"
    assert write_baseline(grid(METHODS, seeds=(1, 2, 3), sd=SEED_SD, oracle=False), path) == 20
    return path


def worse(comparison: Comparison) -> set[str]:
    return {f.label.split(" · ")[2].partition("[")[0] for f in comparison.findings if f.verdict == "worse"}


def test_a_rerun_is_the_same_and_passes(baseline: Path):
    comparison = compare(grid(METHODS, seeds=(1, 2, 3), sd=SEED_SD, oracle=False), baseline)
    assert comparison.exit_code == 0
    assert comparison.counts == {**NONE, "same": 20}
    assert max(abs(f.difference) for f in comparison.findings if f.level == "cell") < 1e-5


def test_a_planted_drop_of_three_points_is_caught_in_every_cell_of_the_method(baseline: Path):
    records = shifted(grid(METHODS, seeds=(1, 2, 3), sd=SEED_SD, oracle=False), "gce-coop", -0.03)
    comparison = compare(records, baseline)
    assert comparison.exit_code == 1
    assert worse(comparison) == {"gce-coop"}
    assert comparison.counts["worse"] == 5
    assert all("-3.0 points" in line for line in lines(comparison) if line.startswith("worse"))
    assert compare(shifted(records, "gce-coop", 0.06), baseline).counts["better"] == 5


def test_a_drop_below_the_minimum_effect_is_not(baseline: Path):
    records = shifted(grid(METHODS, seeds=(1, 2, 3), sd=SEED_SD, oracle=False), "coop", -0.009)
    assert compare(records, baseline).exit_code == 0
    assert compare(records, baseline, GateRules(minimum_effect=0.5)).exit_code == 1


def test_a_drop_is_seen_through_small_differences_between_processors(baseline: Path):
    records = shifted(grid(METHODS, seeds=(1, 2, 3), sd=SEED_SD, oracle=False), "coop", -0.03, jitter=0.003)
    assert worse(compare(records, baseline)) == {"coop"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "seeds", [(1, 2, 3), pytest.param((4, 5, 6), marks=pytest.mark.long)], ids=["same-seeds", "other-seeds"]
)
def test_unchanged_reruns_are_rarely_flagged(tmp_path: Path, seeds: tuple[int, ...]):
    """Baseline and rerun drawn anew each time: at most 2 of 40 at a stated rate of 1 % over all comparisons.

    Against one baseline the draws would share its luck.
    """
    flagged, path = 0, tmp_path / "baseline.json"
    for draw in range(1, 41):
        write_baseline(grid(METHODS, seeds=(1, 2, 3), sd=SEED_SD, draw=1000 + draw, oracle=False), path)
        flagged += compare(grid(METHODS, seeds=seeds, sd=SEED_SD, draw=draw, oracle=False), path).exit_code
    assert flagged <= 2


def test_a_large_drop_is_caught_with_other_seeds(baseline: Path):
    records = shifted(grid(METHODS, seeds=(7, 8, 9), sd=SEED_SD, oracle=False), "joapr", -0.06)
    comparison = compare(records, baseline)
    assert worse(comparison) == {"joapr"}
    assert any(f.note == "no seed in common" for f in comparison.findings)


def test_a_drop_that_hardly_a_cell_shows_is_caught_in_the_method_average(tmp_path: Path):
    methods, path = ("coop", "gce-coop", "joapr", "promptmae"), tmp_path / "b.json"
    write_baseline(grid(methods, seeds=(1, 2, 3), sd=SEED_SD, oracle=False), path)
    records = shifted(grid(methods, seeds=(1, 2, 3), sd=SEED_SD, oracle=False), "coop", -0.02, jitter=0.02)
    comparison = compare(records, path)
    assert comparison.counts["worse"] < 2
    assert [f.label.split(" · ")[1] for f in comparison.of("worse", "method")] == ["average of 5 noise cells"]
    assert worse(comparison) == {"coop"}


def test_a_method_without_noise_is_held_to_the_minimum_effect(baseline: Path):
    records = shifted(grid(METHODS, seeds=(4, 5, 6), sd=SEED_SD, oracle=False), "zero-shot", -0.012)
    assert worse(compare(records, baseline)) == {"zero-shot"}


def test_a_cell_that_fails_now_is_no_pass(baseline: Path):
    records = grid(METHODS, seeds=(1, 2, 3), sd=SEED_SD, oracle=False)
    broken = [
        record(r.cell, status="diverged") if (r.cell.method, r.cell.rate, r.cell.seed) == ("coop", 0.0, 2) else r
        for r in records
    ]
    comparison = compare(broken, baseline)
    assert comparison.exit_code == 1
    (finding,) = [f for f in comparison.findings if f.verdict not in ("same", "better")]
    assert finding.verdict == "failed"
    assert "seed 2: loss is nan" in finding.note
    all_gone = compare([record(r.cell, status="failed") for r in records], baseline)
    assert all_gone.counts == {**NONE, "failed": 20}
    assert all_gone.exit_code == 1
    assert "did not finish" in markdown(all_gone, "b.json", "results").splitlines()[0]


def test_new_and_missing_are_listed(baseline: Path):
    records = grid((*METHODS[:3], "visprompt"), seeds=(1, 2, 3), sd=SEED_SD, oracle=False)
    comparison = compare(records, baseline)
    assert comparison.exit_code == 1
    assert (comparison.counts["missing"], comparison.counts["new"], comparison.counts["same"]) == (5, 5, 15)
    assert compare(records, baseline, GateRules(partial=True)).exit_code == 0
    assert compare(records, baseline, GateRules(partial=True, strict=True)).exit_code == 1
    text = "\n".join(lines(comparison))
    assert "missing cell    digits · none · joapr" in text
    assert "visprompt: " in text
    assert "not in the baseline" in text


def test_a_planned_cell_without_a_record_and_one_that_is_not_planned_are_told_apart(baseline: Path):
    records = grid(METHODS[:2], seeds=(1, 2, 3), sd=SEED_SD, oracle=False)
    comparison = compare(records, baseline, planned=[*(r.cell for r in records), cell("gce-coop", seed=1)])
    notes = {f.label: f.note for f in comparison.of("missing")}
    assert len(notes) == 10
    assert notes["digits · none · gce-coop"] == "in the baseline and in today's grid, no record of it now"
    assert notes["digits · none · joapr"] == "in the baseline, not in today's grid"


def test_nothing_in_common_exits_3(baseline: Path):
    for records in ([], grid(("coop",), backbone="other"), [record(cell("coop"), status="skipped")]):
        with pytest.raises(NothingCompared) as error:
            compare(records, baseline)
        assert error.value.exit_code == 3
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        '{"kind": "noisy-pro',
        "[]",
        '{"kind": "something else"}',
        '{"kind": "noisy-prompt-bench baseline", "schema": 1}',
        '{"kind": "noisy-prompt-bench baseline", "schema": 1, "groups": [{"cell": {}}]}',
        '{"kind": "noisy-prompt-bench baseline", "schema": 1, "groups": 3}',
        "[" * 100_000,
    ],
)
def test_a_missing_or_torn_baseline_exits_2(tmp_path: Path, text: str | None):
    path = tmp_path / "baseline.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BenchError) as error:
        compare(grid(("coop",)), path)
    assert error.value.exit_code == 2
    assert "\n" not in str(error.value)


def test_any_cut_of_a_baseline_is_torn(baseline: Path):
    text = baseline.read_text()
    for length in range(0, len(text) - 2, len(text) // 25):
        baseline.write_text(text[:length])
        with pytest.raises(BenchError):
            read_baseline(baseline)


def test_a_baseline_needs_a_finished_record_and_a_place(tmp_path: Path):
    with pytest.raises(BenchError, match="no finished record"):
        write_baseline([record(cell(), status="failed")], tmp_path / "b.json")
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchError, match="cannot be written"):
        write_baseline([record(cell())], tmp_path / "file" / "b.json")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_the_baseline_holds_seeds_spread_and_versions(baseline: Path):
    content = json.loads(baseline.read_text())
    (row,) = [g for g in content["groups"] if g["cell"]["method"] == "coop" and g["cell"]["noise"] == "none"]
    assert sorted(row["accuracy"]) == ["1", "2", "3"]
    assert row["sd"] == pytest.approx(np.std(list(row["accuracy"].values()), ddof=1), abs=1e-5)
    assert row["keys"]["2"] == record(cell("coop", seed=2)).key
    assert "seed" not in row["cell"]
    trained = [g["sd"] ** 2 for g in content["groups"] if g["cell"]["method"] != "zero-shot"]
    assert content["pooled_sd"] == pytest.approx(np.sqrt(np.mean(trained)), abs=1e-5)
    assert content["pooled_df"] == 30


def test_other_plugin_versions_and_packages_are_named(tmp_path: Path):
    path = tmp_path / "b.json"
    old = record(cell("coop"), 0.8)
    old.provenance = Provenance(versions={"torch": "2.8", "python": "3.11"}, processor="A")
    write_baseline([old], path)
    new = record(cell("coop"), 0.8, versions={"method": 2})
    new.provenance = Provenance(versions={"torch": "2.9", "python": "3.11"}, processor="B")
    comparison = compare([new], path)
    assert comparison.findings[0].note == "plugin versions or weights have changed"
    assert comparison.environment == ("processor: A in the baseline, B now", "torch: 2.8 in the baseline, 2.9 now")
    assert comparison.exit_code == 0
    assert compare([old], path).findings[0].note == ""


def test_one_seed_on_either_side(tmp_path: Path):
    path = tmp_path / "b.json"
    write_baseline([record(cell("coop"), 0.8)], path)
    assert compare([record(cell("coop"), 0.795)], path).exit_code == 0
    assert compare([record(cell("coop"), 0.78)], path).exit_code == 1


def test_the_markdown_summary_has_the_worse_first_and_counts_the_rest(baseline: Path):
    records = shifted(grid((*METHODS[:3], "visprompt"), seeds=(1, 2, 3), sd=SEED_SD, oracle=False), "coop", -0.03)
    comparison = compare(records, baseline)
    text = markdown(comparison, "ci/b.json", "results")
    assert text.startswith("### Regression gate: worse than the baseline\n\ncells: 5 worse, 0 failed, 5 missing")
    titles = ("10 equal", "**Worse** (6)", "**Missing", "<summary>New", "smallest drop", "next")
    order = [text.index(title) for title in titles]
    assert order == sorted(order)
    for block in text.split("\n\n"):  # every table is one: as many bars in each row
        bars = {line.count("|") for line in block.splitlines() if line.startswith("|")}
        assert len(bars) <= 1
    key = comparison.of("worse", "cell")[0].key
    assert f"`bench reproduce {key} --store results`" in text
    assert "`bench compare --write --baseline ci/b.json --store results`" in text
    text = markdown(comparison, "ci/b.json", "results", "ci", " --plugin mine.py")
    assert f"`bench reproduce {key} --store results --plugin mine.py`" in text
    assert "`bench compare --write --grid ci --baseline ci/b.json --store results --plugin mine.py`" in text


def test_a_summary_stays_short_and_says_nothing_but_text(tmp_path: Path):
    path = tmp_path / "b.json"
    write_baseline([record(cell("coop", shots=n), 0.8) for n in range(1, 61)], path)
    reason = "a|b <img src=x> `x`\nsecond *line*"
    broken = [record(cell("coop", shots=n), status="failed", reason=reason) for n in range(1, 61)]
    text = markdown(compare(broken, path), "b.json", "results")
    assert "… and 40 more." in text
    assert "a\\|b &lt;img src=x&gt;" in text
    assert "<img" not in text
    assert len(text.splitlines()) < 50


def test_a_pass_says_how_much_it_would_have_seen(baseline: Path):
    text = markdown(compare(grid(METHODS, seeds=(1, 2, 3), sd=SEED_SD, oracle=False), baseline), "b", "r")
    assert text.startswith("### Regression gate: passed\n")
    assert "The smallest drop that would have counted is 1.0 points" in text
    assert "- Nothing." in text


@pytest.mark.parametrize("seeds", [(1,), (1, 2), (1, 2, 3)], ids=len)
@pytest.mark.parametrize("other", [0, 3], ids=["same-seeds", "other-seeds"])
def test_the_drop_that_is_said_to_be_seen_is_seen_and_none_smaller(tmp_path: Path, seeds: tuple[int, ...], other: int):
    path = tmp_path / "b.json"
    write_baseline(measured(seeds), path)
    now = [seed + other for seed in seeds]
    for finding in compare(measured(now), path).findings:
        if finding.level == "cell" and "coop@clean" not in finding.label:
            noise, method = finding.label.split(" · ")[1:]
            drop = finding.difference + finding.tolerance  # of the accuracies as they stand
            for by, verdict in ((drop - 0.01, "same"), (drop + 0.01, "worse")):
                found = compare(measured(now, method, -by, noise.split(" ")[0]), path).findings
                assert [f.verdict for f in found if f.label == finding.label] == [verdict], (finding, by)


def test_many_other_seeds_say_what_the_rank_test_could_have_seen():
    generator = np.random.default_rng(3)
    before, now = list(generator.normal(80, 1, 10)), list(generator.normal(80.3, 1, 10))
    drop = smallest_drop(before, now, 0.001) + float(np.mean(now) - np.mean(before))
    assert rank_test(before, [value - drop + 1e-3 for value in now])[0] > 0.001
    assert rank_test(before, [value - drop - 1e-3 for value in now])[0] <= 0.001


def test_a_memorized_share_that_moved_is_a_change(tmp_path: Path):
    path, kept = tmp_path / "b.json", record(cell("coop", "symmetric", 0.5), 0.8)
    write_baseline([kept], path)
    moved = kept.model_copy(update={"curve": kept.curve.model_copy(update={"memorized": [0.1]})})
    assert compare([kept], path).changes == {"equal": 1}
    assert compare([moved], path).changes == {"changed": 1}


def test_a_change_beyond_the_minimum_effect_that_is_no_proof_is_named(tmp_path: Path):
    """Two seeds that fall by 10 and 50 points: nothing is proven of the next seed, and the gate says so."""
    path = tmp_path / "b.json"
    write_baseline(grid(METHODS, seeds=(1, 2), sd=SEED_SD, oracle=False), path)
    fallen = [
        *shifted(grid(("coop",), seeds=(1,), sd=SEED_SD, oracle=False), "coop", -0.1),
        *shifted(grid(("coop",), seeds=(2,), sd=SEED_SD, oracle=False), "coop", -0.5),
    ]
    others = grid(("zero-shot", "gce-coop", "joapr"), seeds=(1, 2), sd=SEED_SD, oracle=False)
    comparison = compare([*fallen, *others], path)
    assert comparison.exit_code == 0
    assert comparison.changes == {"equal": 15, "changed": 5}
    told = lines(comparison)
    assert sum(line.startswith("changed cell    digits · ") and "· coop: " in line for line in told) == 5
    assert "15 equal, 5 changed, none proven worse" in told[-2]
    assert told[-1] == "regression gate: passed, but 5 cells fell by more than 1 point without proof"
    assert any(line.startswith("Not even a fall to 0 % would be detected in digits ") for line in told)
    text = markdown(comparison, "b.json", "results")
    assert "**Changed by more than 1 point, not proven worse** (6)" in text


def test_a_gate_that_could_not_have_failed_is_no_pass(baseline: Path):
    records = shifted(grid(METHODS, seeds=(1, 2, 3), sd=SEED_SD, oracle=False), "coop", -0.4)
    comparison = compare(records, baseline, GateRules(minimum_effect=95))
    assert comparison.exit_code == 3
    assert "not a pass" in markdown(comparison, "b", "r").splitlines()[0]


def test_folds_are_no_experiments_of_their_own(tmp_path: Path):
    path = tmp_path / "b.json"
    folds = [record(cell("coop", subset="fold1of2"), 0.5)]
    assert write_baseline([record(cell("coop"), 0.8), *folds], path) == 1
    assert compare([record(cell("coop"), 0.8), *folds], path).counts == {**NONE, "same": 1}


def test_a_skipped_cell_is_missing_with_its_reason(tmp_path: Path):
    path = tmp_path / "b.json"
    write_baseline([record(cell("coop"), 0.8), record(cell("gce-coop"), 0.8)], path)
    now = [record(cell("coop"), 0.8), record(cell("gce-coop"), status="skipped", reason="no truth here")]
    (finding,) = compare(now, path).of("missing")
    assert finding.note == "skipped now: no truth here"


def test_findings_as_json_are_json(baseline: Path):
    records = grid(("coop", "visprompt"), seeds=(1, 2, 3), sd=SEED_SD, oracle=False)
    values = json.loads(json.dumps(compare(records, baseline).as_json(), allow_nan=False))
    assert values["counts"]["missing"] == 15
    assert {f["verdict"] for f in values["findings"]} == {"same", "new", "missing"}


# What the ci grid gave under many seeds, as `bench compare --write` puts it; see `scripts/gate_power.py`.
MEASURED = ROOT / "tests" / "ci_seeds.json"


def measured(seeds: Sequence[int], method: str = "", by: float = 0.0, noise: str = "") -> list[Record]:
    """Records of the ci grid as it was measured; `by` points are added to one method, its oracle row left alone.

    Where a kind of noise is named, under that kind alone.
    """
    found = []
    for group in read_baseline(MEASURED).groups.values():
        mine = group.cell["method"] == method and group.cell["subset"] == "all"
        moved = by if mine and noise in ("", group.cell["noise"]) else 0.0
        found += [record(Cell(**group.cell, seed=s), (group.accuracy[s] + moved) / 100) for s in seeds]
    return found


def test_ten_measured_reruns_with_other_seeds_are_not_flagged(tmp_path: Path):
    path = tmp_path / "b.json"
    known = sorted(next(iter(read_baseline(MEASURED).groups.values())).accuracy)
    write_baseline(measured((1, 2, 3)), path)
    generator = np.random.default_rng(0)
    for _ in range(10):
        seeds = [int(seed) for seed in generator.choice(known[3:], 3, replace=False)]
        comparison = compare(measured(seeds), path)
        assert (comparison.exit_code, comparison.counts["same"]) == (0, 9), lines(comparison)


@pytest.mark.parametrize("method", ["coop", "gce-coop", "visprompt", "zero-shot"])
def test_three_points_less_of_one_measured_method_are_caught_on_the_same_seeds(tmp_path: Path, method: str):
    path = tmp_path / "b.json"
    write_baseline(measured((1, 2, 3)), path)
    comparison = compare(measured((1, 2, 3), method, -3.0), path)
    assert worse(comparison) == {method}
    assert comparison.counts == {**NONE, "worse": 2, "same": 7}


def test_pooled_leaves_out_what_does_not_vary():
    variance, df = pooled_variance([{1: 1.0, 2: 3.0}, {1: 5.0, 2: 5.0}, {1: 4.0}])
    assert (variance, df) == (pytest.approx(2), 1)


def test_newest_takes_the_record_written_last():
    old, new = record(cell(), versions={"method": 1}), record(cell(), versions={"method": 2})
    old.provenance.finished, new.provenance.finished = "2031-01-01", "2030-01-01"
    assert newest([old, new]) == [old]
