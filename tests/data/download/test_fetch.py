"""Downloads against a server that misbehaves: the right file or one clear line, never a half-written one."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from bench import console
from bench.data.catalogue import Download
from bench.data.download.fetch import LOCK, FetchFailed, Patience, fetch_file
from bench.data.download.transfer import PartialFile
from bench.errors import BenchError
from tests.data.loopback import Loopback

CONTENT = bytes(range(256)) * 1200  # 300 KiB
OTHER = CONTENT[::-1]
HALF = len(CONTENT) // 2
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()
NAME = "images.tar"
PARTS = [f"{NAME}.part", f"{NAME}.part.json"]
BREAKS = [HALF, 0, 0, 0]


def patience(**changes: Any) -> Patience:
    return Patience(**{"tries": 3, "stalled": 5.0, "sleep": lambda seconds: None, **changes})


def listed(folder: Path) -> list[str]:
    """What is in the folder beside the lock."""
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.name != LOCK)


def get(folder: Path, *urls: str, sha256: str = SHA256, **changes: Any) -> Path:
    return fetch_file(Download(name=NAME, urls=urls, sha256=sha256, **changes), folder, patience()).file


def fails(folder: Path, *urls: str, left: list[str] | None = None, **changes: Any) -> str:
    with pytest.raises(BenchError) as failure:
        get(folder, *urls, **changes)
    text = str(failure.value)
    assert "\n" not in text
    assert listed(folder) == (left or [])
    return text


def test_a_file_arrives_whole_and_is_fetched_once(server: Loopback, tmp_path: Path) -> None:
    url = server.plant("/a", CONTENT)
    seen: list[tuple[int, int | None]] = []
    download = Download(name=NAME, urls=(url,), sha256=SHA256.upper())
    found = fetch_file(download, tmp_path, patience(), lambda done, total: seen.append((done, total)))
    assert (found.file.read_bytes(), found.sha256, found.url) == (CONTENT, SHA256, url)
    assert (seen[0], seen[-1]) == ((0, len(CONTENT)), (len(CONTENT), len(CONTENT)))
    assert fetch_file(download, tmp_path).url == ""
    assert listed(tmp_path) == [NAME]
    assert len(server.asked("/a")) == 1


@pytest.mark.parametrize("etag", ['"one"', "", 'W/"weak"'])
def test_what_breaks_off_is_resumed(server: Loopback, tmp_path: Path, etag: str) -> None:
    url = server.plant("/a", CONTENT, drops=[HALF, 1000], etag=etag)
    assert get(tmp_path, url).read_bytes() == CONTENT
    assert server.asked("/a") == ["", f"bytes={HALF}-", f"bytes={HALF + 1000}-"]
    assert listed(tmp_path) == [NAME]


def test_what_is_elsewhere_is_resumed_there(server: Loopback, tmp_path: Path) -> None:
    server.plant("/a", CONTENT, drops=[HALF])
    url = server.plant("/r", b"", leads_to="/a")
    assert get(tmp_path, url).read_bytes() == CONTENT
    assert server.asked("/a") == ["", f"bytes={HALF}-"]


def test_without_a_hash_only_a_file_with_a_tag_is_resumed(server: Loopback, tmp_path: Path) -> None:
    tagged = server.plant("/a", CONTENT, drops=[HALF])
    untagged = server.plant("/b", CONTENT, drops=[HALF], etag="")
    assert get(tmp_path / "a", tagged, sha256="").read_bytes() == CONTENT
    assert get(tmp_path / "b", untagged, sha256="").read_bytes() == CONTENT
    assert server.asked("/a") == ["", f"bytes={HALF}-"]
    assert server.asked("/b") == ["", ""]


def test_a_part_whose_note_is_damaged_is_fetched_from_the_start(server: Loopback, tmp_path: Path) -> None:
    url = server.plant("/a", CONTENT)
    (tmp_path / PARTS[0]).write_bytes(CONTENT[:HALF])
    for note in ('{"url": "", "validator": "", "etag": "", "total": "many"}', "1", "{"):
        (tmp_path / PARTS[1]).write_text(note)
        assert PartialFile(tmp_path / NAME).origin is None
    assert get(tmp_path, url).read_bytes() == CONTENT
    assert server.asked("/a") == [""]


def test_a_server_without_ranges_is_asked_from_the_start(server: Loopback, tmp_path: Path) -> None:
    url = server.plant("/a", CONTENT, drops=[HALF], ranges=False)
    assert get(tmp_path, url).read_bytes() == CONTENT
    assert server.asked("/a") == ["", f"bytes={HALF}-"]


def test_tries_are_bounded_and_waits_grow(server: Loopback, tmp_path: Path) -> None:
    url = server.plant("/a", CONTENT, drops=[HALF] * 9, ranges=False)
    waits: list[float] = []
    with pytest.raises(FetchFailed, match=r"ended after 153,600 of 307,200 bytes, 3 times in a row"):
        fetch_file(Download(name=NAME, urls=(url,), sha256=SHA256), tmp_path, patience(sleep=waits.append))
    assert waits == [1, 2, 4]  # the first try was a step ahead
    server.plant("/b", CONTENT, statuses=[503, 429], retry_after="7")
    waits.clear()
    fetch_file(Download(name="b", urls=(f"{server.root}/b",)), tmp_path, patience(sleep=waits.append, longest_wait=5))
    assert waits == [5, 5]


def test_steps_too_small_to_get_there_do_not_go_on_for_ever(server: Loopback, tmp_path: Path) -> None:
    url = server.plant("/a", CONTENT, drops=[1] * 100)
    assert "3 times in a row" in fails(tmp_path, url, left=PARTS)
    assert len(server.asked("/a")) == 3


def test_a_file_that_changed_in_between_is_never_mixed(server: Loopback, tmp_path: Path) -> None:
    for number, (heedless, sha256) in enumerate([(False, SHA256), (True, SHA256), (False, ""), (True, "")]):
        path = f"/{number}"
        url = server.plant(path, OTHER, drops=BREAKS, etag='"old"')
        folder = tmp_path / str(number)
        fails(folder, url, sha256=sha256, left=PARTS)
        server.plant(path, CONTENT, heedless=heedless)
        assert get(folder, url, sha256=sha256).read_bytes() == CONTENT
        assert listed(folder) == [NAME]


def test_a_mixture_that_only_the_hash_finds_out_is_fetched_anew(server: Loopback, tmp_path: Path) -> None:
    url = server.plant("/a", OTHER, drops=BREAKS, etag="")
    fails(tmp_path, url, left=PARTS)
    server.plant("/a", CONTENT, etag="")
    assert get(tmp_path, url).read_bytes() == CONTENT
    assert server.asked("/a") == [f"bytes={HALF}-", ""]


def test_a_whole_part_is_only_checked(server: Loopback, tmp_path: Path) -> None:
    url = server.plant("/a", CONTENT, drops=BREAKS)
    fails(tmp_path, url, left=PARTS)
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT)  # killed before it got its name
    assert get(tmp_path, url).read_bytes() == CONTENT
    assert server.asked("/a")[-1] == f"bytes={len(CONTENT)}-"
    (tmp_path / NAME).unlink()
    server.plant("/a", OTHER, drops=BREAKS)
    fails(tmp_path, url, left=PARTS)
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT * 2)  # longer than the file
    server.plant("/a", CONTENT)
    assert get(tmp_path, url).read_bytes() == CONTENT


def test_a_wrong_content_is_dropped_and_the_next_mirror_asked(server: Loopback, tmp_path: Path) -> None:
    wrong, right = server.plant("/wrong", OTHER), server.plant("/right", CONTENT)
    assert get(tmp_path, f"{server.root}/none", wrong, right).read_bytes() == CONTENT
    assert listed(tmp_path) == [NAME]
    assert get(tmp_path / "md5", wrong, right, sha256="", md5=MD5).read_bytes() == CONTENT
    short = server.plant("/short", CONTENT[:-1])
    assert get(tmp_path / "size", short, right, sha256="", bytes=len(CONTENT)).read_bytes() == CONTENT


def test_the_second_mirror_goes_on_where_the_first_broke_off(server: Loopback, tmp_path: Path) -> None:
    first, second = server.plant("/a", CONTENT, drops=[HALF, 0, 0, 0]), server.plant("/b", CONTENT, etag='"two"')
    assert get(tmp_path, first, second).read_bytes() == CONTENT
    assert server.asked("/b") == [f"bytes={HALF}-"]


def test_when_no_mirror_serves_one_line_says_what_each_did(server: Loopback, tmp_path: Path) -> None:
    urls = [f"{server.root}/none", server.plant("/a", OTHER), server.plant("/b", CONTENT, statuses=[403]),
            server.plant("/c", CONTENT, statuses=[500] * 9), f"file://{tmp_path}/none", "ftp://127.0.0.1/x",
            server.plant("/d", b""), "http://127.0.0.1:1/x", "http://[x/y"]  # fmt: skip
    text = fails(tmp_path / "x", *urls, manual="Ask the authors.")
    for expected in (
        f"{NAME} could not be fetched", "/none: answered 404 Not Found", "/a: sent another content (sha256 ",
        f"expected {SHA256}", "/b: answered 403 Forbidden", "/c: answered 500 Internal Server Error, 3 times in a row",
        "No such file", "no http, https or file address", "an empty file", "Connection refused", "http://[x/y: ",
        f'Ask the authors, and put it at "{tmp_path / "x" / NAME}".',
    ):  # fmt: skip
        assert expected in text
    by_hand = f'{NAME} must be fetched by hand: Ask; put it at "{tmp_path / "y" / NAME}".'
    assert fails(tmp_path / "y", manual="Ask.") == by_hand


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/octet-stream"])
def test_a_web_page_is_no_file(server: Loopback, tmp_path: Path, kind: str) -> None:
    url = server.plant("/a", b"\n<!DOCTYPE html><html>too large to scan</html>", kind=kind)
    assert "a web page instead of the file" in fails(tmp_path, url)
    assert "a web page instead of the file" in fails(tmp_path, url, sha256="")


def test_google_drives_page_is_told_with_the_link(
    server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = "http://drive.google.com/uc?export=download&id=1"
    server.plant(link, b"<html>too large to scan</html>", kind="text/html")
    monkeypatch.setenv("http_proxy", server.root)  # a proxy is asked for whole addresses
    text = fails(tmp_path, link)
    assert "Google Drive gives this file to browsers only" in text
    assert f'fetch it by hand from {link}, and put it at "{tmp_path / NAME}"' in text


def test_slow_but_steady_is_fine_and_a_stall_is_not(server: Loopback, tmp_path: Path) -> None:
    slow = server.plant("/a", CONTENT, pause=0.05, chunk=len(CONTENT) // 10)
    assert get(tmp_path / "a", slow).read_bytes() == CONTENT
    assert len(server.asked("/a")) == 1
    stalled = server.plant("/b", CONTENT, stall=1000, chunk=1000)
    with pytest.raises(FetchFailed, match="sent nothing for too long, 3 times in a row"):
        fetch_file(Download(name=NAME, urls=(stalled,), sha256=SHA256), tmp_path / "b", patience(stalled=0.2))
    assert listed(tmp_path / "b") == PARTS


def test_a_body_of_unknown_length_is_taken_to_its_end(server: Loopback, tmp_path: Path) -> None:
    url = server.plant("/a", CONTENT, length=False, drops=[HALF])
    assert get(tmp_path, url).read_bytes() == CONTENT  # the short one was found out by the hash


def test_files_are_mirrors_too(tmp_path: Path) -> None:
    (tmp_path / "mirror").write_bytes(CONTENT)
    assert get(tmp_path / "x", f"file://{tmp_path}/mirror").read_bytes() == CONTENT


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_shown(
    terminal: bool,
    server: Loopback,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    url = server.plant("/a", CONTENT, chunk=1000)
    with console.amount(NAME, "bytes") as report:
        fetch_file(Download(name=NAME, urls=(url,), sha256=SHA256), tmp_path, patience(), report)
    out = capsys.readouterr().out
    assert NAME in out
    if terminal:
        assert "━" in out
    else:
        assert 1 <= out.count("\n") <= 10
        assert out.endswith(f"{NAME}: 100 % of 300 KiB\n")


def test_where_nothing_is_known_to_check_by_a_note_says_so_to_whoever_listens(
    server: Loopback, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    url, notes = server.plant("/a", CONTENT), list[str]()
    fetch_file(Download(name=NAME, urls=(url,)), tmp_path, patience(), note=notes.append)
    assert notes == [f"{NAME} cannot be checked, as no digest or size is known; its sha256 is {SHA256}."]
    get(tmp_path / "again", url, sha256="")
    assert capfd.readouterr() == ("", "")


def test_another_file_in_its_place_is_the_users_to_remove(server: Loopback, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(OTHER)
    text = fails(tmp_path, server.plant("/a", CONTENT), left=[NAME])
    assert "is not the expected file (sha256 " in text
    assert "remove it" in text


def test_a_full_disk_is_one_line_and_the_part_is_kept(
    server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.plant("/a", CONTENT)
    full = Path("/dev/full")
    with monkeypatch.context() as patched:
        patched.setattr(PartialFile, "open", lambda part: full.open("ab", buffering=0))
        text = fails(tmp_path, url, left=[f"{NAME}.part.json"])
    assert text.startswith("the disk is full: ")
    server.files["/a"].claims = 10**18
    text = fails(tmp_path, url, left=[f"{NAME}.part.json"])
    assert f"bytes free, and {NAME} needs 1,000,000,000,000,000,000 more" in text
    server.files["/a"].claims = None
    assert get(tmp_path, url).read_bytes() == CONTENT
    (tmp_path / "file").write_text("")
    (tmp_path / "taken" / PARTS[0]).mkdir(parents=True)
    for folder in (tmp_path / "file" / "folder", tmp_path / "taken"):
        with pytest.raises(BenchError, match="cannot be written"):
            get(folder, url)


def test_two_at_once_fetch_one_file(server: Loopback, tmp_path: Path) -> None:
    url = server.plant("/a", CONTENT, pause=0.02, chunk=len(CONTENT) // 10)
    threads = [Thread(target=get, args=(tmp_path, url)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.asked("/a")) == 1
    assert listed(tmp_path) == [NAME]


def test_a_killed_process_leaves_a_part_that_the_next_goes_on_with(server: Loopback, tmp_path: Path) -> None:
    url = server.plant("/a", CONTENT, pause=0.05, chunk=len(CONTENT) // 30)
    program = (
        "from pathlib import Path; from bench.data.catalogue import Download\n"
        "from bench.data.download.fetch import fetch_file\n"
        f"fetch_file(Download(name={NAME!r}, urls=({url!r},), sha256={SHA256!r}), Path({str(tmp_path)!r}))"
    )
    process = subprocess.Popen([sys.executable, "-c", program])
    part = tmp_path / f"{NAME}.part"
    until = time.monotonic() + 30
    while not (part.exists() and part.stat().st_size > 50_000) and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert listed(tmp_path) == PARTS
    size = part.stat().st_size
    assert 50_000 < size < len(CONTENT)
    server.files["/a"].pause = 0
    assert get(tmp_path, url).read_bytes() == CONTENT
    assert server.asked("/a") == ["", f"bytes={size}-"]
    assert listed(tmp_path) == [NAME]
