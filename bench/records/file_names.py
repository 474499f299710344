"""Endings of the files of a record: KEY.json, and beside it KEY.safetensors and KEY.prompts.safetensors."""

from __future__ import annotations

from typing import Final

RECORD_FILE: Final = ".json"
OUTCOMES_FILE: Final = ".safetensors"
PROMPTS_FILE: Final = ".prompts.safetensors"
ASIDE: Final = ".aside"  # behind the name of a file that was no record and stood in the way of one
