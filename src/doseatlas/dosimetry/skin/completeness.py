"""Is the dose that a report states all in the map? What cannot be placed, and what its events do not hold."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, nan

from doseatlas.dosimetry.skin.result import LeftOut, SkinDoseError
from doseatlas.dosimetry.skin.setup import Placed
from doseatlas.model import Event, Exam, Note

MOST_LEFT_OUT = 0.1
"""Share of the dose, or of events whose dose is not known, beyond which there is no answer."""
NOTED_SHARE = 0.02
"""Share of the stated total that events may lack, by rounding, before it is noted."""
_DOSES = (("reference_air_kerma_mgy", "air kerma"), ("kap_gy_cm2", "kerma-area product"))


def whole_dose(exam: Exam, placed: Placed) -> tuple[tuple[LeftOut, ...], tuple[Note, ...]]:
    """Return which events are not in the map, and a note where the events do not add up to the stated total.

    Raises:
        SkinDoseError: more than a tenth of the dose is missing.

    """
    name = exam.path or "The report"
    notes = _against_total(exam, name)
    out = _left_out(exam.events, placed)
    kerma = float(placed.setup.kerma_mgy.sum())
    indices = {index for some in placed.left_out.values() for index in some}
    doses = [_kerma_like(exam.events[index], placed) for index in indices]
    lost, unknown = sum(doses), doses.count(0.0)
    if lost > MOST_LEFT_OUT * (lost + kerma) or unknown > MOST_LEFT_OUT * len(exam.events) or kerma <= 0:
        reasons = "; ".join(f"{one.reason}: {one.events}" for one in out) or "no event states a kerma above 0"
        raise SkinDoseError(
            f"{name}: too many of its {len(exam.events)} events cannot be placed ({reasons}). A map of the rest would "
            "miss dose."
        )
    return out, notes


def _left_out(events: Sequence[Event], placed: Placed) -> tuple[LeftOut, ...]:
    return tuple(
        LeftOut(
            reason=reason,
            events=len(some),
            kerma_mgy=sum(_kerma_like(events[index], placed) for index in some),
        )
        for reason, some in placed.left_out.items()
    )


def _kerma_like(event: Event, placed: Placed) -> float:
    """Return an event's kerma (mGy); where it is not stated, its KAP by the placed beams' ratio of both; else 0."""
    if kerma := _positive(event.reference_air_kerma_mgy):
        return kerma
    area = placed.setup.kap_gy_cm2
    known = area > 0
    if not known.any():
        return 0.0
    return _positive(event.kap_gy_cm2) * float(placed.setup.kerma_mgy[known].sum() / area[known].sum())


def _against_total(exam: Exam, name: str) -> tuple[Note, ...]:
    """Compare the events' sum with the stated total, by the dose that agrees better: lost events lack both."""
    shares = []
    for field, words in _DOSES:
        total = _positive(getattr(exam.totals, field))
        if not total:
            continue
        own = sum(_positive(getattr(event, field)) for event in exam.events)
        if own:
            shares.append((own / total, words, own, total))
    if not shares:
        return ()
    share, words, own, total = min(shares, key=lambda one: abs(one[0] - 1))
    unit = "mGy" if words == "air kerma" else "Gy·cm²"
    said = f"the events add up to {own:.4g} {unit} of {words}, the stated total is {total:.4g} {unit}"
    if share < 1 - MOST_LEFT_OUT:
        raise SkinDoseError(f"{name}: events are missing: {said}. A map of these events would miss dose.")
    if abs(share - 1) <= NOTED_SHARE:
        return ()
    return (Note(code="skin-dose-total-differs", message=f"{said[0].upper()}{said[1:]}; the map is of the events."),)


def _positive(value: float | None) -> float:
    """Return a value above 0, and 0 for what is not one."""
    value = nan if value is None else value
    return value if isfinite(value) and value > 0 else 0.0
