"""From one dose report to beams about one patient: where the patient lies, what each event gives, what is left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from msgspec import structs

from doseatlas.dosimetry.backscatter import BACKSCATTER_KV
from doseatlas.dosimetry.skin.completeness import whole_dose
from doseatlas.dosimetry.skin.coordinates import coordinates_of
from doseatlas.dosimetry.skin.geometry import Beams, beams_of
from doseatlas.dosimetry.skin.kernel import Cells, Table, beam_rows, cells_of
from doseatlas.dosimetry.skin.phantom import Mesh
from doseatlas.dosimetry.skin.physics import (
    LARGEST_TABLE_MM_AL,
    Physics,
    beam_quality,
    physics_of,
    quality_range,
)
from doseatlas.dosimetry.skin.placement import Lying, lie_on_table, place_table, region_of
from doseatlas.dosimetry.skin.result import LeftOut, Options, SkinDoseError
from doseatlas.dosimetry.skin.setup import Setup, setup_of, take
from doseatlas.model import Event, Exam, Note, Totals

Floats = npt.NDArray[np.float64]

TABLE_LENGTH_CM, TABLE_BEYOND_PATIENT_CM = 300.0, 10.0


class Procedure(NamedTuple):
    """One report, ready to be summed: its beams with their physics, and what is not in them.

    ``events`` is the number of its events, ``name`` what it is called in an error.
    """

    name: str
    events: int
    setup: Setup
    beams: Beams
    physics: Physics
    rows: Floats
    left_out: tuple[LeftOut, ...]
    assumptions: tuple[str, ...]
    notes: tuple[Note, ...]


class Body(NamedTuple):
    """A patient on the table: the mesh, how it lies, its cells as the sum wants them, and the table."""

    mesh: Mesh
    lying: Lying
    cells: Cells
    table: Table


def body_on_table(mesh: Mesh, options: Options) -> Body:
    """Lay the patient on the table."""
    lying = lie_on_table(mesh, options)
    cells = cells_of(mesh, lying.centres + np.array(options.offset_cm), lying.normals)
    head = float(cells.columns[2].max()) + TABLE_BEYOND_PATIENT_CM
    half = options.table_width_cm / 2
    return Body(mesh, lying, cells, Table(0.0, (-half, half), (head - TABLE_LENGTH_CM, head)))


def check_options(options: Options) -> None:
    """Raise :class:`SkinDoseError` where an option cannot be."""
    limits = (
        ("The tube filtration", options.tube_filtration_mm_al, 0.5, 15.0, "mm Al"),
        ("The aluminium equivalent of the table", options.table_mm_al, 0.0, LARGEST_TABLE_MM_AL, "mm Al"),
        ("The table's transmission", options.table_transmission, 0.2, 1.0, "(of 1)"),
        ("The table's width", options.table_width_cm, 10.0, 150.0, "cm"),
        ("The rotation of the field", options.field_rotation_deg, -180.0, 180.0, "degrees"),
        ("The pad's thickness", options.pad_cm, 0.0, 30.0, "cm"),
        ("The kerma's calibration factor", options.kerma_factor, 0.3, 3.0, "(of 1)"),
        ("The kerma's relative uncertainty", options.kerma_relative_uncertainty, 0.0, 1.0, "(of 1)"),
        *(("An offset", cm, -200.0, 200.0, "cm") for cm in options.offset_cm),
    )
    for name, value, low, high, unit in limits:
        if value is not None and not low <= value <= high:
            raise SkinDoseError(f"{name}, {value:g} {unit}, is not between {low:g} and {high:g}.")


def each_event_once(exams: Sequence[Exam]) -> list[Exam]:
    """Return the exams without events that an earlier one has too (a cumulative report, a report sent again)."""
    if len(exams) == 1:
        return list(exams)
    seen: set[str] = set()
    kept = []
    for exam in exams:
        events = tuple(event for event in exam.events if event.event_uid not in seen)
        seen.update(event.event_uid for event in events if event.event_uid)
        kept.append(exam if len(events) == len(exam.events) else with_events(exam, events))
    return kept


def with_events(exam: Exam, events: tuple[Event, ...]) -> Exam:
    """Return an exam with some of its events; its totals are not those of these events any more."""
    return structs.replace(exam, events=events, totals=Totals())


def prepare(exam: Exam, body: Body, options: Options) -> Procedure:
    """Place a report's beams about the patient and find their physics.

    Raises:
        SkinDoseError: the report states too little.

    """
    if exam.kind != "projection":
        raise SkinDoseError(
            f"{exam.path or 'The object'} is of kind {exam.kind!r}; a skin dose map needs a dose report of projection "
            "X-ray with irradiation events."
        )
    if not exam.events:
        raise SkinDoseError(f"{exam.path or 'The report'} states no irradiation events, only totals.")
    rows = coordinates_of(exam.device)
    placed = setup_of(exam.events, rows, options.tube_filtration_mm_al, options.field_rotation_deg)
    left_out, notes = whole_dose(exam, placed)
    region, said = region_of(exam, options)
    setup, assumed = place_table(placed.setup, placed.rows, body.mesh, body.lying, region, options)
    if options.kerma_factor is not None:
        setup = setup._replace(kerma_mgy=setup.kerma_mgy * options.kerma_factor)
    assumptions = (*placed.assumptions, *said, *assumed, *_beyond_tables(setup))
    name = exam.path or "The report"
    return Procedure(name, len(exam.events), *_beams(setup, options), left_out, assumptions, notes)


def without_beams(procedure: Procedure, wrong: npt.NDArray[np.bool_], options: Options, left_out: LeftOut) -> Procedure:
    """Return a procedure without some of its beams, which are named as left out."""
    setup, beams, physics, rows = _beams(take(procedure.setup, np.flatnonzero(~wrong)), options)
    return procedure._replace(
        setup=setup, beams=beams, physics=physics, rows=rows, left_out=(*procedure.left_out, left_out)
    )


def _beams(setup: Setup, options: Options) -> tuple[Setup, Beams, Physics, Floats]:
    quality = beam_quality(setup.kv, setup.al_mm, setup.cu_mm)
    physics = physics_of(setup, quality, options.table_mm_al, options.table_transmission)
    beams = beams_of(setup)
    return setup, beams, physics, beam_rows(beams, physics)


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
