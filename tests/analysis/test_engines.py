"""The expressions must not need DuckDB: each of them compiles to Spark's SQL too."""

from __future__ import annotations

from collections.abc import Callable

import ibis
import pytest
from ibis.backends.sql.compilers.pyspark import PySparkCompiler
from ibis.config import Config

from doseatlas.analysis import Selection, typical_values_table
from doseatlas.analysis.dose_values import PEERS, countable_doses, dose_counts, dose_samples, dose_values
from doseatlas.analysis.mart import IBIS_TYPES, chosen
from doseatlas.analysis.typical import answers, ask_schema
from doseatlas.store.mart_schema import EXAM_COLUMNS

EXAMS = ibis.table({column.name: IBIS_TYPES[column.type] for column in EXAM_COLUMNS}, name="exams")


class SparkOptions(Config):  # type: ignore[misc]  # ibis is not typed
    treat_nan_as_null: bool = False


def selected() -> ibis.Table:
    return chosen(EXAMS, Selection(facility="A", device="B"))


def order_statistics() -> ibis.Table:
    values = dose_values(countable_doses(EXAMS, Selection()))
    asked = ibis.table(ibis.Schema.from_pyarrow(ask_schema(PEERS)), name="asked")
    return answers(values, asked, PEERS)


def counts() -> ibis.Table:
    return dose_counts(countable_doses(EXAMS, Selection()), (*PEERS, "device"))


def samples() -> ibis.Table:
    return dose_samples(countable_doses(EXAMS, Selection()), PEERS)


@pytest.mark.parametrize(
    "expression", [selected, lambda: typical_values_table(EXAMS), order_statistics, counts, samples]
)
def test_an_expression_compiles_for_spark(
    expression: Callable[[], ibis.Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Ibis sets this option when it loads PySpark, which compiling does not need.
    monkeypatch.setattr(ibis.options, "pyspark", SparkOptions())
    sql = PySparkCompiler().to_sqlglot(expression()).sql("spark")
    assert "`exams`" in sql
