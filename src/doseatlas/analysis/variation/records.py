"""What the analysis of variation answers with."""

from __future__ import annotations

from typing import Literal

from doseatlas.analysis.results import DoseQuantity
from doseatlas.model import Record

ComponentName = Literal["patient size", "country", "facility", "device", "protocol", "patient and rest"]


class FoldVariation(Record, frozen=True, kw_only=True):
    """How many times the highest typical value is the lowest, within one exam and one patient group.

    ``fold`` is max / min of the units' medians, ``quartile_ratio`` p75 / p25; each with a 95 % bootstrap interval
    (``None``: fewer than 5 units). ``not_counted`` units have fewer than ``minimum_n`` exams.
    """

    procedure: str
    patient_group: str
    quantity: DoseQuantity
    phantom_cm: int | None = None
    units: int
    exams: int
    minimum_n: int
    not_counted: int
    lowest: float
    lowest_unit: str
    highest: float
    highest_unit: str
    fold: float
    fold_low: float | None = None
    fold_high: float | None = None
    quartile_ratio: float
    quartile_ratio_low: float | None = None
    quartile_ratio_high: float | None = None


class Component(Record, frozen=True, kw_only=True):
    """A part of the variance of the logarithm of dose: ``share`` of all, and ``typical_factor``, exp of its root.

    ``low`` and ``high`` bound the share (95 %, bootstrap; ``None``: too few units to draw). ``classes`` is how many
    countries, facilities, ... there are; ``truncated`` says that the estimate was below 0 and is given as 0.
    """

    name: ComponentName
    classes: int | None = None
    variance: float
    share: float
    typical_factor: float
    low: float | None = None
    high: float | None = None
    truncated: bool = False


class Decomposition(Record, frozen=True, kw_only=True):
    """Where the variation of one exam, group, quantity and phantom arises.

    ``size_exponent`` is how the dose goes with the patient's weight within a protocol of a device (dose about weight to
    that power); ``None`` where weights are not stated. Exams without a weight are left out where it is used:
    ``without_weight``. Levels of which there is one class only have no component and are in ``not_separable``.
    """

    procedure: str
    patient_group: str
    quantity: DoseQuantity
    phantom_cm: int | None = None
    exams: int
    without_weight: int
    size_exponent: float | None = None
    components: tuple[Component, ...]
    not_separable: tuple[str, ...] = ()


class Driver(Record, frozen=True, kw_only=True):
    """How much of the variation between units goes with one of their habits.

    ``explained`` is the share of the variance of the logarithm of the typical dose: for a factor of the dose (such as
    scan length, of the DLP) its exact part, which can be below 0 where units offset it; for the others the squared
    correlation or the share between classes (adjusted for the number of classes).
    """

    procedure: str
    patient_group: str
    quantity: DoseQuantity
    phantom_cm: int | None = None
    name: str
    kind: Literal["factor", "number", "class"]
    units: int
    explained: float
    low: float | None = None
    high: float | None = None
    direction: Literal["more", "less", ""] = ""


class AdultProtocolUse(Record, frozen=True, kw_only=True):
    """Children scanned by protocols named for adults, and what that costs: ``dose_ratio`` to the others' median."""

    facility: str
    procedure: str
    patient_group: str
    children: int
    on_adult_protocol: int
    share: float
    dose_ratio: float | None = None


class MultiphaseUse(Record, frozen=True, kw_only=True):
    """Exams with more phases than suffice elsewhere: ``sufficient`` is p25 of the facilities' median numbers.

    ``dose_ratio`` is the median DLP of the exams with more phases over that of the others, in this facility.
    """

    facility: str
    procedure: str
    patient_group: str
    exams: int
    sufficient: int
    with_more: int
    share: float
    median_phases: float
    dose_ratio: float | None = None


class ReducedDoseUse(Record, frozen=True, kw_only=True):
    """How often an exam that can be done at a reduced dose is: by the protocol's name, or by its dose.

    ``reduced`` exams are at or below ``threshold_mgy_cm`` or of a protocol named so. ``used`` is whether any is.
    """

    facility: str
    procedure: str
    exams: int
    reduced: int
    by_name: int
    share: float
    median_dlp_mgy_cm: float
    threshold_mgy_cm: float
    used: bool
    source: str
