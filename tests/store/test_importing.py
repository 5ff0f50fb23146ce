"""Importing: each object once, one exam a study and kind, nothing lost, on both databases."""

from __future__ import annotations

import datetime as dt
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from doseatlas.dicom import find_objects, read_bytes
from doseatlas.model import Exam
from doseatlas.settings import Settings
from doseatlas.standardise import exam_kind_key, merge
from doseatlas.store import Counts, Outcome, Store, import_paths, importing

Listed = Callable[[Store], list[str]]
Facilities = Callable[[Store], dict[str, str]]


def test_every_object_is_accounted_for_and_every_study_is_one_exam(store: Store, objects: Path) -> None:
    summary = import_paths(store, [objects])
    found = [source.path for source in find_objects([objects])]
    assert summary.objects == len(found)
    assert summary.imported > 50
    dose = [exam for path in found if (exam := _read(Path(path))).kind not in ("not-dose", "refused")]
    assert store.counts().exams == len({exam_kind_key(exam) for exam in dose})
    assert len(list(store.exams())) == store.counts().exams


def test_importing_the_same_objects_again_changes_nothing(store: Store, objects: Path, listed: Listed) -> None:
    first = import_paths(store, [objects])
    store.refresh_mart()
    exams, counts, files = listed(store), store.counts(), _files(store.data_dir)
    second = import_paths(store, [objects])
    assert second.imported == 0
    assert second.already_there == first.imported + first.already_there
    assert (second.ignored, second.refused, second.reasons) == (first.ignored, first.refused, first.reasons)
    assert listed(store) == exams
    assert store.counts() == counts
    assert store.refresh_mart() == 0
    assert _files(store.data_dir) == files


def test_the_same_bytes_under_another_name_count_once(store: Store, objects: Path, tmp_path: Path) -> None:
    file = next(objects.rglob("*.dcm"))
    for name in ("a.dcm", "b.dcm"):
        shutil.copy(file, tmp_path / name)
    summary = import_paths(store, [tmp_path / "a.dcm", tmp_path / "b.dcm"])
    assert (summary.imported, summary.already_there) == (1, 1)
    assert store.counts().objects == 1


def test_an_exam_is_what_its_objects_state_together(store: Store, objects: Path) -> None:
    import_paths(store, [objects])
    groups: dict[tuple[str, str], list[Exam]] = {}
    for source in find_objects([objects]):
        exam = _read(Path(source.path))
        if exam.kind not in ("not-dose", "refused"):
            groups.setdefault(exam_kind_key(exam), []).append(exam)
    expected = {key: merge(group) for key, group in groups.items()}
    assert any(len(group) > 1 for group in groups.values())
    for exam in store.exams():
        other = expected[exam_kind_key(exam)]
        assert (exam.totals, exam.events, exam.device) == (other.totals, other.events, other.device)


@pytest.mark.parametrize("turned", [False, True])
def test_reports_continued_later_add_up_whichever_comes_first(store: Store, corpus: Path, turned: bool) -> None:
    names = ["CT-RDSR-Siemens-Continued-1.dcm", "CT-RDSR-Siemens-Continued-2.dcm"]
    for name in names[::-1] if turned else names:
        assert import_paths(store, [corpus / "rdsr" / name]).imported == 1
    (exam,) = store.exams()
    assert exam.totals.dlp_mgy_cm == pytest.approx(60.17 + 56.44)
    assert len(exam.events) == 4


def test_one_dose_in_another_encoding_is_already_there(store: Store, corpus: Path) -> None:
    names = ("CT-RDSR-Philips_Ingenuity.dcm", "CT-RDSR-Philips_Ingenuity-same-dose-other-encoding.dcm")
    summary = import_paths(store, [corpus / "rdsr" / name for name in names])
    assert (summary.imported, summary.already_there) == (1, 1)
    (exam,) = store.exams()
    assert exam.totals.dlp_mgy_cm == pytest.approx(802.9)


def test_a_corrected_report_replaces_what_it_corrects(store: Store, corrected: tuple[Path, Path]) -> None:
    wrong, right = corrected
    import_paths(store, [wrong])
    import_paths(store, [right])
    (exam,) = store.exams()
    assert exam.sop_instance_uid == _read(right).sop_instance_uid
    assert exam.totals == _read(right).totals
    assert "replaced" in {note.code for note in exam.notes}
    assert store.counts().objects == 2


def test_what_is_refused_is_kept_with_its_reason_until_it_reads_well(
    store: Store, objects: Path, tmp_path: Path
) -> None:
    file = tmp_path / "report.dcm"
    file.write_bytes(b"this is not DICOM")
    summary = import_paths(store, [file])
    assert (summary.refused, summary.reasons) == (1, {"not-dicom": 1})
    (refused,) = store.refused()
    assert (refused.path, refused.code) == (str(file), "not-dicom")
    assert refused.message.endswith(".")
    assert store.refused_counts() == {"not-dicom": 1}
    import_paths(store, [file])
    assert len(store.refused()) == 1
    shutil.copy(next(objects.rglob("*.dcm")), file)
    assert import_paths(store, [file]).imported == 1
    assert store.refused() == []


def test_a_path_that_is_not_there_is_refused(store: Store, tmp_path: Path) -> None:
    assert import_paths(store, [tmp_path / "nowhere"]).reasons == {"not-found": 1}


def test_an_object_without_dose_is_ignored_and_not_read_again(
    store: Store, without_dose: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert import_paths(store, [without_dose]).ignored == 1
    assert store.counts() == Counts(exams=0, objects=0, refused=0, ignored=1, unmapped=0)
    monkeypatch.setattr(importing, "prepare", None)
    assert import_paths(store, [without_dose]).ignored == 1


def test_members_of_a_zip_archive_are_imported(store: Store, objects: Path, tmp_path: Path, listed: Listed) -> None:
    files = sorted(objects.rglob("*.dcm"))[:5]
    with zipfile.ZipFile(tmp_path / "sent.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, file.name)
    assert import_paths(store, [tmp_path / "sent.zip"]).imported == 5
    assert all(str(tmp_path / "sent.zip") in line for line in listed(store))


def test_a_spool_file_may_be_removed_once_it_is_told_as_committed(store: Store, objects: Path, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    for file in sorted(file for file in objects.rglob("*.dcm") if not file.stem.endswith("-2"))[:9]:
        shutil.copy(file, spool)

    def remove(outcomes: object) -> None:
        for outcome in msgspec.convert(outcomes, list[Outcome], from_attributes=True):
            assert outcome.result == "imported"
            Path(outcome.path).unlink()

    import_paths(store, [spool], committed=remove)
    assert not list(spool.iterdir())
    assert store.counts().objects == 9


def test_progress_ends_with_all_that_was_found(store: Store, objects: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "BATCH_OBJECTS", 20)
    told: list[tuple[int, int | None]] = []
    summary = import_paths(store, [objects], progress=lambda done, total: told.append((done, total)))
    assert len(told) > 3
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert told[-1] == (summary.objects, summary.objects)


def test_worker_processes_give_the_same_store_as_one_process(
    settings: Settings, objects: Path, tmp_path: Path, listed: Listed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "BATCH_OBJECTS", 15)
    with Store.from_settings(msgspec.structs.replace(settings, jobs=2)) as store:
        import_paths(store, [objects])
        by_two = listed(store)
    monkeypatch.undo()
    alone = Settings(data_dir=str(tmp_path / "alone"), jobs=1)
    with Store.from_settings(alone) as store:
        import_paths(store, [objects])
        assert listed(store) == by_two


def test_exams_are_chosen_by_kind_and_day(store: Store, objects: Path) -> None:
    import_paths(store, [objects])
    everything = list(store.exams())
    dates = [exam.study_date or "" for exam in everything]
    assert dates == sorted(dates)
    day = sorted(filter(None, dates))[len(dates) // 2]
    since = list(store.exams(since=dt.date.fromisoformat(day)))
    until = list(store.exams(until=dt.date.fromisoformat(day)))
    assert {exam.study_date for exam in since} == {date for date in dates if date >= day}
    assert {exam.study_date for exam in until} == {date for date in dates if date and date <= day}
    assert {exam.kind for exam in store.exams(kind="ct")} == {"ct"}


def test_without_an_archive_no_original_is_kept(settings: Settings, objects: Path) -> None:
    with Store.from_settings(msgspec.structs.replace(settings, archive=False)) as store:
        assert import_paths(store, [objects]).imported > 50
        assert not list(store.data_dir.rglob("*.pack"))


def test_the_facility_that_is_set_goes_before_the_institution_stated(settings: Settings, objects: Path) -> None:
    with Store.from_settings(msgspec.structs.replace(settings, facility="Our House")) as store:
        import_paths(store, [objects])
        store.refresh_mart()
        assert len({file.parent for file in store.mart_dir.rglob("*.parquet")}) == 1


def _read(path: Path) -> Exam:
    return read_bytes(path.read_bytes(), path=str(path)).exam


def _files(folder: Path) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.suffix in (".pack", ".parquet", ".key")}


@pytest.mark.parametrize("turned", [False, True])
def test_a_second_sender_leaves_an_exam_with_the_facility_that_the_first_is_bound_to(
    store: Store, corpus: Path, facilities: Facilities, turned: bool
) -> None:
    names = ["CT-RDSR-Siemens-Continued-1.dcm", "CT-RDSR-Siemens-Continued-2.dcm"]
    bound = ["North Hospital", None]
    for name, facility in zip(names, bound[::-1] if turned else bound, strict=True):
        import_paths(store, [corpus / "rdsr" / name], facility=facility)
    assert list(facilities(store).values()) == ["North Hospital"]


def test_a_bound_facility_goes_before_the_setting(objects: Path, tmp_path: Path, facilities: Facilities) -> None:
    first, second = sorted(objects.rglob("*.dcm"))[:2]
    with Store.from_settings(Settings(data_dir=str(tmp_path), jobs=1, facility="All of us")) as store:
        import_paths(store, [first], facility="North Hospital")
        import_paths(store, [second])
        assert sorted(facilities(store).values()) == ["All of us", "North Hospital"]
