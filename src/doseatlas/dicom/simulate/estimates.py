"""What does a report of estimated patient dose state, and of which content items does it consist? TID 10030 to 10033.

The doses are made up: a round number times the dose of the exam, without any claim that a patient would get it.
"""

from __future__ import annotations

import random

import msgspec

from doseatlas.dicom.simulate.encoder import Encoder
from doseatlas.dicom.simulate.events import new_uid, stated_code
from doseatlas.dicom.simulate.exams import SimulatedExam
from doseatlas.dicom.simulate.parts import observer
from doseatlas.dicom.simulate.tables import Dialect
from doseatlas.model import Device, DoseEstimate, Exam, Totals

PATIENT_DOSE = "1.2.840.10008.5.1.4.1.1.88.73"
_PER_DOSE = {"ct": 0.015, "projection": 0.2, "mammography": 0.1, "nuclear": 0.02}  # made up, mSv
_METHOD, _MODEL = "Made-up Monte Carlo, version 1", "Made-up reference adult"
_WORKSTATION = Device(
    manufacturer="Gamma Estimates",
    model="Organ Dose Workstation",
    serial_number="SIMEST1",
    station_name="EST01",
    software_versions="1.0",
)


def estimate_report(simulated: SimulatedExam) -> Exam:
    """The truth of the report that a made-up workstation writes of an exam: effective dose and the liver's dose."""
    exam, dialect = simulated.exam, simulated.device.dialect
    rng = random.Random(f"estimate {exam.sop_instance_uid}")
    totals = exam.totals
    dose = totals.dlp_mgy_cm or totals.kap_gy_cm2 or totals.agd_left_mgy or totals.agd_right_mgy
    effective = round((dose or totals.administered_activity_mbq or 1.0) * _PER_DOSE[exam.kind], 3)
    common = DoseEstimate(
        method=_meaning("monte-carlo", dialect),
        method_reference=_METHOD,
        patient_model=_meaning("anthropomorphic-model", dialect),
        patient_model_reference=_MODEL,
        transport_model=_meaning("voxelized-model", dialect),
    )
    liver, body = stated_code("liver", dialect), stated_code("whole-body", dialect)
    replaced = msgspec.structs.replace
    return replaced(
        exam,
        kind="estimate",
        sop_class_uid=PATIENT_DOSE,
        sop_instance_uid=new_uid(rng),
        series_instance_uid=new_uid(rng),
        modality=None,
        source="dose-report",
        device=msgspec.structs.replace(_WORKSTATION, institution=exam.device.institution),
        body_part=None,
        replaces=(),
        totals=Totals(),
        events=(),
        estimates=(
            replaced(
                common,
                name="Liver",
                organ=liver.meaning,
                organ_code=liver,
                statistic="mean",
                absorbed_dose_mgy=round(effective * 1.4, 3),
                uncertainty_minus=round(effective * 0.3, 3),
                uncertainty_plus=round(effective * 0.3, 3),
            ),
            replaced(
                common,
                name="Liver",
                organ=liver.meaning,
                organ_code=liver,
                statistic="maximum",
                absorbed_dose_mgy=round(effective * 2.1, 3),
            ),
            replaced(common, name="Whole body", organ=body.meaning, organ_code=body, effective_dose_msv=effective),
        ),
        estimated_from=tuple(report.sop_instance_uid or "" for report in simulated.reports),
    )


def _meaning(key: str, dialect: Dialect) -> str | None:
    return stated_code(key, dialect).meaning


def estimate_body(encoder: Encoder, report: Exam, used_sop_class: str, document: bytes) -> bytes:
    """The root content item's elements of a report that :func:`estimate_report` gave."""
    by_name: dict[str, list[DoseEstimate]] = {}
    for estimate in report.estimates:
        by_name.setdefault(estimate.name or "", []).append(estimate)
    items = observer(encoder, report.device)
    items += [_container(encoder, report, estimates, used_sop_class) for estimates in by_name.values()]
    return encoder.container_body("patient-dose-report", items, "10030", document=document)


_QUANTITIES = (("absorbed_dose_mgy", "mGy"), ("effective_dose_msv", "mSv"))
_CONCEPTS = {"mean": "mean-absorbed-dose", "maximum": "maximum-absorbed-dose", None: "effective-dose"}
_ORGANS = {"Liver": "liver", "Whole body": "whole-body"}


def _container(encoder: Encoder, report: Exam, estimates: list[DoseEstimate], used_sop_class: str) -> bytes:
    """The estimates of one organ (TID 10031)."""
    first = estimates[0]
    items = [
        encoder.text("dose-estimate-name", first.name or ""),
        encoder.code("finding-site", _ORGANS[first.name or ""], (), "HAS CONCEPT MOD"),
    ]
    for estimate in estimates:
        spread = estimate.uncertainty_plus
        for field, unit in _QUANTITIES:
            value = getattr(estimate, field)
            if value is not None:
                below = [] if spread is None else [encoder.num("uncertainty-range", spread, unit, (), "HAS PROPERTIES")]
                items.append(encoder.num(_CONCEPTS[estimate.statistic], value, unit, below))
    items.append(_methodology(encoder, report, used_sop_class))
    return encoder.container("dose-estimate", items, "10031")


def _methodology(encoder: Encoder, report: Exam, used_sop_class: str) -> bytes:
    """Which reports were used, and by what models and method (TID 10033)."""
    used = [encoder.composite("sr-instance-used", used_sop_class, uid) for uid in report.estimated_from]
    model = [
        encoder.code("patient-model-type", "anthropomorphic-model"),
        encoder.code("transport-model-type", "voxelized-model"),
        encoder.text("dose-model-reference", _MODEL),
    ]
    method = [
        encoder.code("estimate-method-type", "monte-carlo"),
        encoder.text("estimate-method-reference", _METHOD),
    ]
    parts = [*used, encoder.container("dose-model", model), encoder.container("estimate-method", method)]
    return encoder.container("estimate-methodology", parts, "10033")
