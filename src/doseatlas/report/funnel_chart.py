"""Which units lie outside what their sample and the usual spread explain? The funnel plot of one exam and group.

Both axes are logarithmic: sample sizes span decades, and the limits are symmetric on the logarithm of the dose. Shapes
and numbers carry what the colours of the style sheet say, so that the picture reads without colour.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from markupsafe import Markup

from doseatlas.analysis.compare import Funnel, FunnelLimit, FunnelPoint
from doseatlas.report import svg, words
from doseatlas.report.printable import printable_text
from doseatlas.report.scale import Scale

WIDTH, HEIGHT = 640.0, 400.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 84.0, 26.0, 348.0
ROOM = 1.3  # between the left edge and the smallest sample
MOST_LABELLED = 30
LONGEST_LABEL = 24
LINE, WIDE = 13.0, 6.4  # height of a line of labels, width of a letter
MARKS: Mapping[str, tuple[str, str]] = {
    "high": ("outside over", "▲"),
    "warning high": ("outside over warned", "△"),
    "warning low": ("outside under warned", "▽"),
    "low": ("outside under", "▼"),
}
"""Class and shape of each signal: up is high, filled is beyond 99.8 %."""


def signalled(funnel: Funnel) -> list[FunnelPoint]:
    """Return the units outside the 95 % limits, the furthest first: the order of their numbers."""
    outside = (point for point in funnel.points if point.signal != "none")
    return sorted(outside, key=lambda point: (-abs(point.z), point.unit))


def funnel_picture(funnel: Funnel) -> Markup:
    """Return the units by number of exams and typical value, with centre line and limits, signals numbered."""
    limits = _drawn_limits(funnel)
    x, y = _scales(funnel, limits)
    outside = signalled(funnel)
    parts = [*_axes(funnel, x, y), *_limits(funnel, limits, x, y)]
    usual = [(x.at(point.n), y.at(point.median)) for point in funnel.points if point.signal == "none"]
    parts.append(svg.dots("units", usual))
    for point in outside:
        name, mark = MARKS[point.signal]
        parts.append(svg.text(f"{name} middle", x.at(point.n), y.at(point.median) + 4.5, mark))
    parts += _labels(outside[:MOST_LABELLED], x, y)
    what = words.quantity_name(funnel.quantity, funnel.phantom_cm)
    title = f"{what} of {words.plural(len(funnel.points), 'unit', 'units')} by number of exams"
    return svg.picture(WIDTH, HEIGHT, "chart funnel", title, _told(funnel, limits, outside), parts)


def _drawn_limits(funnel: Funnel) -> Sequence[FunnelLimit]:
    """Return the limits from a little below the smallest sample on: what is left of it shows nobody."""
    smallest = min(point.n for point in funnel.points)
    first = max((i for i, limit in enumerate(funnel.limits[:-1]) if limit.n <= smallest / ROOM), default=0)
    return funnel.limits[first:]


def _scales(funnel: Funnel, limits: Sequence[FunnelLimit]) -> tuple[Scale, Scale]:
    """Return the scales of exams and of doses; the latter holds all units, and the limits of the smallest sample."""
    doses = [point.median for point in funnel.points]
    low = min(*doses, limits[0].low_998) / 1.08
    high = max(*doses, limits[0].high_998) * 1.08
    x = Scale(limits[0].n / 1.1, limits[-1].n, LEFT, WIDTH - RIGHT, logarithmic=True)
    return x, Scale(low, high, BOTTOM, TOP, logarithmic=True)


def _axes(funnel: Funnel, x: Scale, y: Scale) -> Iterator[str]:
    across, along = y.ticks(9), [tick for tick in x.ticks(9) if tick == int(tick)]
    yield svg.lines("grid", *((x.start, y.at(tick), x.stop, y.at(tick)) for tick in across))
    for tick in across:
        yield svg.text("tick end", LEFT - 6, y.at(tick) + 4, words.level_value(tick))
    marks = ((x.at(tick), BOTTOM, x.at(tick), BOTTOM + 4) for tick in along)
    yield svg.lines("base", (x.start, BOTTOM, x.stop, BOTTOM), *marks)
    for tick in along:
        yield svg.text("tick middle", x.at(tick), BOTTOM + 17, words.count(int(tick)))
    what = f"{words.quantity_name(funnel.quantity, funnel.phantom_cm)} ({words.unit(funnel.quantity)})"
    yield svg.text("axis start", 4, 14, f"median {what}, logarithmic scale")
    yield svg.text("axis middle", (x.start + x.stop) / 2, BOTTOM + 38, "exams of the unit, logarithmic scale")


def _limits(funnel: Funnel, limits: Sequence[FunnelLimit], x: Scale, y: Scale) -> Iterator[str]:
    """Return band, limits and centre with their names at the right edge, which are left out where they would touch."""
    curves = {
        "99.8 %": ("limit far", [(x.at(limit.n), y.at(limit.high_998)) for limit in limits]),
        "95 %": ("limit", [(x.at(limit.n), y.at(limit.high_95)) for limit in limits]),
        "95 % ": ("limit", [(x.at(limit.n), y.at(limit.low_95)) for limit in limits]),
        "99.8 % ": ("limit far", [(x.at(limit.n), y.at(limit.low_998)) for limit in limits]),
    }
    yield svg.path("within-limits", [*curves["95 %"][1], *reversed(curves["95 % "][1])], closed=True)
    for name, points in curves.values():
        yield svg.path(name, points)
    centre = y.at(funnel.centre)
    yield svg.lines("median", (x.start, centre, x.stop, centre))
    yield svg.text("median-label start", x.stop + 5, centre + 4, f"centre {words.dose(funnel.centre)}")
    taken = [centre]
    for label, (_, points) in curves.items():
        at = points[-1][1]
        if all(abs(at - other) >= LINE - 1 for other in taken):
            taken.append(at)
            yield svg.text("tick start", x.stop + 5, at + 4, label.strip())


def _labels(outside: Sequence[FunnelPoint], x: Scale, y: Scale) -> Iterator[str]:
    """Yield number and name beside each mark, on the side where there is room; the number alone where there is none."""
    taken = [_box(x.at(point.n) - 6, y.at(point.median), 12) for point in outside]
    for number, point in enumerate(outside, start=1):
        name = printable_text(point.unit)
        if len(name) > LONGEST_LABEL:  # devices of one facility differ at the end
            name = f"{name[: LONGEST_LABEL // 2 - 1]}…{name[-LONGEST_LABEL // 2 :]}"
        at, height = x.at(point.n), y.at(point.median)
        places = (
            (
                label,
                anchor,
                _box(at + 8 if anchor == "start" else at - 8 - WIDE * len(label), height, WIDE * len(label)),
            )
            for label in (f"{number} {name}", str(number))
            for anchor in ("start", "end")
        )
        free = next((place for place in places if _is_free(place[2], taken)), None)
        if free is not None:
            label, anchor, box = free
            taken.append(box)
            yield svg.text(f"unit {anchor}", at + 8 if anchor == "start" else at - 8, height + 4, label)


Box = tuple[float, float, float, float]


def _box(left: float, middle: float, width: float) -> Box:
    return left, left + width, middle - LINE / 2, middle + LINE / 2


def _is_free(box: Box, taken: Sequence[Box]) -> bool:
    return box[0] >= LEFT and box[1] <= WIDTH - RIGHT + 4 and not any(_touch(box, other) for other in taken)


def _touch(one: Box, other: Box) -> bool:
    return one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]


def _told(funnel: Funnel, limits: Sequence[FunnelLimit], outside: Sequence[FunnelPoint]) -> str:
    """Return in words what the picture shows."""
    unit = words.unit(funnel.quantity)
    told = f"In {unit}. Centre {words.dose(funnel.centre)}. " + " ".join(
        f"Of {words.count(limit.n)} exams, 95 % limits {words.interval(limit.low_95, limit.high_95)}, "
        f"99.8 % limits {words.interval(limit.low_998, limit.high_998)}."
        for limit in (limits[0], limits[-1])
    )
    if not outside:
        return f"{told} No unit lies outside."
    named = "; ".join(
        f"{number} {printable_text(point.unit)}: {words.dose(point.median)}, n = {words.count(point.n)}, {point.signal}"
        for number, point in enumerate(outside[:MOST_LABELLED], start=1)
    )
    more = len(outside) - MOST_LABELLED
    return f"{told} Outside: {named}{f'; and {words.count(more)} more' if more > 0 else ''}."
