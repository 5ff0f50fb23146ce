"""The expressions that both engines answer, by name; each takes the exams and gives a table."""

from __future__ import annotations

from collections.abc import Callable

import ibis

from doseatlas.analysis import Selection, typical_values_table
from doseatlas.analysis.compare.comparison import unit_dose_values
from doseatlas.analysis.compare.control_chart import weekly_logs
from doseatlas.analysis.compare.log_sums import unit_logs_table
from doseatlas.analysis.corrected import with_corrected_values
from doseatlas.analysis.dose_values import PEERS, countable_doses, dose_samples, dose_values
from doseatlas.analysis.drl.pooled import pooled_quantiles
from doseatlas.analysis.drl.units import (
    GROUP,
    JUDGEMENTS,
    exam_counts,
    exams_by_rule,
    judged_exams,
    of_finite_doses,
    unit_values,
)
from doseatlas.analysis.mart import chosen, countable
from doseatlas.analysis.variation.decomposition import cell_sums
from doseatlas.analysis.variation.habits import habits
from doseatlas.analysis.variation.practice import adult_protocol_counts
from doseatlas.reference import drl_method


def facility_medians(exams: ibis.Table) -> ibis.Table:
    """What national levels are made of: the typical value of each facility."""
    counted = countable(chosen(exams, Selection()))
    return unit_values(counted.mutate(phantom_cm=counted.phantom_cm.fill_null(0)), "facility", "median")


def device_samples(exams: ibis.Table) -> ibis.Table:
    """What typical values are made of: each device's sorted values."""
    samples = dose_samples(countable_doses(exams, Selection()), (*PEERS, "device"))
    n = samples.sorted_values.length()
    ends = {"smallest": samples.sorted_values[0], "largest": samples.sorted_values[n - 1]}
    return samples.select(*PEERS, "device", n=n, **ends)


def monthly_counts(exams: ibis.Table) -> ibis.Table:
    """What summaries for a registry are made of: every value's month and peers, counted."""
    values = dose_values(countable_doses(exams, Selection()))
    keys = ("procedure", "patient_group", "quantity", "phantom_cm", "month")
    return values.group_by(keys).agg(n=values.count(), smallest=values.value.min(), largest=values.value.max())


def of_units(exams: ibis.Table) -> ibis.Table:
    """What comparisons are made of: every value's unit and quarter, counted and summed up."""
    values = unit_dose_values(countable(exams), "protocol", "quarter")
    return values.group_by([*PEERS, "unit", "period"]).agg(
        n=values.count(), median=values.value.quantile(0.5), above=(values.value > 100.0).sum()
    )


def judged_units(exams: ibis.Table) -> ibis.Table:
    """What levels are made of where a rule asks for weights: the units by whether their exams count."""
    judged = of_finite_doses(judged_exams(exams, Selection(), drl_method("japan-2025")))
    return unit_values(judged, "device", "mean", (*GROUP, *JUDGEMENTS))


def corrected_units(exams: ibis.Table) -> ibis.Table:
    """The same comparison of values that certificates correct."""
    return of_units(with_corrected_values(exams))


EXPRESSIONS: dict[str, Callable[[ibis.Table], ibis.Table]] = {
    "typical_values": lambda exams: typical_values_table(exams),
    "one_facility": lambda exams: typical_values_table(exams, Selection(procedure="ct-chest")),
    "facility_medians": facility_medians,
    "device_samples": device_samples,
    "monthly_counts": monthly_counts,
    "of_units": of_units,
    "corrected_units": corrected_units,
    "judged_units": judged_units,
    "pooled_percentiles": lambda exams: pooled_quantiles(
        exams_by_rule(exams, Selection(), drl_method("ncrp-172")), [25.0, 50.0, 75.0]
    ),
    "exam_counts": lambda exams: exam_counts(exams, Selection()),
    "weekly_sums": lambda exams: weekly_logs(countable(exams), "device"),
    "sums_of_units": lambda exams: unit_logs_table(countable(exams), "facility"),
    "sums_of_cells": lambda exams: cell_sums(countable(exams), "dlp_mgy_cm"),
    "habits": lambda exams: habits(countable(exams), "dlp_mgy_cm"),
    "adult_protocols": lambda exams: adult_protocol_counts(countable(exams)),
}

EVERY_RUN = ("typical_values", "facility_medians", "of_units", "sums_of_cells")
"""One for each kind of question: typical values, levels, comparisons, variation. The others are asked at night."""
