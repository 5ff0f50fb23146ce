"""What does an HL7 version 2 message state of an exam, or of a patient? From its bytes to statements, or a refusal.

Orders (ORM, OMI, OMG) and results (ORU) name an exam by accession number or study UID; admissions (ADT), and results
without either, name a patient. Only the fields that fill gaps of an exam are read. A refusal never quotes a value.
"""

from __future__ import annotations

import datetime as dt
import string
from collections.abc import Sequence
from functools import cache
from typing import Any, Literal, NamedTuple

import hl7
import hl7.containers
import hl7.util
import msgspec

from doseatlas.context.quantities import TABLES, WrongValue, observations, quantity
from doseatlas.model import DoseAtlasError
from doseatlas.reference import read_rows
from doseatlas.settings import ContextSettings
from doseatlas.store import ContextValues, Statement

for _module in (hl7.containers, hl7.util):
    _module.logger.disabled = True  # it quotes what it cannot decode, and so a patient

_MAX_SEGMENTS = 5_000
_MAX_GROUPS = 200
_MAX_IDENTIFIER = 64  # characters; no DICOM object states a longer one (PS3.5, VR LO and UI)
_SEPARATORS = 5  # of MSH-1 and MSH-2
_PUNCTUATION = frozenset(string.punctuation)
_NOT_OBSERVED = {"X", "D", "W"}  # OBX-11, table 0085: cannot be obtained, deleted, posted in error
_PATIENT_NUMBERS = {"MR", "PI", "PT", ""}  # PID-3.5, table 0203: of the hospital, not of an insurance
_LOINC = {"LN", "LOINC"}

Acknowledgment = Literal["AA", "AE", "AR"]


class Header(NamedTuple):
    """What an answer has to repeat; empty where it is not stated."""

    sender: str = ""
    sender_facility: str = ""
    event: str = ""
    control_id: str = ""
    version: str = "2.5.1"


class Rejected(DoseAtlasError):
    """A message that is not taken: ``AR`` it is none that we read, ``AE`` its content is wrong.

    ``condition`` is the error of HL7 table 0357, ``location`` the segment.
    """

    code = "hl7"

    def __init__(self, acknowledgment: Acknowledgment, condition: int, location: str, message: str) -> None:
        super().__init__(message)
        self.acknowledgment = acknowledgment
        self.condition = condition
        self.location = location
        self.header = Header()


class Order(NamedTuple):
    """A message that is taken: what to repeat in the answer, and what it states (nothing, for many messages)."""

    header: Header
    statements: tuple[Statement, ...]


def read_message(data: bytes, settings: ContextSettings, today: dt.date) -> Order:
    """Read one message.

    Args:
        data: the message without its MLLP frame.
        settings: where accession numbers stand, and the site's own codes.
        today: the date of observations that state none.

    Raises:
        Rejected: it is not taken.

    """
    header = Header()
    try:
        lines = _segments(data)
        header = _header(lines[0])
        _check_type(header, lines[0])
        try:
            message = hl7.parse("\r".join(lines))
        except Exception as error:  # the parser's own errors are of many kinds
            raise Rejected("AR", 207, "", f"The message cannot be parsed ({type(error).__name__}).") from None
        return Order(header, tuple(_Reader(message, settings, today).statements()))
    except Rejected as error:
        error.header = header
        raise


def _segments(data: bytes) -> list[str]:
    """Return the segments as text, in the character set that the first of them states."""
    if not data.startswith(b"MSH") or len(data) < 3 + _SEPARATORS:
        raise Rejected("AR", 100, "MSH", "The message does not begin with an MSH segment.")
    separators = data[3 : 3 + _SEPARATORS]
    if len(set(separators)) != _SEPARATORS or not set(separators.decode("latin-1")) <= _PUNCTUATION:
        raise Rejected("AR", 102, "MSH", "The separators of the MSH segment are not five different punctuation marks.")
    first = data.splitlines()[0].decode("latin-1").split(chr(separators[0]))
    named = first[17].split(chr(separators[2]))[0].strip() if len(first) > 17 else ""
    codec = character_sets().get(named.upper())
    if codec is None:
        raise Rejected("AR", 103, "MSH", "The character set that MSH-18 names is not known; send UNICODE UTF-8.")
    try:
        text = data.decode(codec)
    except UnicodeDecodeError:
        said = named or "ASCII, since MSH-18 is empty"
        raise Rejected("AR", 102, "MSH", f"The message is not in its character set ({said}).") from None
    lines = [line for line in text.replace("\r\n", "\r").replace("\n", "\r").split("\r") if line.strip()]
    if len(lines) > _MAX_SEGMENTS:
        raise Rejected("AR", 100, "", f"The message has more than {_MAX_SEGMENTS} segments.")
    for number, line in enumerate(lines, 1):
        if not (line[:3].isascii() and line[:3].isalnum() and line[:3].isupper() and line[3:4] in ("", lines[0][3])):
            raise Rejected("AR", 100, "", f"Line {number} of the message is no segment.")
    return lines


@cache
def character_sets() -> dict[str, str]:
    """Return the codec of each character set of MSH-18."""
    return {
        row["name"]: row["codec"] for _, row in read_rows(TABLES / "character_sets.csv", ("name", "codec", "source"))
    }


@cache
def message_types() -> dict[str, frozenset[str]]:
    """Return the events that are taken, by message type."""
    rows = read_rows(TABLES / "message_types.csv", ("type", "events", "source"))
    return {row["type"]: frozenset(row["events"].split()) for _, row in rows}


def _header(line: str) -> Header:
    fields = [*line.split(line[3]), *[""] * 20]
    kind = [*fields[8].split(line[4]), ""]
    return Header(
        sender=fields[2],
        sender_facility=fields[3],
        event=kind[1],
        control_id=fields[9],
        version=fields[11].split(line[4])[0] or "2.5.1",
    )


def _check_type(header: Header, line: str) -> None:
    fields = [*line.split(line[3]), *[""] * 20]
    kind = fields[8].split(line[4])[0]
    events = message_types().get(kind)
    if events is None:
        raise Rejected("AR", 200, "MSH", f"Only messages {', '.join(message_types())} are taken.")
    if header.event not in events and (header.event or kind not in ("ORM", "ORU")):
        raise Rejected("AR", 201, "MSH", f"Of {kind} messages only the events {', '.join(sorted(events))} are taken.")
    if not header.control_id:
        raise Rejected("AR", 101, "MSH", "MSH-10 (message control ID) is empty.")
    if not header.version.startswith("2."):
        raise Rejected("AR", 203, "MSH", "Only HL7 version 2 is taken.")
    if fields[10].split(line[4])[0] not in ("P", ""):
        raise Rejected("AR", 202, "MSH", "MSH-11 says that the message is not of production; it is not taken.")


class _Group(NamedTuple):
    """The segments of one order: an OBR and what stands around it."""

    segments: list[hl7.Segment]

    def has(self, name: str) -> bool:
        return any(_name(segment) == name for segment in self.segments)


class _Reader:
    """Reads the statements of one parsed message."""

    def __init__(self, message: hl7.Message, settings: ContextSettings, today: dt.date) -> None:
        self._settings = settings
        self._today = today
        self._sent = _day(_field(message[0], 7))
        self._common, self._groups = _grouped(message)

    def statements(self) -> list[Statement]:
        """Return what the message states: of each order, else of the patient."""
        found = [one for group in self._groups if (one := self._of_order(group)) is not None]
        if not self._groups:
            found += self._of_patient(self._common)
        for one in found:
            for place, text in (
                ("PID", one.patient_id),
                ("PID", one.issuer),
                ("OBR", one.accession_number),
                ("OBR", one.study_instance_uid),
            ):
                if len(text or "") > _MAX_IDENTIFIER:
                    message = f"An identifier in {place} has more than {_MAX_IDENTIFIER} characters."
                    raise Rejected("AE", 102, place, f"{message} Nothing of the message was taken.")
        return found

    def _of_order(self, group: _Group) -> Statement | None:
        accession = next((text for name in self._settings.accession_fields if (text := _at(group, name))), None)
        study = _at(group, "IPC-3") or _at(group, "ZDS-1")
        shared = [segment for segment in self._common if _name(segment) == "OBX"]
        measured, _ = self._measured([*shared, *group.segments])
        if accession is None and study is None:
            found = self._of_patient([*shared, *group.segments])
            return found[0] if found else None
        values = msgspec.structs.replace(
            measured,
            procedure=_at(group, "OBR-4.2") or _at(group, "OBR-4.5") or _at(group, "OBR-44.2"),
            indication=_at(group, "OBR-31.2") or _at(group, "OBR-31.1") or _at(group, "OBR-13"),
        )
        if values == ContextValues():
            return None
        return Statement(values=values, study_instance_uid=study, accession_number=accession, **self._identity())

    def _of_patient(self, segments: Sequence[hl7.Segment]) -> list[Statement]:
        measured, day = self._measured(segments)
        if measured == ContextValues():
            return []
        identity = self._identity()
        if identity["patient_id"] is None:
            raise Rejected("AE", 101, "PID", "The message names neither an exam (OBR-18, ZDS-1) nor a patient (PID-3).")
        on = day or self._sent or self._today
        days = self._settings.patient_days
        return [Statement(values=measured, observed_on=on, days=days, **identity)]

    def _measured(self, segments: Sequence[hl7.Segment]) -> tuple[ContextValues, dt.date | None]:
        """Return heights and weights, the last observed of each, and the day of the first of them that states one."""
        values: dict[str, float] = {}
        days: list[dt.date] = []
        for segment in segments:
            if _name(segment) != "OBX" or _field(segment, 11) in _NOT_OBSERVED or not _field(segment, 5):
                continue
            field = self._observed(segment)
            if field is None:
                continue
            try:
                values[field] = quantity(field, _field(segment, 5), _field(segment, 6))
            except WrongValue as error:
                number = _field(segment, 1)[:4]
                where = f"OBX {number}" if number.isdigit() else "An OBX"
                raise Rejected("AE", 102, "OBX", f"{where}: {error}. Nothing of the message was taken.") from None
            day = _day(_field(segment, 14))
            days += [day] if day is not None else []
        return ContextValues(**values), days[0] if days else None  # type: ignore[arg-type]

    def _observed(self, segment: hl7.Segment) -> str | None:
        for code, scheme in ((1, 3), (4, 6)):  # the code and its alternative
            name, system = _field(segment, 3, code), _field(segment, 3, scheme).upper()
            field = observations().get((name, "LN" if system in _LOINC else system))
            if field is not None:
                return field
            if name and name in self._settings.height_codes:
                return "height_cm"
            if name and name in self._settings.weight_codes:
                return "weight_kg"
        return None

    def _identity(self) -> dict[str, Any]:
        pid = next((segment for segment in self._common if _name(segment) == "PID"), None)
        if pid is None:
            return {"patient_id": None}
        number, issuer = None, None
        for repetition in range(1, 1 + _repetitions(pid, 3)):
            text = _field(pid, 3, 1, repetition)
            if text and _field(pid, 3, 5, repetition).upper() in _PATIENT_NUMBERS:
                number, issuer = text, _field(pid, 3, 4, repetition) or None
                break
        names = {_field(pid, 5, part) for part in (1, 2, 3)}
        return {
            "patient_id": number,
            "issuer": issuer,
            "birth_date": _day(_field(pid, 7)),
            "names": tuple(sorted(word for name in names for word in name.split())),
        }


def _grouped(message: hl7.Message) -> tuple[list[hl7.Segment], list[_Group]]:
    """Return what stands before the first order, and the orders; an ORC, or an OBR without one, begins an order."""
    common: list[hl7.Segment] = []
    groups: list[_Group] = []
    for segment in message[1:]:
        name = _name(segment)
        if name == "ORC" or (name == "OBR" and (not groups or groups[-1].has("OBR"))):
            groups.append(_Group([]))
        (groups[-1].segments if groups else common).append(segment)
    if len(groups) > _MAX_GROUPS:
        raise Rejected("AE", 100, "OBR", f"The message has more than {_MAX_GROUPS} orders.")
    return common, groups


def _name(segment: hl7.Segment) -> str:
    return str(segment[0])


def _at(group: _Group, place: str) -> str | None:
    """Return the text at a place such as ``OBR-4.2`` of the first such segment of an order; ``None`` if it is empty."""
    name, _, rest = place.partition("-")
    field, _, component = rest.partition(".")
    segment = next((one for one in group.segments if _name(one) == name), None)
    return (segment is not None and _field(segment, int(field), int(component or 1))) or None


def _repetitions(segment: hl7.Segment, field: int) -> int:
    return len(segment[field]) if len(segment) > field else 0


def _field(segment: hl7.Segment, field: int, component: int = 1, repetition: int = 1) -> str:
    """Return the text of a component, escapes undone; empty where it is absent or null (``""``)."""
    if len(segment) <= field:
        return ""
    try:
        text = " ".join(str(segment.extract_field(1, field, repetition, component, 1) or "").split())
    except LookupError:
        return ""
    except Exception as error:
        raise Rejected(
            "AE", 102, _name(segment), f"A field of {_name(segment)} is damaged ({type(error).__name__})."
        ) from None
    return "" if text == '""' else text


def _day(text: str) -> dt.date | None:
    """Return the day of an HL7 time stamp; ``None`` where it is not stated to the day."""
    try:
        return dt.datetime.strptime(text[:8], "%Y%m%d").date()
    except ValueError:
        return None
