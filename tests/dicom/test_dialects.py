"""Every deviation of a vendor that is corrected, each shown on a value inside and outside of its range."""

from __future__ import annotations

import re

import pytest

from doseatlas.dicom.dialects import dialects_of
from doseatlas.dicom.measures import Measures
from doseatlas.dicom.notes import Notes
from doseatlas.dicom.table import rows
from doseatlas.dicom.templates import Field, field_units
from doseatlas.dicom.units import convert, units
from doseatlas.model import Device, Event

# A device that each row applies to.
DEVICES = {
    "philips-ct-exposure-time": Device(manufacturer="Philips", model="Ingenuity CT"),
    "pet-activity-in-mbq": Device(manufacturer="Any", model="PET"),
    "nm-activity-in-bq": Device(),
    "kodak-distance-in-dm": Device(manufacturer="KODAK", model="DR 7500"),
}
ROWS = rows("dialects.csv")


def measured(row: dict[str, str], value: float, device: Device) -> tuple[float | None, set[str]]:
    notes = Notes()
    field = Field(0, row["field"], "number", field_units()[row["field"]], "first", row["field"])
    converted = Measures(device, notes, row["modality"] or None).number(field, value, row["stated_unit"])
    return converted, {note.code for note in notes.collected()}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_every_row_is_complete(row: dict[str, str]) -> None:
    assert row["field"] in Event.__struct_fields__
    assert units()[row["stated_unit"]].dimension == units()[row["taken_as_unit"]].dimension
    assert re.compile(row["manufacturer"])
    assert re.compile(row["model"])
    assert 0 < float(row["at_least"]) < float(row["below"] or "inf")
    assert row["message"]
    assert row["seen_in"]
    assert row["name"] in DEVICES


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_a_value_in_the_range_is_taken_in_the_other_unit_with_a_note(row: dict[str, str]) -> None:
    value = float(row["at_least"]) * 1.5
    found, notes = measured(row, value, DEVICES[row["name"]])
    assert found == pytest.approx(convert(value, row["taken_as_unit"], field_units()[row["field"]]))
    assert notes == {"vendor-correction"}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_a_value_outside_of_the_range_is_left_as_stated(row: dict[str, str]) -> None:
    value = float(row["at_least"]) / 2
    found, notes = measured(row, value, DEVICES[row["name"]])
    assert found == pytest.approx(convert(value, row["stated_unit"], field_units()[row["field"]]))
    assert notes == set()


@pytest.mark.parametrize("row", [row for row in ROWS if row["manufacturer"]], ids=lambda row: row["name"])
def test_another_makers_device_is_left_as_stated(row: dict[str, str]) -> None:
    value = float(row["at_least"]) * 1.5
    found, notes = measured(row, value, Device(manufacturer="Another", model="Ingenuity DR 7500"))
    assert found == pytest.approx(convert(value, row["stated_unit"], field_units()[row["field"]]))
    assert notes == set()


def test_corrections_of_images_do_not_touch_reports() -> None:
    assert ("administered_activity_mbq", "Bq") in dialects_of(None, None, "PT")
    assert ("administered_activity_mbq", "Bq") not in dialects_of(None, None)
