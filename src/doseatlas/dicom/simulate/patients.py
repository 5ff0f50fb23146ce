"""Who is examined? Made-up patients of all ages and sizes, and the RP 185 group that their exam belongs to.

Adults: age normal around 58 years, height by sex, weight log-normal around 75 kg. Children: age even from birth to 17,
height and weight by the rules of thumb below with log-normal spread. All of this is made up to look right; none of it
is a growth standard.
"""

from __future__ import annotations

import math
import random
from typing import NamedTuple

ADULT_WEIGHT_KG = 75.0
ADULT_WEIGHT_GSD = 1.2
CHILD_WEIGHT_GSD = 1.12
_WEIGHT_BANDS = ((5, "lt5"), (15, "5-15"), (30, "15-30"), (50, "30-50"), (80, "50-80"))
_AGE_BANDS = ((0.25, "0-3m"), (1, "3m-1y"), (6, "1-6y"), (18, "6-18y"))
_HEAD_REGIONS = frozenset({"head", "sinus", "brain"})


class SimulatedPatient(NamedTuple):
    """A made-up patient: age in years, height in cm, weight in kg."""

    age_years: float
    sex: str
    height_cm: int
    weight_kg: float


def draw_adult(rng: random.Random, *, female_share: float = 0.5) -> SimulatedPatient:
    """An adult of 18 to 97 years."""
    female = rng.random() < female_share
    age = min(97, max(18, round(rng.gauss(58, 17))))
    height = round(rng.gauss(163 if female else 176, 7))
    weight = round(ADULT_WEIGHT_KG * math.exp(rng.gauss(0, math.log(ADULT_WEIGHT_GSD))), 1)
    return SimulatedPatient(age, "F" if female else "M", height, min(weight, 190.0))


def draw_child(rng: random.Random) -> SimulatedPatient:
    """A child from birth to 17 years; ages under 2 years in months, as DICOM would state them."""
    years = rng.random() * 18
    age = max(1, math.floor(years * 12)) / 12 if years < 2 else float(math.floor(years))
    height = 50 + 25 * min(years, 1) + 6 * max(0.0, min(years, 17) - 1)
    weight = (3.5 + 6.5 * min(years, 1) + 2 * max(0.0, min(years, 8) - 1)) + 3.8 * max(0.0, years - 8)
    weight = min(79.0, max(2.5, weight * math.exp(rng.gauss(0, math.log(CHILD_WEIGHT_GSD)))))
    return SimulatedPatient(age, rng.choice("FM"), round(height), round(weight, 1))


def patient_group(patient: SimulatedPatient, region: str) -> str:
    """The group of EC Radiation Protection 185: children by age for the head, by weight for the body."""
    if patient.age_years >= 18:
        return "adult"
    if region in _HEAD_REGIONS:
        return "child-age-" + next(band for limit, band in _AGE_BANDS if patient.age_years < limit)
    return "child-weight-" + next(band for limit, band in _WEIGHT_BANDS if patient.weight_kg < limit)
