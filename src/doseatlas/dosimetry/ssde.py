"""What dose does CTDIvol mean for a patient of this size? SSDE after AAPM Reports 204, 220 and 293.

SSDE is the mean dose to the scanned section of a patient of the stated diameter, not an organ dose and no effective
dose. CTDIvol of the 16 cm and 32 cm phantoms have different factors and are never exchanged here.
"""

from __future__ import annotations

from math import exp
from typing import Literal

from doseatlas.dosimetry.estimate import Estimate, NotEstimated, bad_number, not_verified
from doseatlas.dosimetry.patient_size import PatientSize
from doseatlas.dosimetry.uncertainty import of_product
from doseatlas.model import Note
from doseatlas.reference import coefficients

Region = Literal["head", "body"]
QUANTITY = "ssde_derived_mgy"
DIAMETERS_CM = (3.0, 100.0)  # beyond, a diameter is a wrong unit, not a patient


def size_factor(diameter_mm: float, phantom_cm: int, region: Region) -> float | None:
    """Return SSDE / CTDIvol for a diameter, ``None`` where no report covers the region on this phantom.

    f = a exp(-b D): AAPM Report 204 (body; 16 or 32 cm) and Report 293 (head; 16 cm). D is the effective or, better,
    the water-equivalent diameter (Report 220).
    """
    row = coefficients.ssde_coefficients().get((region, phantom_cm))
    return None if row is None else row.a * exp(-row.b_per_cm * diameter_mm / 10)


def phantom_ratio(diameter_mm: float) -> float:
    """Return CTDI on the 16 cm phantom over CTDI on the 32 cm phantom, for the same output.

    SSDE is the same whichever phantom the scanner reports on, so the ratio is that of the two size factors of Report
    204: 2.04 at 16 cm to 2.11 at 32 cm. Scanners differ by more than that; see ``phantom-conversion`` in the
    uncertainties.
    """
    rows = coefficients.ssde_coefficients()
    on_32, on_16 = rows["body", 32], rows["body", 16]
    return on_32.a / on_16.a * exp((on_16.b_per_cm - on_32.b_per_cm) * diameter_mm / 10)


def ssde(
    ctdi_vol_mgy: float | None,
    phantom_cm: int | None,
    region: Region,
    size: PatientSize | None,
    *,
    ctdi_relative_uncertainty: float = 0.0,
) -> Estimate | NotEstimated:
    """Return the size-specific dose estimate (mGy) of one scan.

    Args:
        ctdi_vol_mgy: CTDIvol of the scan, on ``phantom_cm``.
        phantom_cm: 16 or 32; never assumed, as a wrong one is wrong by a factor of two.
        region: ``head`` for Report 293, ``body`` for Report 204.
        size: diameter and how it was found.
        ctdi_relative_uncertainty: relative standard uncertainty of CTDIvol.

    """
    if bad := bad_number(QUANTITY, "CTDIvol", ctdi_vol_mgy):
        return bad
    assert ctdi_vol_mgy is not None
    if phantom_cm is None:
        message = "The CTDI phantom (16 or 32 cm) is not stated; taking the wrong one doubles or halves the value."
        return NotEstimated(quantity=QUANTITY, code="phantom-not-stated", message=message)
    if size is None:
        message = "No size of the patient: neither stated, nor from images, localiser, or height and weight."
        return NotEstimated(quantity=QUANTITY, code="size-not-known", message=message)
    if not DIAMETERS_CM[0] <= size.diameter_mm / 10 <= DIAMETERS_CM[1]:
        message = f"A diameter of {size.diameter_mm:g} mm is no patient's; is it in another unit?"
        return NotEstimated(quantity=QUANTITY, code="not-physical", message=message)
    factor = size_factor(size.diameter_mm, phantom_cm, region)
    if factor is None:
        message = f"No report gives a size conversion for the {region} on a phantom of {phantom_cm} cm."
        return NotEstimated(quantity=QUANTITY, code="no-coefficient", message=message)
    row = coefficients.ssde_coefficients()[region, phantom_cm]
    flags = size.flags + not_verified([row])
    if not row.diameter_low_cm <= size.diameter_mm / 10 <= row.diameter_high_cm:
        message = (
            f"A diameter of {size.diameter_mm / 10:.1f} cm lies outside the {row.diameter_low_cm:g} to "
            f"{row.diameter_high_cm:g} cm of {row.id}."
        )
        flags += (Note(code="extrapolated", message=message),)
    relative = of_product(
        ctdi_relative_uncertainty,
        coefficients.component_uncertainties()["ssde-coefficient"].relative,
        row.b_per_cm * size.diameter_mm / 10 * size.relative_standard_uncertainty,
    )
    value = factor * ctdi_vol_mgy
    return Estimate(
        quantity=QUANTITY,
        value=value,
        standard_uncertainty=relative * value,
        method=f"SSDE from CTDIvol on {phantom_cm} cm, {size.method}",
        source=f"{row.source}; size: {size.source}",
        coefficient_set=row.id,
        flags=flags,
    )
