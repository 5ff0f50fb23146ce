"""Every unit of the table, and what happens to those that are not in it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doseatlas.dicom.table import rows
from doseatlas.dicom.units import convert, factor, units

# Base units of the dimensions, in which the table's factors are.
BASES = {
    "dose": "mGy",
    "dlp": "mGy.cm",
    "kap": "Gy.cm2",
    "length": "mm",
    "area": "cm2",
    "time": "s",
    "current": "mA",
    "charge": "mA.s",
    "voltage": "kV",
    "angle": "deg",
    "activity": "MBq",
    "effective": "mSv",
    "force": "N",
    "mass": "kg",
    "frequency": "Hz",
    "percent": "%",
    "age": "a",
    "number": "1",
}
PREFIXES = {"u": 1e-6, "µ": 1e-6, "n": 1e-9, "m": 1e-3, "c": 1e-2, "d": 1e-1, "k": 1e3, "M": 1e6, "G": 1e9, "": 1.0}
ATOMS = ("Gy", "Bq", "Sv", "A", "V")


@pytest.mark.parametrize("row", rows("units.csv"), ids=lambda row: row["unit"])
def test_every_row_has_a_unit_a_known_dimension_a_factor_and_a_source(row: dict[str, str]) -> None:
    assert row["unit"] == row["unit"].strip() != ""
    assert row["dimension"] in BASES
    assert math.isfinite(float(row["factor"]))
    assert float(row["factor"]) > 0
    assert row["source"]


def test_no_unit_stands_twice() -> None:
    listed = [row["unit"] for row in rows("units.csv")]
    assert sorted(set(listed)) == sorted(listed)


@pytest.mark.parametrize("dimension", BASES)
def test_a_dimension_is_counted_in_its_base(dimension: str) -> None:
    assert units()[BASES[dimension]] == (dimension, 1.0)


@pytest.mark.parametrize("unit", [unit for unit in units() if unit.rstrip("Gy") in PREFIXES and unit.endswith("Gy")])
def test_prefixes_of_gray_are_powers_of_ten(unit: str) -> None:
    assert factor(unit, "Gy") == pytest.approx(PREFIXES[unit.removesuffix("Gy")])


@pytest.mark.parametrize(
    ("stated", "wanted", "by"),
    [
        ("Gym2", "Gy.cm2", 1e4),
        ("dGy.cm2", "Gy.cm2", 0.1),
        ("uGy.m2", "Gy.cm2", 0.01),
        ("mGycm", "mGy.cm", 1),
        ("dGy", "mGy", 100),
        ("uAs", "mA.s", 1e-3),
        ("m2", "cm2", 1e4),
        ("s", "ms", 1e3),
        ("Bq", "MBq", 1e-6),
        ("{events}", "1", 1),
        ("{X-Ray sources}", "1", 1),
    ],
)
def test_units_of_real_objects_convert(stated: str, wanted: str, by: float) -> None:
    assert factor(stated, wanted) == pytest.approx(by)


@pytest.mark.parametrize(
    ("stated", "wanted"), [("MGy", "mGy"), ("", "mGy"), ("mGy.cm", "mGy"), ("s", "mGy"), ("furlong", "mm"), ("{", "1")]
)
def test_a_unit_that_is_unknown_or_measures_something_else_gives_nothing(stated: str, wanted: str) -> None:
    assert factor(stated, wanted) is None
    assert convert(1.0, stated, wanted) is None


@given(st.floats(1e-12, 1e12), st.sampled_from(sorted(units())))
def test_converting_there_and_back_is_the_same_value(value: float, unit: str) -> None:
    base = BASES[units()[unit].dimension]
    there = convert(value, unit, base)
    assert there is not None
    back = convert(there, base, unit)
    assert back == pytest.approx(value, rel=1e-11)


def test_converting_adds_no_noise_of_binary_fractions() -> None:
    assert convert(1.07e-05, "Gy.m2", "Gy.cm2") == 0.107
    assert convert(0.0118, "dGy", "mGy") == 1.18
