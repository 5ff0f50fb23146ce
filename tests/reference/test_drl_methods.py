"""Rules of authorities are rows that say where they come from; a wrong cell is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from doseatlas.model import TableError
from doseatlas.reference import DrlMethod, drl_method, drl_methods, load_drl_methods, patient_groups, procedures
from doseatlas.reference.drl_methods import COLUMNS

ROW = {
    "method": "own",
    "title": "Own rule",
    "authority": "Us",
    "year": "2026",
    "level": "national",
    "unit": "facility",
    "procedures": "ct-*",
    "patient_groups": "*",
    "statistic": "median",
    "percentile": "75",
    "min_patients": "20",
    "min_units": "10",
    "verified": "seen",
    "source": "our rule",
}


def load(tmp_path: Path, *rows: dict[str, str]) -> tuple[DrlMethod, ...]:
    path = tmp_path / "methods.csv"
    lines = [",".join(COLUMNS), *(",".join(row.get(column, "") for column in COLUMNS) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return load_drl_methods(path)


@pytest.mark.parametrize("method", drl_methods(), ids=lambda method: method.id)
def test_every_rule_names_its_source_and_is_for_a_procedure_that_there_is(method: DrlMethod) -> None:
    for rule in method.rules:
        assert rule.source
        assert any(
            method.rule(procedure.id, group.id) == rule for procedure in procedures() for group in patient_groups()
        ), "another rule before this one fits all that it fits"
        if method.unit not in ("patient", "country"):
            assert rule.min_patients >= 10


def test_a_rule_that_was_chosen_here_and_not_published_says_so() -> None:
    for method in drl_methods():
        for rule in method.rules:
            if rule.keep_within_percent is not None or rule.rounding:
                assert rule.note


def test_the_first_rule_that_fits_is_taken() -> None:
    national = drl_method("icrp-135-national")
    needed = {
        (procedure, group): rule.min_patients if (rule := national.rule(procedure, group)) else None
        for procedure, group in [
            ("mg-screening", "adult"),
            ("xa-coronary-angiography", "adult"),
            ("ct-chest", "child-weight-5-15"),
            ("ct-chest", "adult"),
        ]
    }
    assert list(needed.values()) == [50, 30, 10, 20]


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        ("percentile", "175", "column percentile: '175'"),
        ("percentile", "p75", "column percentile: 'p75' is not a number"),
        ("unit", "ward", "column unit: 'ward' is none of"),
        ("unit", "country", "column based_on"),
        ("statistic", "mode", "column statistic: 'mode' is none of"),
        ("guides", "achievable", "column guides: 'achievable' is not name:number"),
        ("rounding", "dlp_mgy_cm:0", "column rounding: 'dlp_mgy_cm:0' must have a number above 0"),
        ("rounding", "dlp:50", "column rounding: 'dlp' is none of dlp_mgy_cm"),
        ("procedures", "ct-chst", "column procedures: 'ct-chst' fits no id of the reference tables; near it: ct-chest"),
        ("patient_groups", "teen-*", r"column patient_groups: 'teen-\*' fits no id"),
        ("curve", "cubic", "column curve: 'cubic' is none of"),
        ("source", "", "column source: must not be empty"),
        ("verified", "sure", "column verified: 'sure' is none of"),
        ("year", "soon", "'soon' must be a year"),
    ],
)
def test_a_wrong_cell_is_named(tmp_path: Path, column: str, cell: str, message: str) -> None:
    with pytest.raises(TableError, match=message):
        load(tmp_path, {**ROW, column: cell})


def test_weights_in_the_wrong_order_and_contradicting_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="line 2, column weight_high_kg"):
        load(tmp_path, {**ROW, "weight_low_kg": "90", "weight_high_kg": "50"})
    with pytest.raises(TableError, match="line 3, column statistic: 'mean'"):
        load(tmp_path, ROW, {**ROW, "statistic": "mean"})
    with pytest.raises(TableError, match="based on 'nothing', which is not there"):
        load(tmp_path, {**ROW, "unit": "country", "based_on": "nothing"})


def test_an_unknown_method_is_refused_with_those_there_are() -> None:
    with pytest.raises(TableError, match=r"no DRL method 'utopia'.*icrp-135-national"):
        drl_method("utopia")
