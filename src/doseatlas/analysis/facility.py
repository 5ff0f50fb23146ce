"""What does a facility's dose report say? Everything it shows, computed once over one set of exams."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from doseatlas.analysis.attention import first_reasons, standing, what_to_look_at
from doseatlas.analysis.corrected import counted_as, with_calibration
from doseatlas.analysis.device import devices_of
from doseatlas.analysis.displays import device_displays
from doseatlas.analysis.dose_values import countable_doses
from doseatlas.analysis.histogram import distributions_of_doses
from doseatlas.analysis.hybrid import hybrid_exams
from doseatlas.analysis.mart import chosen, countable, mart_table
from doseatlas.analysis.outlier import outliers_of_doses
from doseatlas.analysis.pregnancy import pregnant_exams
from doseatlas.analysis.quality import data_quality
from doseatlas.analysis.reference_levels import LevelSet, ReferenceLevels
from doseatlas.analysis.results import DoseValues, FacilityReport, Selection, TypicalValue
from doseatlas.analysis.skin import skin_doses
from doseatlas.analysis.tables import minimum_sample, quantities
from doseatlas.analysis.trend import trends_of_doses
from doseatlas.analysis.typical import typical_of_doses
from doseatlas.dosimetry import skin_triggers

if TYPE_CHECKING:
    import ibis

METHOD_SOURCES = (
    "Median and its interval: David and Nagaraja, Order Statistics, 3rd ed. (2003) section 7.1",
    "Quartiles: Hyndman and Fan, The American Statistician 50 (1996) 361-365, definition 7",
)


def facility_report(
    mart_dir: str | os.PathLike[str],
    *,
    selection: Selection,
    drl_set: LevelSet | None,
    dose_values: DoseValues = "stated",
    refused: Mapping[str, int] | None = None,
    ignored: int = 0,
    title: str | None = None,
    now: dt.datetime,
    version: str,
) -> FacilityReport:
    """Return everything that the dose report of a selection of exams shows.

    Args:
        mart_dir: the folder of the mart.
        selection: which exams are meant.
        drl_set: the reference levels to compare with; ``None`` for none.
        dose_values: ``corrected`` to count values corrected by calibration certificates, with their uncertainty.
        refused: how many objects the store refused, by reason.
        ignored: how many objects the store ignored because they carry no dose.
        title: of the report; by default it names the facility.
        now: when the report is made.
        version: of the software.

    Sources of the definitions: ``docs/statistics.md``.

    """
    stated = mart_table(mart_dir)
    table = counted_as(stated, dose_values)
    exams = chosen(table, selection)
    overview = _overview(exams)
    facility = selection.facility or _facility_name(overview)
    # The doses that count are fetched from the files once; the queries below share them.
    doses = table.get_backend().create_table("counted_doses", countable_doses(table, selection), temp=True)
    typical, device_values = _typical(table, selection, doses, ReferenceLevels(drl_set), dose_values)
    found = outliers_of_doses(doses, countable(exams), typical)
    skin = skin_doses(exams)
    pregnant = pregnant_exams(exams)
    hybrid = hybrid_exams(exams, table)
    quality = data_quality(table, selection, refused=refused, ignored=ignored)
    return FacilityReport(
        title=title or f"Patient dose report: {facility}",
        facility=facility,
        generated_at=now,
        selection=selection,
        dose_values=dose_values,
        first_date=overview["first_date"],
        last_date=overview["last_date"],
        exam_count=overview["exams"],
        device_count=overview["devices"],
        **_set_named(drl_set),
        standing=standing(typical),
        findings=what_to_look_at(typical, device_values, found, quality),
        typical_values=typical,
        devices=devices_of(exams, device_values),
        device_values=device_values,
        distributions=distributions_of_doses(doses, typical),
        trends=trends_of_doses(doses),
        outliers=found.worst,
        outlier_count=found.total,
        outlier_reasons=first_reasons(found.worst),
        skin_doses=skin.largest,
        skin_trigger_count=skin.triggered,
        skin_implausible=skin.implausible,
        pregnant=pregnant.latest,
        pregnant_count=pregnant.total,
        displays=device_displays(chosen(stated, selection)),
        hybrid=hybrid.latest,
        hybrid_count=hybrid.total,
        quality=quality,
        sources=_sources(typical, device_values, bool(skin.largest)),
        version=version,
    )


def _typical(
    table: ibis.Table, selection: Selection, doses: ibis.Table, levels: ReferenceLevels, dose_values: DoseValues
) -> tuple[tuple[TypicalValue, ...], tuple[TypicalValue, ...]]:
    """Return the typical values of all devices together and of each device."""
    together = typical_of_doses(doses, by=None, levels=levels)
    each = typical_of_doses(doses, by="device", levels=levels)
    if dose_values == "stated":
        return together, each
    return (
        with_calibration(table, selection, together),
        with_calibration(table, selection, each, by="device"),
    )


def _set_named(drl_set: LevelSet | None) -> dict[str, Any]:
    """Return what the report says of the set of levels; empty words for none."""
    if drl_set is None:
        return dict.fromkeys(("drl_set", "drl_name", "drl_authority", "drl_level"), "")
    return {
        "drl_set": drl_set.id,
        "drl_name": f"{drl_set.country} {drl_set.year}",
        "drl_authority": drl_set.authority,
        "drl_level": drl_set.level,
    }


def _overview(exams: ibis.Table) -> dict[str, Any]:
    found = exams.agg(
        exams=exams.count(),
        devices=exams.device.nunique(),
        facilities=exams.facility.nunique(),
        facility=exams.facility.min(),
        first_date=exams.study_date.min(),
        last_date=exams.study_date.max(),
    )
    (overview,) = found.to_pyarrow().to_pylist()
    return dict(overview)


def _facility_name(overview: Mapping[str, Any]) -> str:
    match overview["facilities"]:
        case 0:
            return "no exams"
        case 1:
            return str(overview["facility"])
        case many:
            return f"{many} facilities"


def _sources(
    typical: tuple[TypicalValue, ...], device_values: tuple[TypicalValue, ...], with_skin: bool
) -> tuple[str, ...]:
    """Return the documents that the figures shown rest on, each once: levels, samples, quantities, method."""
    shown = {value.quantity for value in typical}
    levels = [value.reference.source for value in (*typical, *device_values) if value.reference]
    samples = [minimum_sample(value.procedure, value.patient_group).source for value in typical]
    kinds = [quantity.source for quantity in quantities() if quantity.name in shown]
    triggers = [f"{one.source} (triggers of skin dose)" for one in skin_triggers()] if with_skin else []
    return tuple(dict.fromkeys([*levels, *samples, *kinds, *triggers, *METHOD_SOURCES]))
