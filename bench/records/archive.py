"""Archives of records and a report: one ZIP file that another machine reads, each of whose files is checked.

An archive holds `records/`, the files of the store as they are; `report/`; `contents.json`, the size and SHA-256 of
every file, the version that wrote it and the plugins of third parties that records name; and `README.txt` for whoever
finds it beside a paper.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bench import __version__
from bench.errors import BenchError, in_line
from bench.files import write_whole
from bench.records.file_names import OUTCOMES_FILE, PROMPTS_FILE, RECORD_FILE
from bench.records.record import Record
from bench.records.store import MOST_BYTES, Store, parsed

CONTENTS: Final = "contents.json"
README: Final = "README.txt"
FORM: Final = 1
RECORDS, REPORT = "records/", "report/"
COMPANIONS: Final = (OUTCOMES_FILE, PROMPTS_FILE)
MOST_COMPANION: Final = 2**32
TEXT: Final = """Records of noisy-prompt-bench {version}: {count} cells.

records/   one JSON per cell, and beside it outcomes of single test samples and learned prompts, where they were kept
report/    tables and figures made from them; begin with report.html or report.md
{contents}  size and SHA-256 of every file

To read them with the tool that made them, and check every file:

    bench import {name} --store published
    bench table --store published
    bench reproduce KEY --store published
{plugins}"""


@dataclass(frozen=True)
class ArchiveContents:
    """What an import has done, by key.

    Attributes:
        new: records that were added.
        same: records that were there already, perhaps after other attempts.
        other: records of the same cell with other content, which stay: done ones, and any where it did not finish.
        plugins: origins of third parties' plugins that the records name, "file mine.py" or "package NAME VERSION".
    """

    new: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)
    plugins: tuple[str, ...] = ()


def write_archive(store: Store, records: list[Record], report: Path | None, out: Path) -> int:
    """Write an archive of records, their companions and a report; returns its size in bytes.

    Equal contents make equal bytes: files are in order and bear no time.

    Raises:
        OSError: it cannot be written.
    """
    files: dict[str, bytes] = {}
    for record in sorted(records, key=lambda one: one.key):
        for ending in (RECORD_FILE, *COMPANIONS):
            content = store.files.read(record.key + ending)
            if content is not None:
                files[f"{RECORDS}{record.key}{ending}"] = content
    if report is not None:
        made = {file.relative_to(report).as_posix(): file for file in sorted(report.rglob("*")) if file.is_file()}
        files |= {f"{REPORT}{name}": file.read_bytes() for name, file in made.items()}
    plugins = sorted({origin for record in records for origin in record.provenance.plugins.values()})
    told = "".join(f"\nNeeded beside it: {in_line(origin)}" for origin in plugins)
    facts = {"form": FORM, "version": __version__, "plugins": plugins, "files": {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()} for name, content in files.items()
    }}  # fmt: skip
    text = TEXT.format(version=__version__, count=len(records), contents=CONTENTS, name=out.name, plugins=told)
    files = {README: text.encode(), CONTENTS: (json.dumps(facts, indent=1) + "\n").encode(), **files}
    write_whole(out, _zipped(files))
    return out.stat().st_size


def _zipped(files: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def read_archive(file: Path, store: Store) -> ArchiveContents:
    """Check an archive whole, and then add its records to a store. The report is not unpacked.

    Raises:
        BenchError: it is no archive of records, or a file of it is missing, larger than it says, changed, or no record;
            nothing is then written.
        OSError: the store cannot be written.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            facts = _facts(file, archive)
            checked = list(_checked(file, archive, facts["files"]))
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise BenchError(
            f'"{file}" is no archive of records, or torn: {in_line(str(error))}; fetch it again.'
        ) from error
    except OSError as error:
        raise BenchError(f'"{file}" cannot be read: {error.strerror or error}.') from error
    found = ArchiveContents(plugins=tuple(in_line(str(one)) for one in facts.get("plugins", ())))
    store.prepare()
    for record, files in checked:
        before = store.read(record.key)
        if before is not None and (before.status == "done" or record.status != "done"):
            tried = before.model_copy(update={"attempts": record.attempts})
            (found.same if tried.to_json() == record.to_json() else found.other).append(record.key)
        else:
            store.put(record, files)
            found.new.append(record.key)
    return found


def _facts(file: Path, archive: zipfile.ZipFile) -> dict[str, Any]:
    """Read the list of contents, and check that it names what is there."""
    names = [name for name in archive.namelist() if not name.endswith("/")]
    if CONTENTS not in names:
        raise BenchError(
            f'"{file}" is no archive of records: it has no {CONTENTS}; `bench export --format archive` makes one.'
        )
    try:
        facts = json.loads(_content(file, archive, CONTENTS, MOST_BYTES))
        listed = {name: (int(fact["bytes"]), str(fact["sha256"])) for name, fact in facts["files"].items()}
        form = int(facts["form"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BenchError(f'"{file}": {CONTENTS} is no list of contents; fetch the archive again.') from error
    if form > FORM:
        raise BenchError(
            f'"{file}" is of form {form}, and this version reads {FORM}; install a newer noisy-prompt-bench.'
        )
    strange = sorted({*names} - {*listed, CONTENTS, README}) + sorted({*listed} - {*names})
    if strange or len(names) != len({*names}):
        raise BenchError(
            f'"{file}": "{in_line((strange or names)[0])}" is not once in the archive and in its list of contents; '
            "fetch it again."
        )
    return {**facts, "files": listed}


def _checked(
    file: Path, archive: zipfile.ZipFile, listed: Mapping[str, tuple[int, str]]
) -> Iterator[tuple[Record, dict[str, bytes]]]:
    """Yield the records with the files beside them, each held against its digest."""
    contents = {name: _listed(file, archive, name, *fact) for name, fact in listed.items() if name.startswith(RECORDS)}
    for name in (name for name in listed if not name.startswith(RECORDS)):
        _listed(file, archive, name, *listed[name])
    keys = [name.removeprefix(RECORDS).removesuffix(RECORD_FILE) for name in contents if name.endswith(RECORD_FILE)]
    known = {f"{RECORDS}{key}{ending}" for key in keys for ending in (RECORD_FILE, *COMPANIONS)}
    if stray := sorted({name for name in contents if "/" in name.removeprefix(RECORDS)} or {*contents} - known):
        raise BenchError(f'"{file}": "{in_line(stray[0])}" belongs to no record; fetch the archive again.')
    for key in keys:
        record = parsed(key, contents[f"{RECORDS}{key}{RECORD_FILE}"])
        if isinstance(record, str):
            raise BenchError(f'"{file}": {RECORDS}{in_line(key)}{RECORD_FILE} is no record ({in_line(record)}).')
        yield record, {end: contents[name] for end in COMPANIONS if (name := f"{RECORDS}{key}{end}") in contents}


def _listed(file: Path, archive: zipfile.ZipFile, name: str, size: int, digest: str) -> bytes:
    content = _content(file, archive, name, min(size, MOST_COMPANION))
    if len(content) != size or hashlib.sha256(content).hexdigest() != digest:
        raise BenchError(
            f'"{file}": "{in_line(name)}" is not what {CONTENTS} says; the archive is damaged or was changed.'
        )
    return content


def _content(file: Path, archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """Read a member of at most so many bytes, whatever its header says of its size."""
    with archive.open(name) as stream:
        content = stream.read(most + 1)
    if len(content) > most:
        raise BenchError(f'"{file}": "{in_line(name)}" has more bytes than {CONTENTS} says; the archive was changed.')
    return content
