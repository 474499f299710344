"""`bench data list` and `prepare`, over a server on the loopback address."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from bench.cli.main import invoke
from bench.contracts.dataset import Dataset, Split, SplitName
from bench.data import library
from bench.data.catalogue import Download, default_root
from bench.data.download.fetch import LOCK
from bench.data.download.prepare import FETCHED, Place, fetched, prepare_dataset
from bench.plugins import DATASETS
from bench.records.store import Store
from bench.schedulers.local import Local
from tests.data import miniature
from tests.data.archives import tar_of
from tests.data.loopback import Loopback
from tests.data.miniature import ARCHIVE, SPLIT
from tests.schedulers.fakes import in_this_process

IMAGES = "101_ObjectCategories"
ONE = f"{IMAGES}/one/image_0001.jpg"
pytestmark = pytest.mark.usefixtures("root")


def contents(folder: Path) -> set[str]:
    """The entries of a folder beside the lock and the list of what was fetched; hidden ones too."""
    return {entry.name for entry in folder.iterdir()} - {LOCK, FETCHED} if folder.exists() else set()


def test_what_can_be_fetched_is_and_again_nothing_is(
    server: Loopback, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["data", "prepare", "caltech101"]) == 0
    printed = capsys.readouterr()
    assert f"caltech101: is ready in {folder}." in printed.out
    assert printed.err == ""
    assert contents(folder) == {IMAGES, SPLIT, "show.m"}
    assert sum(1 for _ in folder.rglob("*.jpg")) == 28
    noted = json.loads((folder / FETCHED).read_text())
    assert noted[ARCHIVE]["url"].endswith(f"/{ARCHIVE}")
    assert noted[SPLIT]["sha256"] == hashlib.sha256((folder / SPLIT).read_bytes()).hexdigest()
    times = {file: file.stat().st_mtime_ns for file in folder.rglob("*")}
    assert invoke(["data", "prepare", "caltech101", "--mode", "coop"]) == 0
    assert len(server.asked(f"/{ARCHIVE}")) == len(server.asked(f"/{SPLIT}")) == 1
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*")} == times


def test_only_what_is_missing_is_fetched(server: Loopback, folder: Path) -> None:
    assert invoke(["data", "prepare", "caltech101"]) == 0
    (folder / SPLIT).unlink()
    (folder / FETCHED).unlink()
    assert invoke(["data", "prepare", "caltech101"]) == 0
    assert (len(server.asked(f"/{ARCHIVE}")), len(server.asked(f"/{SPLIT}"))) == (1, 2)


def test_a_lost_image_is_told_and_again_restores_it(
    server: Loopback, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["data", "prepare", "caltech101"]) == 0
    (folder / ONE).unlink()
    library.open_dataset.cache_clear()
    capsys.readouterr()
    assert invoke(["data", "prepare", "caltech101"]) == 4
    printed = capsys.readouterr()
    assert "image_0001.jpg" in printed.err
    assert "bench data prepare --again caltech101" in printed.out
    assert invoke(["data", "prepare", "caltech101", "--again"]) == 0
    assert (folder / ONE).exists()
    assert contents(folder) == {IMAGES, SPLIT, "show.m"}


@pytest.mark.parametrize("what", ["broken off", "corrupted", "escaping"])
def test_a_bad_archive_never_leaves_a_half_written_data_set(
    what: str, server: Loopback, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good = server.files[f"/{ARCHIVE}"].content
    wrong = {"broken off": good, "corrupted": good[:-100] + bytes(100), "escaping": tar_of({"../up.jpg": b"x"})}[what]
    drops = [1000, 0, 0, 0] if what == "broken off" else []
    server.plant(f"/{ARCHIVE}", wrong, drops=drops)
    if what == "escaping":
        entry = miniature.plant(server, monkeypatch)
        url = server.plant(f"/{ARCHIVE}", wrong)
        known = entry.downloads[0].model_copy(update={"md5": "", "bytes": 0, "urls": (url,)})
        miniature.serve(monkeypatch, entry.model_copy(update={"downloads": (known, entry.downloads[1])}))
    assert invoke(["data", "prepare", "caltech101"]) == 4
    error = capsys.readouterr().err
    expected = {
        "broken off": "ended after 1,000 of",
        "corrupted": "sent another content (md5",
        "escaping": "is refused",
    }
    assert expected[what] in error
    left = {"broken off": {f"{ARCHIVE}.part", f"{ARCHIVE}.part.json"}, "corrupted": set(), "escaping": {ARCHIVE}}[what]
    assert contents(folder) == {SPLIT, *left}
    assert not list(folder.parent.rglob("*.jpg"))
    server.plant(f"/{ARCHIVE}", good)
    if what != "escaping":
        assert invoke(["data", "prepare", "caltech101"]) == 0
        assert server.asked(f"/{ARCHIVE}") == (["bytes=1000-"] if what == "broken off" else [""])
        assert contents(folder) == {IMAGES, SPLIT, "show.m"}


def test_what_must_be_fetched_by_hand_is_told_and_then_taken(
    server: Loopback, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = miniature.plant(server, monkeypatch)
    closed = entry.downloads[0].model_copy(update={"urls": (), "manual": "Sign the agreement."})
    miniature.serve(monkeypatch, entry.model_copy(update={"downloads": (closed, entry.downloads[1])}))
    assert invoke(["data", "prepare", "caltech101"]) == 4
    printed = capsys.readouterr()
    assert printed.err == (
        f"error: dataset caltech101: {ARCHIVE} must be fetched by hand: Sign the agreement; "
        f'put it at "{folder / ARCHIVE}".\n'
    )
    assert "when that is done: bench data prepare caltech101\n" in printed.out
    assert contents(folder) == {SPLIT}  # the rest is here already
    (folder / ARCHIVE).write_bytes(server.files[f"/{ARCHIVE}"].content)
    assert invoke(["data", "prepare", "caltech101"]) == 0
    assert contents(folder) == {IMAGES, SPLIT, "show.m", ARCHIVE}  # the user's file stays


def test_what_can_be_done_without_is_a_note(
    server: Loopback, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = miniature.plant(server, monkeypatch)
    labels = Download(name="labels.pt", urls=(f"{server.root}/labels",), gives=("labels.pt",), optional=True)
    miniature.serve(monkeypatch, entry.model_copy(update={"downloads": (*entry.downloads, labels)}))
    assert invoke(["data", "prepare", "caltech101"]) == 0
    error = capsys.readouterr().err
    assert error.startswith("note: dataset caltech101 can be opened without this: labels.pt could not be fetched")
    server.plant("/labels", b"labels")
    assert invoke(["data", "prepare", "caltech101"]) == 0
    assert contents(folder) == {IMAGES, SPLIT, "show.m", "labels.pt"}


def test_a_run_killed_before_it_unpacked_goes_on_there(
    server: Loopback, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(zipfile.ZipFile, "extractall", killed)
        assert invoke(["data", "prepare", "caltech101"]) == 130
    assert contents(folder) == {ARCHIVE}
    assert invoke(["data", "prepare", "caltech101"]) == 0
    assert contents(folder) == {IMAGES, SPLIT, "show.m"}  # the archive was ours to remove
    assert len(server.asked(f"/{ARCHIVE}")) == 1


def test_several_at_once_each_to_its_end(
    server: Loopback, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = folder.parent / "empty"
    empty.mkdir(parents=True)
    assert invoke(["data", "prepare", "stanfordcars[mode=tv]", "caltech101", "digits", f"folder:{empty}"]) == 4
    printed = capsys.readouterr()
    assert f"caltech101: is ready in {folder}." in printed.out
    assert "digits: comes with the package." in printed.out
    assert "when that is done: bench data prepare 'stanfordcars[mode=tv]'" in printed.out
    assert printed.err.count("cars_test.tgz must be fetched by hand") == 1


def test_a_caller_hears_nothing_unless_it_listens(
    server: Loopback, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert prepare_dataset(Place("caltech101", {})) == []
    assert contents(folder) == {IMAGES, SPLIT, "show.m"}
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("note", [f'{{"{ARCHIVE}": 1}}', "[]", "{", "[" * 100_000])
def test_a_damaged_note_of_what_was_fetched_is_none(server: Loopback, folder: Path, note: str) -> None:
    folder.mkdir(parents=True)
    (folder / FETCHED).write_text(note)
    assert prepare_dataset(Place("caltech101", {})) == []
    assert fetched(folder)[ARCHIVE].url == f"{server.root}/{ARCHIVE}"


def test_a_note_that_cannot_be_written_is_one_line(server: Loopback, folder: Path) -> None:
    (folder / FETCHED).mkdir(parents=True)
    lines = prepare_dataset(Place("caltech101", {}))
    assert lines == [f'the folder "{folder}" cannot be written: Is a directory; correct that.'] * 2


def test_without_a_name_nothing_is_fetched(server: Loopback, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["data", "prepare"]) == 0
    out = capsys.readouterr().out
    assert "caltech101, " in out
    assert "GiB" in out
    assert "bench data prepare NAME" in out
    assert not folder.exists()


def rows(capsys: pytest.CaptureFixture[str]) -> dict[tuple[str, str], Any]:
    assert invoke(["data", "list", "--json"]) == 0
    return {(row["name"], row["mode"]): row for row in json.loads(capsys.readouterr().out)}


def test_the_list_knows_what_is_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = rows(capsys)
    mine = before["caltech101", "coop"]
    assert (mine["classes"], mine["images"], mine["state"], mine["where"]) == (3, 27, "missing", str(folder))
    assert mine["missing"] == [ARCHIVE, SPLIT]
    assert before["stanfordcars", "tv"]["state"] == "needs hand"
    assert before["digits", ""]["state"] == "embedded"
    invoke(["data", "prepare", "caltech101"])
    capsys.readouterr()
    assert rows(capsys)["caltech101", "coop"]["state"] == "ready"
    assert invoke(["data", "list"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("caltech101"))
    assert line.split()[:3] == ["caltech101", "3", "27"]
    assert line.split()[-3:] == ["coop", "ready", str(folder)]


def test_the_settings_say_where_a_data_set_lies(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("bench.toml").write_text(f'[dataset.caltech101]\nroot = "{tmp_path}/elsewhere"\n')
    assert rows(capsys)["caltech101", "coop"]["where"] == f"{tmp_path}/elsewhere"
    assert invoke(["data", "prepare", "caltech101"]) == 0
    assert not folder.exists()
    assert (tmp_path / "elsewhere" / SPLIT).exists()
    assert invoke(["data", "verify", "caltech101"]) == 0


def test_the_list_imports_nothing_heavy() -> None:
    program = (
        "import sys; from bench.cli.main import invoke\n"
        "code = invoke(['data', 'list'])\n"
        "heavy = {'torch', 'torchvision', 'ray', 'pandas', 'scipy', 'sklearn'} & set(sys.modules)\n"
        "sys.exit(repr((code, heavy)) if code or heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prepare", "caltech"], 'unknown dataset "caltech"; did you mean "caltech101"?'),
        (["prepare", "caltech101", "--mode", "cop"], 'no mode "cop"; did you mean "coop"?'),
        (["prepare", "digits", "--mode", "tv"], 'dataset "digits" has no mode "tv"'),
        (["verify", "folder:none"], "folder:none does not exist"),
        (["verify"], "no data set in files is ready; name one"),
        (["list", "--config", "none.toml"], "does not exist"),
        (["prepair"], "No such command 'prepair'"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], message: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["data", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not root.exists()


class Elsewhere(Dataset):
    """A plugin without a record."""

    class_names = ("a", "b")
    templates = ("{}",)
    licence = source = "none"

    def missing(self) -> list[str]:
        return [] if Path("key").exists() else ["dataset elsewhere: buy a key, and save it as key."]

    def load(self, split: SplitName) -> Split:
        raise NotImplementedError


@pytest.mark.usefixtures("registries")
def test_a_data_set_without_a_record_speaks_for_itself(capsys: pytest.CaptureFixture[str]) -> None:
    DATASETS.register("elsewhere", Elsewhere)
    assert rows(capsys)["elsewhere", ""]["state"] == "needs hand"
    assert invoke(["data", "prepare", "elsewhere"]) == 4
    assert capsys.readouterr().err == "error: dataset elsewhere: buy a key, and save it as key.\n"
    Path("key").touch()
    library.open_dataset.cache_clear()
    assert invoke(["data", "prepare", "elsewhere"]) == 0


def test_two_that_prepare_at_once_fetch_and_unpack_once(server: Loopback, folder: Path) -> None:
    from threading import Thread

    server.files[f"/{ARCHIVE}"].pause = 0.01
    server.files[f"/{ARCHIVE}"].chunk = 2000
    places = [Place("caltech101", {}) for _ in range(3)]
    threads = [Thread(target=prepare_dataset, args=(place,)) for place in places]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.asked(f"/{ARCHIVE}")) == len(server.asked(f"/{SPLIT}")) == 1
    assert contents(folder) == {IMAGES, SPLIT, "show.m"}


def test_from_nothing_to_a_record(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Local, "run", in_this_process)  # the miniature catalogue is known here alone
    run = ["run", "--set", "dataset=caltech101", "--set", "method=coop", "--set", "noise=symmetric",
           "--set", "rate=0.5",
           "--set", "shots=2", "--set", "epochs=1", "--set", "seed=1", "--set", "backbone=tiny",
           "--scheduler", "local", "--workers", "1"]  # fmt: skip
    assert invoke(run) == 2
    error = capsys.readouterr().err
    assert error.endswith("bench data prepare caltech101\n")
    assert not Path("results").exists()
    assert invoke(["data", "prepare", "caltech101"]) == 0
    assert invoke(["data", "verify", "caltech101"]) == 0
    assert invoke(run) == 0
    (record,) = Store("results").records()
    assert (record.status, record.data.classes, record.data.train, record.data.test) == ("done", 3, 6, 9)
    assert record.data.class_names == list(miniature.CLASSES)
    assert record.noise.realised_rate == 0.5
    assert default_root() == folder.parent
