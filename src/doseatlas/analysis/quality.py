"""What is missing or doubtful in the data behind a report?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from doseatlas.analysis.mart import chosen, countable
from doseatlas.analysis.results import CountOf, DataQuality, Selection

if TYPE_CHECKING:
    import ibis

MOST_NAMES = 50


def data_quality(
    table: ibis.Table, selection: Selection, *, refused: Mapping[str, int] | None = None, ignored: int = 0
) -> DataQuality:
    """Return how many exams of a selection can be counted, and why the others cannot.

    ``refused`` (reason to number of objects) and ``ignored`` are the store's: such objects never became exams. The
    50 most frequent unmapped names are listed.
    """
    exams = chosen(table, selection)
    found = exams.agg(
        exams=exams.count(),
        plausible=exams.plausible.sum(),
        mapped=exams.procedure.count(),
        grouped=exams.patient_group.count(),
        with_weight=exams.weight_kg.count(),
    )
    (counts,) = found.to_pyarrow().to_pylist()
    unmapped = exams.filter(exams.procedure.isnull())
    names = unmapped.select(value=unmapped.procedure_text.fill_null("(no name stated)"))
    flags = exams.filter(exams.flags.length() > 0).select(value=exams.flags.unnest())
    return DataQuality(
        **{name: count or 0 for name, count in counts.items()},
        counted=int(countable(exams).count().to_pyarrow().as_py()),
        unmapped_names=_most_frequent(names),
        flags=_most_frequent(flags),
        refused=tuple(CountOf(value=v, count=n) for v, n in sorted((refused or {}).items(), key=_by_count)),
        ignored=ignored,
    )


def _by_count(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


def _most_frequent(values: ibis.Table) -> tuple[CountOf, ...]:
    counted = values.group_by("value").agg(count=values.count())
    top = counted.order_by(counted["count"].desc(), counted.value).limit(MOST_NAMES)
    rows: list[dict[str, Any]] = top.to_pyarrow().to_pylist()
    return tuple(CountOf(value=row["value"], count=row["count"]) for row in rows)
