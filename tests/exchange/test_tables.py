"""The tables of the exchange, row by row."""

from __future__ import annotations

from itertools import pairwise
from typing import get_args

import pytest

from doseatlas.analysis import quantities, stated_quantities
from doseatlas.analysis.population import AGE_BANDS
from doseatlas.exchange.tables import Kind, arrow_schema, bands, columns, unit_checks
from doseatlas.reference import drl_sets
from doseatlas.store.mart import SCHEMA

OWN = {"age_band", "weight_band"}


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_column_has_a_type_a_rule_and_a_meaning(kind: Kind) -> None:
    assert arrow_schema(kind).names == [column.name for column in columns(kind)]
    for column in columns(kind):
        assert column.sent in ("always", "agreed")
        assert column.meaning


def test_every_column_of_exams_is_one_of_the_mart_with_its_type_and_none_tells_who_a_patient_is() -> None:
    for field in arrow_schema("exams"):
        if field.name not in OWN:
            assert SCHEMA.field(field.name).type == field.type
    texts = {"procedure_text", "indication", "protocol", "radiopharmaceutical"}
    identifying = {"exam_id", "study_date", "height_cm"} | texts
    assert identifying <= set(SCHEMA.names)
    assert not identifying & set(arrow_schema("exams").names)
    assert {quantity.name for quantity in stated_quantities()} <= set(arrow_schema("exams").names)


@pytest.mark.parametrize("parameter", ["age_years", "weight_kg"])
def test_bands_follow_each_other_without_gap_and_the_last_has_no_end(parameter: str) -> None:
    found = bands(parameter)
    assert found[0].low == 0
    assert found[-1].high is None
    for one, following in pairwise(found):
        assert one.high == following.low


def test_every_band_of_age_lies_in_one_of_those_of_a_populations_dose() -> None:
    for band in bands("age_years"):
        inside = [
            high is None if band.high is None else band.low >= low and (high is None or band.high <= high)
            for low, high in AGE_BANDS
        ]
        assert sum(inside) == 1, band


def test_every_published_level_lies_within_the_range_that_medians_are_checked_against() -> None:
    checks = unit_checks()
    assert set(checks) == {quantity.name for quantity in stated_quantities()}
    derived = {quantity.name for quantity in quantities()} - set(checks)
    for one in drl_sets():
        for row in one.rows:
            # Levels of kermas that are derived here have no check, as derived quantities are not exchanged.
            if row.is_mapped and row.quantity not in derived:
                check = checks[row.quantity or ""]
                assert check.low <= row.value <= check.high, (one.id, row.exam, row.stated)
