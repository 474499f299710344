"""What the documentation says of the methods, against the methods."""

from __future__ import annotations

import pytest

from bench.plugins import METHODS
from bench.variants import parse_variant
from tests import ROOT
from tests.testing.test_method_contract import COUNTS

METHODS_PAGE = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
ROWS = {line.split("|")[1].strip().strip("`"): line for line in METHODS_PAGE.splitlines() if line.startswith("| `")}


@pytest.mark.parametrize("name", list(METHODS))
def test_every_method_is_in_the_table_with_its_parameters(name: str) -> None:
    counts = [count for method, options, count in COUNTS if method == name and not options]
    assert counts, "add the method's parameter count to COUNTS"
    assert f"| {counts[0]:,} |" in ROWS[name]


@pytest.mark.parametrize("name", list(METHODS))
def test_what_is_reproduced_on_request_is_in_the_table_of_defects(name: str) -> None:
    if "faithful" in METHODS.get(name).Options.model_fields and name not in ("ot-clean", "tip-adapter-f"):
        assert f"`{name}[faithful=true]`" in METHODS_PAGE


def test_variants_named_in_the_page_exist() -> None:
    texts = [part for part in METHODS_PAGE.split("`") if part.partition("[")[0] in list(METHODS) and "[" in part]
    assert len(texts) > 15
    for text in texts:
        variant = parse_variant(text)
        METHODS.get(variant.name).Options.model_validate(variant.options)
