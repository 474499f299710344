"""Options against their declarations, for every method of the registry; and that a wrong declaration is noticed."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

import pytest
from torch import Tensor

from bench.contracts import method
from bench.plugins import METHODS
from bench.testing import checks, effects
from tests.testing.toys import Toy

# What a run of 20 samples on a tower of two layers cannot show, and the test that does.
UNSEEN = {
    ("clap", "adaptive"): "test_clap: test_the_trajectory_of_the_weights[l2adaptative]",
    ("tecoprompt", "minimum"): "test_tecoprompt: test_t3_a_label_that_alone_is_due_is_rewritten_at_once",
    ("tecoprompt", "smoothing"): "test_tecoprompt: test_a_memory_smooths_waits_and_rewrites",
    **{
        (method, option): "test_tip_adapter: test_the_grid_and_its_steps_decide_what_is_found"
        for method in ("tip-adapter", "tip-adapter-f")
        for option in ("search_beta", "steps_beta", "steps_alpha")
    },
    ("tip-adapter", "faithful"): "test_tip_adapter: test_labels_without_the_last_class, test_a_search_without_a_hit",
    ("tip-adapter-f", "faithful"): "test_tip_adapter: test_labels_without_the_last_class, test_a_search_without_a_hit",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", list(METHODS))
def test_every_option_changes_a_run_exactly_where_it_counts(name: str) -> None:
    method = METHODS.get(name)
    checks.does_what_options_say(method, method.Options())


@pytest.mark.parametrize("name", list(METHODS))
def test_every_option_with_another_value_is_tried(name: str) -> None:
    options = METHODS.get(name).Options()
    unseen = {option for method, option in UNSEEN if method == name}
    for option, spec in type(options).model_fields.items():
        extra: Any = spec.json_schema_extra
        assert bool(extra.get("unseen")) == (option in unseen), option
        fixed = get_origin(spec.annotation) is Literal and len(get_args(spec.annotation)) == 1
        assert fixed or list(effects.variants(options, option)), option


class Ignores(Toy):
    __doc__ = Toy.__doc__

    class Options(Toy.Options):
        weight: float = method.scalar(1.0, "a weight that nothing reads", ge=0)


class Forgets(Toy):
    """Declares no condition for the exponent of GCE."""

    class Options(Toy.Options):
        q: float = method.scalar(0.7, "exponent of gce", gt=0, le=1)


class Denies(Toy):
    """Says of the place of the class name that it counts beside one loss alone."""

    class Options(Toy.Options):
        position: Literal["end", "middle", "front"] = method.structural("end", "where the name stands", "loss=gce")


class Echoes(Toy):
    """Reports an option that does nothing else."""

    class Options(Toy.Options):
        weight: float = method.scalar(1.0, "reported alone", "loss=gce", ge=0)

    def diagnostics(self) -> dict[str, float]:
        return {**super().diagnostics(), "weight": float(self.options.weight)}  # type: ignore[attr-defined]


class Lost(Toy):
    __doc__ = Toy.__doc__

    class Options(Toy.Options):
        weight: float = method.scalar(1.0, "a weight", "los=gce", ge=0)


class Breaks(Toy):
    """Knows one loss alone, and offers all of them."""

    def objective(self, logits: Tensor, batch: method.Batch) -> dict[str, Tensor]:
        return {"half": super().objective(logits, batch)["ce"] / 2}


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (Ignores, "option weight does nothing beside the defaults, tried 2.0, 0.5, 0.25, 0.0"),
        (Forgets, "option q does nothing beside the defaults"),
        (Denies, "option position counts beside the defaults, where it is declared to do nothing"),
        (Echoes, "option weight counts beside the defaults, where it is declared to do nothing"),
    ],
)
def test_a_wrong_declaration_is_noticed(method: type[method.Method], message: str) -> None:
    found = list(effects.differences(method, method.Options(), [message.split()[1]]))
    assert found
    assert found[0].startswith(message)


def test_a_condition_on_no_option_is_noticed() -> None:
    with pytest.raises(ValueError, match='option weight counts beside "los", which is no option'):
        checks.does_what_options_say(Lost, Lost.Options())


def test_an_option_that_breaks_the_method_is_named() -> None:
    with pytest.raises(AssertionError, match=r"loss=gce: KeyError: 'ce'"):
        checks.does_what_options_say(Breaks, Breaks.Options())
