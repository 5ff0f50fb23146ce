"""How large is the patient, as seen by a CT beam? Diameters from dimensions or, last resort, height and weight.

Water-equivalent diameters from images are in ``water_equivalent``; which road was taken is always part of the answer.
"""

from __future__ import annotations

from math import isfinite, pi, sqrt

from doseatlas.model import Note, Record
from doseatlas.reference import coefficients

# O'Neill S et al., Eur Radiol Exp 2 (2018) 38: effective diameter (cm) of the adult abdomen by body mass index (kg/m2).
_CM_PER_BMI, _CM_AT_0 = 0.76, 9.4
# A cylinder of the body's mass and height is thinner than the trunk. A factor makes it agree with the regression for
# the reference adult of ICRP Publication 89 (73 kg, 176 cm).
_REFERENCE_KG, _REFERENCE_CM = 73.0, 176.0
_HEIGHTS_CM, _WEIGHTS_KG = (30.0, 230.0), (0.5, 300.0)


class PatientSize(Record, frozen=True, kw_only=True):
    """A diameter (mm) with its relative standard uncertainty, and how it was found."""

    diameter_mm: float
    relative_standard_uncertainty: float
    method: str
    source: str
    flags: tuple[Note, ...] = ()


def effective_diameter_mm(ap_mm: float, lateral_mm: float) -> float:
    """Return the diameter of the circle with the area of an ellipse: sqrt(AP * LAT) (AAPM Report 204, 2011)."""
    return sqrt(ap_mm * lateral_mm)


def size_from_height_and_weight(
    height_cm: float | None, weight_kg: float | None, age_years: float | None
) -> PatientSize | None:
    """Return a rough trunk diameter; ``None`` where height, weight or age is missing or impossible.

    Adults: linear in the body mass index (O'Neill 2018, abdomen). Children: a cylinder of the body's mass and height,
    widened by one factor; a model of this project, flagged.
    """
    if (
        height_cm is None
        or weight_kg is None
        or age_years is None
        or not all(map(isfinite, (height_cm, weight_kg, age_years)))
    ):
        return None
    if not (_HEIGHTS_CM[0] <= height_cm <= _HEIGHTS_CM[1] and _WEIGHTS_KG[0] <= weight_kg <= _WEIGHTS_KG[1]):
        return None
    adult = age_years >= coefficients.ADULT_AGE_YEARS
    row = coefficients.component_uncertainties()["diameter-from-bmi" if adult else "diameter-from-weight-and-height"]
    if adult:
        diameter_cm, method = _adult_cm(height_cm, weight_kg), "diameter from body mass index"
        source = "O'Neill S et al., Eur Radiol Exp 2 (2018) 38, abdomen of adults"
    else:
        widening = _adult_cm(_REFERENCE_CM, _REFERENCE_KG) / _cylinder_cm(_REFERENCE_CM, _REFERENCE_KG)
        diameter_cm, method = (
            widening * _cylinder_cm(height_cm, weight_kg),
            "diameter of a cylinder of height and weight",
        )
        source = "model of this project, scaled to O'Neill S et al., Eur Radiol Exp 2 (2018) 38"
    flag = Note(
        code="size-from-height-and-weight",
        message=f"The patient's size is a last resort, the {method}: {diameter_cm:.1f} cm within about "
        f"{100 * row.relative:.0f} % (k = 1).",
    )
    return PatientSize(
        diameter_mm=10 * diameter_cm,
        relative_standard_uncertainty=row.relative,
        method=method,
        source=source,
        flags=(flag,),
    )


def _adult_cm(height_cm: float, weight_kg: float) -> float:
    return _CM_PER_BMI * weight_kg / (height_cm / 100) ** 2 + _CM_AT_0


def _cylinder_cm(height_cm: float, weight_kg: float) -> float:
    return 2 * sqrt(1000 * weight_kg / (pi * height_cm))
