"""Which dose did an organ receive from a radiopharmaceutical? Activity times mGy/MBq of organ, agent and age.

ICRP Publication 128 (2015) is the reference. The publication itself could not be read: the rows shipped are those of a
transcription by physicists for seven agents, and for a few organs of others those of labels, of papers that quote ICRP
and of the dose tool of SNMMI. A table with the same columns can be given instead.
"""

from __future__ import annotations

from doseatlas.dosimetry.estimate import Estimate, NotEstimated, bad_number, not_verified
from doseatlas.dosimetry.uncertainty import of_product
from doseatlas.reference import coefficients

QUANTITY = "organ_dose_mgy"


def organs_known(
    agent: str, table: tuple[coefficients.OrganCoefficient, ...] | None = None
) -> tuple[tuple[str, str], ...]:
    """Return set and organ of which a table has coefficients of an agent."""
    rows = coefficients.organ_coefficients() if table is None else table
    return tuple(dict.fromkeys((row.set, row.organ) for row in rows if row.agent == agent))


def organ_dose(
    administered_mbq: float | None,
    agent: str | None,
    organ: str,
    age_years: float | None,
    coefficient_set: str,
    *,
    table: tuple[coefficients.OrganCoefficient, ...] | None = None,
    activity_relative_uncertainty: float = 0.0,
) -> Estimate | NotEstimated:
    """Return the absorbed dose (mGy) of an organ, linear between the ages of the table.

    Args:
        administered_mbq: activity at administration.
        agent: the agent's name in the tables; ``None`` where it is not known.
        organ: the organ's name in the table.
        age_years: age.
        coefficient_set: the set; sets are never mixed.
        table: coefficients instead of those shipped.
        activity_relative_uncertainty: relative standard uncertainty of the activity.

    """
    if bad := bad_number(QUANTITY, "The administered activity", administered_mbq, zero_allowed=True):
        return bad
    if bad := bad_number(QUANTITY, "The age", age_years, zero_allowed=True):
        return bad
    assert administered_mbq is not None
    assert age_years is not None
    shown = coefficients.organ_coefficients() if table is None else table
    wanted = (coefficient_set, agent, organ)
    rows = sorted((row for row in shown if (row.set, row.agent, row.organ) == wanted), key=lambda row: row.age_years)
    if not rows:
        known = ", ".join(f"{organ} ({name})" for name, organ in organs_known(agent or "", shown)) or "none"
        message = f"There is no coefficient {coefficient_set} of {agent or 'the agent'} for {organ}; known: {known}."
        return NotEstimated(quantity=QUANTITY, code="no-coefficient", message=message)
    age = min(age_years, coefficients.ADULT_AGE_YEARS)
    younger = [row for row in rows if row.age_years <= age]
    older = [row for row in rows if row.age_years >= age]
    if not younger or not older:
        ages = ", ".join(f"{row.age_years:g}" for row in rows)
        message = f"The coefficients of {agent} for {organ} are of the ages {ages}; {age_years:g} years is outside."
        return NotEstimated(quantity=QUANTITY, code="age-outside-table", message=message)
    below, above = younger[-1], older[0]
    share = 0.0 if below is above else (age - below.age_years) / (above.age_years - below.age_years)
    per_mbq = below.mgy_per_mbq + share * (above.mgy_per_mbq - below.mgy_per_mbq)
    own = coefficients.component_uncertainties()["effective-dose-coefficient"].relative
    value = per_mbq * administered_mbq
    used = (below,) if below is above else (below, above)
    return Estimate(
        quantity=QUANTITY,
        value=value,
        standard_uncertainty=of_product(own, activity_relative_uncertainty) * value,
        method=f"administered activity times {per_mbq:.3g} mGy/MBq of {agent} for {organ} at {age_years:g} years",
        source="; ".join(dict.fromkeys(row.source for row in used)),
        coefficient_set=coefficient_set,
        flags=not_verified(used),
    )
