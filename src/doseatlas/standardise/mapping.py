"""Which standard procedure does the name of an exam mean?

A site's confirmed decision comes first, then rules. A rule sees facts that the words of ``tables/mapping_words.csv``
give to a name, and applies only if it accounts for every fact found (``tables/mapping_rules.csv``): a name that says
more than a rule knows, or that two rules claim alike, is left unmapped. Suggestions are for people, never applied.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal

from doseatlas.model import Exam, Record, TableError
from doseatlas.reference import procedures

MappedBy = Literal["confirmed", "rule", "unmapped"]
Facts = frozenset[str]
_FOLDER = Path(__file__).parent / "tables"
_MATCHES = ("word", "begins", "contains")
_PLAIN = str.maketrans({"ı": "i", "ł": "l", "ø": "o", "đ": "d", "ß": "ss", "æ": "ae", "œ": "oe"})
_CAMEL = re.compile(r"(?<=[^\W\d_A-Z])(?=[A-Z])")
_WORD = re.compile(r"[^\W\d_]+|\d+")
_MAX_PROTOCOLS = 8
_MAX_CHARACTERS = 200


class Suggestion(Record, frozen=True, kw_only=True):
    """A standard procedure that a name may mean; ``score`` is 0 to 100, the likeness of the words."""

    procedure: str
    score: float


class _Rule(Record, frozen=True, kw_only=True):
    needs: Facts
    may: Facts
    forbids: Facts
    procedure: str


def mapping_key(exam: Exam) -> str:
    """Return the key under which a site confirms a mapping: the kind and the normalised name of the exam.

    Case, accents, punctuation and numbers of two digits or more (site codes) do not count. Where no procedure is
    stated, the names of the protocols stand for it, else the body part.
    """
    if exam.procedure:
        key = _text_key(exam.kind, exam.procedure)
        if not key.endswith(":"):
            return key
    protocols = _protocols(exam)
    return _text_key(exam.kind, " ".join(protocols) or exam.body_part or "")


def map_procedure(exam: Exam, decisions: Mapping[str, str]) -> tuple[str | None, MappedBy]:
    """Return the id of the standard procedure of an exam and on what ground.

    Args:
        exam: a merged exam.
        decisions: the site's confirmed mappings, ``mapping_key(exam)`` to the id of a standard procedure.

    """
    if decisions:
        confirmed = decisions.get(mapping_key(exam))
        if confirmed is not None:
            return confirmed, "confirmed"
    found = _by_name(exam.kind, exam.procedure or "", _circumstances(exam))
    if found is None:
        found = _by_everything(
            exam.kind,
            exam.procedure or "",
            _protocols(exam),
            exam.body_part or "",
            _regions(exam),
            _circumstances(exam),
        )
    return (found, "rule") if found else (None, "unmapped")


def suggest(text: str, kind: str, limit: int = 3) -> list[Suggestion]:
    """Return the standard procedures of this kind whose names are most like the text, most alike first."""
    return list(_suggestions(text, kind, limit))


@lru_cache(maxsize=4096)
def _suggestions(text: str, kind: str, limit: int) -> tuple[Suggestion, ...]:
    from rapidfuzz import fuzz, process

    choices = _suggestion_names(kind)
    ranked = process.extract(
        " ".join(_words(text)), [name for name, _ in choices], scorer=fuzz.token_set_ratio, limit=20 * limit
    )
    best: dict[str, float] = {}
    for _, score, index in ranked:
        procedure = choices[index][1]
        best[procedure] = max(score, best.get(procedure, 0.0))
    in_order = sorted(best.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Suggestion(procedure=procedure, score=round(score, 1)) for procedure, score in in_order[:limit])


@lru_cache(maxsize=65536)
def _text_key(kind: str, text: str) -> str:
    return f"{kind}:{' '.join(word for word in _words(text) if not (word.isdigit() and len(word) > 1))}"


def _words(text: str) -> tuple[str, ...]:
    text = _CAMEL.sub(" ", text[:_MAX_CHARACTERS]).casefold().translate(_PLAIN)
    decomposed = unicodedata.normalize("NFKD", text)
    return tuple(_WORD.findall("".join(char for char in decomposed if not unicodedata.combining(char))))


def _protocols(exam: Exam) -> tuple[str, ...]:
    """Return the different protocol names of an exam; the first few are enough to tell what it is."""
    names = dict.fromkeys(event.protocol for event in exam.events if event.protocol)
    return tuple(names)[:_MAX_PROTOCOLS]


def _regions(exam: Exam) -> tuple[str, ...]:
    codes = {event.target_region_code for event in exam.events} - {None}
    return tuple(sorted(f"{code.scheme} {code.value}" for code in codes if code is not None))


def _circumstances(exam: Exam) -> Facts:
    """Return what the exam itself shows: fluoroscopy, or which breasts were exposed and how."""
    if exam.kind == "projection":
        fluoroscopy = exam.modality in ("XA", "RF") or bool(exam.totals.fluoro_time_s)
        return frozenset({"fluoroscopy"}) if fluoroscopy else frozenset()
    if exam.kind == "mammography":
        sides = {(event.laterality or "").upper()[:1] for event in exam.events}
        if {"L", "R"} <= sides or "B" in sides:
            return frozenset({"both-sides"})
        if sides in ({"L"}, {"R"}):
            return frozenset({"one-side"})
    return frozenset()


@lru_cache(maxsize=65536)
def _by_name(kind: str, text: str, circumstances: Facts) -> str | None:
    return _rule_for(kind, _facts(text), circumstances)


@lru_cache(maxsize=65536)
def _by_everything(
    kind: str, text: str, protocols: tuple[str, ...], body_part: str, regions: tuple[str, ...], circumstances: Facts
) -> str | None:
    facts = _facts(text)
    for protocol in protocols:
        facts |= _facts(protocol)
    found = _rule_for(kind, facts, circumstances)
    if found is not None or _region_facts() & facts:
        return found
    codes = _region_codes()
    return _rule_for(
        kind, facts | _facts(body_part) | {codes[code] for code in regions if code in codes}, circumstances
    )


def _rule_for(kind: str, facts: Facts, circumstances: Facts) -> str | None:
    """Return the procedure of the most specific rule that accounts for all facts; two that disagree give ``None``."""
    if f"not-{kind}" in facts:
        return None
    facts = (facts | circumstances) & _known_facts().get(kind, frozenset())
    best, most = set[str](), -1
    for rule in _rules().get(kind, ()):
        if len(rule.needs) < most:
            break
        if rule.needs <= facts and facts <= rule.needs | rule.may and not facts & rule.forbids:
            best.add(rule.procedure)
            most = len(rule.needs)
    return best.pop() if len(best) == 1 else None


@lru_cache(maxsize=65536)
def _facts(text: str) -> Facts:
    words = f" {' '.join(_words(text))} "
    return frozenset(fact for pattern, fact in _patterns() if pattern in words)


@cache
def _patterns() -> tuple[tuple[str, str], ...]:
    """Return what to look for between blanks and the fact that it states."""
    edges = {"word": (" ", " "), "begins": (" ", ""), "contains": ("", "")}
    found = []
    for line, row in _rows("mapping_words.csv", ("match", "text", "fact", "languages", "source")):
        if row["match"] == "code":
            continue
        if row["match"] not in _MATCHES or " ".join(_words(row["text"])) != row["text"] or not row["fact"]:
            raise TableError(f"mapping_words.csv, line {line}: match, text or fact {row['text']!r} is wrong.")
        before, after = edges[row["match"]]
        found.append((before + row["text"] + after, row["fact"]))
    return tuple(found)


@cache
def _region_codes() -> dict[str, str]:
    rows = _rows("mapping_words.csv", ("match", "text", "fact", "languages", "source"))
    return {row["text"]: row["fact"] for _, row in rows if row["match"] == "code"}


@cache
def _region_facts() -> Facts:
    """Return the facts that name a region: a body part is not asked where the name states one."""
    return frozenset(_region_codes().values())


@cache
def _rules() -> dict[str, tuple[_Rule, ...]]:
    """Return the rules by kind, those that need most first."""
    kinds = {procedure.id: procedure.kind for procedure in procedures()}
    found: dict[str, list[_Rule]] = {}
    for line, row in _rows("mapping_rules.csv", ("procedure", "needs", "may", "forbids", "source")):
        if row["procedure"] not in kinds or not row["needs"]:
            raise TableError(
                f"mapping_rules.csv, line {line}: procedure {row['procedure']!r} is unknown or needs nothing."
            )
        rule = _Rule(
            needs=frozenset(row["needs"].split()),
            may=frozenset(row["may"].split()) | _NEUTRAL,
            forbids=frozenset(row["forbids"].split()),
            procedure=row["procedure"],
        )
        found.setdefault(kinds[rule.procedure], []).append(rule)
    return {kind: tuple(sorted(rules, key=lambda rule: -len(rule.needs))) for kind, rules in found.items()}


@cache
def _known_facts() -> dict[str, Facts]:
    """Return, by kind, the facts that its rules speak of. A word may mean another thing in another kind of exam."""
    return {kind: frozenset().union(*(r.needs | r.may | r.forbids for r in rules)) for kind, rules in _rules().items()}


# Facts that no rule has to account for: they do not change which procedure it is.
_NEUTRAL = frozenset({"contrast", "plain", "radiograph", "routine", "fluoroscopy", "both-sides", "low-dose"})


@cache
def _suggestion_names(kind: str) -> tuple[tuple[str, str], ...]:
    names = [(" ".join(_words(one.name)), one.id) for one in procedures() if one.kind == kind]
    for _, row in _rows("mapping_names.csv", ("procedure", "language", "name", "source")):
        if row["procedure"] in {procedure for _, procedure in names}:
            names.append((" ".join(_words(row["name"])), row["procedure"]))
    return tuple(names)


def _rows(name: str, columns: tuple[str, ...]) -> Iterable[tuple[int, dict[str, str]]]:
    with (_FOLDER / name).open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != columns:
            raise TableError(f"{name}: the columns must be {', '.join(columns)}.")
        yield from enumerate(reader, 2)
