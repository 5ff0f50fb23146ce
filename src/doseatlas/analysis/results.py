"""What the analysis answers with: plain records that the report, the terminal and other programs show unchanged."""

from __future__ import annotations

import datetime as dt
import math
from typing import Literal

from doseatlas.dosimetry.skin import ProcedureDose
from doseatlas.model import Record

Verdict = Literal["above", "within", "too few", "no reference level"]
DoseQuantity = Literal[
    "dlp_mgy_cm",
    "ctdi_vol_mgy",
    "kap_gy_cm2",
    "reference_air_kerma_mgy",
    "entrance_air_kerma_mgy",
    "incident_air_kerma_mgy",
    "entrance_surface_air_kerma_mgy",
    "fluoro_time_s",
    "agd_mgy",
    "administered_activity_mbq",
    "effective_dose_msv",
    "ssde_mgy",
    "ssde_derived_mgy",
]
DoseValues = Literal["stated", "corrected"]


class Selection(Record, frozen=True, kw_only=True):
    """Which exams are meant; ``None`` means all. ``since`` and ``until`` are inclusive dates of study."""

    facility: str | None = None
    device: str | None = None
    procedure: str | None = None
    patient_group: str | None = None
    since: dt.date | None = None
    until: dt.date | None = None


class ReferenceLevel(Record, frozen=True, kw_only=True):
    """The reference level a typical value is set against, with the document it comes from."""

    value: float
    drl_set: str
    level: str
    source: str
    achievable: float | None = None
    note: str | None = None


class TypicalValue(Record, frozen=True, kw_only=True):
    """Typical value (median) of one quantity for one procedure and patient group (ICRP 135), maybe of one device.

    ``low`` and ``high`` are the distribution-free 95 % interval of the median, ``None`` where n is too small for one.
    Of corrected values it also holds the uncertainty of calibration, ``calibration_uncertainty`` (relative, k = 1).
    ``probability_above`` is the probability that the true median lies above the reference level.
    ``minimum_n`` is the sample ICRP 135 asks for; fewer gives the verdict "too few" and is still shown.
    ``note`` says what to know of the CTDI phantom: not stated or several; not that of the reference level.
    """

    procedure: str
    patient_group: str
    quantity: DoseQuantity
    device: str | None = None
    phantom_cm: int | None = None
    n: int
    minimum_n: int
    median: float
    low: float | None = None
    high: float | None = None
    calibration_uncertainty: float | None = None
    p25: float
    p75: float
    minimum: float
    maximum: float
    reference: ReferenceLevel | None = None
    ratio: float | None = None
    probability_above: float | None = None
    verdict: Verdict
    note: str | None = None


class MonthlyValue(Record, frozen=True, kw_only=True):
    """The typical value of one month, for the trend."""

    procedure: str
    patient_group: str
    quantity: DoseQuantity
    phantom_cm: int | None = None
    month: str
    n: int
    median: float
    p25: float
    p75: float


class Outlier(Record, frozen=True, kw_only=True):
    """One exam that stands out, with the likely reasons, most likely first, and what they rest on."""

    exam_id: str
    study_date: dt.date | None = None
    device: str
    procedure: str
    patient_group: str
    quantity: DoseQuantity
    phantom_cm: int | None = None
    value: float
    median: float
    ratio: float
    reasons: tuple[str, ...] = ()
    details: tuple[str, ...] = ()


class SkinDoseExam(Record, frozen=True, kw_only=True):
    """An exam with its calculated peak skin dose, or why it has none, and the highest trigger that it reaches.

    ``trigger`` is a level of ``dosimetry.skin_triggers()``, ``trigger_quantities`` are the columns that reach it.
    ``times_median`` is its air kerma over the median of its procedure, where that is doubtfully large.
    """

    exam_id: str
    study_date: dt.date | None = None
    device: str | None = None
    procedure: str | None = None
    reference_air_kerma_mgy: float | None = None
    kap_gy_cm2: float | None = None
    fluoro_time_s: float | None = None
    peak_skin_dose_mgy: float | None = None
    peak_skin_dose_uncertainty_mgy: float | None = None
    peak_skin_dose_missing: str | None = None
    trigger: str | None = None
    trigger_quantities: tuple[str, ...] = ()
    times_median: float | None = None

    @property
    def interval_mgy(self) -> tuple[float | None, float | None]:
        """The peak divided and multiplied by exp(2 u): about 95 %."""
        peak, uncertainty = self.peak_skin_dose_mgy, self.peak_skin_dose_uncertainty_mgy
        if not peak or uncertainty is None:
            return None, None
        factor = math.exp(2 * uncertainty / peak)
        return peak / factor, peak * factor


class SkinDosePatient(Record, frozen=True, kw_only=True):
    """A patient with several procedures: the skin dose that they add up to, and each of them; no identity.

    ``number`` counts the patients of the report. ``missing`` says why there is no sum; ``notes`` what weakens it.
    """

    number: int
    procedures: tuple[ProcedureDose, ...]
    reference_air_kerma_mgy: float
    peak_mgy: float | None = None
    interval_mgy: tuple[float, float] | None = None
    missing: str | None = None
    notes: tuple[str, ...] = ()
    trigger: str | None = None


class PregnantExam(Record, frozen=True, kw_only=True):
    """An exam of a patient who is stated to be pregnant, or possibly so, with the doses that it states; no identity."""

    exam_id: str
    study_date: dt.date | None = None
    device: str | None = None
    procedure: str | None = None
    pregnancy_status: str
    dlp_mgy_cm: float | None = None
    ctdi_vol_mgy: float | None = None
    phantom_cm: int | None = None
    kap_gy_cm2: float | None = None
    administered_activity_mbq: float | None = None


class HybridExam(Record, frozen=True, kw_only=True):
    """An administration of a radiopharmaceutical and the CT of the same study beside it.

    The effective doses (mSv) are of a reference person, each by its own set of coefficients; they are not added up.
    """

    exam_id: str
    study_date: dt.date | None = None
    device: str | None = None
    procedure: str | None = None
    radiopharmaceutical: str | None = None
    administered_activity_mbq: float | None = None
    effective_dose_msv: float | None = None
    effective_dose_set: str | None = None
    ct_exam_id: str
    ct_procedure: str | None = None
    ct_dlp_mgy_cm: float | None = None
    ct_ctdi_vol_mgy: float | None = None
    ct_phantom_cm: int | None = None
    ct_effective_dose_msv: float | None = None
    ct_effective_dose_set: str | None = None


class Distribution(Record, frozen=True, kw_only=True):
    """A histogram of one quantity: ``edges`` has one more member than ``counts``. For drawing, so bins are few.

    The bins are even on a linear or, where ``logarithmic``, on a logarithmic scale.
    """

    procedure: str
    patient_group: str
    quantity: DoseQuantity
    phantom_cm: int | None = None
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    logarithmic: bool = False


class CountOf(Record, frozen=True, kw_only=True):
    """How many exams share a value (an unmapped name, a flag, a reason for refusal)."""

    value: str
    count: int


class DataQuality(Record, frozen=True, kw_only=True):
    """What is missing or doubtful in the data behind the report; ``counted`` exams lack nothing statistics need."""

    exams: int
    counted: int
    plausible: int
    mapped: int
    grouped: int
    with_weight: int
    unmapped_names: tuple[CountOf, ...] = ()
    flags: tuple[CountOf, ...] = ()
    refused: tuple[CountOf, ...] = ()
    ignored: int = 0


class DeviceSummary(Record, frozen=True, kw_only=True):
    """One device: its exams, those of them that are counted, and how many of its typical values have which verdict."""

    device: str
    exams: int
    counted: int
    above: int = 0
    within: int = 0
    too_few: int = 0
    no_level: int = 0


class DeviceDisplay(Record, frozen=True, kw_only=True):
    """What a device displays of a quantity, as stated and as certificates correct it: medians of its exams.

    ``relative_uncertainty`` is the largest relative standard uncertainty (k = 1) of the corrected values, common to
    them; ``certificates`` are their ids, with "display tolerance" for exams that none covers on their day.
    """

    device: str
    quantity: DoseQuantity
    phantom_cm: int | None = None
    exams: int
    stated: float
    corrected: float
    relative_uncertainty: float
    certificates: tuple[str, ...]


class Standing(Record, frozen=True, kw_only=True):
    """How many procedures stand where; a procedure counts once for each patient group.

    ``above``: some quantity is above its reference level. ``within``: none is, and some is within. ``too_few``: no
    quantity that has a level has enough exams. ``no_level``: the rest, which have no reference level.
    """

    above: int = 0
    within: int = 0
    too_few: int = 0
    no_level: int = 0


class AboveLevel(Record, frozen=True, kw_only=True, tag=True):
    """A procedure whose typical value is above the reference level."""

    value: TypicalValue


class HighDevice(Record, frozen=True, kw_only=True, tag=True):
    """A device whose typical value lies clearly above that of all devices together, ``all_devices``."""

    value: TypicalValue
    all_devices: TypicalValue
    ratio: float


class ExamsStandOut(Record, frozen=True, kw_only=True, tag=True):
    """Single exams that stand out, and the reason that is likely for most of the ``listed`` ones."""

    count: int
    listed: int
    reason: CountOf


class FewCounted(Record, frozen=True, kw_only=True, tag=True):
    """So many exams are not counted that the other figures may not be those of the facility."""

    exams: int
    counted: int


Finding = AboveLevel | HighDevice | ExamsStandOut | FewCounted


class FacilityReport(Record, frozen=True, kw_only=True):
    """Everything the facility's dose report shows, computed once; report formats only lay it out.

    ``drl_name`` is where and when the reference levels hold ("Japan 2025"), ``drl_level`` what kind of level they are
    ("national DRL"), ``findings`` what to look at first. ``dose_values``: whether the figures count what the devices
    state, or that corrected by calibration certificates.
    ``outlier_reasons`` counts the likeliest reason of each exam in ``outliers``. ``skin_doses`` are the largest ones,
    ``skin_trigger_count`` is the number of exams that reach a trigger, ``skin_implausible`` are exams that would be
    among them, but whose dose is out of physical range. ``skin_patients`` had several procedures. ``pregnant`` are
    exams of patients stated pregnant or possibly so, the latest first, ``pregnant_count`` how many there are;
    ``hybrid`` and ``hybrid_count`` likewise of administrations with a CT in the same study. ``displays`` set stated
    and corrected values side by side, where there are calibration certificates.
    """

    title: str
    facility: str
    generated_at: dt.datetime
    selection: Selection
    dose_values: DoseValues = "stated"
    first_date: dt.date | None = None
    last_date: dt.date | None = None
    exam_count: int
    device_count: int
    drl_set: str
    drl_name: str = ""
    drl_authority: str = ""
    drl_level: str = ""
    standing: Standing = Standing()
    findings: tuple[Finding, ...] = ()
    typical_values: tuple[TypicalValue, ...] = ()
    devices: tuple[DeviceSummary, ...] = ()
    device_values: tuple[TypicalValue, ...] = ()
    distributions: tuple[Distribution, ...] = ()
    trends: tuple[MonthlyValue, ...] = ()
    outliers: tuple[Outlier, ...] = ()
    outlier_count: int = 0
    outlier_reasons: tuple[CountOf, ...] = ()
    skin_doses: tuple[SkinDoseExam, ...] = ()
    skin_trigger_count: int = 0
    skin_implausible: tuple[str, ...] = ()
    skin_patients: tuple[SkinDosePatient, ...] = ()
    pregnant: tuple[PregnantExam, ...] = ()
    pregnant_count: int = 0
    displays: tuple[DeviceDisplay, ...] = ()
    hybrid: tuple[HybridExam, ...] = ()
    hybrid_count: int = 0
    quality: DataQuality
    sources: tuple[str, ...] = ()
    version: str
