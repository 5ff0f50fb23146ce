"""Published reference levels keep wording, value, unit and source; a wrong cell of a user's set is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from doseatlas.model import TableError
from doseatlas.reference import DEFAULT_DRL_SET, DrlSet, drl_set, drl_sets, load_drl_csv

HEADER = "set,authority,country,year,level,exam,stated_quantity,stated_value,stated_unit,procedure,patient_group,source"
ROW = "own-2026,Us,Here,2026,local DRL,Head,CTDIvol,50,mGy,ct-head,adult,our survey"


def load(tmp_path: Path, *lines: str, header: str = HEADER) -> DrlSet:
    path = tmp_path / "own.csv"
    path.write_text("\n".join((header, *lines)) + "\n", encoding="utf-8")
    return load_drl_csv(path)


@pytest.mark.parametrize("one", drl_sets(), ids=lambda one: one.id)
def test_every_row_of_a_set_names_its_source_and_is_mapped_or_says_why_not(one: DrlSet) -> None:
    for row in one.rows:
        assert row.source
        assert row.level == one.level
        assert row.value > 0
        assert row.is_mapped == (row.unmapped_reason is None)
        if row.quantity in ("ctdi_vol_mgy", "dlp_mgy_cm"):
            assert row.scope != "acquisition" or row.quantity == "ctdi_vol_mgy"


def test_set_ids_are_unique_and_the_default_is_a_national_set_in_force() -> None:
    ids = [one.id for one in drl_sets()]
    assert len(set(ids)) == len(ids)
    assert drl_set(DEFAULT_DRL_SET).level == "national DRL"
    mapped = {one.id: sum(row.is_mapped for row in one.rows) for one in drl_sets()}
    assert mapped[DEFAULT_DRL_SET] == max(mapped.values())


def test_ctdiw_is_never_compared_and_each_entrance_kerma_only_as_what_it_is() -> None:
    entrance = {"Ka,i": "incident_air_kerma_mgy", "Ka,e": "entrance_surface_air_kerma_mgy"}
    compared = set()
    for one in drl_sets():
        for row in one.rows:
            assert not (row.stated.startswith("CTDIw") and row.is_mapped)
            if row.is_mapped and row.stated[:4] in entrance:
                assert row.quantity == entrance[row.stated[:4]]
                compared.add(row.quantity)
    assert compared == set(entrance.values())


def test_units_are_converted_and_the_published_ones_kept(tmp_path: Path) -> None:
    row = load(tmp_path, ROW.replace("Head,CTDIvol,50,mGy,ct-head", "Chest,PKA,25,cGy.cm2,dx-chest")).rows[0]
    assert (row.quantity, row.value, row.stated) == ("kap_gy_cm2", 0.25, "PKA 25 cGy.cm2")


def test_an_achievable_value_is_in_the_published_unit_and_not_above_the_level(tmp_path: Path) -> None:
    row = ROW.replace("Head,CTDIvol,50,mGy,ct-head", "Chest,PKA,25,cGy.cm2,dx-chest")
    assert load(tmp_path, row + ",20", header=HEADER + ",achievable").rows[0].achievable == pytest.approx(0.2)
    with pytest.raises(TableError, match="line 2, column achievable: '30' is above"):
        load(tmp_path, row + ",30", header=HEADER + ",achievable")


def test_a_minimal_set_of_ones_own_is_read(tmp_path: Path) -> None:
    found = load(tmp_path, ROW)
    assert (found.id, found.year, found.rows[0].value, found.rows[0].is_mapped) == ("own-2026", 2026, 50, True)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",50,", ",fifty,", "line 2, column stated_value: 'fifty' is not a number"),
        (",50,", ",-1,", "line 2, column stated_value: '-1'"),
        (",50,", ",nan,", "line 2, column stated_value: 'nan'"),
        (",50,", ",0,", "line 2, column stated_value: '0'"),
        ("ct-head", "ct-hed", "line 2, column procedure: 'ct-hed' is not known"),
        ("adult", "adults", "line 2, column patient_group: 'adults' is not known"),
        ("mGy", "rad", "line 2, columns stated_quantity and stated_unit"),
        ("CTDIvol", "CTDIw", "line 2, columns stated_quantity and stated_unit"),
        ("our survey", "", "exam and source must not be empty"),
        (",2026,", ",soon,", "column year: 'soon' is not a year"),
        ("ct-head", "", "column unmapped_reason"),
        (",our survey", "", "number of cells"),
    ],
)
def test_a_wrong_cell_is_named_and_nothing_is_taken(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(TableError, match=message):
        load(tmp_path, ROW.replace(old, new, 1))


def test_a_file_with_two_sets_without_rows_or_without_a_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="line 3, column set"):
        load(tmp_path, ROW, ROW.replace("own-2026", "other"))
    with pytest.raises(TableError, match="no rows"):
        load(tmp_path)
    with pytest.raises(TableError, match="missing columns source"):
        load(tmp_path, ROW, header=HEADER.replace(",source", ",sauce"))


def test_a_value_that_contradicts_the_published_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="line 2, column value: '5' is not 50 mGy"):
        load(tmp_path, ROW + ",5", header=HEADER + ",value")


def test_an_unknown_set_is_refused_with_those_there_are() -> None:
    with pytest.raises(TableError, match=r"no DRL set 'atlantis-1'.*japan-2025"):
        drl_set("atlantis-1")
