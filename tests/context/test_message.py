"""What HL7 messages state, and what is refused."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doseatlas.context import Rejected, read_message
from doseatlas.context.message import Order, character_sets, message_types
from doseatlas.context.quantities import observations, units
from doseatlas.settings import ContextSettings
from doseatlas.store import ContextValues

TODAY = dt.date(2024, 3, 10)
PID = "PID|1||P1^^^HOSP^MR~998^^^INS^SS||Doe^Jane^Q||19700102|F"


def obx(code: str, value: str, unit: str, number: int = 1, more: str = "") -> str:
    return f"OBX|{number}|NM|{code}||{value}|{unit}|||||F{more}"


def message(
    *segments: str, kind: str = "ORM^O01", version: str = "2.5.1", charset: str = "", processing: str = "P"
) -> str:
    head = f"MSH|^~\\&|RIS|HOSP|DOSE||20240305101500||{kind}|MSG1|{processing}|{version}||||||{charset}"
    return "\r".join((head, *segments)) + "\r"


def read(text: str | bytes, settings: ContextSettings | None = None) -> Order:
    data = text.encode() if isinstance(text, str) else text
    return read_message(data, settings or ContextSettings(), TODAY)


ORDER = (
    PID,
    "ORC|NW|PL1|FL1",
    "OBR|1|PL1|FL1|CTTHX^CT Thorax^L|||||||||fall\\T\\pain|||||ACC1|||||||||||||^suspected pneumonia",
)


def test_an_order_names_its_exam_procedure_and_indication() -> None:
    (one,) = read(message(*ORDER)).statements
    assert one.accession_number == "ACC1"
    assert one.values == ContextValues(procedure="CT Thorax", indication="suspected pneumonia")
    assert (one.patient_id, one.issuer, one.birth_date) == ("P1", "HOSP", dt.date(1970, 1, 2))
    assert set(one.names) == {"Doe", "Jane", "Q"}


def test_the_study_uid_stands_in_zds_or_ipc_and_escapes_are_undone() -> None:
    order = "OBR|1|PL1|FL1|CTTHX^CT Thorax^L|||||||||fall\\T\\pain"
    (one,) = read(message(PID, "ORC|NW", order, "ZDS|1.2.3^RIS^Application^DICOM")).statements
    assert (one.study_instance_uid, one.values.indication) == ("1.2.3", "fall&pain")
    (one,) = read(message(PID, "ORC|NW", order, "IPC|ACC9^RIS|RP1|1.2.4^RIS|SPS1", kind="OMI^O23^OMI_O23")).statements
    assert (one.study_instance_uid, one.accession_number) == ("1.2.4", "ACC9")


def test_each_order_of_a_message_takes_its_own_observations_and_the_patients_before_them() -> None:
    text = message(
        PID,
        obx("8302-2^Body height^LN", "1.72", "m"),
        "ORC|NW",
        "OBR|1|||||||||||||||||A1",
        obx("29463-7^Body weight^LN", "154", "[lb_av]"),
        "OBR|2|||||||||||||||||A2",
        obx("29463-7^Body weight^LN", "71000", "g"),
        kind="ORU^R01",
    )
    first, second = read(text).statements
    assert (first.accession_number, first.values.height_cm, first.values.weight_kg) == ("A1", 172, 69.8532)
    assert (second.accession_number, second.values.height_cm, second.values.weight_kg) == ("A2", 172, 71)


def test_an_admission_names_the_patient_and_the_day_of_the_observation() -> None:
    weight = obx("3141-9^Body weight measured^LN", "3.2", "kg", more="|||20240301083000")
    (one,) = read(message("EVN|A08", PID, "PV1|1|I", weight, kind="ADT^A08")).statements
    assert (one.patient_id, one.accession_number, one.observed_on, one.days) == ("P1", None, dt.date(2024, 3, 1), 7)
    assert one.values == ContextValues(weight_kg=3.2)


def test_an_admission_without_measures_is_taken_and_states_nothing() -> None:
    assert read(message("EVN|A01", PID, kind="ADT^A01")).statements == ()


def test_codes_of_the_site_count_when_they_are_set() -> None:
    text = message(*ORDER, obx("GEW^Gewicht^L", "80", "kg"))
    assert read(text).statements[0].values.weight_kg is None
    assert read(text, ContextSettings(weight_codes=("GEW",))).statements[0].values.weight_kg == 80


def test_the_accession_number_stands_where_the_settings_say() -> None:
    (one,) = read(message(*ORDER), ContextSettings(accession_fields=("OBR-50", "OBR-3.1"))).statements
    assert one.accession_number == "FL1"


def test_observations_withdrawn_or_empty_state_nothing() -> None:
    wrong = "OBX|1|NM|29463-7^W^LN||80|kg|||||W"
    empty = 'OBX|2|NM|8302-2^H^LN||""|cm|||||F'
    assert read(message(*ORDER, wrong, empty)).statements[0].values.weight_kg is None


@pytest.mark.parametrize(
    ("charset", "codec"), [("UNICODE UTF-8", "utf-8"), ("8859/1", "latin-1"), ("8859/2", "iso8859-2")]
)
def test_texts_are_read_in_the_character_set_stated(charset: str, codec: str) -> None:
    text = message(PID, "ORC|NW", "OBR|1|||X^Schädel^L||||||||||||||A1", charset=charset)
    assert read(text.encode(codec)).statements[0].values.procedure == "Schädel"


def test_escapes_that_cannot_be_decoded_are_dropped_and_nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    order = "OBR|1|||X^secret \\XZZ\\ one\\.br\\two^L||||||||||||||A1"
    assert read(message(PID, order)).statements[0].values.procedure == "secret one two"
    assert caplog.records == []


def test_line_feeds_and_empty_lines_between_segments_do_no_harm() -> None:
    assert read(message(*ORDER).replace("\r", "\r\n\r\n")).statements == read(message(*ORDER)).statements


@pytest.mark.parametrize(
    ("text", "answer", "condition", "says"),
    [
        ("", "AR", 100, "does not begin with an MSH"),
        ("PID|1\rMSH|^~\\&|", "AR", 100, "does not begin with an MSH"),
        ("MSH|^~\\&", "AR", 200, "Only messages"),
        ("MSHaaaaaaaaaaaaaaaa", "AR", 102, "five different"),
        (message(PID, kind="SIU^S12"), "AR", 200, "Only messages"),
        (message(PID, kind="ADT^A40"), "AR", 201, "Of ADT messages"),
        (message(PID, version="3.0"), "AR", 203, "version 2"),
        (message(PID, processing="T"), "AR", 202, "not of production"),
        (message(*ORDER).replace("|MSG1|", "||"), "AR", 101, "MSH-10"),
        (message(*ORDER, charset="EBCDIC"), "AR", 103, "MSH-18"),
        (message("PID|1||P1||Müller"), "AR", 102, "not in its character set"),
        (message(*ORDER, "and then this"), "AR", 100, "Line 5"),
        (message(*ORDER, obx("29463-7^W^LN", "80", "")), "AE", 102, "OBX 1: the weight has no unit"),
        (message(*ORDER, obx("29463-7^W^LN", "12", "stone")), "AE", 102, "the weight has a unit that is not known"),
        (
            message(*ORDER, obx("8302-2^H^LN", "1.75", "cm")),
            "AE",
            102,
            "the height in its unit is out of what patients have",
        ),
        (message(*ORDER, obx("8302-2^H^LN", "175", "m")), "AE", 102, "the unit may be wrong"),
        (message(*ORDER, obx("8302-2^H^LN", "1,75", "m")), "AE", 102, "no plain number"),
        (message(*ORDER, obx("8302-2^H^LN", "nan", "m")), "AE", 102, "no plain number"),
        (message(*ORDER, obx("8302-2^H^LN", "9" * 400, "m")), "AE", 102, "no plain number"),
        (message("PID|1", obx("29463-7^W^LN", "80", "kg"), kind="ADT^A08"), "AE", 101, "names neither an exam"),
        (message(PID, "ORC|NW", "OBR|1|||X^Y||||||||||||||" + "A" * 65), "AE", 102, "more than 64 characters"),
        (message(*["PID|1"] * 6000), "AR", 100, "more than 5000 segments"),
        (message(PID, *["ORC|NW"] * 300), "AE", 100, "more than 200 orders"),
    ],
)
def test_what_is_wrong_is_refused_with_its_reason(text: str, answer: str, condition: int, says: str) -> None:
    with pytest.raises(Rejected, match=says) as caught:
        read(text)
    assert (caught.value.acknowledgment, caught.value.condition) == (answer, condition)


def test_one_wrong_value_refuses_the_whole_message() -> None:
    text = message(*ORDER, obx("29463-7^W^LN", "80", "kg"), "OBR|2|||||||||||||||||A2", obx("8302-2^H^LN", "3", "m", 2))
    with pytest.raises(Rejected, match=r"OBX 2: .* Nothing of the message was taken"):
        read(text)


def test_a_refusal_quotes_no_value() -> None:
    with pytest.raises(Rejected) as caught:
        read(message(*ORDER, obx("29463-7^W^LN", "Jane Doe", "kg")))
    assert "Jane" not in str(caught.value)


@given(st.binary(max_size=400))
def test_bytes_of_any_kind_are_read_or_refused(data: bytes) -> None:
    _read_or_refused(data)
    _read_or_refused(b"MSH|^~\\&|" + data)


@given(st.data())
def test_a_damaged_message_is_read_or_refused(data: st.DataObject) -> None:
    whole = bytearray(message(*ORDER, obx("29463-7^W^LN", "80", "kg")).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at : at + data.draw(st.integers(0, 9))] = data.draw(
            st.sampled_from([b"\\", b"|", b"^X", b"\r", b"~&", b"\xff"])
        )
    _read_or_refused(bytes(whole))


def _read_or_refused(data: bytes) -> None:
    with suppress(Rejected):
        assert len(read(data).statements) <= 200


def test_every_row_of_the_tables_can_be_used() -> None:
    assert set(observations().values()) == set(units()) == {"height_cm", "weight_kg"}
    assert all(factor > 0 for known in units().values() for factor in known.values())
    assert all("".encode(codec) == b"" for codec in character_sets().values())
    assert {"ORM", "OMI", "ORU", "ADT"} <= set(message_types())
