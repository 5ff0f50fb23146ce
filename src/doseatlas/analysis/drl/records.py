"""What a computation of reference levels answers with, and all it takes to compute it again."""

from __future__ import annotations

from typing import Literal

from doseatlas.analysis.results import DoseQuantity, DoseValues, Selection
from doseatlas.model import Record

Status = Literal["set", "kept", "too few units"]

# gc=False below: a world's levels are a million records without cycles, which the collector would walk again and again.


class LeftOut(Record, frozen=True, kw_only=True, gc=False):
    """A facility, device or country that does not count for a level, with its patients and why."""

    unit: str
    patients: int
    reason: str


class GuideValue(Record, frozen=True, kw_only=True, gc=False):
    """A value beside the level, such as the achievable dose; rounded as the level is."""

    name: str
    percentile: float
    value: float


class ComputedLevel(Record, frozen=True, kw_only=True, gc=False):
    """One level of an area, in the unit that the quantity's name states.

    ``percentile_value`` is the percentile as computed (``None``: no unit counts), with ``low`` and ``high`` its 95 %
    bootstrap interval (``None``: too few units for one). ``value`` is the level: rounded, or the previous one where the
    method keeps it; ``None`` where too few units have enough patients. ``units`` and ``patients`` are those that count.
    """

    area: str
    procedure: str
    patient_group: str
    quantity: DoseQuantity
    phantom_cm: int | None = None
    value: float | None = None
    percentile: float
    percentile_value: float | None
    low: float | None = None
    high: float | None = None
    guides: tuple[GuideValue, ...] = ()
    units: int
    patients: int
    min_units: int
    status: Status
    previous: float | None = None
    left_out: tuple[LeftOut, ...] = ()
    source: str
    note: str | None = None


class DrlCurve(Record, frozen=True, kw_only=True):
    """A level as a function of body weight w in kg, from quantile regression; ``low`` and ``high`` in kg bound it.

    exponential: D = a exp(b w); linear: D = a + b (w - 70 kg). ``a_low`` to ``b_high`` are 95 % bootstrap intervals
    (``None``: too few facilities for one). ``percentile`` 75 is the level, 50 the achievable dose.
    """

    area: str
    procedure: str
    quantity: DoseQuantity
    phantom_cm: int | None = None
    form: Literal["exponential-in-weight", "linear-in-weight"]
    percentile: float
    a: float
    b: float
    a_low: float | None = None
    a_high: float | None = None
    b_low: float | None = None
    b_high: float | None = None
    low_kg: float
    high_kg: float
    facilities: int
    patients: int


class ExamCount(Record, frozen=True, kw_only=True):
    """How many exams of an area count, and how many do not, by the first reason that holds."""

    area: str
    exams: int
    implausible: int
    unmapped: int
    without_group: int
    outside_weight: int
    without_dose: int

    @property
    def counted(self) -> int:
        """Exams that count for at least one quantity."""
        return (
            self.exams - self.implausible - self.unmapped - self.without_group - self.without_dose - self.outside_weight
        )


class DataVersion(Record, frozen=True, kw_only=True):
    """Which data: SHA-256 over the sorted SHA-256 of the mart's files, whatever they are called or lie."""

    digest: str
    files: int
    bytes: int


class DrlRun(Record, frozen=True, kw_only=True):
    """Levels of one computation. Method, data version, code version, selection, seed and places determine the rest.

    ``dose_values``: whether they are of stated doses or of those corrected by calibration certificates. ``unverified``
    are the rules of the method whose document was not read, with what that document is said to be.
    """

    method: str
    title: str
    level: Literal["local", "national", "regional"]
    unit: Literal["patient", "device", "facility", "country"]
    authority: str
    data: DataVersion
    code_version: str
    selection: Selection
    seed: int
    replicates: int
    dose_values: DoseValues = "stated"
    unverified: tuple[str, ...] = ()
    previous_set: str | None = None
    places_digest: str | None = None
    levels: tuple[ComputedLevel, ...]
    curves: tuple[DrlCurve, ...] = ()
    exams: tuple[ExamCount, ...] = ()
