"""The tests mirror the packages; tests/testing holds what every plugin must pass."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
