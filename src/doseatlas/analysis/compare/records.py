"""What comparison and follow-up answer with."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from doseatlas.analysis.results import DoseQuantity, ReferenceLevel
from doseatlas.model import Record

UnitKind = Literal["facility", "device", "protocol"]
PeriodLength = Literal["month", "quarter", "year"]
FunnelSignal = Literal["high", "warning high", "none", "warning low", "low"]
ChartSignal = Literal["none", "ewma high", "ewma low", "cusum up", "cusum down"]
ComparedVerdict = Literal["within", "above", "consistently above", "too few", "no reference level"]


class Comparison(Record, frozen=True, kw_only=True):
    """One unit's typical value of one period, set against the reference level.

    ``low`` and ``high`` are the distribution-free 95 % interval of the median. ``probability_above`` is the probability
    that the true median lies above the level. Of corrected values both hold the uncertainty of calibration too,
    ``calibration_uncertainty`` (relative, k = 1). ``note`` says what to look at first.
    """

    kind: UnitKind
    unit: str
    procedure: str
    patient_group: str
    quantity: DoseQuantity
    phantom_cm: int | None = None
    period: str
    n: int
    minimum_n: int
    median: float
    low: float | None = None
    high: float | None = None
    calibration_uncertainty: float | None = None
    reference: ReferenceLevel | None = None
    ratio: float | None = None
    probability_above: float | None = None
    verdict: ComparedVerdict
    note: str | None = None


class LeagueRow(Record, frozen=True, kw_only=True):
    """One unit's place by median dose, 1 the lowest, with the places that chance leaves open (95 %)."""

    unit: str
    place: int
    place_low: int
    place_high: int
    of: int
    n: int
    median: float
    shrunken: float


class FunnelPoint(Record, frozen=True, kw_only=True):
    """One unit in a funnel plot. ``z`` is its distance from the centre in standard errors of its own sample size."""

    unit: str
    n: int
    median: float
    z: float
    signal: FunnelSignal


class FunnelLimit(Record, frozen=True, kw_only=True):
    """The limits at one sample size: 95 % (warning) and 99.8 % (signal)."""

    n: int
    low_998: float
    low_95: float
    high_95: float
    high_998: float


class Funnel(Record, frozen=True, kw_only=True):
    """The units of one procedure, group and quantity around their common centre; limits widen as n falls.

    ``spread_between`` is the standard deviation of the logarithm of the true medians between units that is taken for
    usual; ``spread_within`` that of patients within a unit.
    """

    procedure: str
    patient_group: str
    quantity: DoseQuantity
    phantom_cm: int | None = None
    centre: float
    spread_within: float
    spread_between: float
    points: tuple[FunnelPoint, ...]
    limits: tuple[FunnelLimit, ...]
    not_shown: int


class ChartWeek(Record, frozen=True, kw_only=True):
    """One week of a control chart.

    ``ratio`` is the geometric mean of the doses over that of all earlier weeks, kind by kind of exam. ``ewma`` (limits
    plus and minus ``ewma_limit``) and the CUSUMs are in standard errors.
    """

    week: dt.date
    n: int
    ratio: float
    ewma: float
    ewma_limit: float
    cusum_up: float
    cusum_down: float
    signal: ChartSignal


class WeekLevel(Record, frozen=True, kw_only=True):
    """One week's geometric mean dose over that before the change (of all weeks where there is none), kind by kind."""

    week: dt.date
    n: int
    ratio: float


class ChangePoint(Record, frozen=True, kw_only=True):
    """From the week that begins on ``week`` on, dose is ``factor`` times what it was before (95 % interval).

    It may have begun as early as ``week_low`` or as late as ``week_high`` (95 %). ``p_value`` is the probability of so
    strong a step anywhere if there were none.
    """

    week: dt.date
    week_low: dt.date
    week_high: dt.date
    factor: float
    low: float
    high: float
    p_value: float


class ControlChart(Record, frozen=True, kw_only=True):
    """One unit and quantity week by week, all its procedures and groups together, each against itself.

    ``weeks`` are those charted, each against all before it; the CUSUMs' limit is ``cusum_limit``. ``levels`` are all
    weeks with exams against one and the same level. ``first_signal`` is the first week that EWMA or CUSUM signals;
    ``change`` the one step that explains the weeks best, ``None`` where none is surer than chance.
    """

    kind: Literal["device", "protocol"]
    unit: str
    quantity: DoseQuantity
    baseline_weeks: int
    weeks: tuple[ChartWeek, ...]
    levels: tuple[WeekLevel, ...]
    cusum_limit: float
    first_signal: dt.date | None = None
    change: ChangePoint | None = None


class BeforeAfter(Record, frozen=True, kw_only=True):
    """One unit's typical value before and after a date, and after / before with a distribution-free interval."""

    unit: str
    procedure: str
    patient_group: str
    quantity: DoseQuantity
    phantom_cm: int | None = None
    n_before: int
    median_before: float
    n_after: int
    median_after: float
    ratio: float
    low: float | None = None
    high: float | None = None
    verdict: Literal["lower", "higher", "no change shown", "too few"]
