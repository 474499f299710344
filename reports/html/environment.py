"""Templates that escape every text, and the files of this folder that stand in pages as they are."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from bench.errors import in_line

HERE = Path(__file__).parent
NO_BREAK = "\u00a0"


def escaping_environment() -> Environment:
    """Build an environment of templates in which no text of others becomes HTML."""
    return Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        finalize=_finalized,
    )  # fmt: skip


def _finalized(value: object) -> object:
    """Escape what a text of others must not do to the text around it; our HTML and binding spaces stay."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return NO_BREAK.join(map(in_line, value.split(NO_BREAK)))


def raw_text(name: str) -> Markup:
    """Read a file of this folder that stands in a page as it is."""
    return Markup(file_text(name))  # noqa: S704 - a file of this package


def file_text(name: str) -> str:
    """Read a file of this folder."""
    return (HERE / name).read_text(encoding="utf-8")
