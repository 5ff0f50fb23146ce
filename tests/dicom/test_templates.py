"""Every row of the tables that say which concept or attribute becomes which field."""

from __future__ import annotations

import re
from typing import cast, get_args

import pytest
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.sr import _concepts_dict, _snomed_dict

from doseatlas.dicom.attributes import Level, attributes
from doseatlas.dicom.dose_text import dose_lines
from doseatlas.dicom.table import rows
from doseatlas.dicom.templates import Form, Several, coded_values, containers, dose_maxima, field_units, fields
from doseatlas.dicom.units import units
from doseatlas.model import Device, DoseEstimate, Event, Filter, Kind, Patient, Totals

CONCEPTS = rows("concepts.csv")
RECORDS = {
    "event": Event,
    "filter": Filter,
    "total": Totals,
    "plane": Event,  # stated once for the events of a plane
    "estimate": DoseEstimate,
    "patient": Patient,
    "device": Device,
}
ELSEWHERE = {"thickness_mm", "uncertainty", "estimated_from"}  # stands for two fields, or is a field of the exam
DOCUMENT = {"started_at", "procedure_reported", "study_instance_uid"}
PRIVATE = {"99SMS_RADSUM", "99PHI-IXR-XPER"}
SCHEMES = {"DCM", "SRT", "SCT", "LN"} | PRIVATE
UNIT_ENDINGS = {
    "mgy_cm": "mGy.cm",
    "gy_cm2": "Gy.cm2",
    "mgy": "mGy",
    "mbq": "MBq",
    "msv": "mSv",
    "mm": "mm",
    "cm": "cm",
    "cm2": "cm2",
    "ms": "ms",
    "s": "s",
    "ma": "mA",
    "mas": "mA.s",
    "hz": "Hz",
    "deg": "deg",
    "kg": "kg",
    "years": "a",
    "n": "N",
}


# pydicom's copy of the standard: scheme -> keyword -> code -> (meaning, contexts); SNOMED RT codes -> SNOMED CT codes
OFFICIAL = cast("dict[str, dict[str, dict[str, tuple[str, list[int]]]]]", _concepts_dict.concepts)
SNOMED_CT = _snomed_dict.mapping["SRT"]
NAMED_OTHERWISE = {"349358000", "F-61FDB", "89457008", "C-10072"}  # templates: Radiopharmaceutical agent, Radionuclide


def known_meanings(scheme: str, code: str) -> list[str]:
    """What pydicom's copy of PS3.16 calls a code; SNOMED RT by way of SNOMED CT."""
    if scheme == "SRT":
        scheme, code = "SCT", SNOMED_CT.get(code, code)
    return [found[code][0] for found in OFFICIAL.get(scheme, {}).values() if code in found]


def unit_in_name(field: str) -> str | None:
    for ending, unit in sorted(UNIT_ENDINGS.items(), key=lambda pair: -len(pair[0])):
        if field.endswith("_" + ending):
            return unit
    return None


@pytest.mark.parametrize("row", CONCEPTS, ids=lambda row: f"{row['level']}-{row['code']}-{row['scheme']}")
def test_every_concept_becomes_a_field_that_exists_in_the_unit_of_its_name(row: dict[str, str]) -> None:
    assert row["scheme"] in SCHEMES
    assert row["form"] in get_args(Form)
    assert row["several"] in get_args(Several)
    assert row["tid"]
    assert row["meaning"]
    if row["level"] == "document":
        assert row["field"] in DOCUMENT
    elif row["form"] != "laterality" and row["field"] not in ELSEWHERE:
        assert row["field"] in RECORDS[row["level"]].__struct_fields__
    if row["form"] in ("number", "integer", "laterality"):
        assert row["unit"] in units()
        assert unit_in_name(row["field"]) in (row["unit"], None)
    else:
        assert row["unit"] == ""


@pytest.mark.parametrize("table", ["concepts.csv", "containers.csv", "coded_values.csv"])
def test_codes_mean_what_the_standard_says(table: str) -> None:
    """The words of each row are those of the standard, apart from differences of case, plural and remarks."""
    words = re.compile(r"[a-z]+")
    for row in rows(table):
        if row["scheme"] in PRIVATE | {"term", "LN"} or row["code"] in NAMED_OTHERWISE:
            continue
        stated = set(words.findall(row["meaning"].lower()))
        official = [set(words.findall(text.lower())) for text in known_meanings(row["scheme"], row["code"])]
        assert any(len(stated & real) >= min(len(stated), len(real)) / 2 for real in official), (row, official)


def test_a_concept_stands_once_in_a_level() -> None:
    keys = [(row["level"], row["scheme"], row["code"]) for row in CONCEPTS]
    assert len(set(keys)) == len(keys)


def test_the_designators_of_snomed_rt_are_one_scheme() -> None:
    for scheme in ("SRT", "SNM3", "99SDM"):
        assert fields("event")["G-C171", scheme].name == "laterality"
        assert coded_values()["laterality", "G-A101", scheme] == "L"


@pytest.mark.parametrize("row", rows("containers.csv"), ids=lambda row: row["code"])
def test_every_container_has_a_level_and_a_kind_that_exist(row: dict[str, str]) -> None:
    assert row["level"] in ("root", "total", "event", "details", "estimate", "patient", "filter", "aside")
    assert row["kind"] in (*get_args(Kind), "")
    assert row["tid"]
    assert containers()[row["code"], row["scheme"]].level == row["level"]


@pytest.mark.parametrize("row", rows("coded_values.csv"), ids=lambda row: f"{row['field']}-{row['code']}")
def test_every_coded_value_belongs_to_a_field(row: dict[str, str]) -> None:
    known = {*Event.__struct_fields__, *Patient.__struct_fields__, *DoseEstimate.__struct_fields__, "kind"}
    assert row["field"] in known
    assert row["value"]
    assert row["meaning"]
    if row["field"] == "kind":
        assert row["value"] in get_args(Kind)
    if row["field"] == "phantom_cm":
        assert row["value"] in ("16", "32")


@pytest.mark.parametrize("row", rows("impossible.csv"), ids=lambda row: row["field"])
def test_every_dose_has_a_maximum_in_the_unit_of_its_name(row: dict[str, str]) -> None:
    assert row["unit"] == unit_in_name(row["field"]) == field_units()[row["field"]]
    assert float(row["maximum"]) > 0
    assert row["source"]


def test_every_dose_that_can_be_stated_has_a_maximum() -> None:
    stated = {row["field"] for row in CONCEPTS if row["unit"] in ("mGy", "mGy.cm", "Gy.cm2", "mSv", "MBq")}
    limits = {"agd"} | {name for name in stated if "notification" in name or "alert" in name}
    assert stated - limits == dose_maxima().keys() - {"agd_left_mgy", "agd_right_mgy", "agd_both_mgy", "fluoro_time_s"}


@pytest.mark.parametrize("row", rows("attributes.csv"), ids=lambda row: f"{row['tag']}-{row['field']}-{row['level']}")
def test_every_attribute_is_the_standards_and_becomes_a_field_that_exists(row: dict[str, str]) -> None:
    tag = int(row["tag"], 16)
    assert keyword_for_tag(tag) == row["keyword"]
    assert row["level"] in get_args(Level)
    record = {"filter": Filter, "step": Totals}.get(row["level"], Event)
    assert row["field"] in record.__struct_fields__
    assert row["source"].startswith("PS3.3 ")
    numeric = row["form"] in ("number", "integer", "nonzero")
    assert numeric == bool(row["unit"]) == bool(row["stated_unit"])
    assert (dictionary_VR(tag) == "SQ") == (row["form"] == "coded")
    if numeric:
        assert units()[row["stated_unit"]].dimension == units()[row["unit"]].dimension
        assert unit_in_name(row["field"]) in (row["unit"], None)
    if row["form"] == "defined":
        assert any(field == row["field"] and scheme == "term" for field, _, scheme in coded_values())


def test_attributes_of_each_level_are_loaded() -> None:
    assert sum(len(attributes(level)) for level in get_args(Level)) == len(rows("attributes.csv"))


@pytest.mark.parametrize("row", rows("dose_texts.csv"), ids=lambda row: row["name"])
def test_every_form_of_a_dose_text_names_fields(row: dict[str, str]) -> None:
    groups = set(re.compile(row["pattern"]).groupindex)
    assert groups - {"number", "protocol"} <= set(
        Event.__struct_fields__ if row["level"] == "event" else ["dlp_mgy_cm"]
    )
    assert row["level"] in ("event", "total")
    assert row["seen_in"]


def test_a_dose_text_is_read_line_by_line() -> None:
    text = "Series #3 PRE Average CTDIvol=7.2 DLP=196.0\r\nnothing\r\nTotal DLP=1102.4\r\nEvent=2 DLP=1.2.3"
    first, total, _ = dose_lines(text)
    assert (first.protocol, first.values) == ("PRE", {"ctdi_vol_mgy": 7.2, "dlp_mgy_cm": 196.0})
    assert (total.level, total.values) == ("total", {"dlp_mgy_cm": 1102.4})
    assert dose_lines("Total DLP=1102.4 mSv") == []
    assert dose_lines("") == []


def test_tables_are_plain_csv_without_stray_columns() -> None:
    for name in ("concepts.csv", "containers.csv", "coded_values.csv", "attributes.csv", "dialects.csv", "units.csv"):
        for row in rows(name):
            assert None not in row, (name, row)
            assert all(value is not None for value in row.values()), (name, row)
