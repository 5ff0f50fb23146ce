"""What a coordinated study answers with: plain records that the report and other programs show unchanged."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from doseatlas.model import Record


class LeftOut(Record, frozen=True, kw_only=True):
    """Why something is not counted, and how much: exams, or sites where only those are meant."""

    reason: str
    exams: int = 0
    sites: int = 0


class Receipt(Record, frozen=True, kw_only=True):
    """What was collected from one participant: how many exams came, how many count, why the others do not.

    ``facility`` is the name that a mart has for it; ``None`` where no mart was read.
    """

    study: str
    participant: str
    country: str
    facility: str | None = None
    sources: tuple[str, ...] = ()
    received: int = 0
    counted: int = 0
    left_out: tuple[LeftOut, ...] = ()
    answers: Mapping[str, str] = {}
    collected_at: dt.datetime


class FlowStep(Record, frozen=True, kw_only=True):
    """One box of the flow diagram: what remains, and what was left out on the way to the next box, and why."""

    label: str
    sites: int
    countries: int
    exams: int | None = None
    left_out: tuple[LeftOut, ...] = ()


class SiteValue(Record, frozen=True, kw_only=True):
    """The typical value of one site for one exam and group, in the unit that the quantity's name states."""

    site: str
    country: str
    n: int
    value: float


class PlaceValue(Record, frozen=True, kw_only=True):
    """The value of a country, and how many sites and exams it is of."""

    country: str
    sites: int
    n: int
    value: float


class VariationRow(Record, frozen=True, kw_only=True):
    """How far typical values of one exam and group are apart.

    ``fold`` is largest / smallest; ``fold_low`` and ``fold_high`` its 95 % interval, from drawing the exams of all
    places anew; ``None`` for fewer than two places. ``quartile_ratio`` is p75 / p25 of the places' values.
    ``countries_hidden``: countries that are left out, as their few sites would be seen. Where ``suppressed`` says why,
    there are no figures. ``phantom_cm``: of CTDIvol and DLP; ``None``: not stated, several, or no CT.
    """

    exam: str
    exam_name: str
    group: str
    group_name: str
    quantity: str
    phantom_cm: int | None = None
    of: str
    places: int | None = None
    exams: int | None = None
    countries_hidden: int = 0
    smallest: float | None = None
    p25: float | None = None
    median: float | None = None
    p75: float | None = None
    largest: float | None = None
    fold: float | None = None
    fold_low: float | None = None
    fold_high: float | None = None
    quartile_ratio: float | None = None
    smallest_place: str | None = None
    largest_place: str | None = None
    suppressed: str | None = None
    sites: tuple[SiteValue, ...] = ()
    countries: tuple[PlaceValue, ...] = ()


class PhaseRow(Record, frozen=True, kw_only=True):
    """Exams of one number of scan phases: how many, their median, and its ratio to that of the reference phases.

    ``share`` is of all exams whose phases are known. Where ``suppressed`` says why, there are no figures.
    """

    exam: str
    exam_name: str
    group: str
    group_name: str
    quantity: str
    phantom_cm: int | None = None
    phases: int
    reference_phases: int
    sites: int | None = None
    exams: int | None = None
    share: float | None = None
    median: float | None = None
    ratio: float | None = None
    suppressed: str | None = None


class AdultProtocolRow(Record, frozen=True, kw_only=True):
    """Children scanned by a protocol for adults: exams, sites, and the ratio of the medians to the other children's.

    Where ``suppressed`` says why, there are no figures; where ``split_suppressed`` does, exams and sites stand there,
    but not how many of them are by which kind of protocol.
    """

    exam: str
    exam_name: str
    group: str
    group_name: str
    quantity: str
    phantom_cm: int | None = None
    exams: int | None = None
    adult_protocol: int | None = None
    share: float | None = None
    sites: int | None = None
    sites_using: int | None = None
    ratio: float | None = None
    suppressed: str | None = None
    split_suppressed: str | None = None


class AnswerRow(Record, frozen=True, kw_only=True):
    """How many gave one answer to a question, of how many that answered it."""

    question: str
    text: str
    requirement: str | None = None
    answer: str
    of: str
    count: int
    answered: int
    share: float


class StudyReport(Record, frozen=True, kw_only=True):
    """Everything a study's report shows, computed once. ``data_version`` is the hash of the collected data."""

    study: str
    study_version: str
    data_version: str
    title: str
    question: str
    source: str
    since: str | None = None
    until: str | None = None
    generated_at: dt.datetime
    version: str
    minimum_exams: int
    typical: str
    dose_values: str = "stated"
    country_value: str
    disclosure_exams: int
    disclosure_sites: int
    flow: tuple[FlowStep, ...]
    variation: tuple[VariationRow, ...] = ()
    phases: tuple[PhaseRow, ...] = ()
    adult_protocol: tuple[AdultProtocolRow, ...] = ()
    answers: tuple[AnswerRow, ...] = ()
    suppressed: int = 0
