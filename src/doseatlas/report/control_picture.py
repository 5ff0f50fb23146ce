"""Since which week does a device or protocol give another dose? Weekly doses, EWMA and CUSUM under each other.

The three share the axis of time. The weekly doses are set against one level, that before the change, so that a step
looks like a step; the charts below set each week against all before it, so that they return once the new dose has
become usual.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from markupsafe import Markup

from doseatlas.analysis.compare import ChangePoint, ChartWeek, ControlChart
from doseatlas.report import svg, words
from doseatlas.report.charts import FEWEST_OF_MONTH, MONTHS_A_MARK
from doseatlas.report.printable import printable_text
from doseatlas.report.scale import Scale

WIDTH, HEIGHT = 640.0, 420.0
LEFT, RIGHT = 52.0, 30.0
OFF_CHART = 3.0  # EWMA and CUSUM are drawn up to so many times their limit, and along the edge beyond
SPARE = 1.25  # weeks of few exams are drawn so far beyond the others, and at the edge from there on
WIDE = 4.0  # scales of ratios that reach further are marked logarithmically
FEW = FEWEST_OF_MONTH


class Panel(NamedTuple):
    """The place of one of the three charts."""

    top: float
    bottom: float


DOSES, EWMA, CUSUM = Panel(32, 190), Panel(222, 294), Panel(326, 388)


def control_picture(chart: ControlChart) -> Markup:
    """Return the weekly doses with the step, and the two charts with their limits."""
    first, last = chart.levels[0].week, chart.levels[-1].week
    x = Scale(first.toordinal() - 4, last.toordinal() + 4, LEFT, WIDTH - RIGHT)
    parts = [*_when(chart.change, x), *_doses(chart, x), *_ewma(chart.weeks, x), *_cusum(chart, x), *_months(x)]
    title = f"{printable_text(chart.unit)}: {words.quantity_meaning(chart.quantity)}, week by week"
    return svg.picture(WIDTH, HEIGHT, "chart control", title, " ".join(told(chart)), parts)


def told(chart: ControlChart) -> list[str]:
    """Return in sentences what the charts of a unit show."""
    sentences = []
    change = chart.change
    if change is not None:
        way = "rose" if change.factor > 1 else "fell"
        sentences.append(
            f"Dose {way} to {words.ratio(change.factor)} times that before "
            f"(95 % interval {words.ratio(change.low)} to {words.ratio(change.high)}) "
            f"from the week of {change.week} on. "
            f"It may have begun between the weeks of {change.week_low} and {change.week_high}."
        )
    else:
        sentences.append("No single step is surer than chance.")
    if chart.first_signal is None:
        sentences.append("EWMA and CUSUM give no signal.")
    else:
        signals = [week for week in chart.weeks if week.signal != "none"]
        sentences.append(
            f"First signal in the week of {chart.first_signal} ({_signal(signals[0])}), "
            f"signals in {words.count(len(signals))} of {words.plural(len(chart.weeks), 'week', 'weeks')}."
        )
    return sentences


def _signal(week: ChartWeek) -> str:
    chart, way = week.signal.split(" ")
    return f"{chart.upper()} {'rising' if way in ('high', 'up') else 'falling'}"


def _when(change: ChangePoint | None, x: Scale) -> Iterator[str]:
    """Yield the weeks in which the change may have begun as a band, and its week as a line, across all charts."""
    if change is None:
        return
    left, right = x.at(change.week_low.toordinal() - 3.5), x.at(change.week_high.toordinal() + 3.5)
    yield svg.boxes("when", (left, DOSES.top, right - left, CUSUM.bottom - DOSES.top))
    at = x.at(change.week.toordinal())
    yield svg.lines("level", (at, DOSES.top - 4, at, CUSUM.bottom))
    label = f"week of {change.week}: × {words.ratio(change.factor)}"
    anchor, label_x = svg.place_label(at, label, WIDTH)
    yield svg.text(f"level-label {anchor}", label_x, DOSES.top - 8, label)


def _doses(chart: ControlChart, x: Scale) -> Iterator[str]:
    """Yield the weekly doses as dots (hollow: few exams) about the level before and after the change."""
    change = chart.change
    y = _ratio_scale(chart)
    ticks = y._replace(logarithmic=y.high > WIDE * y.low).ticks(6)
    yield svg.lines("grid", *((x.start, y.at(tick), x.stop, y.at(tick)) for tick in ticks))
    for tick in ticks:
        yield svg.text("tick end", LEFT - 6, y.at(tick) + 4, words.level_value(tick))
    yield svg.text("axis start", 4, 14, f"{words.quantity_meaning(chart.quantity)}, ratio")
    if change is None:
        level = [(x.start, y.at(1), x.stop, y.at(1))]
    else:
        at = x.at(change.week.toordinal() - 3.5)
        yield svg.boxes("uncertain", (at, y.at(change.high), x.stop - at, y.at(change.low) - y.at(change.high)))
        level = [(x.start, y.at(1), at, y.at(1)), (at, y.at(change.factor), x.stop, y.at(change.factor))]
    yield svg.lines("way", *level)
    for name, weeks in (
        ("weeks", [week for week in chart.levels if week.n >= FEW]),
        ("weeks few", [week for week in chart.levels if week.n < FEW]),
    ):
        yield svg.circles(name, [(x.at(week.week.toordinal()), y.at(week.ratio)) for week in weeks], 2.4)


def _ratio_scale(chart: ControlChart) -> Scale:
    """Return a scale that weeks of enough exams fill: single exams scatter so far that a step would look like none."""
    change = chart.change
    every = [week.ratio for week in chart.levels]
    shown = [week.ratio for week in chart.levels if week.n >= FEW] or every
    shown += [1.0, change.low, change.high] if change else [1.0]
    low = max(min(shown) / SPARE, min(*shown, *every))
    high = min(max(shown) * SPARE, max(*shown, *every))
    return Scale(low / 1.03, high * 1.03, DOSES.bottom, DOSES.top, logarithmic=True)


def _ewma(weeks: Sequence[ChartWeek], x: Scale) -> Iterator[str]:
    edge = OFF_CHART * max(week.ewma_limit for week in weeks) if weeks else OFF_CHART
    y = Scale(-edge, edge, EWMA.bottom, EWMA.top)
    yield from _frame(y, x, EWMA, "EWMA, standard errors")
    for sign in (1, -1):
        yield from _curve("limit far", [(week.week, sign * week.ewma_limit) for week in weeks], x, y)
    yield from _curve("way", [(week.week, week.ewma) for week in weeks], x, y)
    outside = [week for week in weeks if abs(week.ewma) > week.ewma_limit]
    yield svg.dots("signals", [(x.at(week.week.toordinal()), y.at(week.ewma)) for week in outside])


def _cusum(chart: ControlChart, x: Scale) -> Iterator[str]:
    """Yield the CUSUM of rises upwards and that of falls downwards."""
    limit, weeks = chart.cusum_limit, chart.weeks
    y = Scale(-OFF_CHART * limit, OFF_CHART * limit, CUSUM.bottom, CUSUM.top)
    yield from _frame(y, x, CUSUM, "CUSUM, standard errors: rises upwards, falls downwards")
    yield svg.lines("limit far", *((x.start, y.at(at), x.stop, y.at(at)) for at in (limit, -limit)))
    for points in ([(w.week, w.cusum_up) for w in weeks], [(w.week, -w.cusum_down) for w in weeks]):
        yield from _curve("way", points, x, y)
        outside = [(x.at(week.toordinal()), y.at(value)) for week, value in points if abs(value) > limit]
        yield svg.dots("signals", outside)


def _frame(y: Scale, x: Scale, panel: Panel, label: str) -> Iterator[str]:
    yield svg.lines("base", (x.start, y.at(0), x.stop, y.at(0)))
    ticks = [tick for tick in y.ticks(4) if panel.top <= y.at(tick) <= panel.bottom]
    for tick in ticks:
        yield svg.text("tick end", LEFT - 6, y.at(tick) + 4, f"{tick:g}".replace("-", "\N{MINUS SIGN}"))
    yield svg.text("axis start", 4, panel.top - 10, label)


def _curve(name: str, points: Sequence[tuple[dt.date, float]], x: Scale, y: Scale) -> Iterator[str]:
    if len(points) > 1:
        yield svg.path(name, [(x.at(week.toordinal()), y.at(value)) for week, value in points])


def _months(x: Scale) -> Iterator[str]:
    """Yield the axis of time with a mark at the first day of months, every so many that their names have room."""
    first, last = (
        dt.date.fromordinal(max(int(x.low), 1)),
        dt.date.fromordinal(min(int(x.high), dt.date.max.toordinal())),
    )
    low, high = 12 * first.year + first.month, 12 * last.year + last.month - 1
    every = next(step for step in MONTHS_A_MARK if high - low < 10 * step)
    marked = [dt.date(*_year_month(number)) for number in range(low, high + 1) if number % every == 0]
    places = [x.at(day.toordinal()) for day in marked]
    marks = ((at, CUSUM.bottom, at, CUSUM.bottom + 4) for at in places)
    yield svg.lines("base", (x.start, CUSUM.bottom, x.stop, CUSUM.bottom), *marks)
    for day, at in zip(marked, places, strict=True):
        yield svg.text("tick middle", at, CUSUM.bottom + 18, str(day.year) if every >= 12 else f"{day:%b %Y}")


def _year_month(number: int) -> tuple[int, int, int]:
    return number // 12, number % 12 + 1, 1
