"""`bench doctor` says what is wrong and what mends it, whatever fails on the way."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.cli.main import invoke
from bench.doctor import examination
from bench.doctor.diagnosis import Diagnosis, Subject

Output = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _sound_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine of the test has nothing to tell; its own checks are tested with fakes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(examination, "MACHINE", {"machine": lambda: [Diagnosis("machine", "ok", "is there")]})
    settings = {name: examination.SETTINGS[name] for name in ("data sets", "weights", "store", "records", "leftovers")}
    monkeypatch.setattr(examination, "SETTINGS", settings)


def examined(capsys: Output, *arguments: str) -> tuple[int, dict[str, Any]]:
    code = invoke(["doctor", *arguments, "--json"])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, found


def test_nothing_is_wrong(capsys: Output) -> None:
    assert invoke(["doctor"]) == 0
    said = capsys.readouterr().out
    assert said.endswith("nothing is wrong.\n")
    assert "what to do" not in said
    code, found = examined(capsys)
    assert (code, found["ok"]) == (0, True)
    assert {one["state"] for one in found["diagnoses"]} == {"ok"}
    assert not Path("results").exists()


def test_a_problem_has_a_command_and_exit_code_1(capsys: Output) -> None:
    Path("results").mkdir()
    Path("results/torn.json").write_text("{")
    assert invoke(["doctor"]) == 1
    said = capsys.readouterr().out
    assert "what to do:\n  records  bench run" in said
    assert said.endswith("1 problem to mend.\n")
    code, found = examined(capsys)
    assert (code, found["ok"]) == (1, False)
    (wrong,) = [one for one in found["diagnoses"] if one["state"] == "problem"]
    assert wrong["check"] == "records"
    assert wrong["mend"]


def test_a_check_that_fails_is_a_line_and_the_others_go_on(capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(subject: Subject) -> Iterator[Diagnosis]:
        yield Diagnosis("first", "ok", "was there")
        raise ZeroDivisionError("as ordered")

    monkeypatch.setattr(examination, "SETTINGS", {"broken": broken, **examination.SETTINGS})
    code, found = examined(capsys)
    shown = {one["check"]: (one["state"], one["found"]) for one in found["diagnoses"]}
    assert code == 1
    assert shown["first"][0] == shown["store"][0] == "ok"
    assert shown["broken"] == ("problem", "could not be examined: ZeroDivisionError: as ordered")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--config", "none.toml"], "none.toml"),
        (["--grid", "qick"], 'unknown grid "qick"'),
        (["--set", "epoch=3"], "epoch"),
    ],
)
def test_settings_that_cannot_be_read_are_a_line(arguments: list[str], expected: str, capsys: Output) -> None:
    code, found = examined(capsys, *arguments)
    machine, wrong, note = found["diagnoses"]
    assert (code, machine["check"], wrong["state"], note["state"]) == (1, "machine", "problem", "note")
    assert expected in wrong["found"]
    assert "not examined" in note["found"]


@pytest.mark.usefixtures("registries")
def test_a_plugin_file_that_fails_is_a_line(capsys: Output) -> None:
    Path("mine.py").write_text("import no_such_module\n")
    code, found = examined(capsys, "--plugin", "mine.py")
    assert code == 1
    assert (found["diagnoses"][0]["state"], found["diagnoses"][0]["mend"]) == ("problem", "bench test mine.py")
    assert found["diagnoses"][-1]["check"] == "store"


def test_ray_is_not_imported(tmp_path: Path) -> None:
    program = (
        "import sys; from bench.cli.main import invoke\ninvoke(['doctor', '--json'])\nsys.exit('ray' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    diagnoses = json.loads(done.stdout)["diagnoses"]
    assert not [one for one in diagnoses if one["found"].startswith("could not be examined")]
    assert {"torch", "memory", "Ray sessions", "weights tiny", "disk of store"} <= {one["check"] for one in diagnoses}
