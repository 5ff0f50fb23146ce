from __future__ import annotations

import pytest

from doseatlas.model import Event, Exam, Patient, Totals
from doseatlas.reference import plausible_ranges
from doseatlas.standardise import implausible_dose, implausible_patient
from doseatlas.standardise.plausibility import plausible_patient


def test_every_dose_range_is_applied_to_some_kind_of_exam() -> None:
    exams = {
        "dlp_mgy_cm": Exam(kind="ct", totals=Totals(dlp_mgy_cm=1e6)),
        "ctdi_vol_mgy": Exam(kind="ct", events=(Event(ctdi_vol_mgy=1e6),)),
        "kap_gy_cm2": Exam(kind="projection", totals=Totals(kap_gy_cm2=1e6)),
        "reference_air_kerma_mgy": Exam(kind="projection", totals=Totals(reference_air_kerma_mgy=1e6)),
        "entrance_air_kerma_mgy": Exam(kind="projection", events=(Event(entrance_exposure_mgy=1e6),)),
        "fluoro_time_s": Exam(kind="projection", totals=Totals(fluoro_time_s=1e6)),
        "agd_mgy": Exam(kind="mammography", events=(Event(agd_mgy=1e6),)),
        "administered_activity_mbq": Exam(kind="nuclear", totals=Totals(administered_activity_mbq=1e6)),
    }
    for quantity in plausible_ranges().values():
        if quantity.use == "dose":
            (flag,) = implausible_dose(exams[quantity.quantity])
            assert flag.code == "implausible-dose"
            assert quantity.quantity in flag.message
            assert "1e+06" in flag.message


def test_a_negative_dose_is_implausible_and_zero_is_not() -> None:
    assert implausible_dose(Exam(kind="ct", totals=Totals(dlp_mgy_cm=-1.0)))
    assert not implausible_dose(Exam(kind="ct", totals=Totals(dlp_mgy_cm=0.0)))


def test_many_implausible_events_give_one_flag_a_quantity() -> None:
    exam = Exam(kind="ct", events=tuple(Event(ctdi_vol_mgy=5000.0 + n) for n in range(5)))
    (flag,) = implausible_dose(exam)
    assert "event 1" in flag.message


@pytest.mark.parametrize(
    ("patient", "code"),
    [
        (Patient(age_years=162.0), "implausible-age"),
        (Patient(weight_kg=0.0), "implausible-weight"),
        (Patient(height_cm=1.75), "implausible-height"),
    ],
)
def test_an_implausible_patient_value_is_flagged_and_not_used(patient: Patient, code: str) -> None:
    flags = implausible_patient(patient)
    assert [flag.code for flag in flags] == [code]
    assert plausible_patient(patient, flags) == Patient()


def test_an_age_of_106_years_is_plausible() -> None:
    assert not implausible_patient(Patient(age_years=106.0, weight_kg=48.0, height_cm=150.0, sex="F"))
