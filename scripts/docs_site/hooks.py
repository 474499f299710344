"""What mkdocs calls: generated pages are added to those of docs/, and links out of docs/ lead to pages of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from data_pages import dataset_nav, dataset_pages, noise_nav, noise_pages
from method_pages import method_nav, method_pages
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from reference_pages import api_page, cli_page, record_page
from settings_page import settings_page
from sources import named_sources, outward, source_page

STANDS_FOR: dict[str, Callable[[], list[Any]]] = {
    "methods/*": method_nav, "noise/*": noise_nav, "datasets/*": dataset_nav,
}  # fmt: skip


def generated() -> dict[str, str]:
    """Write all generated pages, by their path in the site."""
    references = {
        "reference/cli.md": cli_page(), "reference/settings.md": settings_page(), "reference/api.md": api_page(),
        "reference/record.md": record_page(),
    }  # fmt: skip
    return {**method_pages(), **noise_pages(), **dataset_pages(), **references}


def on_config(config: MkDocsConfig) -> None:
    """Put the generated pages into the navigation."""
    named = {*_named(config.nav or [])}
    pages = sorted(file.name for file in Path(config.docs_dir).glob("*.md"))
    stands_for = {name: write() for name, write in STANDS_FOR.items()}
    stands_for["*.md"] = [name for name in pages if name not in named]
    config.nav = _expanded(config.nav or [], stands_for)


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the generated pages, and one for each file of the repository that any page links to."""
    pages = generated()
    written = {file.src_uri: Path(str(file.abs_src_path)).read_text(encoding="utf-8")
               for file in files.documentation_pages()}  # fmt: skip
    for name in sorted(named_sources({**written, **pages})):
        pages[f"source/{name}.md"] = source_page(name)
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Keep links within the site."""
    return outward(page.file.src_uri, markdown)


def _named(nav: list[Any]) -> Iterator[str]:
    """List the pages that a navigation names."""
    for entry in nav:
        for inner in entry.values() if isinstance(entry, dict) else (entry,):
            yield from _named(inner) if isinstance(inner, list) else (inner,)


def _expanded(nav: list[Any], stands_for: dict[str, list[Any]]) -> list[Any]:
    """Put what an entry stands for in its place."""
    found: list[Any] = []
    for entry in nav:
        if isinstance(entry, str) and entry in stands_for:
            found += stands_for[entry]
        elif isinstance(entry, dict):
            found.append(
                {
                    title: _expanded(inner, stands_for) if isinstance(inner, list) else inner
                    for title, inner in entry.items()
                }
            )
        else:
            found.append(entry)
    return found
