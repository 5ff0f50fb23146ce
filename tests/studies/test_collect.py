from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ibis
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from doseatlas.sheets import WorkbookRefused
from doseatlas.store.mart import SCHEMA
from doseatlas.studies import CollectRefused, Study, StudyError, collect, study_report, write_study_workbook
from doseatlas.studies.schema import Disclosure, Participant, Period, Phases, Variation
from doseatlas.studies.sources import of_mart

from .conftest import NOW

Mart = Callable[..., Path]
SITES = [("a", "JP"), ("b", "KE"), ("c", "BR")]


@pytest.fixture
def study(template: Callable[..., Study]) -> Study:
    made = template("covid19-chest-ct", SITES)
    return msgspec.structs.replace(made, period=Period(since="2025-03", until="2025-04"))


def chest(**changes: Any) -> dict[str, Any]:
    usual = {"facility": "a", "protocol": "Thorax Covid", "dlp_mgy_cm": 300.0, "ctdi_vol_mgy": 8.0, "phase_count": 1}
    return usual | changes


def test_each_exam_is_left_out_under_the_first_reason_that_holds(tmp_path: Path, mart: Mart, study: Study) -> None:
    folder = mart(
        [
            *(chest() for _ in range(7)),
            chest(procedure="ct-head"),
            chest(protocol="Thorax"),
            chest(month="2025-06"),
            chest(plausible=False),
            chest(patient_group=None),
            chest(phantom_cm=16),
            chest(phantom_cm=None),
            chest(dlp_mgy_cm=None),
            chest(ctdi_vol_mgy=0.008),
            chest(dlp_mgy_cm=float("nan")),
            chest(ctdi_vol_mgy=float("inf")),
        ]
    )
    (receipt,) = collect(study, folder, tmp_path / "data", now=NOW)
    assert (receipt.received, receipt.counted) == (18, 7)
    assert {one.reason: one.exams for one in receipt.left_out} == {
        "not an examination of the study": 2,
        "outside the study's period, or undated": 1,
        "flagged as implausible": 1,
        "in no patient group of the study": 1,
        "CTDI phantom not 32 cm": 1,
        "CTDI phantom not stated, or several": 1,
        "DLP not stated": 1,
        "CTDIvol outside 0.2 to 100 mGy": 2,
        "DLP outside 5 to 8000 mGy·cm": 1,
    }


def test_a_study_of_corrected_doses_takes_what_the_certificates_of_a_mart_make_of_them(
    tmp_path: Path, mart: Mart, study: Study
) -> None:
    rows = [chest(dlp_mgy_cm=100.0, ctdi_vol_mgy=5.0, dlp_corrected_mgy_cm=120.0, ctdi_vol_corrected_mgy=6.0)] * 12
    corrected = msgspec.structs.replace(study, rules=msgspec.structs.replace(study.rules, dose_values="corrected"))
    for rules, dlp, ctdi in ((study, 100.0, 5.0), (corrected, 120.0, 6.0)):
        folder = tmp_path / rules.rules.dose_values
        collect(rules, mart(rows), folder, participant="a", now=NOW)
        kept = pq.read_table(folder / "a.parquet")
        assert set(kept["dlp_mgy_cm"].to_pylist()) == {dlp}
        assert kept["ctdi_vol_mgy"].to_pylist() == pytest.approx([ctdi] * 12)
        assert study_report(rules, folder, now=NOW, version="1").dose_values == rules.rules.dose_values


def test_only_what_the_study_asks_for_is_collected(tmp_path: Path, mart: Mart, study: Study) -> None:
    collect(study, mart([chest(procedure_text="SECRET", device="D7")]), tmp_path / "data", now=NOW)
    table = pq.read_table(tmp_path / "data" / "a.parquet")
    keys = ["participant", "country", "exam", "patient_group", "month", "phantom_cm"]
    assert table.schema.names == [*keys, *study.columns]


def test_a_mart_file_and_its_folder_give_the_same(tmp_path: Path, mart: Mart, study: Study) -> None:
    folder = mart([chest(dlp_mgy_cm=float(dlp)) for dlp in range(100, 120)])
    (one,) = collect(study, folder, tmp_path / "one", now=NOW)
    (other,) = collect(study, folder / "exams" / "a" / "part.parquet", tmp_path / "other", now=NOW)
    assert msgspec.structs.replace(one, sources=()) == msgspec.structs.replace(other, sources=())
    assert pq.read_table(tmp_path / "one" / "a.parquet").equals(pq.read_table(tmp_path / "other" / "a.parquet"))


def test_collecting_again_replaces_and_the_same_data_give_the_same_version(
    tmp_path: Path, mart: Mart, study: Study
) -> None:
    data = tmp_path / "data"
    collect(study, mart([chest() for _ in range(12)]), data, now=NOW)
    folder = mart([chest(dlp_mgy_cm=500.0) for _ in range(15)])
    collect(study, folder, data, now=NOW)
    first = study_report(study, data, now=NOW, version="test")
    assert first.flow[-1].exams == 15
    collect(study, folder, data, now=NOW + dt.timedelta(days=1))
    assert study_report(study, data, now=NOW, version="test") == first
    collect(study, mart([chest(dlp_mgy_cm=501.0) for _ in range(15)]), data, now=NOW)
    assert study_report(study, data, now=NOW, version="test").data_version != first.data_version


def test_a_country_that_is_mended_in_the_study_file_is_mended_in_the_report(
    tmp_path: Path, mart: Mart, study: Study
) -> None:
    report_of(study, mart, tmp_path / "data", {"a": (200, 20), "b": (300, 20), "c": (500, 20)})
    mended = tuple(msgspec.structs.replace(one, country="AT") for one in study.participants)
    report = study_report(msgspec.structs.replace(study, participants=mended), tmp_path / "data", now=NOW, version="x")
    assert report.flow[-1].countries == 1
    assert [[one.country for one in row.countries] for row in report.variation] == [["AT"], ["AT"]]


def test_a_mart_of_several_facilities_is_shared_out_by_name(tmp_path: Path, mart: Mart, study: Study) -> None:
    folder = mart([chest(), chest(facility="b"), chest(facility="b"), chest(facility="elsewhere")])
    receipts = collect(study, folder, tmp_path / "data", now=NOW)
    assert {one.participant: one.received for one in receipts} == {"a": 1, "b": 2}


def test_a_mart_that_is_nobodys_is_refused(tmp_path: Path, mart: Mart, study: Study) -> None:
    folder = mart([chest(facility="x"), chest(facility="y")])
    with pytest.raises(CollectRefused, match="none of its facilities takes part") as caught:
        collect(study, folder, tmp_path / "data", now=NOW)
    assert caught.value.problems == ("x", "y")
    with pytest.raises(CollectRefused, match="no participant 'z'"):
        collect(study, folder, tmp_path / "data", participant="z", now=NOW)
    assert not (tmp_path / "data").exists()


def test_a_mart_of_another_participant_is_refused_as_it_would_count_twice(
    tmp_path: Path, mart: Mart, study: Study
) -> None:
    with pytest.raises(CollectRefused, match="its facility 'b' is that of participant 'b', not of 'a'"):
        collect(study, mart([chest(facility="b")]), tmp_path / "data", participant="a", now=NOW)
    assert not (tmp_path / "data").exists()


def test_a_mart_of_one_unknown_facility_is_taken_only_where_the_study_file_names_no_other(
    tmp_path: Path, mart: Mart, study: Study
) -> None:
    folder = mart([chest(facility="General Hospital")])
    (receipt,) = collect(study, folder, tmp_path / "data", participant="a", now=NOW)
    assert (receipt.participant, receipt.facility) == ("a", "General Hospital")
    named = tuple(msgspec.structs.replace(one, facility=f"{one.id} hospital") for one in study.participants)
    with pytest.raises(CollectRefused, match="is 'General Hospital', but the study file says that participant 'a' is"):
        collect(msgspec.structs.replace(study, participants=named), folder, tmp_path / "no", participant="a", now=NOW)
    assert not (tmp_path / "no").exists()


def test_one_limit_alone_leaves_out_too(tmp_path: Path, mart: Mart, study: Study) -> None:
    phases = next(one for one in study.variables if one.column == "phase_count")
    below = tuple(msgspec.structs.replace(one, low=2.0, high=None) if one is phases else one for one in study.variables)
    folder = mart([chest(phase_count=1), chest(phase_count=2), chest(phase_count=None)])
    (receipt,) = collect(msgspec.structs.replace(study, variables=below), folder, tmp_path / "data", now=NOW)
    assert receipt.counted == 2
    assert [one.reason for one in receipt.left_out] == ["number of scan phases below 2"]


def test_what_the_ris_states_as_indication_decides_where_the_procedure_alone_would(template: Any) -> None:
    made = template("haematuria-stones", SITES)
    columns = ("procedure", "procedure_text", "protocol", "indication")
    rows = [
        ("ct-urography", "Urography", None, "Makrohämaturie"),
        ("ct-urography", "Urography", None, "staging"),
        ("ct-urography", "Urography", None, " "),
        ("ct-urography", "Urography", None, None),
        ("ct-abdomen-pelvis", "Abdomen", None, "Renal COLIC?"),
        ("ct-abdomen-pelvis", "Abdomen stone", None, "fever"),
        ("ct-abdomen-pelvis", "Abdomen", None, "fever"),
        ("ct-abdomen-pelvis", "Abdomen", None, None),
    ]
    table = pa.table({name: [row[i] for row in rows] for i, name in enumerate(columns)})
    found = of_mart(ibis.memtable(table), made).to_pyarrow().to_pylist()
    assert [(row["exam"], row["other_indication"]) for row in found] == [
        ("urography", False),
        ("urography", True),
        ("urography", False),
        ("urography", False),
        ("abdomen-pelvis", False),
        ("abdomen-pelvis", False),
        (None, False),
        (None, False),
    ]
    # A mart from before the column says nothing of the indication: the procedure and the words decide.
    found = of_mart(ibis.memtable(table.drop_columns(["indication"])), made).to_pyarrow().to_pylist()
    assert [row["exam"] for row in found] == ["urography"] * 4 + [None, "abdomen-pelvis", None, None]
    assert not any(row["other_indication"] for row in found)


def test_the_indication_of_a_mart_leaves_out_and_never_leaves_the_mart(
    tmp_path: Path, mart: Mart, template: Callable[..., Study]
) -> None:
    made = template("haematuria-stones", SITES)
    said = ("Haematuria, Mr X", "Haematuria", "tumour staging")
    rows = [chest(procedure="ct-urography", indication=text, procedure_text="Urography") for text in said]
    (receipt,) = collect(made, mart(rows), tmp_path / "data", now=NOW)
    assert receipt.counted == 2
    assert [(one.reason, one.exams) for one in receipt.left_out] == [("indication is not of this examination", 1)]
    assert "indication" not in pq.read_schema(tmp_path / "data" / "a.parquet").names


def test_an_indication_of_another_exam_picked_in_a_workbook_is_left_out(
    tmp_path: Path, template: Callable[..., Study], fill: Callable[..., Path]
) -> None:
    made = template("haematuria-stones", SITES)
    workbook = tmp_path / "a.xlsx"
    write_study_workbook(made, workbook, participant="a")
    rows = [("urography", "2025-03", said, "adult", 32, 700.0, 2) for said in ("haematuria", "urinary stones")]
    (receipt,) = collect(made, fill(workbook, {}, rows), tmp_path / "data", now=NOW)
    assert receipt.counted == 1
    assert [one.reason for one in receipt.left_out] == ["indication is not of this examination"]


def test_a_filled_workbook_gives_what_a_mart_gives(
    tmp_path: Path, mart: Mart, study: Study, fill: Callable[..., Path]
) -> None:
    workbook = tmp_path / "b.xlsx"
    write_study_workbook(study, workbook, participant="b")
    rows = [("chest", "2025-03", "severity of COVID-19", "adult", 32, 300.0 + i, 8.0, 1) for i in range(12)]
    fill(workbook, {"Is chest CT used to assess": "yes"}, rows)
    (receipt,) = collect(study, workbook, tmp_path / "data", now=NOW)
    assert (receipt.participant, receipt.received, receipt.counted) == ("b", 12, 12)
    assert receipt.answers == {"severity": "yes"}
    collect(study, mart([chest(facility="b", dlp_mgy_cm=300.0 + i) for i in range(12)]), tmp_path / "data", now=NOW)
    table = pq.read_table(tmp_path / "data" / "b.parquet")
    assert sorted(table["dlp_mgy_cm"].to_pylist()) == [300.0 + i for i in range(12)]
    report = study_report(study, tmp_path / "data", now=NOW, version="test")
    assert next(row for row in report.answers if (row.question, row.answer) == ("severity", "yes")).count == 1


def test_one_bad_cell_keeps_a_whole_workbook_out_and_says_which(
    tmp_path: Path, study: Study, fill: Callable[..., Path]
) -> None:
    workbook = tmp_path / "b.xlsx"
    write_study_workbook(study, workbook, participant="b")
    good = ("chest", "2025-03", "severity of COVID-19", "adult", 32, 300.0, 8.0, 1)
    bad = ("chest", "2025-03", "severity of COVID-19", "adult", 32, "300,5", 0.008, 1)
    fill(workbook, {}, [good, bad])
    with pytest.raises(CollectRefused, match="2 cells must be mended") as caught:
        collect(study, workbook, tmp_path / "data", now=NOW)
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "sheet 'exams', cell F4",
        "sheet 'exams', cell G4",
    ]
    assert not (tmp_path / "data").exists()


def test_a_workbook_of_another_participant_or_study_is_refused(
    tmp_path: Path, study: Study, template: Callable[..., Study]
) -> None:
    workbook = tmp_path / "b.xlsx"
    write_study_workbook(study, workbook, participant="b")
    with pytest.raises(CollectRefused, match="is that of 'b', not of 'a'"):
        collect(study, workbook, tmp_path / "data", participant="a", now=NOW)
    with pytest.raises(WorkbookRefused, match="this survey's is 'paediatric-ct'"):
        collect(template("paediatric-ct", SITES), workbook, tmp_path / "data", now=NOW)


def test_half_a_mart_file_and_a_foreign_one_are_told(tmp_path: Path, mart: Mart, study: Study) -> None:
    file = mart([chest() for _ in range(50)]) / "exams" / "a" / "part.parquet"
    half = tmp_path / "half.parquet"
    half.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(StudyError, match="not a whole Parquet file of a mart"):
        collect(study, half, tmp_path / "data", now=NOW)
    foreign = tmp_path / "foreign.parquet"
    pq.write_table(pa.table({"a": [1]}), foreign)
    with pytest.raises(
        StudyError, match="the columns facility, month, patient_group, plausible, procedure are missing"
    ):
        collect(study, foreign, tmp_path / "data", now=NOW)


def test_a_damaged_or_foreign_file_among_the_collected_data_is_named(tmp_path: Path, mart: Mart, study: Study) -> None:
    data = tmp_path / "data"
    collect(study, mart([chest()]), data, now=NOW)
    (data / "b.parquet").write_bytes((data / "a.parquet").read_bytes()[:100])
    with pytest.raises(StudyError, match=r"b\.parquet: no whole file of collected data"):
        study_report(study, data, now=NOW, version="test")


def test_a_site_can_collect_itself_and_send_only_what_the_study_asks_for(
    tmp_path: Path, mart: Mart, study: Study
) -> None:
    folder = mart([chest(dlp_mgy_cm=300.0 + i) for i in range(12)] + [chest(month="2025-09")])
    (at_site,) = collect(study, folder, tmp_path / "site", now=NOW)
    (received,) = collect(study, tmp_path / "site" / "a.parquet", tmp_path / "data", now=NOW)
    assert received == at_site
    assert study_report(study, tmp_path / "data", now=NOW, version="test").flow[-1].exams == 12


def test_a_file_that_a_site_collected_by_other_rules_is_refused(tmp_path: Path, mart: Mart, study: Study) -> None:
    wider = msgspec.structs.replace(study, period=Period(since="2025-01", until="2025-12"))
    collect(wider, mart([chest(), chest(month="2025-09")]), tmp_path / "site", now=NOW)
    sent = tmp_path / "site" / "a.parquet"
    with pytest.raises(CollectRefused, match="do not count by this study file") as caught:
        collect(study, sent, tmp_path / "data", now=NOW)
    assert caught.value.problems == ("1 exam: outside the study's period, or undated",)
    fewer = msgspec.structs.replace(study, variables=study.variables[:2])
    collect(fewer, mart([chest()]), tmp_path / "fewer", now=NOW)
    with pytest.raises(CollectRefused, match="its columns are not those of this study"):
        collect(study, tmp_path / "fewer" / "a.parquet", tmp_path / "data", now=NOW)
    assert not (tmp_path / "data").exists()


def report_of(study: Study, mart: Mart, data: Path, levels: Mapping[str, tuple[float, int]]) -> Any:
    rng = np.random.default_rng(3)
    for site, (level, n) in levels.items():
        doses = level * np.exp(rng.normal(0, 0.3, n))
        collect(study, mart([chest(facility=site, dlp_mgy_cm=float(dose)) for dose in doses]), data, now=NOW)
    return study_report(study, data, now=NOW, version="test")


def test_a_cell_of_too_few_sites_shows_no_figure_at_all(tmp_path: Path, mart: Mart, study: Study) -> None:
    report = report_of(study, mart, tmp_path / "data", {"a": (200, 20), "b": (300, 20)})
    row = next(row for row in report.variation if row.quantity == "dlp_mgy_cm")
    assert row.suppressed == "fewer than 3 sites"
    assert (row.smallest, row.median, row.largest, row.fold) == (None,) * 4
    assert (row.sites, row.countries) == ((), ())
    assert report.suppressed > 0


def test_sites_and_countries_that_are_to_be_hidden_stand_nowhere_in_the_report(
    tmp_path: Path, mart: Mart, study: Study
) -> None:
    hidden = msgspec.structs.replace(study, disclosure=Disclosure(sites="hidden", countries="hidden"))
    report = report_of(hidden, mart, tmp_path / "data", {"a": (200, 20), "b": (300, 20), "c": (500, 20)})
    row = next(row for row in report.variation if row.quantity == "dlp_mgy_cm")
    assert row.fold is not None
    assert (row.sites, row.countries, row.smallest_place, row.largest_place) == ((), (), None, None)


def test_where_sites_are_hidden_the_only_site_of_a_country_is_named_by_no_figure_of_the_country(
    tmp_path: Path, mart: Mart, study: Study
) -> None:
    who = tuple(
        Participant(id=one, country=country)
        for one, country in (("a", "AT"), ("b", "JP"), ("c", "JP"), ("d", "JP"), ("e", "KE"))
    )
    between = tuple(Variation(quantity="dlp_mgy_cm", of=of) for of in ("sites", "countries"))
    hidden = msgspec.structs.replace(
        study, participants=who, results=between, disclosure=Disclosure(sites="hidden", minimum_sites=3)
    )
    levels = {"a": (110, 20), "b": (200, 20), "c": (300, 20), "d": (400, 20), "e": (2100, 20)}
    report = report_of(hidden, mart, tmp_path / "data", levels)
    sites, countries = report.variation
    assert (sites.places, sites.smallest_place, sites.largest_place, sites.sites) == (5, None, None, ())
    assert (countries.places, countries.exams, countries.countries_hidden) == (1, 60, 2)
    for row in report.variation:
        assert [(one.country, one.sites) for one in row.countries] == [("JP", 3)]
    assert countries.smallest == countries.largest == countries.countries[0].value
    assert (countries.fold, countries.quartile_ratio) == (None, None)  # of one country there is no variation
    fewer = msgspec.structs.replace(
        hidden, participants=tuple(msgspec.structs.replace(one, country=one.id.upper() * 2) for one in who)
    )
    countries = study_report(fewer, tmp_path / "data", now=NOW, version="test").variation[1]
    assert countries.suppressed is not None
    assert (countries.places, countries.exams, countries.median, countries.countries) == (None, None, None, ())


def children(facility: str, *, adult: int, other: int) -> list[dict[str, Any]]:
    child = {
        "facility": facility,
        "procedure": "ct-head",
        "phantom_cm": 16,
        "age_years": 7.0,
        "ctdi_vol_mgy": 20.0,
        "dlp_mgy_cm": 300.0,
    }
    return [{**child, "adult_protocol_on_child": i < adult} for i in range(adult + other)]


@pytest.mark.parametrize(
    ("by_site", "reason"),
    [
        ({"a": (1, 10), "b": (1, 10), "c": (1, 10)}, "fewer than 5 exams"),
        ({"a": (10, 1), "b": (10, 1), "c": (10, 1)}, "fewer than 5 exams"),
        ({"a": (6, 10), "b": (0, 10), "c": (0, 10)}, "fewer than 3 sites"),
        ({"a": (0, 10), "b": (0, 10), "c": (0, 10)}, None),
        ({"a": (2, 10), "b": (2, 10), "c": (2, 10)}, None),
    ],
)
def test_children_on_adult_protocols_are_a_cell_of_their_own_that_may_be_too_small(
    tmp_path: Path,
    mart: Mart,
    template: Callable[..., Study],
    by_site: dict[str, tuple[int, int]],
    reason: str | None,
) -> None:
    made = template("paediatric-ct", SITES)
    rows = [row for site, (adult, other) in by_site.items() for row in children(site, adult=adult, other=other)]
    collect(made, mart(rows), tmp_path / "data", now=NOW)
    (row,) = study_report(made, tmp_path / "data", now=NOW, version="test").adult_protocol
    assert row.split_suppressed == reason
    assert (row.exams, row.sites) == (len(rows), 3)
    used = sum(adult for adult, _ in by_site.values())
    assert row.adult_protocol == (None if reason else used)
    assert (row.share is None, row.sites_using is None) == (reason is not None,) * 2
    assert row.ratio == (1.0 if used and not reason else None)


def test_a_number_of_phases_at_too_few_sites_says_no_figure_in_any_form(
    tmp_path: Path, mart: Mart, study: Study
) -> None:
    rows = [chest(facility=site) for site in "abc" for _ in range(10)] + [chest(phase_count=4)]
    collect(study, mart(rows), tmp_path / "data", now=NOW)
    report = study_report(study, tmp_path / "data", now=NOW, version="test")
    shown = {row.phases: row for row in report.phases}
    assert shown[1].exams == 30
    assert shown[4].suppressed == "fewer than 3 sites"
    assert (shown[4].sites, shown[4].exams, shown[4].share, shown[4].median) == (None,) * 4


def test_a_study_of_phases_alone_counts_its_sites_as_analysed(tmp_path: Path, mart: Mart, study: Study) -> None:
    alone = msgspec.structs.replace(study, results=tuple(r for r in study.results if isinstance(r, Phases)))
    report = report_of(alone, mart, tmp_path / "data", {"a": (200, 20), "b": (300, 20), "c": (500, 20)})
    assert (report.flow[-1].label, report.flow[-1].sites, report.flow[-1].exams) == ("analysed", 3, 60)


def test_phantoms_are_never_put_together_where_the_study_fixes_none(tmp_path: Path, mart: Mart, study: Study) -> None:
    exam = msgspec.structs.replace(study.exams[0], phantom_cm=None)
    free = msgspec.structs.replace(study, exams=(exam,))
    data = tmp_path / "data"
    for site in "abc":
        rows = [chest(facility=site, ctdi_vol_mgy=8.0) for _ in range(12)]
        rows += [chest(facility=site, ctdi_vol_mgy=16.0, phantom_cm=16) for _ in range(12)]
        collect(free, mart(rows), data, now=NOW)
    report = study_report(free, data, now=NOW, version="test")
    found = {row.phantom_cm: row.median for row in report.variation if row.quantity == "ctdi_vol_mgy"}
    assert found == {16: 16.0, 32: 8.0}


def test_the_interval_of_a_fold_holds_it_and_narrows_with_more_exams(tmp_path: Path, mart: Mart, study: Study) -> None:
    widths = []
    for n in (12, 400):
        report = report_of(study, mart, tmp_path / f"data-{n}", {"a": (100, n), "b": (300, n), "c": (900, n)})
        row = next(row for row in report.variation if row.quantity == "dlp_mgy_cm")
        assert row.fold_low < row.fold < row.fold_high
        widths.append(row.fold_high / row.fold_low)
    assert widths[1] < widths[0]


def test_a_report_without_any_data_says_that_nobody_replied(tmp_path: Path, study: Study) -> None:
    report = study_report(study, tmp_path / "none", now=NOW, version="test")
    assert [step.sites for step in report.flow] == [3, 0, 0, 0, 0]
    assert report.variation == ()


def test_two_readings_of_one_schema_agree_that_every_variable_is_a_column_of_the_mart() -> None:
    from typing import get_args

    from doseatlas.studies.schema import VariableName
    from doseatlas.studies.sources import meaning

    for name in get_args(VariableName):
        assert name in SCHEMA.names
        assert meaning(name)
