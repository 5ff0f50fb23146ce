from __future__ import annotations

import string

import pytest

from doseatlas.analysis import tables
from doseatlas.model import TableError
from doseatlas.store.mart_schema import EXAM_COLUMNS

COLUMNS = {column.name for column in EXAM_COLUMNS}
DERIVED = {"activity_mbq_per_kg"}


@pytest.mark.parametrize("quantity", tables.quantities(), ids=lambda row: row.name)
def test_a_quantity_is_a_column_of_the_mart_and_has_a_source(quantity: tables.Quantity) -> None:
    assert quantity.name in COLUMNS
    assert quantity.source


@pytest.mark.parametrize("rule", tables.minimum_samples(), ids=lambda row: row.procedure_pattern)
def test_a_minimum_sample_is_sensible_and_has_a_source(rule: tables.MinimumSample) -> None:
    assert 5 <= rule.minimum_n <= 100
    assert rule.source


@pytest.mark.parametrize("reason", tables.reasons(), ids=lambda row: row.name)
def test_a_reason_looks_at_columns_that_exist_and_says_why(reason: tables.Reason) -> None:
    known = {quantity.name for quantity in tables.quantities() if quantity.stands_out} | {"*"}
    assert reason.quantities <= known
    assert reason.why
    assert reason.comparison == "otherwise" or reason.column in COLUMNS | DERIVED
    assert reason.comparison not in ("times", "more by") or (reason.threshold > 0 and reason.exponent > 0)
    fields = {name for _, name, _, _ in string.Formatter().parse(reason.detail) if name}
    assert fields <= {"value", "peers"}


def test_exactly_one_reason_is_for_what_no_other_explains() -> None:
    assert [reason.name for reason in tables.reasons() if reason.comparison == "otherwise"] == ["unknown"]


@pytest.mark.parametrize(
    ("procedure", "group", "needed"),
    [
        ("ct-head", "adult", 20),
        ("mg-bilateral", "adult", 50),
        ("ct-head", "child-age-1-6y", 10),
        ("a-procedure-nobody-listed", "adult", 20),
    ],
)
def test_the_minimum_sample_follows_procedure_and_group(procedure: str, group: str, needed: int) -> None:
    assert tables.minimum_sample(procedure, group).minimum_n == needed


def test_a_wrong_cell_is_refused_with_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_yes", lambda _: tables._one_of("perhaps", ("yes", "no")))
    tables.quantities.cache_clear()
    with pytest.raises(TableError, match=r"quantities\.csv, line 2: 'perhaps' is none of yes, no"):
        tables.quantities()
    tables.quantities.cache_clear()
