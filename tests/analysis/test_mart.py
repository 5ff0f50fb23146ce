from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doseatlas.analysis import Selection, mart_table, typical_values
from doseatlas.analysis.compare import compare
from doseatlas.analysis.drl.units import exams_by_rule, judged_exams, unit_values
from doseatlas.analysis.mart import ExamFiles, chosen, countable
from doseatlas.model import StoreError
from doseatlas.reference import drl_method
from doseatlas.store.mart_schema import EXAM_COLUMNS

Mart = Callable[[Any], Path]
NAMES = [column.name for column in EXAM_COLUMNS]


def test_an_absent_mart_is_an_empty_table_with_all_columns(tmp_path: Path) -> None:
    table = mart_table(tmp_path / "none")
    assert list(table.columns) == NAMES
    assert table.count().to_pyarrow().as_py() == 0


def test_empty_and_filled_marts_have_the_same_types(tmp_path: Path, mart: Mart) -> None:
    assert mart_table(tmp_path / "none").schema() == mart_table(mart([{"dlp_mgy_cm": 1.0}])).schema()


def test_a_mart_in_a_folder_with_wildcards_and_quotes_in_its_name_is_read(tmp_path: Path, mart: Mart) -> None:
    odd = tmp_path / "it's [a] *mart*?"
    mart([{"dlp_mgy_cm": 1.0}, {"dlp_mgy_cm": 2.0, "facility": "Other"}]).rename(odd)
    table = mart_table(odd)
    assert sorted(table.facility.to_pyarrow().to_pylist()) == ["General Hospital", "Other"]


def test_a_column_that_an_older_mart_lacks_is_null(tmp_path: Path) -> None:
    folder = tmp_path / "exams"
    folder.mkdir()
    pq.write_table(pa.table({"exam_id": ["1"], "frames": pa.array([7], pa.int64())}), folder / "old.parquet")
    (row,) = mart_table(tmp_path).to_pyarrow().to_pylist()
    assert row["exam_id"] == "1"
    assert row["frames"] == 7
    assert row["dlp_mgy_cm"] is None


def test_a_damaged_file_is_reported_with_what_to_do(mart: Mart) -> None:
    path = mart([{}, {"facility": "Other"}])
    file = next(path.rglob("*.parquet"))
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(StoreError, match="doseatlas rebuild"):
        mart_table(path)


def test_a_question_that_is_kept_is_answered_for_each_folder_whatever_its_columns(tmp_path: Path) -> None:
    of_a = {"facility": ["A", "A"], "dlp_mgy_cm": [1.0, 3.0], "phantom_cm": pa.array([32, None], pa.int64())}
    for name, columns in (("a", of_a), ("b", {"facility": ["B"]})):
        (tmp_path / name).mkdir()
        pq.write_table(pa.table(columns), tmp_path / name / "exams.parquet")
    files = ExamFiles(tmp_path)
    exams = files.exams
    question = exams.agg(n=exams.count(), stated=exams.dlp_mgy_cm.count(), phantom=exams.phantom_cm.max())
    kept = files.kept("question", question)
    answers = []
    for folder in (tmp_path, tmp_path / "a", tmp_path / "b", tmp_path / "none", tmp_path / "a"):
        files.look_at(folder)
        answers.append(tuple(kept().to_pylist()[0].values()))
    assert answers == [(3, 2, 32), (2, 2, 32), (1, 0, None), (0, 0, None), (2, 2, 32)]


def test_columns_without_any_value_are_known(tmp_path: Path) -> None:
    nothing = pa.array([None, None], pa.float64())
    table = {"facility": ["A", "B"], "dlp_mgy_cm": [1.0, None], "kap_gy_cm2": nothing, "flags": [["a"], []]}
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    pq.write_table(pa.table(table), tmp_path / "a" / "exams.parquet")
    pq.write_table(pa.table(table), tmp_path / "b" / "exams.parquet", write_statistics=False)
    files = ExamFiles(tmp_path)
    assert files.empty == set(NAMES)
    files.look_at(tmp_path / "a")
    assert "kap_gy_cm2" in files.empty
    assert "agd_mgy" in files.empty
    assert not files.empty & {"facility", "dlp_mgy_cm"}
    files.look_at(tmp_path / "b")  # without statistics nobody knows
    assert "kap_gy_cm2" not in files.empty
    files.look_at(tmp_path / "none")
    assert files.empty == set(NAMES)


def test_a_mart_reads_no_files_beside_it(mart: Mart, tmp_path: Path) -> None:
    beside = tmp_path / "beside.parquet"
    pq.write_table(pa.table({"a": [1]}), beside)
    table = mart_table(mart([{}]))
    with pytest.raises(Exception, match="Permission"):
        table.get_backend().raw_sql(f"SELECT * FROM '{beside}'")


ROWS = [
    {"facility": f, "device": d, "procedure": p, "patient_group": g, "study_date": day}
    for f in ("A", "B")
    for d in ("1", "2")
    for p in ("ct-head", "ct-chest", None)
    for g in ("adult", None)
    for day in (dt.date(2026, 1, 1), dt.date(2026, 2, 1), None)
]


def test_a_selection_means_what_its_fields_say(mart: Mart) -> None:
    table = mart_table(mart(ROWS))
    selection = Selection(facility="A", device="2", procedure="ct-head", patient_group="adult")
    found = chosen(table, selection).to_pyarrow().to_pylist()
    assert {(r["facility"], r["device"], r["procedure"], r["patient_group"]) for r in found} == {
        ("A", "2", "ct-head", "adult")
    }
    assert len(found) == 3


def test_since_and_until_are_inclusive_and_leave_out_exams_without_a_date(mart: Mart) -> None:
    table = mart_table(mart(ROWS))
    day = dt.date(2026, 2, 1)
    found = chosen(table, Selection(since=day, until=day)).study_date.to_pyarrow().to_pylist()
    assert set(found) == {day}
    assert len(chosen(table, Selection(until=day)).exam_id.to_pyarrow()) == 2 * len(found)


def test_only_plausible_mapped_grouped_exams_count(mart: Mart) -> None:
    rows = [{}, {"plausible": False}, {"plausible": None}, {"procedure": None}, {"patient_group": None}]
    assert countable(mart_table(mart(rows))).exam_id.to_pyarrow().to_pylist() == ["000000"]


@pytest.mark.parametrize("dose", [math.nan, math.inf])
def test_an_exam_with_a_dose_that_is_no_number_does_not_count_whatever_the_mart_calls_it(
    mart: Mart, dose: float
) -> None:
    # The writer's statistics of the files leave NaN out, so that all doses look smaller than 3.
    rows = [{"dlp_mgy_cm": 1.0}, {"dlp_mgy_cm": dose, "ctdi_vol_mgy": 2.0}, {"ctdi_vol_mgy": 2.0}, {}]
    table = mart_table(mart(rows))
    assert sorted(countable(table).exam_id.to_pyarrow().to_pylist()) == ["000000", "000002", "000003"]
    assert [(value.quantity, value.n) for value in typical_values(table, Selection())] == [
        ("dlp_mgy_cm", 1),
        ("ctdi_vol_mgy", 1),
    ]


@pytest.mark.parametrize("dose", [math.nan, math.inf])
def test_a_derived_dose_that_is_no_number_is_not_known_and_the_exam_counts_for_what_it_states(
    mart: Mart, dose: float
) -> None:
    rows = [{"dlp_mgy_cm": 1.0, "effective_dose_msv": 0.1}, {"dlp_mgy_cm": 3.0, "effective_dose_msv": dose}]
    table = mart_table(mart(rows))
    assert [(value.quantity, value.n, value.maximum) for value in typical_values(table, Selection())] == [
        ("dlp_mgy_cm", 2, 3.0),
        ("effective_dose_msv", 1, 0.1),
    ]
    counted = {one.quantity: one.n for one in compare(table, Selection(), by="facility")}
    assert counted == {"dlp_mgy_cm": 2, "effective_dose_msv": 1}
    by_unit = unit_values(judged_exams(table, Selection(), drl_method("icrp-135-national")), "facility", "median")
    pooled = exams_by_rule(table, Selection(), drl_method("ncrp-172"))
    assert by_unit.n_dlp_mgy_cm.to_pyarrow().to_pylist() == [2]
    assert pooled.dlp_mgy_cm.count().to_pyarrow().as_py() == 2


OPTIONAL = {
    "facility": st.sampled_from([None, "A", "B"]),
    "device": st.sampled_from([None, "1", "2"]),
    "procedure": st.sampled_from([None, "ct-head"]),
    "patient_group": st.sampled_from([None, "adult"]),
    "since": st.sampled_from([None, dt.date(2026, 1, 15)]),
    "until": st.sampled_from([None, dt.date(2026, 1, 15), dt.date(2026, 2, 1)]),
}


def test_selections_compose(mart: Mart) -> None:
    table = mart_table(mart(ROWS))
    everything = dict.fromkeys(OPTIONAL)

    def ids(*selections: Selection) -> list[str]:
        exams = table
        for selection in selections:
            exams = chosen(exams, selection)
        return sorted(exams.exam_id.to_pyarrow().to_pylist())

    @settings(max_examples=20, deadline=None)
    @given(st.fixed_dictionaries(OPTIONAL), st.sampled_from(sorted(OPTIONAL)))
    def check(fields: dict[str, Any], apart: str) -> None:
        together = ids(Selection(**fields))
        one, rest = {**everything, apart: fields[apart]}, {**fields, apart: None}
        assert together == ids(Selection(**one), Selection(**rest)) == ids(Selection(**rest), Selection(**one))

    check()
