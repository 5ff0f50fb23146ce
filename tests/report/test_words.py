from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doseatlas.analysis import ReferenceLevel
from doseatlas.report import words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0, "0"),
        (0.00123456, "0.00123"),
        (0.154, "0.154"),
        (1.4, "1.40"),
        (9.996, "10.0"),
        (45.21, "45.2"),
        (99.96, "100"),
        (782.4, "782"),
        (4643.2, "4643"),
        (11980.4, "11\u202f980"),
    ],
)
def test_a_dose_has_three_significant_digits_and_is_whole_from_100_on(value: float | None, text: str) -> None:
    assert words.dose(value) == text


@settings(deadline=None)
@given(st.floats(0.001, 1e7))
def test_a_dose_as_said_is_within_half_a_percent_and_never_in_powers_of_ten(value: float) -> None:
    text = words.dose(value)
    assert "e" not in text
    assert float(text.replace("\u202f", "")) == pytest.approx(value, rel=0.0051)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (1.0, "1.00"), (1.004, ">1.00"), (0.999, "<1.00"), (1.42, "1.42"), (9.999, "10.0"), (123.4, "123")],
)
def test_a_ratio_that_is_not_1_never_reads_as_1(value: float | None, text: str) -> None:
    assert words.ratio(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.0, "<1\xa0%"), (1e-9, "<1\xa0%"), (0.476, "48\xa0%"), (0.9999, ">99\xa0%"), (1.0, ">99\xa0%")],
)
def test_a_probability_never_reads_as_certain(value: float | None, text: str) -> None:
    assert words.probability(value) == text


def test_a_share_is_0_or_100_percent_only_where_it_is() -> None:
    assert [words.share(part, 1000) for part in (0, 1, 500, 999, 1000)] == [
        "0\xa0%",
        "<1\xa0%",
        "50\xa0%",
        ">99\xa0%",
        "100\xa0%",
    ]
    assert words.share(0, 0) == "–"


def test_names_are_those_of_the_reference_tables_and_an_unknown_id_stays() -> None:
    assert words.procedure_name("ct-head") == "CT head"
    assert words.group_name("child-weight-5-15") == "Children, 5 to under 15 kg"
    assert words.procedure_name("made-up") == "made-up"
    assert words.group_name("made-up") == "made-up"


def test_dlp_says_its_phantom_and_kap_has_none() -> None:
    assert words.quantity_name("dlp_mgy_cm", 16) == "DLP (16\xa0cm)"
    assert words.quantity_name("dlp_mgy_cm", None) == "DLP (phantom unclear)"
    assert words.quantity_name("kap_gy_cm2", None) == "KAP"


def test_a_level_that_is_not_a_national_drl_is_not_called_one() -> None:
    national = ReferenceLevel(value=1011, drl_set="uk-2022", level="national DRL", source="a document")
    proposed = ReferenceLevel(value=10.165, drl_set="x", level="proposed national DRL", source="a document")
    assert words.level_label(national, "dlp_mgy_cm", "UK 2022") == "DRL 1011\xa0mGy·cm (UK 2022)"
    assert words.level_label(proposed, "ctdi_vol_mgy", "") == "proposed national DRL 10.165\xa0mGy (x)"
