"""From dose reports and a body to the skin dose map: placing, physics, sum, and how much the answer can be trusted."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from doseatlas.dosimetry.skin.answer import SHIFT_CM, answer_of, uncertainty_of
from doseatlas.dosimetry.skin.clearance import NEAREST_SKIN_CM, impossible_beams
from doseatlas.dosimetry.skin.completeness import MOST_LEFT_OUT
from doseatlas.dosimetry.skin.kernel import Map, dose_map
from doseatlas.dosimetry.skin.phantom import Mesh
from doseatlas.dosimetry.skin.procedure import (
    Body,
    Procedure,
    body_on_table,
    check_options,
    each_event_once,
    prepare,
    without_beams,
)
from doseatlas.dosimetry.skin.result import Component, LeftOut, Options, Shift, SkinDoseError, SkinMap
from doseatlas.model import Exam

_SHIFTS = tuple(
    (name, axis, cm)
    for axis, name in enumerate(("to the left", "downwards", "to the head"))
    for cm in (-SHIFT_CM, SHIFT_CM)
)

BESIDE = (
    "No beam meets the body: as placed, the patient lies beside the field. Check the region (--region), the offset "
    "(--offset) and the orientation; a skin dose of 0 would be wrong."
)


def skin_dose(exams: Sequence[Exam], mesh: Mesh, options: Options | None = None) -> SkinMap:
    """Return the skin dose map that the irradiation events of these reports add up to on one body.

    Several reports make a cumulative map: each is placed by its own device's coordinates and its own region.

    Raises:
        SkinDoseError: a report states too little, nothing hits the body, or an option cannot be.

    """
    options = options or Options()
    check_options(options)
    if not exams:
        raise SkinDoseError("There is no dose report to compute a skin dose from.")
    once = each_event_once(exams)
    twice = sum(len(exam.events) for exam in exams) - sum(len(exam.events) for exam in once)
    stated = [own for own, exam in zip(once, exams, strict=True) if own.events or not exam.events]
    body = body_on_table(mesh, options)
    procedures, maps = zip(*(mapped(prepare(exam, body, options), body, options) for exam in stated), strict=True)
    return summed(procedures, maps, body, options, twice=twice)


def mapped(procedure: Procedure, body: Body, options: Options) -> tuple[Procedure, Map]:
    """Return the map of one report, without the beams that cannot have met the skin as placed, which it names.

    Raises:
        SkinDoseError: no beam meets the body, or too many cannot have met it as placed.

    """
    setup = procedure.setup
    wrong = impossible_beams(setup, procedure.beams, body.lying, options.offset_cm, body.mesh.cell_cm)
    if wrong.any():
        kerma, events = float(setup.kerma_mgy[wrong].sum()), len(np.unique(setup.event[wrong]))
        if kerma > MOST_LEFT_OUT * float(setup.kerma_mgy.sum()):
            raise SkinDoseError(
                f"{procedure.name}: as placed, {events} of its {procedure.events} events would meet skin within "
                f"{NEAREST_SKIN_CM:g} cm of the source or behind the detector, which cannot be: the table's position "
                "or the distances are wrong, or the patient lies elsewhere (--offset moves the patient)."
            )
        reason = f"as placed, skin within {NEAREST_SKIN_CM:g} cm of the source or behind the detector"
        procedure = without_beams(procedure, wrong, options, LeftOut(reason=reason, events=events, kerma_mgy=kerma))
    found = map_of(body, procedure)
    if not found.dose_mgy.any():
        raise SkinDoseError(f"{procedure.name}: {BESIDE}")
    return procedure, found


def map_of(body: Body, procedure: Procedure) -> Map:
    """Return the map of one report's beams as they are placed."""
    return dose_map(body.cells, body.mesh, procedure.rows, procedure.physics, body.table)


def summed(
    procedures: Sequence[Procedure],
    maps: Sequence[Map],
    body: Body,
    options: Options,
    *,
    twice: int,
    kerma: Component | None = None,
) -> SkinMap:
    """Return what reports and their maps add up to; ``kerma`` is its uncertainty where the options do not say it."""
    dose = np.sum([one.dose_mgy for one in maps], axis=0)
    with ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, len(_SHIFTS))) as pool:
        # The compiled sum lets other threads run. Each makes a map of its own, so the result does not depend on them.
        peaks = list(pool.map(lambda shift: _shifted_peak(body, procedures, shift[1], shift[2]), _SHIFTS))
    shifts = tuple(
        Shift(direction=name, shift_cm=cm, peak_mgy=peak) for (name, _, cm), peak in zip(_SHIFTS, peaks, strict=True)
    )
    parts = uncertainty_of(float(dose.max()), shifts, options, kerma)
    return SkinMap(answer_of(procedures, maps, dose, body.mesh, shifts, parts, options, twice), body.mesh, dose)


def _shifted_peak(body: Body, procedures: Sequence[Procedure], axis: int, cm: float) -> float:
    """Return the peak if the patient lay ``cm`` further along an axis of the table, which stays."""
    shift = np.zeros(3)
    shift[axis] = cm
    dose = np.zeros(len(body.mesh.areas))
    for one in procedures:
        dose += dose_map(body.cells, body.mesh, one.rows, one.physics, body.table, shift).dose_mgy
    return float(dose.max())
