"""Can the stated glandular doses of a mammography be right, and is the examination complete?

The average glandular dose (AGD) is taken as the unit states it; the conversion tables that would recompute it are not
free to ship. It is checked against physics (it cannot exceed the entrance air kerma), against the limits of the
European guidelines for its thickness, and against usual tube voltages of its target and filter. Views are counted per
breast.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from doseatlas.dosimetry.estimate import not_verified
from doseatlas.dosimetry.tables import mammography_techniques
from doseatlas.model import Event, Exam, Note, Record
from doseatlas.reference import coefficients

_THICKNESS_MM = (10.0, 150.0)
_SHARE_OF_KERMA = (0.03, 0.9)
_FAR_ABOVE = 4.0
_TOTAL_TOLERANCE = 0.05
_STANDARD_VIEWS = ("CC", "MLO")
_SIDES = {"l": "L", "left": "L", "left breast": "L", "r": "R", "right": "R", "right breast": "R"}
_SYMBOLS = {
    "molybdenum": "MO",
    "rhodium": "RH",
    "tungsten": "W",
    "silver": "AG",
    "aluminum": "AL",
    "aluminium": "AL",
    "copper": "CU",
}


class BreastDose(Record, frozen=True, kw_only=True):
    """One breast: exposures, the views among them, and the sum of their AGD (mGy), ``None`` where one is not stated."""

    laterality: str
    exposures: int
    views: tuple[str, ...]
    agd_sum_mgy: float | None
    agd_stated_mgy: float | None


class MammographyCheck(Record, frozen=True, kw_only=True):
    """Per breast sums and views, views that are missing, and what cannot be right or is unusual."""

    breasts: tuple[BreastDose, ...]
    missing_views: tuple[str, ...]
    flags: tuple[Note, ...]


def check_mammography(exam: Exam) -> MammographyCheck:
    """Return the check of an examination: sums, missing views, and what cannot be right."""
    stated = {"L": exam.totals.agd_left_mgy, "R": exam.totals.agd_right_mgy}
    breasts = []
    flags: list[Note] = []
    for side in ("L", "R"):
        own = [event for event in exam.events if side_of(event) == side]
        if own or stated[side] is not None:
            breasts.append(_breast(side, own, stated[side]))
    for number, event in enumerate(exam.events, 1):
        flags += event_flags(event, f"Exposure {number}")
    if unknown := sum(side_of(event) is None for event in exam.events):
        flags.append(Note(code="laterality-not-stated", message=f"{unknown} exposures do not state which breast."))
    flags += _total_flags(breasts)
    return MammographyCheck(breasts=tuple(breasts), missing_views=missing_views(breasts), flags=tuple(flags))


def side_of(event: Event) -> str | None:
    """Return ``L`` or ``R``, ``None`` where it is neither or both."""
    return _SIDES.get((event.laterality or "").casefold())


def _breast(side: str, events: Sequence[Event], stated: float | None) -> BreastDose:
    doses = [event.agd_mgy for event in events]
    known = [dose for dose in doses if dose is not None]
    return BreastDose(
        laterality=side,
        exposures=len(events),
        views=tuple(sorted({event.view.upper() for event in events if event.view})),
        agd_sum_mgy=sum(known) if known and len(known) == len(doses) else None,
        agd_stated_mgy=stated,
    )


def missing_views(breasts: Sequence[BreastDose]) -> tuple[str, ...]:
    """Return the views that one breast lacks: those of the other, and CC and MLO of a breast that has one of them."""
    seen = {breast.laterality: set(breast.views) for breast in breasts if breast.exposures}
    everything = set().union(*seen.values()) if seen else set()
    expected = {view for view in _STANDARD_VIEWS if everything & set(_STANDARD_VIEWS)} | (
        everything if len(seen) == 2 else set()
    )
    return tuple(f"{side} {view}" for side in sorted(seen) for view in sorted(expected - seen[side]))


def _total_flags(breasts: Iterable[BreastDose]) -> list[Note]:
    flags = []
    for breast in breasts:
        total, stated = breast.agd_sum_mgy, breast.agd_stated_mgy
        if total and stated and abs(total / stated - 1) > _TOTAL_TOLERANCE:
            message = (
                f"The exposures of breast {breast.laterality} add up to {total:.3g} mGy, stated are {stated:.3g} mGy: "
                "a mean instead of a sum, or exposures missing."
            )
            flags.append(Note(code="agd-total-differs", message=message))
    return flags


def event_flags(event: Event, name: str) -> tuple[Note, ...]:
    """Return what cannot be right or is unusual in one exposure."""
    flags: list[Note] = []
    thickness, dose, kerma = event.compressed_thickness_mm, event.agd_mgy, event.entrance_exposure_mgy
    thickness_right = thickness is not None and _THICKNESS_MM[0] <= thickness <= _THICKNESS_MM[1]
    if thickness is not None and not thickness_right:
        flags.append(
            _not_plausible(f"{name}: a compressed thickness of {thickness:g} mm is not possible; is it in cm?")
        )
    if dose is not None and kerma is not None and kerma > 0:
        share = dose / kerma
        if not _SHARE_OF_KERMA[0] <= share <= _SHARE_OF_KERMA[1]:
            message = (
                f"{name}: AGD {dose:.3g} mGy is {share:.3g} of the entrance air kerma of {kerma:.3g} mGy; between "
                f"{_SHARE_OF_KERMA[0]:g} and {_SHARE_OF_KERMA[1]:g} is possible. A unit (dGy, cGy) may be wrong."
            )
            flags.append(_not_plausible(message))
    if dose is not None and thickness_right and thickness is not None:
        flags += _limit_flags(dose, thickness, name)
    flags += _technique_flags(event, name)
    return tuple(flags)


def _not_plausible(message: str) -> Note:
    return Note(code="agd-not-plausible", message=message)


def acceptable_agd_mgy(thickness_mm: float) -> float:
    """Return the acceptable AGD (mGy) of a breast, linear in thickness; that of the table's ends beyond them."""
    import numpy as np

    rows = coefficients.agd_limits()
    return float(np.interp(thickness_mm, [row.breast_mm for row in rows], [row.acceptable_mgy for row in rows]))


def _limit_flags(dose: float, thickness: float, name: str) -> tuple[Note, ...]:
    limit = acceptable_agd_mgy(thickness)
    if dose <= limit:
        return ()
    message = f"{name}: AGD {dose:.3g} mGy for {thickness:g} mm, acceptable on average is {limit:.2g} mGy."
    if dose > _FAR_ABOVE * limit:
        return (_not_plausible(message + " More than four times that is rather a wrong unit."),)
    return (Note(code="agd-above-limit", message=message), *not_verified(coefficients.agd_limits()[:1]))


def _technique_flags(event: Event, name: str) -> tuple[Note, ...]:
    if event.kvp is None or event.anode_material is None or not event.filters:
        return ()
    anode = _symbol(event.anode_material)
    filters = [_symbol(one.material) for one in event.filters if one.material]
    known = [row for one in filters if (row := mammography_techniques().get((anode, one)))]
    if not known:
        message = f"{name}: anode {event.anode_material} with filter {', '.join(filters)} is no usual technique."
    elif any(row.kvp_low <= event.kvp <= row.kvp_high for row in known):
        return ()
    else:
        row = known[0]
        message = (
            f"{name}: {event.kvp:g} kV with {anode}/{row.filter}; usual are {row.kvp_low:g} to {row.kvp_high:g} kV."
        )
    return (Note(code="technique-unusual", message=message),)


def _symbol(material: str) -> str:
    words = material.lower().split()
    return next((_SYMBOLS[word] for word in words if word in _SYMBOLS), material.strip().upper())
