"""Which exams stand out from their peers, and what is the likely reason?

Peers are the countable exams of one procedure, patient group and CTDI phantom. A reference level plays no part here:
it is not meant for single patients (ICRP Publication 135). The rules are in ``docs/statistics.md``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any, NamedTuple

from doseatlas.analysis.dose_values import countable_doses
from doseatlas.analysis.mart import chosen, countable
from doseatlas.analysis.reference_levels import ReferenceLevels
from doseatlas.analysis.results import DoseQuantity, Outlier, Selection, TypicalValue
from doseatlas.analysis.tables import Reason, quantities, reasons
from doseatlas.analysis.typical import typical_of_doses

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa

FENCE_IQRS = 1.5  # Tukey, Exploratory Data Analysis (1977); here on the logarithm of the dose
LEAST_RATIO = 1.5
FEWEST_PEERS = 10
MOST_OUTLIERS = 50
FLAG_SCORE = math.inf

PEER_GROUP = ("procedure", "patient_group", "phantom")
Group = tuple[str, str, int]
"""Procedure, patient group and CTDI phantom (0: not stated, several, or no CT)."""


class Fence(NamedTuple):
    """From which value on an exam stands out, and the median of its peers."""

    limit: float
    median: float
    peers_phantom_cm: int


class Outliers(NamedTuple):
    """The exams that stand out most, worst first, and how many stand out in all."""

    worst: tuple[Outlier, ...]
    total: int


def outliers(table: ibis.Table, selection: Selection, *, most: int = MOST_OUTLIERS) -> Outliers:
    """Return the exams whose dose stands out from their peers', by the largest ratio to the peers' median.

    An exam is listed once, for the quantity in which it stands out most. Groups of fewer than 10 exams have no
    outliers, except that exams on an unusual CTDI phantom are set against those on the usual one.
    """
    doses = countable_doses(table, selection)
    typical = typical_of_doses(doses, by=None, levels=ReferenceLevels(None))
    return outliers_of_doses(doses, countable(chosen(table, selection)), typical, most=most)


def outliers_of_doses(
    doses: ibis.Table, exams: ibis.Table, typical: Sequence[TypicalValue], *, most: int = MOST_OUTLIERS
) -> Outliers:
    """Return the outliers of :func:`countable_doses`, whose typical values (not by device) are known.

    ``exams`` are the same exams with all their columns.
    """
    limits = fences(typical)
    if not limits:
        return Outliers((), 0)
    beyond = _beyond(doses, limits, most)
    if not beyond:
        return Outliers((), 0)
    wide = _with_reasons(exams)
    rows = {row["exam_id"]: row for row in _rows(wide.filter(wide.exam_id.isin([row["exam_id"] for row in beyond])))}
    medians = _peers_medians(wide, {row["procedure"] for row in beyond}, {row["patient_group"] for row in beyond})
    worst = tuple(_outlier({**rows[row["exam_id"]], **row}, limits, medians) for row in beyond)
    return Outliers(worst, beyond[0]["total"])


def fences(typical: Sequence[TypicalValue]) -> dict[tuple[Group, DoseQuantity], Fence]:
    """Return the fence of each group and quantity: p75 (p75 / p25)^1.5, but at least 1.5 times the median.

    A group of fewer than 10 exams on one phantom takes the fence of the phantom that is usual for its procedure and
    patient group, if there is one.
    """
    limits: dict[tuple[Group, DoseQuantity], Fence] = {}
    ours = [value for value in typical if value.quantity in _standing_out()]
    usual: dict[tuple[str, str, str], TypicalValue] = {}
    for value in sorted(ours, key=lambda value: value.n):
        if value.n >= FEWEST_PEERS and value.phantom_cm:
            usual[value.procedure, value.patient_group, value.quantity] = value
    for value in ours:
        peers: TypicalValue | None = value
        if value.n < FEWEST_PEERS:
            stated = value.phantom_cm is not None
            peers = usual.get((value.procedure, value.patient_group, value.quantity)) if stated else None
        if peers is not None and peers.p25 > 0:
            tukey = peers.p75 * (peers.p75 / peers.p25) ** FENCE_IQRS
            group = (value.procedure, value.patient_group, value.phantom_cm or 0)
            limits[group, value.quantity] = Fence(
                max(tukey, LEAST_RATIO * peers.median), peers.median, peers.phantom_cm or 0
            )
    return limits


def likely_reasons(quantity: str, exam: Mapping[str, Any], peers: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return names and details of the reasons that hold, most likely first.

    ``exam`` has the columns of the mart, ``peers`` the medians of the same columns (``phantom_cm``: the peers' one).
    Reasons of fact (wrong phantom, adult protocol) come first; then those by measure, by the part of the excess that
    they account for: the logarithm of the ratio to the peers' median, times the table's exponent.
    """
    wrong_phantom = _differs(exam.get("phantom_cm"), peers.get("phantom_cm"))
    on_phantom = {q.name for q in quantities() if q.phantom_matters} if wrong_phantom else set()
    found = []
    for reason in reasons():
        if quantity in reason.quantities and reason.column not in on_phantom:
            score = _score(reason, exam.get(reason.column), peers.get(reason.column))
            if score is not None:
                text = reason.detail.format(value=exam[reason.column], peers=peers.get(reason.column))
                found.append((score, reason.name, text))
    if not found:
        return [(reason.name, reason.detail) for reason in reasons() if reason.comparison == "otherwise"]
    return [(name, text) for _, name, text in sorted(found, key=lambda one: -one[0])]


def _score(reason: Reason, value: Any, peers: Any) -> float | None:
    """Return how much of the excess a reason accounts for (a logarithm), ``None`` where it does not hold."""
    match reason.comparison:
        case "is true":
            return FLAG_SCORE if value else None
        case "differs":
            return FLAG_SCORE if _differs(value, peers) else None
        case "times":
            holds = bool(value and peers and value >= reason.threshold * peers)
        case "more by":
            holds = bool(value and peers and value >= reason.threshold + peers)
        case "otherwise":
            holds = False
    return reason.exponent * math.log(value / peers) if holds else None


def _differs(value: Any, peers: Any) -> bool:
    return bool(value and peers and value != peers)


def _standing_out() -> list[DoseQuantity]:
    return [quantity.name for quantity in quantities() if quantity.stands_out]


def _rows(table: ibis.Table) -> list[dict[str, Any]]:
    return list(table.to_pyarrow().to_pylist())


def _with_reasons(exams: ibis.Table) -> ibis.Table:
    """Return the columns that reasons look at, and who the exam is."""
    wide = exams.mutate(
        phantom=exams.phantom_cm.fill_null(0),
        activity_mbq_per_kg=exams.administered_activity_mbq / exams.weight_kg.nullif(0.0),
    )
    columns = {reason.column for reason in reasons() if reason.column}
    return wide.select("exam_id", "study_date", *PEER_GROUP, *sorted(columns))


def _beyond(doses: ibis.Table, limits: Mapping[tuple[Group, DoseQuantity], Fence], most: int) -> list[dict[str, Any]]:
    """Return the exams beyond a fence, the largest ratio to the median first, and ``total``, how many there are."""
    import ibis

    names = _standing_out()
    exams = doses.mutate(phantom=doses.phantom_cm.fill_null(0))
    fenced = exams.join(ibis.memtable(_fence_table(limits)), list(PEER_GROUP))
    excess = {
        f"{name}_excess": (fenced[name] > fenced[f"{name}_limit"])
        .ifelse(fenced[name] / fenced[f"{name}_median"], 0.0)
        .fill_null(0.0)
        for name in names
    }
    rated = fenced.mutate(**excess)
    rated = rated.mutate(ratio=ibis.greatest(*(rated[name] for name in excess)))
    rated = rated.filter(rated.ratio > 0)
    found = rated.select(
        "exam_id", "device", *PEER_GROUP, *names, *excess, "ratio", total=rated.count().over(ibis.window())
    )
    return _rows(found.order_by(found.ratio.desc(), found.exam_id).limit(most))


def _fence_table(limits: Mapping[tuple[Group, DoseQuantity], Fence]) -> pa.Table:
    """Return one row a group, with limit and median of each quantity; null where a group has no fence."""
    import pyarrow as pa

    by_group: dict[Group, dict[str, Any]] = {}
    for (group, quantity), fence in limits.items():
        row = by_group.setdefault(group, dict(zip(PEER_GROUP, group, strict=True)))
        row[f"{quantity}_limit"], row[f"{quantity}_median"] = fence.limit, fence.median
    schema = pa.schema(
        [("procedure", pa.string()), ("patient_group", pa.string()), ("phantom", pa.int32())]
        + [(f"{name}_{what}", pa.float64()) for name in _standing_out() for what in ("limit", "median")]
    )
    return pa.Table.from_pylist(list(by_group.values()), schema)


def _peers_medians(wide: ibis.Table, procedures: Set[str], groups: Set[str]) -> dict[Group, dict[str, Any]]:
    """Return the medians of the columns that reasons look at, for the procedures and patient groups."""
    columns = {reason.column for reason in reasons() if reason.comparison in ("times", "more by")}
    peers = wide.filter(wide.procedure.isin(sorted(procedures)), wide.patient_group.isin(sorted(groups)))
    medians = peers.group_by(PEER_GROUP).agg(**{column: peers[column].quantile(0.5) for column in sorted(columns)})
    return {(row["procedure"], row["patient_group"], row["phantom"]): row for row in _rows(medians)}


def _outlier(
    row: Mapping[str, Any],
    limits: Mapping[tuple[Group, DoseQuantity], Fence],
    medians: Mapping[Group, Mapping[str, Any]],
) -> Outlier:
    quantity = max(_standing_out(), key=lambda name: row[f"{name}_excess"])
    fence = limits[(row["procedure"], row["patient_group"], row["phantom"]), quantity]
    peers = medians[row["procedure"], row["patient_group"], fence.peers_phantom_cm]
    found = likely_reasons(quantity, row, {**peers, "phantom_cm": fence.peers_phantom_cm})
    return Outlier(
        exam_id=row["exam_id"],
        study_date=row["study_date"],
        device=row["device"] or "unknown device",
        procedure=row["procedure"],
        patient_group=row["patient_group"],
        quantity=quantity,
        phantom_cm=row["phantom"] or None,
        value=row[quantity],
        median=fence.median,
        ratio=row["ratio"],
        reasons=tuple(name for name, _ in found),
        details=tuple(text for _, text in found),
    )
