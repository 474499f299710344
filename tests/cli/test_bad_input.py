"""Every mistake of a user: exit code 2, one line that helps, nothing written."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from bench.cli.main import invoke


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def contents() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file()}


def fails(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    before = contents()
    assert invoke(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert contents() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no command given"),
        (["rnu"], "No such command 'rnu'"),
        (["run", "--gird", "quick"], "--gird"),
        (["run", "--grid", "quik"], 'unknown grid "quik"; did you mean "quick"?'),
        (["run", "--set", "sede=1"], 'unknown axis "sede"; did you mean "seed"?'),
        (["run", "--set", "method=visprmpt"], 'unknown method "visprmpt"; did you mean "visprompt"?'),
        (["run", "--set", "dataset=digit"], 'unknown dataset "digit"; did you mean "digits"?'),
        (["run", "--set", "noise=symetric"], 'unknown noise "symetric"; did you mean "symmetric"?'),
        (["run", "--set", "backbone=tinny"], 'unknown backbone "tinny"; did you mean "tiny"?'),
        (["run", "--set", "backbone=none.pt"], '"none.pt" cannot be read'),
        (["run", "--set", "method=visprompt[evidense=pooled]"], 'no option "evidense"; did you mean "evidence"?'),
        (["run", "--set", "rate=1"], "rate = 1: expected less than 1"),
        (["run", "--set", "rate=-0.5"], "rate = -0.5: expected greater than or equal to 0"),
        (["run", "--set", "shots=0"], "shots = 0: expected greater than or equal to 1"),
        (["run", "--set", "epochs=0"], "epochs = 0: expected greater than or equal to 1"),
        (
            ["plan", "--set", "epochs=100000000000000000000"],
            "epochs = 100000000000000000000: expected at most 100,000.",
        ),
        (["plan", "--set", "epochs=1e20"], "epochs = 1e+20: expected a valid integer."),
        (["plan", "--set", "seed=-1"], "seed = -1: expected greater than or equal to 0."),
        (["plan", "--set", "seed=1e20"], "expected a valid integer."),
        (["plan", "--set", "seed=true"], "expected a valid integer."),
        (["plan", "--set", "seed=0x10"], "expected a valid integer."),
        (["plan", "--set", "seed=1.0"], "expected a valid integer."),
        (["plan", "--set", "seed=5..1"], '--set seed=5..1: expected the lower number first, "1..5".'),
        (["plan", "--set", "epochs=2.."], '--set epochs=2..: expected a range of whole numbers such as "1..5".'),
        (["plan", "--set", "shots=1..20000"], "expected at most 10,000 values in a range, these are 20,000."),
        (["plan", "--set", "epochs=0..2"], "epochs = 0: expected greater than or equal to 1."),
        (["plan", "--set", "rate=0..1"], "rate = '0..1': expected a valid number."),
        (["plan", "--set", f"seed={2**63}"], "expected at most 9,223,372,036,854,775,807."),
        (["plan", "--set", "method=coop[q=0.5]"], "option q = 0.5 does nothing here; it counts with loss=gce"),
        (["plan", "--set", "method=elr[lambda_elr=inf]"], "option lambda_elr = inf: expected a finite number."),
        (["plan", "--set", "method=coop@folds1000000"], "asks for 1,000,000 folds; expected at most 1,000."),
        (["plan", "--set", f"method=coop@fold1of{'9' * 5000}"], 'only "@clean", "@folds4"'),
        (["run", "--workers", "1000000000"], "--workers"),
        (["suspects", "--top", "1000000000"], "--top"),
        (["predict", "0", "x.png", "--top", "1000000000"], "--top"),
        (["report", "--figures", "1000000000"], "--figures"),
        (["compare", "--baseline", "x", "--minimum-effect", "101"], "--minimum-effect"),
        (["run", "--workers", "0"], "--workers"),
        (["run", "--scheduler", "slurm"], "--scheduler"),
        (["run", "--scheduler", "local", "--address", "auto"], "--address names a Ray cluster"),
        (["run", "--retry", "fail"], '--retry fail: did you mean "failed"?'),
        (["run", "--plugin", "none.py"], 'plugin file "none.py" does not exist'),
        (["run", "--config", "none.toml"], 'settings file "none.toml" does not exist'),
        (["run", "--store", "nosuch://x"], 'store "nosuch://x" cannot be opened'),
        (["run", "--set", "device=cuda", "--set", "method=coop[context=0]"], "option context = 0"),
        (["plan", "--grid", "quik"], 'unknown grid "quik"'),
        (["status", "--store", "none"], 'store "none" does not exist'),
        (["report", "--store", "none"], 'store "none" does not exist'),
        (["compare", "--store", "none", "--baseline", "none.json"], 'baseline "none.json" cannot be read'),
        (["compare"], "--baseline"),
        (["list", "method"], 'unknown kind "method"; did you mean "methods"?'),
        (["list"], "Missing argument 'methods|noise|datasets|backbones|losses|splits|grids'."),
        (["list", "methods", "--jsn"], "--jsn"),
        (["config", "--config", "none.toml"], "does not exist"),
        (
            ["noise", "show", "--set", "seed=1", "--out", "s3://a/b"],
            '--out "s3://a/b" is a URL; give a path on this machine.',
        ),
        (["compare", "--write", "--baseline", "s3://a/b.json"], '--baseline "s3://a/b.json" is a URL'),
        *(
            (["perf", "--quick", option, "s3://a/b"], f'{option} "s3://a/b" is a URL')
            for option in ("--markdown", "--save", "--baseline")
        ),
        (["predict", "0", "x.png", "--out", "s3://a/b.csv"], '--out "s3://a/b.csv" is a URL'),
        (["new", "loss", "bench"], '"bench" is no name for a loss'),
        (["new", "method", "x" * 300], "cannot be written: File name too long"),
        (["new", "method", "mine", "--out", "s3://a/b"], '--out "s3://a/b" is a URL'),
        (["run", "--tensorboard", "gs://a/b"], '--tensorboard "gs://a/b" is a URL'),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    fails(capsys, arguments, message)


@pytest.mark.parametrize("verb", [["run"], ["plan"], ["config"]])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[protocol\n", "bench.toml is not valid TOML"),
        ("grid = 1\n", "bench.toml: grid = 1: expected a valid dictionary"),
        ("[protocol]\nepoch = 3\n", 'bench.toml: unknown key "epoch" in [protocol]; did you mean "epochs"?'),
        ("[grid.quick]\nshots = 0\n", "bench.toml: grid.quick.shots = 0"),
        ('[grid.quick]\nseed = "5..1"\n', "grid.quick.seed = '5..1': expected the lower number first, \"1..5\"."),
    ],
)
def test_a_wrong_settings_file(verb: list[str], text: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("bench.toml").write_text(text)
    fails(capsys, verb, message)


@pytest.mark.parametrize(
    "arguments",
    [
        ["status", "--store"], ["plan", "--store"], ["plan", "--config"], ["list", "grids", "--config"],
        ["plan", "--plugin"], ["new", "method", "mine", "--out"], ["noise", "show", "--set", "seed=1", "--out"],
        ["noise", "export", "--set", "seed=1", "--set", "noise=none", "--out"],
    ],
)  # fmt: skip
def test_a_path_that_cannot_be_looked_at(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Of another's folder, which may not be entered, the system says so in the same way."""
    fails(capsys, [*arguments, "x" * 300], "cannot be looked at: File name too long")


def test_data_sets_in_a_place_that_cannot_be_looked_at_are_missing(capsys: pytest.CaptureFixture[str]) -> None:
    Path("bench.toml").write_text(f"[dataset.dtd]\nroot = '{'x' * 300}'\n")
    assert invoke(["data", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["dtd"]["state"] == "missing"


def test_json_has_no_numbers_that_json_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    Path("bench.toml").write_text("[protocol]\ntimeout = inf\n[method.coop]\nmine = 2026-01-31\n")
    assert invoke(["config", "--json"]) == 0
    values = {one["key"]: one["value"] for one in json.loads(capsys.readouterr().out, parse_constant=pytest.fail)}
    assert values["protocol.timeout"] == "inf"
    assert values["method.coop.mine"] == "2026-01-31"


def test_a_list_of_grids_that_are_no_tables(capsys: pytest.CaptureFixture[str]) -> None:
    Path("bench.toml").write_text("grid = 1\n")
    fails(capsys, ["list", "grids"], "bench.toml: grid = 1: expected a table for each grid, [grid.NAME].")


def test_a_settings_file_that_is_none_is_not_passed_over(capsys: pytest.CaptureFixture[str]) -> None:
    Path("bench.toml").symlink_to("moved.toml")
    fails(capsys, ["plan"], 'settings file "bench.toml" is no file; give the path of a TOML file.')
    Path("bench.toml").unlink()
    Path("bench.toml").mkdir()
    fails(capsys, ["config"], 'settings file "bench.toml" is no file; give the path of a TOML file.')


def test_a_plugin_that_does_not_import(capsys: pytest.CaptureFixture[str]) -> None:
    Path("broken.py").write_text("import nothing_of_this_name\n")
    fails(capsys, ["run", "--plugin", "broken.py"], "does not import: ModuleNotFoundError")
    fails(capsys, ["list", "methods", "--plugin", "broken.py"], "does not import: ModuleNotFoundError")


EXITS = {
    "at import": "import sys\nsys.exit(0)\n",
    "in its options": (
        "import sys\nimport bench\nclass Exits(bench.CoOp):\n"
        "    class Options(bench.CoOp.Options):\n        def __init__(self, **_): sys.exit(0)\n"
        "bench.register('exits', Exits)\n"
    ),
}


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize("where", EXITS)
def test_a_plugin_that_exits_is_no_success(where: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("exits.py").write_text(EXITS[where])
    fails(capsys, ["plan", "--plugin", "exits.py", "--set", "method=exits"], "called sys.exit(0)")


def test_a_plugin_is_told_what_it_changed_for_everybody(capsys: pytest.CaptureFixture[str]) -> None:
    Path("changing.py").write_text("import numpy\nnumpy.seterr(over='raise')\n")
    try:
        for notes in (1, 0):
            assert invoke(["list", "methods", "--json", "--plugin", "changing.py"]) == 0
            error = capsys.readouterr().err
            assert (
                error.count("note: file changing.py changed numpy's error mode (over) while it was imported") == notes
            )
            assert error.count("\n") == notes
    finally:
        sys.modules.pop("bench_plugin_changing", None)


def test_a_store_that_cannot_be_written_is_found_before_anything_is_trained(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.schedulers.local import Local

    monkeypatch.setattr(Local, "run", lambda *_: pytest.fail("it began"))
    small = ["run", "--set", "method=coop", "--set", "seed=1", "--workers", "1", "--store"]
    Path("file").write_text("")
    fails(capsys, [*small, "file"], 'store "file" is a file; expected a folder')
    before = contents()
    assert invoke([*small, "file/below"]) == 2
    assert 'store "file/below" cannot be written' in capsys.readouterr().err
    assert contents() == before


def test_a_store_without_permission(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.files import LocalFiles

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    run = ["run", "--set", "method=coop", "--set", "seed=1", "--workers", "1", "--store", "closed"]
    with monkeypatch.context() as patch:
        patch.setattr(LocalFiles, "prepare", refuse)
        assert invoke(run) == 2
        assert 'store "closed" cannot be written: [Errno 13] Permission denied' in capsys.readouterr().err
    monkeypatch.setattr(LocalFiles, "read", refuse)
    fails(capsys, run, 'store "closed" cannot be read: Permission denied')


def test_a_checkpoint_of_the_wrong_architecture(capsys: pytest.CaptureFixture[str]) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    save_file({"layer.weight": np.zeros((2, 2), dtype=np.float32)}, "wrong.safetensors")
    arguments = ["run", "--set", "backbone=wrong.safetensors", "--set", "method=coop", "--workers", "1"]
    assert invoke(arguments) == 2
    error = capsys.readouterr().err
    assert "wrong.safetensors" in error
    assert "layer.weight" in error
    assert error.count("\n") == 1
    assert set(contents()) == {"wrong.safetensors"}
