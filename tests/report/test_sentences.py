from __future__ import annotations

from collections.abc import Callable

import pytest

from doseatlas.analysis import (
    AboveLevel,
    CountOf,
    ExamsStandOut,
    FacilityReport,
    FewCounted,
    HighDevice,
    ReferenceLevel,
    Standing,
    TypicalValue,
)
from doseatlas.report import sentences

Empty = Callable[..., FacilityReport]


def typical(median: float, **fields: object) -> TypicalValue:
    basis = {
        "procedure": "ct-chest",
        "patient_group": "adult",
        "quantity": "dlp_mgy_cm",
        "phantom_cm": 32,
        "n": 340,
        "minimum_n": 20,
        "median": median,
        "low": 0.95 * median,
        "high": 1.05 * median,
        "p25": 0.8 * median,
        "p75": 1.2 * median,
        "minimum": 0.5 * median,
        "maximum": 2 * median,
        "verdict": "no reference level",
    }
    return TypicalValue(**{**basis, **fields})  # type: ignore[arg-type]


def said(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize(
    ("standing", "expected"),
    [
        (Standing(), "No procedure could be compared with a reference level."),
        (Standing(above=1, within=17), "1 of 18 procedures that could be compared is above the reference level."),
        (Standing(above=4, within=14), "4 of 18 procedures that could be compared are above the reference level."),
        (Standing(within=5), "None of 5 procedures that could be compared is above the reference level."),
        (Standing(within=1), "The one procedure that could be compared is not above the reference level."),
        (Standing(above=1), "The one procedure that could be compared is above the reference level."),
    ],
)
def test_the_headline_counts_what_could_be_compared(empty: Empty, standing: Standing, expected: str) -> None:
    assert sentences.headline(empty(standing=standing)) == expected


def test_what_is_not_compared_says_why(empty: Empty) -> None:
    report = empty(standing=Standing(too_few=5, no_level=33))
    assert sentences.not_compared(report) == "5 more have too few exams; 33 have no reference level in this set."
    assert sentences.not_compared(empty(standing=Standing(too_few=1))) == "1 more has too few exams."
    assert sentences.not_compared(empty()) == ""


def test_a_procedure_above_its_level_is_told_with_its_figures() -> None:
    level = ReferenceLevel(value=360, drl_set="uk-2022", level="national DRL", source="a document")
    value = typical(512, reference=level, ratio=512 / 360, probability_above=0.98, verdict="above")
    told = sentences.attention(AboveLevel(value=value), "UK 2022")
    assert told.title == "CT chest · Adults: above the reference level"
    assert said(told.why) == (
        "DLP (32 cm): median 512 mGy·cm (95 % interval 486 to 538, n = 340), 1.42 times the DRL 360 mGy·cm (UK 2022). "
        "Probability that the true median is above it: 98 %."
    )


def test_a_device_above_the_others_is_told_beside_all_devices() -> None:
    finding = HighDevice(value=typical(600, device="Scanner 7"), all_devices=typical(400), ratio=1.5)
    told = sentences.attention(finding, "")
    assert told.title.startswith("Scanner 7")
    assert "1.50 times that of all devices together" in told.why


def test_exams_that_stand_out_are_told_with_the_usual_reason() -> None:
    told = sentences.attention(ExamsStandOut(count=890, listed=50, reason=CountOf(value="extra phase", count=26)), "")
    assert "890 exams" in told.title
    assert "“extra phase” in 26 of the 50 listed" in told.why


def test_few_counted_exams_put_the_report_in_doubt() -> None:
    told = sentences.attention(FewCounted(exams=3000, counted=2100), "")
    assert said(told.title) == "Only 70 % of the exams are counted"


def test_a_level_set_without_a_name_is_named_by_its_id(empty: Empty) -> None:
    assert sentences.levels(empty()) == "Japan 2025 (J-RIME, national DRL)"
    assert sentences.levels(empty(drl_name="", drl_authority="", drl_level="", drl_set="own-2026")) == "own-2026"
    assert sentences.levels(empty(drl_set="")) == "no reference levels"


@pytest.mark.parametrize("dose_values", ["stated", "corrected"])
def test_derived_doses_are_told_to_rest_on_corrected_values_whatever_is_counted(empty: Empty, dose_values: str) -> None:
    values = [typical(3.2, quantity=quantity) for quantity in ("dlp_mgy_cm", "effective_dose_msv", "ssde_derived_mgy")]
    with_both = empty(dose_values=dose_values, typical_values=tuple(values))
    assert sentences.derived_doses(with_both).startswith(
        "Effective dose and SSDE (derived) always rest on values corrected by calibration certificates"
    )
    assert sentences.derived_doses(empty(typical_values=tuple(values[:1]), dose_values=dose_values)) == ""
