"""What did the device really deliver? Calibration certificates, the value they correct, and its uncertainty.

After IAEA TRS-457 (2007): K = M N_K k_Q k_TP for an instrument's reading, and for a display (KAP, reference air
kerma, CTDIvol, activity) a factor by beam quality, valid for a device and a period. The stated value is never
replaced: :func:`correct` returns the corrected one beside it. Without a certificate the display's tolerance is the
uncertainty, as limits (GUM 4.3.7).
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import isfinite
from typing import Literal, NamedTuple

from doseatlas.dosimetry.estimate import DosimetryError, NotEstimated, bad_number
from doseatlas.dosimetry.uncertainty import from_expanded, from_limits, of_product
from doseatlas.model import Note, Record
from doseatlas.reference import coefficients

Instrument = Literal[
    "kap-meter", "kerma-display", "ct-chamber", "ct-display", "qa-meter", "dose-calibrator", "agd-display"
]
_FACTORS = (0.2, 5.0)  # beyond, a factor is a wrong unit
_LARGEST_EXPANDED = 1.0
_VOLTAGES_KV, _LAYERS_MM_AL = (10.0, 300.0), (0.05, 30.0)  # beyond, a beam is no X-ray tube's
_WITHOUT_BEAM = frozenset({"administered_activity_mbq"})  # quantities of no X-ray beam
_SAME_BEAM = 0.02  # relative difference of a tube voltage or half-value layer that does not count
_LONGEST_YEARS = 10.0  # a certificate that is not due for longer has a wrong date
_TEMPERATURES_C, _PRESSURES_KPA = (0.0, 50.0), (50.0, 115.0)
_REFERENCE_C, _REFERENCE_KPA, _KELVIN = 20.0, 101.3, 273.2


class CalibrationError(DosimetryError):
    """A certificate is wrong in itself, or contradicts another."""

    code = "calibration"


class QualityFactor(Record, frozen=True, kw_only=True):
    """True over displayed value at one beam quality, with its expanded uncertainty (relative) and coverage factor.

    ``phantom_cm`` is that of a CTDI display, 16 or 32; ``None``: the factor holds for both.
    """

    quality: str
    factor: float
    expanded_relative_uncertainty: float
    coverage_factor: float = 2.0
    kvp: float | None = None
    hvl_mm_al: float | None = None
    phantom_cm: Literal[16, 32] | None = None


class TraceabilityStep(Record, frozen=True, kw_only=True):
    """One link of the chain to the unit: who calibrated what, by which certificate."""

    laboratory: str
    instrument: str
    certificate: str


class Certificate(Record, frozen=True, kw_only=True):
    """A calibration of one quantity of one device. ``valid_until`` is the day the next is due and no longer covered.

    ``supersedes`` names the certificate that this one corrects; ``traceability`` leads from this device's instrument
    to a primary or secondary standards laboratory.
    """

    id: str
    device: str
    instrument: Instrument
    quantity: str
    laboratory: str
    issued_on: dt.date
    valid_from: dt.date
    valid_until: dt.date
    factors: tuple[QualityFactor, ...]
    traceability: tuple[TraceabilityStep, ...] = ()
    supersedes: str | None = None


class CertificateBook(Record, frozen=True, kw_only=True):
    """Certificates in force, none overlapping another, and those superseded, kept as history.

    Made by :func:`certificate_book`, which puts those in force in order of device, quantity and period.
    """

    in_force: tuple[Certificate, ...] = ()
    superseded: tuple[Certificate, ...] = ()


class Affected(Record, frozen=True, kw_only=True):
    """Values that a change of certificates touches: a quantity of a device from a day to before another."""

    device: str
    quantity: str
    from_day: dt.date
    until_day: dt.date


class CorrectedValue(Record, frozen=True, kw_only=True):
    """A displayed value, the corrected one beside it, and the relative uncertainty common to the device's values."""

    quantity: str
    displayed: float
    value: float
    relative_standard_uncertainty: float
    method: str
    source: str
    certificate: str | None = None
    flags: tuple[Note, ...] = ()


def certificate_book(certificates: Iterable[Certificate], today: dt.date) -> CertificateBook:
    """Return the certificates in force and those superseded.

    Raises:
        CalibrationError: a certificate cannot be, lies in the future, repeats an id, supersedes an unknown one or one
        of
            another device or quantity, or two in force overlap.

    """
    by_id: dict[str, Certificate] = {}
    for one in certificates:
        _check(one, today)
        if one.id in by_id:
            raise CalibrationError(f"Certificate {one.id} is there twice.")
        by_id[one.id] = one
    old: set[str] = set()
    for one in by_id.values():
        if one.supersedes is not None:
            former = by_id.get(one.supersedes)
            if former is None or former is one or former.issued_on > one.issued_on:
                raise CalibrationError(
                    f"Certificate {one.id} supersedes {one.supersedes}, which is not there or is later."
                )
            if (former.device, former.quantity) != (one.device, one.quantity):
                raise CalibrationError(
                    f"Certificate {one.id} supersedes {former.id}, which is for another device or quantity."
                )
            old.add(former.id)
    in_force = sorted((one for one in by_id.values() if one.id not in old), key=_place)
    for a, b in pairwise(in_force):
        if (a.device, a.quantity) == (b.device, b.quantity) and b.valid_from < a.valid_until:
            raise CalibrationError(
                f"Certificates {a.id} and {b.id} of {a.device} both cover {b.valid_from} for {a.quantity}. Let one "
                "supersede the other, or end the first where the second begins."
            )
    return CertificateBook(in_force=tuple(in_force), superseded=tuple(by_id[name] for name in by_id if name in old))


def _check(one: Certificate, today: dt.date) -> None:
    if not (one.id and one.device and one.laboratory):
        raise CalibrationError(f"Certificate {one.id!r}: id, device and laboratory must be stated.")
    if one.quantity not in coefficients.display_tolerances():
        known = ", ".join(coefficients.display_tolerances())
        raise CalibrationError(f"Certificate {one.id}: {one.quantity!r} is not calibrated. Known: {known}.")
    if max(one.issued_on, one.valid_from) > today:
        raise CalibrationError(
            f"Certificate {one.id} is issued {one.issued_on}, valid from {one.valid_from}: in the future."
        )
    if one.valid_until <= one.valid_from:
        raise CalibrationError(f"Certificate {one.id} ends {one.valid_until}, not after it begins {one.valid_from}.")
    if not one.factors:
        raise CalibrationError(f"Certificate {one.id} has no factor.")
    if (one.valid_until - one.valid_from).days > 366 * _LONGEST_YEARS:
        raise CalibrationError(
            f"Certificate {one.id} is valid until {one.valid_until}, for more than {_LONGEST_YEARS:g} years."
        )
    for factor in one.factors:
        for value, (low, high), name in (
            (factor.kvp, _VOLTAGES_KV, "tube voltage (kV)"),
            (factor.hvl_mm_al, _LAYERS_MM_AL, "half-value layer (mm Al)"),
        ):
            if value is not None and not low <= value <= high:
                raise CalibrationError(
                    f"Certificate {one.id}, {factor.quality}: a {name} of {value:g} is outside {low:g} to {high:g}."
                )
        if not (isfinite(factor.factor) and _FACTORS[0] <= factor.factor <= _FACTORS[1]):
            raise CalibrationError(
                f"Certificate {one.id}, {factor.quality}: a factor of {factor.factor:g} is outside {_FACTORS[0]:g} to "
                f"{_FACTORS[1]:g}; is it in another unit?"
            )
        if not (0 < factor.expanded_relative_uncertainty <= _LARGEST_EXPANDED and factor.coverage_factor >= 1):
            raise CalibrationError(
                f"Certificate {one.id}, {factor.quality}: an expanded relative uncertainty of "
                f"{factor.expanded_relative_uncertainty:g} with k = {factor.coverage_factor:g} cannot be."
            )


def certificate_on(book: CertificateBook, device: str | None, quantity: str, day: dt.date | None) -> Certificate | None:
    """Return the certificate that covers a quantity of a device on a day, ``None`` where none does."""
    if device is None or day is None:
        return None
    # In force they are in order of device, quantity and period, and none overlaps another.
    after = bisect_right(book.in_force, (device, quantity, day), key=_place)
    if not after:
        return None
    one = book.in_force[after - 1]
    return one if (one.device, one.quantity) == (device, quantity) and day < one.valid_until else None


def _place(one: Certificate) -> tuple[str, str, dt.date]:
    return one.device, one.quantity, one.valid_from


def traceability_flag(certificate: Certificate) -> Note | None:
    """Return a flag where the chain of a certificate does not lead to another laboratory's standard."""
    if certificate.traceability:
        return None
    message = f"Certificate {certificate.id} of {certificate.laboratory} states no chain to a standards laboratory."
    return Note(code="traceability-not-stated", message=message)


def affected(before: CertificateBook, after: CertificateBook) -> tuple[Affected, ...]:
    """Return what must be recomputed after certificates changed: the periods of those that came, went or differ."""
    changed = set(before.in_force) ^ set(after.in_force)
    spans = {
        Affected(device=one.device, quantity=one.quantity, from_day=one.valid_from, until_day=one.valid_until)
        for one in changed
    }
    return tuple(sorted(spans, key=lambda span: (span.device, span.quantity, span.from_day, span.until_day)))


def correct(
    quantity: str,
    displayed: float | None,
    certificate: Certificate | None,
    *,
    kvp: float | None = None,
    hvl_mm_al: float | None = None,
    phantom_cm: int | None = None,
) -> CorrectedValue | NotEstimated:
    """Return the corrected value of a display and its uncertainty.

    Args:
        quantity: column name (``kap_gy_cm2``, ``dlp_mgy_cm``, ...), a row of ``display_tolerances.csv``.
        displayed: the stated value.
        certificate: what :func:`certificate_on` found, ``None`` for none.
        kvp: tube voltage, for the factor between qualities.
        hvl_mm_al: half-value layer, preferred to the voltage where the certificate states it.
        phantom_cm: phantom of a CTDI value, 16 or 32; a certificate without a factor for it does not cover the value.

    Raises:
        CalibrationError: the certificate is for another quantity, or the quantity has no tolerance.

    """
    tolerance = coefficients.display_tolerances().get(quantity)
    if tolerance is None:
        raise CalibrationError(
            f"{quantity!r} is no displayed quantity. Known: {', '.join(coefficients.display_tolerances())}."
        )
    if bad := bad_number(quantity, f"The displayed {quantity}", displayed, zero_allowed=True):
        return bad
    assert displayed is not None
    if certificate is not None and certificate.quantity != quantity:
        raise CalibrationError(f"Certificate {certificate.id} is for {certificate.quantity}, not for {quantity}.")
    if certificate is None or not factors_for_phantom(certificate, phantom_cm):
        other = certificate and f"Certificate {certificate.id} has no factor for the phantom of {phantom_cm} cm."
        return CorrectedValue(
            quantity=quantity,
            displayed=displayed,
            value=displayed,
            relative_standard_uncertainty=from_limits(tolerance.relative),
            method=f"as displayed; limits of +-{100 * tolerance.relative:.0f} % over the square root of 3",
            source=tolerance.source,
            flags=(Note(code="phantom-not-calibrated", message=other),) if other else (),
        )
    factor, relative, flags = factor_at(certificate, kvp=kvp, hvl_mm_al=hvl_mm_al, phantom_cm=phantom_cm)
    untraced = traceability_flag(certificate)
    return CorrectedValue(
        quantity=quantity,
        displayed=displayed,
        value=factor * displayed,
        relative_standard_uncertainty=relative,
        method=f"displayed value times {factor:.4g}",
        source=f"certificate {certificate.id}, {certificate.laboratory}, {certificate.issued_on}; IAEA TRS-457 (2007)",
        certificate=certificate.id,
        flags=flags + ((untraced,) if untraced else ()),
    )


def factor_at(
    certificate: Certificate,
    *,
    kvp: float | None = None,
    hvl_mm_al: float | None = None,
    phantom_cm: int | None = None,
) -> tuple[float, float, tuple[Note, ...]]:
    """Return a certificate's factor for a beam quality, its relative standard uncertainty, and flags.

    Linear in half-value layer, else in tube voltage, between the qualities calibrated; the nearest beyond them,
    flagged. Where the beam is not known or the certificate does not say at which it was made, the mean, with half the
    range of the factors as limits; a single factor of a beam that is not known to be its own is less sure.

    Raises:
        CalibrationError: the certificate has no factor for that phantom.

    """
    factors = factors_for_phantom(certificate, phantom_cm)
    if not factors:
        raise CalibrationError(f"Certificate {certificate.id} has no factor for the phantom of {phantom_cm} cm.")
    by_hvl = [(one.hvl_mm_al, one) for one in factors if one.hvl_mm_al is not None]
    by_kvp = [(one.kvp, one) for one in factors if one.kvp is not None]
    for value, known, name in ((hvl_mm_al, by_hvl, "half-value layer"), (kvp, by_kvp, "tube voltage")):
        if value is not None and isfinite(value) and len(known) == len(factors):
            return _interpolated(value, _knots(known), name)
    mean = _knot(0.0, factors)
    if certificate.quantity in _WITHOUT_BEAM and len(factors) == 1:
        return mean.factor, mean.relative, ()
    relative = mean.relative if len(factors) > 1 else of_product(mean.relative, _other_quality())
    taken = f"the mean of {len(factors)} factors" if len(factors) > 1 else "the only factor"
    message = f"The beam quality is not known; {taken} is taken."
    return mean.factor, relative, (Note(code="quality-not-stated", message=message),)


def factors_for_phantom(certificate: Certificate, phantom_cm: int | None) -> tuple[QualityFactor, ...]:
    """Return the factors that hold for values on a phantom; all where it is not known."""
    if phantom_cm is None:
        return certificate.factors
    return tuple(one for one in certificate.factors if one.phantom_cm in (None, phantom_cm))


class _Knot(NamedTuple):
    """The factor at one value of the beam, its relative standard uncertainty, and how many qualities have it."""

    at: float
    factor: float
    relative: float
    qualities: int


def _knot(at: float, factors: Sequence[QualityFactor]) -> _Knot:
    """Return the mean of factors, with half their range as limits."""
    values = [one.factor for one in factors]
    mean = sum(values) / len(values)
    largest = max(from_expanded(one.expanded_relative_uncertainty, one.coverage_factor) for one in factors)
    relative = of_product(largest, from_limits((max(values) - min(values)) / 2) / mean)
    return _Knot(at, mean, relative, len(factors))


def _knots(known: Sequence[tuple[float, QualityFactor]]) -> list[_Knot]:
    """Return the factors in order of the beam; of several qualities at one value (filters) their mean."""
    by_value: dict[float, list[QualityFactor]] = {}
    for value, one in known:
        by_value.setdefault(value, []).append(one)
    return [_knot(value, by_value[value]) for value in sorted(by_value)]


def _other_quality() -> float:
    return coefficients.component_uncertainties()["calibration-other-quality"].relative


def _interpolated(value: float, knots: Sequence[_Knot], name: str) -> tuple[float, float, tuple[Note, ...]]:
    flags: tuple[Note, ...] = ()
    first, last = knots[0], knots[-1]
    near = min(max(value, first.at), last.at)
    if abs(value - near) > _SAME_BEAM * near:
        message = (
            f"A {name} of {value:g} is outside the {first.at:g} to {last.at:g} calibrated; the nearest factor is taken."
        )
        flags = (Note(code="quality-extrapolated", message=message),)
    low = next(one for one in reversed(knots) if one.at <= near)
    high = next(one for one in knots if one.at >= near)
    share = 0.0 if low.at == high.at else (near - low.at) / (high.at - low.at)
    factor = low.factor + share * (high.factor - low.factor)
    # One laboratory calibrates both qualities by one standard, so their errors go together and don't average out.
    relative = max(low.relative, high.relative)
    if flags:
        relative = of_product(relative, max(abs(last.factor - first.factor) / 2 / factor, _other_quality()))
    if max(low.qualities, high.qualities) > 1:
        message = f"The certificate has several qualities at one {name}; the mean of their factors is taken."
        flags += (Note(code="quality-not-stated", message=message),)
    return factor, relative, flags


def temperature_pressure_factor(temperature_c: float, pressure_kpa: float) -> float:
    """Return k_TP of an open chamber: (273.2 + T)/(273.2 + T0) P0/P with T0 = 20 degrees C, P0 = 101.3 kPa (TRS-457).

    Raises:
        CalibrationError: no room has such a temperature or pressure; the unit is another.

    """
    if not _TEMPERATURES_C[0] <= temperature_c <= _TEMPERATURES_C[1]:
        raise CalibrationError(
            f"A temperature of {temperature_c:g} degrees C is no room's; is it in kelvin or Fahrenheit?"
        )
    if not _PRESSURES_KPA[0] <= pressure_kpa <= _PRESSURES_KPA[1]:
        raise CalibrationError(f"A pressure of {pressure_kpa:g} kPa is no room's; is it in hPa or mmHg?")
    return (_KELVIN + temperature_c) / (_KELVIN + _REFERENCE_C) * _REFERENCE_KPA / pressure_kpa


def air_kerma(reading: float, coefficient: float, quality_factor: float = 1.0, pressure_factor: float = 1.0) -> float:
    """Return K = M N_K k_Q k_TP in the unit of ``coefficient`` times that of the reading (TRS-457)."""
    return reading * coefficient * quality_factor * pressure_factor
