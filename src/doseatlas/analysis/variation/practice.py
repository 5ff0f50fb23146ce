"""Which habits cost dose without need: adult protocols for children, needless phases, no reduced-dose protocol?

These are the three findings of the coordinated CT studies. Each is counted from what the exams state, facility by
facility; whether a habit is needed there is for the people there to say.
"""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

from doseatlas.analysis.mart import chosen, countable
from doseatlas.analysis.results import Selection
from doseatlas.analysis.variation.records import AdultProtocolUse, MultiphaseUse, ReducedDoseUse

if TYPE_CHECKING:
    import ibis

FEWEST_EXAMS = 10
FEWEST_FACILITIES = 3
FEWEST_FOR_A_RATIO = 5


class ReducedDose(NamedTuple):
    """When an exam counts as done at a reduced dose: at or below a DLP, or by its protocol's name."""

    procedure: str
    threshold_mgy_cm: float
    name_pattern: str
    source: str


@cache
def reduced_dose_rows() -> tuple[ReducedDose, ...]:
    """Return the procedures that can be done at a reduced dose (``tables/reduced_dose.csv``)."""
    text = files("doseatlas.analysis").joinpath("tables", "reduced_dose.csv").read_text(encoding="utf-8")
    return tuple(
        ReducedDose(row["procedure"], float(row["threshold_mgy_cm"]), row["name_pattern"], row["source"])
        for row in csv.DictReader(text.splitlines())
    )


def adult_protocols_on_children(table: ibis.Table, selection: Selection) -> tuple[AdultProtocolUse, ...]:
    """Return each facility, exam and group of children in which an adult protocol was used, the largest share first."""
    rows = adult_protocol_counts(countable(chosen(table, selection)))
    used = rows.filter(rows.on_adult > 0).order_by("facility", "procedure", "patient_group")
    found = [
        AdultProtocolUse(
            facility=row["facility"],
            procedure=row["procedure"],
            patient_group=row["patient_group"],
            children=row["children"],
            on_adult_protocol=row["on_adult"],
            share=row["on_adult"] / row["children"],
            dose_ratio=_ratio(row["dose_on_adult"], row["dose_on_child"], row["on_adult"], row["children"]),
        )
        for row in used.to_pyarrow().to_pylist()
    ]
    return tuple(sorted(found, key=lambda one: -one.share))


def adult_protocol_counts(exams: ibis.Table) -> ibis.Table:
    """Return children with a known protocol by facility, procedure and group, and the median DLP of either protocol."""
    children = exams.filter(exams.patient_group.startswith("child-"), exams.adult_protocol_on_child.notnull())
    adult = children.adult_protocol_on_child
    return children.group_by(["facility", "procedure", "patient_group"]).agg(
        children=children.count(),
        on_adult=adult.sum(),
        dose_on_adult=adult.ifelse(children.dlp_mgy_cm, None).quantile(0.5),
        dose_on_child=adult.ifelse(None, children.dlp_mgy_cm).quantile(0.5),
    )


def multiphase_scans(table: ibis.Table, selection: Selection) -> tuple[MultiphaseUse, ...]:
    """Return each facility and exam with scans of more phases than suffice, the largest share first.

    What suffices is p25 of the facilities' median numbers of phases: a quarter of them manage with so many or fewer. It
    takes at least 3 facilities with 10 exams to say so.
    """
    import ibis
    import pyarrow as pa

    scans = countable(chosen(table, selection))
    scans = scans.filter(scans.phase_count > 0)
    medians = median_phases(scans).to_pyarrow().to_pylist()
    sufficient = _sufficient([(row["procedure"], row["patient_group"], row["phases"]) for row in medians])
    if not sufficient:
        return ()
    limits = pa.table(
        {
            "procedure": [procedure for procedure, _ in sufficient],
            "patient_group": [group for _, group in sufficient],
            "sufficient": list(sufficient.values()),
        }
    )
    counted = multiphase_counts(scans, ibis.memtable(limits))
    used = counted.filter(counted.with_more > 0, counted.exams >= FEWEST_EXAMS)
    found = [
        MultiphaseUse(
            facility=row["facility"],
            procedure=row["procedure"],
            patient_group=row["patient_group"],
            exams=row["exams"],
            sufficient=row["sufficient"],
            with_more=row["with_more"],
            share=row["with_more"] / row["exams"],
            median_phases=row["median_phases"],
            dose_ratio=_ratio(row["dose_with_more"], row["dose_without"], row["with_more"], row["exams"]),
        )
        for row in used.order_by("facility", "procedure", "patient_group").to_pyarrow().to_pylist()
    ]
    return tuple(sorted(found, key=lambda one: -one.share))


def median_phases(scans: ibis.Table) -> ibis.Table:
    """Return the median number of phases of each facility, procedure and group with at least 10 exams."""
    medians = scans.group_by(["facility", "procedure", "patient_group"]).agg(
        exams=scans.count(), phases=scans.phase_count.cast("float64").quantile(0.5)
    )
    return medians.filter(medians.exams >= FEWEST_EXAMS)


def multiphase_counts(scans: ibis.Table, limits: ibis.Table) -> ibis.Table:
    """Return, by facility, procedure and group, exams with more phases than ``limits.sufficient`` and their cost."""
    joined = scans.join(limits, ["procedure", "patient_group"])
    more = joined.phase_count > joined.sufficient
    return joined.group_by(["facility", "procedure", "patient_group", "sufficient"]).agg(
        exams=joined.count(),
        with_more=more.sum(),
        median_phases=joined.phase_count.cast("float64").quantile(0.5),
        dose_with_more=more.ifelse(joined.dlp_mgy_cm, None).quantile(0.5),
        dose_without=more.ifelse(None, joined.dlp_mgy_cm).quantile(0.5),
    )


def reduced_dose_use(table: ibis.Table, selection: Selection) -> tuple[ReducedDoseUse, ...]:
    """Return how often each facility does at a reduced dose what can be done so, in adults; the rarest first."""
    exams = countable(chosen(table, selection))
    found = []
    for rule in reduced_dose_rows():
        counted = reduced_dose_counts(exams, rule)
        for row in counted.filter(counted.exams >= FEWEST_EXAMS).order_by("facility").to_pyarrow().to_pylist():
            found.append(
                ReducedDoseUse(
                    facility=row["facility"],
                    procedure=rule.procedure,
                    exams=row["exams"],
                    reduced=row["reduced"],
                    by_name=row["by_name"],
                    share=row["reduced"] / row["exams"],
                    median_dlp_mgy_cm=row["median_dlp"],
                    threshold_mgy_cm=rule.threshold_mgy_cm,
                    used=row["reduced"] > 0,
                    source=rule.source,
                )
            )
    return tuple(sorted(found, key=lambda one: one.share))


def reduced_dose_counts(exams: ibis.Table, rule: ReducedDose) -> ibis.Table:
    """Return adults' exams of a procedure by facility, and how many of them count as done at a reduced dose."""
    adults = exams.filter(exams.procedure == rule.procedure, exams.patient_group == "adult", exams.dlp_mgy_cm.notnull())
    by_name = adults.protocol.re_search(rule.name_pattern).fill_null(False)
    low = adults.dlp_mgy_cm <= rule.threshold_mgy_cm
    return adults.group_by("facility").agg(
        exams=adults.count(),
        reduced=(low | by_name).sum(),
        by_name=by_name.sum(),
        median_dlp=adults.dlp_mgy_cm.quantile(0.5),
    )


def _sufficient(medians: list[tuple[str, str, float]]) -> dict[tuple[str, str], int]:
    import numpy as np

    by_exam: dict[tuple[str, str], list[float]] = {}
    for procedure, group, phases in medians:
        by_exam.setdefault((procedure, group), []).append(phases)
    return {
        key: int(np.floor(np.quantile(phases, 0.25)))
        for key, phases in by_exam.items()
        if len(phases) >= FEWEST_FACILITIES
    }


def _ratio(one: float | None, other: float | None, exams_of_one: int, exams: int) -> float | None:
    """Return the ratio of two medians; ``None`` where either is of too few exams to be one."""
    enough = min(exams_of_one, exams - exams_of_one) >= FEWEST_FOR_A_RATIO
    return one / other if enough and one is not None and other else None
