"""Procedure names as hospitals write them: mapped where they are clear, left alone where they are not."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from doseatlas.model import Code, Event, Exam, Totals
from doseatlas.reference import procedures
from doseatlas.standardise import mapping
from doseatlas.standardise.mapping import map_procedure, mapping_key, suggest


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


ROWS = rows(Path(__file__).parent / "names.csv")
TABLES = Path(mapping.__file__).parent / "tables"
KINDS = {procedure.id: procedure.kind for procedure in procedures()}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['kind']} {row['name']}")
def test_a_name_as_hospitals_write_it_maps_as_a_physicist_would(row: dict[str, str]) -> None:
    expected = None if row["expected"] == "unmapped" else row["expected"]
    found = map_procedure(Exam(kind=row["kind"], procedure=row["name"]), {})  # type: ignore[arg-type]
    assert found == (expected, "rule" if expected else "unmapped")


def test_every_name_the_simulator_writes_maps_to_its_procedure() -> None:
    import doseatlas.dicom.simulate as simulate

    names = Path(simulate.__file__).parent / "tables" / "names.csv"
    wrong = []
    for row in rows(names):
        screened = row["procedure"].startswith(("xa", "rf"))
        exam = Exam(
            kind=KINDS[row["procedure"]],  # type: ignore[arg-type]
            procedure=row["text"],
            events=(Event(protocol=row["protocol"]),),
            totals=Totals(fluoro_time_s=60.0 if screened else None),
        )
        if map_procedure(exam, {})[0] != row["procedure"]:
            wrong.append((row["text"], row["procedure"]))
    assert wrong == []


def test_a_confirmed_decision_wins_over_every_rule() -> None:
    exam = Exam(kind="ct", procedure="CT Head")
    assert map_procedure(exam, {mapping_key(exam): "ct-sinuses"}) == ("ct-sinuses", "confirmed")


def test_the_key_does_not_depend_on_case_accents_punctuation_or_site_codes() -> None:
    keys = {
        mapping_key(Exam(kind="ct", procedure=name)) for name in ("TDM cérébral", "0815 tdm CEREBRAL", "TDM-Cérébral")
    }
    assert keys == {"ct:tdm cerebral"}


def test_the_key_falls_back_to_protocols_and_then_to_the_body_part() -> None:
    assert mapping_key(Exam(kind="ct", events=(Event(protocol="Thorax^Std"),))) == "ct:thorax std"
    assert mapping_key(Exam(kind="ct", body_part="CHEST")) == "ct:chest"
    assert mapping_key(Exam(kind="ct", procedure="4711", body_part="CHEST")) == "ct:chest"


def test_protocol_body_part_and_region_code_help_a_name_that_says_nothing() -> None:
    chest = Code(value="51185008", scheme="SCT")
    assert map_procedure(Exam(kind="ct", procedure="Routine", events=(Event(protocol="Thorax"),)), {})[0] == "ct-chest"
    assert map_procedure(Exam(kind="ct", procedure="Routine", body_part="CHEST"), {})[0] == "ct-chest"
    assert map_procedure(Exam(kind="ct", events=(Event(target_region_code=chest),)), {})[0] == "ct-chest"


def test_the_body_part_does_not_override_regions_that_the_name_states() -> None:
    assert map_procedure(Exam(kind="ct", procedure="CT head and abdomen", body_part="CHEST"), {}) == (None, "unmapped")


def test_fluoroscopy_is_not_taken_for_a_radiograph() -> None:
    assert map_procedure(Exam(kind="projection", modality="XA", procedure="Abdomen AP"), {}) == (None, "unmapped")


def test_the_sides_exposed_tell_a_bilateral_mammogram_from_a_unilateral_one() -> None:
    def mapped(*sides: str) -> str | None:
        events = tuple(Event(laterality=side) for side in sides)
        return map_procedure(Exam(kind="mammography", procedure="Mammografia", events=events), {})[0]

    assert mapped("L", "R") == "mg-bilateral"
    assert mapped("Left", "Left") == "mg-unilateral"


def test_suggestions_are_ranked_and_of_the_kind_asked() -> None:
    found = suggest("TC torase", "ct")
    assert found[0].procedure == "ct-chest"
    assert len(found) == 3
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert {KINDS[one.procedure] for one in found} == {"ct"}


def test_a_name_of_a_hundred_thousand_characters_is_cut_before_it_is_read() -> None:
    assert len(mapping_key(Exam(kind="ct", procedure="head " * 20_000))) < 300


def test_every_word_and_rule_of_the_tables_fits_and_can_take_effect() -> None:
    words = rows(TABLES / "mapping_words.csv")
    assert len({(row["match"], row["text"], row["fact"]) for row in words}) == len(words)
    facts = {row["fact"] for row in words} | {"both-sides", "one-side", "fluoroscopy"}
    rules = rows(TABLES / "mapping_rules.csv")
    for row in rules:
        assert set(row["needs"].split()) <= facts, row
        assert row["procedure"] in KINDS
    for row in rows(TABLES / "mapping_names.csv"):
        assert row["procedure"] in KINDS
        assert row["source"]
    assert all(row["source"] for row in words + rules)
