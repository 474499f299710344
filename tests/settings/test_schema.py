from __future__ import annotations

import codecs
import json
import tomllib
from pathlib import Path

import pytest

from bench.cli.main import invoke
from bench.errors import BenchError
from bench.grid.expansion import expand
from bench.grid.overrides import assigned, override
from bench.records.cell import Cell, Role
from bench.settings.layers import PACKAGED, Layers, packaged_file, read_layers, read_toml
from bench.settings.schema import Config, Protocol, load_config, validated


def overlaid(text: str) -> Config:
    layers = read_layers()
    layers.lay(tomllib.loads(text), "my.toml")
    return validated(layers)


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_packaged_file_is_valid_and_every_value_is_packaged() -> None:
    config = load_config()
    assert {entry["origin"] for entry in config.entries()} == {PACKAGED}
    assert {"quick", "ci", "embedded"} <= set(config.settings.grid)
    protocol = config.settings.protocol
    assert (protocol.shots, protocol.epochs, protocol.budget, protocol.batch_size) == ([16], [50], "equal", 32)


def test_every_key_of_the_packaged_file_is_explained_in_place() -> None:
    lines = packaged_file().read_text(encoding="utf-8").splitlines()
    protocol = lines[lines.index(next(line for line in lines if line.startswith("[protocol]"))) :]
    for line in protocol:
        if line.startswith("[grid"):
            break
        assert not line.strip() or "#" in line, line


def test_a_file_is_laid_over_key_by_key_and_a_list_replaces_a_list(tmp_path: Path) -> None:
    (tmp_path / "bench.toml").write_text(
        "[protocol]\nepochs = 5\n[grid.quick]\nseed = 7\n[grid.mine]\nshots = [1, 2]\n"
    )
    config = load_config()
    grid = config.settings.grid
    assert (grid["quick"].seed, grid["quick"].epochs, grid["quick"].shots) == ([7], [5], [16])
    assert (grid["mine"].shots, grid["mine"].method) == ([1, 2], config.settings.protocol.method)
    assert config.named("mine") == {"shots"}
    origins = {entry["key"]: entry["origin"] for entry in config.entries()}
    assert (origins["protocol.epochs"], origins["protocol.shots"]) == ("bench.toml", PACKAGED)
    assert origins["grid.quick.seed"] == "bench.toml"


def test_the_named_file_counts_instead_of_the_folder_s(tmp_path: Path) -> None:
    (tmp_path / "bench.toml").write_text("[protocol]\nepochs = 5\n")
    (tmp_path / "other.toml").write_text("[protocol]\nbatch_size = 8\n")
    protocol = load_config(str(tmp_path / "other.toml")).settings.protocol
    assert (protocol.epochs, protocol.batch_size) == ([50], 8)


def test_the_packaged_file_itself_is_no_overlay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(packaged_file().parent)
    assert {entry["origin"] for entry in load_config().entries()} == {PACKAGED}


def test_whole_numbers_may_be_ranges_in_files_and_on_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[grid.quick]\nseed = ["1..3", 9]\nshots = "2..4"\nexclude = [{ seed = "2..3" }]\n')
    table = load_config(str(file)).settings.grid["quick"]
    assert (table.seed, table.shots, table.exclude[0].seed) == ([1, 2, 3, 9], [2, 3, 4], [2, 3])
    changed = override(load_config(), "quick", ["seed=1..3,9", "epochs= 4 .. 5"])
    assert changed.settings.grid["quick"].seed == [1, 2, 3, 9]
    assert changed.layers.values["grid"]["quick"]["epochs"] == [4, 5]
    assert assigned(["seed=2..3"], ["seed"]) == {"seed": [2, 3]}
    spread = override(load_config(), "quick", ["seed=1..2"])
    listed = override(load_config(), "quick", ["seed=1,2"])
    assert [one.key for one in expand(spread, "quick").cells] == [one.key for one in expand(listed, "quick").cells]


def test_zero_is_a_value_and_not_unset() -> None:
    config = overlaid("[grid.quick]\nviews = 0\nwarmup_epochs = 0\nweight_decay = 0.0\nseed = 0\n")
    grid = config.settings.grid["quick"]
    assert (grid.warmup_epochs, grid.weight_decay, grid.seed) == (0, 0.0, [0])
    assert {"views", "warmup_epochs"} <= config.named("quick")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[protocol]\nshotz = 3", 'my.toml: unknown key "shotz" in [protocol]; did you mean "shots"?'),
        ("[grid.quick]\nrat = 1", 'my.toml: unknown key "rat" in [grid.quick]; did you mean "rate"?'),
        ("protocl.a = 1", 'my.toml: unknown key "protocl"; did you mean "protocol"?'),
        (
            "[grid.q]\nnoise = [{kinds = 'none'}]",
            'my.toml: unknown key "kinds" in [grid.q.noise]; did you mean "kind"?',
        ),
        ("[grid.q]\nexclude = [{metod = 'x'}]", 'unknown key "metod" in [grid.q.exclude]; did you mean "method"?'),
        ("[method.coop.paper]\nepoch = 1", 'unknown key "epoch" in [method.coop.paper]; did you mean "epochs"?'),
        (
            "[[method.coop.paper.when]]\nshot = 1",
            'unknown key "shot" in [method.coop.paper.when]; did you mean "shots"?',
        ),
        ("[method.coop.paper]\noptimizer = 'sdg'", "method.coop.paper.optimizer = 'sdg': expected 'sgd', 'adam' or"),
        ("[dataset.digits]\nrot = 'a'", 'unknown key "rot" in [dataset.digits]; did you mean "root"?'),
        ("[paths]\nstores = 'a'", 'unknown key "stores" in [paths]; did you mean "store"?'),
        ("[protocol]\nshots = 0", "my.toml: protocol.shots = 0: expected greater than or equal to 1."),
        ("[grid.q]\nepochs = 0", "my.toml: grid.q.epochs = 0: expected greater than or equal to 1."),
        ("[grid.q]\nepochs = true", "grid.q.epochs = True: expected a valid integer."),
        ("[grid.q]\nshots = '16'", "grid.q.shots = '16': expected a valid integer."),
        ("[grid.q]\nrate = [0.5, 1.0]", "grid.q.rate = 1.0: expected less than 1."),
        ("[grid.q]\nnoise = [{kind = 'symmetric', rate = -0.1}]", "rate = -0.1: expected greater than or equal to 0."),
        ("[grid.q]\nrate = nan", "grid.q.rate = nan: expected"),
        ("[grid.q]\nlearning_rate = inf", "grid.q.learning_rate = inf: expected a finite number."),
        ("[grid.q]\nepochs = 100000000000000000000", "epochs = 100000000000000000000: expected at most 100,000."),
        ("[grid.q]\nbatch_size = 100001", "batch_size = 100001: expected at most 100,000."),
        ("[grid.q]\nshots = [1, 1000001]", "shots = 1000001: expected at most 1,000,000."),
        ("[grid.q]\nviews = 10001", "views = 10001: expected at most 10,000."),
        (
            "[grid.q]\nviews = 'all'",
            "views = 'all': expected a whole number, or \"epochs\" for a new view in every epoch.",
        ),
        ("[grid.q]\nseed = 9223372036854775808", "expected at most 9,223,372,036,854,775,807."),
        ("[grid.q]\nseed = -1", "seed = -1: expected greater than or equal to 0."),
        ("[grid.q]\nwarmup_epochs = 100001", "warmup_epochs = 100001: expected at most 100,000."),
        ("[grid.q]\neval_every = 1000001", "eval_every = 1000001: expected at most 1,000,000."),
        *(
            (
                f"[grid.q]\npack = {text}",
                f'grid.q.pack = {said}: expected a whole number from 1 to 1,000, or "auto" for',
            )
            for text, said in (("0", "0"), ("true", "True"), ("2.0", "2.0"), ("'all'", "'all'"), ("1001", "1001"))
        ),
        (
            "[grid.q]\ntimeout = 1e300",
            "timeout = 1e+300: expected at most 31,536,000 seconds, a year, or inf for no limit.",
        ),
        ("[grid.q]\ntimeout = nan", "timeout = nan: expected greater than 0."),
        ("[grid.q]\nlearning_rate = 1e300", "learning_rate = 1e+300: expected at most 1e+30."),
        ("[grid.q]\nweight_decay = inf", "weight_decay = inf: expected a finite number."),
        ("[[method.coop.paper.when]]\nshots = 1000001", "shots = 1000001: expected at most 1,000,000."),
        ("[grid.q]\nexclude = [{epochs = 100001}]", "epochs = 100001: expected at most 100,000."),
        ("[grid.q]\nbudget = 'fair'", "grid.q.budget = 'fair': expected 'equal', 'paper' or 'tuned'."),
        ("[grid.q]\nmethod = []", "grid.q.method = []: expected at least one value."),
        ("grid = 3", "my.toml: grid = 3: expected a valid dictionary."),
        ("[grid]\nq = 3", "my.toml: grid.q = 3: expected"),
    ],
)
def test_a_wrong_key_or_value_is_one_line_that_names_file_and_place(text: str, message: str) -> None:
    with pytest.raises(BenchError) as caught:
        overlaid(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_limits_of_a_cell_are_those_of_the_settings() -> None:
    """A field that stands in both has one type, so a plan never makes a cell that its record could not hold."""
    shared = {"learning_rate", "batch_size", "momentum", "epsilon", "weight_decay", "warmup_epochs", "views"}
    assert shared | {"warmup_learning_rate", "eval_every"} <= Cell.model_fields.keys() & Protocol.model_fields.keys()
    for name in Cell.model_fields.keys() & Protocol.model_fields.keys():
        own, settings = Cell.model_fields[name], Protocol.model_fields[name]
        if own.annotation in (int, float) and settings.annotation in (int, float):
            limits = [part for part in own.metadata if not isinstance(part, Role)]
            assert limits == settings.metadata[: len(limits)], name


def test_packs_are_as_large_as_is_good_or_as_is_said() -> None:
    assert overlaid("").settings.grid["quick"].pack_size is None
    assert overlaid("[protocol]\npack = 4\n[grid.ci]\npack = 'auto'\n").settings.grid["quick"].pack_size == 4
    assert overlaid("[protocol]\npack = 4\n[grid.ci]\npack = 'auto'\n").settings.grid["ci"].pack_size is None


@pytest.mark.parametrize("timeout", ["inf", "31536000.0"])
def test_a_cell_may_take_a_year_or_have_no_limit(timeout: str) -> None:
    assert overlaid(f"[grid.q]\ntimeout = {timeout}\n").settings.grid["q"].timeout == float(timeout)


def test_malformed_files_name_their_line(tmp_path: Path) -> None:
    (tmp_path / "bench.toml").write_text("[protocol]\nshots = = 3\n")
    with pytest.raises(BenchError, match=r"bench\.toml is not valid TOML: .*line 2.*correct that line"):
        load_config()
    (tmp_path / "bench.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(BenchError, match="not UTF-8"):
        load_config()
    with pytest.raises(BenchError, match=r'"none\.toml" does not exist'):
        load_config("none.toml")
    with pytest.raises(BenchError, match=r"^here cannot be read: Is a directory\.$"):
        read_toml(tmp_path, "here")


def test_a_byte_order_mark_is_no_part_of_a_user_s_file(tmp_path: Path) -> None:
    from bench.clip.checkpoint import find_config
    from bench.data.files.lines import lines_of
    from bench.regression.baseline import read_baseline, write_baseline
    from tests.reports.factory import cell, record

    mark = codecs.BOM_UTF8
    (tmp_path / "bench.toml").write_bytes(mark + b"[protocol]\nepochs = 7\n")
    assert load_config().settings.protocol.epochs == [7]
    assert load_config(str(tmp_path / "bench.toml")).settings.protocol.epochs == [7]
    (tmp_path / "list.txt").write_bytes(mark + b"a.jpg\n")
    assert lines_of(tmp_path / "list.txt") == ["a.jpg"]
    model = b'{"embed_dim": 8, "vision_cfg": {}, "text_cfg": {}}'
    (tmp_path / "open_clip.json").write_bytes(mark + model)
    assert find_config(tmp_path / "w.pt") == {"model_cfg": json.loads(model), "preprocess_cfg": {}}
    write_baseline([record(cell())], tmp_path / "baseline.json")
    plain = read_baseline(tmp_path / "baseline.json")
    (tmp_path / "baseline.json").write_bytes(mark + (tmp_path / "baseline.json").read_bytes())
    assert read_baseline(tmp_path / "baseline.json") == plain


def test_the_settings_are_shown_as_a_file_that_says_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.toml").write_text(
        '[grid."my grid"]\nsummary = "a \\"b\\"\\tc \U0001f408"\ntimeout = inf\n', encoding="utf-8"
    )
    assert invoke(["config", "--config", "mine.toml", "--set", "noise=symmetric"]) == 0
    text = capsys.readouterr().out
    assert "\nprotocol.epochs = 50  # packaged\n" in text
    assert '\ngrid."my grid".timeout = inf  # mine.toml\n' in text
    assert '\ngrid.quick.noise = [{ kind = "symmetric", rate = [0.25, 0.5] }]  # --set\n' in text
    assert not any(line.endswith(" ") for line in text.splitlines())
    (tmp_path / "again.toml").write_text(text, encoding="utf-8")
    assert (
        load_config("again.toml").settings == override(load_config("mine.toml"), "quick", ["noise=symmetric"]).settings
    )


def test_layers_tell_the_origin_of_the_nearest_value() -> None:
    layers = Layers()
    layers.lay({"a": {"b": 1, "c": {"d": 2}}}, "first")
    layers.lay({"a": {"c": 3}}, "second")
    assert layers.values == {"a": {"b": 1, "c": 3}}
    assert [(place, origin) for place, _, origin in layers.flat()] == [(("a", "b"), "first"), (("a", "c"), "second")]
    assert layers.origin(("a", "c", "unknown")) == "second"
    layers.lay({"a": {"c": {"e": 4}}}, "third")
    assert layers.values == {"a": {"b": 1, "c": {"e": 4}}}
    assert layers.origin(("a", "c", "e")) == "third"
    assert layers.origin(("z",)) == PACKAGED
