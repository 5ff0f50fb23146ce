"""What an item answers when asked for text, numbers and items."""

from __future__ import annotations

import struct

import pytest

from doseatlas.dicom.encode import encode_element, encode_sequence
from doseatlas.dicom.item import Item, parse_number
from doseatlas.dicom.open import open_object


def item_of(*elements: bytes) -> Item:
    first = encode_element(0x00080005, b"CS", b"ISO_IR 192")
    return open_object(first + b"".join(elements)).item


@pytest.mark.parametrize(
    ("stated", "number"),
    [
        (b"12.5", 12.5),
        (b" 12.5 ", 12.5),
        (b"1.6e-005", 1.6e-5),
        (b"-3", -3.0),
        (b"12,5", None),
        (b"1_000", None),
        (b"nan", None),
        (b"inf", None),
        (b"1e999", None),
        (b"12.5 mGy", None),
        (b"", None),
    ],
)
def test_a_decimal_string_is_a_number_only_when_it_is_written_as_one(stated: bytes, number: float | None) -> None:
    assert parse_number(stated) == number
    assert item_of(encode_element(0x00180060, b"DS", stated)).number(0x00180060) == number


def test_text_comes_without_padding_and_in_its_character_set() -> None:
    item = item_of(encode_element(0x00081030, b"LO", " Crâne \\ 2".encode()))
    assert item.text(0x00081030) == "Crâne"
    assert item.texts(0x00081030) == ["Crâne", "2"]


def test_free_text_is_not_split_at_backslashes() -> None:
    item = item_of(encode_element(0x0040A160, b"UT", b"a\\b"))
    assert item.text(0x0040A160) == "a\\b"
    assert item.texts(0x0040A160) == ["a\\b"]


def test_what_is_absent_or_empty_is_none() -> None:
    item = item_of(encode_element(0x00081030, b"LO", b"  "), encode_element(0x00280010, b"US", b""))
    assert item.text(0x00081030) is None
    assert item.text(0x00100010) is None
    assert item.number(0x00280010) is None
    assert item.numbers(0x00180060) == []
    assert item.items(0x0040A730) == ()
    assert 0x00081030 in item
    assert 0x00100010 not in item


def test_binary_numbers_are_read_by_their_representation() -> None:
    item = item_of(
        encode_element(0x00189305, b"FD", struct.pack("<d", 0.5)),
        encode_element(0x00280010, b"US", struct.pack("<H", 512)),
        encode_element(0x00281052, b"FL", b"abcdef"),
    )
    assert item.number(0x00189305) == 0.5
    assert item.number(0x00280010) == 512
    assert item.text(0x00280010) == "512"
    assert item.number(0x00281052) is None  # the length fits no number


def test_one_wrong_value_among_several_gives_no_numbers() -> None:
    item = item_of(encode_element(0x00180060, b"DS", b"1\\x\\3"))
    assert item.number(0x00180060) == 1.0
    assert item.numbers(0x00180060) == []


def test_private_elements_are_found_by_their_tag() -> None:
    item = item_of(encode_element(0x00190010, b"LO", b"MAKER"), encode_element(0x00191001, b"LO", b"a"))
    assert item.text(0x00191001) == "a"
    assert list(item.tags()) == [0x00080005, 0x00190010, 0x00191001]


def test_a_sequence_that_calls_itself_unknown_is_opened_by_the_dictionary() -> None:
    inner = struct.pack("<HHI", 0x0008, 0x0100, 4) + b"1234"  # UN hides implicit VR: PS3.5 6.2.2
    value = struct.pack("<HHI", 0xFFFE, 0xE000, len(inner)) + inner
    item = item_of(encode_element(0x0040A043, b"UN", value), encode_element(0x0040A168, b"UN", b"nonsense"))
    assert item.items(0x0040A043)[0].text(0x00080100) == "1234"
    assert item.items(0x0040A168) == []


def test_equal_code_sequences_share_their_items() -> None:
    code = encode_element(0x00080100, b"SH", b"113820")
    item = item_of(encode_sequence(0x0040A043, [code]), encode_sequence(0x0040A168, [code]))
    assert item.items(0x0040A043)[0] is item.items(0x0040A168)[0]
