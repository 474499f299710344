"""What generated pages are made with: typesetting of docstrings, tables of committed pages, values in words."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

import pytest

from bench.methods.coop import CoOp
from bench.settings.schema import Protocol
from tests import ROOT


@pytest.fixture(autouse=True)
def _modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts" / "docs_site"))


def module(name: str) -> ModuleType:
    return import_module(name)


@pytest.mark.parametrize(
    ("text", "typeset"),
    [
        ("mean of -log p_y", "mean of -log p<sub>y</sub>"),
        ("-sum_k p_k log p_k", "-Σ<sub>k</sub> p<sub>k</sub> log p<sub>k</sub>"),
        ("P_{J-1} and t_nk", "P<sub>J-1</sub> and t<sub>nk</sub>"),
        ("lambda <- max(lambda, 1 - lambda)", "λ ← max(λ, 1 - λ)"),
        ("loss + alpha2 · KL", "loss + α<sub>2</sub> · KL"),
        ("(1 - p^q) / q, 10^-6", "(1 - p<sup>q</sup>) / q, 10<sup>-6</sup>"),
        ("with `ot_reg` and drop_last", "with <code>ot_reg</code> and drop_last"),
        ("a < b & c", "a &lt; b &amp; c"),
        ("arXiv 2109.01134", '<a href="https://arxiv.org/abs/2109.01134">arXiv 2109.01134</a>'),
    ],
)
def test_equations_are_typeset_without_scripts(text: str, typeset: str) -> None:
    assert module("typeset").inline(text, math=True) == typeset


def test_equations_stand_in_lines_of_their_own() -> None:
    text = "a = f(x; y); b = .5 of a. Then c = [1; 2]. end"
    assert list(module("typeset").clauses(text)) == ["a = f(x; y)", "b = .5 of a.", "Then c = [1; 2]. end"]


def test_a_list_in_a_docstring_is_one() -> None:
    found = module("typeset").paragraph("One of\n- a: first,\n  goes on\n- b\nand the rest")
    assert found.split("\n") == [
        "<p>One of</p>", "<ul>", "<li>a: first, goes on</li>", "<li>b</li>", "</ul>", "<p>and the rest</p>",
    ]  # fmt: skip


def test_a_bar_ends_no_cell() -> None:
    assert module("typeset").cell("`a|b` of KL(p || q)") == "`a|b` of KL(p &#124;&#124; q)"


def test_values_are_said_in_words() -> None:
    allowed, fields = module("allowed").allowed, Protocol.model_fields
    assert allowed(fields["epochs"].annotation, fields["epochs"].metadata) == (
        "one or a list: whole number from 1 to 100,000"
    )
    assert allowed(fields["rate"].annotation, fields["rate"].metadata) == "one or a list: number ≥ 0 and < 1"
    assert allowed(fields["optimizer"].annotation) == "`sgd`, `adam`, `adamw`"
    loss = CoOp.Options.model_fields["loss"]
    assert "`gce`" in allowed(loss.annotation, loss.metadata)


def test_rows_of_committed_tables_are_found_by_method() -> None:
    committed = module("committed")
    table = committed.tables("embedded.md", "Digits")[0]
    rows = [table.rows[place][0] for place in sorted(committed.of_variants(table, "coop"))]
    assert rows == ["`coop`", "`coop[class_specific=true]`", "`coop@clean`†"]
    assert committed.named("tip-adapter", "Tip-Adapter").match("Tip-Adapter, the same")
    assert not committed.named("tip-adapter", "Tip-Adapter").match("Tip-Adapter-F, the same")


def test_links_out_of_the_docs_lead_to_pages_of_the_site() -> None:
    outward = module("sources").outward
    assert outward("python.md", "[a](../examples/my_method.py)") == "[a](source/examples/my_method.py.md)"
    assert outward("tutorials/a.md", "[a](../../examples/my_package)") == "[a](../source/examples/my_package.md)"
    for text in ("[a](ci.md)", "[a](../ci.md)", "[a](https://example.org/../b)", "[a](../nowhere.py)"):
        assert outward("tutorials/a.md", text) == text


def test_a_heading_is_not_said_again() -> None:
    page = module("method_pages")._explained(
        ["From A.", "Equations: b = c.", "Defects of the reference decided on: its d."]
    )
    assert "decided on:" not in page
    assert "## Defects decided on\n\n<p>Its d.</p>" in page
    assert "b = c" in page


def test_options_stand_in_a_marked_table() -> None:
    page = module("option_tables").option_table(CoOp.Options, {})
    assert page.startswith('<div class="options" markdown>\n\n')
    assert "| option | default | values | meaning |" in page
    assert page.endswith("\n\n</div>")
