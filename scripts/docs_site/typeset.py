"""Typesets docstrings of methods, noise and data sets: paragraphs, lists, code, links, and equations in plain HTML."""

from __future__ import annotations

import html
import inspect
import re
from collections.abc import Iterator
from itertools import groupby

GREEK = {"alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "theta": "θ", "lambda": "λ",
         "rho": "ρ", "sigma": "σ", "tau": "τ", "pi": "π"}  # fmt: skip
MARKS = {"&lt;-": "←", "&gt;=": "≥", "&lt;=": "≤", "C^": "Ĉ", "C~": "C̃"}
ARXIV = re.compile(r"\b(?:arXiv )?(\d{4}\.\d{5})\b")
SUBSCRIPT = re.compile(r"(?<=[\w⁺⁻⁰'ĈC̃Σ|])_(\{[^}]+\}|[A-Za-z0-9]{1,2})(?!\w)")
SUPERSCRIPT = re.compile(r"(?<=[\w)])\^(-?\d+|[a-z])(?!\w)")


def inline(text: str, math: bool = False) -> str:
    """Typeset a piece of text: `code`, **bold**, arXiv numbers as links, and with `math` sub- and superscripts."""
    pieces = re.split(r"`([^`]+)`", " ".join(text.split()))
    return "".join(f"<code>{html.escape(piece)}</code>" if place % 2 else _prose(piece, math)
                   for place, piece in enumerate(pieces))  # fmt: skip


def _prose(text: str, math: bool) -> str:
    text = re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", html.escape(text, quote=False))
    text = ARXIV.sub(lambda found: f'<a href="https://arxiv.org/abs/{found[1]}">{found[0]}</a>', text)
    return _symbols(text) if math else text


def _symbols(text: str) -> str:
    for word, letter in GREEK.items():
        text = re.sub(rf"(?<![A-Za-z_-]){word}(?=\d|_|\b)(?!-)", letter, text)
    for mark, sign in MARKS.items():
        text = text.replace(mark, sign)
    text = re.sub(r"\bsum(?=[_ ] ?[\w(|])(?! over)", "Σ", text)
    text = SUBSCRIPT.sub(lambda found: f"<sub>{found[1].strip('{}')}</sub>", text)
    text = re.sub(r"(?<=[αβλ])(\d)", r"<sub>\1</sub>", text)
    return SUPERSCRIPT.sub(r"<sup>\1</sup>", text)


def clauses(text: str) -> Iterator[str]:
    """Split equations at semicolons and full stops outside brackets, so that each stands in a line of its own."""
    depth, start = 0, 0
    for place, sign in enumerate(text):
        depth += (sign in "([{") - (sign in ")]}")
        ends = sign == ";" or (sign == "." and re.match(r"\.\s+[A-Z]", text[place:]) is not None)
        if ends and depth <= 0 and text[place + 1 : place + 2].isspace():
            yield text[start : place + (sign == ".")].strip()
            start = place + 1
    if rest := text[start:].strip():
        yield rest


def equations(text: str) -> str:
    """Typeset a paragraph of equations, a line for each."""
    lines = "\n".join(f"<p>{inline(clause, math=True)}</p>" for clause in clauses(" ".join(text.split())))
    return f'<div class="equations">\n{lines}\n</div>'


def paragraph(text: str, math: bool = False) -> str:
    """Typeset a paragraph, of which lines that begin with a hyphen are a list."""
    parts: list[tuple[str, str]] = []
    for line in text.splitlines():
        if line.startswith("- "):
            parts.append(("li", line[2:]))
        elif parts and (line.startswith(" ") or parts[-1][0] == "p"):
            parts[-1] = (parts[-1][0], f"{parts[-1][1]} {line}")
        else:
            parts.append(("p", line))
    shown: list[str] = []
    for tag, group in groupby(parts, lambda part: part[0]):
        lines = [f"<{tag}>{inline(part, math)}</{tag}>" for _, part in group]
        shown += ["<ul>", *lines, "</ul>"] if tag == "li" else lines
    return "\n".join(shown)


def cell(text: str) -> str:
    """Write a cell of a Markdown table: outside of code a bar would end it."""
    pieces = text.split("`")
    return "`".join(piece if place % 2 else piece.replace("|", "&#124;") for place, piece in enumerate(pieces))


def paragraphs(doc: str) -> list[str]:
    """Split a docstring at its empty lines; what follows a section of arguments is left out."""
    text = inspect.cleandoc(doc).partition("\nArgs:")[0]
    return [part.strip("\n") for part in text.split("\n\n") if part.strip()]
