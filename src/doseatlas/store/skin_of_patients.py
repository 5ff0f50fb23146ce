"""Which dose has a patient's skin got over the procedures that the store holds, and which patients had several?

Every projection exam of the patient counts, however small, with its kerma corrected as in the mart. Nothing is kept:
maps are computed anew, so that they follow from the exams and certificates of the moment.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from sqlalchemy import select

from doseatlas.dosimetry import body_of, kerma_correction
from doseatlas.model import DoseAtlasError, Exam, StoreError
from doseatlas.standardise import device_name, implausible_patient, plausible_patient
from doseatlas.store.database import in_parts
from doseatlas.store.derive import unpack_exam
from doseatlas.store.schema import exams, objects

if TYPE_CHECKING:
    from doseatlas.dosimetry import CertificateBook
    from doseatlas.dosimetry.skin import CumulativeMap, OneProcedure, Options, ProcedureDose
    from doseatlas.store.store import Store

MOST_EXAMS = 500
"""Projection exams of one patient; more stand for an ID that several patients share."""


class RepeatedProcedures(NamedTuple):
    """A patient with several procedures, and the map that they add up to or why there is none.

    Without identity: who it is, the store knows by any of the exams. ``procedures`` are of the map; where there is
    none, they are the exams asked for, and ``kerma_mgy`` is their sum.
    """

    procedures: tuple[ProcedureDose, ...]
    kerma_mgy: float
    found: CumulativeMap | None = None
    missing: str | None = None


def patient_named(store: Store, text: str) -> str:
    """Return the pseudonym that is meant by a pseudonym, or by the key of one of the patient's exams.

    Raises:
        StoreError: the store knows neither; or the exam's objects name no patient, or several.

    """
    with store.database.reading() as connection:
        own = objects.c.patient_id
        if connection.execute(select(own).where(own == text).limit(1)).first():
            return text
        named = set(connection.execute(select(own).where(objects.c.exam_id == text).distinct()).scalars())
    if not named:
        raise StoreError(
            f"The store holds no exam of a patient {text!r}, and no exam of that key. With pseudonyms, a patient's "
            "name here is the pseudonym, not the ID."
        )
    known: list[str] = sorted(one for one in named if one is not None)
    if len(known) == 1:
        return known[0]
    what = f"name {len(known)} patients" if known else "name no patient"
    raise StoreError(f"The objects of the exam {text!r} {what}, so its patient's other exams are not known.")


def patient_skin_dose(
    store: Store,
    pseudonym: str,
    *,
    since: dt.date | None = None,
    until: dt.date | None = None,
    options: Options | None = None,
    phantom: str = "human",
) -> CumulativeMap:
    """Return the map that a patient's projection exams add up to, by date, and each exam's part.

    Exams without a date are named and not summed where a period is asked for. The body is of the last height and
    weight stated.

    Raises:
        StoreError: the store holds no projection exam of the patient, or more than :data:`MOST_EXAMS`.
        SkinDoseError: no exam can be placed.
        PhantomError: there is no body of the stated height and weight.

    """
    from doseatlas.dosimetry.skin import cumulative_skin_dose

    own = exams.c.exam_id.in_(select(objects.c.exam_id).where(objects.c.patient_id == pseudonym))
    found = select(exams.c.exam, exams.c.mart_row).where(exams.c.kind == "projection", own)
    if since is not None:
        found = found.where((exams.c.study_date >= since.isoformat()) | (exams.c.study_date == ""))
    if until is not None:
        found = found.where(exams.c.study_date <= until.isoformat())  # no date sorts before every date
    found = found.order_by(exams.c.study_date, exams.c.exam_id).limit(MOST_EXAMS + 1)
    with store.database.reading() as connection:
        certificates = store.dose_rules(connection).certificates
        rows = connection.execute(found).all()
    if not rows:
        period = "" if since is None and until is None else " in this period"
        raise StoreError(f"The store holds no projection exam of the patient {pseudonym!r}{period}.")
    if len(rows) > MOST_EXAMS:
        raise StoreError(
            f"The store holds more than {MOST_EXAMS} projection exams of the patient {pseudonym!r}: several patients "
            "seem to share the ID. Ask for a shorter period (--since, --until)."
        )
    dated = since is not None or until is not None
    several = [_procedure(data, row, certificates, dated) for data, row in rows]
    mesh, assumed = body_of([one.exam.patient for one in several], phantom)
    return cumulative_skin_dose(several, mesh, options, assumed=assumed)


def _procedure(data: bytes, row_data: bytes, certificates: CertificateBook, dated: bool) -> OneProcedure:
    from doseatlas.dosimetry.skin import OneProcedure

    exam: Exam = unpack_exam(data)
    row: dict[str, Any] = msgspec.json.decode(row_data)
    exam = msgspec.structs.replace(exam, patient=plausible_patient(exam.patient, implausible_patient(exam.patient)))
    device = device_name(exam.device)
    factor, relative = kerma_correction(exam, device, certificates)
    missing = None
    if not row["plausible"]:
        missing = "A dose value of the exam is out of physical range."
    elif dated and "study_date" not in row:
        missing = "The exam has no date, and a period is asked for."
    return OneProcedure(row["exam_id"], exam, device, row.get("procedure"), factor, relative, missing)


def repeated_procedures(
    store: Store,
    kerma_mgy: Mapping[str, float],
    *,
    inside: Collection[str],
    least_mgy: float,
    most: int,
    until: dt.date | None = None,
) -> tuple[RepeatedProcedures, ...]:
    """Return the patients who had several of these exams, the largest sum of kerma first, with their maps.

    Args:
        store: the open store.
        kerma_mgy: air kerma by exam, of all exams that are worth a look.
        inside: one of a patient's exams must be among these.
        least_mgy: the sum from which a patient's map is computed.
        most: how many patients at most.
        until: exams of this day or earlier count.

    """
    patients: dict[str, set[str]] = {}
    with store.database.reading() as connection:
        for part in in_parts(sorted(kerma_mgy)):
            named = select(objects.c.patient_id, objects.c.exam_id).where(
                objects.c.exam_id.in_(part), objects.c.patient_id.is_not(None)
            )
            for pseudonym, exam_id in connection.execute(named.distinct()):
                patients.setdefault(pseudonym, set()).add(exam_id)
    sums = {
        pseudonym: sum(kerma_mgy[one] for one in sorted(some))
        for pseudonym, some in patients.items()
        if len(some) > 1 and any(one in inside for one in some)
    }
    largest = sorted((one for one in sums if sums[one] >= least_mgy), key=lambda one: (-sums[one], min(patients[one])))
    return tuple(
        _repeated(store, pseudonym, {one: kerma_mgy[one] for one in sorted(patients[pseudonym])}, until)
        for pseudonym in largest[:most]
    )


def _repeated(
    store: Store, pseudonym: str, kerma_mgy: Mapping[str, float], until: dt.date | None
) -> RepeatedProcedures:
    from doseatlas.dosimetry.skin import ProcedureDose

    try:
        found = patient_skin_dose(store, pseudonym, until=until)
    except DoseAtlasError as error:
        # What is shown of it must not name the patient.
        said = str(error).replace(f"the patient {pseudonym!r}", "the patient")
        asked = [ProcedureDose(exam_id=one, reference_air_kerma_mgy=mgy) for one, mgy in kerma_mgy.items()]
        return RepeatedProcedures(tuple(asked), sum(kerma_mgy.values()), missing=said)
    return RepeatedProcedures(found.procedures, sum(kerma_mgy.values()), found)
