"""How much dose has a patient's skin got over several procedures, and what did each of them give to the worst place?

All procedures are summed on one body. Repair of the skin between them is not taken into account. A procedure that
cannot be placed is named with its air kerma; the rest is then a lower limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from msgspec import structs

from doseatlas.dosimetry.skin.answer import KERMA, display_component
from doseatlas.dosimetry.skin.engine import mapped, summed
from doseatlas.dosimetry.skin.kernel import Map
from doseatlas.dosimetry.skin.phantom import Mesh
from doseatlas.dosimetry.skin.procedure import Body, Procedure, body_on_table, check_options, prepare, with_events
from doseatlas.dosimetry.skin.procedure_dose import ProcedureDose
from doseatlas.dosimetry.skin.result import Component, CumulativeMap, Options, SkinDoseError, SkinMap
from doseatlas.model import Event, Exam, Note

STATED_BEFORE = "All its events are stated by an earlier exam too; they count once."


class OneProcedure(NamedTuple):
    """An exam of the patient: its key and words for the answer, and what corrects its kerma.

    ``missing`` says why it must not be summed although it is the patient's, such as a dose out of physical range.
    """

    exam_id: str
    exam: Exam
    device: str | None = None
    procedure: str | None = None
    kerma_factor: float | None = None
    kerma_relative_uncertainty: float | None = None
    missing: str | None = None


class _Placed(NamedTuple):
    number: int
    procedure: Procedure
    map: Map


def cumulative_skin_dose(
    exams: Sequence[OneProcedure], mesh: Mesh, options: Options | None = None, *, assumed: Sequence[str] = ()
) -> CumulativeMap:
    """Return the map that a patient's procedures add up to on one body, in the order given, with each one's part.

    Args:
        exams: the procedures; the kerma of each is corrected by its own factor.
        mesh: the body that stands for the patient throughout.
        options: what holds for all of them; the kerma's factor is of the procedures.
        assumed: what else was assumed, such as the body's size, for the answer.

    Raises:
        SkinDoseError: no procedure can be placed (with the reason of each), or an option cannot be.

    """
    options = options or Options()
    check_options(options)
    body = body_on_table(mesh, options)
    placed: list[_Placed] = []
    missing: dict[int, str] = {}
    seen: set[str] = set()
    twice = 0
    for number, one in enumerate(exams):
        # What an earlier procedure of the map has counts once; what one that is not in it states does not count as had.
        own = tuple(event for event in one.exam.events if event.event_uid not in seen)
        found = _placed(number, one, own, body, options)
        if isinstance(found, str):
            missing[number] = found
        else:
            placed.append(found)
            seen.update(event.event_uid for event in own if event.event_uid)
            twice += len(one.exam.events) - len(own)
    if not placed:
        reasons = "; ".join(f"{exams[number].exam_id}: {why}" for number, why in missing.items())
        raise SkinDoseError(f"None of the {len(exams)} procedures can be placed on the body. {reasons}")
    whole = _whole(exams, placed, body, options, twice)
    at = int(np.argmax(whole.dose_mgy))
    maps = {one.number: one.map.dose_mgy for one in placed}
    parts = tuple(
        ProcedureDose(
            exam_id=one.exam_id,
            study_date=one.exam.study_day,
            device=one.device,
            procedure=one.procedure,
            reference_air_kerma_mgy=one.exam.totals.reference_air_kerma_mgy,
            kap_gy_cm2=one.exam.totals.kap_gy_cm2,
            peak_mgy=float(maps[number].max()) if number in maps else None,
            at_peak_mgy=float(maps[number][at]) if number in maps else None,
            missing=missing.get(number),
        )
        for number, one in enumerate(exams)
    )
    answer = structs.replace(
        whole.answer,
        assumptions=(*assumed, *whole.answer.assumptions),
        notes=(*_lower_limit(parts), *whole.answer.notes),
    )
    return CumulativeMap(SkinMap(answer, whole.mesh, whole.dose_mgy), parts)


def _placed(number: int, one: OneProcedure, events: tuple[Event, ...], body: Body, options: Options) -> _Placed | str:
    """Return a procedure with its own map, or why it has none."""
    if one.missing is not None:
        return one.missing
    if one.exam.events and not events:
        return STATED_BEFORE
    try:
        # A path may name the patient, and this answer is shown.
        own = structs.replace(options, kerma_factor=one.kerma_factor, kerma_relative_uncertainty=None)
        exam = one.exam if len(events) == len(one.exam.events) else with_events(one.exam, events)
        procedure, found = mapped(prepare(structs.replace(exam, path=None), body, own), body, own)
    except SkinDoseError as error:
        return str(error)
    return _Placed(number, procedure, found)


def _whole(
    exams: Sequence[OneProcedure], placed: Sequence[_Placed], body: Body, options: Options, twice: int
) -> SkinMap:
    """Sum the maps; the kerma's uncertainty is the mean of the procedures' own by their dose at the peak.

    Errors of the procedures' kermas are thus taken to have one sign, as they have on one device: the largest sum.
    """
    maps = [one.map for one in placed]
    at = int(np.argmax(np.sum([one.dose_mgy for one in maps], axis=0)))
    weights = np.array([one.dose_mgy[at] for one in maps])
    display = display_component()
    own = [exams[one.number].kerma_relative_uncertainty for one in placed]
    relative = np.array([display.relative if one is None else one for one in own])
    without = sum(one is None for one in own)
    source = f"certificates; {display.source} for {without} of {len(own)} procedures" if without else "certificates"
    kerma = Component(
        name=KERMA,
        relative=float(weights @ relative / weights.sum()),
        source=display.source if without == len(own) else source,
    )
    return summed([one.procedure for one in placed], maps, body, options, twice=twice, kerma=kerma)


def _lower_limit(parts: Sequence[ProcedureDose]) -> list[Note]:
    """Say that the peak is a lower limit where procedures are not in it."""
    without = [one for one in parts if one.missing not in (None, STATED_BEFORE)]
    if not without:
        return []
    kerma = sum(one.reference_air_kerma_mgy or 0.0 for one in without)
    unknown = sum(one.reference_air_kerma_mgy is None for one in without)
    said = f"{kerma:.4g} mGy of air kerma" + (f", and {unknown} state none" if unknown else "")
    message = (
        f"{len(without)} of {len(parts)} procedures could not be placed and are not in the map ({said}): the dose is a "
        "lower limit."
    )
    return [Note(code="skin-dose-lower-limit", message=message)]
