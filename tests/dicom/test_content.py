"""The content tree of a structured report."""

from __future__ import annotations

import struct
from pathlib import Path

from doseatlas.dicom.content import ContentItem
from doseatlas.dicom.encode import encode_element, encode_sequence
from doseatlas.dicom.open import open_object


def code(value: bytes, scheme: bytes = b"DCM", meaning: bytes = b"words") -> bytes:
    return (
        encode_element(0x00080100, b"SH", value)
        + encode_element(0x00080102, b"SH", scheme)
        + encode_element(0x00080104, b"LO", meaning)
    )


def content_item(value_type: bytes, *elements: bytes) -> bytes:
    head = encode_element(0x0040A010, b"CS", b"CONTAINS") + encode_element(0x0040A040, b"CS", value_type)
    return head + encode_sequence(0x0040A043, [code(b"113830")]) + b"".join(elements)


def number(stated: bytes) -> bytes:
    measured = encode_sequence(0x004008EA, [code(b"mGy", b"UCUM")]) + encode_element(0x0040A30A, b"DS", stated)
    return content_item(b"NUM", encode_sequence(0x0040A300, [measured]))


def tree(*items: bytes) -> ContentItem:
    root = encode_element(0x00080005, b"CS", b"ISO_IR 192") + content_item(b"CONTAINER")
    content = open_object(root + encode_sequence(0x0040A730, items)).content
    assert content is not None
    return content


def test_a_number_comes_with_its_unit_and_the_text_it_was() -> None:
    (item,) = tree(number(b"1.60e-005 ")).children
    assert (item.value_type, item.relationship, item.concept) == ("NUM", "CONTAINS", ("113830", "DCM"))
    assert (item.number, item.number_text, item.unit) == (1.6e-5, "1.60e-005", ("mGy", "UCUM", "words"))


def test_a_decimal_comma_keeps_its_text_and_is_no_number() -> None:
    (item,) = tree(number(b"12,5")).children
    assert item.number is None
    assert item.number_text == "12,5"


def test_a_floating_point_value_stands_in_where_the_decimal_string_is_missing() -> None:
    measured = encode_element(0x0040A161, b"FD", struct.pack("<d", 0.25))
    (item,) = tree(content_item(b"NUM", encode_sequence(0x0040A300, [measured]))).children
    assert (item.number, item.number_text, item.unit) == (0.25, "0.25", None)


def test_a_number_without_a_value_keeps_its_qualifier() -> None:
    nothing = encode_sequence(0x0040A300, []) + encode_sequence(0x0040A301, [code(b"114006")])
    (item,) = tree(content_item(b"NUM", nothing)).children
    assert (item.number, item.number_text, item.unit) == (None, None, None)
    assert item.qualifier == ("114006", "DCM", "words")


def test_codes_texts_dates_and_names_are_read_by_their_value_type() -> None:
    root = tree(
        content_item(b"CODE", encode_sequence(0x0040A168, [code(b"113820")])),
        content_item(b"TEXT", encode_element(0x0040A160, b"UT", "Crâne".encode())),
        content_item(b"UIDREF", encode_element(0x0040A124, b"UI", b"1.2.3")),
        content_item(b"DATETIME", encode_element(0x0040A120, b"DT", b"20240531120000")),
        content_item(b"PNAME", encode_element(0x0040A123, b"PN", b"A^B")),
    )
    assert root.children[0].code == ("113820", "DCM", "words")
    assert [item.text for item in root.children[1:]] == ["Crâne", "1.2.3", "20240531120000", "A^B"]


def test_long_and_urn_codes_count_as_code_values() -> None:
    long = encode_sequence(0x0040A168, [encode_element(0x00080119, b"UC", b"a-very-long-code-value")])
    urn = encode_sequence(0x0040A168, [encode_element(0x00080120, b"UR", b"urn:oid:1.2")])
    root = tree(content_item(b"CODE", long), content_item(b"CODE", urn))
    assert [item.code for item in root.children] == [("a-very-long-code-value", "", None), ("urn:oid:1.2", "", None)]


def test_an_image_has_no_content() -> None:
    assert open_object(encode_element(0x00080060, b"CS", b"CT") * 2).content is None


def test_a_report_nested_150_deep_is_read(corpus: Path) -> None:
    node = open_object((corpus / "broken" / "sr_nested_150.dcm").read_bytes()).content
    depth = 0
    while node is not None and node.children:
        node, depth = node.children[0], depth + 1
    assert depth == 150
