"""How does the text of a data set decode? (DICOM PS3.3 C.12.1.1.2, Specific Character Set; PS3.5 section 6.1)"""

from __future__ import annotations

DEFAULT_CODEC = "latin-1"  # the default repertoire is ASCII; what else occurs is read as most makers mean it

Codec = str | tuple[str, ...]
"""A Python codec, or the stated terms of a character set with code extensions (escapes switch sets inside a value)."""

_ESCAPE = b"\x1b"

_CODECS = {
    "": DEFAULT_CODEC,
    "ISO_IR 6": DEFAULT_CODEC,
    "ISO_IR 100": "latin-1",
    "ISO_IR 101": "iso8859_2",
    "ISO_IR 109": "iso8859_3",
    "ISO_IR 110": "iso8859_4",
    "ISO_IR 144": "iso8859_5",
    "ISO_IR 127": "iso8859_6",
    "ISO_IR 126": "iso8859_7",
    "ISO_IR 138": "iso8859_8",
    "ISO_IR 148": "iso8859_9",
    "ISO_IR 13": "shift_jis",
    "ISO_IR 166": "tis_620",
    "ISO_IR 192": "utf-8",
    "GB18030": "gb18030",
    "GBK": "gbk",
}
_EXTENSIONS = frozenset(
    f"ISO 2022 IR {number}" for number in (6, 13, 58, 87, 100, 101, 109, 110, 126, 127, 138, 144, 148, 149, 159, 166)
)


def codec_of(stated: bytes) -> Codec | None:
    """The codec for a stated Specific Character Set, ``None`` when a term is unknown."""
    terms = tuple(term.strip(" \0") for term in stated.decode("latin-1").split("\\"))
    if len(terms) == 1 and terms[0] not in _EXTENSIONS:
        return _CODECS.get(terms[0])
    return terms if all(term in _CODECS or term in _EXTENSIONS for term in terms) else None


def decode_text(raw: bytes, codec: Codec) -> str:
    """Text as the character set has it; bytes that it does not know become U+FFFD. Escapes are pydicom's work."""
    if isinstance(codec, str):
        return raw.decode(codec, "replace")
    if _ESCAPE not in raw:
        first = _CODECS.get(codec[0].replace("ISO 2022 IR", "ISO_IR"), DEFAULT_CODEC)
        return raw.decode(first, "replace")
    import warnings

    from pydicom.charset import convert_encodings, decode_bytes
    from pydicom.valuerep import TEXT_VR_DELIMS

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return decode_bytes(raw, convert_encodings(list(codec)), TEXT_VR_DELIMS)
