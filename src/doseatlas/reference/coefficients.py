"""Which published coefficients turn a stated dose value into another quantity, and how firm is each?

Every row names its source. ``verified`` is ``seen`` where the figure stood in a text that was read, ``memory`` where
it was recalled from the document named, ``assumed`` where this project set it; a result computed with anything but
``seen`` says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from doseatlas.model import Record, TableError
from doseatlas.reference.procedures import DATA, number, read_rows

COEFFICIENTS = DATA / "coefficients"
ADULT_AGE_YEARS = 18.0
DEFAULT_CT_SET = "aapm-96"
DEFAULT_NUCLEAR_SET = "icrp-128"
EANM_CARD, NORTH_AMERICA = "eanm-card-2016", "north-america-2024"
ACTIVITY_GUIDELINES = (EANM_CARD, NORTH_AMERICA)
"""Of the activities recommended for children."""
_ORGAN_COLUMNS = ("set", "agent", "organ", "age_years", "mgy_per_mbq", "source", "verified")
_MOST_MGY_PER_MBQ = 2000.0  # the thyroid of an infant for I-131 has more than any other organ
_VERIFIED = ("seen", "memory", "assumed")


class CtCoefficient(Record, frozen=True, kw_only=True):
    """Effective dose per DLP (mSv per mGy.cm) of a region at an age, for the DLP on ``phantom_cm``; 18 is adult."""

    set: str
    region: str
    covers: frozenset[str]
    age_years: float
    phantom_cm: int
    msv_per_mgy_cm: float
    tissue_weights: str
    source: str
    verified: str


class SsdeCoefficient(Record, frozen=True, kw_only=True):
    """SSDE = CTDIvol * a * exp(-b * diameter in cm); fitted between the diameters given."""

    id: str
    region: str
    phantom_cm: int
    a: float
    b_per_cm: float
    diameter_low_cm: float
    diameter_high_cm: float
    source: str
    verified: str


class KapCoefficient(Record, frozen=True, kw_only=True):
    """Effective dose of an adult per air kerma-area product (mSv per Gy.cm2) of an examination or view."""

    set: str
    exam: str
    msv_per_gy_cm2: float
    tissue_weights: str
    source: str
    verified: str


class NuclearCoefficient(Record, frozen=True, kw_only=True):
    """Effective dose per administered activity (mSv per MBq) of an agent at an age; 18 is adult."""

    set: str
    agent: str
    age_years: float
    msv_per_mbq: float
    source: str
    verified: str


class OrganCoefficient(Record, frozen=True, kw_only=True):
    """Absorbed dose of an organ per administered activity (mGy per MBq) of an agent at an age; 18 is adult."""

    set: str
    agent: str
    organ: str
    age_years: float
    mgy_per_mbq: float
    source: str
    verified: str


class CardBaseline(Record, frozen=True, kw_only=True):
    """A line of the EANM dosage card: class of the weight multiple, baseline and minimum activity (MBq)."""

    exam: str
    weight_class: str
    baseline_mbq: float
    minimum_mbq: float
    source: str
    verified: str


class CardMultiple(Record, frozen=True, kw_only=True):
    """The multiples of the EANM dosage card at a body weight, by class."""

    weight_kg: float
    by_class: dict[str, float]
    source: str
    verified: str


class ConsensusActivity(Record, frozen=True, kw_only=True):
    """A line of the North American consensus: activity per weight (MBq/kg) and its bounds (MBq)."""

    exam: str
    low_mbq_per_kg: float
    high_mbq_per_kg: float
    minimum_mbq: float
    maximum_mbq: float | None
    source: str
    verified: str


class AgdLimit(Record, frozen=True, kw_only=True):
    """Acceptable and achievable average glandular dose (mGy) of a breast of the thickness given."""

    breast_mm: float
    acceptable_mgy: float
    achievable_mgy: float
    source: str
    verified: str


class Tolerance(Record, frozen=True, kw_only=True):
    """How far a relative value may be off: the limit of a display, or the standard uncertainty of a component."""

    name: str
    relative: float
    source: str
    verified: str


def _rows(name: str, columns: tuple[str, ...], optional: tuple[str, ...] = ()) -> Iterator[tuple[int, dict[str, str]]]:
    path = COEFFICIENTS / name
    for line, row in read_rows(path, (*columns, "source", "verified"), optional):
        if row["verified"] not in _VERIFIED or not row["source"]:
            raise TableError(f"{path}, line {line}: the source is empty, or verified is not one of {_VERIFIED}.")
        yield line, row


def _positive(name: str, line: int, row: dict[str, str], column: str) -> float:
    value = number(COEFFICIENTS / name, line, row, column)
    if value == 0:
        raise TableError(f"{COEFFICIENTS / name}, line {line}, column {column}: 0 is no coefficient.")
    return value


@cache
def ct_coefficients() -> tuple[CtCoefficient, ...]:
    """Return effective dose per DLP, by set, region and age."""
    name = "ct_effective_dose.csv"
    columns = ("set", "region", "covers", "age_years", "phantom_cm", "msv_per_mgy_cm", "tissue_weights")
    return tuple(
        CtCoefficient(
            set=row["set"],
            region=row["region"],
            covers=frozenset(row["covers"].split()),
            age_years=number(COEFFICIENTS / name, line, row, "age_years"),
            phantom_cm=int(_positive(name, line, row, "phantom_cm")),
            msv_per_mgy_cm=_positive(name, line, row, "msv_per_mgy_cm"),
            tissue_weights=row["tissue_weights"],
            source=row["source"],
            verified=row["verified"],
        )
        for line, row in _rows(name, columns)
    )


@cache
def ct_sets() -> tuple[str, ...]:
    """Return the names of the sets of effective dose per DLP."""
    return tuple(dict.fromkeys(row.set for row in ct_coefficients()))


@cache
def ssde_coefficients() -> dict[tuple[str, int], SsdeCoefficient]:
    """Return the size conversion by region (``head`` or ``body``) and phantom (cm)."""
    name = "ssde.csv"
    columns = ("id", "region", "phantom_cm", "a", "b_per_cm", "diameter_low_cm", "diameter_high_cm")
    return {
        (row["region"], int(row["phantom_cm"])): SsdeCoefficient(
            id=row["id"],
            region=row["region"],
            phantom_cm=int(row["phantom_cm"]),
            a=_positive(name, line, row, "a"),
            b_per_cm=_positive(name, line, row, "b_per_cm"),
            diameter_low_cm=_positive(name, line, row, "diameter_low_cm"),
            diameter_high_cm=_positive(name, line, row, "diameter_high_cm"),
            source=row["source"],
            verified=row["verified"],
        )
        for line, row in _rows(name, columns)
    }


@cache
def kap_coefficients() -> dict[str, KapCoefficient]:
    """Return effective dose per KAP by examination."""
    name = "kap_effective_dose.csv"
    return {
        row["exam"]: KapCoefficient(
            set=row["set"],
            exam=row["exam"],
            msv_per_gy_cm2=_positive(name, line, row, "msv_per_gy_cm2"),
            tissue_weights=row["tissue_weights"],
            source=row["source"],
            verified=row["verified"],
        )
        for line, row in _rows(name, ("set", "exam", "msv_per_gy_cm2", "tissue_weights"))
    }


@cache
def nuclear_coefficients() -> tuple[NuclearCoefficient, ...]:
    """Return effective dose per activity, by set, agent and age."""
    name = "nuclear_effective_dose.csv"
    return tuple(
        NuclearCoefficient(
            set=row["set"],
            agent=row["agent"],
            age_years=number(COEFFICIENTS / name, line, row, "age_years"),
            msv_per_mbq=_positive(name, line, row, "msv_per_mbq"),
            source=row["source"],
            verified=row["verified"],
        )
        for line, row in _rows(name, ("set", "agent", "age_years", "msv_per_mbq"))
    )


@cache
def organ_coefficients(file: Path | None = None) -> tuple[OrganCoefficient, ...]:
    """Return organ dose per activity; of a file with the same columns instead of the table shipped.

    Raises:
        TableError: a row does not fit the schema, or stands twice.

    """
    path = COEFFICIENTS / "nuclear_organ_dose.csv" if file is None else file
    found: dict[tuple[str, str, str, float], OrganCoefficient] = {}
    for line, row in read_rows(path, _ORGAN_COLUMNS):
        age, dose = number(path, line, row, "age_years"), number(path, line, row, "mgy_per_mbq")
        key = row["set"], row["agent"], row["organ"], age
        if row["verified"] not in _VERIFIED or not row["source"] or not 0 < dose < _MOST_MGY_PER_MBQ:
            raise TableError(
                f"{path}, line {line}: the source is empty, verified is not one of {_VERIFIED}, or the dose is not "
                f"between 0 and {_MOST_MGY_PER_MBQ:g} mGy/MBq."
            )
        if key in found or not 0 <= age <= ADULT_AGE_YEARS:
            raise TableError(f"{path}, line {line}: it stands twice, or the age is not 0 to {ADULT_AGE_YEARS:g} years.")
        found[key] = OrganCoefficient(
            set=row["set"],
            agent=row["agent"],
            organ=row["organ"],
            age_years=age,
            mgy_per_mbq=dose,
            source=row["source"],
            verified=row["verified"],
        )
    return tuple(found.values())


@cache
def card_baselines() -> dict[str, CardBaseline]:
    """Return the EANM dosage card by examination."""
    name = "eanm_2016_baselines.csv"
    return {
        row["exam"]: CardBaseline(
            exam=row["exam"],
            weight_class=row["class"].lower(),
            baseline_mbq=_positive(name, line, row, "baseline_mbq"),
            minimum_mbq=_positive(name, line, row, "minimum_mbq"),
            source=row["source"],
            verified=row["verified"],
        )
        for line, row in _rows(name, ("exam", "class", "baseline_mbq", "minimum_mbq"))
    }


@cache
def card_multiples() -> tuple[CardMultiple, ...]:
    """Return the multiples of the EANM dosage card in order of weight."""
    name = "eanm_2016_multiples.csv"
    return tuple(
        CardMultiple(
            weight_kg=_positive(name, line, row, "weight_kg"),
            by_class={one: _positive(name, line, row, one) for one in ("a", "b", "c")},
            source=row["source"],
            verified=row["verified"],
        )
        for line, row in _rows(name, ("weight_kg", "a", "b", "c"))
    )


@cache
def consensus_activities() -> dict[str, ConsensusActivity]:
    """Return the North American consensus by examination."""
    name = "north_america_2024.csv"
    columns = ("exam", "low_mbq_per_kg", "high_mbq_per_kg", "minimum_mbq", "maximum_mbq")
    return {
        row["exam"]: ConsensusActivity(
            exam=row["exam"],
            low_mbq_per_kg=_positive(name, line, row, "low_mbq_per_kg"),
            high_mbq_per_kg=_positive(name, line, row, "high_mbq_per_kg"),
            minimum_mbq=_positive(name, line, row, "minimum_mbq"),
            maximum_mbq=_positive(name, line, row, "maximum_mbq") if row["maximum_mbq"] else None,
            source=row["source"],
            verified=row["verified"],
        )
        for line, row in _rows(name, columns)
    }


@cache
def agd_limits() -> tuple[AgdLimit, ...]:
    """Return the limits of average glandular dose in order of breast thickness."""
    name = "mammography_agd_limits.csv"
    return tuple(
        AgdLimit(
            breast_mm=_positive(name, line, row, "breast_mm"),
            acceptable_mgy=_positive(name, line, row, "acceptable_mgy"),
            achievable_mgy=_positive(name, line, row, "achievable_mgy"),
            source=row["source"],
            verified=row["verified"],
        )
        for line, row in _rows(name, ("breast_mm", "acceptable_mgy", "achievable_mgy"))
    )


def _tolerances(name: str, key: str, column: str) -> dict[str, Tolerance]:
    return {
        row[key]: Tolerance(
            name=row[key],
            relative=_positive(name, line, row, column),
            source=row["source"],
            verified=row["verified"],
        )
        for line, row in _rows(name, (key, column))
    }


@cache
def display_tolerances() -> dict[str, Tolerance]:
    """Return the limit to which a displayed dose quantity must be right, where no calibration says more."""
    return _tolerances("display_tolerances.csv", "quantity", "relative_tolerance")


@cache
def component_uncertainties() -> dict[str, Tolerance]:
    """Return the relative standard uncertainty of each component of a result."""
    return _tolerances("uncertainties.csv", "component", "relative_standard_uncertainty")
