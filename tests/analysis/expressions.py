"""The expressions that both engines answer, by name; each takes the exams and gives a table."""

from __future__ import annotations

from collections.abc import Callable

import ibis

from doseatlas.analysis import Selection, typical_values_table
from doseatlas.analysis.dose_values import PEERS, countable_doses, dose_samples, dose_values
from doseatlas.analysis.drl.units import unit_values
from doseatlas.analysis.mart import chosen, countable


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


EXPRESSIONS: dict[str, Callable[[ibis.Table], ibis.Table]] = {
    "typical_values": lambda exams: typical_values_table(exams),
    "one_facility": lambda exams: typical_values_table(exams, Selection(procedure="ct-chest")),
    "facility_medians": facility_medians,
    "device_samples": device_samples,
    "monthly_counts": monthly_counts,
}
