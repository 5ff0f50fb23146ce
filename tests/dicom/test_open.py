"""Every form of an object opens to the same content, or is refused with a reason."""

from __future__ import annotations

import gzip
import io
import json
import warnings
import zlib
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian

from doseatlas.dicom.content import ContentItem
from doseatlas.dicom.limits import Limits
from doseatlas.dicom.open import open_object
from doseatlas.model.errors import UnreadableObject


def flat(node: ContentItem | None) -> list[tuple[object, ...]]:
    assert node is not None
    row = (node.relationship, node.value_type, node.concept, node.meaning, node.text, node.code, node.number, node.unit)
    return [row, *(row for child in node.children for row in flat(child))]


@pytest.fixture(scope="module")
def report(corpus: Path) -> bytes:
    return (corpus / "rdsr" / "CT-RDSR-Siemens_Flash-TAP-SS.dcm").read_bytes()


def data_set(data: bytes) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(io.BytesIO(data))


def rewritten(data: bytes, syntax: UID) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read = data_set(data)
        read.walk(lambda within, element: None)  # decode everything: pydicom re-encodes only what it has decoded
        read.file_meta.TransferSyntaxUID = syntax
        pydicom.dcmwrite(
            buffer,
            read,
            implicit_vr=False,
            little_endian=syntax != ExplicitVRBigEndian,
            force_encoding=True,
        )
    return buffer.getvalue()


def native_xml(read: Dataset) -> str:
    from xml.sax.saxutils import escape

    def attributes(within: Dataset) -> str:
        parts = []
        for element in within:
            inner = ""
            if element.VR == "SQ":
                inner = "".join(f'<Item number="{n}">{attributes(i)}</Item>' for n, i in enumerate(element.value, 1))
            elif element.VR == "PN":
                family, *given = str(element.value).split("^")
                names = f"<FamilyName>{escape(family)}</FamilyName>"
                names += "".join(f"<GivenName>{escape(name)}</GivenName>" for name in given)
                inner = f'<PersonName number="1"><Alphabetic>{names}</Alphabetic></PersonName>'
            elif element.value is not None and not isinstance(element.value, bytes):
                values = element.value if element.VM > 1 else [element.value]
                inner = "".join(f'<Value number="{n}">{escape(str(v))}</Value>' for n, v in enumerate(values, 1))
            parts.append(f'<DicomAttribute tag="{element.tag:08X}" vr="{element.VR}">{inner}</DicomAttribute>')
        return "".join(parts)

    return f'<?xml version="1.0" encoding="UTF-8"?><NativeDicomModel>{attributes(read)}</NativeDicomModel>'


def test_gzip_deflation_and_a_missing_preamble_change_nothing(report: bytes) -> None:
    expected = flat(open_object(report).content)
    for form in (gzip.compress(report), report[128:], report[132:], rewritten(report, DeflatedExplicitVRLittleEndian)):
        opened = open_object(form)
        assert opened.read_by == "own"
        assert flat(opened.content) == expected


def test_big_endian_is_read_by_pydicom_to_the_same_content(report: bytes) -> None:
    opened = open_object(rewritten(report, ExplicitVRBigEndian))
    assert opened.read_by == "pydicom"
    assert flat(opened.content) == flat(open_object(report).content)


def test_the_json_model_gives_the_same_content(report: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = data_set(report).to_json_dict()
    for text in (json.dumps(model), json.dumps([model])):
        opened = open_object(text.encode())
        assert opened.read_by == "json"
        assert opened.sop_class_uid == open_object(report).sop_class_uid
        assert flat(opened.content) == flat(open_object(report).content)


def test_the_xml_model_gives_the_same_content(report: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        text = native_xml(data_set(report))
    opened = open_object(text.encode())
    assert opened.read_by == "xml"
    assert flat(opened.content) == flat(open_object(report).content)


def test_a_dump_of_tags_by_keyword_is_read(corpus: Path) -> None:
    opened = open_object((corpus / "other" / "CT-RDSR-as-tags.json").read_bytes())
    assert opened.read_by == "json"
    assert opened.content is not None
    assert opened.content.concept == ("113701", "DCM")


def test_japanese_code_extensions_are_read(corpus: Path) -> None:
    opened = open_object((corpus / "broken" / "chrSQEncoding1.dcm").read_bytes())
    assert opened.item.items(0x00321064)[0].text(0x00100010) == "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty"),
        (bytes(5000), "empty"),
        (bytes(128) + b"DICM", "empty"),
        (b"hello, this is a letter", "not-dicom"),
        (b"<html><body>page</body></html>", "not-dicom"),
        (b'{"name": "value"}', "not-dicom"),
        (b"{broken json", "not-dicom"),
        (b"[" * 100_000, "too-deep"),
        (b'[{"00080016": {"vr": "UI"}}, {"00080016": {"vr": "UI"}}]', "several-objects"),
        (b'{"00080016": {"vr": "US", "Value": ["x"]}}', "damaged"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><NativeDicomModel/>', "damaged"),
        ('<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><NativeDicomModel/>'.encode("utf-16"), "damaged"),
        (b"<NativeDicomModel><DicomAttribute>", "damaged"),
        (b"\x1f\x8bnot gzip", "damaged"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_reason(data: bytes, code: str) -> None:
    with pytest.raises(UnreadableObject) as refusal:
        open_object(data)
    assert refusal.value.code == code
    assert len(str(refusal.value)) > 10


def test_decompression_bombs_are_refused(report: bytes) -> None:
    limits = Limits(header_bytes=1_000_000)
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = deflater.compress(bytes(20_000_000)) + deflater.flush()
    deflated = rewritten(report, DeflatedExplicitVRLittleEndian)
    start = open_object(deflated).transfer_syntax and deflated.index(b"1.2.840.10008.1.2.1.99")
    assert start
    for data in (gzip.compress(bytes(20_000_000)), deflated[:340] + bomb):
        with pytest.raises(UnreadableObject) as refusal:
            open_object(data, limits=limits)
        assert refusal.value.code in ("too-large", "damaged")


def test_every_broken_object_of_the_corpus_is_read_or_refused(corpus: Path) -> None:
    refused = {}
    for path in sorted((corpus / "broken").iterdir()):
        try:
            open_object(path.read_bytes())
        except UnreadableObject as error:
            refused[path.name] = error.code
    assert refused == {
        "empty.dcm": "empty",
        "html.dcm": "not-dicom",
        "no_meta.dcm": "not-dicom",
        "preamble_only.dcm": "empty",
        "rf_truncated_header.dcm": "damaged",
        "sr_nested_400.dcm": "too-deep",
    }
