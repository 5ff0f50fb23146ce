"""What does a facility, or a nation, hand to a registry? Exams without identity, or only counts and sketches.

Nothing that names a patient leaves: no identifiers, no date finer than a month, ages and weights in bands, no free
text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from doseatlas.analysis import Selection, stated_quantities
from doseatlas.analysis.dose_values import PEERS, countable_doses, dose_values
from doseatlas.analysis.mart import countable
from doseatlas.exchange.keys import code_for
from doseatlas.exchange.records import Agreement, ExchangeError
from doseatlas.exchange.sketch import make_sketch
from doseatlas.exchange.tables import MOST_EFFECTIVE_MSV, arrow_schema, bands, coefficient_sets
from doseatlas.reference import plausible_ranges

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def of_months(exams: ibis.Table, since: str, until: str) -> ibis.Table:
    """Return the exams of the months from ``since`` to ``until``, both included."""
    return exams.filter(exams.month.between(since, until))


def sendable(exams: ibis.Table) -> ibis.Table:
    """Return the exams that count and whose every dose lies in the range that the registry takes to be possible."""
    sent = countable(exams)
    for quantity in stated_quantities():
        span, value = plausible_ranges()[quantity.name], sent[quantity.name]
        # NaN is asked for by itself: Parquet's statistics leave it out, and an engine may trust them.
        inside = value.between(span.low, span.high) & ~value.isnan()
        sent = sent.filter(value.isnull() | inside)
    return sent


def exam_rows(
    exams: ibis.Table, *, facility: str, agreement: Agreement, key: Ed25519PrivateKey
) -> tuple[pa.Table, int]:
    """Return a facility's exams as the registry takes them, and how many are not sent because they do not count.

    Args:
        exams: those of the months meant (:func:`of_months`).
        facility: its id in the agreement.
        agreement: says whether ages and weights are sent as numbers.
        key: of the facility; device codes are made with it.

    """
    import pyarrow as pa

    sent = sendable(exams)
    exact = agreement.exact_ages
    possible = (sent.effective_dose_msv >= 0) & (sent.effective_dose_msv <= MOST_EFFECTIVE_MSV)
    dosed = possible & sent.effective_dose_set.isin(sorted(coefficient_sets()))
    named = sent.mutate(
        facility=_literal(facility),
        age_band=_band(sent, "age_years"),
        weight_band=_band(sent, "weight_kg"),
        age_years=sent.age_years if exact else _null("float64"),
        weight_kg=sent.weight_kg if exact else _null("float64"),
        effective_dose_msv=_where(dosed, sent.effective_dose_msv),
        effective_dose_set=_where(dosed, sent.effective_dose_set),
    )
    schema = arrow_schema("exams")
    # In an order that says nothing about when in the month an exam was done.
    table = named.select(*schema.names).order_by("month", "procedure", "patient_group", *_shuffling()).to_pyarrow()
    devices = table["device"].dictionary_encode().combine_chunks()
    codes = pa.array([code_for(key, name) for name in devices.dictionary.to_pylist()], pa.string())
    coded = pa.DictionaryArray.from_arrays(devices.indices, codes).cast(pa.string())
    table = table.set_column(table.schema.get_field_index("device"), "device", coded)
    return table.cast(schema), int(exams.count().to_pyarrow().as_py()) - table.num_rows


def _shuffling() -> tuple[str, ...]:
    return ("dlp_mgy_cm", "kap_gy_cm2", "agd_mgy", "administered_activity_mbq", "age_band", "sex")


def summary_rows(exams: ibis.Table, *, facility: str) -> tuple[pa.Table, int]:
    """Return counts and sketches of a facility's exams by procedure, group, quantity and month; and how many miss."""
    import pyarrow as pa

    sent = sendable(exams)
    values = dose_values(countable_doses(sent, Selection()))
    values = values.filter(values.quantity.isin([quantity.name for quantity in stated_quantities()]))
    keys = [*PEERS, "month"]
    grouped = values.group_by(keys).agg(n=values.count(), values=values.value.collect().sort())
    table = grouped.order_by(keys).to_pyarrow()
    lists = table["values"].combine_chunks()
    flat, offsets = lists.values.to_numpy(), lists.offsets.to_numpy()
    sketches = [make_sketch(flat[offsets[i] : offsets[i + 1]]) for i in range(table.num_rows)]
    table = table.append_column("sketch", pa.array(sketches, pa.binary()))
    table = table.append_column("facility", pa.array([facility] * table.num_rows, pa.string()))
    schema = arrow_schema("summaries")
    left_out = int(exams.count().to_pyarrow().as_py()) - int(sent.count().to_pyarrow().as_py())
    return table.select(schema.names).cast(schema), left_out


def nation_rows(
    summaries: pa.Table, *, nation: str, minimum_exams: int, key: Ed25519PrivateKey
) -> tuple[pa.Table, int]:
    """Return a nation's summaries for the world's registry: facilities by code, small cells left out.

    Args:
        summaries: of all facilities of the nation's registry (:func:`doseatlas.exchange.merge.all_summaries`).
        nation: its id in the world's agreement.
        minimum_exams: a facility's cell of fewer exams over all months is not sent.
        key: of the nation; codes of facilities are made with it.

    Returns:
        The rows, and how many exams' values are not sent.

    """
    import pyarrow as pa
    import pyarrow.compute as pc

    cell = ["facility", "procedure", "patient_group", "quantity", "phantom_cm"]
    totals = summaries.group_by(cell).aggregate([("n", "sum")])
    joined = summaries.join(totals, cell)
    kept = joined.filter(pc.greater_equal(joined["n_sum"], minimum_exams))
    codes = {name: f"{nation}/{code_for(key, name)}" for name in kept["facility"].unique().to_pylist()}
    coded = pa.array([codes[name] for name in kept["facility"].to_pylist()], pa.string())
    kept = kept.set_column(kept.schema.get_field_index("facility"), "facility", coded)
    schema = arrow_schema("summaries")
    rows = kept.select(schema.names).cast(schema).sort_by([(name, "ascending") for name in (*cell, "month")])
    return rows, int(pc.sum(summaries["n"]).as_py() or 0) - int(pc.sum(rows["n"]).as_py() or 0)


def one_facility(exams: ibis.Table, asked: str | None) -> ibis.Table:
    """Return the exams of one facility of a mart.

    Raises:
        ExchangeError: the mart holds several and none is named, or not the one that is.

    """
    names = sorted(str(name) for name in exams.select("facility").distinct().to_pyarrow()["facility"].to_pylist())
    if asked is None and len(names) == 1:
        return exams
    if asked not in names:
        wish = "Name one" if asked is None else f"{asked!r} is not among them"
        raise ExchangeError(f"This mart holds {len(names)} facilities: {', '.join(names[:10])}. {wish}.")
    return exams.filter(exams.facility == asked)


def _band(exams: ibis.Table, parameter: str) -> Any:
    """Return the name of the band of each exam; null where the parameter is not stated."""
    import ibis

    value = exams[parameter]
    cases = [
        (value >= band.low if band.high is None else (value >= band.low) & (value < band.high), ibis.literal(band.name))
        for band in bands(parameter)
    ]
    return ibis.cases(*cases)


def _where(condition: ibis.BooleanColumn, column: ibis.Column) -> ibis.Column:
    """Return a column, null where the condition does not hold."""
    return condition.fill_null(False).ifelse(column, None)


def _literal(text: str) -> Any:
    import ibis

    return ibis.literal(text)


def _null(type_: str) -> Any:
    import ibis

    return ibis.null(type_)
