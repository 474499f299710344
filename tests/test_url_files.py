"""Stores behind URLs: on a local S3-compatible server as on Amazon's, with what goes wrong there in one line each."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from bench.cli.main import invoke
from bench.errors import BenchError
from bench.files import open_folder
from bench.records.store import Store
from bench.schedulers.claims import FOLDER, Claims
from bench.schedulers.driver import Driver
from bench.url_files import STALE_SECONDS, TEMPORARY
from tests.execution.driver import start
from tests.execution.test_sharing import COMPANY, KEYS, ended, trained
from tests.object_store import bucket as bucket
from tests.object_store import object_server as object_server

QUICK = [part for text in ("method=zero-shot", "noise=symmetric", "rate=0.5", "seed=1,2") for part in ("--set", text)]


def test_one_of_several_claimers_wins_whatever_process_it_is_in(bucket: str) -> None:
    """They race through clients of their own; the condition is in the request, not in a look before it."""
    program = (
        "import sys; from bench.schedulers.claims import Claims; from bench.schedulers.driver import Driver\n"
        "claims = Claims(sys.argv[1], Driver.here()); sys.stdin.readline()\n"
        "print(*(key for key in map(str, range(40)) if claims.take(key)))"
    )
    command = [sys.executable, "-c", program, bucket]
    racers = [subprocess.Popen(command, stdin=-1, stdout=-1, text=True) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        won = [set(text.split()) for text, _ in pool.map(lambda one: one.communicate("go\n"), racers)]
    assert not won[0] & won[1]
    assert won[0] | won[1] == set(map(str, range(40)))


def test_records_are_put_whole_in_one_request_and_never_over_another(bucket: str) -> None:
    files = open_folder(bucket)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(files.system), "mv", None)  # type: ignore[attr-defined]
        patch.setattr(type(files.system), "exists", None)  # type: ignore[attr-defined]
        assert files.write("a.json", b"1", replace=False)
        assert not files.write("a.json", b"2", replace=False)
        assert files.write("b.json", b"3", replace=True)
        assert files.write("b.json", b"4", replace=True)
    assert (files.read("a.json"), files.read("b.json"), files.read("c")) == (b"1", b"4", None)
    assert files.names("") == ["a.json", "b.json"]


def test_what_another_process_has_written_since_the_last_look_can_be_removed_and_renamed(bucket: str) -> None:
    files = open_folder(bucket)
    files.write("a.claim", b"1", replace=True)
    assert files.names("") == ["a.claim"]
    other = "import sys; from bench.files import open_folder; f = open_folder(sys.argv[1])\n"
    subprocess.run([sys.executable, "-c", other + "f.create('b', b'2'); f.create('c', b'3')", bucket], check=True)
    files.remove("b")
    assert files.rename("c", "d")
    assert files.names("") == ["a.claim", "d"]


def test_the_claims_of_a_killed_driver_on_another_machine_are_removed(bucket: str) -> None:
    mine, dead = Claims(bucket, Driver.here()), Driver("f" * 32, "node7", "elsewhere", 12, 34.0)
    assert mine.files.names("") == []
    program = (
        "import json, sys; from bench.schedulers.claims import Claims; from bench.schedulers.driver import Driver\n"
        f"Claims(sys.argv[1], Driver({dead.id!r}, 'node7', 'elsewhere', 12, 34.0)).take('k')"
    )
    subprocess.run([sys.executable, "-c", program, bucket], check=True)
    assert mine.holder("k") == dead
    assert mine.release_all(dead) == 1
    assert mine.take("k")


def test_old_temporary_files_and_folders_are_swept_by_the_clock_of_the_file_system(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = {f".old{TEMPORARY}/ray/state.json": True, f".oldfile{TEMPORARY}": True, f".new{TEMPORARY}/state.json": False,
            "kept.json": True}  # fmt: skip
    files = open_folder(bucket)
    system = files.system  # type: ignore[attr-defined]
    for name in left:
        system.pipe_file(f"{files.root}/{name}", b"x")  # type: ignore[attr-defined]
    real = type(system).modified

    def modified(self: object, path: str) -> object:
        old = next((old for name, old in left.items() if path.endswith(name)), None)
        age = 0 if old is None else STALE_SECONDS + (60 if old else -60)
        return real(self, path) - timedelta(seconds=age)

    with monkeypatch.context() as patch:
        patch.setattr(type(system), "modified", modified)
        patch.setattr("time.time", lambda: 0.0)
        files.sweep(0.0)
        files.prepare()
    assert files.names("") == [f".new{TEMPORARY}", "kept.json"]


def test_where_no_age_is_told_nothing_is_swept(tmp_path: Path) -> None:
    class Ageless(MemoryFileSystem):
        protocol = "ageless"

        def modified(self, path: str) -> object:
            raise NotImplementedError

    fsspec.register_implementation("ageless", Ageless, clobber=True)
    files = open_folder(f"ageless://{tmp_path.name}")
    files.write(f".a{TEMPORARY}", b"", replace=True)
    files.prepare()
    assert files.names("") == [f".a{TEMPORARY}"]


def test_two_drivers_share_a_bucket(bucket: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    both = [ended(one) for one in [start(bucket, log, name, count=4, mishaps=COMPANY) for name in ("a", "b")]]
    assert sum(trained(log).values()) == len(trained(log)) == 4
    assert all(set(told) == set(KEYS[:4]) for told, _ in both)
    assert sorted(Store(bucket).keys()) == sorted(KEYS[:4])
    assert open_folder(f"{bucket}/{FOLDER}").names("") == []


def test_the_verbs_work_on_a_bucket(bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*arguments: str, code: int = 0) -> str:
        assert invoke([*arguments, "--store", bucket]) == code
        return "".join(capsys.readouterr())

    text = said("run", "--scheduler", "local", "--workers", "1", *QUICK)
    assert f"next: bench report --store {bucket} --out report" in text
    assert "nothing left to do, 2 of 2 done" in said("run", *QUICK)
    assert f"{bucket}: 2 records: 2 done." in said("status")
    assert "zero-shot" in said("table")
    assert "2 done, 0 failed, 0 to do" in said("plan", *QUICK)
    assert "name the folder of the report with --out" in said("report", code=2)
    said("report", "--figures", "0", "--markdown", "--out", str(tmp_path / "report"))
    assert "Zero-shot" in (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    baseline = str(tmp_path / "baseline.json")
    said("compare", "--write", "--baseline", baseline)
    assert "passed" in said("compare", "--baseline", baseline)
    said("export", "--format", "csv", "--out", str(tmp_path / "tables"))
    assert len((tmp_path / "tables" / "cells.csv").read_text().splitlines()) == 3
    said("suspects", "--top", "0", "--out", str(tmp_path))
    assert len((tmp_path / "suspects.csv").read_text().splitlines()) == 321
    assert "zero-shot" in said("show", Store(bucket).keys()[0])


def test_a_mistaken_bucket_is_told_and_not_created(bucket: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["run", "--scheduler", "local", "--store", "s3://no-such-bucket/x", *QUICK]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith('error: store "s3://no-such-bucket/x" cannot be written: ')
    assert len(error.splitlines()) == 1
    assert not fsspec.filesystem("s3").exists("no-such-bucket")


@pytest.mark.parametrize("verb", [["status"], ["run", "--scheduler", "local", *QUICK]])
@pytest.mark.parametrize("lack", ["server", "credentials"])
def test_what_cannot_be_reached_is_one_line(
    lack: str, verb: list[str], bucket: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    if lack == "server":
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    else:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert invoke([*verb, "--store", bucket]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f'error: store "{bucket}" cannot be read: ')
    assert len(error.splitlines()) == 1


def test_a_package_that_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(import_module("fsspec.registry")._registry, "s3", raising=False)
    wanted = r"cannot be opened: Install s3fs .*; pip install 'noisy-prompt-bench\[s3\]'\.$"
    with pytest.raises(BenchError, match=wanted):
        open_folder("s3://grids/x")


def test_many_files_are_read_at_a_time(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    files = open_folder(bucket)
    for name in "ab":
        files.write(name, name.encode(), replace=True)
    system = type(files.system)  # type: ignore[attr-defined]
    plain, under_way, most = system._cat_file, 0, 0

    async def counted(self: Any, path: str, *args: Any, **named: Any) -> bytes:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        try:
            content: bytes = await plain(self, path, *args, **named)
        finally:
            under_way -= 1
        return content

    monkeypatch.setattr(system, "_cat_file", counted)
    assert files.read_many(["b", "none", "a"]) == [b"b", None, b"a"]
    assert most == 3
    assert files.read_many([]) == []
