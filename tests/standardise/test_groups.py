from __future__ import annotations

import pytest

from doseatlas.reference import patient_groups
from doseatlas.standardise import patient_group


@pytest.mark.parametrize(
    ("age_years", "weight_kg", "region", "group"),
    [
        (18.0, None, "chest", "adult"),
        (40.0, 3.0, None, "adult"),
        (17.99, 70.0, "chest", "child-weight-50-80"),
        (0.0, 4.99, "chest", "child-weight-lt5"),
        (0.5, 5.0, "abdomen", "child-weight-5-15"),
        (5.0, 29.9, "chest", "child-weight-15-30"),
        (9.0, 30.0, "chest", "child-weight-30-50"),
        (0.24, 5.0, "head", "child-age-0-3m"),
        (0.25, 5.0, "head", "child-age-3m-1y"),
        (1.0, 10.0, "head", "child-age-1-6y"),
        (6.0, 20.0, "dental", "child-age-6-18y"),
        (5.0, None, "chest", "child-age-1-6y"),
        (16.0, 90.0, "chest", None),
        (None, 70.0, "chest", None),
        (None, 4.0, "chest", None),
        (5.0, 20.0, None, None),
    ],
)
def test_adults_by_age_and_children_by_weight_for_the_body_and_by_age_for_the_head(
    age_years: float | None, weight_kg: float | None, region: str | None, group: str | None
) -> None:
    assert patient_group(age_years, weight_kg, region) == group


def test_every_group_of_the_table_is_reached_at_its_lower_bound() -> None:
    for group in patient_groups():
        if group.parameter == "weight":
            assert patient_group(10.0, group.low, "chest") == group.id
        else:
            assert patient_group(group.low, None, "head") == group.id
