"""Every method against all of the contract's checks, and its variants against those that an option can change."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bench.contracts.method import Context, Inputs
from bench.plugins import METHODS
from bench.seeds import Stream
from bench.testing import checks

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
    "sce": ({"faithful": True}, {"a": 0.1}),
    "label-smoothing": ({"smoothing": -1.0}, {"split": "argmax", "rest": "label-smoothing"}),
    "nlprompt": ({"faithful": True}, {"split": "argmax"}, {"curriculum": 2, "growth": "exp"}, {"rest": "gce"}),
    "tecoprompt": (
        {"faithful": True},
        {"faithful": True, "curriculum": 2},
        {"split": "argmax"},
        {"rewrite": False},
        {"patience": 1, "threshold": 0.0},
        {"patience": 1, "middle": "ce", "minimum": 2},
        {"rest": "gce", "ot_reg": 0.5},
    ),
    "ot-clean": ({"split": "argmax"},),
    "zero-shot-filter": ({"rest": "mae"},),
    "clipcleaner": ({"faithful": True}, {"rest": "mae"}, {"classifiers": "zero-shot"}, {"template": "a {}."}),
    "joapr": ({"faithful": True}, {"targets": "epoch"}, {"warmup": 0}, {"beta": 0.0}, {"beta": 1.0}),
    "srrs": ({"faithful": True}, {"rescreen": "none"}, {"warmup": 0, "beta": 1.0}, {"loss": "gce"}, {"init": ""}),
    "elr": ({"faithful": True}, {"loss": "gce", "split": "argmax"}),
    "co-teaching": ({"faithful": True}, {"loss": "gce"}, {"class_specific": True}),
    "dividemix": ({"warmup": 0}, {"window": 5, "penalty": 1.0}, {"class_specific": True}),
    "coop-split": SPLIT,
    "visprompt": VISPROMPT,
    "upl": ({"members": 3}, {"members": 2, "average": "probabilities"}, {"class_specific": True}, {"per_class": 2}),
    "robust-upl": ({"members": 3}, {"pick": "surest"}, {"loss": "ce"}),
    "linear-probe": ({"faithful": True}, {"search": False}),
    "clip-adapter": ({"loss": "gce", "split": "ot"}, {"ratio": 1.0}),
    "tip-adapter": ({"faithful": True}, {"search": False}),
    "tip-adapter-f": ({"loss": "gce", "split": "ot"}, {"search": False}),
    "clap": (
        {"faithful": True},
        {"constraint": "cosine"},
        {"constraint": "none"},
        {"multiplier": "unit", "adaptive": True},
        {"loss": "gce", "split": "ot", "faithful": True},
    ),
    "cocoop": ({"class_specific": True}, {"init": ""}, {"loss": "gce", "split": "ot"}),
    "kgcoop": ({"init": ""}, {"loss": "gce", "split": "ot"}, {"template": "a {}."}),
    "prograd": ({"init": ""}, {"faithful": True}, {"class_specific": True}, {"loss": "gce", "split": "ot"}),
    "plot": ({"pooled": True}, {"class_specific": True}, {"prompts": 1}, {"loss": "gce", "split": "ot"}),
    "maple": ({"depth": 1}, {"split": "ot"}, {"init": "", "context": 3}, {"faithful": True}),
    "promptsrc": ({"depth": 1}, {"loss": "gce"}, {"split": "argmax"}, {"init": ""}, {"faithful": True}),
    "deft": ({"real": True}, {"loss": "gce"}, {"class_specific": True}, {"fine_tune": 1}),
}
TRAINED_ALONE: tuple[tuple[str, dict[str, Any]], ...] = (
    ("visprompt", {"control": "shuffled"}),  # the images of other samples are no part of a batch
    ("deft", {"fine_tune": 1}),  # whole weights of the backbone
    ("plot", {"faithful": True}),  # its iteration stops by a value
)
OWN = {checks.does_what_options_say}  # tests/testing/test_effects.py holds every method against it, once


@pytest.mark.parametrize("check", [c for c in checks.CHECKS if c not in OWN], ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", list(METHODS))
def test_contract(name: str, check: checks.Check) -> None:
    method = METHODS.get(name)
    assert check(method, method.Options()) in (None, "", "bit for bit")


# Each of these alone catches a defect that shows beside another option only: tests/testing/test_checks.py plants them.
ON_VARIANTS: tuple[checks.Check, ...] = (
    checks.has_finite_gradients,
    checks.starts_from_the_seed,
    checks.predicts_one_by_one,
    checks.tells_of_samples_one_by_one,
    checks.ignores_padding,
    checks.uses_what_it_declares,
    checks.runs_as_a_pack,
)


@pytest.mark.parametrize(
    ("name", "options"),
    [(name, options) for name, variants in VARIANTS.items() for options in variants],
    ids=lambda value: str(value).replace("'", ""),
)
def test_contract_of_a_variant(name: str, options: dict[str, Any]) -> None:
    method = METHODS.get(name)
    for check in ON_VARIANTS:
        remark = check(method, method.Options(**options))
        assert remark in (None, "", "bit for bit") or (name, options) in TRAINED_ALONE


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
    ("sce", {}, 8_192),
    ("double-softmax", {}, 8_192),
    ("label-smoothing", {}, 8_192),
    ("nlprompt", {}, 8_192),
    ("tecoprompt", {}, 8_192),
    ("ot-clean", {}, 8_192),
    ("zero-shot-filter", {}, 8_192),
    ("clipcleaner", {}, 8_192),
    ("joapr", {}, 8_192),
    ("srrs", {}, 4_096),
    ("srrs", {"init": "", "context": 16}, 16_384),
    ("cocoop", {}, 35_360),
    ("kgcoop", {}, 2_048),
    ("prograd", {}, 8_192),
    ("plot", {}, 32_768),
    ("elr", {}, 8_192),
    ("co-teaching", {}, 16_384),
    ("dividemix", {}, 16_384),
    ("coop-split", {}, 8_192),
    ("visprompt", {}, 2_637_824),
    ("visprompt", {"ffn": 1024}, 3_162_624),
    ("visprompt", {"ffn": 2048}, 4_212_224),
    ("upl", {}, 8_192),
    ("upl", {"members": 16}, 131_072),
    ("robust-upl", {}, 8_192),
    ("linear-probe", {}, 51_300),
    ("clip-adapter", {}, 131_072),
    ("tip-adapter", {}, 0),
    ("tip-adapter-f", {}, 819_200),
    ("clap", {}, 51_200),
    ("maple", {}, 3_555_072),
    ("promptsrc", {}, 46_080),
    ("deft", {}, 200_704),
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
        phrase=lambda text: torch.ones(len(text.split()), 512),
        text_layers=12,
        vision_width=768,
        vision_layers=12,
        patch_size=16,
    )
    train = Inputs(torch.zeros(1600, 512), torch.zeros(1, 1, 1).expand(1600, 196, 512))
    names = tuple(f"class {number}" for number in range(100))
    observed = torch.arange(1600) % 100
    streams = Stream(1, "init"), Stream(1, "method")
    facts = {"noise_rate": 0.5}
    built.setup(
        Context(names, ("a photo of a {}.",), observed, tower, train, *streams, 32, 50, oracle=facts, pool=train)
    )
    assert sum(parameter.numel() for parameter in built.parameters()) == expected
