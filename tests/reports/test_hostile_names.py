"""Names, titles, error texts and labels of strangers, the whole way from a folder to reports, tables and sheets."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.cli.main import invoke
from bench.data import library
from bench.records.store import Store
from bench.reports.document import Code
from bench.reports.html.page import _said
from bench.reports.output.latex import escape_latex
from bench.reports.output.markdown import escape_markdown, markdown_lines
from bench.spreadsheet import inert

ESCAPE, OVERRIDE = "\x1b", "\u202e"
# Folders of classes, and what prompts say for them: the embedded weights know few words.
CLASSES = {
    "<script>alert(1)<\u2044script>": "<script>one",
    "\\input{\u2215etc\u2215passwd}": "\\two{ }",
    "=cmd|' C'!A0": "=one+two",
    "@sum(1)": "@ one",
    f"{ESCAPE}[31mred{ESCAPE}]0;title\x07": "three",
    f"{OVERRIDE}gnp.exe\u2066": "four",
    "l" + "o" * 200: "five",
    "a`b|c*d_[x](javascript:alert(1))": "one | two * _ x",
    "new\nline\r\ttab": "six",
    '$x^2$ %~# & "quoted"': "$ x ^ 2 % ~ # &",
}
FOLDER = f"pho<b>&{ESCAPE}[35m{OVERRIDE}=\n\n# tos"
METHOD = f"<script>alert(2)</script>\\x{OVERRIDE}{ESCAPE}"
TITLE = "=T<img src=x onerror=alert(3)>\\input{x}|$x"
PLUGIN = f"""
import bench

class Fails(bench.CoOp):
    def setup(self, context):
        said = "\\x1b[31m <script>alert(4)</script> \\\\input{{/etc/passwd}} | =cmd() \\u202e\\nmore"
        raise ValueError(said + "x" * 5000)

bench.register({METHOD!r}, Fails, "=HYPERLINK(1) \\x1b[31m <script>", title={TITLE!r})
"""
ACTIVE = {"script", "iframe", "object", "embed", "link", "base", "b"}


def test_escapes_by_themselves() -> None:
    assert escape_markdown("a\n# b &amp; $x$ \u202e") == r"a \# b \&amp; \$x\$ \\u202e"
    assert escape_latex("a\x1b\n\nb") == r"a\textbackslash{}x1b  b"
    assert _said((Code("<`\x1b"),)) == r"<code>&lt;`\x1b</code>"
    assert [inert(text) for text in ("=1", "+a", "-a", "@a", "\ta", "'=1", "-1", "", "a=1", 3)] == [
        "'=1", "'+a", "'-a", "'@a", "'\ta", "''=1", "-1", "", "a=1", 3,
    ]  # fmt: skip


class Elements(HTMLParser):
    """Elements of a page that do something, and attributes that run a script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ACTIVE:
            self.found.append(tag)
        self.found += [name for name, value in attrs if name.startswith("on") or "javascript:" in (value or "")]


@pytest.fixture
def ran(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], registries: None
) -> tuple[Path, str]:
    """A folder where everything was run, and all that was printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NOISY_PROMPT_BENCH_CACHE", str(tmp_path / "cache"))
    library.open_dataset.cache_clear()
    generator = np.random.default_rng(0)
    for place in (Path(FOLDER) / split / name for split in ("train", "test") for name in CLASSES):
        place.mkdir(parents=True)
        for number in range(4):
            pixels = generator.integers(0, 255, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(place / f"im{number}<i>{ESCAPE}[2J{OVERRIDE}.png")
    names = "".join(f"{json.dumps(name)} = {json.dumps(said)}\n" for name, said in CLASSES.items())
    (Path(FOLDER) / "dataset.toml").write_text(f'title = "<script>"\n[names]\n{names}', encoding="utf-8")
    Path("mine.py").write_text(PLUGIN, encoding="utf-8")
    sets = [f"dataset=folder:{FOLDER}", f"method=zero-shot,coop,{METHOD}", "noise=given", "shots=2", "epochs=1"]
    chosen = [part for text in [*sets, "seed=1"] for part in ("--set", text)]
    ours = ["--store", "s", "--plugin", "mine.py"]
    codes = [
        invoke(["data", "verify", f"folder:{FOLDER}"]),
        invoke(["run", *chosen, *ours, "--scheduler", "local", "--workers", "1"]),
        *(invoke([verb, *ours]) for verb in ("status", "table", "report")),
        invoke(["list", "methods", "--plugin", "mine.py"]),
        *(invoke(["show", record.key, *ours]) for record in Store("s").records()),
        invoke(["suspects", "--store", "s", "--out", "sus"]),
        invoke(["export", "--store", "s", "--format", "csv", "--out", "tables"]),
    ]
    assert codes == [0, 4, *[0] * 9]
    printed = capsys.readouterr()
    return tmp_path, printed.out + printed.err


def test_names_of_strangers_stay_names(ran: tuple[Path, str]) -> None:
    folder, printed = ran
    assert not re.search(r"[^\n -~\x80-\U0010ffff]|[\u202a-\u202e\u2066-\u2069]", printed), (
        "no terminal is told anything"
    )
    assert "\\x1b[35m\\u202e=\\n\\n# tos" in printed
    report = folder / "s" / "report"
    page = (report / "report.html").read_text(encoding="utf-8")
    assert set(Elements(page).found) == {"script"}
    assert Elements(page).found.count("script") == 5, "data in three, the chart library and ours"
    assert "<img src=x" not in page
    assert OVERRIDE not in page, "neither in a table nor in the data that the script shows"
    assert "\\\\u202egnp.exe" in page, "readable in the data"
    assert "Content-Security-Policy" in page
    for file in (report / "report.md", *(report / "tables").glob("*.md"), *(report / "tables").glob("*.tex")):
        text = file.read_text(encoding="utf-8")
        assert ESCAPE not in text
        assert OVERRIDE not in text
        assert not re.search(
            r"^#+ tos|<(img|script|b)\b|(?<!\\)<(img|script|b)", re.sub(r"\\.", "", text), re.MULTILINE
        )
        assert "\\input{" not in text
    for svg in (report / "figures").glob("*.svg"):
        assert set(Elements(svg.read_text(encoding="utf-8")).found) <= {"style"}
    files = [*report.rglob("*.csv"), folder / "sus" / "suspects.csv", *(folder / "tables").glob("*.csv")]
    cells = [cell for file in files for row in csv.reader(io.StringIO(file.read_text("utf-8"))) for cell in row]
    assert any(cell == "'" + TITLE for cell in cells)
    assert any(cell == "'@sum(1)" for cell in cells)
    assert not [cell for cell in cells if re.match(r"[=+@\t\r].*\w", cell) or re.match(r"-[^\d.]*[A-Za-z(]", cell)]
    assert {"suspects.csv", "suspects.pdf"} <= {path.name for path in (folder / "sus").iterdir()}
    compiled(report)


def compiled(report: Path) -> None:
    """Compile the report of a folder, where LaTeX is there; without leave to write or to run anything."""
    if shutil.which("pdflatex") is None:
        return
    command = ["pdflatex", "-no-shell-escape", "-interaction=nonstopmode", "-halt-on-error", "-recorder", "report.tex"]
    done = subprocess.run(command, cwd=report, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    read = [line for line in (report / "report.fls").read_text(encoding="utf-8").splitlines() if "passwd" in line]
    assert not read


def test_a_chapters_command_is_one_span_of_code() -> None:
    from bench.reports.document import Chapter, Passage

    passage = Passage("", advice=((Code("bench run `x` ``y\n# z"), "."),))
    text = "\n".join(markdown_lines((Chapter("T", (), (passage,)),)))
    assert "```bench run `x` ``y # z```." in text
