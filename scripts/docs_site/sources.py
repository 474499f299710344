"""Shows files of the repository that pages name, as pages of the site; so no link leads out of it."""

from __future__ import annotations

import re
from pathlib import Path

from committed import ROOT

LINK = re.compile(r"(\]\()((?:\.\./)+)([^)#]+?)((?:#[^)]*)?\))")
LANGUAGES = {".py": "python", ".toml": "toml", ".yml": "yaml", ".md": "markdown", ".sh": "sh"}


def outward(source: str, text: str) -> str:
    """Turn links of a page to files outside docs/ into links to their pages in the site."""
    above = source.count("/")

    def turned(found: re.Match[str]) -> str:
        ups, name = found[2].count("../"), found[3].rstrip("/")
        if ups <= above or not (ROOT / name).exists():
            return found[0]
        return f"{found[1]}{'../' * above}source/{name}.md{found[4]}"

    return LINK.sub(turned, text)


def named_sources(pages: dict[str, str]) -> set[str]:
    """Find the files of the repository that pages link to, by the path in the site of each page."""
    found: set[str] = set()
    for source, text in pages.items():
        for link in re.findall(r"\]\((?:\.\./)*source/([^)#]+?)\.md[)#]", outward(source, text)):
            found.add(link)
    return found


def source_page(name: str) -> str:
    """Write a page that shows a file, or all files of a folder."""
    path = ROOT / name
    files = sorted(file for file in path.rglob("*") if _shown(file)) if path.is_dir() else [path]
    parts = [f"# `{name}`"]
    for file in files:
        if path.is_dir():
            parts.append(f"## `{file.relative_to(ROOT)}`")
        text = file.read_text(encoding="utf-8").replace("````", "")
        parts.append(f"````{LANGUAGES.get(file.suffix, 'text')}\n{text.rstrip()}\n````")
    return "\n\n".join(parts) + "\n"


def _shown(file: Path) -> bool:
    return file.is_file() and "__pycache__" not in file.parts and file.suffix in LANGUAGES
