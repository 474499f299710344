from __future__ import annotations

import itertools
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.grid import options
from bench.grid.expansion import Grid, _paper, expand
from bench.grid.options import noise_kind
from bench.grid.overrides import override
from bench.plugins import METHODS, NOISE
from bench.settings.layers import read_layers
from bench.settings.schema import Config, validated
from bench.variants import Variant, parse_value, parse_variant, split_list
from tests.registered import registered, say


def settings(text: str = "") -> Config:
    layers = read_layers()
    layers.lay(tomllib.loads(text), "my.toml")
    return validated(layers)


def cells(text: str, *sets: str, grid: str = "g") -> Grid:
    return expand(override(settings(text), grid, sets), grid)


def noises(grid: Grid) -> set[tuple[str, float]]:
    return {(planned.cell.noise, planned.cell.rate) for planned in grid.cells}


def rows(grid: Grid) -> set[str]:
    return {p.cell.method + ("@clean" if p.cell.subset == "clean" else "") for p in grid.cells}


SMALL = "[grid.g]\nmethod = ['coop']\nreference = []\nseed = 1\nnoise = 'none'\n"


def test_quick_is_the_design_s_cells_with_five_seeds_and_the_oracle_rows() -> None:
    grid = cells("", grid="quick")
    plain = [planned for planned in grid.cells if not planned.reference]
    assert len(plain) == 150
    oracle = [planned for planned in grid.cells if planned.reference]
    assert {(p.cell.method, p.cell.subset, p.cell.noise != "none") for p in oracle} == {("coop", "clean", True)}
    assert len(oracle) == 20
    assert len({planned.key for planned in grid.cells}) == 170


def test_the_order_is_stable_and_complete_by_seed() -> None:
    first, second = cells("", grid="quick"), cells("", grid="quick")
    assert [p.key for p in first.cells] == [p.key for p in second.cells]
    assert [seed for seed, _ in itertools.groupby(p.cell.seed for p in first.cells)] == [1, 2, 3, 4, 5]


def test_every_packaged_grid_expands() -> None:
    for name in settings().settings.grid:
        assert cells("", grid=name).cells


def test_embedded_has_every_method_and_kind_of_noise_of_the_package() -> None:
    """Of the kinds all that the embedded data can have without a file of the user's."""
    grid = cells("", grid="embedded")
    assert {planned.cell.method for planned in grid.cells} == {row.name for row in METHODS.rows()}
    found = {noise_kind(planned.cell.noise) for one in (grid, cells("", grid="noise")) for planned in one.cells}
    elsewhere = {"class-map", "cifar10-map", "superclass", "matrix", "human", "given", "mask"}
    assert found == {row.name for row in NOISE.rows()} - elsewhere


def test_defaults_and_in_place_options_share_a_key_and_others_do_not() -> None:
    text = "[grid.g]\nreference = []\nnoise = 'none'\nseed = 1\nmethod = "
    same = cells(text + "['gce-coop', 'gce-coop[q=0.7]', 'gce', 'gce[q=0.7,context=16]']")
    assert len(same.cells) == 1
    assert same.cells[0].cell.method == "gce-coop"
    assert same.cells[0].cell.options["q"] == 0.7
    assert len(cells(text + "['gce-coop', 'gce-coop[q=0.5]']").cells) == 2
    assert cells(text + "['gce-coop[q=1]']").cells[0].key == cells(text + "['gce-coop[q=1.0]']").cells[0].key


def test_method_defaults_of_the_settings_lie_under_options_in_place() -> None:
    text = "[method.gce-coop]\nq = 0.4\n[grid.g]\nreference=[]\nnoise='none'\nseed=1\nmethod=['gce', 'gce[q=0.5]']"
    assert [p.cell.options["q"] for p in cells(text).cells] == [0.4, 0.5]


def test_rate_zero_of_any_kind_is_none_and_the_clean_subset_of_clean_labels_is_all() -> None:
    noise = "['none', {kind='sym', rate=[0, 0.5]}, {kind='asym', rate=0.0}]"
    text = f"[grid.g]\nmethod='coop'\nreference='coop@clean'\nseed=1\nnoise={noise}"
    grid = cells(text)
    assert noises(grid) == {("none", 0.0), ("symmetric", 0.5)}
    shown = [(p.cell.noise, p.cell.subset, p.reference) for p in grid.cells]
    assert shown == [("none", "all", False), ("symmetric", "clean", True), ("symmetric", "all", False)]


def test_set_replaces_an_axis_and_commas_in_brackets_do_not_split() -> None:
    grid = cells(SMALL, "shots=1,2", "seed=3", "method=coop[context=4,init=],gce[q=0.5]")
    assert {p.cell.shots for p in grid.cells} == {1, 2}
    assert {p.cell.seed for p in grid.cells} == {3}
    assert {(p.cell.method, p.cell.options["context"]) for p in grid.cells} == {("coop", 4), ("gce-coop", 16)}


def test_set_rate_replaces_the_rates_of_every_kind_that_takes_one() -> None:
    grid = cells("", "rate=0.1", "seed=1", grid="quick")
    assert noises(grid) == {("none", 0.0), ("symmetric", 0.1), ("asymmetric", 0.1)}
    assert cells("", "rate=0.1,0.2", "noise=sym", "seed=1", grid="quick").notes == ()
    assert noises(cells("", "rate=0.1,0.2", "noise=sym", "seed=1", grid="quick")) == {
        ("symmetric", 0.1),
        ("symmetric", 0.2),
    }
    with pytest.raises(BenchError, match="takes no rate"):
        cells(SMALL, "rate=0.5")


def test_set_noise_keeps_the_grid_s_rates_and_else_states_the_protocol_s() -> None:
    text = "[grid.g]\nmethod='coop'\nnoise=[{kind='symmetric', rate=[0.3, 0.4]}]\nseed=1"
    assert noises(cells(text, "noise=sym")) == {("symmetric", 0.3), ("symmetric", 0.4)}
    other = cells(text, "noise=asymmetric")
    assert noises(other) == {("asymmetric", 0.25), ("asymmetric", 0.5)}
    assert other.notes == ("noise asymmetric has no rates in grid g; the protocol's 0.25, 0.5 are used.",)
    assert noises(cells(text, "noise=none,symmetric")) == {("none", 0.0), ("symmetric", 0.3), ("symmetric", 0.4)}


def test_naming_methods_drops_the_reference_rows_unless_they_are_named_too() -> None:
    noisy = "[grid.g]\nmethod=['gce-coop']\nnoise=[{kind='symmetric', rate=0.5}]\nseed=1"
    assert rows(cells(noisy)) == {"zero-shot", "coop@clean", "gce-coop"}
    assert rows(cells(noisy, "method=promptmae")) == {"promptmae"}
    assert rows(cells(noisy, "method=promptmae", "reference=zero-shot")) == {"promptmae", "zero-shot"}
    assert rows(cells(noisy, "reference=")) == {"gce-coop"}


def test_scalars_of_the_protocol_can_be_set() -> None:
    cell = cells(SMALL, "epochs=3", "learning_rate=1e-3", "batch_size=8", "eval_every=2").cells[0].cell
    assert (cell.epochs, cell.learning_rate, cell.batch_size, cell.eval_every) == (3, 0.001, 8, 2)


def test_the_paper_s_optimizer_counts_only_under_its_budget_and_below_the_grid() -> None:
    paper = "[method.coop.paper]\nepochs = 200\nbatch_size = 4\nmomentum = 0.0\n"
    assert cells(paper + SMALL).cells[0].cell.epochs == 50
    own = cells(paper + SMALL + "budget = 'paper'").cells[0].cell
    assert (own.epochs, own.batch_size, own.momentum, own.learning_rate) == (200, 4, 0.0, 0.002)
    named = cells(paper + SMALL + "budget = 'paper'\nbatch_size = 64").cells[0].cell
    assert (named.epochs, named.batch_size) == (200, 64)
    assert cells(paper + SMALL + "budget = 'paper'", "epochs=3").cells[0].cell.epochs == 3


def test_a_paper_sets_options_too_and_changes_them_by_cell() -> None:
    paper = (
        "[method.joapr.paper]\nepochs = 9\noptions = { warmup = 1, alpha1 = 0.2 }\n"
        "[[method.joapr.paper.when]]\nnoise = 'symmetric'\nrate = [0.25, 0.75]\noptions = { warmup = 3 }\nepochs = 5\n"
        "[[method.joapr.paper.when]]\ndataset = 'elsewhere'\noptions = { warmup = 7 }\n"
        "[[method.joapr.paper.when]]\nrate = 0.75\noptions = { alpha1 = 0.4 }\n"
    )
    grid = (
        "[grid.g]\nmethod=['joapr', 'joapr[warmup=2]']\nreference=[]\nseed=1\n"
        "noise=[{kind='symmetric', rate=[0.25, 0.5, 0.75]}]\n"
    )
    found = [
        (p.cell.rate, p.cell.options["warmup"], p.cell.options["alpha1"], p.cell.epochs)
        for p in cells(paper + grid + "budget = 'paper'").cells
    ]
    assert found == [
        (0.25, 3, 0.2, 5), (0.25, 2, 0.2, 5), (0.5, 1, 0.2, 9), (0.5, 2, 0.2, 9), (0.75, 3, 0.4, 5), (0.75, 2, 0.4, 5),
    ]  # fmt: skip
    equal = cells(paper + grid.replace("[0.25, 0.5, 0.75]", "0.25")).cells[0].cell
    assert (equal.options["warmup"], equal.options["alpha1"], equal.epochs) == (10, 0.5, 50)


def joapr(dataset: str, noise: str, rate: float) -> tuple[object, ...]:
    own, parts = _paper(settings().settings.method["joapr"].paper, {"dataset": dataset, "noise": noise, "rate": rate})
    chosen = {name: value for part in parts for name, value in part.items()}
    return chosen["warmup"], chosen["alpha1"], chosen["alpha2"], own["epochs"]


SYMFLIP, PAIRFLIP = "replacement", "replacement[pattern=pair]"


@pytest.mark.parametrize("noises", [(SYMFLIP, PAIRFLIP), ("symmetric", "asymmetric")])
def test_joapr_s_table(noises: tuple[str, str]) -> None:
    """Spot checks against the read-me of its repository."""
    symmetric, pair = noises
    assert joapr("caltech101", symmetric, 0.5) == (1, 0.5, 0.5, 200)
    assert joapr("flowers102", symmetric, 0.625) == (20, 0.5, 1.0, 200)
    assert joapr("flowers102", symmetric, 0.75) == (1, 0.5, 1.0, 200)
    assert joapr("flowers102", pair, 0.375) == (20, 0.5, 1.0, 200)
    assert joapr("ucf101", pair, 0.375) == (1, 0.5, 1.0, 200)
    assert joapr("eurosat", symmetric, 0.5) == (1, 0.2, 1.0, 200)
    assert joapr("eurosat", pair, 0.5) == (10, 0.2, 1.0, 200)
    assert joapr("eurosat", pair, 0.75) == (1, 0.1, 1.0, 200)
    assert joapr("dtd", pair, 0.75) == (1, 0.1, 1.0, 200)
    assert joapr("dtd", symmetric, 0.75) == (1, 0.2, 1.0, 200)
    assert joapr("fgvcaircraft", symmetric, 0.25) == (150, 0.1, 1.0, 200)
    assert joapr("imagenet", symmetric, 0.25) == (1, 0.5, 1.0, 50)


def test_a_paper_sets_views_shots_and_validation_and_the_grid_counts_more() -> None:
    paper = "[method.coop.paper]\nepochs = 4\nviews = 'epochs'\nshots = 32\nvalidation = 'clean'\ndrop_last = true\n"
    grid = paper + SMALL + "budget = 'paper'\n"
    one = cells(grid).cells[0].cell
    assert (one.views, one.shots, one.validation, one.drop_last) == (4, 32, "clean", True)
    other = cells(grid, "views=2", "shots=1", "validation=noisy", "epochs=3", "drop_last=false").cells[0].cell
    assert (other.views, other.shots, other.validation, other.drop_last) == (2, 1, "noisy", False)
    assert cells(grid, "epochs=3").cells[0].cell.views == 3
    assert cells(SMALL + "views = 'epochs'\nepochs = [2, 5]").cells[1].cell.views == 5
    equal = cells(paper + SMALL).cells[0].cell
    assert (equal.views, equal.shots, equal.validation, equal.drop_last) == (0, 16, "noisy", False)


def test_tip_adapter_s_table() -> None:
    """Every data set's search and start of alpha in its authors' configurations (Tip-Adapter d0e2d6f)."""
    table = {
        "imagenet": (7, 3, 1.17), "caltech101": (12, 5, 3), "flowers102": (50, 50, 10), "stanfordcars": (20, 10, 3),
        "food101": (10, 10, 1.17), "sun397": (12, 10, 1.17), "ucf101": (7, 3, 3), "dtd": (13, 13, 2),
        "eurosat": (12, 10, 2), "fgvcaircraft": (30, 30, 5), "oxfordpets": (7, 3, 1.17),
    }  # fmt: skip
    for dataset, expected in table.items():
        axes = {"dataset": dataset, "noise": "none", "rate": 0.0, "shots": 16}
        for name in ("tip-adapter", "tip-adapter-f"):
            own, parts = _paper(settings().settings.method[name].paper, axes)
            chosen = {name: value for part in parts for name, value in part.items()}
            asked = ("search_beta", "search_alpha", *(["alpha"] if name == "tip-adapter-f" else []))
            assert tuple(chosen[option] for option in asked) == expected[: len(asked)], (name, dataset)
            assert own["views"] == 10


@pytest.mark.parametrize("budget", ["paper", "equal"])
def test_what_papers_do_on_one_data_set_alone(budget: str) -> None:
    """Against the authors' scripts and tables of templates: ensembles, templates, the pooled logit."""
    asked = ["dataset=dtd,imagenet", "method=upl,robust-upl,kgcoop,prograd,plot", "shots=4,16", f"budget={budget}"]
    found = {(p.cell.dataset, p.cell.method, p.cell.shots): p.cell for p in cells(SMALL, *asked).cells}
    assert len(found) == 20
    for (dataset, method, shots), cell in found.items():
        paper, dtd = budget == "paper", budget == "paper" and dataset == "dtd"
        expected: dict[str, object] = {
            "upl": {"members": 16 if paper else 1},
            "robust-upl": {"members": 4 if paper else 1},
            "kgcoop": {"template": "a photo of a {}, a type of texture." if dtd else "dataset"},
            "prograd": {
                "template": "a texture of {}." if dtd else "dataset",
                "projection": 0.8 if dtd and shots == 16 else 1.0,
            },
            "plot": {"pooled": paper and dataset == "imagenet"},
        }[method]
        assert {name: cell.options[name] for name in expected} == expected, (dataset, method, shots)


@pytest.mark.parametrize("name", list(METHODS))
def test_every_method_says_what_its_paper_does(name: str) -> None:
    table = settings().settings.method.get(name)
    if name == "zero-shot":
        return
    assert table is not None, "add [method.NAME.paper] to bench.toml"
    assert "epochs" in table.paper.model_fields_set
    for part in (table.paper, *table.paper.when):
        options.method_options(name, part.options)  # raises where an option is unknown or out of range


@pytest.mark.parametrize(
    "match", ["noise = 'sym'", "noise = 'symmetric'", "dataset = 'pets'", "dataset = ['oxfordpets', 'oxford_pets']"]
)
def test_what_a_paper_changes_is_found_under_every_name_of_an_axis(match: str) -> None:
    grid = SMALL.replace("'none'", "{kind='symmetric', rate=0.5}") + "dataset = 'oxfordpets'\nbudget = 'paper'\n"
    epochs = cells(f"[[method.coop.paper.when]]\n{match}\nepochs = 7\n{grid}").cells[0].cell.epochs
    assert epochs == (200 if "'pets'" in match else 7)


def test_a_tuned_budget_has_a_learning_rate_for_each_method_whatever_the_noise() -> None:
    rates = "[tuned.tiny]\ngce-coop = 0.07\n"
    grid = "[grid.g]\nmethod=['coop', 'gce-coop[q=0.5]']\nreference=[]\nseed=1\nbudget='tuned'\nlearning_rate_of=1\n"
    grid = grid.replace("learning_rate_of=1\n", "noise=['none', {kind='symmetric', rate=0.5}]\n")
    found = {(p.cell.method, p.cell.rate): p.cell.learning_rate for p in cells(rates + grid).cells}
    assert found["gce-coop", 0.0] == found["gce-coop", 0.5] == 0.07
    assert {p.cell.learning_rate for p in cells(rates + grid, "learning_rate=0.01").cells} == {0.01}
    assert cells(rates.replace("gce-coop", "gce") + grid).cells == cells(rates + grid).cells
    with pytest.raises(BenchError, match="no learning rates for backbone RN50/openai; run: python"):
        cells(rates + grid, "backbone=RN50/openai")
    with pytest.raises(BenchError, match='unknown method "cop"'):
        cells("[tuned.tiny]\ncop = 0.07\n" + grid)


def test_a_star_is_every_method_of_this_package() -> None:
    found = cells("[grid.g]\nmethod=['*', 'coop[loss=gce]']\nreference=[]\nseed=1\nnoise=['none']\n").cells
    assert sorted({p.cell.method for p in found}) == sorted(METHODS)
    assert len(found) == len(list(METHODS)) + 1
    assert len(cells("[grid.g]\nreference=[]\nseed=1\nnoise=['none']\n", "method=*").cells) == len(found) - 1


def test_a_method_has_one_table() -> None:
    with pytest.raises(BenchError, match=r"\[method.gce\]: gce is gce-coop; write \[method.gce-coop\], which is there"):
        cells("[method.gce]\nq = 0.3\n" + SMALL)


def test_a_number_may_be_written_as_in_toml() -> None:
    assert {planned.cell.seed for planned in cells(SMALL, "seed=1_000").cells} == {1000}


def test_excludes_drop_cells_that_match_every_entry() -> None:
    text = (
        "[grid.g]\nmethod=['coop', 'gce', 'gce[q=0.5]']\nreference=[]\nseed=[1, 2]\n"
        "noise=['none', {kind='symmetric', rate=[0.25, 0.5]}]\nexclude="
    )
    whole = 3 * 2 * 3
    assert len(cells(text + "[{method='gce'}]").cells) == whole - 2 * 2 * 3
    assert len(cells(text + "[{method='gce[q=0.5]'}]").cells) == whole - 2 * 3
    assert len(cells(text + "[{noise='sym', rate=0.5, seed=2}]").cells) == whole - 3
    assert len(cells(text + "[{seed=1}, {method='coop'}]").cells) == 2 * 3
    assert len(cells(text + "[{backbone='ViT-B-16/OpenAI'}]", "backbone=tiny,ViT-B-16/openai").cells) == whole
    with pytest.raises(BenchError, match="no cell left"):
        cells(text + "[{dataset='digits'}]")


@pytest.mark.parametrize(
    ("text", "sets", "message"),
    [
        (SMALL, ["metod=coop"], 'unknown axis "metod"; did you mean "method"?'),
        (SMALL, ["method"], "not of the form axis=value"),
        (SMALL, ["seed="], "empty value"),
        (SMALL, ["seed=1,,2"], "empty value"),
        (SMALL, ["seed=1", "seed=2"], "given twice"),
        (SMALL, ["learning_rate=1,2"], "has 2 values"),
        (SMALL, ["shots=0"], "--set: shots = 0: expected greater than or equal to 1."),
        (SMALL, ["shots=many"], "--set: shots = 'many': expected a valid integer."),
        (SMALL, ["epochs=0"], "--set: epochs = 0: expected greater than or equal to 1."),
        (SMALL, ["rate=1.0", "noise=sym"], "--set: rate = 1.0: expected less than 1."),
        (SMALL, ["rate=-0.1", "noise=sym"], "--set: rate = -0.1: expected greater than or equal to 0."),
        (SMALL, ["method=copp"], 'unknown method "copp"; did you mean "coop"?'),
        (SMALL, ["noise=symetric"], 'unknown noise "symetric"; did you mean "symmetric"?'),
        (SMALL, ["dataset=digit"], 'unknown dataset "digit"; did you mean "digits"?'),
        (SMALL, ["backbone=tinny"], 'unknown backbone "tinny"; did you mean "tiny"?'),
        (SMALL, ["backbone=none.safetensors"], '"none.safetensors" cannot be read'),
        (SMALL, ["method=gce-coop[qq=1]"], 'method "gce-coop" has no option "qq"; did you mean "q"?'),
        (SMALL, ["method=gce-coop[q=2]"], 'method "gce-coop": option q = 2: expected at most 1.'),
        (SMALL, ["method=gce-coop[q]"], '"q" is not of the form option=value'),
        (SMALL, ["method=gce-coop[q=1,q=1]"], 'gives option "q" twice'),
        (SMALL, ["method=coop@dirty"], 'only "@clean", "@folds4"'),
        (SMALL, ["method=coop[context=4"], "check brackets"),
        ("[grid.g]\nnoise=[{kind='none', rate=0.5}]", [], "noise none takes no rate"),
        (SMALL + "[method.copp]\nq = 1", [], 'unknown method "copp"; did you mean "coop"?'),
        (SMALL + "[dataset.digit]\nroot = ''", [], 'unknown dataset "digit"; did you mean "digits"?'),
    ],
)
def test_mistakes_are_one_line_with_the_nearest_name_or_the_range(text: str, sets: list[str], message: str) -> None:
    with pytest.raises(BenchError) as caught:
        cells(text, *sets)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_grid_names_the_nearest() -> None:
    with pytest.raises(BenchError, match='unknown grid "quik"; did you mean "quick"'):
        cells("", grid="quik")


def test_versions_of_plugins_are_part_of_the_key() -> None:
    before = cells(SMALL).cells[0].key
    for registry, name in ((METHODS, "coop"), (NOISE, "none")):
        with registered():
            say(registry, name, version=registry.row(name).version + 1)
            assert cells(SMALL).cells[0].key != before
    assert cells(SMALL).cells[0].key == before


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b-c", "d_e"]), st.one_of(st.integers(), st.booleans())),
        unique_by=lambda t: t[0],
    )
)
def test_variants_are_read_as_they_are_written(options: list[tuple[str, int | bool]]) -> None:
    inside = ",".join(f"{name}={str(value).lower()}" for name, value in options)
    text = f"some-method[{inside}]" if options else "some-method"
    assert parse_variant(text) == Variant("some-method", dict(options))
    assert split_list(f"x,{text},y") == ["x", text, "y"]
    assert parse_variant(text + "@clean").subsets == ("clean",)


def test_values_are_numbers_truth_or_text() -> None:
    assert [parse_value(text) for text in ("1", "1.0", "1e-3", "true", "a, b", '" a"', "-2")] == [
        1, 1.0, 0.001, True, "a, b", " a", -2,
    ]  # fmt: skip
    assert parse_variant('coop[init="a photo, of a"]').options == {"init": "a photo, of a"}


def test_options_of_built_in_plugins_are_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = options.method_options("gce", {"q": 0.5})
    monkeypatch.setattr(options.METHODS, "get", lambda name: pytest.fail("asked again"))
    assert options.method_options("gce", {"q": 0.5}) == first
