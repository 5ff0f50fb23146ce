"""Whole tables of exams get the dosimetry that single exams get."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest

from doseatlas.dicom.simulate import mart_arrow
from doseatlas.dosimetry import (
    CORRECTED_COLUMNS,
    DOSIMETRY_COLUMNS,
    ENTRANCE_COLUMNS,
    CertificateBook,
    exam_dosimetry,
    exam_entrance,
    with_dosimetry,
)
from doseatlas.model import Event, Exam, Patient, Totals


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return with_dosimetry(mart_arrow("country", 4000, seed=7, start=dt.date(2024, 1, 1), end=dt.date(2024, 6, 30)))


@pytest.mark.parametrize("kind", ["ct", "projection", "mammography", "nuclear"])
def test_each_row_has_the_values_of_the_exam_by_itself(table: pa.Table, kind: str) -> None:
    rows = [row for row in table.to_pylist() if row["kind"] == kind][:200]
    assert rows
    for row in rows:
        exam = Exam(
            kind=kind,  # type: ignore[arg-type]
            patient=Patient(age_years=row["age_years"]),
            totals=Totals(
                dlp_mgy_cm=row["dlp_mgy_cm"],
                kap_gy_cm2=row["kap_gy_cm2"],
                reference_air_kerma_mgy=row["reference_air_kerma_mgy"],
                fluoro_time_s=row["fluoro_time_s"],
                agd_left_mgy=row["agd_left_mgy"],
                agd_right_mgy=row["agd_right_mgy"],
                administered_activity_mbq=row["administered_activity_mbq"],
                radiopharmaceutical=row["radiopharmaceutical"],
            ),
            events=(
                Event(
                    dlp_mgy_cm=row["dlp_mgy_cm"],
                    phantom_cm=row["phantom_cm"],
                    entrance_exposure_mgy=row["entrance_air_kerma_mgy"],
                    kvp=row["kvp"],
                ),
            )
            if kind in ("ct", "projection")
            else (),
        )
        alone = exam_dosimetry(exam, procedure=row["procedure"], scans=(), displayed=row)
        if row["entrance_air_kerma_mgy"]:
            alone |= exam_entrance(exam, device=None, certificates=CertificateBook(), plausible=True)
            assert row["entrance_kerma_method"] == alone["entrance_kerma_method"]
        numbers = [one for pair in CORRECTED_COLUMNS.values() for one in pair]
        numbers += ["effective_dose_msv", "effective_dose_uncertainty_msv"]
        numbers += [column.name for column in ENTRANCE_COLUMNS if column.type == "float64" and column.name in alone]
        for name in numbers:
            assert row[name] == (alone[name] and pytest.approx(alone[name], rel=1e-9)), (name, row["procedure"])
        assert row["calibration"] == alone["calibration"]
        assert row["effective_dose_set"] == alone["effective_dose_set"]
        weak = [flag for flag in alone["dosimetry_flags"] if flag == "coefficient-not-verified"]  # type: ignore[attr-defined]
        assert (row["dosimetry_flags"] or []) == weak, row["procedure"]


def test_most_ct_exams_of_known_age_have_an_effective_dose(table: pa.Table) -> None:
    rows = [row for row in table.to_pylist() if row["kind"] == "ct" and row["age_years"] is not None]
    assert sum(row["effective_dose_msv"] is not None for row in rows) > 0.9 * len(rows)


def test_columns_that_were_there_are_replaced_and_an_empty_table_stays_empty(table: pa.Table) -> None:
    assert with_dosimetry(table).equals(table)
    empty = with_dosimetry(table.slice(0, 0))
    assert empty.num_rows == 0
    assert {column.name for column in DOSIMETRY_COLUMNS} <= set(empty.column_names)
