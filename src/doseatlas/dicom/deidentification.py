"""What of an object may be archived? The same object without the identity of the patient and of staff.

The attributes are those of the Basic Application Confidentiality Profile (DICOM PS3.15 annex E) that identify people;
dates, UIDs, equipment and institution stay, because dose monitoring is about them (``tables/deidentify.csv`` lists
each attribute, what is done and why). Of private attributes the numeric ones and the private creators stay; private
text and values of unknown representation go, since nobody can say what they hold. Person names are emptied wherever
they are. Where the patient's name, identifiers or birth date, or a name of staff, stand inside another text, they are
blanked there; a UID stays as it is even if its maker put an identifier into it. Patient's Age is stated where it
follows from a birth date that is taken away. Pixel data is dropped.

The result is a DICOM file in little endian. Most objects take a path that copies bytes; what is not plainly encoded,
or has identity in unexpected places, is written anew from its elements.
"""

from __future__ import annotations

import csv
import datetime as dt
import re
import struct
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple, cast, get_args

from doseatlas.dicom.charset import DEFAULT_CODEC, codec_of
from doseatlas.dicom.encode import encode_element
from doseatlas.dicom.header import identity_of
from doseatlas.dicom.item import NUMBER_FORMATS, Item
from doseatlas.dicom.limits import DEFAULT_LIMITS, Limits
from doseatlas.dicom.open import EXPLICIT_LITTLE, IMPLICIT_LITTLE, meta_information, open_plain
from doseatlas.dicom.parse import LONG_VRS, SHORT_VRS, Unusual, parse_data_set, sequence_end
from doseatlas.model import Identity, TableError, UnreadableObject

Action = Literal["remove", "empty", "keep", "patient-pseudonym", "accession-pseudonym"]

IMPLEMENTATION_CLASS_UID = "2.25.231874927158336829463128843175041873402"

_TEXT_VRS = frozenset({b"LO", b"SH", b"ST", b"LT", b"UT", b"UC", b"PN"})
_PRIVATE_KEPT = frozenset(NUMBER_FORMATS) | {b"DS", b"IS"}
_CONTENT = 0x0040A730
_CHARACTER_SET = 0x00080005
_PERSON_NAME = 0x0040A123
_CODES = range(0x00080100, 0x00080200)  # code sequence macro: never free text
_PATIENT_NAME, _PATIENT_ID, _BIRTH_DATE, _AGE = 0x00100010, 0x00100020, 0x00100030, 0x00101010
_OTHER_IDS, _ACCESSION = 0x00101000, 0x00080050
_STUDY_DATES = (0x00080020, 0x00080021, 0x00080022, 0x00080023)
_REMOVED, _METHOD = 0x00120062, 0x00120063
_METHOD_TEXT = b"DoseAtlas: names and identifiers of PS3.15 E.1"
_SEQUENCE_END_BYTES = b"\xfe\xff\xdd\xe0\0\0\0\0"
_UNDEFINED = 0xFFFFFFFF
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


class Deidentified(NamedTuple):
    """The archive form of an object, whose it was, and ``whole``: it was plainly encoded up to its end."""

    data: bytes
    identity: Identity
    whole: bool


def deidentify(
    data: bytes, *, pseudonymise: Callable[[Identity], Pseudonyms], limits: Limits = DEFAULT_LIMITS
) -> Deidentified:
    """The archive form of an object: see the module. ``pseudonymise`` is asked what stands for whom.

    Raises :class:`UnreadableObject` as :func:`doseatlas.dicom.open.open_object` does.
    """
    try:
        result = _copy(data, pseudonymise, limits)
        if result is not None:
            return result
        plain = open_plain(data, limits)
        item = plain.parsed.item
        identity = identity_of(item)
        writer = _Writer(plain.implicit, _secrets(item), pseudonymise(identity))
        written = _file(item, plain.implicit, writer.data_set(item, top=True))
        return Deidentified(written, identity, plain.read_by == "own" and not plain.parsed.truncated)
    except RecursionError:
        raise UnreadableObject("too-deep", "The object nests sequences too deeply; no dose report does.") from None


# ---- the copying path ----


class _Element(NamedTuple):
    tag: int
    vr: bytes
    header: int
    value: int
    stop: int


def _copy(data: bytes, pseudonymise: Callable[[Identity], Pseudonyms], limits: Limits) -> Deidentified | None:
    """The result by copying what is kept; ``None`` when the object needs to be written anew."""
    if data[128:132] != b"DICM" or len(data) > limits.header_bytes:
        return None
    try:
        syntax, start = meta_information(data, 132)
        if syntax not in (IMPLICIT_LITTLE, EXPLICIT_LITTLE):
            return None
        implicit = syntax == IMPLICIT_LITTLE
        elements = _top_level(data, start, implicit)
    except (struct.error, Unusual):
        return None
    if elements is None:
        return None
    stated: dict[int, tuple[bytes | None, int, int] | list[Item]] = {
        e.tag: (None if implicit else e.vr, e.value, e.stop) for e in elements if e.vr != b"SQ"
    }
    codec = codec_of(Item(data, stated).raw(_CHARACTER_SET)) if _CHARACTER_SET in stated else DEFAULT_CODEC
    if codec is None:
        return None
    top = Item(data, stated, codec)
    secrets, identity = _secrets(top), identity_of(top)
    writer = _Writer(implicit, secrets, pseudonymise(identity))
    parts: dict[int, bytes] = {}
    for element in elements:
        if element.tag >> 16 & 1 or element.tag in writer.actions or element.vr in (b"PN", b"UN"):
            if element.vr == b"SQ" and writer.actions.get(element.tag) != "remove":
                return None
            if element.vr != b"SQ":
                writer.add(parts, top, element.tag)
        else:
            parts[element.tag] = data[element.header : element.stop]
            if element.tag == _CONTENT:
                parts[element.tag] = _without_names(parts[element.tag], implicit)
            if element.vr == b"SQ" and (
                _identifying().search(data, element.value, element.stop)
                or _may_hold_unknown(data, element.value, element.stop, implicit)
            ):
                rewritten = _rewritten_sequence(parts[element.tag], implicit, writer)
                if rewritten is None:
                    return None
                parts[element.tag] = rewritten
    writer.add_statements(parts, top)
    body = b"".join(parts[tag] for tag in sorted(parts))
    if any(secret in body for secret in secrets):
        return None
    return Deidentified(_file(top, implicit, body), identity, whole=True)


def _top_level(data: bytes, pos: int, implicit: bool) -> list[_Element] | None:
    """The top-level elements up to the pixel data, sequences unopened; ``None`` when they are not plainly encoded."""
    from doseatlas.dicom.dictionary import public_vr

    size = len(data)
    elements: list[_Element] = []
    while pos < size:
        header = pos
        if implicit:
            group, number, length = struct.unpack_from("<HHI", data, pos)
            vr = public_vr(group << 16 | number)
            pos += 8
        else:
            group, number, vr, length = struct.unpack_from("<HH2sH", data, pos)
            pos += 8
            if vr == b"SQ" or vr in LONG_VRS:
                length = struct.unpack_from("<I", data, pos)[0]
                pos += 4
            elif vr not in SHORT_VRS:
                return None
        if group == 0x7FE0:
            return elements
        tag = group << 16 | number
        if tag == _CHARACTER_SET and b"\\" in data[pos : pos + length]:
            return None
        value = pos
        if length == _UNDEFINED and tag != _CONTENT:
            vr, pos = b"SQ", sequence_end(data, value, implicit)
        elif length == _UNDEFINED:
            # All that was open is closed by the last delimiter of the object, if what follows it is plain.
            pos = data.rfind(_SEQUENCE_END_BYTES, value) + 8
            if pos < 8 or not _ends_plainly(data, pos, implicit):
                return None
            vr = b"SQ"
        else:
            pos += length
        if pos > size or (elements and tag <= elements[-1].tag):
            return None
        elements.append(_Element(tag, vr, header, value, pos))
    return elements


def _ends_plainly(data: bytes, pos: int, implicit: bool) -> bool:
    """Whether nothing but elements after the content sequence follows, up to the very end."""
    rest = _top_level(data, pos, implicit)
    return rest is not None and all(e.tag > _CONTENT and e.vr != b"SQ" for e in rest)


def _without_names(content: bytes, implicit: bool) -> bytes:
    """An encoded content sequence with the values of its PNAME content items blanked; no length changes."""
    header = b"\x40\x00\x23\xa1" if implicit else b"\x40\x00\x23\xa1PN"
    pos = content.find(header)
    if pos < 0:
        return content
    blanked = bytearray(content)
    while pos >= 0:
        start = pos + 8
        length = struct.unpack_from("<I" if implicit else "<H", content, pos + len(header))[0]
        if start + length <= len(content):
            blanked[start : start + length] = b" " * length
        pos = content.find(header, pos + 1)
    return bytes(blanked)


@lru_cache(maxsize=1)
def _identifying() -> re.Pattern[bytes]:
    """Finds what may be an identifying attribute inside a sequence; what it finds may be chance."""
    by_group: dict[bytes, list[bytes]] = {}
    for tag in actions().keys() - {_PERSON_NAME}:
        by_group.setdefault((tag >> 16).to_bytes(2, "little"), []).append((tag & 0xFFFF).to_bytes(2, "little"))
    header = rb"(?=[A-Z][A-Z]|..\x00\x00)"  # explicit objects may hold implicit items
    known = [
        re.escape(group) + b"(?:" + b"|".join(map(re.escape, numbers)) + b")" + header
        for group, numbers in by_group.items()
    ]
    return re.compile(b"|".join(known), re.DOTALL)


_IMPLICIT_CREATOR = re.compile(rb"[\x10-\xff]\x00[\x01-\x40]\x00\x00\x00")


def _may_hold_unknown(data: bytes, start: int, stop: int, implicit: bool) -> bool:
    """Whether there may be a private creator, (odd group, 0010 to 00FF), or a value of VR UN inside a sequence."""
    if implicit:
        return any(data[m.start() - 2] & 1 for m in _IMPLICIT_CREATOR.finditer(data, start, stop))
    if data.find(b"UN\0\0", start, stop) >= 0:
        return True
    pos = data.find(b"\0LO", start, stop)
    while pos >= 0:
        if data[pos - 3] & 1 and data[pos - 1] >= 0x10:
            return True
        pos = data.find(b"\0LO", pos + 1, stop)
    return False


def _rewritten_sequence(encoded: bytes, implicit: bool, writer: _Writer) -> bytes | None:
    try:
        item, truncated, _ = parse_data_set(encoded, 0, implicit)
    except Unusual:
        return None
    return None if truncated else writer.data_set(item, top=False)


# ---- the writing path ----


class _Writer:
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


def _secrets(item: Item) -> list[bytes]:
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


def _file(item: Item, implicit: bool, body: bytes) -> bytes:
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
