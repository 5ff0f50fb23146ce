"""Which level has a child of any weight, where the weight groups hold too few patients for levels of their own?

All children of a procedure, whatever their facility, share one curve, fitted by quantile regression: its 75 % curve is
the level, its 50 % curve the achievable dose (European Commission, Radiation Protection 185, 2018; Jarvinen et al.,
Radiation Protection Dosimetry 165 (2015) 86-90). The exponential is a line in the logarithm of the dose, as quantiles
keep their rank under a logarithm.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from doseatlas.analysis.drl.bootstrap import FEWEST_UNITS, Draws, drawn_units, interval
from doseatlas.analysis.drl.quantile_regression import Line, fit_quantile_line
from doseatlas.analysis.drl.records import ComputedLevel, DrlCurve

if TYPE_CHECKING:
    import ibis
    import numpy as np
    import numpy.typing as npt

    from doseatlas.reference import DrlMethod, DrlRule

    Floats = npt.NDArray[np.float64]

REFERENCE_KG = 70.0
FEWEST_PATIENTS = 20
MOST_PATIENTS = 200_000
"""More patients than this are not too few for weight groups, and would not fit into a bounded memory."""
CURVE_REPLICATES = 200


def thin_levels(levels: Iterable[ComputedLevel], method: DrlMethod) -> list[tuple[str, str, int, DrlRule]]:
    """Return procedure, quantity, phantom and rule of the levels that a curve is to stand in for."""
    found: dict[tuple[str, str, int], DrlRule] = {}
    for level in levels:
        rule = method.rule(level.procedure, level.patient_group)
        if rule is not None and rule.curve is not None:
            is_thin = level.status == "too few units" or rule.curve == "linear-in-weight"
            if is_thin:
                found.setdefault((level.procedure, level.quantity, level.phantom_cm or 0), rule)
    return [(*key, rule) for key, rule in sorted(found.items(), key=lambda item: item[0])]


def curves_of_area(
    exams: ibis.Table, area: str, method: DrlMethod, levels: Iterable[ComputedLevel], draws: Draws
) -> Iterator[DrlCurve]:
    """Yield the curves of one area's :func:`exams_by_rule` for the levels that need one."""
    for procedure, quantity, phantom_cm, rule in thin_levels(levels, method):
        groups = [level.patient_group for level in levels if level.procedure == procedure]
        of_rule = sorted({group for group in groups if method.rule(procedure, group) == rule})
        patients = weights_and_doses(exams, procedure, of_rule, quantity, phantom_cm)
        yield from _curves(patients, (area, procedure, quantity, phantom_cm), rule, draws)


def weights_and_doses(
    exams: ibis.Table, procedure: str, groups: list[str], quantity: str, phantom_cm: int
) -> ibis.Table:
    """Return ``facility``, ``weight_kg`` and ``dose`` of the patients of a curve, in a fixed order."""
    one = exams.filter(exams.procedure == procedure, exams.patient_group.isin(groups), exams.phantom_cm == phantom_cm)
    stated = one.filter(one.weight_kg.notnull(), one[quantity] > 0)
    columns = stated.select("facility", "weight_kg", dose=stated[quantity])
    return columns.order_by("facility", "weight_kg", "dose").limit(MOST_PATIENTS + 1)


def _curves(patients: ibis.Table, key: tuple[str, str, str, int], rule: DrlRule, draws: Draws) -> Iterator[DrlCurve]:
    import numpy as np

    found = patients.to_pyarrow()
    weight = found["weight_kg"].to_numpy().astype(np.float64)
    dose = found["dose"].to_numpy().astype(np.float64)
    _, facility = np.unique(found["facility"].to_numpy(zero_copy_only=False), return_inverse=True)
    if not FEWEST_PATIENTS <= len(weight) <= MOST_PATIENTS or len(np.unique(weight)) < 2 or rule.curve is None:
        return
    exponential = rule.curve == "exponential-in-weight"
    x = weight if exponential else weight - REFERENCE_KG
    y = np.log(dose) if exponential else dose
    area, procedure, quantity, phantom_cm = key
    for percentile in (rule.percentile, *(guide.percentile for guide in rule.guides)):
        line = fit_quantile_line(x, y, percentile / 100)
        a_interval, b_interval = _intervals(x, y, facility, percentile / 100, draws, exponential)
        yield DrlCurve(
            area=area,
            procedure=procedure,
            quantity=quantity,  # type: ignore[arg-type]
            phantom_cm=phantom_cm or None,
            form=rule.curve,
            percentile=percentile,
            a=float(np.exp(line.intercept)) if exponential else line.intercept,
            b=line.slope,
            a_low=a_interval and a_interval[0],
            a_high=a_interval and a_interval[1],
            b_low=b_interval and b_interval[0],
            b_high=b_interval and b_interval[1],
            low_kg=float(weight.min()),
            high_kg=float(weight.max()),
            facilities=int(facility.max()) + 1,
            patients=len(weight),
        )


def _intervals(
    x: Floats, y: Floats, facility: npt.NDArray[np.int64], probability: float, draws: Draws, exponential: bool
) -> tuple[tuple[float, float] | None, tuple[float, float] | None]:
    """Return the bootstrap intervals of intercept and slope, drawing facilities."""
    import numpy as np

    count = int(facility.max()) + 1
    if count < FEWEST_UNITS:
        return None, None
    members = np.split(np.argsort(facility, kind="stable"), np.cumsum(np.bincount(facility))[:-1])
    drawn = drawn_units(count, Draws(min(draws.replicates, CURVE_REPLICATES), draws.seed))
    lines: list[Line] = []
    for units in drawn:
        chosen = np.concatenate([members[unit] for unit in units])
        if len(np.unique(x[chosen])) > 1:
            lines.append(fit_quantile_line(x[chosen], y[chosen], probability))
    intercepts = np.array([line.intercept for line in lines])
    a = interval(np.exp(intercepts) if exponential else intercepts)
    b = interval(np.array([line.slope for line in lines]))
    return (a.low, a.high), (b.low, b.high)


def level_at(curve: DrlCurve, weight_kg: float) -> float | None:
    """Return the curve's dose at a weight, ``None`` outside the weights it was fitted to."""
    import math

    if not curve.low_kg <= weight_kg <= curve.high_kg:
        return None
    if curve.form == "exponential-in-weight":
        return curve.a * math.exp(curve.b * weight_kg)
    return curve.a + curve.b * (weight_kg - REFERENCE_KG)
