from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup

from doseatlas.analysis import Distribution, MonthlyValue, ReferenceLevel, TypicalValue, Verdict
from doseatlas.report import charts


def level(value: float) -> ReferenceLevel:
    return ReferenceLevel(value=value, drl_set="uk-2022", level="national DRL", source="a document")


def typical(median: float, drl: float | None = None, n: int = 40, verdict: Verdict = "within") -> TypicalValue:
    return TypicalValue(
        procedure="ct-head",
        patient_group="adult",
        quantity="dlp_mgy_cm",
        phantom_cm=16,
        n=n,
        minimum_n=20,
        median=median,
        low=0.9 * median,
        high=1.1 * median,
        p25=0.8 * median,
        p75=1.3 * median,
        minimum=0.5 * median,
        maximum=2 * median,
        reference=level(drl) if drl else None,
        ratio=median / drl if drl else None,
        probability_above=0.5 if drl else None,
        verdict=verdict,
    )


def month(name: str, median: float, n: int = 12) -> MonthlyValue:
    return MonthlyValue(
        procedure="ct-head",
        patient_group="adult",
        quantity="dlp_mgy_cm",
        phantom_cm=16,
        month=name,
        n=n,
        median=median,
        p25=0.8 * median,
        p75=1.2 * median,
    )


def histogram(*edges: float, logarithmic: bool = False) -> Distribution:
    return Distribution(
        procedure="ct-head",
        patient_group="adult",
        quantity="dlp_mgy_cm",
        edges=edges,
        counts=tuple(range(1, len(edges))),
        logarithmic=logarithmic,
    )


def texts(picture: Markup) -> list[str]:
    """The texts that a picture shows. Parsing also shows that it is well formed."""
    return [element.text or "" for element in ET.fromstring(picture).iter("text")]


def words_of(picture: Markup) -> str:
    """The text alternative of a picture: title and description."""
    root = ET.fromstring(picture)
    return f"{root.findtext('title')} {root.findtext('desc')}"


def test_a_distribution_names_median_and_reference_level_on_the_picture() -> None:
    picture = charts.distribution_picture(histogram(400, 600, 800, 1000), typical(700, 1011), "UK 2022")
    assert "median 700" in texts(picture)
    assert "DRL 1011\xa0mGy·cm (UK 2022)" in texts(picture)


def test_the_text_alternative_of_a_distribution_has_its_numbers() -> None:
    told = words_of(charts.distribution_picture(histogram(400, 600, 800, 1000), typical(700, 1011), "UK 2022"))
    for figure in ("40 exams", "Median 700", "630 to 770", "560 to 910", "DRL 1011", "400 to 600: 1", "800 to 1000: 3"):
        assert figure in told


@pytest.mark.parametrize(("drl", "arrow"), [(20_000, "→"), (1.5, "←")])
def test_a_level_far_off_is_named_with_an_arrow(drl: float, arrow: str) -> None:
    picture = charts.distribution_picture(histogram(400, 600, 900, logarithmic=True), typical(500, drl), "UK 2022")
    assert any(arrow in text and "DRL" in text for text in texts(picture))
    assert 'class="level"' not in picture


def test_a_trend_breaks_where_a_month_is_missing_and_tells_each_month() -> None:
    months = [month("2025-01", 700), month("2025-02", 720), month("2025-05", 800, n=3), month("2025-06", 810)]
    picture = charts.trend_picture(months, typical(750, 1011), "UK 2022")
    assert str(picture).count('class="way"') == 2
    assert str(picture).count('class="month few"') == 1
    assert "2025-05: 800 (640 to 960), n = 3" in words_of(picture)
    assert {"Jan", "Jun", "2025"} <= set(texts(picture))
    assert "Jul" not in texts(picture)


def test_a_trend_of_thirty_years_is_marked_by_years() -> None:
    months = [month(f"{year}-06", 700) for year in range(1995, 2026)]
    assert "2000" in texts(charts.trend_picture(months, typical(700), ""))


@settings(deadline=None, max_examples=60)
@given(st.floats(1e-3, 1e5), st.floats(1e-4, 1e6), st.integers(1, 24), st.booleans())
def test_every_number_of_a_picture_is_finite_and_on_it(median: float, drl: float, bins: int, log: bool) -> None:
    low, high = 0.5 * median, 2 * median
    if log:
        edges = [low * (high / low) ** (i / bins) for i in range(bins + 1)]
    else:
        edges = [low + (high - low) * i / bins for i in range(bins + 1)]
    pictures = [
        charts.distribution_picture(histogram(*edges, logarithmic=log), typical(median, drl), "X 2025"),
        charts.trend_picture([month("2025-01", median), month("2025-02", 2 * median)], typical(median, drl), "X 2025"),
    ]
    for picture in pictures:
        root = ET.fromstring(picture)
        for element in root.iter("text"):
            assert 0 <= float(element.get("x", "-1")) <= charts.WIDTH
        for x, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", picture):
            assert 0 <= float(x) <= charts.WIDTH
            assert 0 <= float(y) <= 214


def test_all_exams_of_one_value_make_a_picture() -> None:
    one = histogram(95, 105)
    assert "median 100" in texts(charts.distribution_picture(one, typical(100), ""))


def test_doses_of_nothing_at_all_make_a_picture() -> None:
    assert "0" in texts(charts.trend_picture([month("2025-01", 0.0)], typical(0.0, 5.0), ""))
