"""What is a coordinated study? One TOML file: question, exams, groups, period, variables, who takes part, results.

Everything that differs between studies is in that file, so a new study needs no code. ``docs/studies.md`` describes
each key; ``studies.check`` holds the rules that a type cannot express.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from doseatlas.analysis import DoseQuantity
from doseatlas.model import DoseAtlasError

Id = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
Month = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$")]
VariableName = Literal[
    "dlp_mgy_cm",
    "ctdi_vol_mgy",
    "phase_count",
    "scan_length_mm",
    "kvp",
    "ssde_mgy",
    "kap_gy_cm2",
    "reference_air_kerma_mgy",
    "entrance_air_kerma_mgy",
    "fluoro_time_s",
    "frames",
    "agd_mgy",
    "compressed_thickness_mm",
    "administered_activity_mbq",
    "age_years",
    "weight_kg",
    "height_cm",
    "sex",
    "manufacturer",
    "model",
    "adult_protocol_on_child",
]
"""A variable that can be asked: a column of the mart (``store.mart_schema``)."""


class StudyError(DoseAtlasError):
    """A study file cannot be used; ``problems`` says where and why, one sentence each."""

    code = "study"

    def __init__(self, message: str, problems: tuple[str, ...] = ()) -> None:
        super().__init__("\n".join([message, *(f"  {problem}" for problem in problems)]))
        self.problems = problems


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A table of the study file: a key that is not known is an error, not ignored."""


class Period(_Part, frozen=True, kw_only=True):
    """Months of study, both included."""

    since: Month
    until: Month


class StudyExam(_Part, frozen=True, kw_only=True):
    """An examination of the study.

    ``procedures`` are standard procedures (``reference``). ``words``: of the exams in a mart only those count whose
    procedure, protocol or indication text holds one of them (case does not matter). ``indications`` are offered in the
    workbook; in a mart, they and ``indication_words`` are sought in the indication that the RIS stated.
    ``phantom_cm``: CTDIvol and DLP must be for this CTDI phantom; without, phantoms are kept apart.
    """

    id: Id
    name: Text
    procedures: tuple[str, ...]
    words: tuple[str, ...] = ()
    indications: tuple[str, ...] = ()
    indication_words: tuple[str, ...] = ()
    phantom_cm: Literal[16, 32] | None = None


class StudyGroup(_Part, frozen=True, kw_only=True):
    """A group of patients: a patient group of ``reference``, or a band of age or weight (low included, high not)."""

    id: Id
    name: Text
    patient_group: str | None = None
    parameter: Literal["age_years", "weight_kg"] | None = None
    low: float | None = None
    high: float | None = None


class Variable(_Part, frozen=True, kw_only=True):
    """A variable that is asked of each exam. ``low`` and ``high`` are limits of plausibility in the column's unit.

    An exam without a ``required`` variable is left out; so is one outside the limits.
    """

    column: VariableName
    required: bool = False
    low: float | None = None
    high: float | None = None


class Question(_Part, frozen=True, kw_only=True):
    """A question that each participant answers once."""

    id: Id
    text: Text
    answers: tuple[str, ...]
    requirement: str | None = None
    """For a regulation survey: the paragraph of the standard that the question is about."""


class Rules(_Part, frozen=True, kw_only=True):
    """When a site's typical value counts, and what it is."""

    minimum_exams: Annotated[int, msgspec.Meta(ge=1)] = 10
    """Fewer exams of one kind and group at a site give no typical value."""
    typical: Literal["median", "mean"] = "median"
    dose_values: Literal["stated", "corrected"] = "stated"
    """Whether marts give doses as devices state them, or as calibration certificates correct them."""
    country_value: Literal["median of sites", "pooled exams"] = "median of sites"
    """What the value of a country is: the median of its sites' typical values, or that of all its exams together."""


class Disclosure(_Part, frozen=True, kw_only=True):
    """What the report may show: cells of fewer exams or sites are suppressed; sites are named by code or not at all."""

    minimum_exams: Annotated[int, msgspec.Meta(ge=1)] = 5
    minimum_sites: Annotated[int, msgspec.Meta(ge=1)] = 3
    sites: Literal["codes", "hidden"] = "codes"
    countries: Literal["shown", "hidden"] = "shown"


class Participant(_Part, frozen=True, kw_only=True):
    """Who takes part: a facility, or in a regulation survey a country's authority.

    ``country``: ISO 3166 two-letter code, so that the map knows its place; any other name is put beside the map.
    ``facility``: the name that the facility's mart uses, where it differs from ``id``.
    """

    id: Id
    country: Text
    facility: str | None = None


class Variation(_Part, frozen=True, kw_only=True, tag="variation", tag_field="kind"):
    """How far apart are the typical values of sites, or of countries? With a map and a dot for each site."""

    quantity: DoseQuantity
    of: Literal["sites", "countries"] = "sites"
    exams: tuple[str, ...] = ()


class Phases(_Part, frozen=True, kw_only=True, tag="phases", tag_field="kind"):
    """Dose by number of scan phases, relative to exams of ``reference_phases``, and how many exams have more."""

    exam: str
    quantity: DoseQuantity
    reference_phases: Annotated[int, msgspec.Meta(ge=1)] = 2


class AdultProtocol(_Part, frozen=True, kw_only=True, tag="adult-protocol", tag_field="kind"):
    """How many children were scanned by a protocol for adults, and how does their dose compare?"""

    quantity: DoseQuantity
    exams: tuple[str, ...] = ()


class Answers(_Part, frozen=True, kw_only=True, tag="answers", tag_field="kind"):
    """How many participants, or countries with at least one, gave which answer?"""

    questions: tuple[str, ...] = ()
    of: Literal["participants", "countries"] = "participants"


Result = Variation | Phases | AdultProtocol | Answers


class Study(_Part, frozen=True, kw_only=True):
    """A coordinated study."""

    schema: Literal[1]
    id: Id
    title: Text
    question: Text
    source: Text
    period: Period | None = None
    exams: tuple[StudyExam, ...] = ()
    groups: tuple[StudyGroup, ...] = ()
    variables: tuple[Variable, ...] = ()
    questions: tuple[Question, ...] = ()
    rules: Rules = Rules()
    disclosure: Disclosure = Disclosure()
    participants: tuple[Participant, ...] = ()
    results: tuple[Result, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns asked, in the order of the file."""
        return tuple(variable.column for variable in self.variables)
