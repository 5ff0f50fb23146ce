"""What does a radiograph that carries its dose in the header look like as a file? For makers that send no reports.

A Computed Radiography image (PS3.3 A.2) of 16 by 16 pixels without contents, with the dose attributes of the X-ray
acquisition dose module (C.8.7.8): area dose product in dGy.cm2, entrance dose in mGy, exposure in microampere seconds.
"""

from __future__ import annotations

from struct import pack

from doseatlas.dicom.simulate.encoder import Encoder, decimal_string
from doseatlas.model import Exam

CR_IMAGE = "1.2.840.10008.5.1.4.1.1.1"
_SIDE = 16
# Defined terms of Body Part Examined (PS3.16 annex L) for the regions that are radiographed.
_BODY_PARTS = {"chest": "CHEST", "abdomen": "ABDOMEN", "pelvis": "PELVIS", "lumbar-spine": "LSPINE"}


def body_part(region: str) -> str:
    """The defined term of Body Part Examined for a region of ``tables/protocols.csv``."""
    return _BODY_PARTS[region]


def image_elements(encoder: Encoder, image: Exam, study_id: str, number: int) -> bytes:
    """The elements after group 0010: technique, dose, study, series and pixels of one exposure."""
    e, (event,) = encoder.element, image.events
    kap_dgy_cm2 = 10 * (event.kap_gy_cm2 or 0)
    technique = [
        e(0x00180015, "CS", image.body_part or ""),
        e(0x00180060, "DS", decimal_string(event.kvp or 0)),
        e(0x00181000, "LO", image.device.serial_number or ""),
        e(0x00181020, "LO", image.device.software_versions or ""),
        e(0x00181030, "LO", event.protocol or ""),
        e(0x00181150, "IS", str(round(event.exposure_time_ms or 0))),
        e(0x00181151, "IS", str(round(event.tube_current_ma or 0))),
        e(0x00181153, "IS", str(round(1000 * (event.exposure_mas or 0)))),
        e(0x0018115E, "DS", decimal_string(float(f"{kap_dgy_cm2:.10g}"))),
        e(0x00181411, "DS", decimal_string(event.exposure_index or 0)),
        e(0x00181412, "DS", decimal_string(event.target_exposure_index or 0)),
        e(0x00185101, "CS", event.view or ""),
    ]
    study = [
        e(0x0020000D, "UI", image.study_instance_uid or ""),
        e(0x0020000E, "UI", image.series_instance_uid or ""),
        e(0x00200010, "SH", study_id),
        e(0x00200011, "IS", "1"),
        e(0x00200013, "IS", str(number)),
        e(0x00200020, "CS", ""),
    ]
    shape = [(0x00280010, _SIDE), (0x00280011, _SIDE), (0x00280100, 16), (0x00280101, 12), (0x00280102, 11)]
    pixels = [
        e(0x00280002, "US", pack("<H", 1)),
        e(0x00280004, "CS", "MONOCHROME2"),
        *(e(tag, "US", pack("<H", value)) for tag, value in shape),
        e(0x00280103, "US", pack("<H", 0)),
        e(0x00408302, "DS", decimal_string(event.entrance_exposure_mgy or 0)),
        e(0x7FE00010, "OW", bytes(2 * _SIDE * _SIDE)),
    ]
    return b"".join(technique + study + pixels)
