"""The pictures of one procedure: how its doses are spread, and how they go on. Each says in words what it shows.

Classes are coloured by the page's style sheet; shapes and labels carry the same meaning without colour.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Sequence

from markupsafe import Markup

from doseatlas.analysis import Distribution, MonthlyValue, TypicalValue
from doseatlas.report import svg, words
from doseatlas.report.scale import Scale, round_step

WIDTH = 480.0
LEFT, RIGHT = 40.0, 14.0
FAR = 1.5  # a level further off the data than so many times their range is named, not drawn
FEWEST_OF_MONTH = 10
MOST_COUNTS_WRITTEN = 14
MONTHS_A_MARK = (1, 2, 3, 6, 12, 24, 60, 120, 1200, 12000)


def distribution_picture(distribution: Distribution, value: TypicalValue, drl_name: str) -> Markup:
    """Return a histogram with median, quartiles and the reference level."""
    top, bottom, height = 42.0, 168.0, 214.0
    x = _dose_scale(distribution, value)
    most = max(distribution.counts)
    y = Scale(0, most, bottom, top)
    what = words.quantity_name(value.quantity, value.phantom_cm)
    bins = list(zip(distribution.edges, distribution.edges[1:], distribution.counts, strict=False))
    bars = [
        (x.at(low) + 0.5, y.at(count), max(x.at(high) - x.at(low) - 1, 0.5), bottom - y.at(count))
        for low, high, count in bins
        if count
    ]
    parts = [svg.boxes("quartiles", (x.at(value.p25), top, x.at(value.p75) - x.at(value.p25), bottom - top))]
    parts += _count_axis(y, most)
    parts.append(svg.boxes("bar", *bars))
    parts += _dose_axis(x, bottom, f"{what} ({words.unit(value.quantity)})")
    parts += _mark("median", x.at(value.median), 34, top - 4, bottom, f"median {words.dose(value.median)}")
    if value.reference is not None:
        label = words.level_label(value.reference, value.quantity, drl_name)
        if x.covers(value.reference.value):
            parts += _mark("level", x.at(value.reference.value), 14, 18, bottom, label)
        elif value.reference.value > x.high:
            parts.append(svg.text("level-label end", WIDTH - RIGHT, 14, f"{label} →"))
        else:
            parts.append(svg.text("level-label start", LEFT, 14, f"← {label}"))
    counts = "; ".join(f"{words.dose(low)} to {words.dose(high)}: {count}" for low, high, count in bins)
    return svg.picture(
        WIDTH,
        height,
        "chart",
        f"How {what} is spread over {words.plural(value.n, 'exam', 'exams')}",
        f"{_figures(value, drl_name)} Exams in each range: {counts}.",
        parts,
    )


def trend_picture(months: Sequence[MonthlyValue], value: TypicalValue, drl_name: str) -> Markup:
    """Return the median of each month with its quartiles, and how many exams it is of."""
    top, bottom, height = 24.0, 142.0, 214.0
    x = Scale(_number(months[0]) - 0.5, _number(months[-1]) + 0.5, LEFT, WIDTH - RIGHT)
    y = _trend_scale(months, value, bottom, top)
    ticks = y.ticks(5)
    parts = [svg.lines("grid", *((LEFT, y.at(tick), WIDTH - RIGHT, y.at(tick)) for tick in ticks))]
    parts += [svg.text("tick end", LEFT - 5, y.at(tick) + 4, words.level_value(tick)) for tick in ticks]
    parts += _monthly_shapes(months, x, y)
    parts += _month_axis(months, x, bottom)
    if value.reference is not None:
        label = words.level_label(value.reference, value.quantity, drl_name)
        if y.covers(value.reference.value):
            at = y.at(value.reference.value)
            parts.append(svg.lines("level", (LEFT, at, WIDTH - RIGHT, at)))
        else:
            label = f"↑ {label}"
        parts.append(svg.text("level-label end", WIDTH - RIGHT, 14, label))
    unit = words.unit(value.quantity)
    parts.append(svg.text("axis start", 4, 14, unit))
    what = words.quantity_name(value.quantity, value.phantom_cm)
    title = f"Median {what} of each month, {months[0].month} to {months[-1].month}"
    told = "; ".join(
        f"{m.month}: {words.dose(m.median)} ({words.dose(m.p25)} to {words.dose(m.p75)}), n = {m.n}" for m in months
    )
    told = f"In {unit}; median, quartiles and number of exams. {told}."
    return svg.picture(WIDTH, height, "chart", title, told, parts)


def _trend_scale(months: Sequence[MonthlyValue], value: TypicalValue, bottom: float, top: float) -> Scale:
    """Return a scale from 0 to a round value beyond all quartiles and, where it is not far off, the level."""
    highest = max(month.p75 for month in months) or 1.0
    level = value.reference.value if value.reference else None
    if level is not None and level <= (1 + FAR) * highest:
        highest = max(highest, level)
    step = round_step(highest / 4)
    return Scale(0, step * math.ceil(highest / step - 1e-9), bottom, top)


def _monthly_shapes(months: Sequence[MonthlyValue], x: Scale, y: Scale) -> list[str]:
    """Return quartiles as a band, medians as a line and dots (hollow: few exams); both break where a month misses."""
    parts = []
    for run in _runs(months):
        outline = [(x.at(_number(m)), y.at(m.p75)) for m in run]
        outline += [(x.at(_number(m)), y.at(m.p25)) for m in reversed(run)]
        if len(run) > 1:
            parts.append(svg.path("band", outline, closed=True))
            parts.append(svg.path("way", [(x.at(_number(m)), y.at(m.median)) for m in run]))
        else:
            parts.append(svg.lines("band-line", (*outline[0], *outline[1])))
    return parts + [
        svg.dot("month" if m.n >= FEWEST_OF_MONTH else "month few", x.at(_number(m)), y.at(m.median), 3) for m in months
    ]


def _figures(value: TypicalValue, drl_name: str) -> str:
    unit = words.unit(value.quantity)
    told = (
        f"In {unit}. Median {words.dose(value.median)}, 95 % interval {words.interval(value.low, value.high)}, "
        f"quartiles {words.interval(value.p25, value.p75)}, all exams {words.interval(value.minimum, value.maximum)}."
    )
    if value.reference is None:
        return f"{told} No reference level."
    return f"{told} {words.level_label(value.reference, value.quantity, drl_name)}."


def _dose_scale(distribution: Distribution, value: TypicalValue) -> Scale:
    """Return the scale of a histogram, widened to the reference level where that is not far off."""
    low, high = distribution.edges[0], distribution.edges[-1]
    level = value.reference.value if value.reference else None
    if level is not None:
        span = (high / low) ** FAR if distribution.logarithmic else FAR * (high - low)
        nearest, furthest = (low / span, high * span) if distribution.logarithmic else (low - span, high + span)
        if nearest <= level <= furthest:
            margin = 1.05
            low, high = min(low, level / margin), max(high, level * margin)
    return Scale(low, high, LEFT, WIDTH - RIGHT, distribution.logarithmic)


def _count_axis(y: Scale, most: int) -> list[str]:
    ticks = range(0, most + 1, max(1, round(round_step(most / 3))))
    parts = [svg.lines("grid", *((LEFT, y.at(tick), WIDTH - RIGHT, y.at(tick)) for tick in ticks))]
    return parts + [svg.text("tick end", LEFT - 5, y.at(tick) + 4, words.count(tick)) for tick in ticks]


def _dose_axis(x: Scale, bottom: float, label: str) -> list[str]:
    ticks = x.ticks(7)
    marks = ((x.at(tick), bottom, x.at(tick), bottom + 4) for tick in ticks)
    parts = [svg.lines("base", (LEFT, bottom, WIDTH - RIGHT, bottom), *marks)]
    parts += [svg.text("tick middle", x.at(tick), bottom + 17, words.level_value(tick)) for tick in ticks]
    scale = ", logarithmic scale" if x.logarithmic else ""
    parts.append(svg.text("axis middle", (LEFT + WIDTH - RIGHT) / 2, bottom + 37, f"{label}{scale}"))
    return parts


def _mark(name: str, at: float, label_y: float, top: float, bottom: float, label: str) -> list[str]:
    """Return an upright line with a label above it."""
    anchor, label_x = svg.place_label(at, label, WIDTH)
    return [svg.lines(name, (at, top, at, bottom)), svg.text(f"{name}-label {anchor}", label_x, label_y, label)]


def _number(month: MonthlyValue) -> int:
    """Return the number of a month, counted from year 0."""
    year, number = month.month.split("-")
    return 12 * int(year) + int(number) - 1


def _runs(months: Sequence[MonthlyValue]) -> Iterator[list[MonthlyValue]]:
    """Yield months that follow each other without a gap."""
    run = [months[0]]
    for month in months[1:]:
        if _number(month) != _number(run[-1]) + 1:
            yield run
            run = []
        run.append(month)
    yield run


def _month_axis(months: Sequence[MonthlyValue], x: Scale, bottom: float) -> list[str]:
    """Return months (or, of long periods, years) and the number of exams below each."""
    first, last = _number(months[0]), _number(months[-1])
    every = next(step for step in MONTHS_A_MARK if last - first < 14 * step)
    marked = [number for number in range(first, last + 1) if number % every == 0]
    marks = ((x.at(number), bottom, x.at(number), bottom + 4) for number in marked)
    parts = [svg.lines("base", (LEFT, bottom, WIDTH - RIGHT, bottom), *marks)]
    for number in marked:
        year, month = divmod(number, 12)
        if every < 12:
            parts.append(svg.text("tick middle", x.at(number), bottom + 17, f"{dt.date(2000, month + 1, 1):%b}"))
        if every >= 12 or number == marked[0] or month < every:
            parts.append(svg.text("tick middle", x.at(number), bottom + (17 if every >= 12 else 31), str(year)))
    return parts + _month_counts(months, x)


def _month_counts(months: Sequence[MonthlyValue], x: Scale) -> list[str]:
    """Return the number of exams of each month as a bar and, where there is room, a figure."""
    floor, most = 212.0, max(month.n for month in months)
    width = min(18.0, 0.7 * (x.stop - x.start) / (x.high - x.low))
    heights = [(x.at(_number(month)), 14.0 * month.n / most) for month in months]
    parts = [
        svg.text("tick end", LEFT - 5, floor - 1, "n"),
        svg.boxes("count", *((at - width / 2, floor - height, width, height) for at, height in heights)),
    ]
    if x.high - x.low > MOST_COUNTS_WRITTEN:
        return [*parts, svg.text("tick end", LEFT - 5, floor - 14, words.count(most))]
    return parts + [
        svg.text("tick middle", at, floor - height - 3, words.count(month.n))
        for month, (at, height) in zip(months, heights, strict=True)
    ]
