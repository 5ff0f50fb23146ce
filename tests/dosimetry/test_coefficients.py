"""Every row of every table names its source and how firm it is, and stands for something that exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import doseatlas.dosimetry
from doseatlas.dosimetry import tables
from doseatlas.dosimetry.ct_effective_dose import REGIONS
from doseatlas.model import TableError
from doseatlas.reference import coefficients, procedures
from doseatlas.reference.procedures import read_rows

COEFFICIENT_FILES = sorted(coefficients.COEFFICIENTS.glob("*.csv"))
ROOM = Path(doseatlas.dosimetry.__file__).parent


@pytest.mark.parametrize("path", COEFFICIENT_FILES, ids=lambda path: path.stem)
def test_every_coefficient_has_a_source_and_says_whether_it_was_read(path: Path) -> None:
    rows = [row for _, row in read_rows(path, ("source", "verified"))]
    assert rows
    assert all(row["source"] and row["verified"] in ("seen", "memory", "assumed") for row in rows)


def test_all_tables_load() -> None:
    for load in (
        coefficients.ct_coefficients,
        coefficients.ssde_coefficients,
        coefficients.kap_coefficients,
        coefficients.nuclear_coefficients,
        coefficients.card_baselines,
        coefficients.card_multiples,
        coefficients.consensus_activities,
        coefficients.agd_limits,
        coefficients.display_tolerances,
        coefficients.component_uncertainties,
    ):
        assert len(load()) > 2


def test_a_region_covers_known_regions_on_a_known_phantom_and_its_coefficient_falls_with_age() -> None:
    rows = coefficients.ct_coefficients()
    for row in rows:
        assert row.covers
        assert row.covers <= REGIONS
        assert row.phantom_cm in (16, 32)
    for key in {(row.set, row.region, row.phantom_cm) for row in rows}:
        series = sorted((r for r in rows if (r.set, r.region, r.phantom_cm) == key), key=lambda row: row.age_years)
        values = [row.msv_per_mgy_cm for row in series]
        assert values == sorted(values, reverse=True), key


def test_the_children_s_columns_are_not_shifted_by_one_age() -> None:
    # A public calculator carries the coefficients of the next younger age; 0.049, 0.030, 0.020 is the right column.
    found = {
        (row.region, row.age_years): row.msv_per_mgy_cm
        for row in coefficients.ct_coefficients()
        if row.set == "aapm-96"
    }
    assert [found["abdomen-and-pelvis", age] for age in (0.0, 1.0, 5.0, 10.0)] == [0.049, 0.03, 0.02, 0.015]
    assert found["chest", 1.0] != 0.039
    assert found["chest", 0.0] != 0.054
    assert found["head", 1.0] == 0.0067


def test_a_wrong_row_is_named_by_file_and_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    header = "component,relative_standard_uncertainty,source,verified\n"
    monkeypatch.setattr(coefficients, "COEFFICIENTS", tmp_path)
    for line, reason in (("a,0.1,,seen", "source is empty"), ("a,0.1,x,maybe", "verified"), ("a,0,x,seen", "no coeff")):
        (tmp_path / "uncertainties.csv").write_text(header + line + "\n", encoding="utf-8")
        coefficients.component_uncertainties.cache_clear()
        with pytest.raises(TableError, match=f"line 2.*{reason}"):
            coefficients.component_uncertainties()
    monkeypatch.undo()
    coefficients.component_uncertainties.cache_clear()


def test_the_tables_of_the_room_name_procedures_examinations_and_agents_that_exist() -> None:
    kinds = {one.id: one.kind for one in procedures()}
    assert all(kinds[name] == "ct" for name in tables.ct_regions())
    assert all(row.regions <= REGIONS for row in tables.ct_regions().values())
    assert all(row.size_region in (None, "head", "body") for row in tables.ct_regions().values())
    assert set(tables.target_regions().values()) <= REGIONS
    assert all(kinds[name] == "projection" for name in tables.projection_examinations())
    assert set(tables.projection_examinations().values()) <= set(coefficients.kap_coefficients())
    agents = {row.agent for row in coefficients.nuclear_coefficients()}
    for row in tables.nuclear_agents():
        assert row.agent is None or row.agent in agents
        assert row.procedure is None or kinds[row.procedure] == "nuclear"
        assert row.card_exam is None or row.card_exam in coefficients.card_baselines()
        assert row.consensus_exam is None or row.consensus_exam in coefficients.consensus_activities()


def test_every_code_that_the_room_gives_is_explained() -> None:
    known = {row["code"]: row["meaning"] for _, row in read_rows(tables.TABLES / "flags.csv", ("code", "meaning"))}
    assert all(known.values())
    given: set[str] = set()
    for path in ROOM.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        given |= set(re.findall(r'(?:code=|_refused\(\s*|NOT_VERIFIED = )"([a-z-]+)"', text))
    assert given - {"dosimetry", "calibration"} <= set(known), given - set(known)
    assert set(known) - given <= {"views-missing"}
