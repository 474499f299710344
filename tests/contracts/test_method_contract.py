"""Every registered method, in every variant that changes its code path, against the contract's checks."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bench.seeds import Stream
from methods import METHODS
from methods.base import Context, Inputs
from tests.contracts import checks

VISPROMPT = (
    {"form": "identity"},
    {"evidence": "pooled"},
    {"control": "image-free"},
    {"control": "shuffled"},
    {"control": "constant-gate"},
    {"control": "no-film"},
    {"control": "coop"},
    {"prompt_dropout": 0.1},
)
SPLIT = ({"ot_scope": "batch"}, {"split": "argmax"}, {"split": "none"}, {"alpha": 0.5}, {"loss": "ce"}, {"loss": "gce"})
VARIANTS: dict[str, tuple[dict[str, Any], ...]] = {
    "zero-shot": ({"template": "a {}."},),
    "coop": ({"class_specific": True}, {"init": "a photo of a"}, {"position": "middle"}, {"position": "front"}),
    "gce-coop": ({"q": 0.5},),
    "promptmae": ({"factor": 2.0},),
    "joapr": ({"faithful": True}, {"targets": "epoch"}, {"warmup": 0}, {"beta": 0.0}, {"beta": 1.0}),
    "coop-split": SPLIT,
    "visprompt": VISPROMPT,
}
CASES = [(name, options) for name in METHODS for options in ({}, *VARIANTS.get(name, ()))]


@pytest.mark.parametrize("check", checks.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(("name", "options"), CASES, ids=lambda value: str(value).replace("'", ""))
def test_contract(name: str, options: dict[str, Any], check: checks.Check) -> None:
    method = METHODS.get(name)
    check(method, method.Options(**options))


@pytest.mark.parametrize("name", list(METHODS))
def test_row_agrees_with_the_class(name: str) -> None:
    row, method = METHODS.row(name), METHODS.get(name)
    assert row.target.split(":")[1] == method.__name__


COUNTS = [
    ("zero-shot", {}, 0),
    ("coop", {}, 8_192),
    ("coop", {"class_specific": True}, 819_200),
    ("coop", {"context": 4}, 2_048),
    ("gce-coop", {}, 8_192),
    ("promptmae", {}, 8_192),
    ("joapr", {}, 8_192),
    ("coop-split", {}, 8_192),
    ("visprompt", {}, 2_637_824),
    ("visprompt", {"ffn": 1024}, 3_162_624),
    ("visprompt", {"ffn": 2048}, 4_212_224),
]


@pytest.mark.parametrize(("name", "options", "expected"), COUNTS)
def test_parameters_on_a_tower_of_the_size_of_vit_b_16(name: str, options: dict[str, Any], expected: int) -> None:
    method = METHODS.get(name)
    built = method(method.Options(**options))
    tower: Any = SimpleNamespace(
        width=512,
        scale=torch.tensor(100.0),
        class_tokens=lambda names: names,
        text_templates=lambda texts: torch.ones(len(texts), 512),
    )
    train = Inputs(torch.zeros(2, 512), torch.zeros(2, 196, 512))
    names = tuple(f"class {number}" for number in range(100))
    observed = torch.zeros(2, dtype=torch.long)
    streams = Stream(1, "init"), Stream(1, "method")
    built.setup(Context(names, ("a photo of a {}.",), observed, tower, train, *streams, batch_size=32, epochs=50))
    assert sum(parameter.numel() for parameter in built.parameters()) == expected
