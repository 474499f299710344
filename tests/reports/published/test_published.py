from __future__ import annotations

import csv
import math
import os
import re
import shlex
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bench.cli.main import invoke
from bench.clip import identity
from bench.grid.expansion import expand
from bench.grid.options import noise_variant
from bench.grid.overrides import override
from bench.plugins import DATASETS, METHODS
from bench.records.record import Record
from bench.reports.build import build_report, option_defaults
from bench.reports.chapters.published import published_supplement
from bench.reports.document import Supplement
from bench.reports.frame import tidy
from bench.reports.output.markdown import markdown_lines
from bench.reports.published import match as rules
from bench.reports.published.match import NEARLY, NONE, REPEATED, SAME, reading
from bench.reports.published.numbers import FILE, load, parse, published_numbers
from bench.settings.schema import load_config
from tests import ROOT
from tests.reports.factory import cell, grid, record, write_store
from tests.reports.latex import compile_tables
from tests.reports.published.small import PLACE, SMALL, full, held, of, of_number

sys.path.insert(0, str(ROOT / "scripts"))
from collect_published import MARK, collect

RESEARCH = os.environ.get("NOISY_PROMPT_BENCH_RESEARCH", "")
PAPER = {"coop": 200, "gce-coop": 50, "nlprompt": 200, "ot-clean": 200}


def paper_grid(methods: Sequence[str] = tuple(PAPER), seeds: Sequence[int] = (1, 2, 3), **changes: Any) -> list[Record]:
    """CoOp, GCE-CoOp, NLPrompt and its clean part, each with its paper's budget, on Caltech101 with RN50."""
    columns = (("none", 0.0), *((k, r) for k in ("symmetric", "asymmetric") for r in (0.125, 0.25, 0.5, 0.75)))
    given = {"gce-coop": {"q": 0.5}}
    return [
        record(
            cell(
                m, k, r, s, options=full(m, **given.get(m, {})), epochs=PAPER[m], budget="paper", eval_every=10,
                **{**PLACE, **changes},
            )
        )
        for m in methods for k, r in columns for s in seeds
    ]  # fmt: skip


@pytest.fixture(scope="module")
def papers() -> Supplement:
    return part_of(paper_grid())


def said(part: Supplement) -> str:
    return "\n".join(markdown_lines(part.chapters))


def part_of(records: list[Record], text: str | None = None) -> Supplement:
    known = option_defaults({made.cell.method for made in records})
    return published_supplement(tidy(records, known), records, known, parse(text) if text else None)


# The file


def test_the_file_says_of_every_number_what_it_is():
    assert len(FILE.read_bytes()) < 200_000
    published = load()
    found = published_numbers(published)
    assert len(found) == 1144
    assert set(published.rows) == set(published.table)
    assert {x.sheet.source for x in found} == set(published.source)
    assert set(published.doubt) == {doubt for x in found for doubt in x.row.doubt}
    assert set(published.method) == {x.row.method for x in found}
    assert {x.noise for x in found} == {
        "", "none", "symmetric", "asymmetric", "replacement", "given", "human[labels=fine]",
    }  # fmt: skip


def test_epochs_are_those_of_the_row_the_method_or_nobody():
    epochs: dict[str, set[tuple[str, int | None]]] = defaultdict(set)
    for x in published_numbers(load()):
        epochs[x.table].add((x.method, x.budget.epochs))
    assert epochs["nlprompt-main"] == {("coop", None), ("gce-coop", None), ("joapr", None), ("nlprompt", 200)}
    assert epochs["nlprompt-rerun"] == {("nlprompt", 200), ("ot-clean", 200)}
    assert {count for _, count in epochs["tecoprompt-4"]} == {100}
    assert epochs["mlpt"] >= {("coop", 50), ("maple", 5), ("maple", 50)}


def test_every_name_of_ours_in_the_file_exists():
    published = load()
    for name in filter(None, published.dataset.values()):
        assert DATASETS.row(name).name == name
        assert DATASETS.get(name).modes[:1] in ((), (rules.DEFAULT_MODE,))
    for name in filter(None, published.backbone.values()):
        assert identity.canonical(name) == name
    for text in {x.noise for x in published_numbers(published)} - {""}:
        assert noise_variant(text) == text
    for x in published_numbers(published):
        if x.method:
            known = METHODS.get(x.method).Options.model_validate(x.options).model_dump()
            assert {*x.options, *x.unstated} <= set(known)
            assert {name: known[name] for name in x.options} == x.options


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ('method = "CoOp", noise = "sym", seeds', 'method = "Coop", noise = "sym", seeds'),
        ('dataset = "Elsewhere", method', 'dataset = "Nowhere", method'),
        ('noise = "swap", rates', 'noise = "pair", rates'),
        ('doubt = ["odd"]', 'doubt = ["even"]'),
        ("accuracy = [80.0, 70.25]", "accuracy = [80.0]"),
        ("accuracy = [77.0]", "accuracy = [770.0]"),
        ('restates = ["main"]', 'restates = ["again"]'),
        ('arxiv = "3001.00001"', ""),
        ('seen = "paper"', 'seen = "heard"'),
    ],
)
def test_a_file_that_explains_less_than_it_holds_is_refused(broken: str, message: str):
    parse(SMALL)
    assert broken in SMALL
    with pytest.raises(ValueError, match=r"not explained|differ in length|outside|either arxiv|Input should be"):
        parse(SMALL.replace(broken, message))


def test_the_usual_error_of_a_replication_is_that_of_the_numbers():
    told, published = load().replication, load()
    sides = {
        name: {
            (row.dataset, row.noise, rate): accuracy
            for row in published.rows[name]
            if published.method[row.method].variant == "nlprompt" and row.dataset not in told.without
            for rate, accuracy in zip(row.rates or (), row.accuracy, strict=True)
        }
        for name in (told.published, told.rerun)
    }
    there, again = sides[told.published], sides[told.rerun]
    off = [again[cell] - there[cell] for cell in there.keys() & again.keys()]
    assert len(off) == told.cells
    assert sum(off) / len(off) == pytest.approx(told.mean, abs=0.005)
    assert sum(map(abs, off)) / len(off) == pytest.approx(told.mean_absolute, abs=0.005)
    assert max(map(abs, off)) == pytest.approx(told.largest, abs=1e-9)


@pytest.mark.skipif(not RESEARCH, reason="NOISY_PROMPT_BENCH_RESEARCH does not name the folder of published.csv")
def test_the_file_holds_the_collection_and_nothing_else():
    text = (Path(RESEARCH) / "published.csv").read_text(encoding="utf-8")
    assert collect(text, FILE.read_text(encoding="utf-8")) == FILE.read_text(encoding="utf-8")
    published = load()
    mine: Counter[tuple[Any, ...]] = Counter()
    for x in published_numbers(published):
        row, index = x.row, x.row.accuracy.index(x.accuracy)
        mine[
            (*x.sheet.collected_as, row.dataset, row.noise, x.rate, x.shots, row.backbone or x.sheet.backbone,
             row.method, x.accuracy, row.std[index] if row.std else None)
        ] += 1  # fmt: skip
    theirs: Counter[tuple[Any, ...]] = Counter()
    for one in csv.DictReader(text.splitlines()):
        noise, backbone = (one[name].replace("unstated", "") for name in ("noise_type", "backbone"))
        rate, std = (float(one[name]) if one[name] else None for name in ("noise_rate", "std"))
        shots = int(one["shots"]) if one["shots"].isdigit() else one["shots"] or None
        theirs[
            (one["source"], one["table"], one["dataset"], noise, rate, shots, backbone, one["method"],
             float(one["accuracy"]), std)
        ] += 1  # fmt: skip
    left = theirs - mine
    assert not mine - theirs
    out = Counter((x.source, x.table, x.dataset, x.method, x.accuracy) for x in published.left_out)
    assert Counter({(*key[:3], *key[7:9]): count for key, count in left.items()}) == out
    assert all(x.reason for x in published.left_out)


HEADER = "source,table,dataset,noise_type,noise_rate,shots,backbone,method,accuracy,std,note\n"
LINE = "paper,one,Caltech101,sym,{rate},16,RN50,CoOp,{accuracy},,{note}\n"


def test_rows_are_collected_and_what_is_not_explained_stops_the_script():
    head = SMALL.partition(MARK)[0]
    lines = [
        LINE.format(rate=0.25, accuracy="80", note="3 seeds"),
        LINE.format(rate=0.5, accuracy="70.25", note="3 seeds; ODD"),
    ]
    text = collect(HEADER + "".join(lines), head)
    assert collect(HEADER + "".join(lines), text) == text
    first, second = parse(text).rows["main"]
    assert (first.rates, first.accuracy, first.seeds, first.doubt) == ((0.25,), (80.0,), 3, ())
    assert (second.accuracy, second.doubt) == ((70.25,), ("odd",))
    with pytest.raises(SystemExit, match='the remark "guessed" is not explained'):
        collect(HEADER + LINE.format(rate=0.5, accuracy="70", note="3 seeds; guessed"), head)
    with pytest.raises(SystemExit, match='table "three" of "paper" is not described'):
        collect(HEADER + lines[0].replace(",one,", ",three,"), head)


# What is compared


def test_the_same_protocol_is_compared():
    records = [of("coop", "symmetric", 0.5, last, seed) for seed, last in ((1, 71.0), (2, 72.0), (3, 73.0))]
    row = of_number(held(records), "main", 70.25)
    assert (row["grade"], row["differences"], row["doubt"]) == (SAME, "", "")
    assert (row["ours"], row["ours_sd"], row["ours_n"]) == (pytest.approx(72), pytest.approx(1), 3)
    assert row["difference"] == pytest.approx(1.75)
    assert row["published_sd"] == pytest.approx(0.5 * math.sqrt(3 / 2))  # printed: over the population
    assert row["reading"] == "within seeds"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"dataset": "caltech101[mode=tv]"}, "other split of the data (coop there, tv here)"),
        ({"noise": "asymmetric"}, "other construction of the noise (symmetric there; asymmetric here)"),
        (
            {"noise": "symmetric[on_top=true]"},
            "other construction of the noise (symmetric there; symmetric[on_top=true] here)",
        ),
        ({"backbone": "ViT-B-16/openai"}, "other backbone (RN50/openai there, ViT-B-16/openai here)"),
        ({"shots": 8}, "other shots (16 there, 8 here)"),
        ({"method": "sce"}, "coop not run here"),
        ({"epochs": 200, "views": 200}, "other budget (epochs 50 there, 200 here)"),
        ({"learning_rate": 0.005}, "other budget (learning rate 0.002 there, 0.005 here)"),
        ({"optimizer": "adam"}, "other budget (optimizer sgd there, adam here)"),
        (
            {"options": full("coop", class_specific=True)},
            "other variant of the method (coop[class_specific=false] there, coop[class_specific=true] here)",
        ),
        ({"rate": 0.375}, "rate 0.5 not run here"),
        ({"status": "failed"}, "no seed has finished here"),
        ({"subset": "clean"}, "no row of ours"),
    ],
)  # fmt: skip
def test_the_reason_why_a_number_is_not_compared(changes: dict[str, Any], reason: str):
    given = {"method": "coop", "noise": "symmetric", "rate": 0.5, **changes}
    fields = {"options": full(str(given["method"])), "views": 50, **PLACE, **given}
    status = fields.pop("status", "done")
    row = of_number(held([record(cell(**fields), 0.71, status=status)]), "main", 70.25)
    assert (row["grade"], row["reason"]) == (NONE, reason)
    assert math.isnan(row["difference"])


def test_the_first_reason_counts():
    """Split before noise before backbone before shots before budget before variant, and the nearest of our rows."""
    order = [
        ({"dataset": "caltech101[mode=tv]"}, "other split"),
        ({"noise": "asymmetric"}, "other construction"),
        ({"backbone": "tiny"}, "other backbone"),
        ({"shots": 4}, "other shots"),
        ({"epochs": 20}, "other budget"),
        ({"options": full("coop", context=4)}, "other variant"),
    ]
    for start in range(len(order)):
        changes = {key: value for one, _ in order[start:] for key, value in one.items()}
        fields = {"views": 50, "options": full("coop"), "noise": "symmetric", "rate": 0.5, **PLACE, **changes}
        row = of_number(held([record(cell(**fields), 0.7)]), "main", 70.25)
        assert row["reason"].startswith(order[start][1])
    unknown = held(
        [of("coop", "symmetric", 0.5, 70.0, dataset="caltech101[mode=tv]")], SMALL.replace('split = "coop"', "")
    )
    assert of_number(unknown, "main", 70.25)["reason"] == "other split of the data (not stated there, tv here)"
    near = [of("coop", "asymmetric", 0.5, 60.0), of("coop", "symmetric", 0.25, 79.0)]
    assert of_number(held(near), "main", 70.25)["reason"] == "rate 0.5 not run here"
    others = [of("coop", "asymmetric", 0.5, 60.0), of("sce", "symmetric", 0.5, 79.0)]
    assert of_number(held(others), "main", 70.25)["reason"].startswith("other construction of the noise")


def test_what_is_known_against_a_number_keeps_it_out():
    rows = held([of(m, "symmetric", r, 70.0) for m in ("coop", "gce-coop") for r in (0.25, 0.375, 0.5)])
    void, theirs = of_number(rows, "main", 16.0), of_number(rows, "main", 90.0)
    assert (void["grade"], void["reason"]) == (NONE, "not to be relied on: never trained")
    assert (theirs["grade"], theirs["reason"]) == (NONE, "no such method here")
    again, own = of_number(rows, "again", 80.02), of_number(rows, "again", 75.0)
    assert (again["grade"], again["reason"]) == (REPEATED, "repeats Paper, Table 1")
    assert own["grade"] == NEARLY
    assert 50.0 not in {row["published"] for row in rows}
    unstated = held([of("coop", "symmetric", 0.5, 70.0)], SMALL.replace('noise = "sym", seeds = 3', "seeds = 3"))
    assert of_number(unstated, "main", 70.25)["reason"] == "construction of the noise not stated there"
    nowhere = SMALL.replace('backbone = "RN50"\nshots = 16\nselection', "shots = 16\nselection")
    row = of_number(held([of("coop", "symmetric", 0.5, 70.0)], nowhere), "main", 70.25)
    assert row["reason"] == "backbone not stated there, or none of CLIP's (RN50/openai here)"


@pytest.mark.parametrize(
    ("difference", "spreads", "meaning"),
    [
        (1.0, (0.5, math.nan), "within seeds"),
        (-1.01, (0.5, 0.2), "within replication"),
        (-2.5, (0.5, 1.25), "within seeds"),
        (2.0, (math.nan, math.nan), "within replication"),
        (2.01, (math.nan, 1.0), "above"),
        (-2.01, (math.nan, 1.0), "below"),
    ],
)
def test_what_a_difference_means(difference: float, spreads: tuple[float, float], meaning: str):
    assert reading(difference, spreads, 2.0) == meaning


# The report


def test_tables_of_the_papers_protocol(papers: Supplement):
    part = papers
    assert {table.name.rpartition("-")[2] for table in part.tables} == {"symmetric", "asymmetric"}
    frame = part.files["published"]
    mine = part.files["published-caltech101-16shots-RN50_openai-paper"]
    assert set(mine["grade"]) == {NEARLY}  # plain images, at the least
    assert len(frame[frame["grade"] == NEARLY]) == len(mine)
    coop = mine[(mine["label"] == "CoOp") & (mine["noise"] == "symmetric") & (mine["rate"] == 0.5)]
    assert list(coop["published"]) == [70.9]
    ours = [
        100 * r.accuracy.last
        for r in paper_grid()
        if (r.cell.method, r.cell.noise, r.cell.rate) == ("coop", "symmetric", 0.5)
    ]
    assert coop["difference"].item() == pytest.approx(sum(ours) / 3 - 70.9)
    text = said(part)
    assert "### Published tables, cell by cell\n\nNLPrompt, main table: 16 of 319 numbers stand beside ours" in text
    assert "plain images here, new random crops and flips in every epoch there." in text
    assert (
        "NLPrompt, main table: CVPR 2025, arXiv 2412.01256; not seen itself, restated in Table 1 of TecoPrompt" in text
    )
    assert "other backbone (ViT-B-32/openai there, RN50/openai here)" in text
    assert "?: doubtful: which cell the number belongs to was reconstructed from a scrambled copy" in text
    shown = sum(entry.printed != "–" for table in part.tables for s in table.sections for entry in s.rows[1].entries)
    assert shown == len(mine)  # nothing twice, nothing lost


def test_a_table_that_is_too_long_for_a_page_goes_on_in_another():
    shares = [q / 20 for q in range(1, 18)]
    made = [of("gce-coop", "symmetric", 0.5, 80.0, options=full("gce-coop", q=q)) for q in shares]
    part = part_of(made)  # q is not stated where GCE-CoOp is published
    assert [table.name.rpartition("-")[2] for table in part.tables] == ["1", "2"]
    assert [len(table.sections) for table in part.tables] == [12, 5]


def test_a_table_says_where_the_number_of_seeds_is_another_one():
    part = part_of([of("coop", "symmetric", r, 71.0, s) for r, s in ((0.5, 1), (0.5, 2), (0.25, 1))], SMALL)
    assert any("(n): number of finished seeds, where it is not 2." in table.notes for table in part.tables)


def test_where_no_run_would_compare_no_command_is_named():
    text = said(part_of([of("coop", "symmetric", 0.5, 70.0)], SMALL.replace("shots = 16\n", "")))
    assert "No run would change that: what is known of these numbers does not suffice." in text


def test_an_empty_comparison_says_so_and_what_to_run():
    part = part_of(grid())
    assert part.tables == () and part.files == {}  # noqa: PT018
    text = said(part)
    assert "No published number is on digits, so there is nothing to compare with." in text
    assert "`bench run --grid nlprompt --set dataset=caltech101`" in text
    other = part_of(paper_grid(("coop",), (1,), backbone="ViT-B-16/openai"))
    text = said(other)
    assert "other backbone (RN50/openai there, ViT-B-16/openai here)" in text
    assert "`bench run --grid nlprompt --set dataset=caltech101`" in text
    assert "There are some on" not in text


@pytest.mark.parametrize(
    ("dataset", "name"),
    [("caltech101", "nlprompt"), ("food101n", "tecoprompt"), ("sun397", "tecoprompt"), ("fgvcaircraft", "paper")],
)
def test_the_command_that_is_named_gives_cells_that_compare(
    dataset: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    text = said(part_of([of("coop", "symmetric", 0.5, 70.0, dataset=dataset, backbone="tiny")]))
    command, count = re.findall(r"`bench run (.*?)` gives cells that (\d+) of", text)[0]
    words = shlex.split(command)
    assert words[:2] == ["--grid", name]
    sets = [word for word in words[2:] if word != "--set"]
    planned = expand(override(load_config(None), name, [*sets, "seed=1"]), name).cells
    frame = part_of([record(one.cell, 0.7) for one in planned]).files["published"]
    compared = frame[frame["grade"].isin((SAME, NEARLY))]
    assert len(compared.drop_duplicates(["sheet", "published_as", "noise", "rate"])) >= int(count)


def test_without_the_flag_nothing_changes(tmp_path: Path):
    records = paper_grid(("coop",), (1, 2))
    build_report(records, tmp_path / "plain", figures=0)
    build_report(records, tmp_path / "more", published=True, figures=0)
    plain, more = (
        {p.relative_to(root).as_posix(): p.read_text(encoding="utf-8") for p in root.rglob("*") if p.is_file()}
        for root in (tmp_path / "plain", tmp_path / "more")
    )
    added = more.keys() - plain.keys()
    assert plain.keys() <= more.keys()
    assert {Path(name).suffix for name in added} == {".csv", ".md", ".tex"}
    assert all(name.startswith("tables/published") for name in added)
    changed = {name for name in plain if plain[name] != more[name]}
    assert changed == {"report.html", "report.md", "report.tex", "files.txt"}
    assert "Published numbers" not in plain["report.md"]
    assert "## Published numbers\n" in more["report.md"]
    rows = list(csv.DictReader(more["tables/published.csv"].splitlines()))
    assert len(rows) >= 136  # all numbers on Caltech101
    assert {row["grade"] for row in rows} == {NEARLY, NONE, REPEATED}
    assert all(bool(row["reason"]) == (row["grade"] != NEARLY) for row in rows)


def test_the_flag_reaches_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    store = write_store(tmp_path / "results", paper_grid(("coop",), (1,)))
    for flags, expected in ((["--published"], True), ([], False)):
        assert invoke(["report", *flags, "--csv", "--figures", "0"]) == 0
        assert (store / "report/tables/published.csv").is_file() == expected
    assert "report:" in capsys.readouterr().out


def test_tables_compile_with_booktabs_alone(tmp_path: Path, papers: Supplement):
    compile_tables(tmp_path, papers.tables)
