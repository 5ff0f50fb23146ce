"""Every row of the table of methods, on a small registry whose levels NumPy works out by the row's own words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from doseatlas.analysis.drl import Computed
from doseatlas.reference import DrlMethod, DrlRule, drl_methods, patient_groups, procedures

QUANTITY = {"ct": "dlp_mgy_cm", "projection": "kap_gy_cm2", "mammography": "agd_mgy"}
EVERY_RULE = [(method, rule) for method in drl_methods() for rule in method.rules]


def fitting(method: DrlMethod, rule: DrlRule) -> tuple[str, str, str]:
    """A procedure, group and quantity that the rule is the first to fit."""
    for procedure in procedures():
        for group in patient_groups():
            if method.rule(procedure.id, group.id) == rule:
                return procedure.id, group.id, QUANTITY.get(procedure.kind, "administered_activity_mbq")
    raise AssertionError("no procedure fits the rule")


def exams(method: DrlMethod, rule: DrlRule, seed: int, country: str = "") -> list[dict[str, Any]]:
    """Exams of enough units, one unit with a patient too few, and patients of all weights."""
    procedure, group, quantity = fitting(method, rule)
    rng = np.random.default_rng(seed)
    needed = max(rule.min_patients, 3)
    rows = []
    for unit in range(rule.min_units + 2):
        few = unit == 0
        weights = [*rng.uniform(52, 68, needed - few), *rng.uniform(95, 120, 5)]
        for weight in weights if rule.weight_high_kg else weights[: needed - few]:
            facility = "only" if method.unit == "device" else f"{country} facility {unit:02}"
            dose = round(float(np.exp(rng.normal(5 + 0.05 * unit, 0.4))), 1)
            rows.append(
                {
                    "facility": facility,
                    "device": f"device {unit:02}",
                    "procedure": procedure,
                    "patient_group": group,
                    "weight_kg": round(float(weight), 1),
                    quantity: dose,
                }
            )
    return rows


def expected(method: DrlMethod, rule: DrlRule, rows: list[dict[str, Any]]) -> np.ndarray[Any, Any]:
    """The values whose percentile is the level."""
    quantity = fitting(method, rule)[2]
    low, high = rule.weight_low_kg or 0, rule.weight_high_kg or 1e9
    kept = [row for row in rows if low <= row["weight_kg"] <= high]
    if method.unit == "patient":
        return np.array([row[quantity] for row in kept])
    name = "device" if method.unit == "device" else "facility"
    by_unit = {unit: [row[quantity] for row in kept if row[name] == unit] for unit in {row[name] for row in kept}}
    statistic = np.median if method.statistic == "median" else np.mean
    return np.array([statistic(doses) for doses in by_unit.values() if len(doses) >= rule.min_patients])


@pytest.mark.parametrize(("method", "rule"), EVERY_RULE, ids=[f"{m.id}-{m.rules.index(r)}" for m, r in EVERY_RULE])
def test_the_level_is_what_the_row_says(
    method: DrlMethod, rule: DrlRule, registry: Callable[..., Path], computed: Callable[..., Computed]
) -> None:
    if method.unit == "country":
        inner = next(m for m in drl_methods() if m.id == method.based_on)
        # Of the inner method's rules, the last is for adults and has no curve.
        of_country = {name: exams(inner, inner.rules[-1], seed, name) for seed, name in enumerate(("A", "B", "C"))}
        run = computed(registry(of_country), method.id).run
        values = [
            np.quantile(expected(inner, inner.rules[-1], rows), inner.rules[-1].percentile / 100)
            for rows in of_country.values()
        ]
    else:
        rows = exams(method, rule, 7)
        run = computed(registry({"": rows}), method.id).run
        values = list(expected(method, rule, rows))
    (level,) = run.levels
    assert level.percentile_value == pytest.approx(np.quantile(values, rule.percentile / 100))
    assert level.status == "set"
    assert level.value is not None
    assert level.percentile_value is not None
    steps = dict(rule.rounding)
    if not steps:
        assert level.value == level.percentile_value
    elif level.quantity in steps:
        assert level.value % steps[level.quantity] == 0
        assert abs(level.value - level.percentile_value) <= steps[level.quantity] / 2
    else:
        assert level.value == float(f"{level.percentile_value:.{int(steps['significant'])}g}")
    for guide, given in zip(rule.guides, level.guides, strict=True):
        exact = float(np.quantile(values, guide.percentile / 100))
        assert given.name == guide.name
        assert given.value == pytest.approx(exact, rel=0.05 if steps else 1e-9)
    if method.unit in ("facility", "device"):
        assert (level.units, [one.patients for one in level.left_out]) == (
            len(values),
            [rule.min_patients - 1],
        )
        assert level.left_out[0].reason == f"fewer than {rule.min_patients} patients"
    assert bool(run.curves) == (rule.curve == "linear-in-weight")
    assert level.source == rule.source
