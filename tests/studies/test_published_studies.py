"""The shipped studies return the published figures when the sites' medians have the published ratios.

The figures are those of the abstracts and of the project's brief; sites, and all that is not stated there, are made up.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from doseatlas.studies import Receipt, Study, StudyReport, collect, study_report, write_study_workbook
from doseatlas.studies.answers import answer_rows
from doseatlas.studies.schema import Answers

from .conftest import NOW

Doses = Callable[[float, int], list[float]]


def report_of(study: Study, sources: list[tuple[str, Path]], data: Path) -> StudyReport:
    for participant, source in sources:
        collect(study, source, data, participant=participant, now=NOW)
    return study_report(study, data, now=NOW, version="test")


def test_paediatric_ct_varies_22_fold_between_sites_of_one_age_group_and_adult_protocols_double_the_dose(
    tmp_path: Path, mart: Callable[..., Path], template: Callable[..., Study], doses: Doses
) -> None:
    # 12 sites in 4 countries; the widest cell is the abdomen at 5 to 10 years: 22-fold, as the brief states.
    sites = [(f"hospital-{i}", ("JP", "KE", "BR", "PL")[i % 4]) for i in range(12)]
    study = template("paediatric-ct", sites)
    sources = []
    for i, (site, _) in enumerate(sites):
        rows: list[dict[str, Any]] = []
        for procedure, phantom, lowest, fold in (
            ("ct-head", 16, 12.0, 6),
            ("ct-chest", 32, 1.2, 10),
            ("ct-abdomen", 32, 1.5, 22),
        ):
            for age in (0.5, 3, 7, 12):
                widest = fold if age == 7 else fold / 2
                median = lowest * widest ** (i / 11)
                rows += [
                    {
                        "facility": site,
                        "procedure": procedure,
                        "phantom_cm": phantom,
                        "age_years": age,
                        "ctdi_vol_mgy": dose,
                        "dlp_mgy_cm": 20 * dose,
                        "adult_protocol_on_child": False,
                    }
                    for dose in doses(median, 11)
                ]
        # At 12 years, each child has a twin on an adult protocol, at the factor published for the part of the body.
        rows += [
            {**row, "ctdi_vol_mgy": factor * row["ctdi_vol_mgy"], "adult_protocol_on_child": True}
            for row in [one for one in rows if one["age_years"] == 12]
            for factor in [1.5 if row["procedure"] == "ct-abdomen" else 2.0]
        ]
        sources.append((site, mart(rows)))
    report = report_of(study, sources, tmp_path / "data")

    by_cell = {(r.exam, r.group, r.quantity): r for r in report.variation}
    most = max((r for r in report.variation if r.quantity == "ctdi_vol_mgy"), key=lambda r: r.fold or 0)
    assert (most.exam, most.group) == ("abdomen", "5-to-10")
    assert most.fold == pytest.approx(22, rel=1e-9)
    assert most.fold_low is not None
    assert most.fold_high is not None
    assert most.fold_low < 22 < most.fold_high
    assert {r.group for r in report.variation} == {"under-1", "1-to-5", "5-to-10", "10-to-15"}
    assert by_cell["head", "5-to-10", "ctdi_vol_mgy"].phantom_cm == 16
    adult = {(r.exam, r.group): r for r in report.adult_protocol}
    assert {adult[exam, "5-to-10"].adult_protocol for exam in ("head", "chest", "abdomen")} == {0}
    for exam, factor in (("head", 2.0), ("chest", 2.0), ("abdomen", 1.5)):
        row = adult[exam, "10-to-15"]
        assert (row.adult_protocol, row.share, row.sites_using, row.sites) == (132, 0.5, 12, 12)
        assert row.ratio == pytest.approx(factor)


def test_stones_ct_varies_12_fold_between_countries_and_3_to_6_phases_cost_2_4_to_4_9_times_two(
    tmp_path: Path, mart: Callable[..., Path], template: Callable[..., Study], doses: Doses, fill: Callable[..., Path]
) -> None:
    countries = ["AT", "BE", "BG", "BR", "CL", "CZ", "EE", "FI", "GR", "HU", "IN", "JP", "KE"]
    countries += ["LT", "MX", "PL", "RO", "RS", "TH", "UY"]
    sites = [(f"{country}-{i}", country) for country in countries for i in range(2)]
    study = template("haematuria-stones", sites)
    # Urography: 20 % of exams in 2 phases, 80 % in 3 to 6; medians by the number of phases as published.
    by_phases = {2: (740, 8), 3: (1793, 10), 4: (2200, 10), 5: (2900, 6), 6: (3618, 6)}
    # Routine abdomen and pelvis: 37 % of exams in one phase, 52 % in 3 to 5.
    routine = {1: (676, 37), 2: (1100, 11), 3: (1574, 20), 4: (2200, 17), 5: (2945, 15)}
    sources = []
    for number, (site, country) in enumerate(sites):
        level = 219 * (2664 / 219) ** (countries.index(country) / 19)
        # Two sites of one country lie evenly about its median.
        own = level * (1.2 if number % 2 else 0.8)
        rows = [
            {"facility": site, "procedure": "ct-kidneys-ureters-bladder", "dlp_mgy_cm": dose, "phase_count": 1}
            for dose in doses(own, 15)
        ]
        for phases, (median, n) in by_phases.items():
            rows += [
                {"facility": site, "procedure": "ct-urography", "dlp_mgy_cm": dose, "phase_count": phases}
                for dose in doses(median, n)
            ]
        if number % 2 == 0:
            rows += [
                {
                    "facility": site,
                    "procedure": "ct-abdomen-pelvis",
                    "procedure_text": "Abdomen, haematuria",
                    "dlp_mgy_cm": dose,
                    "phase_count": phases,
                }
                for phases, (median, n) in routine.items()
                for dose in doses(median, n)
            ]
            workbook = tmp_path / f"{site}.xlsx"
            write_study_workbook(study, workbook, participant=site)
            reduced = country in ("AT", "FI", "JP", "PL")
            sources.append((site, fill(workbook, {"Is a reduced-dose": "yes" if reduced else "no"})))
        sources.append((site, mart(rows)))
    report = report_of(study, sources, tmp_path / "data")

    stones = next(r for r in report.variation if r.of == "countries")
    assert (stones.exam, stones.places) == ("stones", 20)
    assert stones.smallest == pytest.approx(219)
    assert stones.largest == pytest.approx(2664)
    assert stones.fold == pytest.approx(12.2, abs=0.05)
    by_number = {r.phases: r for r in report.phases if r.exam == "urography"}
    assert by_number[2].median == pytest.approx(740, rel=0.02)
    assert [round(by_number[n].ratio or 0, 1) for n in (3, 6)] == [2.4, 4.9]
    assert sum(r.share or 0 for n, r in by_number.items() if n >= 3) == pytest.approx(0.8)
    of_routine = {r.phases: r for r in report.phases if r.exam == "abdomen-pelvis"}
    assert of_routine[1].median == pytest.approx(676, rel=0.02)
    assert [of_routine[n].ratio for n in (3, 5)] == [
        pytest.approx(1574 / 676, rel=0.02),
        pytest.approx(2945 / 676, rel=0.02),
    ]
    assert of_routine[1].share == pytest.approx(0.37)
    assert sum(of_routine[n].share or 0 for n in (3, 4, 5)) == pytest.approx(0.52)
    reduced_use = {(r.of, r.answer): (r.count, r.answered) for r in report.answers}
    assert reduced_use["countries", "yes"] == (4, 20)
    assert reduced_use["participants", "yes"] == (4, 20)


@pytest.mark.parametrize(
    ("study_name", "question", "of", "yes", "answered", "percent"),
    [
        # The abstract counts institutions that answered, the brief countries: each has its own denominator.
        ("haematuria-stones", "reduced-dose", "participants", 4, 13, 31),
        ("haematuria-stones", "reduced-dose", "countries", 4, 20, 20),
        # Published as "three quarters" and "less than one half" of the sites.
        ("covid19-chest-ct", "severity", "participants", 42, 56, 75),
        ("covid19-chest-ct", "initial-diagnosis", "participants", 27, 56, 48),
    ],
)
def test_shares_are_of_those_that_answered(
    template: Callable[..., Study], study_name: str, question: str, of: Any, yes: int, answered: int, percent: int
) -> None:
    study = template(study_name, [])
    receipts = {
        f"s{i}": Receipt(
            study=study.id,
            participant=f"s{i}",
            country=f"C{i}",
            answers={question: "yes" if i < yes else "no"} if i < answered else {},
            collected_at=NOW,
        )
        for i in range(62)
    }
    found = {row.answer: row for row in answer_rows(study, receipts, Answers(questions=(question,), of=of))}
    assert (found["yes"].count, found["yes"].answered) == (yes, answered)
    assert round(100 * found["yes"].share) == percent
    assert found["yes"].share + found["no"].share == pytest.approx(1)


def test_covid_chest_ct_varies_10_fold_and_54_of_62_sites_in_28_of_34_countries_are_analysed(
    tmp_path: Path, mart: Callable[..., Path], template: Callable[..., Study], doses: Doses, fill: Callable[..., Path]
) -> None:
    countries = [f"C{i:02}" for i in range(34)]
    analysed = [(f"site-{i:02}", countries[i % 28]) for i in range(54)]
    left_out = [(f"out-{i}", countries[28 + i] if i < 6 else countries[i]) for i in range(8)]
    study = template("covid19-chest-ct", [*analysed, *left_out])
    sources = []

    def chest(site: str, values: list[float], **other: Any) -> Path:
        usual = {"facility": site, "procedure_text": "CT Thorax, COVID-19", "month": "2020-06", "ctdi_vol_mgy": 8.0}
        return mart({**usual, "dlp_mgy_cm": dose, **other} for dose in values)

    for i, (site, _) in enumerate(analysed):
        n = 14 if i < 28 else 15  # 782 patients in all
        sources.append((site, chest(site, doses(80 * 10 ** (i / 53), n))))
    for i, (site, _) in enumerate(left_out):
        if i < 3:
            workbook = tmp_path / f"{site}.xlsx"
            write_study_workbook(study, workbook, participant=site)
            sources.append((site, fill(workbook, {"Is chest CT used to assess": "yes"})))
        elif i < 5:
            sources.append((site, chest(site, doses(300, 20), month="2020-09")))
        elif i < 6:
            sources.append((site, chest(site, doses(300, 20), ctdi_vol_mgy=None)))
        else:
            sources.append((site, chest(site, doses(300, 4))))
    report = report_of(study, sources, tmp_path / "data")

    steps = {step.label: step for step in report.flow}
    assert (steps["asked to take part"].sites, steps["asked to take part"].countries) == (62, 34)
    assert (steps["replied"].sites, steps["replied"].countries) == (62, 34)
    assert (steps["analysed"].sites, steps["analysed"].countries, steps["analysed"].exams) == (54, 28, 782)
    why = {one.reason: one.sites for step in report.flow for one in step.left_out}
    assert why == {
        "answers only, no exams": 3,
        "outside the study's period, or undated": 2,
        "CTDIvol not stated": 1,
        "fewer than 10 exams of one kind and group at the site": 2,
    }
    # What leaves between two boxes is what the second lacks, in sites.
    for before, after in pairwise(report.flow):
        assert before.sites - sum(one.sites for one in before.left_out) == after.sites
    dlp = next(r for r in report.variation if r.quantity == "dlp_mgy_cm")
    assert dlp.fold == pytest.approx(10, rel=1e-9)
    assert dlp.exams == 782


def test_the_24_country_survey_of_legislation_returns_its_figures(
    tmp_path: Path, template: Callable[..., Study], fill: Callable[..., Path]
) -> None:
    countries = [f"K{i:02}" for i in range(24)]
    study = template("regulation-survey", [(country, country) for country in countries])
    sources = []
    for i, country in enumerate(countries):
        path = tmp_path / f"{country}.xlsx"
        write_study_workbook(study, path, participant=country)
        answers = {
            "Is access to a medical physicist": "yes" if i < 10 else "no",
            "Is a quality assurance programme": "yes" if i < 10 else "partly" if i < 20 else "no",
            "Are DRLs": "yes" if i < 11 else "partly" if i < 21 else "no",
        }
        # Published is "40 %" without a denominator, and no whole number of 24 countries is that: 20 answer here.
        if i < 20:
            answers["Is formal education"] = "yes" if i < 8 else "no"
        sources.append((country, fill(path, answers)))
    report = report_of(study, sources, tmp_path / "data")

    found = {(row.question, row.answer): row for row in report.answers}
    assert {key: found[key].count for key in found if key[1] != "no"} == {
        ("medical-physicist", "yes"): 10,
        ("medical-physicist", "partly"): 0,
        ("qa-programme", "yes"): 10,
        ("qa-programme", "partly"): 10,
        ("drl", "yes"): 11,
        ("drl", "partly"): 10,
        ("technologist-education", "yes"): 8,
        ("technologist-education", "partly"): 0,
    }
    assert round(100 * found["medical-physicist", "yes"].share) == 42
    assert round(100 * found["qa-programme", "yes"].share) == 42
    assert round(100 * found["drl", "yes"].share) == 46
    assert found["drl", "yes"].answered == 24
    assert found["technologist-education", "yes"].answered == 20
    assert found["technologist-education", "yes"].share == pytest.approx(0.40)
    assert np.isclose(sum(found["drl", answer].share for answer in ("yes", "partly", "no")), 1)
