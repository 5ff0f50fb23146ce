"""Which attribute of an image or procedure step becomes which field? The table is ``tables/attributes.csv``.

The standard fixes the unit of an attribute (PS3.3), so the table states it; what makers do otherwise is a dialect.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Literal, NamedTuple

from doseatlas.dicom.content import coded_value
from doseatlas.dicom.header import instant_of
from doseatlas.dicom.item import Item
from doseatlas.dicom.measures import Measures, Stated
from doseatlas.dicom.table import rows
from doseatlas.dicom.templates import Field, coded_values
from doseatlas.model import Code

Level = Literal["event", "filter", "nuclear", "step"]


class Attribute(NamedTuple):
    """One row: the tag, the field with our unit, the unit by the standard, and the modalities (empty: any)."""

    tag: int
    field: Field
    form: str
    unit: str
    modalities: frozenset[str]


@cache
def attributes(level: Level) -> tuple[Attribute, ...]:
    """Return the attributes of a level: an exposure, its filter, an administration, a procedure step."""
    return tuple(
        Attribute(
            int(row["tag"], 16),
            Field(
                rank,
                row["field"],
                "integer" if row["form"] == "integer" else "number",
                row["unit"],
                row["several"],  # type: ignore[arg-type]
                f"{row['keyword']} ({row['tag'][:4]},{row['tag'][4:]})",
            ),
            row["form"],
            row["stated_unit"],
            frozenset(row["modalities"].split()),
        )
        for rank, row in enumerate(rows("attributes.csv"))
        if row["level"] == level
    )


def stated(items: Sequence[Item], level: Level, modality: str | None, measures: Measures) -> list[Stated]:
    """Return what data sets state in the attributes of a level.

    Without a modality, attributes whose meaning depends on it are left out.
    """
    found: list[Stated] = []
    for attribute in attributes(level):
        if attribute.modalities and modality not in attribute.modalities:
            continue
        for item in items:
            if attribute.tag in item:
                value = _value(item, attribute, measures)
                if value is not None:
                    found.append((attribute.field, value))
    return found


def _value(item: Item, attribute: Attribute, measures: Measures) -> object:
    tag, form = attribute.tag, attribute.form
    if form in ("number", "integer", "nonzero"):
        return _number(item, attribute, measures)
    if form == "time":
        return instant_of(item.text(tag))
    if form == "coded":
        return _coded(item, attribute, measures)
    if form == "defined":
        return _defined(item, attribute)
    return item.text(tag)


def _defined(item: Item, attribute: Attribute) -> object:
    """The first value of an attribute that is a defined term known for its field; for a field of codes, its code."""
    for text in item.texts(attribute.tag):
        known = coded_values().get((attribute.field.name, text, "term"))
        if known is not None and attribute.field.name.endswith("_code"):
            scheme, value = known.split()
            return Code(value=value, scheme=scheme)
        if known is not None:
            return known
    return None


def _number(item: Item, attribute: Attribute, measures: Measures) -> float | int | None:
    tag, field = attribute.tag, attribute.field
    number = item.number(tag)
    if number is None:
        text = item.text(tag)
        if text is not None:
            measures.notes.add("not-a-number", f"{field.meaning} is no number and is not used", repr(text[:40]))
        return None
    if attribute.form == "nonzero" and number == 0:
        return None
    value = measures.number(field, number, attribute.unit)
    return int(value) if value is not None and attribute.form == "integer" else value


def _coded(item: Item, attribute: Attribute, measures: Measures) -> object:
    code = coded_value(item.items(attribute.tag))
    if code is None:
        return None
    value, scheme, meaning = code
    known = coded_values().get((attribute.field.name, value, scheme))
    if known is not None:
        return int(known) if known.isdecimal() else known
    if attribute.field.name == "phantom_cm":
        about = f"{attribute.field.meaning} is a code that is not known and is not used"
        measures.notes.add("unknown-code", about, f"{meaning}")
        return None
    return meaning
