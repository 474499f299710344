"""Runs the contract's checks on methods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.contracts.method import Method, Options
from bench.engine.trial import one_thread
from bench.errors import BenchError, escape
from bench.grid.options import method_options
from bench.plugins import LOSSES, METHODS, SPLITS
from bench.registry import Registry, load_plugin_file
from bench.testing.checks import CHECKS, Check
from bench.variants import parse_variant

TESTED: Mapping[Registry[Any], str] = {METHODS: "{}", LOSSES: "coop[loss={}]", SPLITS: "coop[split={}]"}


@dataclass(frozen=True)
class CheckResult:
    """Result of one check of one method; `reason` is empty where it passed, and `remark` mostly."""

    method: str
    check: str
    reason: str = ""
    remark: str = ""


def run_checks(method: type[Method], chosen: Options, name: str = "") -> list[CheckResult]:
    """Run every check on a method with these options, with one thread, as cells are trained."""
    name = name or method.__name__
    with one_thread():
        return [CheckResult(name, check.__name__, *_outcome(check, method, chosen)) for check in CHECKS]


def _outcome(check: Check, method: type[Method], chosen: Options) -> tuple[str, str]:
    """Return why a check failed, and its remark where it passed."""
    try:
        return "", check(method, chosen) or ""
    except Exception as error:  # noqa: BLE001 - whatever a plugin does wrong is what the user wants to read
        text = " ".join(str(error).split()) or "no reason given"
        return text if isinstance(error, AssertionError | BenchError) else f"{type(error).__name__}: {text}", ""
    except SystemExit as error:
        return escape(error), ""


def check_plugin(plugin: str) -> list[CheckResult]:
    """Run every check on a method, a variant of one, or all methods that a file registers.

    Args:
        plugin: a method's name, a variant such as "gce-coop[q=0.5]", or a Python file that registers methods, losses or
            splits; the latter two are checked as options of CoOp.

    Raises:
        BenchError: there is no such method, or the file registers nothing that is tested.
    """
    results: list[CheckResult] = []
    for text in _named(plugin):
        variant = parse_variant(text)
        method = METHODS.get(variant.name)
        results += run_checks(
            method, method.Options.model_validate(method_options(variant.name, variant.options)), text
        )
    return results


def _named(plugin: str) -> list[str]:
    if not plugin.endswith(".py"):
        return [plugin]
    before = {registry: set(registry) for registry in TESTED}
    load_plugin_file(plugin)
    origin = f"file {Path(plugin).name}"
    added = [
        text.format(row.name)
        for registry, text in TESTED.items()
        for row in registry.rows()
        if row.name not in before[registry] or row.origin == origin
    ]
    if not added:
        raise BenchError(f'plugin file "{plugin}" registers no method; call bench.register(name, Class) in it.')
    return added
