"""Frozen backbones over open_clip behind one facade."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from bench.registry import Registry, Row

if TYPE_CHECKING:
    from bench.clip.backbone import Backbone

BACKBONES: Registry[Callable[[], Backbone]] = Registry(
    "backbone",
    "noisy_prompt_bench.backbones",
    None,
    (
        Row(
            "tiny",
            "bench.clip.load:load_tiny",
            "embedded, 32-pixel glyphs; knows digits, letters and the 175 words in bench/clip/tiny/words.txt",
        ),
    ),
)
