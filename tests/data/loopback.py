"""A server on the loopback address whose files misbehave as ordered."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Planted:
    """One file of the server, and what goes wrong with it.

    Attributes:
        content: what the whole file is.
        etag: sent with it; empty for none.
        ranges: whether Range is answered.
        drops: bytes after which the connection is closed, one entry per request; requests behind the last are served.
        statuses: answers of the first requests instead of the file.
        kind: content type.
        pause: seconds between chunks of `chunk` bytes.
        stall: bytes after which nothing more is sent for `stall_seconds`.
        length: whether Content-Length is sent.
        claims: what Content-Length says instead of the true number.
        heedless: whether If-Range is ignored, so that a changed file is continued.
        retry_after: header of `statuses`.
        leads_to: another address, where the file is.
    """

    content: bytes
    etag: str = '"one"'
    ranges: bool = True
    drops: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    kind: str = "application/octet-stream"
    pause: float = 0.0
    chunk: int = 1 << 16
    stall: int | None = None
    length: bool = True
    claims: int | None = None
    heedless: bool = False
    retry_after: str = ""
    leads_to: str = ""
    requests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.drops, self.statuses = list(self.drops), list(self.statuses)


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        planted: Planted | None = self.server.files.get(self.path)  # type: ignore[attr-defined]
        if planted is None:
            self.send_error(404)
            return
        planted.requests.append(self.headers.get("Range", ""))
        if planted.leads_to:
            self.send_response(302)
            self.send_header("Location", planted.leads_to)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if planted.statuses:
            self.send_response(planted.statuses.pop(0))
            if planted.retry_after:
                self.send_header("Retry-After", planted.retry_after)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self._file(planted)

    def _file(self, planted: Planted) -> None:
        content, asked = planted.content, self.headers.get("Range", "")
        fresh = planted.heedless or self.headers.get("If-Range", planted.etag) == planted.etag
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and planted.ranges and fresh else 0
        if start and start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if planted.etag:
            self.send_header("ETag", planted.etag)
        self.send_header("Content-Type", planted.kind)
        if planted.length:
            self.send_header("Content-Length", str(planted.claims or len(content) - start))
        self.end_headers()
        end = start + planted.drops.pop(0) if planted.drops else len(content)
        self._body(planted, content[start:end])
        self.close_connection = True

    def _body(self, planted: Planted, body: bytes) -> None:
        try:
            for begin in range(0, len(body), planted.chunk):
                if planted.stall is not None and begin >= planted.stall:
                    self.server.released.wait(5)  # type: ignore[attr-defined]
                    return
                self.wfile.write(body[begin : begin + planted.chunk])
                self.wfile.flush()
                time.sleep(planted.pause)
        except ConnectionError:
            return


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that went away is none."""


class Loopback:
    """The running server: `files` by path, and their addresses."""

    def __init__(self, server: _Server) -> None:
        self.files: dict[str, Planted] = {}
        server.files = self.files  # type: ignore[attr-defined]
        self.root = f"http://127.0.0.1:{server.server_address[1]}"

    def plant(self, path: str, content: bytes, **changes: object) -> str:
        """Serve a file; returns its address."""
        self.files[path] = Planted(content, **changes)  # type: ignore[arg-type]
        return f"{self.root}{path}"

    def asked(self, path: str) -> list[str]:
        """The Range headers of the requests so far."""
        return self.files[path].requests


@contextmanager
def loopback() -> Iterator[Loopback]:
    server = _Server(("127.0.0.1", 0), _Handler)
    server.released = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Loopback(server)
    finally:
        server.released.set()  # type: ignore[attr-defined]
        server.shutdown()
        server.server_close()
        thread.join()
