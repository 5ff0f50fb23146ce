"""What is the made-up world made of? Loads the tables of this folder; each is checked against its schema when read.

Doses come from published reference levels (``typical_values.csv``); everything else is made up and says so.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any, Literal, NamedTuple, TypeVar

from doseatlas.model import TableError

DeviceClass = Literal["ct", "angiography", "fluoroscopy", "radiography", "mammography", "nuclear"]
DEVICE_CLASSES: tuple[DeviceClass, ...] = ("ct", "angiography", "fluoroscopy", "radiography", "mammography", "nuclear")
_QUARTILE = 0.674489750196  # z of the 75th percentile of a normal distribution

Row = TypeVar("Row")


class Concept(NamedTuple):
    """A coded concept in its former (SNOMED-RT style) and present form, with English and French meanings."""

    old_value: str
    old_scheme: str
    value: str
    scheme: str
    meaning: str
    meaning_fr: str


class Dialect(NamedTuple):
    """How a made-up maker writes its objects: encoding, code scheme, language, unit spellings, report habits."""

    id: str
    manufacturer: str
    transfer_syntax: Literal["explicit", "implicit"]
    lengths: Literal["defined", "undefined"]
    charset: str
    codes: Literal["old", "new"]
    language: Literal["en", "fr"]
    dlp_unit: str
    kap_unit: str
    kerma_unit: str
    exposure_unit: str
    reports: Literal["study", "series", "cumulative", "image"]
    sop_class: Literal["radiation", "enhanced", "comprehensive"]
    private: bool
    device_role: bool
    ssde: bool
    dose_check: bool
    field: Literal["area", "shutters", "turned"]


class Model(NamedTuple):
    """A made-up device model of a maker."""

    dialect: str
    device_class: DeviceClass
    modality: str
    model: str
    software: str


class Protocol(NamedTuple):
    """How a procedure is done, and its share of the exams of its class of device.

    ``field_area_cm2``: of the beam, at the reference point (fluoroscopy, angiography) or at the entrance surface.
    """

    procedure: str
    device_class: DeviceClass
    share: float
    child_share: float
    region: str
    phases: int
    contrast: bool
    kvp: float
    size_exponent: float
    fluoro_events: int
    acquisition_events: int
    field_area_cm2: float
    views: tuple[str, ...]


class TypicalValue(NamedTuple):
    """A published level and the log-normal distribution around it: ``median`` in ``unit``, ``gsd`` its spread.

    Where the 75th percentile is what was published, median = p75 / gsd ** 0.674, which takes the published value as
    the 75th percentile of patients. That is a convention of this simulator, not a statement about any country.
    """

    quantity: str
    unit: str
    median: float
    gsd: float
    phantom_cm: int | None


class Fault(NamedTuple):
    """A fault of real data, how often it is put into exams it applies to, and what it is."""

    fault: str
    rate: float
    applies_to: str
    meaning: str


class Place(NamedTuple):
    """A made-up facility."""

    country: str
    language: str
    facility: str


class Name(NamedTuple):
    """How a procedure and its protocol are called at a site of one language."""

    text: str
    protocol: str


class Agent(NamedTuple):
    """The radiopharmaceutical of a nuclear medicine procedure."""

    agent: str
    radionuclide: str
    half_life_s: str


def _read(name: str, columns: tuple[str, ...], make: Callable[[dict[str, str]], Row]) -> list[Row]:
    """Read one table; ``make`` turns a row into its record.

    Raises:
        TableError: the header is not ``columns`` or a row does not fit, with the table and line.

    """
    text = (files(__package__) / "tables" / f"{name}.csv").read_text(encoding="utf-8")
    reader = csv.DictReader(text.splitlines())
    if tuple(reader.fieldnames or ()) != columns:
        raise TableError(f"{name}.csv: the columns are {reader.fieldnames}; they must be {list(columns)}.")
    rows = []
    for line, row in enumerate(reader, start=2):
        try:
            if "source" in columns and not row["source"]:
                raise ValueError("no source is given")
            rows.append(make(row))
        except (ValueError, TypeError, KeyError) as error:
            raise TableError(f"{name}.csv, line {line}: {error}.") from None
    return rows


def _yes(text: str) -> bool:
    if text not in ("yes", "no"):
        raise ValueError(f"'{text}' is neither yes nor no")
    return text == "yes"


def _one_of(text: str, allowed: tuple[str, ...]) -> Any:
    if text not in allowed:
        raise ValueError(f"'{text}' is none of {', '.join(allowed)}")
    return text


@cache
def concepts() -> dict[str, Concept]:
    """Concepts by key."""
    columns = ("key", *Concept._fields, "source")
    return dict(_read("concepts", columns, lambda row: (row["key"], Concept(*(row[f] for f in Concept._fields)))))


@cache
def dialects() -> dict[str, Dialect]:
    """Dialects by id."""

    def make(row: dict[str, str]) -> Dialect:
        return Dialect(
            id=row["id"],
            manufacturer=row["manufacturer"],
            transfer_syntax=_one_of(row["transfer_syntax"], ("explicit", "implicit")),
            lengths=_one_of(row["lengths"], ("defined", "undefined")),
            charset=_one_of(row["charset"], ("ISO_IR 100", "ISO_IR 192")),
            codes=_one_of(row["codes"], ("old", "new")),
            language=_one_of(row["language"], ("en", "fr")),
            dlp_unit=_one_of(row["dlp_unit"], ("mGycm", "mGy.cm")),
            kap_unit=_one_of(row["kap_unit"], ("Gym2", "Gy.m2", "dGy.cm2", "mGy.cm2", "Gy.cm2")),
            kerma_unit=_one_of(row["kerma_unit"], ("Gy", "mGy")),
            exposure_unit=_one_of(row["exposure_unit"], ("uAs", "uA.s", "mA.s")),
            reports=_one_of(row["reports"], ("study", "series", "cumulative", "image")),
            sop_class=_one_of(row["sop_class"], ("radiation", "enhanced", "comprehensive")),
            private=_yes(row["private"]),
            device_role=_yes(row["device_role"]),
            ssde=_yes(row["ssde"]),
            dose_check=_yes(row["dose_check"]),
            field=_one_of(row["field"], ("area", "shutters", "turned")),
        )

    return {dialect.id: dialect for dialect in _read("dialects", (*Dialect._fields, "source"), make)}


@cache
def models() -> tuple[Model, ...]:
    """Device models of all made-up makers."""

    def make(row: dict[str, str]) -> Model:
        device_class: DeviceClass = _one_of(row["device_class"], DEVICE_CLASSES)
        dialect = _one_of(row["dialect"], tuple(dialects()))
        return Model(dialect, device_class, row["modality"], row["model"], row["software"])

    return tuple(_read("models", Model._fields, make))


@cache
def protocols() -> dict[str, Protocol]:
    """Protocols by procedure id; the shares of each class of device add up to 1."""

    def make(row: dict[str, str]) -> Protocol:
        return Protocol(
            procedure=row["procedure"],
            device_class=_one_of(row["device_class"], DEVICE_CLASSES),
            share=float(row["share"]),
            child_share=float(row["child_share"]),
            region=_one_of(row["region"], tuple(concepts())),
            phases=int(row["phases"] or 1),
            contrast=_yes(row["contrast"] or "no"),
            kvp=float(row["kvp"] or 0),
            size_exponent=float(row["size_exponent"]),
            fluoro_events=int(row["fluoro_events"] or 0),
            acquisition_events=int(row["acquisition_events"] or 0),
            field_area_cm2=float(row["field_area_cm2"] or 0),
            views=tuple(row["views"].split()),
        )

    return {protocol.procedure: protocol for protocol in _read("protocols", (*Protocol._fields, "source"), make)}


@cache
def typical_values() -> dict[tuple[str, str], dict[str, TypicalValue]]:
    """Typical values by (procedure, patient group), then by quantity (CTDIvol, DLP, PKA, Ka,r, DG, ...)."""
    columns = ("procedure", "patient_group", "quantity", "unit", "stated", "percentile", "gsd")

    def make(row: dict[str, str]) -> tuple[tuple[str, str], TypicalValue]:
        gsd, z = float(row["gsd"]), {"50": 0.0, "75": _QUARTILE}[row["percentile"]]
        median = float(row["stated"]) * math.exp(-z * math.log(gsd))
        phantom = int(row["phantom_cm"]) if row["phantom_cm"] else None
        value = TypicalValue(row["quantity"], row["unit"], median, gsd, phantom)
        return (row["procedure"], row["patient_group"]), value

    table: dict[tuple[str, str], dict[str, TypicalValue]] = {}
    for key, value in _read("typical_values", (*columns, "phantom_cm", "exam", "year", "source"), make):
        table.setdefault(key, {})[value.quantity] = value
    return table


@cache
def faults() -> dict[str, Fault]:
    """Faults by name, with their rates."""

    def make(row: dict[str, str]) -> Fault:
        applies_to = _one_of(row["applies_to"], ("any", "report", "ct", "ct-child"))
        return Fault(row["fault"], float(row["rate"]), applies_to, row["meaning"])

    return {fault.fault: fault for fault in _read("faults", (*Fault._fields, "source"), make)}


@cache
def places() -> tuple[Place, ...]:
    """Made-up facilities, country by country."""
    return tuple(_read("countries", Place._fields, lambda row: Place(**row)))


@cache
def names() -> dict[tuple[str, str], tuple[Name, ...]]:
    """How procedures are called, by (procedure, language)."""
    table: dict[tuple[str, str], tuple[Name, ...]] = {}
    columns = ("procedure", "language", "text", "protocol")
    rows = _read("names", columns, lambda row: (row["procedure"], row["language"], Name(row["text"], row["protocol"])))
    for procedure, language, name in rows:
        table[procedure, language] = (*table.get((procedure, language), ()), name)
    return table


@cache
def age_words() -> dict[str, tuple[str, str]]:
    """The words of a language that mark a protocol for adults and for children."""
    columns = ("language", "adult_word", "child_word")
    return dict(_read("languages", columns, lambda row: (row["language"], (row["adult_word"], row["child_word"]))))


@cache
def agents() -> dict[str, Agent]:
    """Radiopharmaceuticals by procedure."""
    columns = ("procedure", *Agent._fields, "source")
    return dict(_read("agents", columns, lambda row: (row["procedure"], Agent(*(row[f] for f in Agent._fields)))))
