"""The same dosimetry over columns: a million exams at once, with the results of the functions for one exam.

Columns are NumPy arrays of one length; NaN is "not stated" going in and "no value" coming out. Why a value is missing
or weak is told exam by exam (:func:`~doseatlas.dosimetry.exam.exam_dosimetry`); here it is only missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from doseatlas.dosimetry.calibration import Certificate, CertificateBook
from doseatlas.dosimetry.correction import display_tolerance, factor_at, factors_for_phantom
from doseatlas.dosimetry.ct_effective_dose import TYPICAL_DIAMETER_MM, check_coefficient_set, region_coefficients
from doseatlas.dosimetry.estimate import NotEstimated
from doseatlas.dosimetry.ssde import DIAMETERS_CM, phantom_ratio
from doseatlas.dosimetry.uncertainty import from_limits
from doseatlas.reference import coefficients

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]
    Days = npt.NDArray[np.datetime64]


class Column(NamedTuple):
    """Values and their standard uncertainties, relative ones where the function says so."""

    values: Floats
    uncertainty: Floats


def ssde_column(
    ctdi_vol_mgy: Floats,
    phantom_cm: Integers,
    is_head: npt.NDArray[np.bool_],
    diameter_mm: Floats,
    *,
    ctdi_relative: Floats | float = 0.0,
    diameter_relative: Floats | float = 0.0,
) -> Column:
    """Return SSDE (mGy) and its standard uncertainty; ``phantom_cm`` is 16, 32 or 0 for not stated."""
    a, b = np.full(ctdi_vol_mgy.shape, np.nan), np.full(ctdi_vol_mgy.shape, np.nan)
    for (region, phantom), row in coefficients.ssde_coefficients().items():
        own = (phantom_cm == phantom) & (is_head == (region == "head"))
        a[own], b[own] = row.a, row.b_per_cm
    diameter_cm = diameter_mm / 10
    possible = (diameter_cm >= DIAMETERS_CM[0]) & (diameter_cm <= DIAMETERS_CM[1]) & (ctdi_vol_mgy > 0)
    values = np.where(possible & np.isfinite(ctdi_vol_mgy), a * np.exp(-b * diameter_cm) * ctdi_vol_mgy, np.nan)
    own_relative = coefficients.component_uncertainties()["ssde-coefficient"].relative
    relative = np.sqrt(np.square(ctdi_relative) + own_relative**2 + np.square(b * diameter_cm * diameter_relative))
    return Column(values, values * relative)


def ct_effective_dose_column(
    dlp_mgy_cm: Floats,
    phantom_cm: Integers,
    region_index: Integers,
    regions: Sequence[frozenset[str]],
    age_years: Floats,
    *,
    coefficient_set: str = coefficients.DEFAULT_CT_SET,
    dlp_relative: Floats | float = 0.0,
) -> Column:
    """Return the effective dose (mSv) of CT exams and its standard uncertainty.

    Args:
        dlp_mgy_cm: DLP of each exam.
        phantom_cm: its phantom, 16 or 32; others have no value.
        region_index: index of each exam into ``regions``; negative: not known.
        regions: sets of head, neck, chest, abdomen and pelvis.
        age_years: age of each exam.
        coefficient_set: coefficients.
        dlp_relative: relative standard uncertainty of the DLP.

    Raises:
        DosimetryError: there is no such coefficient set.

    """
    check_coefficient_set(coefficient_set)
    values = np.full(dlp_mgy_cm.shape, np.nan)
    spread = np.zeros(dlp_mgy_cm.shape)
    converted = np.zeros(dlp_mgy_cm.shape)
    usable = np.isfinite(dlp_mgy_cm) & (dlp_mgy_cm >= 0) & (age_years >= 0) & ((phantom_cm == 16) | (phantom_cm == 32))
    adult = age_years >= coefficients.ADULT_AGE_YEARS
    for index, covered in enumerate(regions):
        for ages in (adult, ~adult):
            own = np.flatnonzero(usable & ages & (region_index == index))
            if own.size and (
                doses := _doses(covered, age_years[own], dlp_mgy_cm[own], phantom_cm[own], coefficient_set)
            ):
                each = np.stack([dose for dose, _ in doses])
                values[own] = each.mean(axis=0)
                spread[own] = (each.max(axis=0) - each.min(axis=0)) / 2
                converted[own] = np.mean([dose * other for dose, other in doses], axis=0)
    component = coefficients.component_uncertainties()
    relative_squared = component["effective-dose-coefficient"].relative ** 2 + np.square(dlp_relative)
    uncertainty = np.sqrt(
        relative_squared * values**2
        + (component["phantom-conversion"].relative * converted) ** 2
        + from_limits(1.0) ** 2 * spread**2
    )
    return Column(values, uncertainty)


def _doses(
    covered: frozenset[str], age: Floats, dlp: Floats, phantom: Integers, coefficient_set: str
) -> list[tuple[Floats, npt.NDArray[np.bool_]]]:
    """Return the dose by each coefficient to be averaged, and where the DLP was converted; of adults or of children."""
    knots = sorted({row.age_years for row in coefficients.ct_coefficients() if row.set == coefficient_set})
    if age[0] >= coefficients.ADULT_AGE_YEARS:
        knots = [coefficients.ADULT_AGE_YEARS]
    tables = [region_coefficients(coefficient_set, covered, knot) for knot in knots]
    known = [(knot, one) for knot, one in zip(knots, tables, strict=True) if not isinstance(one, NotEstimated)]
    if len(known) < len(knots) or (len(knots) == 1 and age[0] < coefficients.ADULT_AGE_YEARS):
        return []
    ratio = phantom_ratio(TYPICAL_DIAMETER_MM)
    doses = []
    for part in range(len(known[0][1])):
        wanted = known[0][1][part].phantom_cm
        on_wanted = [one[part].msv_per_mgy_cm / (ratio if one[part].phantom_cm > wanted else 1.0) for _, one in known]
        per_dlp = np.interp(age, [knot for knot, _ in known], on_wanted)
        other = phantom != wanted
        scale = np.where(other, ratio if wanted == 16 else 1 / ratio, 1.0)
        doses.append((per_dlp * dlp * scale, other))
    return doses


def corrected_column(
    quantity: str,
    displayed: Floats,
    device_index: Integers,
    devices: Sequence[str],
    day: Days,
    book: CertificateBook,
    *,
    kvp: Floats | None = None,
    hvl_mm_al: Floats | None = None,
    phantom_cm: Integers | None = None,
) -> Column:
    """Return displayed values of one beam each, corrected by the certificate of their device and day.

    The uncertainty is relative. Certificates are those of the quantity itself.

    Args:
        quantity: column name, a row of ``display_tolerances.csv``.
        displayed: stated values.
        device_index: index of each value's device into ``devices``; negative: not known.
        devices: names under which certificates know the devices.
        day: day of each exam, ``datetime64[D]``; NaT: not known.
        book: certificates in force.
        kvp: tube voltage of each exam, NaN where not known.
        hvl_mm_al: half-value layer of each exam, likewise.
        phantom_cm: CTDI phantom of each exam, 0 where not known.

    Raises:
        DosimetryError: the quantity is no displayed quantity.

    """
    factor = np.ones(displayed.shape)
    relative = np.full(displayed.shape, from_limits(display_tolerance(quantity).relative))
    order = np.argsort(device_index, kind="stable")
    sorted_devices = device_index[order]
    by_device: dict[str, list[Certificate]] = {}
    for one in book.in_force:
        if one.quantity == quantity:
            by_device.setdefault(one.device, []).append(one)
    for index, device in enumerate(devices):
        if device not in by_device:
            continue
        own = order[np.searchsorted(sorted_devices, index) : np.searchsorted(sorted_devices, index, side="right")]
        days = day[own]
        for one in by_device[device]:
            covered = own[(days >= np.datetime64(one.valid_from, "D")) & (days < np.datetime64(one.valid_until, "D"))]
            phantoms = np.zeros(covered.shape, np.int64) if phantom_cm is None else phantom_cm[covered]
            for phantom in np.unique(phantoms):
                if factors_for_phantom(one, int(phantom) or None):
                    part = covered[phantoms == phantom]
                    beams = [np.full(part.shape, np.nan) if of is None else of[part] for of in (kvp, hvl_mm_al)]
                    factor[part], relative[part] = _factors(one, np.array(beams), int(phantom) or None)
    right = np.isfinite(displayed) & (displayed >= 0)
    return Column(np.where(right, displayed * factor, np.nan), np.where(right, relative, np.nan))


def _factors(certificate: Certificate, beams: Floats, phantom_cm: int | None) -> npt.NDArray[np.float64]:
    """Return the factors and their relative standard uncertainties of beams: rows of voltages and half-value layers."""
    each = [np.unique(known, return_inverse=True) for known in beams]
    code = each[0][1] * len(each[1][0]) + each[1][1]
    codes, inverse = np.unique(code, return_inverse=True)
    at = []
    for kvp_at, hvl_at in (divmod(int(one), len(each[1][0])) for one in codes):
        kvp, hvl_mm_al = (_known(each[0][0][kvp_at]), _known(each[1][0][hvl_at]))
        at.append(factor_at(certificate, kvp=kvp, hvl_mm_al=hvl_mm_al, phantom_cm=phantom_cm)[:2])
    return np.array(at).reshape(-1, 2).T[:, inverse]


def _known(value: np.float64) -> float | None:
    return None if np.isnan(value) else float(value)
