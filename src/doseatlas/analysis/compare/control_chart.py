"""In which week did a device or a protocol begin to give another dose? EWMA and CUSUM charts, and the step they show.

Weekly means of the logarithm of dose, each exam against its kind (procedure, group, phantom) in all weeks before, are
charted by an exponentially weighted moving average (Roberts, Technometrics 1 (1959) 239-250) and by two CUSUMs (Page,
Biometrika 41 (1954) 100-115; self-starting: Hawkins, The Statistician 36 (1987) 299-316), in standard errors for the
number of exams of each week. The charts signal that something changed; :mod:`change_point` says when and by how much.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from doseatlas.analysis.compare.change_point import Z_95, Step, Weekly, find_step
from doseatlas.analysis.compare.comparison import unit_dose_values
from doseatlas.analysis.compare.records import ChangePoint, ChartSignal, ChartWeek, ControlChart, WeekLevel
from doseatlas.analysis.mart import chosen, countable
from doseatlas.analysis.results import Selection
from doseatlas.analysis.tables import quantities

if TYPE_CHECKING:
    import ibis
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

WEIGHT = 0.2  # of the newest week in the EWMA
EWMA_LIMIT = 3.5  # standard errors: one false signal in about 2,850 weeks, by simulation
CUSUM_SLACK, CUSUM_LIMIT = 0.5, 7.0  # standard errors: tuned to a step of one; one in about 3,400 weeks
BASELINE_WEEKS = 13
FEWEST_WEEKS = 8
SURE = 0.001
"""A step is told where chance gives one as strong in fewer than one series in a thousand: registries hold thousands."""


def control_charts(
    table: ibis.Table,
    selection: Selection,
    *,
    by: Literal["device", "protocol"],
    baseline_weeks: int = BASELINE_WEEKS,
) -> tuple[ControlChart, ...]:
    """Return the chart of each unit and quantity with exams in at least 8 weeks, by unit and quantity.

    Undated exams and doses of 0 are left out. The first ``baseline_weeks`` weeks with exams are
    not charted: they say what is usual.
    """
    import itertools

    rows = weekly_logs(countable(chosen(table, selection)), by)
    ordered = rows.order_by("unit", "quantity", "week", "procedure", "patient_group", "phantom_cm")
    found = itertools.groupby(ordered.to_pyarrow().to_pylist(), lambda row: (row["unit"], row["quantity"]))
    charts = (_chart(by, unit, quantity, list(of_unit), baseline_weeks) for (unit, quantity), of_unit in found)
    return tuple(chart for chart in charts if chart is not None)


def weekly_logs(exams: ibis.Table, by: Literal["device", "protocol"]) -> ibis.Table:
    """Return number, sum and sum of squares of the logarithm of dose of each unit, quantity, kind of exam and week."""
    dated = exams.filter(exams.study_date.notnull())
    # The week takes the place of the month, so that the values are made as everywhere else. An engine may print the
    # week's first day with a time of day; the first ten characters are the date.
    by_week = dated.mutate(month=dated.study_date.truncate("W").cast("string").substr(0, 10))
    values = unit_dose_values(by_week, by, "month")
    charted = [quantity.name for quantity in quantities() if quantity.stands_out]
    doses = values.filter(values.value > 0, values.quantity.isin(charted))
    log = doses.value.log()
    keys = ["unit", "quantity", "procedure", "patient_group", "phantom_cm"]
    return doses.group_by([*keys, doses.period.name("week")]).agg(
        n=doses.count(), total=log.sum(), squares=(log**2).sum()
    )


def _chart(
    by: Literal["device", "protocol"], unit: str, quantity: Any, rows: list[dict[str, Any]], baseline_weeks: int
) -> ControlChart | None:
    weeks = sorted({row["week"] for row in rows})
    if len(weeks) < max(FEWEST_WEEKS, baseline_weeks + 1):
        return None
    weekly = _weekly(rows, weeks)
    dates = [dt.date.fromisoformat(week) for week in weeks]
    charted = tuple(_weeks(weekly, dates, baseline_weeks))
    step = find_step(weekly)
    if step is not None and step.p_value >= SURE:
        step = None
    change = None
    if step is not None:
        change = ChangePoint(
            week=dates[step.week],
            week_low=dates[step.first],
            week_high=dates[step.last],
            factor=math.exp(step.size),
            low=math.exp(step.size - Z_95 * step.error),
            high=math.exp(step.size + Z_95 * step.error),
            p_value=step.p_value,
        )
    return ControlChart(
        kind=by,
        unit=unit,
        quantity=quantity,
        baseline_weeks=baseline_weeks,
        weeks=charted,
        levels=tuple(_levels(weekly, dates, step)),
        cusum_limit=CUSUM_LIMIT,
        first_signal=next((week.week for week in charted if week.signal != "none"), None),
        change=change,
    )


def _weekly(rows: list[dict[str, Any]], weeks: list[str]) -> Weekly:
    import numpy as np

    kinds: dict[tuple[str, str, int], int] = {}
    places = {week: i for i, week in enumerate(weeks)}
    for row in rows:
        kinds.setdefault((row["procedure"], row["patient_group"], row["phantom_cm"]), len(kinds))
    weekly = Weekly(*(np.zeros((len(kinds), len(weeks))) for _ in range(3)))
    for row in rows:
        place = kinds[row["procedure"], row["patient_group"], row["phantom_cm"]], places[row["week"]]
        weekly.n[place], weekly.total[place], weekly.squares[place] = row["n"], row["total"], row["squares"]
    return weekly


def _weeks(weekly: Weekly, dates: list[dt.date], baseline_weeks: int) -> Iterator[ChartWeek]:
    """Yield the charted weeks after the first ones.

    Each week is set against all weeks before it: such scores are independent of each other where nothing changes, which
    scores against a fixed baseline are not, as its error stands in all of them.
    """
    ewma, ewma_variance, up, down = 0.0, 0.0, 0.0, 0.0
    for place in range(baseline_weeks, weekly.n.shape[1]):
        found = _against_earlier(weekly, place)
        if found is None:
            continue
        exams, ratio, score = found
        ewma = WEIGHT * score + (1 - WEIGHT) * ewma
        ewma_variance = WEIGHT**2 + (1 - WEIGHT) ** 2 * ewma_variance
        limit = EWMA_LIMIT * math.sqrt(ewma_variance)
        up, down = max(0.0, up + score - CUSUM_SLACK), max(0.0, down - score - CUSUM_SLACK)
        yield ChartWeek(
            week=dates[place],
            n=exams,
            ratio=ratio,
            ewma=ewma,
            ewma_limit=limit,
            cusum_up=up,
            cusum_down=down,
            signal=_signal(ewma, limit, up, down),
        )


def _levels(weekly: Weekly, dates: list[dt.date], step: Step | None) -> Iterator[WeekLevel]:
    """Yield each week's dose over the level before the step, which is that of all weeks where there is no step.

    The level of a kind is its mean once the step is taken off the weeks after it, so that a kind that is seen only
    after the step counts too.
    """
    import numpy as np

    after = np.zeros(len(dates))
    if step is not None:
        after[step.week :] = step.size
    level = (weekly.total - weekly.n * after).sum(axis=1) / weekly.n.sum(axis=1)
    exams = weekly.n.sum(axis=0)
    rise = (weekly.total - weekly.n * level[:, None]).sum(axis=0) / exams
    for week, n, size in zip(dates, exams, rise, strict=True):
        yield WeekLevel(week=week, n=int(n), ratio=math.exp(size))


def _against_earlier(weekly: Weekly, place: int) -> tuple[int, float, float] | None:
    """Return a week's exams of kinds seen before, the ratio of their dose to that of earlier weeks, and its score.

    The score is the ratio's logarithm in standard errors, of the week and of the earlier weeks. ``None``: no exams.
    """
    earlier = weekly.n[:, :place].sum(axis=1)
    known = earlier > 0
    earlier, n = earlier[known], weekly.n[known, place]
    exams = float(n.sum())
    mean = weekly.total[known, :place].sum(axis=1) / earlier
    squares = float(weekly.squares[known, :place].sum() - (earlier * mean**2).sum())
    freedom = float(earlier.sum()) - len(earlier)
    if not exams or freedom < 1 or squares <= 0:
        return None
    rise = float((weekly.total[known, place] - n * mean).sum()) / exams
    variance = squares / freedom * (1 / exams + float((n**2 / earlier).sum()) / exams**2)
    return int(exams), math.exp(rise), rise / math.sqrt(variance)


def _signal(ewma: float, limit: float, up: float, down: float) -> ChartSignal:
    if abs(ewma) > limit:
        return "ewma high" if ewma > 0 else "ewma low"
    if max(up, down) > CUSUM_LIMIT:
        return "cusum up" if up >= down else "cusum down"
    return "none"
