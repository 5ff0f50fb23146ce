"""What do the content items of one container state, field by field?

Content items that repeat byte for byte are one object (see :mod:`doseatlas.dicom.content`); they are converted once,
unless their conversion leaves a note, which has to count every occurrence.
"""

from __future__ import annotations

from doseatlas.dicom.content import ContentItem
from doseatlas.dicom.header import instant_of
from doseatlas.dicom.measures import Measures, Stated
from doseatlas.dicom.notes import Notes
from doseatlas.dicom.record import record_values
from doseatlas.dicom.templates import CODE_BESIDE, Field, agd_field, code_beside, coded_values, containers, fields
from doseatlas.model import Code, Device, Filter

_FILTERS = Field(-1, "filters", "code", "", "all", "X-Ray Filters")
_LARGEST_COUNT = 2**53
_NOTHING: tuple[Stated, ...] = ()


class Statements:
    """Reads the content items of one report."""

    def __init__(self, device: Device, notes: Notes) -> None:
        self._notes = notes
        self._measures = Measures(device, notes)
        self._parts = containers()
        self._known: dict[str, dict[int, tuple[Stated, ...]]] = {
            level: {} for level in ("event", "total", "plane", "filter", "patient")
        }

    def below(self, node: ContentItem, level: str) -> list[Stated]:
        """Return what all content items below a node state in the fields of a level, in their order."""
        known = self._known[level]
        found: list[Stated] = []
        for child in node.children:
            stated = known.get(id(child))
            if stated is None:
                stated = self._all(child, level, known)
            if stated:
                found += stated
        return found

    def _all(self, node: ContentItem, level: str, known: dict[int, tuple[Stated, ...]]) -> tuple[Stated, ...]:
        before = self._notes.count
        part = self._parts.get(node.concept) if node.children and node.concept else None
        if part is not None and part.level in ("aside", "patient", "estimate", "details"):
            stated = _NOTHING
        elif part is not None and part.level == "filter":
            stated = ((_FILTERS, (_filter(record_values(self.below(node, "filter"))),)),)
        else:
            stated = self.own(node, level)
            if node.children:
                stated = (*stated, *self.below(node, level))
        if self._notes.count == before:
            known[id(node)] = stated
        return stated

    def own(self, node: ContentItem, level: str) -> tuple[Stated, ...]:
        """Return what a content item states by itself in the fields of a level."""
        field = fields(level).get(node.concept) if node.concept else None
        if field is None or field.form == "spread":  # a spread is read with the value that it qualifies
            return _NOTHING
        form = field.form
        if form in ("number", "integer", "laterality"):
            return self._number(node, field)
        value: object = None
        if form == "time":
            value = instant_of(node.text)
        elif node.code is None:
            value = node.text
        elif form == "code":
            return _code(node, field)
        elif form == "coded":
            value = self._coded(node, field)
        return _NOTHING if value is None else ((field, value),)

    def _number(self, node: ContentItem, field: Field) -> tuple[Stated, ...]:
        if node.number is None:
            if node.number_text is not None:
                self._notes.add(
                    "not-a-number", f"{field.meaning} is no number and is not used", repr(node.number_text[:40])
                )
            return _NOTHING
        value = self._measures.number(field, node.number, node.unit[0] if node.unit else None)
        if value is None:
            return _NOTHING
        if field.form == "integer":
            if not value.is_integer() or abs(value) > _LARGEST_COUNT:
                self._notes.add("not-a-number", f"{field.meaning} is no count and is not used", f"{value:g}")
                return _NOTHING
            return ((field, int(value)),)
        if field.form == "laterality":
            side = self._side(node)
            if side is None:
                self._notes.add("unknown-code", f"{field.meaning} does not say of which breast it is and is not used")
                return _NOTHING
            field = agd_field(field, side)
        return ((field, value),)

    def _side(self, node: ContentItem) -> str | None:
        """The laterality that modifies a content item: L, R or B."""
        for child in node.children:
            field = fields("event").get(child.concept) if child.concept else None
            if field is not None and field.name == "laterality" and child.code is not None:
                return coded_values().get(("laterality", *child.code[:2]))
        return None

    def _coded(self, node: ContentItem, field: Field) -> object:
        if node.code is None:
            return None
        value, scheme, meaning = node.code
        known = coded_values().get((field.name, value, scheme))
        if known is None and field.name != "phantom_cm":
            return meaning
        if known is None:
            self._notes.add(
                "unknown-code", f"{field.meaning} is a code that is not known and is not used", f"{meaning}"
            )
            return None
        return int(known) if known.isdecimal() else known


def _filter(values: dict[str, object]) -> Filter:
    """A filter; one thickness that holds everywhere is its least and its largest (TID 10055)."""
    uniform = values.pop("thickness_mm", None)
    both = {} if uniform is None else {"thickness_min_mm": uniform, "thickness_max_mm": uniform}
    return Filter(**{**both, **values})  # type: ignore[arg-type]


def _code(node: ContentItem, field: Field) -> tuple[Stated, ...]:
    """A coded answer kept as words, and, for some fields, as code in a field beside it."""
    if node.code is None:
        return _NOTHING
    value, scheme, meaning = node.code
    text = (field, coded_values().get((field.name, value, scheme), meaning or value))
    if field.name not in CODE_BESIDE:
        return (text,)
    return text, (code_beside(field), Code(value=value, scheme=scheme, meaning=meaning))
