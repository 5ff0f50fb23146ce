"""How is an event told? As an audit message of DICOM PS3.15 A.5 (IHE ATNA), in XML, without who the patient is.

Which codes stand for which event is a table (``tables/events.csv``). A message names who did it, from where, to what:
studies by their UID, never a patient; the participant object "patient" that PS3.15 asks for reads ``<none>``.
"""

from __future__ import annotations

import base64
import datetime as dt
import socket
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from xml.etree import ElementTree as ET

from doseatlas.model import Record, TableError
from doseatlas.reference import read_rows

SUCCESS, MINOR_FAILURE = 0, 4  # EventOutcomeIndicator (PS3.15 A.5.2)
_COLUMNS = ("event", "action", "code", "scheme", "meaning", "type_code", "type_scheme", "type_meaning", "source")
_PERSON, _SYSTEM_OBJECT = "1", "2"  # ParticipantObjectTypeCode
_PATIENT, _REPORT, _JOB = "1", "3", "20"  # ParticipantObjectTypeCodeRole
_BY_HOST_NAME, _BY_ADDRESS = "1", "2"  # NetworkAccessPointTypeCode
_SOURCE_TYPE = "4"  # AuditSourceTypeCode: application server process
_MAX_TEXT = 1_000  # characters of one text; an event must stay small whoever caused it


class Coded(Record, frozen=True, kw_only=True):
    """A code with its scheme and meaning."""

    code: str
    scheme: str
    meaning: str


class EventKind(Record, frozen=True, kw_only=True):
    """A row of the table of events: EventID, EventTypeCode and EventActionCode."""

    event: str
    action: str
    id: Coded
    type: Coded | None = None
    source: str


class Participant(Record, frozen=True, kw_only=True):
    """Who took part: a user, a process or a DICOM peer, and from where."""

    user: str
    is_requestor: bool = False
    role: Coded | None = None
    address: str | None = None


class Subject(Record, frozen=True, kw_only=True):
    """What it was done to. ``details`` are written down as pairs of name and value."""

    id: str
    type_code: str
    role: str
    id_type: Coded
    name: str | None = None
    details: Mapping[str, str] = {}


class AuditEvent(Record, frozen=True, kw_only=True):
    """What happened. ``event`` is a row of the table of events."""

    event: str
    participants: tuple[Participant, ...]
    subjects: tuple[Subject, ...] = ()
    outcome: int = SUCCESS
    description: str | None = None


APPLICATION = Coded(code="110150", scheme="DCM", meaning="Application")
SOURCE = Coded(code="110153", scheme="DCM", meaning="Source Role ID")
DESTINATION = Coded(code="110152", scheme="DCM", meaning="Destination Role ID")
_STUDY_UID = Coded(code="110180", scheme="DCM", meaning="Study Instance UID")
_PATIENT_NUMBER = Coded(code="2", scheme="RFC-3881", meaning="Patient Number")
_OBJECT = Coded(code="object", scheme="99DOSEATLAS", meaning="Object of DoseAtlas")
_NO_PATIENT = Subject(id="<none>", type_code=_PERSON, role=_PATIENT, id_type=_PATIENT_NUMBER)


@cache
def event_kinds() -> dict[str, EventKind]:
    """Return the events that can be told.

    Raises:
        TableError: the table that ships is wrong.

    """
    path = Path(__file__).parent / "tables" / "events.csv"
    kinds: dict[str, EventKind] = {}
    for line, row in read_rows(path, _COLUMNS):
        if row["event"] in kinds or row["action"] not in ("C", "R", "U", "D", "E") or not row["source"]:
            raise TableError(f"{path}, line {line}: the event repeats, or its action or source is wrong.")
        kinds[row["event"]] = EventKind(
            event=row["event"],
            action=row["action"],
            id=Coded(code=row["code"], scheme=row["scheme"], meaning=row["meaning"]),
            type=Coded(code=row["type_code"], scheme=row["type_scheme"], meaning=row["type_meaning"])
            if row["type_code"]
            else None,
            source=row["source"],
        )
    return kinds


def application_event(what: str, name: str) -> AuditEvent:
    """Return the event of a service that starts or stops (PS3.15 A.5.3.1)."""
    return AuditEvent(event=what, participants=(Participant(user=name, role=APPLICATION),))


def user_event(
    what: str, user: str, subject: str, details: Mapping[str, str] | None = None, failure: str | None = None
) -> AuditEvent:
    """Return the event of something that a user did, such as a mapping that was applied; ``subject`` is to what."""
    return AuditEvent(
        event=what,
        participants=(Participant(user=user, is_requestor=True, address=socket.gethostname()),),
        subjects=(
            Subject(id=subject, type_code=_SYSTEM_OBJECT, role=_JOB, id_type=_OBJECT, details=dict(details or {})),
        ),
        outcome=SUCCESS if failure is None else MINOR_FAILURE,
        description=failure,
    )


def transfer_event(
    *, caller: str, address: str, via: str, study_instance_uid: str | None, instances: int, refused: bool
) -> AuditEvent:
    """Return the event of objects of a study that a peer has sent (PS3.15 A.5.3.7)."""
    study = Subject(
        id=study_instance_uid or "<none>",
        type_code=_SYSTEM_OBJECT,
        role=_REPORT,
        id_type=_STUDY_UID,
        details={"instances": str(instances), "via": via},
    )
    return AuditEvent(
        event="instances-transferred",
        participants=(
            Participant(user=caller, is_requestor=True, role=SOURCE, address=address),
            Participant(user="DoseAtlas", role=DESTINATION),
        ),
        subjects=(study, _NO_PATIENT),
        outcome=MINOR_FAILURE if refused else SUCCESS,
        description="refused, see 'doseatlas refused'" if refused else None,
    )


def context_event(*, peer: str, address: str, batch: str, values: int, changes: int) -> AuditEvent:
    """Return the event of values that the RIS has sent for exams, as one of the statements of a batch."""
    details = {"statements": str(values), "values changed": str(changes)}
    taken = Subject(id=batch, type_code=_SYSTEM_OBJECT, role=_JOB, id_type=_OBJECT, details=details)
    return AuditEvent(
        event="context-taken",
        participants=(
            Participant(user=peer, is_requestor=True, role=SOURCE, address=address),
            Participant(user="DoseAtlas", role=DESTINATION),
        ),
        subjects=(taken, _NO_PATIENT),
    )


def refused_peer_event(caller: str, address: str, why: str) -> AuditEvent:
    """Return the event of a peer that was not let in (PS3.15 A.5.3.11, Node Authentication)."""
    return AuditEvent(
        event="peer-refused",
        participants=(
            Participant(user=caller or "<none>", is_requestor=True, role=SOURCE, address=address),
            Participant(user="DoseAtlas", role=DESTINATION),
        ),
        outcome=MINOR_FAILURE,
        description=why,
    )


def query_event(*, peer: str, address: str, query: str) -> AuditEvent:
    """Return the event of a query that this program has sent to a peer (PS3.15 A.5.3.10)."""
    asked = Subject(id=peer, type_code=_SYSTEM_OBJECT, role=_REPORT, id_type=_OBJECT, details={"query": query})
    return AuditEvent(
        event="query",
        participants=(
            Participant(user="DoseAtlas", is_requestor=True, role=SOURCE),
            Participant(user=peer, role=DESTINATION, address=address),
        ),
        subjects=(asked,),
    )


def to_xml(event: AuditEvent, at: dt.datetime, source: str) -> str:
    """Return the audit message of an event: ``AuditMessage`` of PS3.15 A.5.1, on one line."""
    kind = event_kinds()[event.event]
    message = ET.Element("AuditMessage")
    identification = ET.SubElement(
        message,
        "EventIdentification",
        EventActionCode=kind.action,
        EventDateTime=at.astimezone(dt.UTC).isoformat(timespec="milliseconds"),
        EventOutcomeIndicator=str(event.outcome),
    )
    _coded(identification, "EventID", kind.id)
    if kind.type is not None:
        _coded(identification, "EventTypeCode", kind.type)
    if event.description:
        ET.SubElement(identification, "EventOutcomeDescription").text = _text(event.description)
    for one in event.participants:
        _participant(message, one)
    audit_source = ET.SubElement(message, "AuditSourceIdentification", AuditSourceID=_text(source))
    ET.SubElement(audit_source, "AuditSourceTypeCode", {"csd-code": _SOURCE_TYPE})
    for subject in event.subjects:
        _subject(message, subject)
    return ET.tostring(message, encoding="unicode")


def _participant(message: ET.Element, one: Participant) -> None:
    attributes = {"UserID": _text(one.user), "UserIsRequestor": str(one.is_requestor).lower()}
    if one.address:
        attributes["NetworkAccessPointID"] = _text(one.address)
        attributes["NetworkAccessPointTypeCode"] = _BY_ADDRESS if _is_address(one.address) else _BY_HOST_NAME
    element = ET.SubElement(message, "ActiveParticipant", attributes)
    if one.role is not None:
        _coded(element, "RoleIDCode", one.role)


def _subject(message: ET.Element, subject: Subject) -> None:
    element = ET.SubElement(
        message,
        "ParticipantObjectIdentification",
        ParticipantObjectID=_text(subject.id),
        ParticipantObjectTypeCode=subject.type_code,
        ParticipantObjectTypeCodeRole=subject.role,
    )
    _coded(element, "ParticipantObjectIDTypeCode", subject.id_type)
    if subject.name:
        ET.SubElement(element, "ParticipantObjectName").text = _text(subject.name)
    for name, value in subject.details.items():
        encoded = base64.b64encode(_text(value).encode()).decode()
        ET.SubElement(element, "ParticipantObjectDetail", type=name, value=encoded)


def _coded(parent: ET.Element, name: str, coded: Coded) -> None:
    ET.SubElement(parent, name, {"csd-code": coded.code, "codeSystemName": coded.scheme, "originalText": coded.meaning})


def _text(text: str) -> str:
    """Return text that XML can hold: without control characters and halves of characters, and not endless."""
    return "".join(c if c.isprintable() else " " for c in text[:_MAX_TEXT])


def _is_address(text: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)
    except (OSError, ValueError):
        return False
    return True
