"""What do KAP and reference air kerma of a projection mean for the patient: effective dose, kerma at the skin?

Effective dose is KAP times a coefficient of the examination, for adults. Incident air kerma (no backscatter) is found
from KAP and field, from the kerma at the reference point, or from the tube's output; entrance surface air kerma holds
the backscatter of the patient as well. After IAEA TRS-457 (2007). The dose to the skin over a procedure is in
``dosimetry.skin``.
"""

from __future__ import annotations

from math import sqrt

import msgspec

from doseatlas.dosimetry.estimate import Estimate, NotEstimated, bad_number, not_verified
from doseatlas.dosimetry.tables import projection_examinations
from doseatlas.dosimetry.tube_output import DISTANCES_MM
from doseatlas.dosimetry.uncertainty import from_limits, of_product
from doseatlas.model import Note
from doseatlas.reference import coefficients

EFFECTIVE_DOSE = "effective_dose_msv"
INCIDENT = "incident_air_kerma_mgy"
ENTRANCE = "entrance_surface_air_kerma_mgy"
_FIELDS_CM2 = (1.0, 2000.0)
_UNIT_ERRORS = (10.0, 100.0, 1000.0, 10_000.0)
_TRS = "IAEA TRS-457 (2007)"
_BACKSCATTER = "Benmakhlouf et al., Phys Med Biol 58 (2013) 247, eq. 8, as in PySkinDose 25.1.1"
# Tube voltage and half-value layer of the softest beam of a radiograph (2.5 mm Al) and of hard ones (3 mm Al and 0.3 mm
# Cu, of which the middle ones scatter most), and the sides of its smallest and largest field.
_RADIOGRAPHIC_BEAMS = ((50.0, 1.78), (70.0, 5.6), (100.0, 7.7), (140.0, 9.6))
_RADIOGRAPHIC_SIDES_CM = (5.0, 35.0)


def projection_effective_dose(
    kap_gy_cm2: float | None, procedure: str | None, age_years: float | None, *, kap_relative_uncertainty: float = 0.0
) -> Estimate | NotEstimated:
    """Return the effective dose (mSv) of an adult from the KAP of an examination.

    Args:
        kap_gy_cm2: total KAP (Gy.cm2).
        procedure: id of the standard procedure.
        age_years: age; the coefficients are for adults only.
        kap_relative_uncertainty: relative standard uncertainty of the KAP.

    """
    if bad := bad_number(EFFECTIVE_DOSE, "The KAP", kap_gy_cm2, zero_allowed=True):
        return bad
    assert kap_gy_cm2 is not None
    if bad := bad_number(EFFECTIVE_DOSE, "The age", age_years, zero_allowed=True):
        return bad
    assert age_years is not None
    if age_years < coefficients.ADULT_AGE_YEARS:
        message = "The coefficients from KAP are for adults; a child's effective dose per KAP is several times larger."
        return NotEstimated(quantity=EFFECTIVE_DOSE, code="age-outside-table", message=message)
    row = coefficients.kap_coefficients().get(projection_examinations().get(procedure or "", ""))
    if row is None:
        message = f"There is no coefficient from KAP for the procedure {procedure or 'that is not mapped'}."
        return NotEstimated(quantity=EFFECTIVE_DOSE, code="no-coefficient", message=message)
    value = row.msv_per_gy_cm2 * kap_gy_cm2
    own = coefficients.component_uncertainties()["effective-dose-coefficient"].relative
    return Estimate(
        quantity=EFFECTIVE_DOSE,
        value=value,
        standard_uncertainty=of_product(own, kap_relative_uncertainty) * value,
        method=f"KAP times coefficient of {row.exam}, {row.tissue_weights} tissue weights",
        source=row.source,
        coefficient_set=row.set,
        flags=not_verified([row]),
    )


def incident_from_kap(
    kap_gy_cm2: float | None, field_at_skin_cm2: float | None, *, kap_relative_uncertainty: float = 0.0
) -> Estimate | NotEstimated:
    """Return the incident air kerma (mGy): KAP over the field at the skin, as KAP is the same at any distance."""
    if bad := bad_number(INCIDENT, "The KAP", kap_gy_cm2) or bad_number(
        INCIDENT, "The field at the skin", field_at_skin_cm2
    ):
        return bad
    assert kap_gy_cm2 is not None
    assert field_at_skin_cm2 is not None
    if not _FIELDS_CM2[0] <= field_at_skin_cm2 <= _FIELDS_CM2[1]:
        message = f"A field of {field_at_skin_cm2:g} cm2 at the skin is not possible; is it in mm2?"
        return NotEstimated(quantity=INCIDENT, code="not-physical", message=message)
    component = coefficients.component_uncertainties()
    value = 1000 * kap_gy_cm2 / field_at_skin_cm2
    relative = of_product(kap_relative_uncertainty, component["field-area"].relative)
    return _incident(value, relative, "KAP over the field at the skin")


def incident_from_reference(
    reference_air_kerma_mgy: float | None,
    source_to_reference_mm: float | None,
    source_to_skin_mm: float | None,
    *,
    kerma_relative_uncertainty: float = 0.0,
) -> Estimate | NotEstimated:
    """Return the incident air kerma (mGy) from that at the reference point, by the inverse square of the distance."""
    if bad := bad_number(INCIDENT, "The reference air kerma", reference_air_kerma_mgy):
        return bad
    if bad := _bad_distance(source_to_reference_mm, "reference point") or _bad_distance(source_to_skin_mm, "skin"):
        return bad
    assert reference_air_kerma_mgy is not None
    assert source_to_reference_mm is not None
    assert source_to_skin_mm is not None
    value = reference_air_kerma_mgy * (source_to_reference_mm / source_to_skin_mm) ** 2
    distance = 2 * coefficients.component_uncertainties()["distance"].relative
    return _incident(value, of_product(kerma_relative_uncertainty, distance), "reference air kerma by inverse square")


def incident_from_output(
    output_mgy_per_mas: float | None,
    tube_loading_mas: float | None,
    source_to_measurement_mm: float | None,
    source_to_skin_mm: float | None,
    *,
    output_relative_uncertainty: float = 0.0,
) -> Estimate | NotEstimated:
    """Return the incident air kerma (mGy): K_i = Y(d) P_It (d / (d_FTD - t_p))^2 (TRS-457).

    Args:
        output_mgy_per_mas: output Y of the tube, measured at this voltage and filtration.
        tube_loading_mas: tube current times time.
        source_to_measurement_mm: distance d at which the output was measured.
        source_to_skin_mm: focus to skin, d_FTD - t_p: focus to table less the patient's thickness.
        output_relative_uncertainty: relative standard uncertainty of the output as measured and interpolated; what the
            tube does from day to day comes on top.

    """
    if bad := bad_number(INCIDENT, "The tube output", output_mgy_per_mas) or bad_number(
        INCIDENT, "The tube loading", tube_loading_mas
    ):
        return bad
    if bad := _bad_distance(source_to_measurement_mm, "measurement") or _bad_distance(source_to_skin_mm, "skin"):
        return bad
    assert output_mgy_per_mas is not None
    assert tube_loading_mas is not None
    assert source_to_measurement_mm is not None
    assert source_to_skin_mm is not None
    component = coefficients.component_uncertainties()
    value = output_mgy_per_mas * tube_loading_mas * (source_to_measurement_mm / source_to_skin_mm) ** 2
    relative = of_product(
        output_relative_uncertainty, component["tube-output"].relative, 2 * component["distance"].relative
    )
    return _incident(value, relative, "tube output by inverse square")


def entrance_surface(
    incident: Estimate | NotEstimated, kvp: float | None, hvl_mm_al: float | None, field_side_cm: float | None
) -> Estimate | NotEstimated:
    """Return the entrance surface air kerma (mGy): incident air kerma times backscatter factor.

    Args:
        incident: incident air kerma.
        kvp: tube voltage.
        hvl_mm_al: half-value layer.
        field_side_cm: side of the square that the field at the skin is equivalent to.

    """
    if isinstance(incident, NotEstimated):
        return msgspec.structs.replace(incident, quantity=ENTRANCE)
    if incident.quantity != INCIDENT:
        message = f"{incident.quantity} is not an incident air kerma; backscatter would be counted twice."
        return NotEstimated(quantity=ENTRANCE, code="not-physical", message=message)
    factor, relative, flags = backscatter_factor(kvp, hvl_mm_al, field_side_cm)
    value = factor * incident.value
    return Estimate(
        quantity=ENTRANCE,
        value=value,
        standard_uncertainty=of_product(relative, incident.relative_standard_uncertainty) * value,
        method=f"{incident.method}, backscatter {factor:.3f} of water",
        source=f"{incident.source}; {_BACKSCATTER}",
        flags=incident.flags + flags,
    )


def backscatter_factor(
    kvp: float | None, hvl_mm_al: float | None, field_side_cm: float | None
) -> tuple[float, float, tuple[Note, ...]]:
    """Return the backscatter factor of water, its relative standard uncertainty, and flags.

    Where the beam or the field is not stated, the middle of the factors that radiographs have stands for it, with
    their range as limits, flagged.
    """
    from doseatlas.dosimetry.backscatter import BACKSCATTER_KV, BACKSCATTER_MM_AL, SIDES_CM, backscatter_of_field

    own = coefficients.component_uncertainties()["backscatter"].relative
    beam_known = not (bad_number("", "", kvp) or bad_number("", "", hvl_mm_al))
    side_known = not bad_number("", "", field_side_cm)
    beams = ((kvp or 0.0, hvl_mm_al or 0.0),) if beam_known else _RADIOGRAPHIC_BEAMS
    sides = (field_side_cm or 0.0,) if side_known else _RADIOGRAPHIC_SIDES_CM
    factors = [backscatter_of_field(*beam, side) for beam in beams for side in sides]
    low, high = min(factors), max(factors)
    middle = (low + high) / 2
    flags: tuple[Note, ...] = ()
    if not (beam_known and side_known):
        message = f"The beam or the field is not stated; the middle of {low:.3g} to {high:.3g} is the backscatter."
        flags = (Note(code="backscatter-assumed", message=message),)
    stated = (
        (kvp if beam_known else None, BACKSCATTER_KV, "kV"),
        (hvl_mm_al if beam_known else None, BACKSCATTER_MM_AL, "mm Al"),
        (field_side_cm if side_known else None, (0.0, SIDES_CM[-1]), "cm"),
    )
    beyond = [f"{one:g} {unit}" for one, (least, most), unit in stated if one is not None and not least <= one <= most]
    if beyond:
        message = (
            f"{', '.join(beyond)} is beyond the beams and fields that backscatter is known of; the nearest is taken."
        )
        flags += (Note(code="extrapolated", message=message),)
    return middle, of_product(own, from_limits((high - low) / 2) / middle), flags


def kap_unit_flag(kap_gy_cm2: float | None, reference_air_kerma_mgy: float | None) -> Note | None:
    """Return a flag where KAP over reference air kerma is no possible field, but would be in another unit of KAP.

    KAP over kerma is the mean field at the reference point; a KAP in cGy.cm2 (= uGy.m2) read as Gy.cm2 makes it a
    hundred times too large.
    """
    if not kap_gy_cm2 or not reference_air_kerma_mgy or min(kap_gy_cm2, reference_air_kerma_mgy) < 0:
        return None
    field_cm2 = 1000 * kap_gy_cm2 / reference_air_kerma_mgy
    if _FIELDS_CM2[0] <= field_cm2 <= _FIELDS_CM2[1]:
        return None
    factors = [
        f
        for f in _UNIT_ERRORS
        for scaled in (field_cm2 / f, field_cm2 * f)
        if _FIELDS_CM2[0] <= scaled <= _FIELDS_CM2[1]
    ]
    hint = f"; a unit wrong by {' or '.join(f'{f:g}' for f in factors)} would explain it" if factors else ""
    message = (
        f"KAP {kap_gy_cm2:g} Gy.cm2 and reference air kerma {reference_air_kerma_mgy:g} mGy mean a field of "
        f"{field_cm2:.3g} cm2 (side {sqrt(field_cm2):.3g} cm), which is not possible{hint}."
    )
    return Note(code="kap-unit-suspect", message=message)


def _bad_distance(value_mm: float | None, to: str) -> NotEstimated | None:
    if bad := bad_number(INCIDENT, f"The distance from source to {to}", value_mm):
        return bad
    assert value_mm is not None
    if not DISTANCES_MM[0] <= value_mm <= DISTANCES_MM[1]:
        message = f"A distance of {value_mm:g} mm from source to {to} is not possible; is it in cm?"
        return NotEstimated(quantity=INCIDENT, code="not-physical", message=message)
    return None


def _incident(value: float, relative: float, method: str) -> Estimate:
    return Estimate(quantity=INCIDENT, value=value, standard_uncertainty=relative * value, method=method, source=_TRS)
