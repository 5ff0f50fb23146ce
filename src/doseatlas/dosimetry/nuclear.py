"""Was the administered activity what is recommended, and what effective dose does it mean?

Recommended activities for children: the EANM dosage card (2016) by weight, baseline times multiple and no less than a
minimum, and the North American consensus (2024) in MBq/kg between bounds. Effective dose: mSv/MBq of the agent by age
(ICRP Publication 128, and where it is firmer another set; the set is part of the result, as sets differ by tens of
percent).
"""

from __future__ import annotations

from doseatlas.dosimetry.estimate import DosimetryError, Estimate, NotEstimated, bad_number, not_verified
from doseatlas.dosimetry.tables import NuclearAgent
from doseatlas.dosimetry.uncertainty import of_product
from doseatlas.model import Note, Record
from doseatlas.reference import coefficients

EFFECTIVE_DOSE = "effective_dose_msv"
RECOMMENDED = "recommended_activity_mbq"
CARD = coefficients.EANM_CARD
_FIRMNESS = ("seen", "memory")
_SETS = ("icrp-128", "icrp-106", "andersson-2014", "fda-label")


class ActivityComparison(Record, frozen=True, kw_only=True):
    """Administered against recommended activity (MBq). ``ratio`` is to the nearest end of the range, 1 within it."""

    guideline: str
    exam: str
    administered_mbq: float
    recommended_low_mbq: float
    recommended_high_mbq: float
    ratio: float
    source: str
    flags: tuple[Note, ...] = ()


def card_activity_mbq(exam: str, weight_kg: float) -> float | NotEstimated:
    """Return the activity of the EANM dosage card: baseline times multiple of the weight, and not below the minimum.

    Linear between the weights of the card; outside them (3 to 68 kg) there is none.

    Raises:
        DosimetryError: the card has no such examination.

    """
    import numpy as np

    row = coefficients.card_baselines().get(exam)
    if row is None:
        raise DosimetryError(
            f"The EANM dosage card has no {exam!r}. Known: {', '.join(coefficients.card_baselines())}."
        )
    if bad := bad_number(RECOMMENDED, "The weight", weight_kg):
        return bad
    multiples = coefficients.card_multiples()
    low, high = multiples[0].weight_kg, multiples[-1].weight_kg
    if not low <= weight_kg <= high:
        message = f"A weight of {weight_kg:g} kg is outside the card's {low:g} to {high:g} kg."
        return NotEstimated(quantity=RECOMMENDED, code="weight-outside-card", message=message)
    weights = [one.weight_kg for one in multiples]
    multiple = float(np.interp(weight_kg, weights, [one.by_class[row.weight_class] for one in multiples]))
    return max(row.baseline_mbq * multiple, row.minimum_mbq)


def consensus_activity_mbq(exam: str, weight_kg: float) -> tuple[float, float] | NotEstimated:
    """Return the range of the North American consensus: MBq/kg times weight, within minimum and maximum.

    Raises:
        DosimetryError: the consensus has no such examination.

    """
    row = coefficients.consensus_activities().get(exam)
    if row is None:
        known = ", ".join(coefficients.consensus_activities())
        raise DosimetryError(f"The North American consensus has no {exam!r}. Known: {known}.")
    if bad := bad_number(RECOMMENDED, "The weight", weight_kg):
        return bad
    top = float("inf") if row.maximum_mbq is None else row.maximum_mbq
    low, high = (
        min(max(per_kg * weight_kg, row.minimum_mbq), top) for per_kg in (row.low_mbq_per_kg, row.high_mbq_per_kg)
    )
    return low, high


def compare_activity(
    administered_mbq: float | None, weight_kg: float | None, agent: NuclearAgent | None, guideline: str = CARD
) -> ActivityComparison | NotEstimated:
    """Return how an administered activity stands against the recommendation for the weight of a child.

    Raises:
        DosimetryError: there is no such guideline.

    """
    if guideline not in coefficients.ACTIVITY_GUIDELINES:
        known = ", ".join(coefficients.ACTIVITY_GUIDELINES)
        raise DosimetryError(f"There is no guideline {guideline!r}. Known: {known}.")
    if bad := bad_number(RECOMMENDED, "The administered activity", administered_mbq):
        return bad
    if bad := bad_number(RECOMMENDED, "The weight", weight_kg):
        return bad
    assert administered_mbq is not None
    assert weight_kg is not None
    exam = None
    if agent is not None:
        exam = agent.card_exam if guideline == CARD else agent.consensus_exam
    if agent is None or exam is None:
        message = f"The guideline {guideline} has no line for this radiopharmaceutical and procedure."
        return NotEstimated(quantity=RECOMMENDED, code="no-recommendation", message=message)
    if guideline == CARD:
        found = card_activity_mbq(exam, weight_kg)
        if isinstance(found, NotEstimated):
            return found
        low = high = found
        source = coefficients.card_baselines()[exam].source
    else:
        between = consensus_activity_mbq(exam, weight_kg)
        if isinstance(between, NotEstimated):
            return between
        low, high = between
        source = coefficients.consensus_activities()[exam].source
    nearest = min(max(administered_mbq, low), high)
    return ActivityComparison(
        guideline=guideline,
        exam=exam,
        administered_mbq=administered_mbq,
        recommended_low_mbq=low,
        recommended_high_mbq=high,
        ratio=administered_mbq / nearest,
        source=source,
        flags=_assumption(agent),
    )


def nuclear_effective_dose(
    administered_mbq: float | None,
    agent: NuclearAgent | None,
    age_years: float | None,
    *,
    coefficient_set: str | None = None,
    activity_relative_uncertainty: float = 0.0,
) -> Estimate | NotEstimated:
    """Return the effective dose (mSv) of an administration, without the CT of a hybrid examination.

    Args:
        administered_mbq: activity at administration.
        agent: what :func:`~doseatlas.dosimetry.tables.nuclear_agent` made of the stated name.
        age_years: age.
        coefficient_set: ``icrp-128``, ``icrp-106``, ``andersson-2014`` or ``fda-label``; ``None``: the
            first of these that was read for this agent and age, and only then one that was recalled.
        activity_relative_uncertainty: relative standard uncertainty of the activity.

    Raises:
        DosimetryError: there is no such set.

    """
    if coefficient_set is not None and coefficient_set not in _SETS:
        raise DosimetryError(f"There is no coefficient set {coefficient_set!r}. Known: {', '.join(_SETS)}.")
    if bad := bad_number(EFFECTIVE_DOSE, "The administered activity", administered_mbq, zero_allowed=True):
        return bad
    if bad := bad_number(EFFECTIVE_DOSE, "The age", age_years, zero_allowed=True):
        return bad
    assert administered_mbq is not None
    assert age_years is not None
    if agent is None or agent.agent is None:
        message = "There is no coefficient for this radiopharmaceutical, or its nuclide is not stated."
        return NotEstimated(quantity=EFFECTIVE_DOSE, code="no-coefficient", message=message)
    found = agent_coefficient(agent.agent, age_years, coefficient_set)
    if found is None:
        message = f"No coefficient set covers {agent.agent} at {age_years:g} years; the youngest of its table is older."
        return NotEstimated(quantity=EFFECTIVE_DOSE, code="age-outside-table", message=message)
    per_mbq, rows = found
    value = per_mbq * administered_mbq
    own = coefficients.component_uncertainties()["effective-dose-coefficient"].relative
    return Estimate(
        quantity=EFFECTIVE_DOSE,
        value=value,
        standard_uncertainty=of_product(own, activity_relative_uncertainty) * value,
        method=f"administered activity times {per_mbq:.3g} mSv/MBq of {agent.agent} at {age_years:g} years",
        source="; ".join(dict.fromkeys(row.source for row in rows)),
        coefficient_set=rows[0].set,
        flags=not_verified(rows) + _assumption(agent),
    )


def agent_coefficient(
    agent: str, age_years: float, coefficient_set: str | None = None
) -> tuple[float, tuple[coefficients.NuclearCoefficient, ...]] | None:
    """Return mSv/MBq at an age, linear between the ages of the table, and the rows; ``None`` where none covers it."""
    sets = (coefficient_set,) if coefficient_set else _SETS
    age = min(age_years, coefficients.ADULT_AGE_YEARS)
    for firmness in _FIRMNESS:
        for name in sets:
            rows = sorted(
                (
                    r
                    for r in coefficients.nuclear_coefficients()
                    if (r.set, r.agent, r.verified) == (name, agent, firmness)
                ),
                key=lambda row: row.age_years,
            )
            younger = [row for row in rows if row.age_years <= age]
            older = [row for row in rows if row.age_years >= age]
            if younger and older:
                below, above = younger[-1], older[0]
                if below is above:
                    return below.msv_per_mbq, (below,)
                share = (age - below.age_years) / (above.age_years - below.age_years)
                return below.msv_per_mbq + share * (above.msv_per_mbq - below.msv_per_mbq), (below, above)
    return None


def _assumption(agent: NuclearAgent) -> tuple[Note, ...]:
    return (Note(code="agent-assumption", message=f"Assumed: {agent.assumption}."),) if agent.assumption else ()
