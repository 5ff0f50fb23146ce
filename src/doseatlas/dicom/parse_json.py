"""DICOM as JSON: the standard's model (PS3.18 annex F) and the dumps of tags by keyword that many tools write."""

from __future__ import annotations

import base64
import json
from typing import Any

from doseatlas.dicom.dictionary import keyword_tag, public_vr
from doseatlas.dicom.encode import encode_data_set, encode_element, encode_sequence, encode_values
from doseatlas.dicom.limits import Limits
from doseatlas.model.errors import UnreadableObject

_HEX = frozenset("0123456789abcdefABCDEF")
_JSON_BYTES = 16 * 1024 * 1024  # parsed JSON takes many times its size in memory


def rewrite_json(data: bytes, limits: Limits) -> bytes:
    """One object's JSON as an Explicit VR Little Endian data set. Numbers stay the text they are.

    Raises :class:`UnreadableObject` for JSON that is damaged, is not DICOM, or holds several objects.
    """
    if len(data) > min(limits.header_bytes, _JSON_BYTES):
        raise UnreadableObject("too-large", f"The JSON is larger than {_JSON_BYTES >> 20} MiB; no dose report is.")
    try:
        stated = json.loads(data.decode("utf-8-sig"), parse_float=str, parse_int=str, parse_constant=str)
    except RecursionError:
        raise UnreadableObject("too-deep", "The JSON is nested too deeply to be a dose report.") from None
    except ValueError as error:
        raise UnreadableObject("not-dicom", f"The file looks like JSON but is not: {error}.") from None
    if isinstance(stated, list):
        if len(stated) != 1:
            raise UnreadableObject(
                "several-objects", f"The JSON file holds a list of {len(stated)} objects; give each in its own file."
            )
        stated = stated[0]
    if not isinstance(stated, dict) or not _is_dicom(stated):
        raise UnreadableObject("not-dicom", "The JSON file holds no DICOM attributes.")
    try:
        return _data_set(stated, limits.depth)
    except (ValueError, TypeError, AttributeError) as error:
        raise UnreadableObject("damaged", f"The JSON file does not follow the DICOM JSON model: {error}.") from None


def _is_dicom(stated: dict[str, Any]) -> bool:
    tags = [_tag(key) for key in list(stated)[:200]]
    return sum(tag is not None for tag in tags) * 2 > len(tags)


def _tag(key: str) -> int | None:
    if len(key) == 8 and _HEX.issuperset(key):
        return int(key, 16)
    return keyword_tag(key)


def _data_set(stated: dict[str, Any], depth: int) -> bytes:
    if depth < 0:
        raise UnreadableObject("too-deep", "The JSON nests sequences too deeply; no dose report does.")
    elements = {}
    for key, value in stated.items():
        tag = _tag(key)
        if tag is None or tag >> 16 in (0, 2, 0x7FE0, 0xFFFE):
            continue
        if isinstance(value, dict) and "vr" in value:
            elements[tag] = _model_element(tag, value, depth)
        else:
            elements[tag] = _dump_element(tag, value, depth)
    return encode_data_set(elements)


def _model_element(tag: int, element: dict[str, Any], depth: int) -> bytes:
    vr = str(element["vr"]).encode("ascii")
    if "InlineBinary" in element:
        return encode_element(tag, vr, base64.b64decode(element["InlineBinary"]))
    values = element.get("Value", [])
    if vr == b"SQ":
        return encode_sequence(tag, [_data_set(item or {}, depth - 1) for item in values])
    if vr == b"AT":
        return encode_element(tag, vr, b"".join(_attribute_tag(value) for value in values))
    return encode_values(tag, vr, [_text(value) for value in values])


def _dump_element(tag: int, value: Any, depth: int) -> bytes:
    values = value if isinstance(value, list) else [value]
    if values and all(isinstance(item, dict) for item in values) and public_vr(tag) not in (b"PN", b"AT"):
        return encode_sequence(tag, [_data_set(item, depth - 1) for item in values])
    vr = public_vr(tag)
    if vr == b"SQ":
        return encode_sequence(tag, [])
    if vr in (b"AT", b"UN") or vr[:1] == b"O":
        return encode_element(tag, b"UN", b"")  # dumps have no agreed form for these
    return encode_values(tag, vr, [_text(item) for item in values])


def _attribute_tag(value: str) -> bytes:
    tag = int(value, 16)
    return (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little")


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):  # a person's name
        groups = [str(value.get(group, "")) for group in ("Alphabetic", "Ideographic", "Phonetic")]
        return "=".join(groups).rstrip("=")
    return str(value)
