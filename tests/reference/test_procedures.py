"""The tables of procedures, patient groups and plausible ranges hold together, row by row."""

from __future__ import annotations

from pathlib import Path

import pytest

from doseatlas.model import TableError
from doseatlas.reference import Procedure, patient_group, patient_groups, plausible_ranges, procedure, procedures
from doseatlas.reference.procedures import DATA, read_rows


@pytest.mark.parametrize("one", procedures(), ids=lambda one: one.id)
def test_a_procedure_has_a_name_a_region_and_a_code_only_with_its_source(one: Procedure) -> None:
    assert all((one.name, one.region, one.source))
    codes = (one.code, one.code_scheme, one.code_source)
    assert all(codes) or not any(codes)


def test_a_procedure_and_a_group_are_found_by_id_and_an_unknown_one_is_refused() -> None:
    assert procedure("ct-head").kind == "ct"
    assert patient_group("adult").low == 18
    with pytest.raises(TableError, match="no standard procedure 'ct-tail'"):
        procedure("ct-tail")
    with pytest.raises(TableError, match="no patient group 'old'"):
        patient_group("old")


@pytest.mark.parametrize("parameter", ["age", "weight"])
def test_bands_follow_one_another_without_gap_or_overlap(parameter: str) -> None:
    bands = sorted((g.low, g.high) for g in patient_groups() if g.parameter == parameter and g.id != "adult")
    assert bands[0][0] == 0
    assert [high for _, high in bands[:-1]] == [low for low, _ in bands[1:]]


def test_every_range_has_a_reason_and_a_use() -> None:
    for one in plausible_ranges().values():
        assert one.low < one.high
        assert one.use in ("dose", "patient")
        assert one.source


def test_note_codes_are_unique_and_explained() -> None:
    rows = [row for _, row in read_rows(DATA / "note_codes.csv", ("code", "room", "meaning"))]
    assert len({row["code"] for row in rows}) == len(rows)
    assert all(row["room"] and row["meaning"] for row in rows)


def test_a_table_that_is_not_text_is_refused_with_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TableError, match="cannot be read as a UTF-8 CSV"):
        list(read_rows(path, ("a",)))
    with pytest.raises(TableError, match="cannot be read"):
        list(read_rows(tmp_path / "absent.csv", ("a",)))
