"""Which one examination do several dose objects of a study state?

Objects of one study and one kind become one :class:`~doseatlas.model.Exam` without counting a dose twice. What each
source contributes (reports, images, procedure steps) is told in ``merge_reports`` and ``merge_images``; this module
decides which objects count and puts the exam together. The result does not depend on the order of the objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from doseatlas.model import Code, Device, Exam, Kind, Note, Patient, Totals
from doseatlas.standardise.merge_images import unite_images
from doseatlas.standardise.merge_reports import unite_reports

_RANK = {"dose-report": 0, "image": 1, "mpps": 2, None: 0}
_NAMES = {0: "dose report", 1: "image", 2: "procedure step"}
_EVENT_DOSE = (
    "event_uid",
    "dlp_mgy_cm",
    "ctdi_vol_mgy",
    "phantom_cm",
    "kap_gy_cm2",
    "reference_air_kerma_mgy",
    "entrance_exposure_mgy",
    "agd_mgy",
    "administered_activity_mbq",
)
_AGE_TOLERANCE_YEARS = 1.0
_R = TypeVar("_R", Device, Patient)


def exam_kind_key(exam: Exam) -> tuple[str, Kind]:
    """Return what objects of one examination share: the study (else the object itself, else its path) and the kind."""
    return exam.study_instance_uid or exam.sop_instance_uid or exam.path or "", exam.kind


def merge(exams: Sequence[Exam]) -> Exam:
    """Return the one examination that objects of one study and kind state together.

    The same SOP Instance UID counts once, with the values of the later content; a predecessor gives way to what
    replaces it; dose reports come before images, images before procedure steps (MPPS). Device, patient and procedure
    are the first stated in that order, then by content time. One object is returned as it is.

    Raises:
        ValueError: there is nothing to merge, or the objects are not of one kind.

    """
    if len(exams) == 1:
        return exams[0]
    if len({exam.kind for exam in exams}) != 1:
        raise ValueError("merge needs objects of one study and one kind of examination")
    notes: list[Note] = []
    kept = _without_predecessors(_one_per_instance(sorted(exams, key=_order), notes), notes)
    if len(kept) == 1:
        return _with_notes(kept[0], notes)
    sources = [exam for exam in kept if _states_dose(exam)] or kept
    rank = min(_RANK[exam.source] for exam in sources)
    used = [exam for exam in sources if _RANK[exam.source] == rank]
    totals, events, found = unite_images(used) if rank == 1 else unite_reports(used)
    notes += _conflicts(kept) + found
    notes.append(Note(code="merged", message=f"One examination from {len(kept)} objects: {_count(kept)}."))
    first = used[0]
    merged = msgspec.structs.replace(
        first,
        study_date=_first(kept, "study_date"),
        study_time=_first(kept, "study_time"),
        content_at=max((exam.content_at for exam in used if exam.content_at), default=None),
        modality=_first(kept, "modality"),
        replaces=tuple(sorted({uid for exam in kept for uid in exam.replaces})),
        device=_first_stated(Device, [exam.device for exam in kept]),
        patient=_first_stated(Patient, [exam.patient for exam in kept]),
        procedure=_first(kept, "procedure"),
        procedure_codes=_first_codes(kept),
        body_part=_first(kept, "body_part"),
        totals=totals,
        events=events,
        estimates=tuple(dict.fromkeys(estimate for exam in used for estimate in exam.estimates)),
        estimated_from=tuple(dict.fromkeys(uid for exam in used for uid in exam.estimated_from)),
        notes=(),
    )
    derived = {"total-from-events"} if rank == 1 else set()
    stated = [note for exam in used for note in exam.notes if note.code not in derived]
    return _with_notes(merged, stated + notes)


def _order(exam: Exam) -> tuple[int, str, str, bytes]:
    return (
        _RANK[exam.source],
        exam.content_at or "",
        exam.sop_instance_uid or "",
        msgspec.json.encode(exam),
    )


def _one_per_instance(exams: list[Exam], notes: list[Note]) -> list[Exam]:
    """Keep one object for each SOP Instance UID; of objects that are equal but for their path, the first."""
    kept: dict[object, Exam] = {}
    for exam in exams:
        key: object = exam.sop_instance_uid or msgspec.structs.replace(exam, path=None)
        earlier = kept.get(key)
        if earlier is None:
            kept[key] = exam
            continue
        if msgspec.structs.replace(earlier, path=None) == msgspec.structs.replace(exam, path=None):
            continue
        kept[key] = exam
        if _dose(earlier) != _dose(exam):
            message = f"Object {exam.sop_instance_uid} came with other values; those of the later content are kept."
            notes.append(Note(code="replaced", message=message))
    return sorted(kept.values(), key=_order)


def _dose(exam: Exam) -> tuple[Totals, tuple[tuple[object, ...], ...]]:
    return exam.totals, tuple(tuple(getattr(event, name) for name in _EVENT_DOSE) for event in exam.events)


def _without_predecessors(exams: list[Exam], notes: list[Note]) -> list[Exam]:
    """Leave out what a later object names as its predecessor (PS3.3 C.17.2, Predecessor Documents Sequence)."""
    place = {exam.sop_instance_uid: number for number, exam in enumerate(exams)}
    gone: dict[str, str | None] = {}
    for number, exam in enumerate(exams):
        for uid in exam.replaces:
            # Two objects that name each other: only the later one replaces.
            mutual = uid in place and exam.sop_instance_uid in exams[place[uid]].replaces
            if uid in place and place[uid] != number and (place[uid] < number or not mutual):
                gone[uid] = exam.sop_instance_uid
    kept = [exam for exam in exams if exam.sop_instance_uid not in gone]
    if not kept:
        return exams[-1:]
    notes += [
        Note(code="replaced", message=f"Object {uid} is replaced by its correction {by} and does not count.")
        for uid, by in gone.items()
    ]
    return kept


def _states_dose(exam: Exam) -> bool:
    return bool(exam.events) or bool(exam.estimates) or exam.totals != Totals()


def _count(exams: list[Exam]) -> str:
    counts: dict[str, int] = {}
    for exam in exams:
        name = _NAMES[_RANK[exam.source]]
        counts[name] = counts.get(name, 0) + 1
    return ", ".join(f"{count} {name}{'s' if count > 1 else ''}" for name, count in counts.items())


def _first(exams: list[Exam], field: str) -> str | None:
    return next((value for exam in exams if (value := getattr(exam, field)) is not None), None)


def _first_codes(exams: list[Exam]) -> tuple[Code, ...]:
    return next((exam.procedure_codes for exam in exams if exam.procedure_codes), ())


def _first_stated(kind: type[_R], records: list[_R]) -> _R:
    stated = {name: [v for r in records if (v := getattr(r, name)) is not None] for name in kind.__struct_fields__}
    return kind(**{name: values[0] for name, values in stated.items() if values})


def _conflicts(exams: list[Exam]) -> list[Note]:
    notes = []
    for field in Patient.__struct_fields__:
        values = sorted({value for exam in exams if (value := getattr(exam.patient, field)) is not None})
        near = field == "age_years" and bool(values) and values[-1] - values[0] <= _AGE_TOLERANCE_YEARS
        if len(values) > 1 and not near:
            listed = " and ".join(str(value) for value in values)
            message = f"The objects of the study state the patient's {field} as {listed}; the first object's is kept."
            notes.append(Note(code="patient-differs", message=message))
    serials = sorted({exam.device.serial_number for exam in exams if exam.device.serial_number})
    if len(serials) > 1:
        message = f"The objects come from devices with serial numbers {', '.join(serials)}; the first is shown."
        notes.append(Note(code="devices-differ", message=message))
    return notes


def _with_notes(exam: Exam, notes: list[Note]) -> Exam:
    if not notes:
        return exam
    return msgspec.structs.replace(exam, notes=tuple(dict.fromkeys([*exam.notes, *notes])))
