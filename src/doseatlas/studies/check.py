"""Is a study file sound? Unknown exams, contradictory rules and results that ask for what is not collected.

All problems are told at once, each with the place in the file and what to write instead.
"""

from __future__ import annotations

import difflib
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from doseatlas.reference import patient_groups, procedures
from doseatlas.studies.schema import (
    AdultProtocol,
    Answers,
    Phases,
    Study,
    StudyError,
    StudyGroup,
    Variable,
    Variation,
)
from doseatlas.studies.sources import limits

MOST_BYTES = 4 * 2**20


def load_study(path: Path) -> Study:
    """Read and check a study file.

    Raises:
        StudyError: it is no TOML, does not fit the schema, or contradicts itself; all problems are named.
        OSError: it cannot be read.

    """
    if path.stat().st_size > MOST_BYTES:
        raise StudyError(f"{path}: {path.stat().st_size / 2**20:.0f} MiB is too large for a study file.")
    try:
        study = msgspec.toml.decode(path.read_bytes(), type=Study)
    except msgspec.ValidationError as error:
        raise StudyError(f"{path}: this study file does not fit the schema.", (_readable(str(error)),)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise StudyError(f"{path}: this is no readable TOML file ({error}).") from error
    found = tuple(problems(study))
    if found:
        raise StudyError(f"{path}: {len(found)} problem{'s' if len(found) > 1 else ''} in this study file.", found)
    return study


def _readable(message: str) -> str:
    """Return a message of the decoder with the place first: ``exams[0].phantom_cm: Invalid enum value 20``."""
    what, _, place = message.partition(" - at `")
    return f"{place.rstrip('`').removeprefix('$.').removeprefix('$') or 'the file'}: {what}"


def problems(study: Study) -> Iterator[str]:
    """Yield what is wrong with a study that fits the schema."""
    yield from _repeated(study)
    yield from _exams(study)
    yield from _groups(study)
    yield from _variables(study)
    yield from _rules(study)
    yield from _results(study)


def _repeated(study: Study) -> Iterator[str]:
    for name, ids in (
        ("exams", [exam.id for exam in study.exams]),
        ("groups", [group.id for group in study.groups]),
        ("variables", [variable.column for variable in study.variables]),
        ("questions", [question.id for question in study.questions]),
        ("participants", [participant.id for participant in study.participants]),
        ("participants, facility", [p.facility or p.id for p in study.participants]),
    ):
        for value, count in Counter(ids).items():
            if count > 1:
                yield f"{name}: {value!r} stands there {count} times; each may stand there once."


def _exams(study: Study) -> Iterator[str]:
    known = {procedure.id: procedure.kind for procedure in procedures()}
    claimed: dict[str, str] = {}
    for exam in study.exams:
        if not exam.procedures:
            yield f"exams, {exam.id!r}: name at least one standard procedure."
        for procedure in exam.procedures:
            if procedure not in known:
                yield f"exams, {exam.id!r}: there is no standard procedure {procedure!r}{_nearest(procedure, known)}"
            elif exam.phantom_cm and known[procedure] != "ct":
                yield f"exams, {exam.id!r}: phantom_cm is for CT; {procedure!r} is {known[procedure]}."
            elif procedure in claimed and not exam.words:
                yield (
                    f"exams, {exam.id!r}: {procedure!r} belongs to {claimed[procedure]!r} too, so an exam is both;"
                    " give one of them words that tell them apart."
                )
            claimed.setdefault(procedure, exam.id)
    if study.exams and study.period is None:
        yield "period: a study of exams needs one, such as since = '2025-01', until = '2025-06'."
    if study.exams and not study.groups:
        yield "groups: a study of exams needs one, such as {id = 'adult', name = 'Adults', patient_group = 'adult'}."
    if not study.exams and not study.questions:
        yield "the file: nothing is asked; give exams or questions."
    if study.period and study.period.until < study.period.since:
        yield f"period: until {study.period.until} is before since {study.period.since}."


def _groups(study: Study) -> Iterator[str]:
    known = {group.id: group for group in patient_groups()}
    for group in study.groups:
        by_band = group.parameter is not None
        if by_band == (group.patient_group is not None):
            yield f"groups, {group.id!r}: give either patient_group, or parameter with low and high."
        elif group.patient_group is not None and group.patient_group not in known:
            yield f"groups, {group.id!r}: no patient group {group.patient_group!r}" + _nearest(
                group.patient_group, known
            )
        elif by_band and not _is_band(group):
            ends = f"low {group.low} and high {group.high}"
            yield f"groups, {group.id!r}: {ends} are no band; give two numbers, low below high."
    bands = [group for group in study.groups if _is_band(group)]
    for number, one in enumerate(bands):
        for other in bands[number + 1 :]:
            if one.parameter != other.parameter:
                yield f"groups, {one.id!r} and {other.id!r}: one is by age, one by weight; a patient could be in both."
            elif (one.low or 0) < (other.high or 0) and (other.low or 0) < (one.high or 0):
                yield f"groups, {one.id!r} and {other.id!r}: the bands overlap, so a patient could be in both."
    if bands and any(group.patient_group for group in study.groups):
        yield "groups: some are patient groups of the reference and some bands of their own; use one kind."
    chosen = Counter(group.patient_group for group in study.groups if group.patient_group)
    for name, count in chosen.items():
        if count > 1:
            yield f"groups: the patient group {name!r} is taken {count} times."


def _is_band(group: StudyGroup) -> bool:
    """Return whether a group has both ends of a band. No comparison with NaN is true, and inf is no age or weight."""
    low, high = group.low, group.high
    return group.parameter is not None and low is not None and high is not None and 0 <= low < high < math.inf


def _variables(study: Study) -> Iterator[str]:
    for variable in study.variables:
        if variable.column in _WORDED:
            if variable.low is not None or variable.high is not None:
                yield f"variables, {variable.column!r}: is no number, so it has no limits."
            continue
        for name, limit in (("low", variable.low), ("high", variable.high)):
            if limit is not None and not math.isfinite(limit):
                yield f"variables, {variable.column!r}: {name} {limit} is no limit; give a number, or leave it out."
        low, high = limits(variable)
        if low is not None and high is not None and low >= high:
            yield f"variables, {variable.column!r}: low {low:g} is not below high {high:g}{_of_reference(variable)}."
    for group in study.groups:
        if group.parameter and group.parameter not in study.columns:
            yield f"groups, {group.id!r}: is by {group.parameter}, which is not among the variables."
    if study.exams and not study.variables:
        yield "variables: a study of exams must ask for at least one dose quantity."
    for question in study.questions:
        if len(question.answers) < 2 or len(set(question.answers)) < len(question.answers):
            yield f"questions, {question.id!r}: give at least two different answers."


_WORDED = ("sex", "manufacturer", "model", "adult_protocol_on_child")


def _of_reference(variable: Variable) -> str:
    """Return which limit the study left to ``reference``, in words; empty where it gave both."""
    if variable.low is not None and variable.high is not None:
        return ""
    return f", the {'low' if variable.low is None else 'high'} of the reference, as the study gives none"


def is_number(variable: Variable) -> bool:
    """Return whether a variable is a number."""
    return variable.column not in _WORDED


def _rules(study: Study) -> Iterator[str]:
    rules, shown = study.rules, study.disclosure
    if rules.minimum_exams < shown.minimum_exams:
        yield (
            f"rules.minimum_exams {rules.minimum_exams} contradicts disclosure.minimum_exams {shown.minimum_exams}: a"
            " typical value of so few exams could not be shown; raise the first or lower the second."
        )
    if study.participants and len(study.participants) < shown.minimum_sites:
        yield (
            f"disclosure.minimum_sites {shown.minimum_sites} contradicts participants: with {len(study.participants)}"
            " of them every result would be suppressed."
        )


def _results(study: Study) -> Iterator[str]:
    exams, questions = {exam.id for exam in study.exams}, {question.id for question in study.questions}
    if not study.results:
        yield "results: name at least one, such as [[results]] kind = 'variation', quantity = 'dlp_mgy_cm'."
    for number, result in enumerate(study.results, start=1):
        place = f"results, number {number}"
        needed: list[str] = []
        asked: Iterable[str] = ()
        match result:
            case Variation():
                needed, asked = [result.quantity], result.exams
            case Phases():
                needed, asked = [result.quantity, "phase_count"], (result.exam,)
            case AdultProtocol():
                needed, asked = [result.quantity, "adult_protocol_on_child"], result.exams
            case Answers():
                if not questions:
                    yield f"{place}: asks for answers, but the study has no questions."
                for name in result.questions:
                    if name not in questions:
                        yield f"{place}: there is no question {name!r}{_nearest(name, questions)}"
        for column in needed:
            if column not in study.columns:
                yield f"{place}: needs {column}, which is not among the variables."
        for exam in asked:
            if exam not in exams:
                yield f"{place}: there is no exam {exam!r} in this study{_nearest(exam, exams)}"


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    return f"; near it: {', '.join(close)}." if close else "."
