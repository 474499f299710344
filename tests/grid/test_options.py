"""Options as they are given: what does nothing is refused, what is not finite or out of all bounds too."""

from __future__ import annotations

import tomllib
from itertools import accumulate
from typing import Any

import pytest
from pydantic import BaseModel, Field

from bench.contracts.conditions import idle
from bench.errors import BenchError
from bench.grid.expansion import expand
from bench.grid.options import layered, method_options, noise_options, noise_variant
from bench.grid.overrides import override
from bench.plugins import METHODS, NOISE
from bench.settings.layers import packaged_file, read_layers
from bench.settings.schema import Config, Optimizer, load_config, validated
from bench.variants import parse_variant
from tests.testing.toys import Toy


@pytest.fixture(autouse=True)
def _packaged_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(packaged_file().parent)


def overlaid(text: str) -> Config:
    layers = read_layers()
    layers.lay(tomllib.loads(text), "my.toml")
    return validated(layers)


def fails(message: str, config: Config, *sets: str, grid: str = "quick") -> None:
    with pytest.raises(BenchError) as caught:
        expand(override(config, grid, sets), grid)
    assert str(caught.value) == message


def told(config: Config, grid: str, *sets: str) -> tuple[str, ...]:
    return expand(override(config, grid, sets), grid).notes


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        (
            "coop[q=0.5]",
            "q = 0.5 does nothing here; it counts with loss=gce, or with rest=gce and split other than none.",
        ),
        ("coop[init=a photo,context=4]", 'context = 4 does nothing here; it counts with init="".'),
        ("co-teaching[rest=ce]", "rest = 'ce' does nothing here; no value of the other options makes it count."),
        ("nlprompt[split=argmax,ot_reg=0.1]", "ot_reg = 0.1 does nothing here; it counts with split=ot."),
        ("visprompt[form=identity,ffn=8]", "ffn = 8 does nothing here; it counts with form=literal."),
        ("tip-adapter[alpha=2.0]", "alpha = 2.0 does nothing here; it counts with search=false."),
        ("elr[lambda_elr=inf]", "lambda_elr = inf: expected a finite number."),
        ("sce[a=-inf]", "a = -inf: expected a finite number."),
        ("promptsrc[mean=nan]", "mean = nan: expected a finite number."),
        ("visprompt[gate_bias=inf]", "gate_bias = inf: expected 'form' or a finite number."),
        ("coop-split[alpha=nan]", "alpha = nan: expected 'certain' or a finite number."),
        ("gce-coop[q=true]", "q = True: expected a number."),
        ("plot[iterations=1000000000]", "iterations = 1000000000: expected at most 10,000."),
        ("upl[per_class=100000000000000000000]", "per_class = 100000000000000000000: expected at most 1,000,000."),
    ],
)
def test_an_option_that_does_nothing_or_is_absurd(variant: str, message: str) -> None:
    method = parse_variant(variant).name
    fails(f'method "{method}": option {message}', load_config(), f"method={variant}")


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        ("none[on_top=true]", "on_top = True: expected false."),
        ("instance[temperature=inf]", "temperature = inf: expected a finite number."),
        ("instance[sd=nan]", "sd = nan: expected a finite number."),
        ("instance[temperature=1e-30]", "temperature = 1e-30: expected greater than or equal to 0.000001."),
    ],
)
def test_an_option_of_noise(variant: str, message: str) -> None:
    with pytest.raises(BenchError) as caught:
        noise_variant(variant)
    assert str(caught.value) == f'noise "{parse_variant(variant, "noise").name}": option {message}'


@pytest.mark.parametrize("kind", list(NOISE))
def test_kinds_that_change_nothing_have_nothing_to_be_on_top_of(kind: str) -> None:
    model = NOISE.get(kind).Options
    if NOISE.get(kind).on_true:
        assert model(on_top=True).on_top
    else:
        with pytest.raises(ValueError, match="False"):
            model(on_top=True)
    assert noise_options(kind)["on_top"] is False  # and stands in every key as before


def test_a_table_of_a_method_may_not_hold_what_does_nothing() -> None:
    config = overlaid("[method.coop]\nq = 0.5\n")
    counts = "it counts with loss=gce, or with rest=gce and split other than none."
    fails(f"[method.coop]: option q = 0.5 does nothing here; {counts}", config, "method=coop")
    assert expand(override(config, "quick", ["method=coop[loss=gce]"]), "quick").cells[0].cell.options["q"] == 0.5
    fails(
        'method "elr": option lambda_elr = inf: expected a finite number.',
        overlaid("[method.elr]\nlambda_elr = inf\n"),
        "method=elr",
    )


def test_what_a_choice_in_place_makes_idle_is_no_mistake_and_takes_the_default() -> None:
    tables = overlaid("[method.nlprompt]\not_reg = 0.1\n")
    plain = expand(override(load_config(), "quick", ["method=nlprompt[split=argmax]"]), "quick").cells
    assert expand(override(tables, "quick", ["method=nlprompt[split=argmax]"]), "quick").cells == plain
    assert expand(override(tables, "quick", ["method=nlprompt"]), "quick").cells[0].cell.options["ot_reg"] == 0.1


def test_what_holds_anyway_may_be_said() -> None:
    """The command that a report gives for a cell names every option."""
    assert method_options("coop", {"q": 0.7, "rest": "mae", "loss": "ce"}) == method_options("coop", {})


def test_what_a_paper_sets() -> None:
    config = overlaid("[method.coop.paper]\noptions = {q = 0.5}\n")
    counts = "it counts with loss=gce, or with rest=gce and split other than none."
    fails(f"[method.coop.paper]: option q = 0.5 does nothing here; {counts}", config, "method=coop", "budget=paper")
    config = overlaid('[method.coop.paper]\noptions = {loss = "gce"}\n')
    cells = expand(override(config, "quick", ["method=coop[q=0.5]", "budget=paper"]), "quick").cells
    assert cells[0].cell.options["q"] == 0.5
    assert layered("gce", [("", {}), ("[method.gce-coop.paper]", {"q": 0.5})])["q"] == 0.5
    infinite = overlaid("[method.sce.paper]\noptions = {a = inf}\n")
    fails('method "sce": option a = inf: expected a finite number.', infinite, "method=sce", "budget=paper")


def test_the_packaged_settings_hold_no_idle_option() -> None:
    """Beside the method's table, beside its paper's, and beside each `when` of it."""
    for name, table in load_config().settings.method.items():
        paper, model = table.paper, METHODS.get(name).Options
        for part in ({}, *(when.options for when in paper.when)):
            layers = [table.options, paper.options, part]
            for given, whole in zip(layers, accumulate(layers, lambda a, b: {**a, **b}), strict=True):
                assert not given.keys() & idle(model.model_validate(whole)).keys(), name


def test_the_packaged_papers_name_no_key_that_the_loop_does_not_heed() -> None:
    for name, table in load_config().settings.method.items():
        own = table.paper.model_dump(exclude_unset=True, exclude={"when", "options"})
        for part in ({}, *(when.model_dump(exclude_unset=True) for when in table.paper.when)):
            budget = Optimizer(
                **{key: value for key, value in {**own, **part}.items() if key in Optimizer.model_fields}
            )
            assert not budget.model_fields_set & idle(budget).keys(), name


class Foreign(Toy):
    """A third party's, whose options are not derived from ours."""

    class Options(BaseModel):  # type: ignore[assignment]
        weight: float = 1.0
        q: float = Field(default=0.7, json_schema_extra={"when": "weight>1"})


class Typo(Toy):
    """A third party's with a condition on nothing."""

    class Options(BaseModel):  # type: ignore[assignment]
        q: float = Field(default=0.7, json_schema_extra={"when": "wieght>1"})


class Boundless(Toy):
    """A third party's with an infinite default."""

    class Options(BaseModel):  # type: ignore[assignment]
        weight: float = float("inf")


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize(
    ("method", "given", "message"),
    [
        (Foreign, {"weight": float("inf")}, "option weight = inf: expected a finite number."),
        (Foreign, {"q": 0.5}, "option q = 0.5 does nothing here; it counts with weight above 1."),
        (Boundless, {}, "option weight = inf: expected a finite number."),
        (Typo, {}, 'option q counts beside "wieght", which is no option; correct its declaration.'),
    ],
)
def test_options_of_a_third_party(method: Any, given: dict[str, Any], message: str) -> None:
    METHODS.register("foreign", method)
    with pytest.raises(BenchError) as caught:
        method_options("foreign", given)
    assert str(caught.value) == f'method "foreign": {message}'


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["epsilon=1"], "--set epsilon = 1.0 does nothing in grid quick; it counts with optimizer other than sgd."),
        (
            ["optimizer=adam", "momentum=0.5"],
            "--set momentum = 0.5 does nothing in grid quick; it counts with optimizer=sgd.",
        ),
        (
            ["schedule=constant", "warmup_epochs=3"],
            "--set warmup_epochs = 3 does nothing in grid quick; it counts with schedule=cosine.",
        ),
        (
            ["warmup_epochs=0", "warmup_learning_rate=1e-3"],
            "--set warmup_learning_rate = 0.001 does nothing in grid quick; it counts with schedule=cosine and "
            "warmup_epochs above 0.",
        ),
        (
            ["epochs=1", "learning_rate=0.1"],
            "--set learning_rate = 0.1 does nothing in grid quick; it counts with schedule other than cosine, or with "
            "epochs above warmup_epochs.",
        ),
        (
            ["epochs=1", "eval_every=2"],
            "--set eval_every = 2 does nothing in grid quick; it counts with epochs above 1.",
        ),
    ],
)
def test_what_the_training_loop_does_not_heed_is_told(sets: list[str], message: str) -> None:
    assert told(load_config(), "quick", "method=coop", "noise=none", *sets) == (message,)


def test_a_table_s_key_that_the_loop_does_not_heed() -> None:
    config = overlaid("[grid.mine]\nnoise = 'none'\noptimizer = 'adam'\nmomentum = 0.5\n")
    message = "my.toml: grid.mine.momentum = 0.5 does nothing in grid mine; it counts with optimizer=sgd."
    assert told(config, "mine") == (message,)


@pytest.mark.parametrize(
    ("grid", "sets"),
    [
        ("mine", ["optimizer=adam"]),  # the table was right without it
        ("quick", ["epochs=1"]),  # the grid names a learning rate
        ("paper", ["epsilon=1e-3"]),  # heeded by tip-adapter-f alone
        ("quick", ["epochs=2", "learning_rate=0.1", "eval_every=2"]),
    ],
)
def test_what_is_not_told(grid: str, sets: list[str]) -> None:
    assert told(overlaid("[grid.mine]\nnoise = 'none'\nmomentum = 0.5\n"), grid, *sets) == ()
