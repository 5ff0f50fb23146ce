"""Funnel plots and control charts as pages: marks where they belong, nothing hostile let through, nothing silent."""

from __future__ import annotations

import datetime as dt
import html
import re
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest

from doseatlas.analysis import Selection, mart_table
from doseatlas.analysis.compare import (
    ControlChart,
    Funnel,
    FunnelPoint,
    Peers,
    UnitLogs,
    control_charts,
    funnels,
)
from doseatlas.dicom.simulate import mart_arrow, plan
from doseatlas.report import PageSubject, write_changes_html, write_funnels_html
from doseatlas.report.compare_page import MOST_NAMED, MOST_PICTURES, changes_html, funnels_html
from doseatlas.report.control_picture import CUSUM, EWMA, control_picture
from doseatlas.report.funnel_chart import MOST_LABELLED, funnel_picture

from .page_parts import Page

EVIL = '</title><script>alert("x")</script>\u202e<b style="color:red">'
SUBJECT = PageSubject("facility", Selection(), "stated", "test", dt.datetime(2026, 2, 1, tzinfo=dt.UTC))
START, END = dt.date(2024, 1, 1), dt.date(2025, 12, 31)


def funnel_of(medians: list[float], sizes: list[int], **changes: object) -> Funnel:
    n = np.array(sizes, dtype=float)
    logs = UnitLogs(
        [f"Unit {i}" for i in range(len(sizes))], n, np.array(medians), np.log(medians), 0.09 * n, np.zeros(len(n))
    )
    (found,) = funnels({Peers("ct-head", "adult", "dlp_mgy_cm", 16): logs})
    return msgspec.structs.replace(found, **changes)


@pytest.fixture
def funnel() -> Funnel:
    """Twenty alike units of 10 to 200 exams, a very high one, and a low one."""
    usual = list(np.geomspace(900, 1100, 20))
    return funnel_of([*usual, 3000, 400], [*range(10, 201, 10), 150, 20])


@pytest.fixture(scope="module")
def charts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ControlChart, ...]:
    mart = tmp_path_factory.mktemp("mart")
    (mart / "exams").mkdir()
    pq.write_table(mart_arrow("country", 20_000, 1, start=START, end=END), mart / "exams" / "all.parquet")
    return control_charts(mart_table(mart), Selection(), by="device")


@pytest.fixture(scope="module")
def drifting(charts: tuple[ControlChart, ...]) -> ControlChart:
    """The device that the simulator lets drift."""
    (device,) = plan("country", exams=20_000, seed=1, start=START, end=END).drifting_devices
    return next(one for one in charts if one.unit.endswith(device.station_name) and one.quantity == "dlp_mgy_cm")


def shapes(picture: str, name: str) -> list[ElementTree.Element]:
    return [one for one in ElementTree.fromstring(picture).iter() if one.get("class") == name]


def places(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", path)]


def height(curve: list[tuple[float, float]], x: float) -> float:
    """Return where a curve lies at a place."""
    return float(np.interp(x, [x for x, _ in curve], [y for _, y in curve]))


def test_limits_narrow_as_exams_grow_and_hold_the_usual_units(funnel: Funnel) -> None:
    picture = str(funnel_picture(funnel))
    upper, lower = (places(one.get("d", "")) for one in shapes(picture, "limit far"))
    widths = [low - high for (_, high), (_, low) in zip(upper, lower, strict=True)]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.8 * widths[0]
    (units,) = shapes(picture, "units")
    usual = places(units.get("d", ""))
    assert len(usual) == 20
    for x, y in usual:
        assert height(upper, x) < y < height(lower, x)


def test_units_lie_by_exams_and_dose_and_signals_outside_the_limits(funnel: Funnel) -> None:
    picture = str(funnel_picture(funnel))
    (high,), (low,) = shapes(picture, "outside over middle"), shapes(picture, "outside under middle")
    assert (high.text, low.text) == ("▲", "▼")
    assert float(high.get("x", "")) > float(low.get("x", ""))  # 150 exams and 20
    upper, lower = (places(one.get("d", "")) for one in shapes(picture, "limit far"))
    assert float(high.get("y", "")) - 4.5 < min(y for _, y in upper)
    assert float(low.get("y", "")) - 4.5 > height(lower, float(low.get("x", "")))
    (units,) = shapes(picture, "units")
    across = [x for x, _ in places(units.get("d", ""))]
    assert across == sorted(across)
    # Equal ratios of exams are equal distances: from 10 to 20, and from 100 to 200.
    assert across[1] - across[0] == pytest.approx(across[19] - across[9], abs=0.3)


def test_signals_are_numbered_named_and_told_in_words(funnel: Funnel) -> None:
    root = ElementTree.fromstring(str(funnel_picture(funnel)))
    written = [one.text for one in root.iter() if (one.get("class") or "").startswith("unit ")]
    assert written == ["1 Unit 20", "2 Unit 21"]
    told = root.findtext("desc") or ""
    assert "1 Unit 20: 3000, n = 150, high; 2 Unit 21: 400, n = 20, low" in told
    rows = [row for row in Page(funnels_html([funnel], SUBJECT)).rows("Outside") if row]
    assert [row[:4] for row in rows[1:]] == [["1", "Unit 20", "150", "3000"], ["2", "Unit 21", "20", "400"]]


def test_the_largest_unit_lies_within_the_limits_drawn_whatever_its_size() -> None:
    for largest in (5, 6, 7, 30, 2_100, 80_000):
        found = funnel_of([100, 110, 120, 130, 140], [5, 5, 5, 5, largest])
        assert found.limits[0].n <= 5
        assert found.limits[-1].n >= largest
        assert len(found.limits) >= 2
        assert len(places(shapes(str(funnel_picture(found)), "limit far")[0].get("d", ""))) >= 2


def test_the_space_below_the_smallest_sample_is_not_drawn() -> None:
    found = funnel_of([100, 110, 120, 130, 140], [900, 950, 1000, 1000, 1100])
    across = places(shapes(str(funnel_picture(found)), "limit far")[0].get("d", ""))
    assert len(across) < len(found.limits) / 2


def test_more_signals_than_a_table_bears_are_counted(funnel: Funnel) -> None:
    crowd = tuple(
        FunnelPoint(unit=f"Unit {i}", n=100, median=3000 + i, z=5 + i / 100, signal="high")
        for i in range(MOST_LABELLED + 1200)
    )
    crowded = msgspec.structs.replace(funnel, points=funnel.points + crowd)
    page = Page(funnels_html([crowded], SUBJECT))
    assert len(page.rows("Outside")) == 1 + MOST_LABELLED
    assert any(one.text.startswith("1202 more lie outside") for one in page.all("p", "remark"))


def test_hostile_names_are_text(funnel: Funnel, drifting: ControlChart) -> None:
    points = tuple(msgspec.structs.replace(point, unit=EVIL + "x" * 5000) for point in funnel.points)
    hostile = PageSubject("device", Selection(facility=EVIL), "corrected", "test", SUBJECT.generated_at)
    pages = (
        funnels_html([msgspec.structs.replace(funnel, points=points, procedure=EVIL)], hostile),
        changes_html([msgspec.structs.replace(drifting, unit=EVIL)], hostile),
    )
    for page in pages:
        taken_apart = Page(page)
        assert not taken_apart.all("script")
        assert not taken_apart.all("b")
        assert "alert(" in html.unescape(page)
        assert "\u202e" not in page
        assert "x" * 400 not in page


def test_a_page_loads_and_runs_nothing(funnel: Funnel, drifting: ControlChart) -> None:
    for page in (funnels_html([funnel], SUBJECT), changes_html([drifting], SUBJECT)):
        assert "default-src 'none'" in html.unescape(page)
        assert not re.search(r'(src|href)="(?!#)', page)
        assert "style=" not in page
        assert "<script" not in page


def test_a_step_is_drawn_where_and_as_large_as_it_was_found(drifting: ControlChart) -> None:
    change = drifting.change
    assert change is not None
    picture = str(control_picture(drifting))
    level = shapes(picture, "way")[0]
    (before_x, before), (end_x, _), (start_x, after), _ = places(level.get("d", ""))
    assert before_x < end_x == start_x
    assert after < before  # upwards is more
    (line,) = shapes(picture, "level")
    assert abs(places(line.get("d", ""))[0][0] - start_x) < 5
    weeks = [place for one in (*shapes(picture, "weeks"), *shapes(picture, "weeks few")) for place in _starts(one)]
    assert np.median([y for x, y in weeks if x < end_x - 6]) == pytest.approx(before, abs=4)
    assert np.median([y for x, y in weeks if x > start_x + 6]) == pytest.approx(after, abs=6)
    root = ElementTree.fromstring(picture)
    assert (root.findtext("title") or "").startswith(f"{drifting.unit}: dose-length product")
    told = root.findtext("desc") or ""
    assert f"from the week of {change.week} on" in told
    assert f"between the weeks of {change.week_low} and {change.week_high}" in told


def _starts(circles: ElementTree.Element) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"M(-?[\d.]+) (-?[\d.]+)", circles.get("d", ""))]


def test_signals_of_the_charts_are_marked_beyond_their_limits(drifting: ControlChart) -> None:
    ewma, cusum = (_starts(one) for one in shapes(str(control_picture(drifting)), "signals"))
    assert len(ewma) == sum(abs(week.ewma) > week.ewma_limit for week in drifting.weeks) > 5
    assert len(cusum) == sum(week.cusum_up > drifting.cusum_limit for week in drifting.weeks) > 5
    assert all(EWMA.top <= y < (EWMA.top + EWMA.bottom) / 2 for _, y in ewma)
    assert all(CUSUM.top <= y < (CUSUM.top + CUSUM.bottom) / 2 for _, y in cusum)


def test_weeks_are_set_against_one_level_before_and_after_the_change(drifting: ControlChart) -> None:
    change = drifting.change
    assert change is not None
    for weeks, level in (
        ([one for one in drifting.levels if one.week < change.week], 1.0),
        ([one for one in drifting.levels if one.week >= change.week], change.factor),
    ):
        logs, exams = np.log([one.ratio for one in weeks]), [one.n for one in weeks]
        assert np.exp(np.average(logs, weights=exams)) == pytest.approx(level, rel=0.03)
    assert len(drifting.levels) == len(drifting.weeks) + drifting.baseline_weeks


def test_only_series_with_a_change_or_a_signal_are_drawn_the_change_first(charts: tuple[ControlChart, ...]) -> None:
    drawn = [one for one in charts if one.change or one.first_signal]
    assert 0 < len(drawn) < len(charts)
    page = Page(changes_html(charts, SUBJECT))
    assert len(page.all("svg", "control")) == len(drawn)
    largest = max((one for one in drawn if one.change), key=lambda one: abs(np.log(one.change.factor)))  # type: ignore[union-attr]
    assert page.all("h2")[0].text.startswith(largest.unit)


def test_a_page_draws_a_bounded_number_of_pictures_and_names_the_others(funnel: Funnel, drifting: ControlChart) -> None:
    many = [msgspec.structs.replace(funnel, procedure=f"exam-{i}") for i in range(MOST_PICTURES + 3)]
    page = Page(funnels_html(many, SUBJECT))
    assert len(page.all("svg", "funnel")) == MOST_PICTURES
    named = [element.text for element in page.all("li") if element.text.startswith("exam-")]
    assert len(named) == 3
    assert all(name.endswith("(2)") for name in named)
    crowd = [msgspec.structs.replace(drifting, unit=f"Device {i}") for i in range(MOST_PICTURES + MOST_NAMED + 7)]
    page = Page(changes_html(crowd, SUBJECT))
    assert len(page.all("svg", "control")) == MOST_PICTURES
    assert any(one.text == "And 7 more." for one in page.all("p", "remark"))


def test_nothing_to_draw_is_said_with_what_to_do(charts: tuple[ControlChart, ...], tmp_path: Path) -> None:
    write_funnels_html([], tmp_path / "funnel.html", SUBJECT)
    assert (
        "at least 5 facilities of at least 5 exams"
        in Page((tmp_path / "funnel.html").read_text()).all("p", "note")[0].text
    )
    write_changes_html([], tmp_path / "changes.html", SUBJECT)
    assert "at least 14 weeks" in Page((tmp_path / "changes.html").read_text()).all("p", "note")[0].text
    quiet = [one for one in charts if not one.change and not one.first_signal]
    page = Page(changes_html(quiet, SUBJECT))
    assert page.all("p", "lead")[0].text == f"Of {len(quiet)} series, 0 changed; 0 more gave a signal."
    assert "--by protocol" in page.all("p", "note")[0].text


def test_a_page_says_which_exams_and_doses_it_is_of(funnel: Funnel) -> None:
    wanted = Selection(facility="St Ida", procedure="ct-head", since=dt.date(2025, 3, 1))
    page = Page(funnels_html([funnel], SUBJECT._replace(selection=wanted, dose_values="corrected")))
    scope = page.all("p", "scope")[0].text.replace("\u00a0", " ")
    assert scope.startswith("Facility St Ida, CT head, from 1 March 2025. Doses counted: corrected")


@pytest.mark.parametrize("first", [dt.date(1, 1, 1), dt.date(9990, 1, 1)])
def test_dates_at_the_ends_of_the_calendar_and_single_wild_weeks_are_drawn(
    drifting: ControlChart, first: dt.date
) -> None:
    moved = [msgspec.structs.replace(one, week=first + dt.timedelta(weeks=i)) for i, one in enumerate(drifting.levels)]
    moved[3] = msgspec.structs.replace(moved[3], n=1, ratio=1e9)
    chart = msgspec.structs.replace(drifting, levels=tuple(moved), weeks=(), change=None, first_signal=None)
    picture = str(control_picture(chart))
    numbers = [float(one) for one in re.findall(r"[ML](-?[\d.]+) ", picture)]
    assert all(0 <= one <= 640 for one in numbers)
    usual = [y for one in shapes(picture, "weeks") for _, y in _starts(one)]
    assert max(usual) - min(usual) > 60  # the wild week does not press the others flat
