"""What every object states of patient and study."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doseatlas.dicom.encode import encode_element
from doseatlas.dicom.header import patient_of
from doseatlas.dicom.notes import Notes
from doseatlas.dicom.open import open_object


def age_of(birth: str, study: str) -> float | None:
    elements = [encode_element(0x00080020, b"DA", study.encode()), encode_element(0x00100030, b"DA", birth.encode())]
    item = open_object(b"".join(elements)).item
    return patient_of(item, f"{study[:4]}-{study[4:6]}-{study[6:]}", Notes()).age_years


@pytest.mark.parametrize(
    ("birth", "study", "age"),
    [
        ("20060601", "20240531", 17.9),
        ("20060601", "20240601", 18.0),
        ("20060601", "20240630", 18.1),
        ("20230601", "20240531", 0.999),
        ("20230601", "20240601", 1.002),
        ("20240229", "20240301", 0.003),
        ("19340502", "20240501", 89.9),
    ],
)
def test_an_age_is_never_rounded_up_to_a_birthday_that_is_yet_to_come(birth: str, study: str, age: float) -> None:
    assert age_of(birth, study) == age


@given(st.dates(dt.date(1920, 1, 1), dt.date(2100, 1, 1)), st.integers(0, 36_000))
def test_an_age_is_of_the_year_of_life(birth: dt.date, days: int) -> None:
    study = birth + dt.timedelta(days)
    whole = study.year - birth.year - ((study.month, study.day) < (birth.month, birth.day))
    age = age_of(birth.strftime("%Y%m%d"), study.strftime("%Y%m%d"))
    assert age is not None
    assert whole <= age < whole + 1


@pytest.mark.parametrize(
    ("status", "stated", "noted"),
    [
        (1, "not pregnant", False),
        (2, "possibly pregnant", True),
        (3, "definitely pregnant", True),
        (4, None, False),
        (99, None, False),
        (None, None, False),
    ],
)
def test_pregnancy_is_kept_and_noted_where_it_is_stated(status: int | None, stated: str | None, noted: bool) -> None:
    elements = [encode_element(0x00080020, b"DA", b"20240531")]
    if status is not None:
        elements.append(encode_element(0x001021C0, b"US", status.to_bytes(2, "little")))
    notes = Notes()
    item = open_object(b"".join(elements)).item
    assert patient_of(item, None, notes).pregnancy_status == stated
    assert [note.code for note in notes.collected()] == ["pregnancy"] * noted
