"""The archive form of an object: no identity, the same dose."""

from __future__ import annotations

import csv
import datetime as dt
import io
import struct
import warnings
from pathlib import Path

import pydicom
import pytest
from pydicom.datadict import keyword_for_tag

import doseatlas
from doseatlas.dicom.content import ContentItem
from doseatlas.dicom.deidentification import deidentify
from doseatlas.dicom.deidentified import Pseudonyms, actions, age_string
from doseatlas.dicom.encode import encode_element, encode_sequence
from doseatlas.dicom.item import Item
from doseatlas.dicom.open import DicomObject, open_object
from doseatlas.dicom.simulate import encode_exam, exams, plan
from doseatlas.model import Identity, UnreadableObject

PLACEHOLDERS = (b"ANON", b"Anon", b"REMOVED", b"Unbekannt")
EQUIPMENT = (0x00080070, 0x00080080, 0x00081010, 0x00081090, 0x00181000)
KEPT = [
    0x00080016,
    0x00080018,
    0x00080020,
    0x00080070,
    0x00080080,
    0x00081010,
    0x00081030,
    0x00081090,
    0x00100040,
    0x00101010,
    0x00101020,
    0x00101030,
    0x00181000,
    0x0020000D,
    0x0020000E,
]


def archived(data: bytes, patient: str | None = "P-1", accession: str | None = "A-1") -> bytes:
    return deidentify(data, pseudonymise=lambda _: Pseudonyms(patient, accession)).data


def identity(read: DicomObject) -> set[bytes]:
    """The encoded values that say who the patient and the staff are, at any level."""
    found: set[bytes] = set()

    def visit(item: Item) -> None:
        for tag in item.tags():
            if item.vr(tag) == "PN" or tag in (0x00100020, 0x00100030, 0x00080050, 0x00101000):
                found.add(item.raw(tag).strip(b" \0^="))
            for child in item.items(tag):
                visit(child)

    visit(read.item)
    dates = {read.item.raw(tag) for tag in (0x00080020, 0x00080021, 0x00080022, 0x00080023)}
    return {value for value in found if len(value) >= 5 and not value.startswith(PLACEHOLDERS)} - dates


def dose(node: ContentItem | None) -> list[tuple[object, ...]]:
    if node is None:
        return []
    text = None if node.value_type == "PNAME" else node.text
    row = (node.relationship, node.value_type, node.concept, text, node.code, node.number_text, node.unit)
    return [row, *(row for child in node.children for row in dose(child))]


@pytest.mark.parametrize("folder", ["rdsr", "images"])
def test_no_identity_of_the_original_remains_and_the_dose_is_the_same(corpus: Path, folder: str) -> None:
    for path in sorted((corpus / folder).iterdir()):
        data = path.read_bytes()
        result = archived(data)
        before, after = open_object(data), open_object(result)
        elsewhere = b" ".join(before.item.raw(tag) for tag in (*EQUIPMENT, 0x0020000D))  # a UID may hold an accession
        left = [value for value in identity(before) if value in result and value not in elsewhere]
        if path.name != "DX-Im-Date-Missing.dcm":  # a test object born on the day that its acquisition states
            assert left == [], path.name
        if folder == "rdsr":
            assert dose(after.content) == dose(before.content), path.name
        for tag in KEPT:
            if tag != 0x00101010 or before.item.text(tag):
                assert after.item.texts(tag) == before.item.texts(tag), (path.name, hex(tag))
        assert after.item.text(0x00100020) == ("P-1" if 0x00100020 in before.item else None)
        assert after.item.text(0x00120062) == "YES"
        assert after.read_by == "own"
        assert not after.truncated or before.truncated
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert pydicom.dcmread(io.BytesIO(result)).PatientName in ("", None)


def test_a_simulated_report_keeps_its_dose_and_loses_its_patient() -> None:
    world = plan("country", exams=40, seed=5, start=dt.date(2025, 1, 1), end=dt.date(2025, 12, 31))
    for data in (data for exam in exams(world) for data in encode_exam(exam)):
        before, result = open_object(data), archived(data)
        assert [value for value in identity(before) if value in result] == []
        assert dose(open_object(result).content) == dose(before.content)


def test_deeply_nested_reports_are_archived_or_refused(corpus: Path) -> None:
    data = (corpus / "broken" / "sr_nested_150.dcm").read_bytes()
    named = data + encode_element(0x00991000, b"UN", b"forces writing anew")
    for form in (data, named):
        assert dose(open_object(archived(form)).content) == dose(open_object(data).content)
    with pytest.raises(UnreadableObject):
        archived((corpus / "broken" / "sr_nested_400.dcm").read_bytes()[128:])


def test_deidentification_is_repeatable(corpus: Path) -> None:
    once = archived((corpus / "rdsr" / "CT-RDSR-GEPixelMed.dcm").read_bytes())
    assert archived(once) == once


def test_other_forms_become_dicom_files(corpus: Path) -> None:
    dump = (corpus / "other" / "CT-RDSR-as-tags.json").read_bytes()
    result = archived(dump)
    assert result[128:132] == b"DICM"
    assert dose(open_object(result).content) == dose(open_object(dump).content)


def report(*elements: bytes) -> bytes:
    return b"".join(
        (
            encode_element(0x00080005, b"CS", b"ISO_IR 192"),
            encode_element(0x00080016, b"UI", b"1.2.840.10008.5.1.4.1.1.88.67"),
            encode_element(0x00080020, b"DA", b"20240531"),
            *elements,
        )
    )


PATIENT = encode_element(0x00100010, b"PN", "Müller^Änne".encode()) + encode_element(0x00100020, b"LO", b"HOSP-4711")


def test_names_in_texts_private_values_and_nested_sequences_go() -> None:
    request = encode_element(0x00080050, b"SH", b"ACC-99") + encode_element(0x00321032, b"PN", b"Dr^Who")
    private = encode_element(0x00190010, b"LO", b"MAKER") + encode_element(0x00191001, b"LO", "Müller^Änne".encode())
    note = encode_element(0x0040A040, b"CS", b"TEXT") + encode_element(0x0040A160, b"UT", "for Änne Müller".encode())
    data = report(
        encode_element(0x00081030, b"LO", b"Thorax HOSP-4711"),
        PATIENT,
        private,
        encode_element(0x00191002, b"DS", b"12.5"),
        encode_sequence(0x0040A370, [request]),
        encode_sequence(0x0040A730, [note + private]),
    )
    for form in (data, archived(data, None, None)):
        result = archived(form)
        item = open_object(result).item
        for secret in ("Müller", "Änne", "HOSP-4711", "ACC-99", "Who"):
            assert secret.encode() not in result
        assert item.text(0x00081030) == "Thorax"
        assert 0x00191001 not in item
        assert item.number(0x00191002) == 12.5
        assert item.items(0x0040A730)[0].text(0x0040A160) == "for"


def test_pseudonyms_take_the_place_of_identifiers_wherever_they_are() -> None:
    request = encode_element(0x00080050, b"SH", b"ACC-99")
    data = report(encode_element(0x00080050, b"SH", b"ACC-99"), PATIENT, encode_sequence(0x0040A370, [request]))
    item = open_object(archived(data, "pseudo", "other")).item
    assert item.text(0x00100020) == "pseudo"
    assert item.text(0x00080050) == "other"
    assert item.items(0x0040A370)[0].text(0x00080050) == "other"
    bare = open_object(archived(data, None, None)).item
    assert bare.text(0x00100020) is None
    assert bare.text(0x00080050) is None


def test_the_age_is_kept_when_the_birth_date_goes() -> None:
    birth = encode_element(0x00100030, b"DA", b"19790601")
    assert open_object(archived(report(birth))).item.text(0x00101010) == "044Y"
    stated = encode_element(0x00101010, b"AS", b"050Y")
    assert open_object(archived(report(birth, stated))).item.text(0x00101010) == "050Y"
    assert open_object(archived(report())).item.text(0x00101010) is None


def test_the_age_of_a_procedure_step_is_that_on_the_day_of_the_step(tmp_path: Path) -> None:
    step = pydicom.Dataset()
    step.SOPClassUID, step.SOPInstanceUID = "1.2.840.10008.3.1.2.3.3", "1.2.3.4"
    step.PatientBirthDate, step.PerformedProcedureStepStartDate = "19800101", "20250102"
    step.PerformedProcedureStepStatus, step.PerformedProcedureStepID = "COMPLETED", "1"
    step.PerformedStationName, step.PerformedStationAETitle = "ROOM1", "DX1"
    step.Modality, step.ImageAndFluoroscopyAreaDoseProduct = "DX", 12.5
    step.file_meta = pydicom.dataset.FileMetaDataset()
    step.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    file = tmp_path / "step.dcm"
    step.save_as(file, enforce_file_format=True)
    file.write_bytes(archived(file.read_bytes()))
    (exam,) = doseatlas.read(file)
    assert (exam.patient.age_years, exam.device.station_name, exam.totals.kap_gy_cm2) == (45, "ROOM1", 1.25)


@pytest.mark.parametrize(
    ("birth", "study", "age"),
    [
        ("20000229", "20240228", "023Y"),
        ("20000229", "20240229", "024Y"),
        ("20220101", "20231231", "023M"),
        ("20220101", "20240101", "002Y"),
        ("20231130", "20240129", "060D"),
        ("20240101", "20240101", "000D"),
        ("20240102", "20240101", None),
        ("18600101", "20220101", "162Y"),
        ("1979", "20240101", None),
        (None, "20240101", None),
    ],
)
def test_an_age_is_whole_years_months_or_days(birth: str | None, study: str, age: str | None) -> None:
    assert age_string(birth, study) == age


def test_sequences_written_anew_stay_sequences() -> None:
    request = encode_sequence(0x0040A370, [encode_element(0x00080050, b"SH", b"ACC-99")])
    assert b"\x40\0\x70\xa3SQ" in archived(report(PATIENT, request))


def test_identity_hidden_in_a_sequence_of_unknown_representation_goes() -> None:
    hidden = struct.pack("<HHI", 0x0010, 0x0020, 6) + b"HIDDEN"
    value = struct.pack("<HHI", 0xFFFE, 0xE000, len(hidden)) + hidden
    unknown = encode_element(0x00081140, b"UN", value)
    for data in (
        report(unknown),
        report(encode_sequence(0x0040A730, [unknown])),
        report(unknown.replace(b"UN", b"SQ")),
    ):
        assert b"HIDDEN" not in archived(archived(data, None, None))
        assert b"HIDDEN" not in archived(data)


def test_pixel_data_is_dropped() -> None:
    pixels = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, 10_000) + b"pixel" * 2000
    assert b"pixel" not in archived(report(PATIENT, pixels))


def test_every_row_of_the_table_names_a_standard_attribute_and_its_source() -> None:
    table = Path(doseatlas.dicom.__file__).parent / "tables" / "deidentify.csv"
    with table.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["tag"] for row in rows] == sorted(row["tag"] for row in rows)
    assert len(rows) == len(actions())
    for row in rows:
        assert keyword_for_tag(int(row["tag"], 16)) == row["keyword"]
        assert row["source"]


def test_the_pseudonym_is_asked_for_whom_the_object_states_in_its_own_character_set() -> None:
    asked: list[str | None] = []

    def pseudonymise(whose: Identity) -> Pseudonyms:
        asked.append(whose.patient_id)
        return Pseudonyms("P", None)

    patient = encode_element(0x00100020, b"LO", "Ö-4711".encode())
    plain = report(encode_element(0x00080005, b"CS", b"ISO_IR 192"), patient)
    done = deidentify(plain, pseudonymise=pseudonymise)
    assert asked == ["Ö-4711"]
    assert done.identity.patient_id == "Ö-4711"
    assert done.whole
