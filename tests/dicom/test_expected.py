"""A second witness: what another programme's tests assert for some of the same objects (corpus/expected.csv).

Where the witness and we disagree, ``DISAGREEMENTS`` says why; everything else that can be mapped must agree.
"""

from __future__ import annotations

import csv
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from doseatlas.dicom import read_bytes
from doseatlas.model import Reading

FOLDERS = ("rdsr", "images")

# model of the witness, its attribute -> where ours stands, our field, and the unit of ours
EVENT = {
    ("ScanningLength", "scanning_length"): "scan_length_mm",
    ("CtIrradiationEventData", "exposure_time"): "exposure_time_ms",
    ("CtIrradiationEventData", "nominal_single_collimation_width"): "collimation_mm",
    ("CtIrradiationEventData", "nominal_total_collimation_width"): "total_collimation_mm",
    ("CtIrradiationEventData", "pitch_factor"): "pitch",
    ("CtIrradiationEventData", "acquisition_protocol"): "protocol",
    ("CtIrradiationEventData", "mean_ctdivol"): "ctdi_vol_mgy",
    ("CtIrradiationEventData", "dlp"): "dlp_mgy_cm",
    ("CtXRaySourceParameters", "kvp"): "kvp",
    ("CtXRaySourceParameters", "maximum_xray_tube_current"): "tube_current_max_ma",
    ("CtXRaySourceParameters", "xray_tube_current"): "tube_current_ma",
    ("CtXRaySourceParameters", "exposure_time_per_rotation"): "exposure_time_per_rotation_s",
    ("CtDoseCheckDetails", "dlp_alert_value"): "dlp_alert_mgy_cm",
    ("CtDoseCheckDetails", "ctdivol_alert_value"): "ctdi_vol_alert_mgy",
    ("IrradEventXRayData", "acquisition_protocol"): "protocol",
    ("IrradEventXRayData", "dose_area_product"): "kap_gy_cm2",
    ("IrradEventXRayData", "entrance_exposure_at_rp"): "entrance_exposure_mgy",
    ("IrradEventXRayData", "half_value_layer"): "half_value_layer_mm",
    ("IrradEventXRayData", "date_time_started"): "started_at",
    ("IrradEventXRayData", "percent_fibroglandular_tissue"): "percent_fibroglandular",
    ("IrradEventXRaySourceData", "average_glandular_dose"): "agd_mgy",
    ("IrradEventXRaySourceData", "exposure_time"): "exposure_time_ms",
    ("IrradEventXRaySourceData", "average_xray_tube_current"): "tube_current_ma",
    ("IrradEventXRaySourceData", "focal_spot_size"): "focal_spot_mm",
    ("IrradEventXRaySourceData", "number_of_pulses"): "pulses",
    ("IrradEventXRaySourceData", "collimated_field_area"): "collimated_field_area_cm2",
    ("IrradEventXRaySourceData", "collimated_field_height"): "collimated_field_height_mm",
    ("IrradEventXRaySourceData", "collimated_field_width"): "collimated_field_width_mm",
    ("Kvp", "kvp"): "kvp",
    ("Exposure", "exposure"): "exposure_mas",
    ("XrayTubeCurrent", "xray_tube_current"): "tube_current_ma",
    ("IrradEventXRayDetectorData", "exposure_index"): "exposure_index",
    ("IrradEventXRayDetectorData", "target_exposure_index"): "target_exposure_index",
    ("IrradEventXRayDetectorData", "deviation_index"): "deviation_index",
    ("IrradEventXRayMechanicalData", "compression_thickness"): "compressed_thickness_mm",
    ("IrradEventXRayMechanicalData", "compression_force"): "compression_force_n",
    ("IrradEventXRayMechanicalData", "positioner_primary_angle"): "primary_angle_deg",
    ("IrradEventXRayMechanicalData", "column_angulation"): "column_angulation_deg",
    ("DoseRelatedDistanceMeasurements", "distance_source_to_detector"): "source_to_detector_mm",
    ("DoseRelatedDistanceMeasurements", "distance_source_to_entrance_surface"): "source_to_entrance_mm",
    ("", "radiopharmaceutical_administration_event_uid"): "event_uid",
    ("", "radiopharmaceutical_start_datetime"): "started_at",
    ("", "administered_activity"): "administered_activity_mbq",
    ("", "effective_dose"): "effective_dose_msv",
    ("", "radiopharmaceutical_agent_string"): "radiopharmaceutical",
}
TOTAL = {
    ("CtAccumulatedDoseData", "ct_dose_length_product_total"): "dlp_mgy_cm",
    ("CtAccumulatedDoseData", "total_number_of_irradiation_events"): "event_count",
    ("GeneralStudyModuleAttr", "total_dlp"): "dlp_mgy_cm",
    ("GeneralStudyModuleAttr", "total_agd_left"): "agd_left_mgy",
    ("GeneralStudyModuleAttr", "total_agd_right"): "agd_right_mgy",
    ("GeneralStudyModuleAttr", "total_dap"): "kap_gy_cm2",
    ("GeneralStudyModuleAttr", "total_rp_dose_a"): "reference_air_kerma_mgy",
    ("AccumProjXRayDose", "total_acquisition_time"): "acquisition_time_s",
    ("AccumProjXRayDose", "acquisition_dose_area_product_total"): "acquisition_kap_gy_cm2",
    ("", "total_fluoro_dap"): "fluoro_kap_gy_cm2",
    ("", "total_fluoro_rp_dose"): "fluoro_reference_air_kerma_mgy",
    ("", "total_acq_dap"): "acquisition_kap_gy_cm2",
    ("", "total_acq_rp_dose"): "acquisition_reference_air_kerma_mgy",
}
EXAM = {
    "study_date": "study_date",
    "study_time": "study_time",
    "study_description": "procedure",
    "study_instance_uid": "study_instance_uid",
}
DEVICE = {
    "institution_name": "institution",
    "manufacturer": "manufacturer",
    "manufacturer_model_name": "model",
    "station_name": "station_name",
    "device_serial_number": "serial_number",
    "software_versions": "software_versions",
}
PATIENT = {"patient_age_decimal": "age_years", "patient_sex": "sex", "subject_age": "age_years"}
IDENTITY = {"accession_number": "accession_number", "patient_birth_date": "birth_date"}

# The witness's unit for the quantities of these attributes -> factor to the unit in our field's name.
FACTORS = {
    ("s", "_ms"): 1000,
    ("Gy.m2", "_gy_cm2"): 1e4,
    ("Gy", "_mgy"): 1000,
    ("uA.s", "_mas"): 1e-3,
    ("uAs", "_mas"): 1e-3,
    ("m2", "_cm2"): 1e4,
}

_SHUTTERS = "the witness computes the field from shutter positions in a private scheme; the object states none"
DISAGREEMENTS = {
    ("CT-SC-Philips_Brilliance16P.dcm", "GeneralStudyModuleAttr.total_dlp"): (
        "the witness takes a private element with more digits; the standard's comment says 1102.4"
    ),
    ("MG-Im-GE-SenDS-scaled.dcm", "GeneralStudyModuleAttr.accession_number"): "the witness was set to hash it",
    ("MG-Im-GE-SenDS-scaled.dcm", "IrradEventXRayData.percent_fibroglandular_tissue"): (
        "the object has '31 %' as a comment on radiation dose that does not say of what"
    ),
    ("MG-Im-GE-SenDS-scaled.dcm", "IrradEventXRayMechanicalData.column_angulation"): (
        "the witness takes Detector Secondary Angle for it, which is another angle"
    ),
    ("MG-Im-GE-SenDS-scaled.dcm", "IrradEventXRaySourceData.collimated_field_area"): (
        "the witness multiplies the sides of the field of view, which the collimated field need not fill"
    ),
    (
        "NM-PetIm-GE.dcm",
        "radiopharmaceuticalradiationdose.radiopharmaceuticaladministrationeventdata.radiopharmaceutical_agent_string",
    ): "the object states it as text and as code; we show the code's meaning",
    ("RF-RDSR-Philips_Allura.dcm", "IrradEventXRaySourceData[0 of 3].collimated_field_area"): _SHUTTERS,
    ("RF-RDSR-Philips_Allura.dcm", "IrradEventXRaySourceData[0 of 3].collimated_field_height"): _SHUTTERS,
    ("RF-RDSR-Philips_Allura.dcm", "IrradEventXRaySourceData[0 of 3].collimated_field_width"): _SHUTTERS,
}


class Claim(NamedTuple):
    file: str
    field: str
    model: str
    number: int
    attribute: str
    expected: str
    unit: str


def parsed(row: dict[str, str]) -> Claim:
    match = re.match(r"(?:(\w+?)(?:\[(\d+) of \d+\])?\.)?(.*)$", row["field"])
    assert match
    model, number, rest = match.groups()
    attribute = re.findall(r"\w+", rest)[-1]
    model = model if model and model[0].isupper() else ""
    return Claim(row["file"], row["field"], model, int(number or 0), attribute, row["expected"], row["unit"])


def factor(unit: str, field: str) -> float:
    return next((by for (stated, ending), by in FACTORS.items() if unit == stated and field.endswith(ending)), 1.0)


def ours(reading: Reading, claim: Claim) -> tuple[str, object] | None:
    """Our field and value for a claim; ``None`` where we keep nothing of the kind."""
    exam, key = reading.exam, (claim.model, claim.attribute)
    if key in EVENT:
        return EVENT[key], getattr(exam.events[claim.number], EVENT[key])
    if key in TOTAL:
        return TOTAL[key], getattr(exam.totals, TOTAL[key])
    if claim.model not in ("", "GeneralStudyModuleAttr", "GeneralEquipmentModuleAttr") and "Patient" not in claim.model:
        return None
    for record, table in ((exam, EXAM), (exam.device, DEVICE), (exam.patient, PATIENT), (reading.identity, IDENTITY)):
        if claim.attribute in table:
            return table[claim.attribute], getattr(record, table[claim.attribute])
    return None


def agrees(found: object, claim: Claim, field: str) -> bool:
    if isinstance(found, int | float) and not isinstance(found, bool):
        return found == pytest.approx(float(claim.expected) * factor(claim.unit, field), rel=1e-6, abs=1e-9)
    if field == "started_at":
        return str(found).split(".")[0] == claim.expected.split(".")[0]
    if field == "study_time":
        return found == claim.expected[:8]
    return str(found) == claim.expected


@cache
def reading_of(path: Path) -> Reading:
    return read_bytes(path.read_bytes(), path=path.name)


def test_what_another_programme_asserts_is_what_we_read(corpus: Path) -> None:
    with (corpus / "expected.csv").open(encoding="utf-8", newline="") as file:
        claims = {parsed(row) for row in csv.DictReader(file)}
    compared, differing = 0, {}
    for claim in sorted(claims):
        path = next((p for folder in FOLDERS if (p := corpus / folder / claim.file).exists()), None)
        if path is None or not claim.expected:
            continue
        mapped = ours(reading_of(path), claim)
        if mapped is None:
            continue
        compared += 1
        field, found = mapped
        if not agrees(found, claim, field):
            differing[claim.file, claim.field] = (claim.expected, claim.unit, field, found)
    assert compared > 400
    assert differing.keys() == DISAGREEMENTS.keys(), {k: v for k, v in differing.items() if k not in DISAGREEMENTS}
