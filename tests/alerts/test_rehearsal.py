"""A month of a facility: what the rehearsal counts is what is raised, by every rule, and each rule can fire."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator

import pytest
from tests.alerts.conftest import raised

from doseatlas.alerts import Alert, RehearsedRule, Watch
from doseatlas.dicom.simulate import plan, write_objects
from doseatlas.settings import AlertSettings, Settings
from doseatlas.store import Store, import_paths

FIRST, LAST = dt.date(2024, 3, 1), dt.date(2024, 3, 28)
NOW = dt.datetime(2024, 3, 29, tzinfo=dt.UTC)
RULES = """\
rule,title,measure,quantity,kinds,procedure,patient_group,window_days,thresholds,shown_unit,per_shown_unit,roles,advice,\
source
reference-air-kerma,Kerma,value,reference_air_kerma_mgy,projection,,,,1;50,mGy,1,,Look.,here
peak-skin-dose,Skin dose,value,peak_skin_dose_mgy,projection,,,,1;50,mGy,1,,Look.,here
kap,KAP,value,kap_gy_cm2,projection,,,,1;5,Gy.cm2,1,,Look.,here
fluoroscopy-time,Time,value,fluoro_time_s,projection,,,,60;300,s,1,,Look.,here
ct-dlp-notification,DLP,scan-over-notification,dlp_mgy_cm,ct,,,,0;1,times,1,,Look.,here
ct-ctdi-vol-notification,CTDIvol,scan-over-notification,ctdi_vol_mgy,ct,,,,0;1,times,1,,Look.,here
ct-dlp-alert,DLP,exam-over-alert,dlp_mgy_cm,ct,,,,0;1,times,1,,Look.,here
ct-ctdi-vol-alert,CTDIvol,exam-over-alert,ctdi_vol_mgy,ct,,,,0;1,times,1,,Look.,here
drl-dlp,DLP,drl-multiple,dlp_mgy_cm,ct,,,,0.5;1,times,1,,Look.,here
drl-dlp,DLP of heads,drl-multiple,dlp_mgy_cm,ct,ct-head,,,0.8;1.2,times,1,,Look.,here
drl-ctdi-vol,CTDIvol,drl-multiple,ctdi_vol_mgy,ct,,,,0.5;1,times,1,,Look.,here
drl-kap,KAP,drl-multiple,kap_gy_cm2,projection,,,,0.5;1,times,1,,Look.,here
drl-agd,AGD,drl-multiple,agd_mgy,mammography,,,,0.5;1,times,1,,Look.,here
drl-activity,Activity,drl-multiple,administered_activity_mbq,nuclear,,,,0.5;1,times,1,,Look.,here
repeated-ct,CT repeated,count,exam_id,ct,,,28,1,examinations,1,,Look.,here
cumulative-effective-dose,Effective dose,sum,effective_dose_msv,,,,,1;5;10,mSv,1,,Look.,here
"""


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[list[Alert], list[RehearsedRule]]]:
    """The alerts of a month with thresholds that are often exceeded, and its rehearsal."""
    folder = tmp_path_factory.mktemp("month")
    (folder / "rules.csv").write_text(RULES)
    write_objects(plan("facility", exams=150, seed=8, start=FIRST, end=LAST, faults=True), folder / "objects")
    settings = Settings(
        data_dir=str(folder / "data"),
        jobs=1,
        skin_dose_from_gy=0.001,
        alerts=AlertSettings(rules_file=str(folder / "rules.csv")),
    )
    watch = Watch(settings)
    with Store.from_settings(settings) as store:
        import_paths(store, [folder / "objects"])
        watch.look(store, NOW)
        yield raised(store), watch.rehearse(store, FIRST, LAST)


def test_the_rehearsal_of_a_month_counts_what_was_raised(month: tuple[list[Alert], list[RehearsedRule]]) -> None:
    alerts, rehearsed = month
    counted = Counter[tuple[str, float]]()
    for row in rehearsed:
        counted[row.rule, row.threshold] += row.fired
    assert Counter((one.rule, one.threshold) for one in alerts if one.study_date) == +counted
    assert all(row.fired <= row.known <= row.exams for row in rehearsed)


@pytest.mark.parametrize(
    "rule",
    [
        *("reference-air-kerma", "peak-skin-dose", "kap", "fluoroscopy-time", "cumulative-effective-dose"),
        *("ct-dlp-notification", "ct-ctdi-vol-notification", "ct-ctdi-vol-alert"),
        *("drl-dlp", "drl-ctdi-vol", "drl-kap", "drl-agd", "drl-activity"),
    ],
)
def test_a_rule_fires_on_what_reports_state_and_where_they_state_it(
    month: tuple[list[Alert], list[RehearsedRule]], rule: str
) -> None:
    alerts, rehearsed = month
    found = [one for one in alerts if one.rule == rule]
    assert found
    assert all(one.value > one.threshold for one in found)
    assert len({(one.exam_id, one.threshold) for one in found}) == len(found)
    assert sum(row.known for row in rehearsed if row.rule == rule) > 0


def test_a_threshold_of_one_procedure_is_that_procedures_alone(
    month: tuple[list[Alert], list[RehearsedRule]],
) -> None:
    by_procedure: dict[bool, set[float]] = {True: set(), False: set()}
    for one in month[0]:
        if one.rule == "drl-dlp":
            by_procedure[one.procedure == "ct-head"].add(one.threshold)
    assert by_procedure == {True: {0.8, 1.2}, False: {0.5, 1.0}}
