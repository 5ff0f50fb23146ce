"""What did the device really deliver? Calibration certificates, the value they correct, and its uncertainty.

After IAEA TRS-457 (2007): for a display (KAP, reference air kerma, CTDIvol, activity) a factor by beam quality, valid
for a device and a period. The stated value is never replaced: :func:`correct` returns the corrected one beside it.
Without a certificate the display's tolerance is the uncertainty, as limits (GUM 4.3.7). A certificate may instead state
the output of a tube (``tube_output``), which corrects no display: it gives a kerma where none is displayed.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from collections.abc import Iterable
from itertools import pairwise
from math import isfinite
from typing import Literal

from doseatlas.dosimetry.estimate import CalibrationError
from doseatlas.dosimetry.tube_output import TUBE_OUTPUT, TubeOutput, check_tube_output
from doseatlas.model import Note, Record
from doseatlas.reference import coefficients

Instrument = Literal[
    "kap-meter",
    "kerma-display",
    "ct-chamber",
    "ct-display",
    "qa-meter",
    "dose-calibrator",
    "agd-display",
    "tube-output",
]
_FACTORS = (0.2, 5.0)  # beyond, a factor is a wrong unit
_LARGEST_EXPANDED = 1.0
_VOLTAGES_KV, _LAYERS_MM_AL = (10.0, 300.0), (0.05, 30.0)  # beyond, a beam is no X-ray tube's
_LONGEST_YEARS = 10.0  # a certificate that is not due for longer has a wrong date


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
    to a primary or secondary standards laboratory. One of the output of a tube has ``tube_output`` in place of factors.
    """

    id: str
    device: str
    instrument: Instrument
    quantity: str
    laboratory: str
    issued_on: dt.date
    valid_from: dt.date
    valid_until: dt.date
    factors: tuple[QualityFactor, ...] = ()
    tube_output: TubeOutput | None = None
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
    if one.quantity not in coefficients.display_tolerances() and one.quantity != TUBE_OUTPUT:
        known = ", ".join((*coefficients.display_tolerances(), TUBE_OUTPUT))
        raise CalibrationError(f"Certificate {one.id}: {one.quantity!r} is not calibrated. Known: {known}.")
    if max(one.issued_on, one.valid_from) > today:
        raise CalibrationError(
            f"Certificate {one.id} is issued {one.issued_on}, valid from {one.valid_from}: in the future."
        )
    if one.valid_until <= one.valid_from:
        raise CalibrationError(f"Certificate {one.id} ends {one.valid_until}, not after it begins {one.valid_from}.")
    if one.quantity == TUBE_OUTPUT or one.instrument == "tube-output" or one.tube_output is not None:
        _check_output(one)
    elif not one.factors:
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


def _check_output(one: Certificate) -> None:
    if one.quantity != TUBE_OUTPUT or one.instrument != "tube-output" or one.tube_output is None or one.factors:
        raise CalibrationError(
            f"Certificate {one.id}: the quantity {TUBE_OUTPUT}, the instrument tube-output and the part tube_output go "
            "together, and without factors."
        )
    try:
        check_tube_output(one.tube_output)
    except CalibrationError as error:
        raise CalibrationError(f"Certificate {one.id}: {error}") from None


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
