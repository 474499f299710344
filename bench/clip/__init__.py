"""Frozen backbones over open_clip behind one facade."""

from __future__ import annotations

from bench.rows import Row

ROWS = (
    Row(
        "tiny",
        "bench.clip.load:load_tiny",
        "embedded, 32-pixel glyphs; knows digits, letters and the 175 words in bench/clip/tiny/words.txt",
    ),
)
