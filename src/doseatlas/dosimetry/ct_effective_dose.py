"""What effective dose does a DLP mean? By region, age, phantom and coefficient set.

E = sum k(region, age) DLP. Each coefficient belongs to a DLP on one phantom: 16 cm for the head and neck and for all
regions of a child, 32 cm for the trunk of an adult (AAPM Report 96). A DLP on the other phantom is converted by the
ratio of the size factors of AAPM Report 204 and flagged, never taken as it is: the mix-up is a factor of two. The
effective dose is that of a reference person and says nothing of an individual.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from math import sqrt
from typing import NamedTuple

from doseatlas.dosimetry.estimate import DosimetryError, Estimate, NotEstimated, bad_number, not_verified
from doseatlas.dosimetry.ssde import phantom_ratio
from doseatlas.dosimetry.uncertainty import of_product
from doseatlas.model import Note
from doseatlas.reference import coefficients

QUANTITY = "effective_dose_msv"
REGIONS = frozenset({"head", "neck", "chest", "abdomen", "pelvis"})
_HEAD_AND_NECK = frozenset({"head", "neck"})
TYPICAL_DIAMETER_MM = 240.0
_OLDEST_YEARS = 130.0
_CONVERSION_NOTICED = 0.01


class Dlp(NamedTuple):
    """A dose-length product (mGy.cm) on a phantom (cm) over regions; no regions: those of the whole exam."""

    dlp_mgy_cm: float
    phantom_cm: int | None
    regions: frozenset[str] = frozenset()


class RegionCoefficient(NamedTuple):
    """mSv per mGy.cm on ``phantom_cm``, and the rows it stands on: one, or those of the ages around."""

    msv_per_mgy_cm: float
    phantom_cm: int
    rows: tuple[coefficients.CtCoefficient, ...]


def check_coefficient_set(name: str) -> None:
    """Raise :class:`DosimetryError` where there is no such set of coefficients for CT."""
    if name not in coefficients.ct_sets():
        raise DosimetryError(
            f"There is no coefficient set {name!r} for CT. Known: {', '.join(coefficients.ct_sets())}."
        )


def ct_effective_dose(
    parts: Sequence[Dlp],
    regions: frozenset[str],
    age_years: float | None,
    *,
    coefficient_set: str = coefficients.DEFAULT_CT_SET,
    dlp_relative_uncertainty: float = 0.0,
) -> Estimate | NotEstimated:
    """Return the effective dose (mSv) of an exam.

    Args:
        parts: the DLP of each event, or of the exam as a whole. regions: which of head, neck, chest, abdomen and
        pelvis the exam covers, for parts that name none. age_years: age at the exam; without it a child could not be
        told from an adult. coefficient_set: one of ``ct_sets``. dlp_relative_uncertainty: relative
        standard uncertainty of the DLP, common to all parts (display or calibration).

    Raises:
        DosimetryError: there is no such coefficient set.

    """
    check_coefficient_set(coefficient_set)
    if bad := bad_number(QUANTITY, "The age", age_years, zero_allowed=True):
        return bad
    assert age_years is not None
    if age_years > _OLDEST_YEARS:
        return NotEstimated(quantity=QUANTITY, code="not-physical", message=f"An age of {age_years:g} years cannot be.")
    if not parts:
        return NotEstimated(quantity=QUANTITY, code="not-stated", message="No DLP is stated.")
    value, spread, converted, assumed = 0.0, 0.0, 0.0, False
    averaged: set[str] = set()
    rows: list[coefficients.CtCoefficient] = []
    for part in parts:
        if bad := bad_number(QUANTITY, "A DLP", part.dlp_mgy_cm, zero_allowed=True):
            return bad
        covered = part.regions or regions
        found = region_coefficients(coefficient_set, covered, age_years)
        if isinstance(found, NotEstimated):
            return found
        phantom = part.phantom_cm
        if phantom is None:
            phantom = _conventional_phantom(covered, age_years)
            assumed = True
        if phantom is None:
            message = "The CTDI phantom is not stated, and both 16 and 32 cm are usual for this region and age."
            return NotEstimated(quantity=QUANTITY, code="phantom-not-stated", message=message)
        if phantom not in (16, 32):
            message = f"A CTDI phantom of {phantom} cm is not 16 or 32 cm."
            return NotEstimated(quantity=QUANTITY, code="not-physical", message=message)
        doses = [one.msv_per_mgy_cm * _on_phantom(part.dlp_mgy_cm, phantom, one.phantom_cm) for one in found]
        value += sum(doses) / len(doses)
        if len(doses) > 1:
            spread += (max(doses) - min(doses)) / 2
            averaged.update(one.rows[0].region for one in found)
        converted += sum(dose for dose, one in zip(doses, found, strict=True) if one.phantom_cm != phantom) / len(doses)
        rows += [row for one in found for row in one.rows]
    return _result(
        value, spread, converted, assumed, averaged, rows, dlp_relative_uncertainty, coefficient_set, age_years
    )


def _result(
    value: float,
    spread: float,
    converted: float,
    assumed: bool,
    averaged: set[str],
    rows: Iterable[coefficients.CtCoefficient],
    dlp_relative: float,
    coefficient_set: str,
    age_years: float,
) -> Estimate:
    component = coefficients.component_uncertainties()
    used = tuple(dict.fromkeys(rows))
    flags = list(not_verified(used))
    if averaged:
        message = f"The exam spans regions; the coefficients of {', '.join(sorted(averaged))} are averaged."
        flags.append(Note(code="regions-averaged", message=message))
    if converted > _CONVERSION_NOTICED * value:  # a head scan's localiser on the body phantom is no news
        share = f"{100 * converted / value:.0f} %"
        message = f"{share} of the dose is from a DLP on the other phantom, converted by about a factor of two."
        flags.append(Note(code="phantom-converted", message=message))
    if assumed:
        message = "The CTDI phantom is not stated; 16 cm for head and neck, 32 cm for the trunk of an adult is taken."
        flags.append(Note(code="phantom-assumed", message=message))
    relative = of_product(component["effective-dose-coefficient"].relative, dlp_relative)
    uncertainty = sqrt(
        (relative * value) ** 2 + (component["phantom-conversion"].relative * converted) ** 2 + (spread / sqrt(3)) ** 2
    )
    return Estimate(
        quantity=QUANTITY,
        value=value,
        standard_uncertainty=uncertainty,
        method=f"DLP times coefficient of {', '.join(sorted({row.region for row in used}))} at {age_years:g} years, "
        f"{used[0].tissue_weights} tissue weights",
        source="; ".join(dict.fromkeys(row.source for row in used)),
        coefficient_set=coefficient_set,
        flags=tuple(flags),
    )


@lru_cache(maxsize=4096)
def region_coefficients(
    coefficient_set: str, regions: frozenset[str], age_years: float
) -> tuple[RegionCoefficient, ...] | NotEstimated:
    """Return the coefficient of the regions, or several to be averaged where the set has none for all of them together.

    A published coefficient for just these regions comes first (trunk, head and neck), then one that covers them all
    (abdomen and pelvis for an abdomen), else one for each region.
    """
    if not regions or not regions <= REGIONS:
        message = "The region is not known, or has no coefficient (limbs, phantoms); map the procedure."
        return NotEstimated(quantity=QUANTITY, code="region-not-known", message=message)
    rows = [row for row in coefficients.ct_coefficients() if row.set == coefficient_set]
    groups = {row.covers: row.region for row in rows}
    names = _names(regions, groups)
    missing = regions.difference(*(covers for covers, name in groups.items() if name in names))
    if missing:
        message = f"The set {coefficient_set} has no coefficient for {', '.join(sorted(missing))}."
        return NotEstimated(quantity=QUANTITY, code="no-coefficient", message=message)
    found = []
    for name in names:
        one = _at_age([row for row in rows if row.region == name], age_years)
        if one is None:
            message = f"The set {coefficient_set} has no coefficient of the {name} for an age of {age_years:g} years."
            return NotEstimated(quantity=QUANTITY, code="age-outside-table", message=message)
        found.append(one)
    return tuple(found)


def _names(regions: frozenset[str], groups: dict[frozenset[str], str]) -> tuple[str, ...]:
    if regions in groups:
        return (groups[regions],)
    one_part = ({"abdomen", "pelvis"}, _HEAD_AND_NECK)
    names: list[str] = []
    for region in sorted(regions):
        own = groups.get(frozenset({region}))
        wider = next((name for covers, name in groups.items() if region in covers and covers in one_part), None)
        if (name := own or wider) is not None and name not in names:
            names.append(name)
    return tuple(names)


def _at_age(rows: list[coefficients.CtCoefficient], age_years: float) -> RegionCoefficient | None:
    """Return the coefficient at an age, linear between the ages of the table on one phantom; ``None`` outside them."""
    rows = sorted(rows, key=lambda row: row.age_years)
    age = min(age_years, coefficients.ADULT_AGE_YEARS)
    younger = [row for row in rows if row.age_years <= age]
    older = [row for row in rows if row.age_years >= age]
    if not younger or not older:
        return None
    below, above = younger[-1], older[0]
    if below is above:
        return RegionCoefficient(below.msv_per_mgy_cm, below.phantom_cm, (below,))
    # A coefficient per DLP on the wider phantom is larger in the ratio in which that DLP is smaller.
    upper = above.msv_per_mgy_cm * _on_phantom(1.0, below.phantom_cm, above.phantom_cm)
    share = (age - below.age_years) / (above.age_years - below.age_years)
    value = below.msv_per_mgy_cm + share * (upper - below.msv_per_mgy_cm)
    return RegionCoefficient(value, below.phantom_cm, (below, above))


def _on_phantom(dlp_mgy_cm: float, stated_cm: int, wanted_cm: int) -> float:
    """Return a DLP as it would read on the other phantom: larger on the small one."""
    if stated_cm == wanted_cm:
        return dlp_mgy_cm
    ratio = phantom_ratio(TYPICAL_DIAMETER_MM)
    return dlp_mgy_cm * ratio if wanted_cm == 16 else dlp_mgy_cm / ratio


def _conventional_phantom(regions: frozenset[str], age_years: float) -> int | None:
    if regions <= {"head"} and regions:
        return 16
    if age_years >= coefficients.ADULT_AGE_YEARS and not regions & _HEAD_AND_NECK:
        return 32
    return None
