"""Dosimetry: what stated values mean for the patient, each result with method, source, uncertainty and flags.

What works on images and on whole columns is loaded on first use, as it needs arrays and compiled code.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from doseatlas.dosimetry.calibration import (
    Affected,
    Certificate,
    CertificateBook,
    QualityFactor,
    TraceabilityStep,
    affected,
    certificate_book,
    certificate_on,
)
from doseatlas.dosimetry.correction import CorrectedValue, correct
from doseatlas.dosimetry.ct_effective_dose import REGIONS, Dlp, ct_effective_dose
from doseatlas.dosimetry.cumulative import CumulativeDose, ExamDose, cumulative_dose
from doseatlas.dosimetry.estimate import CalibrationError, DosimetryColumn, DosimetryError, Estimate, NotEstimated
from doseatlas.dosimetry.exam import (
    DOSIMETRY_COLUMNS,
    Method,
    exam_dosimetry,
    exam_methods,
)
from doseatlas.dosimetry.exam_calibration import (
    CERTIFIED,
    CORRECTED_COLUMNS,
    DISPLAY_TOLERANCE,
    certificate_named,
)
from doseatlas.dosimetry.exam_entrance import ENTRANCE_COLUMNS, exam_entrance
from doseatlas.dosimetry.exam_skin import (
    SKIN_DOSE_COLUMNS,
    SkinTotals,
    SkinTrigger,
    body_of,
    exam_skin_dose,
    exam_skin_map,
    kerma_correction,
    needs_skin_map,
    skin_triggers,
    triggers_reached,
)
from doseatlas.dosimetry.image_sizes import (
    ImageSizes,
    Place,
    lines_of_image,
    measured_at,
    place_of_image,
    sizes_of_images,
    united,
)
from doseatlas.dosimetry.mammography import MammographyCheck, check_mammography
from doseatlas.dosimetry.median_interval import MedianInterval, median_interval
from doseatlas.dosimetry.nuclear import (
    ActivityComparison,
    card_activity_mbq,
    compare_activity,
    consensus_activity_mbq,
    nuclear_effective_dose,
)
from doseatlas.dosimetry.organ_dose import organ_dose, organs_known
from doseatlas.dosimetry.overscan import overscan_flag, overscan_mm
from doseatlas.dosimetry.patient_size import PatientSize, effective_diameter_mm, size_from_height_and_weight
from doseatlas.dosimetry.projection import (
    entrance_surface,
    incident_from_kap,
    incident_from_output,
    incident_from_reference,
    kap_unit_flag,
    projection_effective_dose,
)
from doseatlas.dosimetry.ssde import phantom_ratio, size_factor, ssde
from doseatlas.dosimetry.tables import flag_meanings, nuclear_agent
from doseatlas.dosimetry.tube_output import (
    TUBE_OUTPUT,
    Chamber,
    OutputPoint,
    TubeOutput,
    air_kerma,
    output_for,
    output_in_words,
    temperature_pressure_factor,
)

if TYPE_CHECKING:
    from doseatlas.dosimetry.columns import Column, corrected_column, ct_effective_dose_column, ssde_column
    from doseatlas.dosimetry.ct_scan import (
        MeasuredImage,
        ScanProfile,
        SplitDlp,
        dlp_by_region,
        profile_of_measured,
        size_of_measured,
    )
    from doseatlas.dosimetry.localiser import (
        LocaliserCalibration,
        LocaliserLines,
        calibrate,
        calibrate_on_images,
        calibrated_diameters_mm,
        diameters_from_widths_mm,
        line_diameters_mm,
        line_sums,
        localiser_lines,
        magnification_off_centre,
        size_from_lines,
        size_from_widths,
    )
    from doseatlas.dosimetry.mart_columns import with_dosimetry
    from doseatlas.dosimetry.water_equivalent import BodySection, body_section

__all__ = [
    "CERTIFIED",
    "CORRECTED_COLUMNS",
    "DISPLAY_TOLERANCE",
    "DOSIMETRY_COLUMNS",
    "ENTRANCE_COLUMNS",
    "REGIONS",
    "SKIN_DOSE_COLUMNS",
    "TUBE_OUTPUT",
    "ActivityComparison",
    "Affected",
    "BodySection",
    "CalibrationError",
    "Certificate",
    "CertificateBook",
    "Chamber",
    "Column",
    "CorrectedValue",
    "CumulativeDose",
    "Dlp",
    "DosimetryColumn",
    "DosimetryError",
    "Estimate",
    "ExamDose",
    "ImageSizes",
    "LocaliserCalibration",
    "LocaliserLines",
    "MammographyCheck",
    "MeasuredImage",
    "MedianInterval",
    "Method",
    "NotEstimated",
    "OutputPoint",
    "PatientSize",
    "Place",
    "QualityFactor",
    "ScanProfile",
    "SkinTotals",
    "SkinTrigger",
    "SplitDlp",
    "TraceabilityStep",
    "TubeOutput",
    "affected",
    "air_kerma",
    "body_of",
    "body_section",
    "calibrate",
    "calibrate_on_images",
    "calibrated_diameters_mm",
    "card_activity_mbq",
    "certificate_book",
    "certificate_named",
    "certificate_on",
    "check_mammography",
    "compare_activity",
    "consensus_activity_mbq",
    "correct",
    "corrected_column",
    "ct_effective_dose",
    "ct_effective_dose_column",
    "cumulative_dose",
    "diameters_from_widths_mm",
    "dlp_by_region",
    "effective_diameter_mm",
    "entrance_surface",
    "exam_dosimetry",
    "exam_entrance",
    "exam_methods",
    "exam_skin_dose",
    "exam_skin_map",
    "flag_meanings",
    "incident_from_kap",
    "incident_from_output",
    "incident_from_reference",
    "kap_unit_flag",
    "kerma_correction",
    "line_diameters_mm",
    "line_sums",
    "lines_of_image",
    "localiser_lines",
    "magnification_off_centre",
    "measured_at",
    "median_interval",
    "needs_skin_map",
    "nuclear_agent",
    "nuclear_effective_dose",
    "organ_dose",
    "organs_known",
    "output_for",
    "output_in_words",
    "overscan_flag",
    "overscan_mm",
    "phantom_ratio",
    "place_of_image",
    "profile_of_measured",
    "projection_effective_dose",
    "size_factor",
    "size_from_height_and_weight",
    "size_from_lines",
    "size_from_widths",
    "size_of_measured",
    "sizes_of_images",
    "skin_triggers",
    "ssde",
    "ssde_column",
    "temperature_pressure_factor",
    "triggers_reached",
    "united",
    "with_dosimetry",
]

_LAZY = {
    "columns": ("Column", "corrected_column", "ct_effective_dose_column", "ssde_column"),
    "ct_scan": (
        "MeasuredImage",
        "ScanProfile",
        "SplitDlp",
        "dlp_by_region",
        "profile_of_measured",
        "size_of_measured",
    ),
    "localiser": (
        "LocaliserCalibration",
        "LocaliserLines",
        "calibrate",
        "calibrate_on_images",
        "calibrated_diameters_mm",
        "diameters_from_widths_mm",
        "line_diameters_mm",
        "line_sums",
        "localiser_lines",
        "magnification_off_centre",
        "size_from_lines",
        "size_from_widths",
    ),
    "mart_columns": ("with_dosimetry",),
    "water_equivalent": ("BodySection", "body_section"),
}


def __getattr__(name: str) -> Any:
    """Load the module of a public name on first use."""
    home = next((home for home, names in _LAZY.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
