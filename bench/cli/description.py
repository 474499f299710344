"""Description of one plugin: what its row says, its options, its needs, its source."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Final

from bench.registry import Registry
from bench.rows import UNIFORM, Row

NEEDS: Final = {
    "tokens": "patch tokens of the images",
    "pixels": "the images themselves, for prompts in the image tower",
    "full_pass": "a pass over the training set at the start of an epoch",
    "per_image_text": "text features for each image",
    "pool": "the whole training split, without its labels",
    "views": "all augmented views at set-up, where a cell has any",
    "validation": "the validation twin, with its noisy labels",
    "separate_gradients": "the gradient of each loss term",
    "trains_backbone": "a copy of the backbone to train",
}
ROLES: Final = {"scalar": "cells that differ in it share a pack"}
Option = dict[str, Any]


def described(registry: Registry[Any], name: str) -> dict[str, Any]:
    """Describe a plugin, which is imported for it.

    Raises:
        BenchError: the name is unknown, or the plugin cannot be imported.
    """
    row, plugin = registry.row(name), registry.get(name)
    facts: dict[str, Any] = {
        "name": row.name,
        "title": row.title,
        "also": ", ".join(row.aliases),
        "summary": row.summary,
        "paper": row.paper,
        "from": f"{row.origin}, version {row.version}{_under(row)}, {row.target}",
    }
    facts |= _MORE.get(registry.kind, _nothing)(row, plugin)
    text = inspect.getdoc(plugin) or ""
    return {name: fact for name, fact in facts.items() if fact} | {"text": text, "options": options_of(plugin)}


def _under(row: Row) -> str:
    return " (its own with {}: {})".format(*row.version_when) if row.version_when else ""


def options_of(plugin: Any) -> list[Option]:
    """List the options of a plugin: name, default, meaning and when it counts; those of its own class first."""
    declared = getattr(plugin, "Options", None)
    if declared is None:
        return []
    own = declared.__annotations__
    ordered = sorted(declared.model_fields.items(), key=lambda item: item[0] not in own)
    return [_option(name, field) for name, field in ordered]


def _option(name: str, field: Any) -> Option:
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, Mapping) else {}
    meaning = [field.description or "", *(f"counts where {extra['when']}" for _ in (1,) if extra.get("when"))]
    return {
        "option": name,
        "default": field.default,
        "meaning": "; ".join([*meaning, *(ROLES[role] for role in (extra.get("role"),) if role in ROLES)]),
    }


def needs_of(method: Any, oracle: str = "the {}, which a user would not know (oracle)") -> str:
    """Describe what a method must be given; `oracle` is the form of what a user would not know."""
    needs = method.needs(method.Options())
    told = [NEEDS[field.name] for field in fields(needs) if field.name in NEEDS and getattr(needs, field.name)]
    told += [oracle.format(fact.replace("_", " ")) for fact in needs.oracle]
    return "; ".join(told) or "pooled image features alone"


def _method(row: Row, method: Any) -> dict[str, str]:
    when = f" with {row.alone_when}" if row.alone_when else ""
    return {
        "family": row.family,
        "needs": needs_of(method),
        "cost": f"an epoch takes {row.cost:g} times as long as CoOp's",
        "packs": row.alone and f"never in lockstep{when}: {row.alone}",
    }


def limit_text(row: Row) -> str:
    """Describe up to which rates the labels of a kind of noise can tell the truth; C classes."""
    beside = f" ({row.beside})" if row.beside else ""
    option = row.commonest.partition("=")[0]
    limits = [
        *([f"up to a rate of {row.identifiable:g}{beside}"] if row.identifiable < 1 else []),
        *([f"below {'(C-1)/C' if option == UNIFORM else f'1/(1 + {option})'}"] if option else []),
    ]
    return ", ".join(limits) or "at every rate"


def _noise(row: Row, kind: Any) -> dict[str, str]:
    return {
        "rate": "nominal" if kind.takes_rate else "none: labels are as they are",
        "starts from": "true labels" if kind.on_true else "labels as stored",
        "labels can tell the truth": limit_text(row) if kind.takes_rate else "",
    }


def _dataset(_: Row, dataset: Any) -> dict[str, str]:
    return {
        "licence": getattr(dataset, "licence", ""),
        "source": getattr(dataset, "source", ""),
        "modes": ", ".join(dataset.modes),
        "files": "" if not dataset.embedded else "comes with the package",
    }


def _function(_: Row, function: Any) -> dict[str, str]:
    return {"is given": ", ".join(inspect.signature(function).parameters)}


def _nothing(_: Row, __: Any) -> dict[str, str]:
    return {}


_MORE: Final[Mapping[str, Callable[[Row, Any], dict[str, str]]]] = {
    "method": _method, "noise": _noise, "dataset": _dataset, "loss": _function, "split": _function,
}  # fmt: skip
