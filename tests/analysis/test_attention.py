from __future__ import annotations

from typing import Any

import pytest

from doseatlas.analysis import (
    AboveLevel,
    CountOf,
    DataQuality,
    ExamsStandOut,
    FewCounted,
    HighDevice,
    Outlier,
    ReferenceLevel,
    Standing,
    TypicalValue,
)
from doseatlas.analysis.attention import first_reasons, standing, what_to_look_at
from doseatlas.analysis.outlier import Outliers

LEVEL = ReferenceLevel(value=100.0, drl_set="a-set", level="national DRL", source="a document")
GOOD = DataQuality(exams=100, counted=95, plausible=100, mapped=100, grouped=95, with_weight=0)
NONE = Outliers((), 0)


def typical(procedure: str, median: float, **fields: Any) -> TypicalValue:
    basis: dict[str, Any] = {
        "procedure": procedure,
        "patient_group": "adult",
        "quantity": "dlp_mgy_cm",
        "n": 30,
        "minimum_n": 20,
        "median": median,
        "low": 0.95 * median,
        "high": 1.05 * median,
        "p25": median,
        "p75": median,
        "minimum": median,
        "maximum": median,
        "verdict": "no reference level",
    }
    return TypicalValue(**{**basis, **fields})


def compared(procedure: str, median: float, probability: float = 0.99, **fields: Any) -> TypicalValue:
    verdict = "above" if median > LEVEL.value else "within"
    basis = {"reference": LEVEL, "ratio": median / LEVEL.value, "probability_above": probability, "verdict": verdict}
    return typical(procedure, median, **{**basis, **fields})


def outlier(*reasons: str) -> Outlier:
    return Outlier(
        exam_id="1",
        device="A",
        procedure="p",
        patient_group="adult",
        quantity="dlp_mgy_cm",
        value=3.0,
        median=1.0,
        ratio=3.0,
        reasons=reasons,
    )


def test_a_procedure_with_one_quantity_above_is_above_and_counts_once_for_each_group() -> None:
    found = standing(
        [
            compared("a", 150.0),
            compared("a", 50.0, quantity="ctdi_vol_mgy"),
            compared("a", 50.0, patient_group="child-weight-lt5"),
            compared("b", 50.0, verdict="too few", n=3),
            typical("c", 50.0),
            typical("d", 50.0, verdict="too few", n=3),
        ]
    )
    assert found == Standing(above=1, within=1, too_few=1, no_level=2)


def test_nothing_to_look_at_gives_no_findings() -> None:
    assert what_to_look_at([compared("a", 50.0)], [], NONE, GOOD) == ()


def test_a_sure_procedure_goes_before_a_larger_but_doubtful_one() -> None:
    sure, doubtful = compared("a", 120.0, 0.96), compared("b", 180.0, 0.80)
    assert what_to_look_at([doubtful, sure], [], NONE, GOOD) == (AboveLevel(value=sure), AboveLevel(value=doubtful))


def test_a_procedure_is_mentioned_once_by_its_largest_ratio() -> None:
    dlp, ctdi = compared("a", 120.0), compared("a", 140.0, quantity="ctdi_vol_mgy")
    assert what_to_look_at([dlp, ctdi], [], NONE, GOOD) == (AboveLevel(value=ctdi),)


def test_too_few_exams_are_no_finding() -> None:
    assert what_to_look_at([compared("a", 900.0, n=4, verdict="too few")], [], NONE, GOOD) == ()


def test_a_device_clearly_above_all_devices_together_is_a_finding() -> None:
    together = typical("a", 100.0)
    devices = [typical("a", 150.0, device="A"), typical("a", 90.0, device="B")]
    assert what_to_look_at([together], devices, NONE, GOOD) == (
        HighDevice(value=devices[0], all_devices=together, ratio=1.5),
    )


@pytest.mark.parametrize(
    "devices",
    [
        pytest.param([("A", 150.0, {})], id="the only device"),
        pytest.param([("A", 150.0, {}), ("B", 90.0, {"n": 4})], id="the only one with enough exams"),
        pytest.param([("A", 150.0, {"n": 4}), ("B", 90.0, {})], id="too few exams"),
        pytest.param([("A", 150.0, {"low": 104.0}), ("B", 90.0, {})], id="intervals touch"),
        pytest.param([("A", 120.0, {}), ("B", 90.0, {})], id="ratio below 1.25"),
        pytest.param([("A", 150.0, {"phantom_cm": 16}), ("B", 90.0, {"phantom_cm": 16})], id="another phantom"),
    ],
)
def test_a_device_is_no_finding_where_it_is_not_clear(devices: list[tuple[str, float, dict[str, Any]]]) -> None:
    values = [typical("a", median, device=device, **fields) for device, median, fields in devices]
    assert what_to_look_at([typical("a", 100.0)], values, NONE, GOOD) == ()


def test_there_is_one_finding_of_each_kind_before_more_procedures_and_three_at_most() -> None:
    above = [compared(name, 200.0) for name in "abcd"]
    outliers = Outliers((outlier("long scan"),), 70)
    found = what_to_look_at(above, [], outliers, GOOD)
    assert [type(finding) for finding in found] == [AboveLevel, ExamsStandOut, AboveLevel]
    assert found[1] == ExamsStandOut(count=70, listed=1, reason=CountOf(value="long scan", count=1))


def test_few_counted_exams_come_first() -> None:
    poor = DataQuality(exams=100, counted=89, plausible=100, mapped=89, grouped=100, with_weight=0)
    found = what_to_look_at([compared("a", 150.0)], [], NONE, poor)
    assert found[0] == FewCounted(exams=100, counted=89)
    assert isinstance(found[1], AboveLevel)


def test_an_exam_counts_for_its_likeliest_reason_only() -> None:
    found = first_reasons([outlier("b", "a"), outlier("b"), outlier("c"), outlier("a")])
    assert [(reason.value, reason.count) for reason in found] == [("b", 2), ("a", 1), ("c", 1)]
