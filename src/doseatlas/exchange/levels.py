"""Which reference levels does a registry give by a named method, whether it was sent exams or only summaries?

A method needs the median of each facility and its number of patients, and a sketch gives both. What asks for more than
that (single patients, their weights, single devices, means) cannot come from summaries, and is refused by name.
"""

from __future__ import annotations

import calendar
import datetime as dt
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from doseatlas.analysis import Selection
from doseatlas.analysis.areas import EVERYWHERE
from doseatlas.analysis.drl import Computed, DataVersion, Draws, DrlRun
from doseatlas.analysis.drl.levels import levels_of_units
from doseatlas.analysis.drl.units import in_order, unit_schema
from doseatlas.analysis.reference_levels import LevelSet, ReferenceLevels
from doseatlas.exchange.merge import facility_cells
from doseatlas.exchange.records import ExchangeError, check_months
from doseatlas.exchange.registry import current_files, load_agreement

if TYPE_CHECKING:
    from doseatlas.reference import DrlMethod


class LevelsAsked(NamedTuple):
    """Which levels are asked for: by which method, of which months, and what else decides the figures."""

    method: DrlMethod
    since: str
    until: str
    previous: LevelSet | None = None
    draws: Draws = Draws()


def registry_levels(registry: Path, asked: LevelsAsked, *, code_version: str) -> Computed:
    """Return the levels that a method makes of a registry's facilities; curves by weight need single patients.

    Raises:
        ExchangeError: the method needs more than medians of facilities, nothing is held of these months, or a file is
            damaged.

    """
    import pyarrow as pa

    check_months(asked.since, asked.until)
    method = asked.method
    _refuse_what_needs_exams(method)
    rows = [
        {
            "area": one.country if method.level == "national" else EVERYWHERE,
            "facility": one.facility,
            "unit": one.facility,
            **dict(zip(("procedure", "patient_group", "quantity", "phantom_cm"), one.cell, strict=True)),
            "n": one.n,
            "value": one.median,
        }
        for one in facility_cells(registry, asked.since, asked.until)
    ]
    if not rows:
        raise ExchangeError(f"{registry} holds nothing of the months from {asked.since} to {asked.until}.")
    units = in_order(pa.Table.from_pylist(rows, unit_schema().append(pa.field("area", pa.string()))))
    levels = list(levels_of_units(units, method, ReferenceLevels(asked.previous), asked.draws))
    rules = [method.rule(one.procedure, one.patient_group) for one in levels]
    run = DrlRun(
        method=method.id,
        title=method.title,
        level=method.level,
        unit=method.unit,
        authority=method.authority,
        data=held_version(registry, asked.since, asked.until),
        code_version=code_version,
        selection=Selection(since=_first_day(asked.since), until=_last_day(asked.until)),
        seed=asked.draws.seed,
        replicates=asked.draws.replicates,
        unverified=tuple(sorted({rule.source for rule in rules if rule is not None and rule.verified == "memory"})),
        previous_set=asked.previous.id if asked.previous else None,
        levels=tuple(sorted(levels, key=lambda one: (one.area, one.procedure, one.patient_group, one.quantity))),
    )
    return Computed(run, units)


def held_version(registry: Path, since: str, until: str) -> DataVersion:
    """Return the version of what a registry holds of some months: SHA-256 over what is current, and for which months.

    Raises:
        ExchangeError: a file is damaged.

    """
    digests, size = [], 0
    for sender in load_agreement(registry).senders:
        for _, file, months in current_files(registry, sender.id):
            meant = [month for month in months if since <= month <= until]
            if meant:
                try:
                    content = file.read_bytes()
                except OSError as error:
                    raise ExchangeError(f"{file}: gone ({error.strerror}). Have its sender submit again.") from error
                digests.append(hashlib.sha256(hashlib.sha256(content).digest() + " ".join(meant).encode()).digest())
                size += len(content)
    return DataVersion(digest=hashlib.sha256(b"".join(sorted(digests))).hexdigest(), files=len(digests), bytes=size)


def _refuse_what_needs_exams(method: DrlMethod) -> None:
    reason = None
    if method.unit == "country":
        reason = f"takes the national levels of {method.based_on}; compute those, or see 'regional' of a release"
    elif method.unit != "facility":
        reason = f"is of single {method.unit}s, and a registry's summaries are of facilities"
    elif method.statistic != "median":
        reason = f"takes the {method.statistic} of each facility, and summaries hold quantiles"
    elif any(rule.weight_low_kg is not None or rule.weight_high_kg is not None for rule in method.rules):
        reason = "leaves patients out by their weight, which summaries do not state"
    if reason:
        raise ExchangeError(
            f"Method {method.id} {reason}. From exams (registry export --kind exams): doseatlas registry merge, then"
            f" doseatlas drl compute --method {method.id}."
        )


def _first_day(month: str) -> dt.date:
    return dt.date.fromisoformat(f"{month}-01")


def _last_day(month: str) -> dt.date:
    first = _first_day(month)
    return first.replace(day=calendar.monthrange(first.year, first.month)[1])
