"""DICOM as XML: the Native DICOM Model (PS3.19 annex A.1). Document types are refused, so nothing can expand."""

from __future__ import annotations

import base64
import re
from xml.parsers import expat

from doseatlas.dicom.encode import encode_data_set, encode_element, encode_sequence, encode_values
from doseatlas.dicom.limits import Limits
from doseatlas.model.errors import UnreadableObject

_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
_XML_BYTES = 16 * 1024 * 1024
_NAME_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_NAME_PARTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")


def rewrite_xml(data: bytes, limits: Limits) -> bytes:
    """One object's XML as an Explicit VR Little Endian data set.

    Raises :class:`UnreadableObject` for XML that is damaged, is not the Native DICOM Model or declares a document type.
    """
    if len(data) > min(limits.header_bytes, _XML_BYTES):
        raise UnreadableObject("too-large", f"The XML is larger than {_XML_BYTES >> 20} MiB; no dose report is.")
    text = _decode(data)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise UnreadableObject("damaged", "The XML declares a document type; DICOM XML has none, so it is not read.")
    if "<NativeDicomModel" not in text[:100_000]:
        raise UnreadableObject("not-dicom", "The XML file is not DICOM's Native DICOM Model.")
    reader = _Reader(limits)
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.characters
    try:
        parser.Parse(_DECLARATION.sub("", text, count=1).encode("utf-8", "replace"), True)
    except (expat.ExpatError, ValueError, IndexError, KeyError) as error:
        raise UnreadableObject("damaged", f"The XML file does not follow the Native DICOM Model: {error}.") from None
    if reader.result is None:
        raise UnreadableObject("not-dicom", "The XML file is not DICOM's Native DICOM Model.")
    return reader.result


def _decode(data: bytes) -> str:
    codec = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    latin = re.match(rb"\s*<\?xml[^>]*encoding=[\"'](iso-8859-1|us-ascii|windows-1252)", data[:200], re.IGNORECASE)
    try:
        return data.decode(latin[1].decode("ascii") if latin else codec)
    except UnicodeDecodeError:
        raise UnreadableObject("not-dicom", "The XML file is not in an encoding that DICOM XML uses.") from None


class _Attribute:
    """A DicomAttribute being read."""

    def __init__(self, tag: int, vr: str) -> None:
        self.tag = tag
        self.vr = vr.encode("ascii", "replace")[:2]
        self.values: dict[int, str] = {}
        self.names: dict[int, dict[str, dict[str, str]]] = {}
        self.items: list[bytes] = []
        self.binary: bytes | None = None

    def encoded(self) -> bytes:
        if self.vr == b"SQ":
            return encode_sequence(self.tag, self.items)
        if self.binary is not None:
            return encode_element(self.tag, self.vr, self.binary)
        if self.names:
            return encode_values(self.tag, self.vr, [_name(self.names[n]) for n in sorted(self.names)])
        values = [self.values[n] for n in sorted(self.values)]
        if self.vr == b"AT":
            return encode_element(self.tag, self.vr, b"".join(_attribute_tag(value) for value in values))
        return encode_values(self.tag, self.vr, values)


class _Reader:
    """Follows the elements of the document; ``result`` is set when the model's root element closes."""

    def __init__(self, limits: Limits) -> None:
        self.result: bytes | None = None
        self._limits = limits
        self._elements = 0
        self._data_sets: list[dict[int, bytes]] = []
        self._attributes: list[_Attribute] = []
        self._number = 1
        self._group = "Alphabetic"
        self._text: list[str] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._text = []
        if name == "NativeDicomModel":
            self._data_sets.append({})
        elif name == "DicomAttribute":
            self._elements += 1
            if self._elements > self._limits.elements:
                raise UnreadableObject("too-many-items", "The XML holds too many attributes for a dose report.")
            self._attributes.append(_Attribute(int(attributes["tag"], 16) & 0xFFFFFFFF, attributes.get("vr", "UN")))
        elif name == "Item":
            if len(self._data_sets) > self._limits.depth:
                raise UnreadableObject("too-deep", "The XML nests sequences too deeply; no dose report does.")
            self._data_sets.append({})
        elif name in ("Value", "PersonName"):
            self._number = int(attributes.get("number", "1"))
        elif name in _NAME_GROUPS:
            self._group = name

    def characters(self, text: str) -> None:
        self._text.append(text)

    def end(self, name: str) -> None:
        if name == "NativeDicomModel":
            self.result = encode_data_set(self._data_sets.pop())
        elif name == "Item":
            self._attributes[-1].items.append(encode_data_set(self._data_sets.pop()))
        elif name == "DicomAttribute":
            attribute = self._attributes.pop()
            if attribute.tag >> 16 not in (0, 2, 0x7FE0, 0xFFFE):
                self._data_sets[-1][attribute.tag] = attribute.encoded()
        elif name == "Value":
            self._attributes[-1].values[self._number] = "".join(self._text)
        elif name == "InlineBinary":
            self._attributes[-1].binary = base64.b64decode("".join(self._text))
        elif name in _NAME_PARTS:
            groups = self._attributes[-1].names.setdefault(self._number, {})
            groups.setdefault(self._group, {})[name] = "".join(self._text)


def _name(groups: dict[str, dict[str, str]]) -> str:
    stated = [
        "^".join(groups.get(group, {}).get(part, "") for part in _NAME_PARTS).rstrip("^") for group in _NAME_GROUPS
    ]
    return "=".join(stated).rstrip("=")


def _attribute_tag(value: str) -> bytes:
    tag = int(value, 16)
    return (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little")
