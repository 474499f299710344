"""Versions outside the tested ranges, and plugins that do not import."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bench.doctor import packages
from bench.plugins import METHODS
from bench.registry import Row
from tests import ROOT
from tests.doctor.subjects import problems


def told(text: str) -> tuple[str, str]:
    required = Requirement(text)
    return canonicalize_name(required.name), str(required.specifier)


def test_ranges_are_those_of_the_project() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert set(map(told, packages.requirements())) == set(map(told, declared))


def test_versions_within_the_ranges_are_shown() -> None:
    found = list(packages.versions())
    assert not problems(found)
    assert {one.check for one in found} == {"torch", "ray", "open-clip-torch", "pandas", "numpy"}


def test_versions_outside_and_missing_packages_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"ray": "1.13.0", "numpy": "2.1.0"}

    def version(name: str) -> str:
        if name in known:
            return known[name]
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(packages, "requirements", lambda: ["ray[tune]>=2.50,<2.61", "numpy>=2.0", "psutil>=6.0"])
    wrong = problems(packages.versions())
    assert [(one.check, one.mend) for one in wrong] == [
        ("ray", "uv pip install 'ray[tune]>=2.50,<2.61'"),
        ("psutil", "uv pip install 'psutil>=6.0'"),
    ]
    assert wrong[0].found.startswith("1.13.0 ")
    assert wrong[1].found.startswith("not installed ")


@pytest.mark.usefixtures("registries")
def test_an_installed_plugin_that_does_not_import_names_its_package() -> None:
    METHODS.add(Row("lost", "no_such_module:Method", "Lost.", origin="package my-methods 1.0"))
    (wrong,) = problems(packages.installed_plugins())
    assert (wrong.check, wrong.mend) == ("method lost", "uv pip install --reinstall my-methods")
    assert "no_such_module" in wrong.found


@pytest.mark.usefixtures("registries")
def test_plugin_files_are_imported_one_by_one(tmp_path: Path) -> None:
    bad, good = tmp_path / "bad one.py", tmp_path / "good.py"
    bad.write_text("raise ValueError('as ordered')\n")
    good.write_text("")
    found = list(packages.plugin_files([str(bad), str(good), "nowhere.py"]))
    assert [one.state for one in found] == ["problem", "ok", "problem"]
    assert "as ordered" in found[0].found
    assert found[0].mend == f"bench test '{bad}'"
