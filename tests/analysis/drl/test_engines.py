"""The expressions under levels, comparison, variation and population dose compile for Spark too."""

from __future__ import annotations

from collections.abc import Callable

import ibis
import pytest
from ibis.backends.sql.compilers.pyspark import PySparkCompiler
from ibis.config import Config

from doseatlas.analysis import Selection, population
from doseatlas.analysis.compare.comparison import unit_dose_values
from doseatlas.analysis.compare.control_chart import weekly_logs
from doseatlas.analysis.compare.log_sums import unit_logs_table
from doseatlas.analysis.drl import curves, pooled, units
from doseatlas.analysis.mart import IBIS_TYPES
from doseatlas.analysis.variation import habits, practice
from doseatlas.analysis.variation.decomposition import cell_sums
from doseatlas.reference import drl_method
from doseatlas.store.mart_schema import EXAM_COLUMNS

TYPES = {column.name: IBIS_TYPES[column.type] for column in EXAM_COLUMNS} | {"effective_dose_msv": "float64"}
EXAMS = ibis.table(TYPES, name="exams")
NATIONAL, POOLED, BY_WEIGHT = (drl_method(name) for name in ("icrp-135-national", "ncrp-172", "japan-2025"))
KNOWN = EXAMS.mutate(phantom_cm=EXAMS.phantom_cm.fill_null(0))
THRESHOLDS = {"procedure": "string", "patient_group": "string", "phantom_cm": "int32"} | {
    f"at_{name}": "float64" for name in ("dlp_mgy_cm", "ctdi_vol_mgy", "kap_gy_cm2", "reference_air_kerma_mgy")
}
LIMITS = {"procedure": "string", "patient_group": "string", "sufficient": "int64"}


class SparkOptions(Config):  # type: ignore[misc]  # ibis is not typed
    treat_nan_as_null: bool = False


EXPRESSIONS: dict[str, Callable[[], ibis.Table]] = {
    "values of facilities": lambda: units.unit_values(KNOWN, "facility", "median"),
    "values by judgement": lambda: units.unit_values(
        units.of_finite_doses(units.judged_exams(EXAMS, Selection(), BY_WEIGHT)),
        "facility",
        "median",
        (*units.GROUP, *units.JUDGEMENTS),
    ),
    "values of devices": lambda: units.unit_values(KNOWN, "device", "mean"),
    "exams by a rule": lambda: units.exams_by_rule(EXAMS, Selection(), NATIONAL),
    "counts of exams": lambda: units.exam_counts(EXAMS, Selection()),
    "exams with dose": lambda: units.exams_with_dose(KNOWN),
    "pooled percentiles": lambda: pooled.pooled_quantiles(KNOWN, [50.0, 75.0]),
    "weights and doses": lambda: curves.weights_and_doses(KNOWN, "ct-head", ["adult"], "dlp_mgy_cm", 32),
    "values by unit and quarter": lambda: unit_dose_values(EXAMS, "protocol", "quarter"),
    "weekly sums": lambda: weekly_logs(EXAMS, "device"),
    "sums by unit": lambda: unit_logs_table(EXAMS, "facility"),
    "sums by cell": lambda: cell_sums(EXAMS, "dlp_mgy_cm"),
    "habits": lambda: habits.habits(EXAMS, "dlp_mgy_cm"),
    "classes": lambda: habits.class_counts(EXAMS, "dlp_mgy_cm", "protocol"),
    "adult protocols": lambda: practice.adult_protocol_counts(EXAMS),
    "phases": lambda: practice.multiphase_counts(EXAMS, ibis.table(LIMITS, name="limits")),
    "reduced dose": lambda: practice.reduced_dose_counts(EXAMS, practice.reduced_dose_rows()[0]),
    "effective doses": lambda: population.effective_doses(EXAMS),
    "effective doses of a registry's bands": lambda: population.effective_doses(EXAMS.mutate(age_band=EXAMS.sex)),
    "coefficient sets": lambda: population.coefficient_set_counts(EXAMS),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_an_expression_compiles_for_spark(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Ibis sets this option when it loads PySpark, which compiling does not need.
    monkeypatch.setattr(ibis.options, "pyspark", SparkOptions())
    sql = PySparkCompiler().to_sqlglot(EXPRESSIONS[name]()).sql("spark")
    assert "`exams`" in sql
