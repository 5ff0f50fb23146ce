"""The table of rules: every row can be used, a site's own rows go first, and a wrong cell is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from doseatlas.alerts import load_rules, rules_in_force
from doseatlas.model import TableError
from doseatlas.settings import AlertSettings

HEADER = (
    "rule,title,measure,quantity,kinds,procedure,patient_group,window_days,thresholds,shown_unit,per_shown_unit,roles,"
    "advice,source"
)


def write(path: Path, *rows: str) -> Path:
    """Write a site's table."""
    path.write_text("\n".join((HEADER, *rows)) + "\n")
    return path


def test_every_shipped_rule_has_a_source_a_threshold_and_a_role() -> None:
    for rule in rules_in_force(AlertSettings()).rows:
        assert rule.source
        assert rule.advice
        assert rule.thresholds
        assert rule.roles


@pytest.mark.parametrize(
    ("rule", "first_threshold"),
    [
        ("reference-air-kerma", 5000),  # mGy
        ("peak-skin-dose", 3000),  # mGy
        ("kap", 500),  # Gy.cm2
        ("fluoroscopy-time", 3600),  # s
        ("cumulative-effective-dose", 100),  # mSv
    ],
)
def test_the_first_thresholds_are_the_published_ones(rule: str, first_threshold: float) -> None:
    (found,) = (one for one in rules_in_force(AlertSettings()).rows if one.rule == rule)
    assert found.thresholds[0] == first_threshold


def test_the_row_that_says_most_about_an_exam_counts(tmp_path: Path) -> None:
    own = write(
        tmp_path / "own.csv",
        "kap,KAP,value,kap_gy_cm2,projection,,,,400,Gy.cm2,1,physicist,look,site",
        "kap,KAP,value,kap_gy_cm2,projection,xa-coronary-angiography,,,125,Gy.cm2,1,physicist,look,site",
        "kap,KAP,value,kap_gy_cm2,projection,,child-age-1-6y,,20,Gy.cm2,1,physicist,look,site",
    )
    rules = rules_in_force(AlertSettings(rules_file=str(own)))

    def threshold(procedure: str | None, group: str | None) -> float:
        (found,) = (one for one in rules.for_exam("projection", procedure, group) if one.rule == "kap")
        return found.thresholds[0]

    assert threshold(None, None) == 400
    assert threshold("xa-coronary-angiography", "adult") == 125
    assert threshold(None, "child-age-1-6y") == 20


def test_a_site_switches_a_rule_off_with_empty_thresholds(tmp_path: Path) -> None:
    own = write(
        tmp_path / "own.csv", "fluoroscopy-time,Time,value,fluoro_time_s,projection,,,,,min,60,physicist,look,site"
    )
    rules = rules_in_force(AlertSettings(rules_file=str(own)))
    assert "fluoroscopy-time" not in {rule.rule for rule in rules.for_exam("projection", None, None)}
    assert "kap" in {rule.rule for rule in rules.for_exam("projection", None, None)}


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ("kap,KAP,value,kap_gy_cm,projection,,,,400,Gy.cm2,1,r,look,site", "quantity"),
        ("kap,KAP,worth,kap_gy_cm2,projection,,,,400,Gy.cm2,1,r,look,site", "measure"),
        ("kap,KAP,value,kap_gy_cm2,xray,,,,400,Gy.cm2,1,r,look,site", "kinds"),
        ("kap,KAP,value,kap_gy_cm2,projection,no-such,,,400,Gy.cm2,1,r,look,site", "procedure"),
        ("kap,KAP,value,kap_gy_cm2,projection,,no-such,,400,Gy.cm2,1,r,look,site", "patient_group"),
        ("kap,KAP,value,kap_gy_cm2,projection,,,,400;300,Gy.cm2,1,r,look,site", "thresholds"),
        ("kap,KAP,value,kap_gy_cm2,projection,,,,nan,Gy.cm2,1,r,look,site", "thresholds"),
        ("kap,KAP,value,kap_gy_cm2,projection,,,,high,Gy.cm2,1,r,look,site", "thresholds"),
        ("kap,KAP,value,kap_gy_cm2,projection,,,,400,Gy.cm2,0,r,look,site", "per_shown_unit"),
        ("kap,KAP,value,kap_gy_cm2,projection,,,,400,Gy.cm2,1,r,look,", "source"),
        ("many,Many,count,exam_id,ct,,,,2,exams,1,r,look,site", "window_days"),
        ("a b,KAP,value,kap_gy_cm2,projection,,,,400,Gy.cm2,1,r,look,site", "rule"),
    ],
)
def test_a_wrong_cell_is_named(tmp_path: Path, row: str, column: str) -> None:
    with pytest.raises(TableError, match=f"line 2, column {column}"):
        load_rules(write(tmp_path / "own.csv", row))


def test_a_row_twice_is_refused(tmp_path: Path) -> None:
    row = "kap,KAP,value,kap_gy_cm2,projection,,,,400,Gy.cm2,1,r,look,site"
    with pytest.raises(TableError, match="line 3"):
        load_rules(write(tmp_path / "own.csv", row, row))
