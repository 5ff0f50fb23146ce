"""How is a data set encoded without what identifies people? Element by element, by the table of identifying attributes.

``tables/deidentify.csv`` lists each attribute, what is done with it and why. What is done with the whole object is
:mod:`doseatlas.dicom.deidentification`.
"""

from __future__ import annotations

import csv
import datetime as dt
import re
import struct
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple, cast, get_args

from doseatlas.dicom.encode import encode_element
from doseatlas.dicom.item import NUMBER_FORMATS, Item
from doseatlas.dicom.open import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from doseatlas.dicom.parse import SHORT_VRS
from doseatlas.model import TableError

Action = Literal["remove", "empty", "keep", "patient-pseudonym", "accession-pseudonym"]

IMPLEMENTATION_CLASS_UID = "2.25.231874927158336829463128843175041873402"

_TEXT_VRS = frozenset({b"LO", b"SH", b"ST", b"LT", b"UT", b"UC", b"PN"})
_PRIVATE_KEPT = frozenset(NUMBER_FORMATS) | {b"DS", b"IS"}
_CODES = range(0x00080100, 0x00080200)  # code sequence macro: never free text
_PATIENT_NAME, _PATIENT_ID, _BIRTH_DATE, _AGE = 0x00100010, 0x00100020, 0x00100030, 0x00101010
_OTHER_IDS, _ACCESSION = 0x00101000, 0x00080050
_STUDY_DATES = (0x00080020, 0x00080021, 0x00080022, 0x00080023, 0x00400244)  # the last: of a procedure step
_REMOVED, _METHOD = 0x00120062, 0x00120063
_METHOD_TEXT = b"DoseAtlas: names and identifiers of PS3.15 E.1"
_MIN_SECRET = 5  # bytes; shorter words occur by chance
_PLACEHOLDERS = (b"ANON", b"INCONNU", b"UNBEKANNT", b"DEIDENTIFIED", b"PATIENT", b"PHANTOM", b"REMOVED", b"UNKNOWN")
"""How words begin that stand for a name where there is none; not worth blanking in other texts."""
_EQUIPMENT = frozenset({0x00080070, 0x00080080, 0x00081010, 0x00081090, 0x00181000})  # never about a person


@lru_cache(maxsize=1)
def actions() -> dict[int, Action]:
    """What is done with each identifying attribute, by tag. Raises :class:`TableError` for a row out of schema."""
    table: dict[int, Action] = {}
    with (Path(__file__).parent / "tables" / "deidentify.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            if row["action"] not in get_args(Action) or not row["source"] or int(row["tag"], 16) in table:
                raise TableError(f"deidentify.csv: the row of {row['tag']} does not fit the schema.")
            table[int(row["tag"], 16)] = cast(Action, row["action"])
    return table


def age_string(birth_date: str | None, study_date: str | None) -> str | None:
    """Patient's Age (VR AS: ``"045Y"``, ``"014M"``, ``"003D"``) on the day of the study, from two DICOM dates.

    Years from the second birthday on, months from the second month on, days before. ``None`` when either date is
    missing, invalid or the order is impossible.
    """
    try:
        birth = dt.datetime.strptime((birth_date or "")[:8], "%Y%m%d").date()
        study = dt.datetime.strptime((study_date or "")[:8], "%Y%m%d").date()
    except ValueError:
        return None
    months = (study.year - birth.year) * 12 + study.month - birth.month - (study.day < birth.day)
    days = (study - birth).days
    if days < 0 or months >= 12_000:
        return None
    if months >= 24:
        return f"{months // 12:03d}Y"
    return f"{months:03d}M" if months >= 2 else f"{days:03d}D"


class Pseudonyms(NamedTuple):
    """What takes the place of Patient ID and of Accession Number; ``None``: nothing does."""

    patient_id: str | None
    accession_number: str | None


class Writer:
    """Encodes data sets without what identifies people."""

    def __init__(self, implicit: bool, secrets: list[bytes], pseudonyms: Pseudonyms) -> None:
        self.actions = actions()
        self._implicit = implicit
        self._secrets = secrets
        self._pseudonyms = {
            "patient-pseudonym": pseudonyms.patient_id,
            "accession-pseudonym": pseudonyms.accession_number,
        }

    def data_set(self, item: Item, *, top: bool) -> bytes:
        """Encode a data set; ``top``: it is the object itself, not an item of a sequence."""
        parts: dict[int, bytes] = {}
        for tag in list(item.tags()):
            self.add(parts, item, tag)
        if top:
            self.add_statements(parts, item)
        return b"".join(parts[tag] for tag in sorted(parts))

    def add(self, parts: dict[int, bytes], item: Item, tag: int) -> None:
        """Encode one element of ``item`` into ``parts``, unless it has to go."""
        action = self.actions.get(tag)
        if action == "remove" or tag & 0xFFFF == 0:
            return
        vr = (item.vr(tag) or "UN").encode("ascii")
        if vr == b"SQ":
            if not tag >> 16 & 1:
                parts[tag] = self._sequence(tag, item)
            return
        if tag >> 16 & 1 and vr not in _PRIVATE_KEPT and not 0x10 <= tag & 0xFFFF < 0x100:
            return
        value = item.raw(tag)
        if action in self._pseudonyms:
            value = (self._pseudonyms[action] or "").encode("ascii", "replace")
        elif action == "empty" or vr == b"PN":
            value = b""
        elif vr in _TEXT_VRS and tag not in _CODES and tag not in _EQUIPMENT:
            for secret in self._secrets:
                value = value.replace(secret, b" " * len(secret))
        elif vr == b"UN":
            value = b""
        elif vr[:1] == b"O":
            value = b"" if any(secret in value for secret in self._secrets) else value
        parts[tag] = self._element(tag, vr, value)

    def add_statements(self, parts: dict[int, bytes], item: Item) -> None:
        """State that identity was removed, and the age that goes missing with the birth date."""
        parts[_REMOVED] = self._element(_REMOVED, b"CS", b"YES")
        parts[_METHOD] = self._element(_METHOD, b"LO", _METHOD_TEXT)
        if item.text(_AGE) is None:
            study_date = next((date for date in map(item.text, _STUDY_DATES) if date), None)
            age = age_string(item.text(_BIRTH_DATE), study_date)
            if age is not None:
                parts[_AGE] = self._element(_AGE, b"AS", age.encode("ascii"))

    def _sequence(self, tag: int, item: Item) -> bytes:
        parts: list[bytes] = []
        for child in item.items(tag):
            inner = self.data_set(child, top=False)
            parts += struct.pack("<HHI", 0xFFFE, 0xE000, len(inner)), inner
        return self._element(tag, b"SQ", b"".join(parts))

    def _element(self, tag: int, vr: bytes, value: bytes) -> bytes:
        if not self._implicit:
            return encode_element(tag, vr, value)
        padding = b"" if len(value) % 2 == 0 else b" " if vr in SHORT_VRS and vr != b"UI" else b"\0"
        value += padding
        return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value


def secrets_of(item: Item) -> list[bytes]:
    """The byte strings that tell who the patient is or who the staff are, in the forms in which texts repeat them."""
    stated = [item.raw(tag) for tag in (_PATIENT_ID, _OTHER_IDS, _ACCESSION)]
    if item.raw(_BIRTH_DATE) not in map(item.raw, _STUDY_DATES):  # a test object's may be the day of the test
        stated.append(item.raw(_BIRTH_DATE))
    values = [part.strip(b" \0") for raw in stated for part in raw.split(b"\\")]
    for tag in item.tags():
        if item.vr(tag) == "PN":
            for name in item.raw(tag).split(b"\\"):
                values += _name_forms(name.strip(b" \0^="))
    secrets = {v for v in values if len(v) >= _MIN_SECRET and not v.upper().startswith(_PLACEHOLDERS)}
    return sorted(secrets, key=lambda secret: (-len(secret), secret))


def _name_forms(name: bytes) -> list[bytes]:
    parts = [part.strip() for part in re.split(rb"[\^=]", name) if part.strip()]
    if len(parts) < 2:
        return [name]
    family, given = parts[:2]
    return [name, b" ".join(parts), given + b" " + family] + [
        family + between + given for between in (b"^", b" ", b", ", b",")
    ]


def dicom_file(item: Item, implicit: bool, body: bytes) -> bytes:
    """A DICOM file around an encoded data set: empty preamble, new meta information (PS3.10 section 7.1)."""
    meta = b"".join(
        encode_element(0x00020000 | number, vr, value)
        for number, vr, value in (
            (0x0001, b"OB", b"\0\1"),
            (0x0002, b"UI", item.raw(0x00080016).rstrip(b" \0")),
            (0x0003, b"UI", item.raw(0x00080018).rstrip(b" \0")),
            (0x0010, b"UI", (IMPLICIT_LITTLE if implicit else EXPLICIT_LITTLE).encode()),
            (0x0012, b"UI", IMPLEMENTATION_CLASS_UID.encode()),
            (0x0013, b"SH", b"DOSEATLAS"),
        )
    )
    length = encode_element(0x00020000, b"UL", struct.pack("<I", len(meta)))
    return bytes(128) + b"DICM" + length + meta + body
