"""Exams that arrive raise the alerts they should, each once, whatever happens to them later."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from io import BytesIO
from typing import Any

import msgspec
import pydicom
import pytest
from tests.alerts.conftest import ACQUISITION_PROTOCOL, DAY, NOW, Report, raised, texts_of

from doseatlas.alerts import Watch
from doseatlas.alerts.measures import Facts, Levels, is_of_one_exam, measured
from doseatlas.alerts.rules import Rule, shipped_rules
from doseatlas.model import Event, Exam, StoreError
from doseatlas.reference import DEFAULT_DRL_SET, drl_set
from doseatlas.settings import AlertSettings, Settings
from doseatlas.store import Store, import_paths
from doseatlas.store.alerts import AlertTables


def fired(store: Store) -> list[tuple[str, float]]:
    """Rules and thresholds of the alerts of a store, apart from those on reference levels."""
    return [(one.rule, one.threshold) for one in raised(store) if not one.rule.startswith(("drl-", "cumulative-"))]


def test_a_high_reference_air_kerma_raises_an_alert(store: Store, settings: Settings, report: Report) -> None:
    import_paths(store, [report(0, kerma_mgy=6200), report(1, kerma_mgy=4900)])
    assert Watch(settings).look(store, NOW) >= 1
    assert fired(store) == [("reference-air-kerma", 5000)]
    (alert,) = (one for one in raised(store) if one.rule == "reference-air-kerma")
    assert alert.value == pytest.approx(6200, rel=1e-3)
    assert "6.2 Gy, above 5 Gy" in alert.finding


def test_a_value_at_the_threshold_does_not_exceed_it(store: Store, settings: Settings, report: Report) -> None:
    import_paths(store, [report(0, fluoro_time_s=3600), report(1, fluoro_time_s=3601)])
    Watch(settings).look(store, NOW)
    assert fired(store) == [("fluoroscopy-time", 3600)]


def test_an_alert_is_raised_once_though_the_exam_comes_again_or_is_rebuilt(
    store: Store, settings: Settings, report: Report
) -> None:
    file = report(0, kerma_mgy=6200)
    import_paths(store, [file])
    watch = Watch(settings)
    watch.look(store, NOW)
    before = raised(store)
    import_paths(store, [file, report(0, kerma_mgy=6200, corrects=file)])  # the same dose, corrected elsewhere
    assert watch.look(store, NOW) == 0
    store.rebuild()
    assert watch.look(store, NOW) == 0
    assert raised(store) == before


def test_a_corrected_report_raises_it_again_only_past_a_higher_threshold(
    store: Store, settings: Settings, report: Report
) -> None:
    first = report(0, kerma_mgy=6200)
    second = report(0, kerma_mgy=7000, corrects=first)
    third = report(0, kerma_mgy=10_400, corrects=second)
    watch = Watch(settings)
    for file, expected in ((first, [5000]), (second, [5000]), (third, [5000, 10_000])):
        import_paths(store, [file])
        watch.look(store, NOW)
        assert [threshold for rule, threshold in fired(store) if rule == "reference-air-kerma"] == expected


def test_the_highest_threshold_alone_is_raised(store: Store, settings: Settings, report: Report) -> None:
    import_paths(store, [report(0, kerma_mgy=16_000)])
    Watch(settings).look(store, NOW)
    assert [threshold for rule, threshold in fired(store) if rule == "reference-air-kerma"] == [15_000]


def test_history_that_is_imported_raises_nothing(store: Store, settings: Settings, report: Report) -> None:
    import_paths(store, [report(0, kerma_mgy=6200)])
    late = NOW + dt.timedelta(days=40)
    assert Watch(settings).look(store, late) == 0
    assert Watch(settings).look(store, NOW) == 0  # passed over for good


def test_alerts_that_are_switched_off_raise_nothing_later(store: Store, settings: Settings, report: Report) -> None:
    import_paths(store, [report(0, kerma_mgy=6200)])
    off = msgspec.structs.replace(settings, alerts=AlertSettings(enabled=False))
    assert Watch(off).look(store, NOW) == 0
    assert Watch(settings).look(store, NOW) == 0


DYING_LOOK = """
import datetime as dt, os, sys
from sqlalchemy.engine.default import DefaultDialect
from doseatlas.alerts import Watch
from doseatlas.settings import load_settings
from doseatlas.store import Store

commit, left = DefaultDialect.do_commit, int(sys.argv[1])

def mortal(*given):
    global left
    left -= 1
    if left == 0:
        os._exit(9)
    commit(*given)
    if left == 1:
        os._exit(9)

settings = load_settings().settings
with Store.from_settings(settings) as store:
    DefaultDialect.do_commit = mortal
    Watch(settings).look(store, dt.datetime(2024, 3, 6, 12, tzinfo=dt.UTC))
"""


def test_a_look_that_dies_leaves_nothing_out_and_raises_nothing_twice(
    store: Store, settings: Settings, report: Report
) -> None:
    import_paths(store, [report(0, kerma_mgy=6200), report(1, kerma_mgy=6300)])
    for moment in (1, 2):
        subprocess.run(
            [sys.executable, "-c", DYING_LOOK, str(moment)],
            env={**os.environ, "DOSEATLAS_DATA_DIR": settings.data_dir, "DOSEATLAS_JOBS": "1"},
            check=False,
        )
    Watch(settings).look(store, NOW)
    assert fired(store) == [("reference-air-kerma", 5000)] * 2


def test_the_third_ct_of_a_procedure_in_a_week_is_told(
    store: Store, settings: Settings, report: Report, computed_tomography: list[bytes]
) -> None:
    watch = Watch(settings)
    days = ("20240220", "20240228", "20240301", "20240305")  # the first is out of the week before the last
    for number, day in enumerate(days):
        file = report(
            data=computed_tomography[0], study=100 + number, StudyDate=day, PatientID="P1", StudyDescription="CT Head"
        )
        import_paths(store, [file])
        watch.look(store, NOW)
    assert [one for one in fired(store) if one[0] == "repeated-ct"] == [("repeated-ct", 2)]
    (alert,) = (one for one in raised(store) if one.rule == "repeated-ct")
    assert alert.study_date == "2024-03-05"
    import_paths(
        store, [report(data=computed_tomography[0], study=200, StudyDate="20240305", PatientID="P2")]
    )  # another patient
    watch.look(store, NOW)
    assert [one for one in fired(store) if one[0] == "repeated-ct"] == [("repeated-ct", 2)]


def test_no_identifier_of_the_patient_or_the_study_is_in_a_message(
    store: Store, settings: Settings, report: Report
) -> None:
    from doseatlas.alerts.alert import body, subject

    file = report(0, kerma_mgy=6200, PatientID="MRN-4711-XY", StudyDescription="Angio of Mrs Madeup-Longname")
    dataset = pydicom.dcmread(file)
    import_paths(store, [file])
    Watch(settings).look(store, NOW)
    with store.database.reading() as connection:
        pseudonyms = list(connection.exec_driver_sql("SELECT patient_id FROM objects").scalars())
    assert pseudonyms
    for alert in raised(store):
        text = subject(alert) + body(alert)
        for secret in ("MRN-4711", "Madeup-Longname", str(dataset.PatientName), dataset.StudyInstanceUID, *pseudonyms):
            assert secret not in text
        assert alert.alert_id in text


def test_a_rehearsal_counts_what_would_have_fired_and_raises_nothing(
    store: Store, settings: Settings, report: Report
) -> None:
    import_paths(store, [report(0, kerma_mgy=6200), report(1, kerma_mgy=11_000), report(2, kerma_mgy=40)])
    rows = Watch(settings).rehearse(store, DAY, DAY + dt.timedelta(days=6))
    kerma = {row.threshold: row for row in rows if row.rule == "reference-air-kerma"}
    assert {threshold: row.fired for threshold, row in kerma.items()} == {5000: 1, 10_000: 1, 15_000: 0}
    assert {row.known for row in kerma.values()} == {3}
    assert kerma[5000].per_week == 1.0
    assert raised(store) == []
    assert Watch(settings).rehearse(store, DAY - dt.timedelta(days=9), DAY - dt.timedelta(days=1))[0].exams == 0


def test_an_alert_is_acknowledged_once(store: Store, settings: Settings, report: Report) -> None:
    import_paths(store, [report(0, kerma_mgy=6200)])
    Watch(settings).look(store, NOW)
    tables = AlertTables(store.database)
    alert = tables.all()[0]
    tables.acknowledge(alert.alert_id, by="Physicist", comment="Patient called.", at=NOW)
    kept = next(one for one in tables.all() if one.alert_id == alert.alert_id)
    assert (kept.acknowledged_by, kept.comment) == ("Physicist", "Patient called.")
    with pytest.raises(StoreError, match="was acknowledged by Physicist"):
        tables.acknowledge(alert.alert_id, by="Other", comment="again", at=NOW)
    with pytest.raises(StoreError, match="no alert 'nothing'"):
        tables.acknowledge("nothing", by="Other", comment="?", at=NOW)


def test_a_child_scanned_by_a_protocol_for_adults_is_told_and_an_adult_is_not(
    store: Store, settings: Settings, report: Report, computed_tomography: list[bytes]
) -> None:
    for number, age in enumerate(("004Y", "040Y")):
        dataset = pydicom.dcmread(BytesIO(computed_tomography[0]))
        dataset.PatientAge = age
        dataset.pop("PatientBirthDate", None)
        for name in texts_of(dataset, ACQUISITION_PROTOCOL):
            name.TextValue = "Adult Head Routine"
        buffer = BytesIO()
        dataset.save_as(buffer)
        import_paths(store, [report(data=buffer.getvalue(), study=700 + number, PatientID=f"P{number}")])
    Watch(settings).look(store, NOW)
    (alert,) = (one for one in raised(store) if one.rule == "adult-protocol-on-child")
    assert alert.patient_group is not None
    assert alert.finding == "A child scanned by a protocol for adults"


# ---- measures ----


def facts(*events: Event, **row: object) -> Facts:
    """What is known of an exam."""
    return Facts(row, Exam(kind="ct", events=events), Levels(drl_set(DEFAULT_DRL_SET)))


def exceeded(rule: Rule, exam: Facts) -> float | None:
    """The highest threshold that an exam exceeds."""
    value = measured(rule, exam)
    return None if value is None else rule.exceeded(value)


RULES = {rule.rule: rule for rule in shipped_rules()}


def test_a_scan_is_held_against_its_own_notification_value() -> None:
    found = measured(
        RULES["ct-dlp-notification"],
        facts(
            Event(dlp_mgy_cm=900, dlp_notification_mgy_cm=1000),
            Event(dlp_mgy_cm=600, dlp_notification_mgy_cm=500),
            Event(dlp_mgy_cm=5000),
        ),
    )
    assert found == pytest.approx(1.2)


def test_dlp_on_different_phantoms_is_not_added_up_against_the_alert_value() -> None:
    rule = RULES["ct-dlp-alert"]
    apart = facts(
        Event(dlp_mgy_cm=600, phantom_cm=16, dlp_alert_mgy_cm=1000),
        Event(dlp_mgy_cm=600, phantom_cm=32, dlp_alert_mgy_cm=1000),
    )
    together = facts(
        Event(dlp_mgy_cm=600, phantom_cm=32, dlp_alert_mgy_cm=1000),
        Event(dlp_mgy_cm=600, phantom_cm=32, dlp_alert_mgy_cm=1000),
    )
    assert measured(rule, apart) == pytest.approx(0.6)
    assert measured(rule, together) == pytest.approx(1.2)
    assert exceeded(rule, apart) is None
    assert exceeded(rule, together) == 1


def test_the_ctdi_vol_of_scans_is_not_added_up_against_the_alert_value() -> None:
    found = measured(
        RULES["ct-ctdi-vol-alert"],
        facts(Event(ctdi_vol_mgy=600, ctdi_vol_alert_mgy=1000), Event(ctdi_vol_mgy=700, ctdi_vol_alert_mgy=1000)),
    )
    assert found == pytest.approx(0.7)


@pytest.mark.parametrize("rule", [rule.rule for rule in shipped_rules() if is_of_one_exam(rule)])
def test_what_an_exam_does_not_tell_is_unknown_and_not_zero(rule: str) -> None:
    assert measured(RULES[rule], facts()) is None


def test_a_multiple_of_the_reference_level_needs_the_levels_own_phantom() -> None:
    level = next(
        row
        for row in drl_set(DEFAULT_DRL_SET).rows
        if row.is_mapped and row.quantity == "ctdi_vol_mgy" and row.phantom_cm
    )
    own: dict[str, Any] = {"procedure": level.procedure, "patient_group": level.patient_group, "ctdi_vol_mgy": 1e4}
    assert measured(RULES["drl-ctdi-vol"], facts(**own, phantom_cm=level.phantom_cm)) is not None
    assert measured(RULES["drl-ctdi-vol"], facts(**own, phantom_cm=48 - (level.phantom_cm or 0))) is None


def test_a_child_on_an_adult_protocol_is_told() -> None:
    rule = RULES["adult-protocol-on-child"]
    assert exceeded(rule, facts(adult_protocol_on_child=True)) == 0
    assert exceeded(rule, facts(adult_protocol_on_child=False)) is None
