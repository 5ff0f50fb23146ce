"""The own reader gives what pydicom gives, element by element and content item by content item."""

from __future__ import annotations

import datetime as dt
import io
import struct
import warnings
from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from doseatlas.dicom.content import ContentItem
from doseatlas.dicom.item import NUMBER_FORMATS, Item
from doseatlas.dicom.limits import Limits
from doseatlas.dicom.open import open_object
from doseatlas.dicom.simulate import encode_exam, exams, plan
from doseatlas.model.errors import UnreadableObject

TEXT_VRS = {"AE", "AS", "CS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"}
PADDING = " \0\t\r\n"


def read_with_pydicom(data: bytes) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(io.BytesIO(data), force=True, stop_before_pixels=True)


def assert_same(item: Item, data_set: Dataset, where: str = "") -> int:
    """Compare every element; the number compared."""
    compared = 0
    assert set(item.tags()) == set(map(int, data_set.keys())), where
    for tag in item.tags():
        place = f"{where}/{tag:08X}"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                element = data_set[tag]
            except Exception:
                continue  # pydicom cannot convert the value
        compared += 1
        value: Any = element.value
        if element.VR == "SQ":
            items = item.items(tag)
            assert len(items) == len(value), place
            compared += sum(assert_same(a, b, place) for a, b in zip(items, value, strict=True))
        elif value is None or value == "" or value == b"" or value == []:
            assert item.text(tag) is None, place
        elif element.VR in TEXT_VRS:
            values = list(value) if isinstance(value, (list, pydicom.multival.MultiValue)) else [value]
            assert item.texts(tag) == [str(v).strip(PADDING) for v in values] or not any(map(str, values)), place
        elif element.VR in ("DS", "IS"):
            values = list(value) if isinstance(value, pydicom.multival.MultiValue) else [value]
            assert item.numbers(tag) == [float(v) for v in values], place
        elif element.VR.encode() in NUMBER_FORMATS and not isinstance(value, bytes):
            values = list(value) if isinstance(value, (list, pydicom.multival.MultiValue)) else [value]
            assert item.numbers(tag) == pytest.approx([float(v) for v in values], nan_ok=True), place
        elif isinstance(value, bytes) and element.VR not in ("US or SS",):
            assert item.raw(tag).rstrip(b"\0") == value.rstrip(b"\0"), place
    return compared


def assert_same_content(node: ContentItem, data_set: Dataset) -> int:
    """Compare every content item; the number compared."""

    def code(name: str, within: Dataset) -> tuple[str, str, str | None] | None:
        items = within.get(name)
        if not items:
            return None
        first = items[0]
        value = first.get("CodeValue") or first.get("LongCodeValue") or first.get("URNCodeValue")
        return value and (value, first.get("CodingSchemeDesignator") or "", first.get("CodeMeaning") or None)

    assert node.value_type == (data_set.get("ValueType") or "")
    assert node.relationship == (data_set.get("RelationshipType") or "")
    name = code("ConceptNameCodeSequence", data_set)
    assert node.concept == (name and name[:2])
    assert node.meaning == (name and name[2])
    if node.value_type == "NUM":
        for measured in list(data_set.get("MeasuredValueSequence") or [])[:1]:
            assert node.unit == code("MeasurementUnitsCodeSequence", measured)
            value = measured.get("NumericValue")
            assert node.number == (None if value is None else float(value))
    elif node.value_type == "CODE":
        assert node.code == code("ConceptCodeSequence", data_set)
    elif node.value_type in ("TEXT", "UIDREF", "PNAME", "DATETIME", "DATE", "TIME"):
        keyword = {"TEXT": "TextValue", "UIDREF": "UID", "PNAME": "PersonName"}.get(
            node.value_type, node.value_type.replace("DATETIME", "DateTime").replace("DATE", "Date")
        )
        keyword = "Time" if node.value_type == "TIME" else keyword
        stated = data_set.get(keyword)
        assert node.text == (str(stated).strip(PADDING) if stated else None)
    children = list(data_set.get("ContentSequence") or [])
    assert len(node.children) == len(children)
    return 1 + sum(assert_same_content(a, b) for a, b in zip(node.children, children, strict=True))


def assert_reads_like_pydicom(data: bytes) -> int:
    read = open_object(data)
    expected = read_with_pydicom(data)
    compared = assert_same(read.item, expected)
    if read.content is not None:
        compared += assert_same_content(read.content, expected)
    return compared


@pytest.mark.parametrize("folder", ["rdsr", "images", "ct-series"])
def test_every_object_of_the_corpus_reads_like_pydicom_reads_it(corpus: Path, folder: str) -> None:
    for path in sorted((corpus / folder).iterdir()):
        data = path.read_bytes()
        read = open_object(data)
        if read.read_by != "own" or read.truncated or read.transfer_syntax is None:
            continue
        try:
            assert_reads_like_pydicom(data)
        except AssertionError as error:
            raise AssertionError(f"{path.name}: {error}") from error


def test_nearly_all_dose_reports_of_the_corpus_are_read_by_the_own_reader(corpus: Path) -> None:
    assert [p.name for p in (corpus / "rdsr").iterdir() if open_object(p.read_bytes()).read_by != "own"] == []


def test_every_simulated_object_reads_like_pydicom_reads_it() -> None:
    world = plan("country", exams=60, seed=3, start=dt.date(2025, 1, 1), end=dt.date(2025, 12, 31))
    objects = [data for exam in exams(world) for data in encode_exam(exam)]
    assert len(objects) >= 60
    for data in objects:
        assert open_object(data).read_by == "own"
        assert_reads_like_pydicom(data)


# ---- generated data sets ----

LETTERS = st.text(st.characters(codec="latin-1", exclude_characters="\\", exclude_categories=["C"]), max_size=20)
ELEMENTS: dict[str, st.SearchStrategy[Any]] = {
    "StudyDescription": LETTERS,
    "PatientName": LETTERS.map(lambda text: text.replace("=", "").replace("^", "")),
    "KVP": st.floats(-1e5, 1e5).map(lambda value: f"{value:.6g}"),
    "NumberOfFrames": st.integers(0, 10**6),
    "Rows": st.integers(0, 65535),
    "ReferencePixelX0": st.integers(-(2**31), 2**31 - 1),
    "TextValue": LETTERS,
    "ImageType": st.lists(st.sampled_from(["ORIGINAL", "PRIMARY", "AXIAL"]), min_size=1, max_size=3),
    "StudyDate": st.dates().map(lambda date: f"{date:%Y%m%d}".zfill(8)),
    "RealWorldValueSlope": st.floats(allow_nan=False, allow_infinity=False),
}
SEQUENCES = ["ContentSequence", "ConceptNameCodeSequence", "RequestAttributesSequence", "MeasuredValueSequence"]


@st.composite
def data_sets(draw: st.DrawFn, depth: int = 3) -> Dataset:
    data_set = Dataset()
    for keyword in draw(st.lists(st.sampled_from(sorted(ELEMENTS)), unique=True, max_size=4)):
        setattr(data_set, keyword, draw(ELEMENTS[keyword]))
    if draw(st.booleans()):
        block = data_set.private_block(0x0019, "MAKER", create=True)
        block.add_new(0x01, "LO", draw(LETTERS.map(lambda text: text.encode("ascii", "ignore").decode())))
    if depth:
        for keyword in draw(st.lists(st.sampled_from(SEQUENCES), unique=True, max_size=2)):
            items = draw(st.lists(data_sets(depth=depth - 1), max_size=3))
            items += [items[0]] * draw(st.integers(0, 2)) if items else []
            setattr(data_set, keyword, Sequence(items))
            data_set[keyword].is_undefined_length = draw(st.booleans())
            for item in items:
                item.is_undefined_length_sequence_item = draw(st.booleans())
    return data_set


def written(data_set: Dataset, implicit: bool) -> bytes:
    data_set.SpecificCharacterSet = "ISO_IR 100"
    data_set.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.67"
    data_set.SOPInstanceUID = "1.2.3"
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pydicom.dcmwrite(buffer, data_set, enforce_file_format=True)
    return buffer.getvalue()


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data_sets(), st.booleans())
def test_generated_data_sets_read_like_pydicom_reads_them(data_set: Dataset, implicit: bool) -> None:
    data = written(data_set, implicit)
    assert open_object(data).read_by == "own"
    assert assert_reads_like_pydicom(data) > 0


# ---- limits ----


def nested(depth: int) -> bytes:
    body = b""
    for _ in range(depth):
        body = struct.pack("<HHI", 0xFFFE, 0xE000, len(body)) + body
        body = struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, len(body)) + body
    return b"\x08\0\x05\0CS\x0a\0ISO_IR 100" + body


def code_of_refusal(data: bytes, limits: Limits) -> str:
    with pytest.raises(UnreadableObject) as refusal:
        open_object(data, limits=limits)
    return refusal.value.code


def test_depth_is_bounded_by_the_limits() -> None:
    assert open_object(nested(20), limits=Limits(depth=20)).content is not None
    assert code_of_refusal(nested(21), Limits(depth=20)) == "too-deep"
    assert code_of_refusal(nested(400), Limits()) == "too-deep"


def test_a_depth_limit_beyond_what_python_can_nest_still_ends_in_a_refusal() -> None:
    assert code_of_refusal(nested(5000), Limits(depth=100_000)) == "too-deep"


def test_the_number_of_elements_is_bounded_by_the_limits() -> None:
    flat = b"".join(struct.pack("<HH2sH", 0x0008, 5 + n, b"SH", 0) for n in range(1000))
    assert len(list(open_object(flat).item.tags())) == 1000
    assert code_of_refusal(flat, Limits(elements=999)) == "too-many-items"
    empty_items = struct.pack("<HHI", 0xFFFE, 0xE000, 0) * 1000
    many = flat[:8] + struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, len(empty_items)) + empty_items
    assert len(open_object(many).item.items(0x0040A730)) == 1000
    assert code_of_refusal(many, Limits(elements=900)) == "too-many-items"


def test_a_header_larger_than_the_limit_is_refused_but_pixel_data_does_not_count() -> None:
    text = struct.pack("<HH2sH", 0x0008, 0x1030, b"LO", 5000) + b"x" * 5000
    pixels = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, 100_000) + bytes(100_000)
    assert open_object(text + pixels, limits=Limits(header_bytes=6000)).item.text(0x00081030) == "x" * 5000
    assert code_of_refusal(text, Limits(header_bytes=4000)) == "too-large"


def test_an_object_cut_off_is_read_up_to_its_last_complete_value(corpus: Path) -> None:
    whole = (corpus / "rdsr" / "CT-RDSR-Siemens_Flash-TAP-SS.dcm").read_bytes()
    cut = open_object(whole[:-2000])
    assert cut.truncated
    assert not open_object(whole).truncated
    assert cut.content is not None


def test_lengths_that_claim_gigabytes_mean_a_truncated_object() -> None:
    data = nested(1) + struct.pack("<HH2sHI", 0x0042, 0x0011, b"OB", 0, 0xFFFFFFF0) + b"abc"
    assert open_object(data).truncated
