"""Which reference levels follow from a registry by a named method? Area by area, in the memory of the largest few.

Areas are worked at side by side, each by an engine with its share of the processors: what Python does for one then
costs no time, as the engines of the others go on.

Definitions and sources: ``docs/drl-methods.md``.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

import msgspec

from doseatlas.analysis.areas import EVERYWHERE, NOWHERE, Places, area_folders
from doseatlas.analysis.corrected import counted_as
from doseatlas.analysis.drl.bootstrap import Draws
from doseatlas.analysis.drl.curves import curves_of_area, thin_levels
from doseatlas.analysis.drl.levels import NO_UNITS, finish, levels_of_units
from doseatlas.analysis.drl.pooled import levels_of_patients
from doseatlas.analysis.drl.records import ComputedLevel, DataVersion, DrlCurve, DrlRun, ExamCount, LeftOut
from doseatlas.analysis.drl.units import (
    GROUP,
    JUDGEMENTS,
    all_finite,
    counting,
    exam_counts,
    exams_by_rule,
    exams_judged,
    exams_with_dose,
    in_order,
    judged_exams,
    long_form,
    of_finite_doses,
    unit_schema,
    unit_values,
)
from doseatlas.analysis.mart import ExamFiles
from doseatlas.analysis.reference_levels import LevelSet, ReferenceLevels
from doseatlas.analysis.results import DoseValues, Selection
from doseatlas.analysis.tables import level_quantities
from doseatlas.model import TableError

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa

    from doseatlas.reference import DrlMethod


MOST_JOBS = 4
"""So many engines at once, each with its own memory, whatever the number of processors."""


class Request(NamedTuple):
    """Which levels are asked for: all that decides the figures beside the data and the code.

    ``based_on`` is the method whose levels a method of unit "country" takes. ``previous`` is the set of levels that a
    method may keep. ``memory_limit`` is of each engine. ``dose_values``: corrected ones are what calibration
    certificates make of the stated ones. An interval then holds calibration too, as the units that are drawn have each
    the error of theirs.
    """

    method: DrlMethod
    based_on: DrlMethod | None = None
    selection: Selection = Selection()
    places: Places = NOWHERE
    previous: LevelSet | None = None
    draws: Draws = Draws()
    memory_limit: str = "1GB"
    dose_values: DoseValues = "stated"


class Computed(NamedTuple):
    """A run, and the values of the units that it is made of, in order (``None`` where patients are pooled)."""

    run: DrlRun
    units: pa.Table | None


def compute_levels(
    mart_dir: str | os.PathLike[str],
    request: Request,
    *,
    data: DataVersion,
    code_version: str,
    progress: Callable[[str], None] = lambda area: None,
) -> Computed:
    """Return the levels that a method makes of a registry.

    Args:
        mart_dir: the registry: a mart, maybe with a folder for each country.
        request: method, selection and what else decides the figures.
        data: :func:`data_version` of the registry, kept with the result.
        code_version: the version of the software, kept with the result.
        progress: called with the name of each area that is done.

    Raises:
        TableError: a method of pooled patients is asked for areas that the sheet of places splits a folder into.
        StoreError: the registry cannot be read.

    """
    method = request.method
    if method.unit == "country":
        return _from_countries(mart_dir, request, data=data, code_version=code_version, progress=progress)
    if method.unit == "patient":
        pooled = list(_side_by_side(mart_dir, request, _patients_of_area, progress))
        levels = [level for area in pooled for level in area.levels]
        return Computed(_run(request, levels, (), [area.exams for area in pooled], data, code_version), None)
    found = list(_side_by_side(mart_dir, request, _units_of_area, progress))
    levels = [level for area in found for level in area.levels]
    curves = [curve for area in found for curve in area.curves]
    units = _concatenated([area.units for area in found if area.units is not None])
    split = any(area.units is not None and not _is_one_area(area.units) for area in found)
    if split or len(levels) != len({_peers(level, level.area) for level in levels}):
        # Areas are not folders: a region is many, and the sheet of places cuts them up or joins them.
        units = in_order(units)
        levels = list(levels_of_units(units, method, ReferenceLevels(request.previous), request.draws))
        curves = list(_curves_of_facilities(mart_dir, request, levels, units))
    levels.sort(key=lambda level: (level.area, level.procedure, level.patient_group, level.quantity))
    return Computed(_run(request, levels, curves, [area.exams for area in found], data, code_version), units)


class _Area(NamedTuple):
    """What one folder of exams gives."""

    levels: list[ComputedLevel]
    curves: list[DrlCurve]
    exams: ExamCount
    units: pa.Table | None = None


class _Engine(NamedTuple):
    """What one worker asks: the exams of the folder it is at, and the units of these exams (see ``unit_values``).

    The question for units is kept for each set of quantities that no exam of a folder states: these cost, too.
    """

    files: ExamFiles
    exams: ibis.Table
    judged_units: dict[frozenset[str], Callable[[], pa.Table]]


def _engine(mart_dir: str | os.PathLike[str], request: Request, threads: int) -> _Engine:
    files = ExamFiles(Path(mart_dir) / "exams", memory_limit=request.memory_limit, threads=threads)
    return _Engine(files, counted_as(files.exams, request.dose_values), {})


def _side_by_side(
    mart_dir: str | os.PathLike[str],
    request: Request,
    work: Callable[[str, _Engine, Request], _Area],
    progress: Callable[[str], None],
) -> Iterator[_Area]:
    """Yield what each area gives, in the order of their names; a few are worked at side by side."""
    areas = _folders(mart_dir, request)
    processors = os.cpu_count() or 1
    jobs = max(1, min(len(areas), processors, MOST_JOBS))
    idle: SimpleQueue[_Engine] = SimpleQueue()
    for _ in range(jobs):
        idle.put(_engine(mart_dir, request, threads=max(1, processors // jobs)))

    def of_area(area: tuple[str, Path]) -> _Area:
        name, folder = area
        engine = idle.get()
        try:
            engine.files.look_at(folder)
            return work(name, engine, request)
        finally:
            idle.put(engine)

    with ThreadPoolExecutor(jobs) as pool:
        for (name, _), found in zip(areas, pool.map(of_area, areas), strict=True):
            progress(name)
            yield found


def _folders(mart_dir: str | os.PathLike[str], request: Request) -> list[tuple[str, Path]]:
    """Return the areas; a region's pooled patients are needed in one table."""
    if request.method.unit == "patient" and request.method.level == "regional":
        return [(EVERYWHERE, Path(mart_dir) / "exams")]
    return area_folders(mart_dir)


def _units_of_area(name: str, engine: _Engine, request: Request) -> _Area:
    """Return the units of a folder and, where they are of one area, the levels and curves."""
    method, exams = request.method, engine.exams
    everything = _judged_units(engine, request)
    wide = counting(everything)
    units = in_order(_with_area(long_form(wide), name, request))
    count = _exam_count(name, exams_judged(everything), *_exams_and_dosed(exams, request, wide))
    if not _is_one_area(units):
        return _Area([], [], count, units)
    levels = list(levels_of_units(units, method, ReferenceLevels(request.previous), request.draws))
    area = levels[0].area if levels else name
    curves: list[DrlCurve] = []
    if thin_levels(levels, method):
        counted = exams_by_rule(exams, request.selection, method)
        curves = list(curves_of_area(counted, area, method, levels, request.draws))
    return _Area(levels, curves, count, units)


def _judged_units(engine: _Engine, request: Request) -> pa.Table:
    """Return :func:`unit_values` by :data:`JUDGEMENTS`.

    That all doses are finite is seen in the result, and only asked of each exam where it is not so: asking costs as
    much as reading the files.
    """
    unstated: frozenset[str] = frozenset()
    if request.dose_values == "stated":
        unstated = engine.files.empty.intersection(quantity.name for quantity in level_quantities())
    if unstated not in engine.judged_units:
        question = _judged_units_table(judged_exams(engine.exams, request.selection, request.method), request, unstated)
        engine.judged_units[unstated] = engine.files.kept(f"judged_units_{len(engine.judged_units)}", question)
    wide = engine.judged_units[unstated]()
    if all_finite(wide):
        return wide
    judged = of_finite_doses(judged_exams(engine.exams, request.selection, request.method))
    return _judged_units_table(judged, request).to_pyarrow()


def _judged_units_table(judged: ibis.Table, request: Request, unstated: Collection[str] = ()) -> ibis.Table:
    unit = cast(Literal["facility", "device"], request.method.unit)
    return unit_values(judged, unit, request.method.statistic, (*GROUP, *JUDGEMENTS), unstated)


def _patients_of_area(name: str, engine: _Engine, request: Request) -> _Area:
    """Return the levels of a folder's pooled patients."""
    exams = engine.exams
    counted = exams_by_rule(exams, request.selection, request.method)
    area = _area_of_all(counted, name, request)
    previous = ReferenceLevels(request.previous)
    levels = list(levels_of_patients(counted, area, request.method, previous, request.draws))
    (found,) = exam_counts(exams, request.selection).to_pyarrow().to_pylist()
    return _Area(levels, [], _exam_count(name, found, *_asked(counted)))


def _curves_of_facilities(
    mart_dir: str | os.PathLike[str], request: Request, levels: Sequence[ComputedLevel], units: pa.Table
) -> Iterator[DrlCurve]:
    """Yield the curves of areas that are no folders, from the exams of their facilities wherever they lie."""
    import pyarrow.compute as pc

    if not thin_levels(levels, request.method):
        return
    engine = _engine(mart_dir, request, threads=os.cpu_count() or 1)
    engine.files.look_at(Path(mart_dir) / "exams")
    counted = exams_by_rule(engine.exams, request.selection, request.method)
    for area in sorted({level.area for level in levels}):
        facilities = units.filter(pc.equal(units["area"], area))["facility"].unique().to_pylist()
        own = counted.filter(counted.facility.isin(facilities))
        of_area = [level for level in levels if level.area == area]
        yield from curves_of_area(own, area, request.method, of_area, request.draws)


def _with_area(units: pa.Table, folder_area: str, request: Request) -> pa.Table:
    """Return the units with a column of the area that each facility lies in."""
    import pyarrow as pa

    regional = request.method.level == "regional"
    facility = units["facility"].combine_chunks().dictionary_encode()
    areas = [request.places.area(name, folder_area, regional=regional) for name in facility.dictionary.to_pylist()]
    return units.append_column("area", pa.array(areas, pa.string()).take(facility.indices))


def _is_one_area(units: pa.Table) -> bool:
    return len(units["area"].unique()) == 1


def _concatenated(parts: Sequence[pa.Table]) -> pa.Table:
    import pyarrow as pa

    return pa.concat_tables(parts) if parts else unit_schema().append(pa.field("area", pa.string())).empty_table()


def _exams_and_dosed(exams: ibis.Table, request: Request, wide: pa.Table) -> tuple[int, int]:
    """Return how many exams there are in :func:`unit_values`, and how many state a quantity.

    Where one quantity is stated by all exams of each group, as is usual, that needs no further look at the files.
    """
    import pyarrow.compute as pc

    most = pc.max_element_wise(*(wide[f"n_{quantity.name}"] for quantity in level_quantities()))
    if pc.all(pc.equal(most, wide["exams"])).as_py() in (True, None):
        number = pc.sum(wide["exams"]).as_py() or 0
        return number, number
    return _asked(exams_by_rule(exams, request.selection, request.method))


def _asked(counted: ibis.Table) -> tuple[int, int]:
    (row,) = exams_with_dose(counted).to_pyarrow().to_pylist()
    return row["exams"], row["dosed"] or 0


def _exam_count(area: str, counts: Mapping[str, int | None], within_weight: int, dosed: int) -> ExamCount:
    """Return how many exams count: ``within_weight`` of the :func:`exam_counts`, ``dosed`` of these with a dose."""
    found = {name: value or 0 for name, value in counts.items()}
    return ExamCount(
        area=area,
        exams=found["exams"],
        implausible=found["exams"] - found["plausible"],
        unmapped=found["plausible"] - found["mapped"],
        without_group=found["mapped"] - found["grouped"],
        outside_weight=found["grouped"] - within_weight,
        without_dose=within_weight - dosed,
    )


def _area_of_all(exams: ibis.Table, folder_area: str, request: Request) -> str:
    """Return the one area of pooled patients.

    Raises:
        TableError: the facilities lie in several.

    """
    if not request.places.by_facility:
        return folder_area
    regional = request.method.level == "regional"
    facilities = exams.select("facility").distinct().to_pyarrow()["facility"].to_pylist()
    areas = {request.places.area(facility, folder_area, regional=regional) for facility in facilities}
    if len(areas) > 1:
        raise TableError(
            f"The patients of {folder_area!r} would be pooled over {', '.join(sorted(areas))}. Give each country a"
            " folder 'country=NAME' in the registry, or choose a method of facilities."
        )
    return areas.pop() if areas else folder_area


def _from_countries(
    mart_dir: str | os.PathLike[str],
    request: Request,
    *,
    data: DataVersion,
    code_version: str,
    progress: Callable[[str], None],
) -> Computed:
    """Return the levels of a region from the national ones, as ICRP 135 allows."""
    import pyarrow as pa

    if request.based_on is None:
        raise TableError(f"The method {request.method.id!r} needs the method {request.method.based_on!r}; name it.")
    inner = request._replace(method=request.based_on, based_on=None)
    national = compute_levels(mart_dir, inner, data=data, code_version=code_version, progress=progress)
    regions = {place.country: place.region for place in request.places.by_facility.values() if place.region}
    set_levels = [level for level in national.run.levels if level.value is not None]
    rows = [_country_row(level, regions) for level in set_levels]
    units = in_order(pa.Table.from_pylist(rows, unit_schema().append(pa.field("area", pa.string()))))
    previous = ReferenceLevels(request.previous)
    without: dict[tuple[Any, ...], list[LeftOut]] = defaultdict(list)
    for level in national.run.levels:
        if level.value is None:
            reason = f"{level.units} of {level.min_units} units needed"
            left_out = LeftOut(unit=level.area, patients=level.patients, reason=reason)
            without[_peers(level, regions.get(level.area, EVERYWHERE))].append(left_out)
    finished = [
        msgspec.structs.replace(level, left_out=level.left_out + tuple(without.pop(_peers(level, level.area), ())))
        for level in levels_of_units(units, request.method, previous, request.draws)
    ]
    for (area, procedure, group, quantity, phantom_cm), left in without.items():
        rule = request.method.rule(procedure, group)
        if rule is not None:
            key = (area, procedure, group, quantity, phantom_cm or 0)
            finished.append(finish(key, NO_UNITS, rule, previous, tuple(left)))
    finished.sort(key=lambda level: (level.area, level.procedure, level.patient_group, level.quantity))
    return Computed(_run(request, finished, (), national.run.exams, data, code_version), units)


def _country_row(level: ComputedLevel, regions: dict[str, str]) -> dict[str, Any]:
    return {
        "area": regions.get(level.area, EVERYWHERE),
        "facility": level.area,
        "unit": level.area,
        "procedure": level.procedure,
        "patient_group": level.patient_group,
        "phantom_cm": level.phantom_cm or 0,
        "quantity": level.quantity,
        "n": level.patients,
        "value": level.value,
    }


def _peers(level: ComputedLevel, area: str) -> tuple[object, ...]:
    return area, level.procedure, level.patient_group, level.quantity, level.phantom_cm


def _run(
    request: Request,
    levels: Sequence[ComputedLevel],
    curves: Sequence[DrlCurve],
    exams: Sequence[ExamCount],
    data: DataVersion,
    code_version: str,
) -> DrlRun:
    method = request.method
    return DrlRun(
        method=method.id,
        title=method.title,
        level=method.level,
        unit=method.unit,
        authority=method.authority,
        data=data,
        code_version=code_version,
        selection=request.selection,
        seed=request.draws.seed,
        replicates=request.draws.replicates,
        dose_values=request.dose_values,
        unverified=tuple(_unverified(request, levels)),
        previous_set=request.previous.id if request.previous else None,
        places_digest=request.places.digest,
        levels=tuple(levels),
        curves=tuple(curves),
        exams=tuple(exams),
    )


def _unverified(request: Request, levels: Sequence[ComputedLevel]) -> list[str]:
    """Return the sources of the rules that levels follow and that were written down from memory."""
    methods = [request.method, *([request.based_on] if request.based_on else [])]
    rules = [method.rule(level.procedure, level.patient_group) for level in levels for method in methods]
    return sorted({rule.source for rule in rules if rule is not None and rule.verified == "memory"})
