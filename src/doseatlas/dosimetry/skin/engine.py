"""From dose reports and a body to the skin dose map: placing, physics, sum, and how much the answer can be trusted."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from math import isfinite
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from msgspec import structs

from doseatlas.dosimetry.skin.coordinates import TABLES, coordinates_of
from doseatlas.dosimetry.skin.geometry import Beams, beams_of, solid_angle
from doseatlas.dosimetry.skin.kernel import Cells, Map, Table, beam_rows, cells_of, dose_map
from doseatlas.dosimetry.skin.phantom import Mesh
from doseatlas.dosimetry.skin.physics import (
    BACKSCATTER_KV,
    LARGEST_TABLE_MM_AL,
    Physics,
    beam_quality,
    physics_of,
    quality_range,
)
from doseatlas.dosimetry.skin.placement import Lying, lie_on_table, place_table, region_of
from doseatlas.dosimetry.skin.result import (
    Area,
    Component,
    LeftOut,
    Options,
    Shift,
    SkinDose,
    SkinDoseError,
    SkinMap,
)
from doseatlas.dosimetry.skin.setup import Placed, Setup, setup_of
from doseatlas.dosimetry.uncertainty import from_limits, of_product
from doseatlas.model import Exam, Note

Floats = npt.NDArray[np.float64]

SHIFT_CM = 5.0
THRESHOLDS_GY = (2.0, 3.0, 5.0)
MOST_LEFT_OUT = 0.1
"""Share of kerma, or of events whose kerma is not known, beyond which there is no answer."""
COARSE_CM = 2.0
BACKSCATTER_NOT_VERIFIED = (
    "Coefficient not verified: the backscatter polynomial of Benmakhlouf et al. 2013 was not read in the article."
)
TABLE_LENGTH_CM, TABLE_BEYOND_PATIENT_CM = 300.0, 10.0
_SHIFTS = tuple(
    (name, axis, cm)
    for axis, name in enumerate(("to the left", "downwards", "to the head"))
    for cm in (-SHIFT_CM, SHIFT_CM)
)


class _Procedure(NamedTuple):
    """One report, ready to be summed."""

    setup: Setup
    beams: Beams
    physics: Physics
    rows: Floats
    left_out: tuple[LeftOut, ...]
    assumptions: tuple[str, ...]


def skin_dose(exams: Sequence[Exam], mesh: Mesh, options: Options | None = None) -> SkinMap:
    """Return the skin dose map that the irradiation events of these reports add up to on one body.

    Several reports make a cumulative map: each is placed by its own device's coordinates and its own region.

    Raises:
        SkinDoseError: a report states too little, nothing hits the body, or an option cannot be.

    """
    options = options or Options()
    _check(options)
    if not exams:
        raise SkinDoseError("There is no dose report to compute a skin dose from.")
    exams, twice = _each_event_once(exams)
    lying = lie_on_table(mesh, options)
    procedures = [_prepare(exam, mesh, lying, options) for exam in exams]
    cells = cells_of(mesh, lying.centres + np.array(options.offset_cm), lying.normals)
    head = float(cells.columns[2].max()) + TABLE_BEYOND_PATIENT_CM
    half = options.table_width_cm / 2
    table = Table(0.0, (-half, half), (head - TABLE_LENGTH_CM, head))
    with ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, len(_SHIFTS) + 1)) as pool:
        # The compiled sum lets other threads run. Each makes a map of its own, so the result does not depend on them.
        shifted = [pool.submit(_shifted_peak, cells, mesh, procedures, table, axis, cm) for _, axis, cm in _SHIFTS]
        maps = [dose_map(cells, mesh, one.rows, one.physics, table) for one in procedures]
        peaks = [one.result() for one in shifted]
    dose = np.sum([one.dose_mgy for one in maps], axis=0)
    if not dose.any():
        raise SkinDoseError(
            "No beam meets the body: as placed, the patient lies beside the field. Check the region (--region), the "
            "offset (--offset) and the orientation; a skin dose of 0 would be wrong."
        )
    shifts = tuple(
        Shift(direction=name, shift_cm=cm, peak_mgy=peak) for (name, _, cm), peak in zip(_SHIFTS, peaks, strict=True)
    )
    return SkinMap(_answer(exams, procedures, maps, dose, mesh, shifts, options, twice), mesh, dose)


def _each_event_once(exams: Sequence[Exam]) -> tuple[list[Exam], int]:
    """Return the exams without events that an earlier one has too (a cumulative report, a report sent again)."""
    if len(exams) == 1:
        return list(exams), 0
    seen: set[str] = set()
    kept = []
    for exam in exams:
        events = tuple(event for event in exam.events if event.event_uid not in seen)
        seen.update(event.event_uid for event in events if event.event_uid)
        if events or not exam.events:
            kept.append(exam if len(events) == len(exam.events) else structs.replace(exam, events=events))
    return kept, sum(len(exam.events) for exam in exams) - sum(len(exam.events) for exam in kept)


def _check(options: Options) -> None:
    limits = (
        ("The tube filtration", options.tube_filtration_mm_al, 0.5, 15.0, "mm Al"),
        ("The aluminium equivalent of the table", options.table_mm_al, 0.0, LARGEST_TABLE_MM_AL, "mm Al"),
        ("The table's transmission", options.table_transmission, 0.2, 1.0, "(of 1)"),
        ("The table's width", options.table_width_cm, 10.0, 150.0, "cm"),
        ("The pad's thickness", options.pad_cm, 0.0, 30.0, "cm"),
        ("The kerma's calibration factor", options.kerma_factor, 0.3, 3.0, "(of 1)"),
        ("The kerma's relative uncertainty", options.kerma_relative_uncertainty, 0.0, 1.0, "(of 1)"),
        *(("An offset", cm, -200.0, 200.0, "cm") for cm in options.offset_cm),
    )
    for name, value, low, high, unit in limits:
        if value is not None and not low <= value <= high:
            raise SkinDoseError(f"{name}, {value:g} {unit}, is not between {low:g} and {high:g}.")


def _prepare(exam: Exam, mesh: Mesh, lying: Lying, options: Options) -> _Procedure:
    if exam.kind != "projection":
        raise SkinDoseError(
            f"{exam.path or 'The object'} is of kind {exam.kind!r}; a skin dose map needs a dose report of projection "
            "X-ray with irradiation events."
        )
    if not exam.events:
        raise SkinDoseError(f"{exam.path or 'The report'} states no irradiation events, only totals.")
    rows = coordinates_of(exam.device)
    placed = setup_of(exam.events, rows, options.tube_filtration_mm_al)
    left_out = _left_out(exam, placed)
    region, said = region_of(exam, options)
    setup, assumed = place_table(placed.setup, rows, mesh, lying, region, options)
    if options.kerma_factor is not None:
        setup = setup._replace(kerma_mgy=setup.kerma_mgy * options.kerma_factor)
    quality = beam_quality(setup.kv, setup.al_mm, setup.cu_mm)
    physics = physics_of(setup, quality, options.table_mm_al, options.table_transmission)
    beams = beams_of(setup)
    assumptions = (*placed.assumptions, *said, *assumed, *_beyond_tables(setup))
    return _Procedure(setup, beams, physics, beam_rows(beams, physics), left_out, assumptions)


def _left_out(exam: Exam, placed: Placed) -> tuple[LeftOut, ...]:
    """Return what could not be placed; raise where that is too much for an answer."""
    if not placed.left_out and len(placed.setup.event):
        return ()
    stated = [event.reference_air_kerma_mgy for event in exam.events]
    kerma = [mgy if mgy is not None and isfinite(mgy) and mgy > 0 else 0.0 for mgy in stated]
    out = tuple(
        LeftOut(reason=reason, events=len(some), kerma_mgy=sum(kerma[index] for index in some))
        for reason, some in placed.left_out.items()
    )
    indices = {index for some in placed.left_out.values() for index in some}
    lost = sum(kerma[index] for index in indices)
    unknown = sum(not kerma[index] for index in indices)
    total = lost + float(placed.setup.kerma_mgy.sum())
    if lost > MOST_LEFT_OUT * total or unknown > MOST_LEFT_OUT * len(exam.events) or not len(placed.setup.event):
        reasons = "; ".join(f"{one.reason}: {one.events}" for one in out) or "no event states a kerma above 0"
        raise SkinDoseError(
            f"{exam.path or 'The report'}: too many of its {len(exam.events)} events cannot be placed ({reasons}). "
            "A map of the rest would miss dose."
        )
    return out


def _beyond_tables(setup: Setup) -> list[str]:
    """Return which beams are outside the tables' ranges, whose edges are then taken."""
    said = []
    for name, values, (low, high) in zip(
        ("kV", "mm Al", "mm Cu"), (setup.kv, setup.al_mm, setup.cu_mm), quality_range(), strict=True
    ):
        outside = int(np.count_nonzero((values < low) | (values > high)))
        if outside:
            said.append(f"{outside} beams lie outside the beam quality table ({low:g} to {high:g} {name}).")
    outside = int(np.count_nonzero((setup.kv < BACKSCATTER_KV[0]) | (setup.kv > BACKSCATTER_KV[1])))
    if outside:
        low, high = BACKSCATTER_KV
        said.append(f"{outside} beams lie outside {low:g} to {high:g} kV; backscatter of the nearer end is taken.")
    return said


def _shifted_peak(
    cells: Cells, mesh: Mesh, procedures: Sequence[_Procedure], table: Table, axis: int, cm: float
) -> float:
    """Return the peak if the patient lay ``cm`` further along an axis of the table, which stays."""
    shift = np.zeros(3)
    shift[axis] = cm
    maps = [dose_map(cells, mesh, one.rows, one.physics, table, shift).dose_mgy for one in procedures]
    return float(np.max(np.sum(maps, axis=0)))


def _answer(
    exams: Sequence[Exam],
    procedures: Sequence[_Procedure],
    maps: Sequence[Map],
    dose: Floats,
    mesh: Mesh,
    shifts: tuple[Shift, ...],
    options: Options,
    twice: int,
) -> SkinDose:
    at = int(np.argmax(dose))
    peak = float(dose[at])
    parts = _uncertainty(peak, shifts, options)
    x, y, z = (float(one) for one in mesh.centres[at])
    share = _share(procedures, maps, mesh)
    kap = [float(np.nansum(one.setup.kap_gy_cm2)) for one in procedures]
    own = (
        f"Patient: {options.orientation}, in the middle of the table on a pad of {options.pad_cm:g} cm.",
        _table_said(options),
        BACKSCATTER_NOT_VERIFIED,
        *([f"Events that two reports state are counted once (events: {twice})."] if twice else []),
    )
    return SkinDose(
        peak_mgy=peak,
        peak_standard_uncertainty_mgy=peak * of_product(*(one.relative for one in parts)),
        peak_place=_place(mesh, at),
        peak_left_cm=x,
        peak_above_back_cm=-y,
        peak_below_crown_cm=float(mesh.centres[:, 2].max()) - z,
        areas=tuple(Area(dose_gy=gy, area_cm2=float(mesh.areas[dose >= gy * 1000].sum())) for gy in THRESHOLDS_GY),
        kap_share_on_skin=share,
        reference_air_kerma_mgy=sum(float(one.setup.kerma_mgy.sum()) for one in procedures),
        kap_gy_cm2=sum(kap) or None,
        reports=len(exams),
        events=sum(len(exam.events) for exam in exams),
        beams=sum(len(one.setup.event) for one in procedures),
        left_out=tuple(one for procedure in procedures for one in procedure.left_out),
        arms_in_beam=sum(_arms(one, hit, mesh) for one, hit in zip(procedures, maps, strict=True)),
        sensitivity=shifts,
        uncertainty=parts,
        phantom=mesh.name,
        cells=len(mesh.areas),
        cell_cm=mesh.cell_cm,
        assumptions=tuple(dict.fromkeys((*own, *(text for one in procedures for text in one.assumptions)))),
        notes=_notes(share, procedures, mesh, "arm" in mesh.parts[mesh.part[at]]),
    )


def _table_said(options: Options) -> str:
    if options.table_transmission is not None:
        return f"Table and pad transmit {options.table_transmission:g} of a perpendicular beam (as given)."
    return f"Table and pad weaken the beam like {options.table_mm_al:g} mm aluminium (not measured)."


def _uncertainty(peak: float, shifts: tuple[Shift, ...], options: Options) -> tuple[Component, ...]:
    """Return the parts of the relative standard uncertainty; the patient's position is known to +-5 cm."""
    when = {
        "always": True,
        "kerma-not-calibrated": options.kerma_relative_uncertainty is None,
        "table-measured": options.table_transmission is not None,
        "table-not-measured": options.table_transmission is None,
    }
    found = []
    for row in _uncertainty_table():
        if when[row["when"]]:
            percent = float(row["percent"])
            relative = from_limits(percent / 100) if row["distribution"] == "rectangular" else percent / 100
            found.append(Component(name=row["component"], relative=relative, source=row["source"]))
    if options.kerma_relative_uncertainty is not None:
        found.insert(
            0,
            Component(
                name="air kerma at the reference point",
                relative=options.kerma_relative_uncertainty,
                source="as given with the calibration",
            ),
        )
    largest = max(abs(one.peak_mgy / peak - 1) for one in shifts)
    found.append(
        Component(
            name="patient's position",
            relative=from_limits(largest),
            source=f"largest change of the peak over shifts of {SHIFT_CM:g} cm",
        )
    )
    return tuple(found)


@cache
def _uncertainty_table() -> tuple[dict[str, str], ...]:
    with (TABLES / "uncertainty.csv").open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


def _share(procedures: Sequence[_Procedure], maps: Sequence[Map], mesh: Mesh) -> float | None:
    """Return the part of the kerma-area product that enters the phantom, None where cells have no area.

    Kerma times distance squared times solid angle is the kerma-area product of a beam, whole or of what hits.
    """
    if not mesh.areas.any():
        return None
    hit = whole = 0.0
    for one, found in zip(procedures, maps, strict=True):
        weight = one.setup.kerma_mgy * one.setup.source_to_reference_cm**2
        solid = solid_angle(one.beams.edges_across, one.beams.edges_along)
        # Where an arm and the body lie one behind the other both are counted as hit, the beam only once.
        hit += float(np.sum(weight * np.minimum(found.solid_angle_sr.sum(axis=1), solid)))
        whole += float(np.sum(weight * solid))
    return hit / whole


def _arms(one: _Procedure, found: Map, mesh: Mesh) -> int:
    """Return the number of events whose beam hits an arm and another part of the body."""
    arms = np.array(["arm" in name for name in mesh.parts])
    both = found.hits[:, arms].any(axis=1) & found.hits[:, ~arms].any(axis=1)
    return len(np.unique(one.setup.event[both]))


def _notes(share: float | None, procedures: Sequence[_Procedure], mesh: Mesh, arm: bool) -> tuple[Note, ...]:
    notes = []
    if arm:
        notes.append(
            Note(
                code="skin-dose-peak-on-arm",
                message="The peak lies on an arm at the patient's side. If the arms were out of the beam, take the "
                "phantom human-arms-away.",
            )
        )
    if share is not None and share < 0.5:
        notes.append(
            Note(
                code="skin-dose-beams-beside-patient",
                message=f"Only {100 * share:.0f} % of the kerma-area product enters the phantom: the patient may lie "
                "elsewhere.",
            )
        )
    narrowest = min(
        float(np.min(np.ptp(edges, axis=1) * one.setup.source_to_reference_cm))
        for one in procedures
        for edges in (one.beams.edges_across, one.beams.edges_along)
    )
    if mesh.cell_cm > COARSE_CM or narrowest < 2 * mesh.cell_cm:
        notes.append(
            Note(
                code="skin-dose-coarse-mesh",
                message=f"Cells of {mesh.cell_cm:.1f} cm are coarse for fields of {narrowest:.1f} cm at the reference "
                "point: overlaps of such fields may be missed.",
            )
        )
    return tuple(notes)


def _place(mesh: Mesh, at: int) -> str:
    """Return where a cell lies, in words."""
    nx, ny, _ = mesh.normals[at]
    x, _, z = mesh.centres[at]
    side = "" if not mesh.normals[at].any() else _side(float(nx), float(ny))
    where = f"{abs(x):.0f} cm to the {'left' if x >= 0 else 'right'} of the middle line"
    below = float(mesh.centres[:, 2].max()) - z
    return f"{mesh.parts[mesh.part[at]]}{side}, {where}, {below:.0f} cm below the crown"


def _side(nx: float, ny: float) -> str:
    if abs(ny) >= abs(nx):
        return ", back" if ny > 0 else ", front"
    return ", left side" if nx > 0 else ", right side"
