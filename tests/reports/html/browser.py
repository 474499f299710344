"""A page in headless Chromium, without a driver: a script goes through it and leaves what it found in the document."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

BROWSER = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), "")
ABSENT = "no Chromium on the path"
_WALK = """
<script>
(async () => {
  const found = {};
  const errors = [];
  addEventListener("error", (event) => errors.push(event.message));
  addEventListener("unhandledrejection", (event) => errors.push(String(event.reason)));
  const all = (selector) => [...document.querySelectorAll(selector)];
  const one = (selector) => document.querySelector(selector);
  const wait = (ms = 60) => new Promise((done) => setTimeout(done, ms));
  const type = (selector, text) => { one(selector).value = text; one(selector).dispatchEvent(new Event("input")); };
  const choose = (box, text) => { box.value = text; box.dispatchEvent(new Event("change")); };
  try {
    await new Promise((done) => addEventListener("load", done));
    await wait();
    WALK
  } catch (error) {
    errors.push(String(error.stack));
  }
  found.errors = errors;
  const place = document.createElement("pre");
  place.id = "found";
  place.textContent = JSON.stringify(found);
  document.body.append(place);
})();
</script>
"""


def walk(page: str, script: str, folder: Path, *flags: str, route: str = "") -> dict[str, Any]:
    """Open a page, run a script in it, and return the script's `found` with "errors" and "console" beside it.

    Args:
        page: the HTML.
        script: JavaScript, with `found`, `one`, `all`, `wait`, `type` and `choose` at hand.
        folder: for the page and the browser's profile.
        flags: of the browser.
        route: behind the address, with its "#".
    """
    path = folder / "walked.html"
    path.write_text(page.replace("<main", _WALK.replace("WALK", script) + "<main", 1), encoding="utf-8")
    command = [
        BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom",
        "--virtual-time-budget=20000", f"--user-data-dir={folder / 'profile'}", *flags, path.as_uri() + route,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)
    result = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert result, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(unescape(result[1]))
    found["console"] = re.findall(r"CONSOLE.*", done.stderr)
    return found
