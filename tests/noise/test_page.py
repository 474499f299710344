"""What the documentation says of the kinds, against the kinds."""

from __future__ import annotations

import pytest

from bench.grid.options import noise_options, takes_rate
from bench.plugins import NOISE
from bench.variants import parse_variant
from tests import ROOT

PAGE = (ROOT / "docs" / "noise.md").read_text(encoding="utf-8")
ROWS = {line.split("|")[1].strip().strip("`"): line for line in PAGE.splitlines() if line.startswith("| `")}


@pytest.mark.parametrize("kind", list(NOISE))
def test_every_kind_is_in_the_table(kind: str) -> None:
    cells = [cell.strip() for cell in ROWS[kind].strip("|").split("|")]
    assert len(cells) == 6
    assert (cells[3] == "yes") == takes_rate(kind)


def test_no_row_is_of_a_kind_that_does_not_exist() -> None:
    assert set(ROWS) == set(NOISE)


def test_options_named_in_the_page_exist() -> None:
    texts = [part for part in PAGE.split("`") if "[" in part and part.partition("[")[0] in set(NOISE)]
    assert len(texts) > 8
    for text in texts:
        variant = parse_variant(text, "noise")
        known = noise_options(variant.name)
        for name, value in variant.options.items():
            assert name in known
            if value not in ("...", "PATH", "DATASET"):
                for choice in str(value).split("|"):
                    assert noise_options(f"{variant.name}[{name}={choice}]")[name] == choice
