"""What is a displayed value worth by a calibration certificate, and how sure is that?

A certificate states factors by beam quality. A value of one beam takes that beam's factor; one that several beams make
up takes the mean of their factors, each counted by its share. The factors of one certificate come from one standard,
so that their errors go together and add up in full (GUM 5.2.2, note 1). The stated value is never replaced: the
corrected one stands beside it. Without a certificate the display's tolerance is the uncertainty, as limits (GUM 4.3.7).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isfinite
from typing import NamedTuple

from doseatlas.dosimetry.calibration import Certificate, QualityFactor, traceability_flag
from doseatlas.dosimetry.estimate import CalibrationError, NotEstimated, bad_number
from doseatlas.dosimetry.uncertainty import from_expanded, from_limits, of_product
from doseatlas.model import Note, Record
from doseatlas.reference import coefficients

_WITHOUT_BEAM = frozenset({"administered_activity_mbq"})  # quantities of no X-ray beam
_SAME_BEAM = 0.02  # relative difference of a tube voltage or half-value layer that does not count


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


class Beam(NamedTuple):
    """What is known of a beam, and what it adds to a value (in any unit, the same for all beams of the value)."""

    share: float = 1.0
    kvp: float | None = None
    hvl_mm_al: float | None = None
    phantom_cm: int | None = None


class Correction(NamedTuple):
    """True over displayed value, its relative standard uncertainty, whether a certificate says so, and flags."""

    factor: float
    relative: float
    certified: bool
    flags: tuple[Note, ...]


def correct(
    quantity: str,
    displayed: float | None,
    certificate: Certificate | None,
    *,
    kvp: float | None = None,
    hvl_mm_al: float | None = None,
    phantom_cm: int | None = None,
) -> CorrectedValue | NotEstimated:
    """Return the corrected value of a display of one beam and its uncertainty.

    Args:
        quantity: column name (``kap_gy_cm2``, ``dlp_mgy_cm``, ...), a row of ``display_tolerances.csv``.
        displayed: the stated value.
        certificate: what :func:`~doseatlas.dosimetry.calibration.certificate_on` found, ``None`` for none.
        kvp: tube voltage, for the factor between qualities.
        hvl_mm_al: half-value layer, preferred to the voltage where the certificate states it.
        phantom_cm: phantom of a CTDI value, 16 or 32; a certificate without a factor for it does not cover the value.

    Raises:
        CalibrationError: the certificate is for another quantity, or the quantity has no tolerance.

    """
    if certificate is not None and certificate.quantity != quantity:
        raise CalibrationError(f"Certificate {certificate.id} is for {certificate.quantity}, not for {quantity}.")
    return correct_beams(quantity, displayed, certificate, [Beam(1.0, kvp, hvl_mm_al, phantom_cm)])


def correct_beams(
    quantity: str,
    displayed: float | None,
    certificate: Certificate | None,
    beams: Sequence[Beam],
    *,
    complete: bool = True,
) -> CorrectedValue | NotEstimated:
    """Return the corrected value of a display that several beams make up, and its uncertainty.

    Args:
        quantity: as for :func:`correct`; the certificate may be for one in proportion to it (CTDIvol and DLP).
        displayed: the stated value.
        certificate: the certificate that covers it, ``None`` for none.
        beams: the beams with their shares of the value; none: nothing is known of them.
        complete: whether the beams are all that the value consists of. Else their factors stand for the rest, flagged.

    Raises:
        CalibrationError: the quantity has no tolerance.

    """
    if bad := bad_number(quantity, f"The displayed {quantity}", displayed, zero_allowed=True):
        return bad
    assert displayed is not None
    tolerance = display_tolerance(quantity)
    found = _mean_correction(quantity, certificate, beams, complete=complete)
    if certificate is None or not found.certified:
        return CorrectedValue(
            quantity=quantity,
            displayed=displayed,
            value=displayed,
            relative_standard_uncertainty=found.relative,
            method=f"as displayed; limits of +-{100 * tolerance.relative:.0f} % over the square root of 3",
            source=tolerance.source,
            flags=found.flags,
        )
    untraced = traceability_flag(certificate)
    several = len({beam[1:] for beam in beams})
    return CorrectedValue(
        quantity=quantity,
        displayed=displayed,
        value=found.factor * displayed,
        relative_standard_uncertainty=found.relative,
        method=f"displayed value times {found.factor:.4g}"
        + (f", the mean for its {several} beams by their shares" if several > 1 else ""),
        source=f"certificate {certificate.id}, {certificate.laboratory}, {certificate.issued_on}; IAEA TRS-457 (2007)",
        certificate=certificate.id,
        flags=found.flags + ((untraced,) if untraced else ()),
    )


def correction(quantity: str, certificate: Certificate | None, beam: Beam) -> Correction:
    """Return the correction of a displayed value of one beam: the certificate's factor, else 1 and the tolerance.

    Raises:
        CalibrationError: the quantity has no tolerance.

    """
    if certificate is not None and factors_for_phantom(certificate, beam.phantom_cm):
        at = factor_at(certificate, kvp=beam.kvp, hvl_mm_al=beam.hvl_mm_al, phantom_cm=beam.phantom_cm)
        return Correction(at[0], at[1], True, at[2])
    flags: tuple[Note, ...] = ()
    if certificate is not None:
        message = f"Certificate {certificate.id} has no factor for the phantom of {beam.phantom_cm} cm."
        flags = (Note(code="phantom-not-calibrated", message=message),)
    return Correction(1.0, from_limits(display_tolerance(quantity).relative), False, flags)


def display_tolerance(quantity: str) -> coefficients.Tolerance:
    """Return the tolerance of a display.

    Raises:
        CalibrationError: there is none for the quantity.

    """
    tolerance = coefficients.display_tolerances().get(quantity)
    if tolerance is None:
        known = ", ".join(coefficients.display_tolerances())
        raise CalibrationError(f"{quantity!r} is no displayed quantity. Known: {known}.")
    return tolerance


def _mean_correction(
    quantity: str, certificate: Certificate | None, beams: Sequence[Beam], *, complete: bool
) -> Correction:
    """Return the mean of the beams' corrections by their shares, whose errors go together."""
    shares: dict[Beam, float] = {}
    for beam in beams if certificate is not None else ():
        alone = beam._replace(share=1.0)
        shares[alone] = shares.get(alone, 0.0) + (beam.share if isfinite(beam.share) and beam.share > 0 else 0.0)
    if len(shares) <= 1:
        return correction(quantity, certificate, next(iter(shares), Beam()))
    total = sum(shares.values())
    if not (0 < total < inf):
        shares, total, complete = dict.fromkeys(shares, 1.0), float(len(shares)), False
    each = [(share / total, correction(quantity, certificate, beam)) for beam, share in shares.items()]
    factor = sum(share * one.factor for share, one in each)
    relative = sum(share * one.factor * one.relative for share, one in each) / factor
    first_of_code = {flag.code: flag for share, one in reversed(each) if share for flag in reversed(one.flags)}
    flags = tuple(first_of_code.values())
    if not complete and len({one.factor for _, one in each}) > 1:
        message = "The exposures do not add up to the displayed value; their mean factor stands for the rest."
        flags += (Note(code="beam-shares-assumed", message=message),)
    return Correction(factor, relative, any(one.certified for share, one in each if share), flags)


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
