"""`bench list KIND NAME`: what is known of one plugin."""

from __future__ import annotations

import json

import pytest

from bench.cli.list import REGISTRIES
from bench.cli.main import invoke

Output = pytest.CaptureFixture[str]


@pytest.mark.parametrize("what", [kind for kind in REGISTRIES if kind != "backbones"])
def test_every_plugin_can_be_described(what: str, capsys: Output) -> None:
    for row in REGISTRIES[what].rows():
        assert invoke(["list", what, row.name]) == 0
        told = capsys.readouterr().out
        assert row.summary.split()[0] in told
        assert row.target in told


def test_a_method_has_its_needs_and_options_its_own_first(capsys: Output) -> None:
    assert invoke(["list", "methods", "gce", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["name"], told["also"], told["needs"]) == ("gce-coop", "gce", "pooled image features alone")
    assert told["options"][0]["option"] == "loss"
    (q,) = [one for one in told["options"] if one["option"] == "q"]
    assert q["default"] == 0.7
    assert "cells that differ in it share a pack" in q["meaning"]


def test_an_oracle_is_told_and_so_is_what_never_shares_a_pack(capsys: Output) -> None:
    assert invoke(["list", "methods", "co-teaching"]) == 0
    assert "the noise rate, which a user would not know (oracle)" in capsys.readouterr().out
    assert invoke(["list", "methods", "deft"]) == 0
    assert "never in lockstep" in capsys.readouterr().out


def test_a_kind_of_noise_says_up_to_where_labels_tell_the_truth(capsys: Output) -> None:
    assert invoke(["list", "noise", "asymmetric"]) == 0
    assert "up to a rate of 0.5" in capsys.readouterr().out


def test_a_grid_is_described_by_its_summary(capsys: Output) -> None:
    assert invoke(["list", "grids", "ci", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "ci"


@pytest.mark.parametrize(("what", "name", "nearest"), [("methods", "visprom", "visprompt"), ("grids", "quik", "quick")])
def test_an_unknown_name_is_one_line_with_the_nearest(what: str, name: str, nearest: str, capsys: Output) -> None:
    assert invoke(["list", what, name]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f'did you mean "{nearest}"?' in line
