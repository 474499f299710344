"""A cell's fields say their roles where they are declared, and every reader asks for them there."""

from __future__ import annotations

from bench.engine.labellings import LABELLING_AXES
from bench.grid.expansion import BUDGET, FIXED
from bench.records.cell import Cell, Role
from bench.reports.html.columns import SAID_OTHERWISE, SET
from bench.reports.published.numbers import Budget
from bench.settings.schema import GridTable, Optimizer


def test_every_field_has_a_role_and_the_settings_have_every_field_that_one_can_set() -> None:
    every = Role.AXIS | Role.TRAINING | Role.PROTOCOL
    assert set(Cell.fields_of(~Role(0))) == set(Cell.model_fields)
    assert set(Cell.fields_of(every)) == set(Cell.model_fields) - {"options", "subset"}
    assert set(Cell.fields_of(every)) <= set(GridTable.model_fields)
    assert set(Cell.fields_of(Role.TRAINING)) == set(Optimizer.model_fields)
    assert set(Budget.model_fields) <= set(Cell.fields_of(Role.TRAINING))


def test_what_readers_derive_covers_the_cell_in_the_order_of_its_fields() -> None:
    assert {*BUDGET, *FIXED, *Cell.fields_of(Role.AXIS)} == set(Cell.model_fields) - {"options", "subset"}
    assert {*LABELLING_AXES, "validation"} == set(Cell.fields_of(Role.LABELS))
    assert [*SET] == [name for name in Cell.model_fields if name not in {*SAID_OTHERWISE, "options", "subset"}]
