"""Which calibration certificates does the store hold, and which exams does a new, corrected or removed one change?

A certificate is never altered: a corrected one supersedes it, and one that should not be there is removed. Both stay
as history. The exams of the device, within the period that a change touches, are derived anew in its transaction.
"""

from __future__ import annotations

import datetime as dt
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec
from sqlalchemy import Connection, insert, select, update

from doseatlas.dosimetry import (
    CERTIFIED,
    TUBE_OUTPUT,
    Affected,
    CalibrationError,
    Certificate,
    CertificateBook,
    Chamber,
    OutputPoint,
    QualityFactor,
    TraceabilityStep,
    TubeOutput,
    affected,
    certificate_book,
)
from doseatlas.standardise import device_name
from doseatlas.store.derive import unpack_exam
from doseatlas.store.open_store import OpenStore
from doseatlas.store.record import decisions_in_force, derive_again
from doseatlas.store.results import CertificatesChanged, CertificateState, KeptCertificate
from doseatlas.store.schema import certificates, exams

_MAX_BYTES = 1 << 20
_TOGETHER = 500  # exams held while certificates change
# The records within records, by the field that holds one or several of them.
_PARTS: dict[str, type[msgspec.Struct]] = {
    "factors": QualityFactor,
    "traceability": TraceabilityStep,
    "tube_output": TubeOutput,
    "chamber": Chamber,
    "points": OutputPoint,
}


def read_certificate(file: Path) -> Certificate:
    """Return the certificate that a TOML file states (``docs/dosimetry.md``).

    Raises:
        CalibrationError: the file cannot be read, is not TOML, lacks a field, or has one that is not known.

    """
    try:
        with file.open("rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise CalibrationError(f"The file {file} is larger than 1 MiB; a certificate is a page of text.")
        stated = tomllib.loads(data.decode("utf-8"))
    except OSError as error:
        raise CalibrationError(f"The file {file} cannot be read: {error.strerror or error}.") from None
    except UnicodeDecodeError:
        raise CalibrationError(f"The file {file} is not UTF-8 text.") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise CalibrationError(f"The file {file} is not TOML: {error}.") from None
    if unknown := _unknown_fields(stated, Certificate):
        raise CalibrationError(f"The file {file} has a field that no certificate has: {', '.join(unknown)}.")
    try:
        return msgspec.convert(stated, Certificate)
    except msgspec.ValidationError as error:
        raise CalibrationError(f"The file {file} is no certificate: {error}.") from None


def _unknown_fields(stated: dict[str, object], record: type[msgspec.Struct]) -> list[str]:
    """Return the fields that a record lacks: a misspelt one with a default would else be dropped without a word."""
    unknown = sorted(set(stated) - set(record.__struct_fields__))
    for name, value in stated.items():
        if name in _PARTS and name not in unknown:
            rows = value if isinstance(value, list) else [value]
            unknown += [one for row in rows if isinstance(row, dict) for one in _unknown_fields(row, _PARTS[name])]
    return unknown


def certificates_in_force(connection: Connection) -> CertificateBook:
    """Return the certificates that are not removed: those in force, and those that another supersedes."""
    # They were checked when they were added; a clock that went back since must not undo that.
    return certificate_book(_not_removed(connection), dt.date.max)


def add_certificates(store: OpenStore, added: Sequence[Certificate], today: dt.date) -> CertificatesChanged:
    """Take certificates, all or none, and derive the exams anew that they touch.

    Raises:
        CalibrationError: one is wrong in itself or contradicts another; nothing was changed.
        StoreError: the store cannot be written; nothing was changed.

    """
    useless = sorted({one.quantity for one in added} - CERTIFIED - {TUBE_OUTPUT})
    if useless:
        known = ", ".join(sorted(CERTIFIED | {TUBE_OUTPUT}))
        raise CalibrationError(
            f"No value is corrected by a certificate of {', '.join(useless)}; those of {known} are. "
            "Nothing was changed."
        )
    with store.database.writing() as connection:
        before = certificates_in_force(connection)
        after = certificate_book([*_not_removed(connection), *added], today)
        if added:
            connection.execute(
                insert(certificates),
                [
                    {
                        "certificate_id": one.id,
                        "certificate": msgspec.json.encode(one),
                        "added_at": _now(),
                        "removed_at": "",
                    }
                    for one in added
                ],
            )
        return _changed(connection, store, before, after)


def remove_certificate(store: OpenStore, certificate_id: str) -> CertificatesChanged:
    """Take a certificate out of force, keep it as history, and derive the exams anew that it touched.

    Raises:
        CalibrationError: there is no such certificate, or another supersedes it; nothing was changed.
        StoreError: the store cannot be written; nothing was changed.

    """
    with store.database.writing() as connection:
        before = certificates_in_force(connection)
        kept = list(_not_removed(connection))
        if all(one.id != certificate_id for one in kept):
            raise CalibrationError(
                f"There is no certificate {certificate_id!r}; 'doseatlas calibration list' lists them."
            )
        after = certificate_book((one for one in kept if one.id != certificate_id), dt.date.max)
        this = (certificates.c.certificate_id == certificate_id) & (certificates.c.removed_at == "")
        connection.execute(update(certificates).where(this).values(removed_at=_now()))
        return _changed(connection, store, before, after)


def kept_certificates(store: OpenStore) -> list[KeptCertificate]:
    """Return every certificate there ever was, by device, quantity and period, with what became of it."""
    with store.database.reading() as connection:
        rows = connection.execute(select(certificates).order_by(certificates.c.id)).all()
        superseded = {one.id for one in certificates_in_force(connection).superseded}
    found = []
    for row in rows:
        certificate = msgspec.json.decode(row.certificate, type=Certificate)
        state: CertificateState = "superseded" if certificate.id in superseded else "in force"
        if row.removed_at:
            state = "removed"
        found.append(
            KeptCertificate(
                certificate=certificate, state=state, added_at=row.added_at, removed_at=row.removed_at or None
            )
        )
    return sorted(found, key=_order)


def _order(one: KeptCertificate) -> tuple[object, ...]:
    return one.certificate.device, one.certificate.quantity, one.certificate.valid_from, one.added_at


def _not_removed(connection: Connection) -> Iterator[Certificate]:
    found = select(certificates.c.certificate).where(certificates.c.removed_at == "").order_by(certificates.c.id)
    for data in connection.execute(found).scalars().all():
        yield msgspec.json.decode(data, type=Certificate)


def _changed(
    connection: Connection, store: OpenStore, before: CertificateBook, after: CertificateBook
) -> CertificatesChanged:
    spans = affected(before, after)
    rules = msgspec.structs.replace(store.dose_rules(connection), certificates=after)
    decisions = decisions_in_force(connection)
    keys = sorted({key for span in spans for key in _exams_within(connection, span)})
    derive_again(connection, keys, decisions, rules)
    return CertificatesChanged(devices=tuple(dict.fromkeys(span.device for span in spans)), exams=len(keys))


def _exams_within(connection: Connection, span: Affected) -> Iterable[str]:
    """Return the exams of a span's device and days."""
    found = select(exams.c.exam_id, exams.c.exam).where(
        exams.c.study_date >= span.from_day.isoformat(), exams.c.study_date < span.until_day.isoformat()
    )
    result = connection.execute(found, execution_options={"yield_per": _TOGETHER})
    return [key for key, data in result if device_name(unpack_exam(data).device) == span.device]


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
