"""The mart's columns of made-up exams fit the mart's schema and look like the objects' exams."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from doseatlas.dicom.simulate import mart_arrow, mart_columns
from doseatlas.dicom.simulate.columns import GROUPS
from doseatlas.dicom.simulate.tables import faults, protocols, typical_values
from doseatlas.dosimetry import DOSIMETRY_COLUMNS, ENTRANCE_COLUMNS, SKIN_DOSE_COLUMNS, with_dosimetry
from doseatlas.store.mart_schema import EXAM_COLUMNS

DERIVED = {column.name for column in (*DOSIMETRY_COLUMNS, *ENTRANCE_COLUMNS, *SKIN_DOSE_COLUMNS)}
DRAWN = [column for column in EXAM_COLUMNS if column.name not in DERIVED]

ARROW: dict[str, Any] = {
    "string": pa.string(),
    "int32": pa.int32(),
    "float64": pa.float64(),
    "date": pa.date32(),
    "bool": pa.bool_(),
    "list<string>": pa.list_(pa.string()),
}


@pytest.fixture(scope="module")
def columns() -> dict[str, Any]:
    return mart_columns("world", 60_000, seed=1)


def test_columns_are_those_of_the_schema(columns: dict[str, Any]) -> None:
    assert set(columns) == {column.name for column in DRAWN}
    assert {len(values) for values in columns.values()} == {60_000}


def test_the_arrow_table_has_the_types_of_the_schema() -> None:
    table = mart_arrow("facility", 2000, seed=1)
    assert {field.name: field.type for field in table.schema} == {c.name: ARROW[c.type] for c in DRAWN}


def test_with_its_dosimetry_the_table_has_all_columns_of_the_schema() -> None:
    table = with_dosimetry(mart_arrow("facility", 2000, seed=1))
    assert {field.name: field.type for field in table.schema} == {c.name: ARROW[c.type] for c in EXAM_COLUMNS}


def test_the_same_seed_gives_the_same_columns() -> None:
    assert mart_arrow("country", 500, seed=4).equals(mart_arrow("country", 500, seed=4))
    assert not mart_arrow("country", 500, seed=4).equals(mart_arrow("country", 500, seed=5))


def test_quantities_stand_only_where_their_kind_has_them(columns: dict[str, Any]) -> None:
    quantities = [("dlp_mgy_cm", "ct"), ("agd_mgy", "mammography"), ("administered_activity_mbq", "nuclear")]
    for quantity, kind in [*quantities, ("kap_gy_cm2", "projection")]:
        assert np.array_equal(~np.isnan(columns[quantity]), columns["kind"] == kind)
    assert np.array_equal(~np.ma.getmaskarray(columns["phase_count"]), columns["kind"] == "ct")


def test_procedures_groups_and_months_are_the_known_ones(columns: dict[str, Any]) -> None:
    assert set(columns["procedure"]) <= set(protocols())
    assert set(columns["patient_group"]) <= {None, *GROUPS}
    assert len(set(columns["month"])) == 24
    assert len(set(columns["facility"])) == 36


@pytest.mark.parametrize(("procedure", "quantity"), [("ct-chest", "CTDIvol"), ("nm-bone", "Administered activity")])
def test_medians_lie_near_the_published_typical_values(columns: dict[str, Any], procedure: str, quantity: str) -> None:
    name = {"CTDIvol": "ctdi_vol_mgy", "Administered activity": "administered_activity_mbq"}[quantity]
    chosen = (columns["procedure"] == procedure) & (columns["patient_group"] == "adult")
    typical = typical_values()[procedure, "adult"][quantity].median
    # Facilities differ in habit (geometric standard deviation 1.25): 36 of them leave some per cent.
    assert np.median(columns[name][chosen]) == pytest.approx(typical, rel=0.15)


def test_faults_show_at_their_rates(columns: dict[str, Any]) -> None:
    rates = {name: fault.rate for name, fault in faults().items()}
    no_weight = 1 - (1 - rates["missing-weight"]) * (1 - rates["zero-weight"])
    assert np.isnan(columns["weight_kg"]).mean() == pytest.approx(no_weight, rel=0.1)
    assert np.isnan(columns["age_years"]).mean() == pytest.approx(rates["missing-age"], rel=0.25)
    assert (~columns["plausible"]).mean() == pytest.approx(rates["implausible-dose"], rel=0.4)
    flagged = np.array([bool(flags) for flags in columns["flags"]])
    assert flagged[~columns["plausible"]].all()
