"""Which doses to the patient does a report state as estimated, and by what method? Never computed here.

Patient Radiation Dose SR (TID 10030 to 10034) and the organ doses of a radiopharmaceutical report (TID 10023). An
estimate belongs to an organ (its finding site); of a dose that could belong to several organs no organ is given. What
holds for a whole container, such as the method and the models, is repeated in each of its estimates, which is why texts
are cut. Parameters and representations (TID 10032, 10034) are not read.
"""

from __future__ import annotations

from typing import NamedTuple

from doseatlas.dicom.content import ContentItem
from doseatlas.dicom.notes import Notes
from doseatlas.dicom.statements import Statements
from doseatlas.dicom.templates import Field, coded_values, containers, fields
from doseatlas.dicom.units import factor, scaled
from doseatlas.model import DoseEstimate

_DOSES = ("absorbed_dose_mgy", "equivalent_dose_msv", "effective_dose_msv")
_SITE = ("organ", "organ_code", "laterality")
_LONGEST_TEXT = 300
_Values = dict[str, object]


class Estimates:
    """Collects the estimates of one report, and the instances that they were made from."""

    def __init__(self, statements: Statements, notes: Notes) -> None:
        self.found: list[DoseEstimate] = []
        self.made_from: dict[str, None] = {}
        self._statements = statements
        self._notes = notes

    def find_below(self, node: ContentItem) -> None:
        """Take in every estimate container below a node."""
        for child in node.children:
            level = _level(child)
            if level == "estimate":
                self.take(child)
            elif level != "aside":
                self.find_below(child)

    def take(self, node: ContentItem, outer: _Values | None = None) -> None:
        """Take in one estimate container and those within it; ``outer`` is what holds for all of them.

        Raises:
            UnreadableObject: code ``impossible-value``: a dose in it cannot be.

        """
        container = _Container(self._statements, outer or {})
        container.visit(node, None)
        self.made_from |= dict.fromkeys(container.made_from)
        self.found += [_estimate(dose, container, self._statements, self._notes) for dose in container.doses]
        for inner in container.inner:
            self.take(inner, container.shared)


class _Dose(NamedTuple):
    """A stated dose, and the organ that it stands below, if it does."""

    node: ContentItem
    field: Field
    value: float
    site: _Values | None


class _Container:
    """What one container states: doses, and what holds for all of them."""

    def __init__(self, statements: Statements, outer: _Values) -> None:
        self.shared = dict(outer)
        self.sites: list[_Values] = []
        self.doses: list[_Dose] = []
        self.made_from: list[str] = []
        self.inner: list[ContentItem] = []
        self._statements = statements

    def visit(self, node: ContentItem, site: _Values | None) -> None:
        """Take in what is below a node; ``site`` is the organ that it stands for."""
        for child in node.children:
            level = _level(child)
            if level == "estimate":
                self.inner.append(child)
            elif level != "aside":
                self._take(child, site)

    def _take(self, node: ContentItem, site: _Values | None) -> None:
        stated = self._statements.own(node, "estimate")
        values: _Values = {field.name: _short(value) for field, value in stated}
        if "organ" in values:
            site = values | _modifiers(node, self._statements)
            self.sites.append(site)
        elif "estimated_from" in values:
            self.made_from.append(str(stated[0][1]))
        elif stated and stated[0][0].name in _DOSES:
            self.doses.append(_Dose(node, stated[0][0], stated[0][1], site))  # type: ignore[arg-type]
            return  # what is below a dose qualifies that dose only
        else:
            self.shared |= {name: value for name, value in values.items() if name not in self.shared}
        self.visit(node, site)


def _level(node: ContentItem) -> str:
    part = containers().get(node.concept) if node.concept else None
    return part.level if part else ""


def _short(value: object) -> object:
    return value[: _LONGEST_TEXT - 1] + "…" if isinstance(value, str) and len(value) > _LONGEST_TEXT else value


def _modifiers(node: ContentItem, statements: Statements) -> _Values:
    return {f.name: _short(v) for child in node.children for f, v in statements.own(child, "estimate")}


def _estimate(dose: _Dose, container: _Container, statements: Statements, notes: Notes) -> DoseEstimate:
    values = {**container.shared, **_modifiers(dose.node, statements)}
    if "organ" not in values:
        site = dose.site or (container.sites[0] if len(container.sites) == 1 else {})
        if not site and container.sites:
            notes.add("organ-unclear", f"{dose.field.meaning} stands beside several organs; its organ is left out")
        values |= {name: value for name, value in site.items() if name in _SITE}
    values |= _spread(dose, notes)
    if dose.node.concept:
        values["statistic"] = coded_values().get(("statistic", *dose.node.concept))
    return DoseEstimate(**{**values, dose.field.name: dose.value})  # type: ignore[arg-type]


def _spread(dose: _Dose, notes: Notes) -> _Values:
    """The uncertainty of a dose, in its unit (TID 310): below and above it, or the same on both sides."""
    found: _Values = {}
    for child in dose.node.children:
        field = fields("estimate").get(child.concept) if child.concept else None
        if field is None or field.form != "spread" or child.number is None or child.number < 0:
            continue
        unit = child.unit[0] if child.unit else ""
        by = dose.value / 100 if unit == "%" else factor(unit, dose.field.unit)
        if by is None:
            notes.add("unit-unknown", f"The uncertainty of a dose is stated in {unit!r} and is not used")
        elif field.name == "uncertainty":
            found |= dict.fromkeys(("uncertainty_minus", "uncertainty_plus"), scaled(child.number, by))
        else:
            found[field.name] = scaled(child.number, by)
    return found
