"""Archives of records: what goes in comes out, and nothing of an archive that was changed is taken."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench.errors import BenchError
from bench.records.archive import CONTENTS, read_archive, write_archive
from bench.records.file_names import OUTCOMES_FILE, RECORD_FILE
from bench.records.record import Record
from bench.records.store import Store
from tests.reports.factory import grid

RECORDS = grid()[:3]
KEYS = sorted(record.key for record in RECORDS)
Files = dict[str, bytes]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "here")
    for number, record in enumerate(RECORDS):
        made.publish(record, {"correct": np.arange(5) > number} if number else {})
    return made


@pytest.fixture
def archive(store: Store, tmp_path: Path) -> Path:
    report = tmp_path / "report"
    (report / "tables").mkdir(parents=True)
    (report / "report.md").write_text("# Report\n")
    (report / "tables" / "a.csv").write_text("1\n")
    write_archive(store, list(store.records()), report, tmp_path / "paper.zip")
    return tmp_path / "paper.zip"


def content(store: Store) -> Files:
    return {file.name: file.read_bytes() for file in Path(store.root).iterdir()}


def test_records_and_what_lies_beside_them_come_out_as_they_went_in(
    store: Store, archive: Path, tmp_path: Path
) -> None:
    there = Store(tmp_path / "there")
    found = read_archive(archive, there)
    assert (sorted(found.new), found.same, found.other, found.plugins) == (KEYS, [], [], ())
    assert content(there) == content(store)
    again = read_archive(archive, there)
    assert (again.new, sorted(again.same), again.other) == ([], KEYS, [])


def test_the_report_is_in_it_and_equal_contents_make_equal_bytes(store: Store, archive: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        assert {"report/report.md", "report/tables/a.csv", "README.txt", CONTENTS} <= {*opened.namelist()}
        assert b"bench import paper.zip" in opened.read("README.txt")
    first = archive.read_bytes()
    write_archive(store, [*store.records()][::-1], tmp_path / "report", archive)
    assert archive.read_bytes() == first


def test_another_done_record_of_a_cell_stays(archive: Path, tmp_path: Path) -> None:
    there = Store(tmp_path / "there")
    other = RECORDS[0].model_copy(update={"diagnostics": {"other": [1.0]}})
    there.publish(other, {})
    found = read_archive(archive, there)
    assert (found.other, len(found.new)) == ([RECORDS[0].key], 2)
    assert there.read(other.key) == other


def test_an_unfinished_record_becomes_an_attempt(archive: Path, tmp_path: Path) -> None:
    there = Store(tmp_path / "there")
    there.publish(RECORDS[0].model_copy(update={"status": "failed", "reason": "for a test"}), {})
    assert RECORDS[0].key in read_archive(archive, there).new
    read = there.read(RECORDS[0].key)
    assert read is not None
    assert (read.status, [tried["reason"] for tried in read.attempts]) == ("done", ["for a test"])
    assert RECORDS[0].key in read_archive(archive, there).same


def test_an_unfinished_record_takes_no_place(tmp_path: Path) -> None:
    here, there = Store(tmp_path / "here"), Store(tmp_path / "there")
    here.publish(RECORDS[0].model_copy(update={"status": "failed", "reason": "for a test"}), {})
    write_archive(here, list(here.records()), None, tmp_path / "a.zip")
    for expected in ("new", "same", "same"):
        assert getattr(read_archive(tmp_path / "a.zip", there), expected) == [RECORDS[0].key]
    assert content(there) == content(here)
    other = Store(tmp_path / "other")
    other.publish(RECORDS[0].model_copy(update={"status": "skipped", "reason": "no meaning"}), {})
    before = content(other)
    assert read_archive(tmp_path / "a.zip", other).other == [RECORDS[0].key]
    assert content(other) == before


def test_plugins_of_third_parties_are_named(store: Store, tmp_path: Path) -> None:
    record = RECORDS[0].model_copy(deep=True)
    record.provenance.plugins = {"method": "file mine.py"}
    write_archive(store, [record], None, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as opened:
        assert "Needed beside it: file mine.py" in opened.read("README.txt").decode()
    assert read_archive(tmp_path / "a.zip", Store(tmp_path / "there")).plugins == ("file mine.py",)


def rewritten(archive: Path, change: Callable[[Files], None], *, honest: bool = False) -> None:
    """An archive with other files; `honest`: its list of contents says what they are."""
    with zipfile.ZipFile(archive) as opened:
        files = {name: opened.read(name) for name in opened.namelist()}
    change(files)
    if honest:
        facts = json.loads(files[CONTENTS])
        facts["files"] = {
            name: {"bytes": len(found), "sha256": hashlib.sha256(found).hexdigest()}
            for name, found in files.items()
            if name not in (CONTENTS, "README.txt")
        }
        files[CONTENTS] = json.dumps(facts).encode()
    with zipfile.ZipFile(archive, "w") as opened:
        for name, found in files.items():
            opened.writestr(name, found)


def spoil(files: Files) -> None:
    name = f"records/{KEYS[1]}{RECORD_FILE}"
    files[name] = files[name].replace(b"digits", b"digitS", 1)


def climb(files: Files) -> None:
    """A whole record whose key leads out of the store."""
    record = json.loads(files[f"records/{KEYS[0]}{RECORD_FILE}"])
    files["records/../x.json"] = json.dumps(record | {"key": "../x"}).encode()


CHANGES: dict[str, tuple[Callable[[Files], object], bool, str]] = {
    "a record": (spoil, False, "is not what contents.json says"),
    "a longer file": (lambda files: files.update({"report/report.md": bytes(10**6)}), False, "more bytes than"),
    "one less": (lambda files: files.pop(f"records/{KEYS[0]}{RECORD_FILE}"), False, "is not once in"),
    "one more": (lambda files: files.update({"../outside.json": b"{}"}), False, "is not once in"),
    "no list": (lambda files: files.pop(CONTENTS), False, "it has no contents.json"),
    "a torn list": (lambda files: files.update({CONTENTS: b'{"form": 1'}), False, "no list of contents"),
    "a deep list": (lambda files: files.update({CONTENTS: b"[" * 10**5}), False, "no list of contents"),
    "a newer form": (lambda files: files.update({CONTENTS: b'{"form": 9, "files": {}}'}), False, "install a newer"),
    "no record": (lambda files: files.update({f"records/{KEYS[0]}{RECORD_FILE}": b"{}"}), True, "is no record"),
    "outside": (climb, True, "belongs to no record"),
    "stray": (lambda files: files.update({f"records/x{OUTCOMES_FILE}": b""}), True, "belongs to no record"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_of_an_archive_that_was_changed_nothing_is_taken(what: str, archive: Path, tmp_path: Path) -> None:
    change, honest, told = CHANGES[what]
    rewritten(archive, change, honest=honest)  # type: ignore[arg-type]
    with pytest.raises(BenchError, match=told):
        read_archive(archive, Store(tmp_path / "there"))
    assert not (tmp_path / "there").exists()


def test_what_is_no_archive_is_one_line(tmp_path: Path, archive: Path) -> None:
    (tmp_path / "text.zip").write_text("text")
    with pytest.raises(BenchError, match="no archive of records, or torn"):
        read_archive(tmp_path / "text.zip", Store(tmp_path / "there"))
    archive.write_bytes(archive.read_bytes()[:-40])
    with pytest.raises(BenchError, match="no archive of records, or torn"):
        read_archive(archive, Store(tmp_path / "there"))
    with pytest.raises(BenchError, match="cannot be read: No such file"):
        read_archive(tmp_path / "none.zip", Store(tmp_path / "there"))


def test_records_of_the_factory_are_done() -> None:
    assert all(isinstance(record, Record) and record.status == "done" for record in RECORDS)
