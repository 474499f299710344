"""What docs/security.md says of files that are read: nothing in them is run, and none takes memory without bound."""

from __future__ import annotations

import ast
import gzip
import hashlib
import json
import os
import pickle
import struct
import tarfile
import tomllib
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bench.cli.main import invoke
from bench.contracts.mask_file import value
from bench.data.download import unpack
from bench.data.sets import coop
from bench.data.sets.cifar import CIFAR10
from bench.engine.checkpoint import restore
from bench.errors import BenchError
from bench.images.decode import FileImages
from bench.records import store as stores
from bench.records.store import Store
from bench.schedulers import claims
from bench.toml_text import MOST_CHARACTERS, MOST_STEPS, parse_toml
from tests import ROOT
from tests.data.own.files import fails, pictures

KEY = "0123456789abcdef"
SOURCES = [file for name in ("bench", "methods", "noise", "reports", "scripts") for file in (ROOT / name).rglob("*.py")]
# Modules that make objects of what they read, and the files that may import them.
MAKERS = dict.fromkeys(("pickle", "cloudpickle", "dill", "joblib", "jsonpickle", "marshal", "shelve", "yaml"), "")
ALLOWED = {
    ("pickle", "bench/clip/torchscript.py"),  # the reader that makes nothing but numbers, texts and tensors
    ("pickle", "bench/data/sets/cifar_n.py"),  # the name of an error
}
# Calls that read an array, a table or weights, and the keyword that makes them safe; None where they never are.
READERS: dict[str, tuple[str, object] | None] = {
    "torch.load": ("weights_only", True), "np.load": ("allow_pickle", False), "numpy.load": ("allow_pickle", False),
    "pd.read_pickle": None, "eval": None, "exec": None, "os.system": None, "os.popen": None,
}  # fmt: skip
RUNNERS = {"torch.jit.load": {"bench/clip/checkpoint.py"}, "spec.loader.exec_module": {"bench/registry.py"}}


def calls() -> Iterator[tuple[str, str, ast.Call]]:
    """File, dotted name and node of every call of the package."""
    for file in SOURCES:
        name = file.resolve().relative_to(ROOT).as_posix()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield name, ast.unparse(node.func), node


def test_nothing_of_ours_unpickles_or_runs_what_it_reads() -> None:
    seen = set()
    for file, called, node in calls():
        given = {
            word.arg: ast.literal_eval(word.value) for word in node.keywords if isinstance(word.value, ast.Constant)
        }
        assert given.get("shell") is not True, f"{file} starts a shell"
        if called in READERS:
            seen.add(called)
            safe = READERS[called]
            assert safe is not None, f"{file} calls {called}"
            assert given.get(safe[0]) is safe[1], f"{file}: {called} without {safe[0]}={safe[1]}"
        if called in RUNNERS:
            seen.add(called)
            assert file in RUNNERS[called], f"{file} calls {called}"
    assert seen == {"torch.load", "np.load", *RUNNERS}, "the test looks at what is there"


def test_modules_that_make_objects_of_what_they_read_are_not_imported() -> None:
    found = set()
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found |= {(name, file.resolve().relative_to(ROOT).as_posix()) for name in names if name in MAKERS}
    assert found == ALLOWED


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, sprung: Path) -> None:
        self.sprung = sprung

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.sprung,)


def test_pickles_of_cifar_are_those_of_its_authors_or_are_not_read(tmp_path: Path) -> None:
    pytest.importorskip("torchvision")
    sprung, folder = tmp_path / "sprung", tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta"):
        (folder / name).write_bytes(pickle.dumps(Trap(sprung)))
    with pytest.raises(BenchError):
        _ = CIFAR10(tmp_path).class_names
    assert not sprung.exists()
    pickle.loads((folder / "test_batch").read_bytes())
    assert sprung.exists(), "the trap is one"


def test_an_array_file_with_objects_is_not_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([Trap(tmp_path / "sprung")], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        np.load(tmp_path / "x.npy", allow_pickle=False)
    assert not (tmp_path / "sprung").exists()


RECORDS = {
    "deep lists": b"[" * 1_000_000,
    "deep tables": b'{"schema":1,"noise":' * 100_000,
    "a long number": b'{"schema":' + b"9" * 100_000 + b"}",
    "zeros": bytes(1000),
    "keys twice": b'{"key":"a","key":"b"}',
}


@pytest.mark.parametrize("what", RECORDS)
def test_a_record_made_to_hurt_is_named_and_left_out(what: str, tmp_path: Path) -> None:
    (tmp_path / f"{KEY}.json").write_bytes(RECORDS[what])
    store = Store(tmp_path)
    assert store.read(KEY) is None
    assert len(store.problems[KEY]) < 400
    assert "is not a record of this store" in store.problems[KEY]


def test_a_record_that_is_too_large_is_not_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / f"{KEY}.json").write_bytes(b'{"key":"' + b"a" * 5000 + b'"}')
    monkeypatch.setattr(stores, "MOST_BYTES", 4096)
    store = Store(tmp_path)
    assert store.read(KEY) is None
    assert "(it has 5,010 bytes, expected at most 4,096)" in store.problems[KEY]


def test_a_file_of_a_store_that_is_larger_than_any_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / f"{KEY}.json").open("wb") as file:
        file.truncate(2**33)  # a hole, which takes no disk
    store = Store(tmp_path)
    assert store.read(KEY) is None
    assert KEY in store.problems


def header(content: object) -> bytes:
    text = json.dumps(content).encode()
    return struct.pack("<Q", len(text)) + text


TENSORS = {
    "a header larger than the file": struct.pack("<Q", 2**60) + b"{}",
    "a deep header": struct.pack("<Q", 10**6) + b"[" * 10**6,
    "bytes that are not there": header({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}),
    "a product that overflows": header({"a": {"dtype": "F32", "shape": [2**32, 2**32], "data_offsets": [0, 0]}}),
    "no numbers in a huge shape": header({"a": {"dtype": "F32", "shape": [0, 2**62], "data_offsets": [0, 0]}}),
}


@pytest.mark.parametrize("what", TENSORS)
def test_outcomes_made_to_hurt_are_named_and_left_out(what: str, tmp_path: Path) -> None:
    (tmp_path / f"{KEY}.safetensors").write_bytes(TENSORS[what])
    store = Store(tmp_path)
    assert store.outcomes(KEY) == {}
    assert "holds no outcomes of this record" in store.problems[KEY]


PROMPTS = {"class_names": "[]", "templates": "[]", "observed": "[]", "noise_rate": "0"}


@pytest.mark.parametrize(
    "content",
    [
        *TENSORS.values(),
        *(
            header({"__metadata__": PROMPTS | changed})
            for changed in (
                {"class_names": "[" * 100_000},
                {"class_names": "3"},
                {"observed": "[1e999]"},
                {"observed": "{}"},
                {"noise_rate": "x"},
            )
        ),
    ],
)
def test_saved_prompts_made_to_hurt_are_one_line(content: bytes) -> None:
    backbone: Any = SimpleNamespace(device="cpu")
    nothing: Any = None
    with pytest.raises(BenchError, match=r"^the saved prompts are damaged; run the cell again"):
        restore(content, nothing, backbone)


SETTINGS = {
    "a = " + "[" * 100_000: "it is nested too deeply",
    "a." * 20_000 + "b = 1": f"more than {MOST_STEPS} dots",
    "a = { " + "b." * 20_000 + "c = 1 }": f"more than {MOST_STEPS} dots",
    "a = " + "9" * 10_000: "a number is too long",
    f'a = "{"x" * MOST_CHARACTERS}"': "characters, expected at most",
    r'grid.a.dataset = [{ b = "folder:\u0000" }]': "the null character",
}


@pytest.mark.parametrize("text", SETTINGS, ids=list(SETTINGS.values()))
def test_settings_made_to_hurt_are_one_line(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bench.toml").write_text(text, encoding="utf-8")
    assert invoke(["plan"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert SETTINGS[text] in told
    pictures(tmp_path / "photos", "train/a", "train/b")
    (tmp_path / "photos" / "dataset.toml").write_text(text, encoding="utf-8")
    assert SETTINGS[text] in fails(tmp_path / "photos", "is not valid TOML")


def test_settings_that_are_usual_are_read() -> None:
    text = f'a.b.c = [{", ".join(["0.125"] * 500)}]\r\nd = """\r\nOne. Two.\r\n"""\r\n'
    assert parse_toml(text) == tomllib.loads(text.replace("\r\n", "\n"))


def test_other_json_of_files_may_be_deep_without_harm(tmp_path: Path) -> None:
    deep = "[" * 100_000
    assert value(deep) == deep
    assert claims._parsed(deep.encode(), f"x{claims.DRIVER}").host == "unknown host"
    for name, content in {
        "a.json": deep.encode(),
        "a.json.gz": gzip.compress(deep.encode()),
        "b.gz": b"\x1f\x8b",
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BenchError, match="cannot be read"):
            coop.read_split_file(tmp_path / name)


def test_a_compressed_list_is_not_unpacked_without_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "split.json.gz").write_bytes(gzip.compress(bytes(100_000)))
    monkeypatch.setattr(coop, "MOST_BYTES", 1000)
    with pytest.raises(BenchError, match="it holds more than 1,000 bytes"):
        coop.read_split_file(tmp_path / "split.json.gz")


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_an_archive_that_unpacks_to_too_much_is_refused(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive, big = tmp_path / f"bomb.{kind}", tmp_path / "big"
    big.write_bytes(bytes(2_000_000))
    if kind == "zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
            packed.write(big, "big")
    else:
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(big, "big")
    unpack.unpack_archive(archive, tmp_path / "small")  # which no disk minds
    monkeypatch.setattr(unpack, "SLACK", 0)
    with pytest.raises(BenchError, match=r"is refused: it unpacks to more than 100 times its size; get it from"):
        unpack.unpack_archive(archive, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["big", archive.name, "small"])


def png(file: Path, side: int, *more: tuple[bytes, bytes]) -> None:
    """A grey image that declares a side and holds next to nothing."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)), *more, (b"IDAT", zlib.compress(bytes(6)))]
    parts = [
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in [*chunks, (b"IEND", b"")]
    ]
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def test_images_that_unpack_to_too_much_are_one_line(tmp_path: Path) -> None:
    png(tmp_path / "pixels.png", 30_000)
    png(tmp_path / "text.png", 2, (b"zTXt", b"a\0\0" + zlib.compress(bytes(20_000_000))))
    for name, reason in {"pixels.png": "exceeds limit of", "text.png": "too large"}.items():
        with pytest.raises(BenchError, match=reason) as told:
            FileImages(tmp_path, [name])[0]
        assert "\n" not in str(told.value)


def test_no_file_of_a_folder_names_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings, data and records beside a plugin do not import it; the command line alone does."""
    monkeypatch.chdir(tmp_path)
    Path("plugin.py").write_text('import pathlib; pathlib.Path("ran").touch()', encoding="utf-8")
    for text in ('plugins = ["plugin.py"]', '[paths]\nplugin = "plugin.py"', '[grid.quick]\nplugin = "plugin.py"'):
        Path("bench.toml").write_text(text, encoding="utf-8")
        assert invoke(["plan"]) == 2
    Path("bench.toml").write_text("", encoding="utf-8")
    for name in ("bench.methods.mine", "plugin:Mine", "os.system"):
        assert invoke(["plan", "--set", f"method={name}"]) == 2
    assert not Path("ran").exists()
    assert invoke(["list", "methods", "--plugin", "plugin.py"]) == 0
    assert Path("ran").exists()


def test_weights_that_torchscript_may_run_are_known_by_their_digest() -> None:
    from bench.clip.checkpoint import PUBLISHED

    assert {len(bytes.fromhex(digest)) for digest in PUBLISHED} == {hashlib.sha256().digest_size}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_pipe_in_the_place_of_a_record_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / f"{KEY}.json")
    store = Store(tmp_path)
    assert store.read(KEY) is None
    assert "no regular file" in store.problems[KEY]
