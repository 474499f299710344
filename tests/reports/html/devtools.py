"""Headless Chromium by its DevTools protocol, over a pipe: real keys, and the tree that a screen reader is given."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import subprocess
import time
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.reports.html.browser import BROWSER

PATIENCE = 60.0  # seconds for one answer
KEYS = {  # name: (code of the key, Windows' number, text)
    "Tab": ("Tab", 9, ""),
    "Enter": ("Enter", 13, "\r"),
    " ": ("Space", 32, " "),
    "Escape": ("Escape", 27, ""),
    "Backspace": ("Backspace", 8, ""),
    "ArrowDown": ("ArrowDown", 40, ""),
}
MODIFIERS = {"Alt": 1, "Control": 2, "Shift": 8}


class Tab:
    """One tab with one page; use as a context manager. Errors of the page's scripts are in `errors`."""

    def __init__(self, path: Path, profile: Path, *flags: str, route: str = "") -> None:
        self.errors: list[str] = []
        self._url, self._number, self._session = path.as_uri() + route, 0, ""
        self._buffer, self._waiting = b"", deque[dict[str, Any]]()
        theirs_in, self._to = os.pipe()
        self._from, theirs_out = os.pipe()
        # The browser's ends are its descriptors 3 and 4; copies far from these are not overwritten on the way.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 20) for end in (theirs_in, theirs_out)]
        command = [
            BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe",
            f"--user-data-dir={profile}", *flags, "about:blank",
        ]  # fmt: skip

        def place() -> None:
            os.dup2(ends[0], 3)
            os.dup2(ends[1], 4)

        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(command, close_fds=False, preexec_fn=place, **quiet)  # noqa: PLW1509
        for end in (theirs_in, theirs_out, *ends):
            os.close(end)

    def __enter__(self) -> Tab:
        try:
            (target,) = [t for t in self.send("Target.getTargets")["targetInfos"] if t["type"] == "page"]
            found = self.send("Target.attachToTarget", targetId=target["targetId"], flatten=True)
            self._session = found["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Accessibility"):
                self.send(f"{domain}.enable")
            self.go(self._url)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the browser."""
        os.close(self._to)  # it ends where nobody drives it any more
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._from)

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """The answer to one command; fails on an error of the protocol."""
        self._number += 1
        session = {"sessionId": self._session} if self._session else {}
        message = {"id": self._number, "method": method, "params": params, **session}
        os.write(self._to, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + PATIENCE
        while True:
            answer = self._read(end)
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result
            self._event(answer)

    def go(self, url: str) -> None:
        """Load a page and wait until its scripts are done and its charts are drawn."""
        self.send("Page.navigate", url=url)
        self.until("document.readyState === 'complete' && document.querySelector('#curves-body figure, #cell-title')")

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression, a promise's when it is kept."""
        found = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, expression: str) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + PATIENCE
        while not self.run(f"Boolean({expression})"):
            assert time.monotonic() < end, expression
            time.sleep(0.02)

    def press(self, name: str, *modifiers: str, times: int = 1) -> None:
        """Press and release a key; what it does has happened when this returns."""
        code, number, text = KEYS[name] if name in KEYS else ("", ord(name.upper()), name)
        fields = {
            "key": name, "code": code, "windowsVirtualKeyCode": number, "modifiers": sum(map(MODIFIERS.get, modifiers))
        }  # fmt: skip
        for _ in range(times):
            down = {"type": "keyDown", "text": text} if text else {"type": "rawKeyDown"}
            self.send("Input.dispatchKeyEvent", **fields, **down)
            self.send("Input.dispatchKeyEvent", **fields, type="keyUp")
            self.run("new Promise((done) => setTimeout(done, 15))")

    def write(self, text: str) -> None:
        """Type a text, key by key."""
        for letter in text:
            self.press(letter)

    def focus(self) -> dict[str, str]:
        """Where the focus is: tag, id, text, href, and the nearest ancestor's id that has one."""
        found: dict[str, str] = self.run(
            """(() => { const e = document.activeElement; return { tag: e.tagName.toLowerCase(), id: e.id,
            text: e.textContent.trim().slice(0, 60), href: e.getAttribute("href") || "",
            at: (e.closest("[id]") || {}).id || "" }; })()"""
        )
        return found

    def tree(self) -> list[dict[str, Any]]:
        """What assistive technology is given, in the order of the page: role, name and properties."""
        nodes = {node["nodeId"]: node for node in self.send("Accessibility.getFullAXTree")["nodes"]}
        found: list[dict[str, Any]] = []
        self._walk(nodes, next(iter(nodes)), 0, found)
        return found

    def _walk(self, nodes: dict[str, Any], number: str, depth: int, found: list[dict[str, Any]]) -> None:
        node = nodes[number]
        if not node.get("ignored"):
            properties = {p["name"]: p["value"].get("value") for p in node.get("properties", [])}
            name = node.get("name", {}).get("value", "")
            found.append({"role": node.get("role", {}).get("value"), "name": name, "depth": depth, **properties})
        for child in node.get("childIds", []):
            if child in nodes:
                self._walk(nodes, child, depth + 1, found)

    def picture(self, path: Path, whole: bool = False) -> Path:
        """A screenshot of what is seen, or of the whole page."""
        found = self.send("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))
        return path

    def _read(self, end: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            left = end - time.monotonic()
            assert left > 0 and select.select([self._from], [], [], left)[0], "the browser does not answer"  # noqa: PT018
            more = os.read(self._from, 1 << 20)
            assert more, "the browser has ended"
            self._buffer += more
        message, _, self._buffer = self._buffer.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer

    def _event(self, message: dict[str, Any]) -> None:
        match message.get("method"):
            case "Runtime.exceptionThrown":
                self.errors.append(str(message["params"]["exceptionDetails"].get("text")))
            case "Log.entryAdded" if message["params"]["entry"]["level"] == "error":
                self.errors.append(str(message["params"]["entry"]["text"]))
