"""Examine installed versions against the required ranges, and whether plugins import."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from importlib import metadata

from bench.doctor.diagnosis import Diagnosis, judged
from bench.errors import BenchError, described
from bench.plugins import REGISTRIES
from bench.registry import BUILT_IN, load_plugin_file

PROJECT = "noisy-prompt-bench"
SHOWN = ("torch", "ray", "open-clip-torch", "pandas", "numpy")  # also where nothing is wrong with them
INSTALL = "uv pip install "


def requirements() -> list[str]:
    """List what the installed project requires, in pyproject's notation, without extras."""
    return [text for text in metadata.requires(PROJECT) or () if "extra ==" not in text]


def versions() -> Iterator[Diagnosis]:
    """Compare installed versions with the ranges that the project is tested with."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    wrong = {}
    for text in requirements():
        required = Requirement(text)
        try:
            found = metadata.version(required.name)
        except metadata.PackageNotFoundError:
            found = ""
        if not found or not required.specifier.contains(found, prereleases=True):
            wrong[required.name] = text
        if canonicalize_name(required.name) in SHOWN or required.name in wrong:
            told = f"{found or 'not installed'} (tested with {required.specifier})"
            yield judged(required.name, told, required.name in wrong, f"{INSTALL}{shlex.quote(text)}")


def installed_plugins() -> Iterator[Diagnosis]:
    """Import every plugin of an installed package."""
    for registry in REGISTRIES:
        try:
            rows = [row for row in registry.rows() if row.origin != BUILT_IN and not row.plugin_file]
        except BenchError as error:
            yield Diagnosis(f"{registry.kind} plugins", "problem", str(error), "uv pip list")
            continue
        for row in rows:
            package = row.origin.removeprefix("package ").partition(" ")[0]
            mend = (
                f"{INSTALL}--reinstall {shlex.quote(package)}" if row.origin.startswith("package ") else "uv pip list"
            )
            try:
                registry.get(row.name)
                yield Diagnosis(f"{registry.kind} {row.name}", "ok", f"imports ({row.origin})")
            except BenchError as error:
                yield Diagnosis(f"{registry.kind} {row.name}", "problem", str(error), mend)
            except Exception as error:  # noqa: BLE001 - foreign code
                yield Diagnosis(f"{registry.kind} {row.name}", "problem", described(error), mend)


def plugin_files(files: Sequence[str]) -> Iterator[Diagnosis]:
    """Import the plugin files that were named."""
    for file in files:
        try:
            load_plugin_file(file)
            yield Diagnosis("plugin file", "ok", f'"{file}" imports')
        except BenchError as error:
            yield Diagnosis("plugin file", "problem", str(error), f"bench test {shlex.quote(file)}")
