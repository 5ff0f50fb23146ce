"""What does a structured report say? Its content items as a tree (DICOM PS3.3 C.17.3, SR Document Content Module)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from doseatlas.dicom.charset import Codec, decode_text
from doseatlas.dicom.item import PADDING, Item, parse_number

CodedValue = tuple[str, str, str | None]
"""(code value, coding scheme designator, code meaning)"""

_RELATIONSHIP = 0x0040A010
_VALUE_TYPE = 0x0040A040
_CONCEPT_NAME = 0x0040A043
_CONTENT = 0x0040A730
_CODE = 0x0040A168
_MEASURED_VALUE = 0x0040A300
_NUMERIC_VALUE = 0x0040A30A
_FLOATING_POINT_VALUE = 0x0040A161
_UNITS = 0x004008EA
_QUALIFIER = 0x0040A301

_CODE_VALUE, _LONG_CODE_VALUE, _URN_CODE_VALUE = 0x00080100, 0x00080119, 0x00080120
_SCHEME, _MEANING = 0x00080102, 0x00080104

_TEXT_TAGS = {
    "TEXT": 0x0040A160,
    "UIDREF": 0x0040A124,
    "PNAME": 0x0040A123,
    "DATETIME": 0x0040A120,
    "DATE": 0x0040A121,
    "TIME": 0x0040A122,
}
_REFERENCED_SOP, _REFERENCED_INSTANCE = 0x00081199, 0x00081155


class ContentItem:
    """One content item, its value as stated; fields that do not belong to its value type are ``None``.

    ``relationship`` and ``value_type`` are the defined terms of the standard ("CONTAINS", "NUM"), empty when absent.
    ``concept`` is (code value, scheme designator); ``meaning`` is the words that go with it. ``text`` holds TEXT,
    UIDREF, PNAME, DATE, TIME and DATETIME, and of COMPOSITE and IMAGE the SOP Instance UID referred to; ``code`` holds
    CODE; ``number``, ``number_text``, ``unit`` and ``qualifier`` hold NUM. ``number`` is ``None`` when ``number_text``
    is not a finite decimal number. Equal content items of one report may be one object: do not change them.
    """

    __slots__ = (
        "children",
        "code",
        "concept",
        "meaning",
        "number",
        "number_text",
        "qualifier",
        "relationship",
        "text",
        "unit",
        "value_type",
    )

    def __init__(self, relationship: str, value_type: str) -> None:
        self.relationship = relationship
        self.value_type = value_type
        self.concept: tuple[str, str] | None = None
        self.meaning: str | None = None
        self.text: str | None = None
        self.code: CodedValue | None = None
        self.number: float | None = None
        self.number_text: str | None = None
        self.unit: CodedValue | None = None
        self.qualifier: CodedValue | None = None
        self.children: list[ContentItem] = []

    def __repr__(self) -> str:
        return f"ContentItem({self.value_type} {self.concept} {self.meaning!r}, {len(self.children)} children)"


def content_tree(item: Item) -> ContentItem | None:
    """The root content item of an SR data set; ``None`` when the data set is not a structured report."""
    if _VALUE_TYPE not in item and _CONTENT not in item:
        return None
    return _Builder().build(item)


class _Builder:
    """Builds one tree. What shares its bytes (see :mod:`doseatlas.dicom.parse`) is decoded once."""

    __slots__ = ("_codes", "_nodes")

    def __init__(self) -> None:
        self._codes: dict[int, CodedValue | None] = {}
        self._nodes: dict[int, ContentItem] = {}

    def build(self, item: Item) -> ContentItem:
        value_type = _term(item.raw(_VALUE_TYPE))
        node = ContentItem(_term(item.raw(_RELATIONSHIP)), value_type)
        name = self._code(item, _CONCEPT_NAME)
        if name is not None:
            node.concept = name[:2]
            node.meaning = name[2]
        if value_type == "NUM":
            self._measure(node, item)
        elif value_type == "CODE":
            node.code = self._code(item, _CODE)
        elif value_type in _TEXT_TAGS:
            node.text = item.text(_TEXT_TAGS[value_type])
        elif value_type in ("COMPOSITE", "IMAGE"):
            referenced = item.items(_REFERENCED_SOP)
            node.text = referenced[0].text(_REFERENCED_INSTANCE) if referenced else None
        if _CONTENT in item:
            node.children = [self._nodes.get(id(child)) or self.build(child) for child in item.items(_CONTENT)]
        self._nodes[id(item)] = node
        return node

    def _measure(self, node: ContentItem, item: Item) -> None:
        if _QUALIFIER in item:
            node.qualifier = self._code(item, _QUALIFIER)
        for measured in item.items(_MEASURED_VALUE)[:1]:
            node.unit = self._code(measured, _UNITS)
            raw = measured.raw(_NUMERIC_VALUE).strip(b" \0")
            if raw:
                node.number_text = raw.decode("latin-1")
                node.number = parse_number(raw)
            else:
                node.number = measured.number(_FLOATING_POINT_VALUE)
                node.number_text = None if node.number is None else repr(node.number)

    def _code(self, item: Item, tag: int) -> CodedValue | None:
        items = item.items(tag)
        key = id(items)
        if key in self._codes:
            return self._codes[key]
        code = self._codes[key] = coded_value(items)
        return code


@lru_cache(maxsize=256)
def _term(raw: bytes) -> str:
    """A defined term such as a value type: the same few of them, over and over."""
    return raw.decode("latin-1").split("\\")[0].strip(" \0")


def coded_value(items: Sequence[Item]) -> CodedValue | None:
    """The first item of a code sequence (DICOM PS3.3 table 8.8-1); ``None`` when it states no code."""
    if not items:
        return None
    item = items[0]
    plain = item.raw(_CODE_VALUE)
    if plain:
        return _plain_code(plain, item.raw(_SCHEME), item.raw(_MEANING), item.codec)
    value = item.text(_LONG_CODE_VALUE) or item.text(_URN_CODE_VALUE)
    return None if value is None else (value, item.text(_SCHEME) or "", item.text(_MEANING))


@lru_cache(maxsize=4096)
def _plain_code(value: bytes, scheme: bytes, meaning: bytes, codec: Codec) -> CodedValue | None:
    """Codes are a small vocabulary that all reports share: each is decoded once."""
    texts = [decode_text(raw, codec).split("\\")[0].strip(PADDING) for raw in (value, scheme, meaning)]
    return (texts[0], texts[1], texts[2] or None) if texts[0] else None
