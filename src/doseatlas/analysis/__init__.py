"""What the exams of the mart add up to: typical values, comparison with reference levels, trends, outliers.

The functions are loaded on first use, so that a program that only names the records does not load a query engine.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from doseatlas.analysis.results import (
    AboveLevel,
    CountOf,
    DataQuality,
    DeviceDisplay,
    DeviceSummary,
    Distribution,
    DoseQuantity,
    DoseValues,
    ExamsStandOut,
    FacilityReport,
    FewCounted,
    Finding,
    HighDevice,
    HybridExam,
    MonthlyValue,
    Outlier,
    PregnantExam,
    ReferenceLevel,
    Selection,
    SkinDoseExam,
    SkinDosePatient,
    Standing,
    TypicalValue,
    Verdict,
)

if TYPE_CHECKING:
    from doseatlas.analysis.facility import facility_report
    from doseatlas.analysis.histogram import distributions
    from doseatlas.analysis.mart import mart_table
    from doseatlas.analysis.outlier import outliers
    from doseatlas.analysis.quality import data_quality
    from doseatlas.analysis.repeated import skin_patients
    from doseatlas.analysis.tables import Quantity, quantities, stated_quantities
    from doseatlas.analysis.trend import trends
    from doseatlas.analysis.typical import typical_values, typical_values_table

__all__ = [
    "AboveLevel",
    "CountOf",
    "DataQuality",
    "DeviceDisplay",
    "DeviceSummary",
    "Distribution",
    "DoseQuantity",
    "DoseValues",
    "ExamsStandOut",
    "FacilityReport",
    "FewCounted",
    "Finding",
    "HighDevice",
    "HybridExam",
    "MonthlyValue",
    "Outlier",
    "PregnantExam",
    "Quantity",
    "ReferenceLevel",
    "Selection",
    "SkinDoseExam",
    "SkinDosePatient",
    "Standing",
    "TypicalValue",
    "Verdict",
    "data_quality",
    "distributions",
    "facility_report",
    "mart_table",
    "outliers",
    "quantities",
    "skin_patients",
    "stated_quantities",
    "trends",
    "typical_values",
    "typical_values_table",
]

_HOMES = {
    "Quantity": "tables",
    "data_quality": "quality",
    "distributions": "histogram",
    "facility_report": "facility",
    "mart_table": "mart",
    "outliers": "outlier",
    "quantities": "tables",
    "skin_patients": "repeated",
    "stated_quantities": "tables",
    "trends": "trend",
    "typical_values": "typical",
    "typical_values_table": "typical",
}


def __getattr__(name: str) -> Any:
    """Load the module of a public function on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
