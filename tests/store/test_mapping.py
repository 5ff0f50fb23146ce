"""Decisions on names: at once, on the exams they concern, and never forgotten."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from doseatlas.model import MappingError
from doseatlas.reference import procedures
from doseatlas.store import DecisionsApplied, Store, import_paths
from doseatlas.store.mapping import COLUMNS


@pytest.fixture
def unmapped(store: Store, odd_names: Path) -> Store:
    """A store with exams whose names no rule knows."""
    import_paths(store, [odd_names])
    store.refresh_mart()
    assert store.counts().unmapped == 3
    return store


def _decide(file: Path, *rows: tuple[str, str]) -> Path:
    file.write_text("key,procedure\n" + "".join(f"{key},{procedure}\n" for key, procedure in rows), encoding="utf-8")
    return file


def test_unmapped_names_come_the_most_frequent_first_with_suggestions(unmapped: Store) -> None:
    names = unmapped.unmapped()
    assert [(name.text, name.kind, name.count) for name in names] == [("Zz Qqa", "ct", 2), ("Zz Qqb", "ct", 1)]
    assert all(name.suggestions for name in names)


def test_a_decision_maps_its_exams_at_once_and_no_others(unmapped: Store, tmp_path: Path) -> None:
    before = {file: file.stat().st_ino for file in unmapped.mart_dir.rglob("*.parquet")}
    file = _decide(tmp_path / "names.csv", ("ct:zz qqa", "ct-head"))
    assert unmapped.apply_decisions(file) == DecisionsApplied(decisions=1, exams=2)
    assert unmapped.counts().unmapped == 1
    assert unmapped.refresh_mart() == 1
    after = {file: file.stat().st_ino for file in unmapped.mart_dir.rglob("*.parquet")}
    assert sum(before[file] != after[file] for file in before) == 1
    assert unmapped.apply_decisions(file) == DecisionsApplied(decisions=0, exams=0)


def test_a_decision_leaves_exams_with_the_facility_that_their_sender_is_bound_to(
    store: Store, odd_names: Path, tmp_path: Path, facilities: Callable[[Store], dict[str, str]]
) -> None:
    import_paths(store, [odd_names], facility="North Hospital")
    assert store.apply_decisions(_decide(tmp_path / "names.csv", ("ct:zz qqa", "ct-head"))).exams == 2
    assert set(facilities(store).values()) == {"North Hospital"}


def test_a_decision_holds_for_what_is_imported_later(store: Store, odd_names: Path, tmp_path: Path) -> None:
    store.apply_decisions(_decide(tmp_path / "names.csv", ("ct:zz qqa", "ct-head")))
    import_paths(store, [odd_names])
    assert store.counts().unmapped == 1


def test_a_later_decision_supersedes_and_the_history_stays(unmapped: Store, tmp_path: Path) -> None:
    unmapped.apply_decisions(_decide(tmp_path / "names.csv", ("ct:zz qqa", "ct-head")))
    unmapped.apply_decisions(_decide(tmp_path / "names.csv", ("ct:zz qqa", "ct-chest")))
    history = [(decision.procedure, decision.superseded) for decision in unmapped.decisions()]
    assert history == [("ct-chest", False), ("ct-head", True)]


def test_what_is_exported_comes_back_filled(unmapped: Store, tmp_path: Path) -> None:
    file = tmp_path / "names.csv"
    assert unmapped.export_unmapped(file) == 2
    with file.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert tuple(rows[0]) == COLUMNS
    assert unmapped.apply_decisions(file) == DecisionsApplied(decisions=0, exams=0)
    for row in rows:
        row["procedure"] = "ct-head"
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
    assert unmapped.apply_decisions(file) == DecisionsApplied(decisions=2, exams=3)
    assert unmapped.unmapped() == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("key,procedure\nct:zz qqa,ct-head\nct:zz qqb,not-a-procedure\n", "line 3.*not-a-procedure"),
        ("key,procedure\nsome name,ct-head\n", "is not a key"),
        ("key,procedure\nct:,ct-head\n", "is not a key"),
        ("key,procedure\nprojection:zz qqa,ct-head\n", "of kind ct"),
        ("key,procedure\nct:zz qqa,ct-head\nct:zz qqa,ct-chest\n", "decided twice"),
        ("name,procedure\nct:zz qqa,ct-head\n", "columns 'key' and 'procedure'"),
        ("", "columns 'key' and 'procedure'"),
    ],
)
def test_a_wrong_row_is_named_and_nothing_is_changed(unmapped: Store, tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "names.csv"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(MappingError, match=said):
        unmapped.apply_decisions(file)
    assert unmapped.decisions() == []
    assert unmapped.counts().unmapped == 3


def test_a_file_that_is_no_text_or_not_there_is_named(unmapped: Store, tmp_path: Path) -> None:
    (tmp_path / "names.csv").write_bytes(b"key,procedure\nct:\xff\xfe,ct-head\n")
    with pytest.raises(MappingError, match="UTF-8"):
        unmapped.apply_decisions(tmp_path / "names.csv")
    with pytest.raises(MappingError, match="cannot be read"):
        unmapped.apply_decisions(tmp_path / "nowhere.csv")


def test_a_formula_in_a_name_is_not_handed_to_a_spreadsheet(store: Store, odd_names: Path, tmp_path: Path) -> None:
    import pydicom

    report = pydicom.dcmread(next(odd_names.iterdir()))
    report.StudyDescription = "=HYPERLINK(zzqq)"
    report.save_as(tmp_path / "report.dcm")
    import_paths(store, [tmp_path / "report.dcm"])
    store.export_unmapped(tmp_path / "names.csv")
    assert ",'=HYPERLINK" in (tmp_path / "names.csv").read_text(encoding="utf-8-sig")


def test_the_procedures_these_tests_speak_of_exist() -> None:
    assert {"ct-head", "ct-chest"} <= {procedure.id for procedure in procedures()}
