"""Rebuilding: everything derived again from the archive, swapped at the end, nothing lost on the way."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import text

from doseatlas.dicom import read_bytes
from doseatlas.model import StoreError
from doseatlas.settings import Settings
from doseatlas.store import Store, import_paths, prepare, rebuilding

Listed = Callable[[Store], list[str]]
Facilities = Callable[[Store], dict[str, str]]


@pytest.fixture
def filled(store: Store, objects: Path) -> Store:
    """A store with the simulated objects."""
    import_paths(store, [objects])
    store.refresh_mart()
    return store


def test_the_same_rules_give_the_same_exams(filled: Store, listed: Listed) -> None:
    exams, counts = listed(filled), filled.counts()
    summary = filled.rebuild()
    assert listed(filled) == exams
    assert filled.counts() == counts
    assert (summary.exams, summary.read_again) == (counts.exams, counts.objects)
    assert (summary.kept, summary.damaged, summary.refused, summary.ignored) == (0, 0, 0, 0)


def test_worker_processes_rebuild_the_same(
    objects: Path, tmp_path: Path, listed: Listed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuilding, "_BATCH_OBJECTS", 15)
    with Store.from_settings(Settings(data_dir=str(tmp_path), jobs=2)) as store:
        import_paths(store, [objects])
        exams = listed(store)
        store.rebuild()
        assert listed(store) == exams


def test_real_objects_come_out_of_the_archive_as_they_went_in(store: Store, corpus: Path, listed: Listed) -> None:
    import_paths(store, [corpus])
    exams = listed(store)
    assert len(exams) > 50
    store.rebuild()
    assert listed(store) == exams


def test_a_rule_that_changed_takes_effect(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def changed(*given: object, **named: object) -> object:
        reading = read_bytes(*given, **named)  # type: ignore[arg-type]
        return msgspec.structs.replace(reading, exam=msgspec.structs.replace(reading.exam, body_part="NEW RULE"))

    monkeypatch.setattr(prepare, "read_bytes", changed)
    filled.rebuild()
    assert {exam.body_part for exam in filled.exams()} == {"NEW RULE"}
    assert filled.refresh_mart() > 0


def test_interrupted_it_has_changed_nothing(filled: Store, listed: Listed, monkeypatch: pytest.MonkeyPatch) -> None:
    exams, counts = listed(filled), filled.counts()
    monkeypatch.setattr(rebuilding, "_BATCH_OBJECTS", 10)

    def interrupt(done: int, total: int | None) -> None:
        if done > 25:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        filled.rebuild(progress=interrupt)
    assert (listed(filled), filled.counts()) == (exams, counts)
    filled.rebuild()
    assert (listed(filled), filled.counts()) == (exams, counts)


def test_decisions_stay(filled: Store, tmp_path: Path) -> None:
    (tmp_path / "names.csv").write_text("key,procedure\nct:some name,ct-head\n")
    filled.apply_decisions(tmp_path / "names.csv")
    filled.rebuild()
    assert [decision.key for decision in filled.decisions()] == ["ct:some name"]


def test_objects_that_were_not_archived_are_kept_as_read(settings: Settings, objects: Path, listed: Listed) -> None:
    with Store.from_settings(msgspec.structs.replace(settings, archive=False)) as store:
        import_paths(store, [objects])
        exams, counts = listed(store), store.counts()
        summary = store.rebuild()
        assert (summary.read_again, summary.kept) == (0, counts.objects)
        assert (listed(store), store.counts()) == (exams, counts)


def test_what_the_archive_does_not_give_back_is_kept_as_read(filled: Store, listed: Listed) -> None:
    exams = listed(filled)
    (pack,) = filled.archive.folder.glob("??/*.pack")
    damaged = bytearray(pack.read_bytes())
    damaged[40:60] = bytes(20)
    pack.write_bytes(damaged)
    summary = filled.rebuild()
    assert (summary.damaged, summary.kept) == (1, 1)
    assert listed(filled) == exams


def test_a_pack_without_its_index_stops_it_before_anything_has_changed(filled: Store, listed: Listed) -> None:
    exams = listed(filled)
    (pack,) = filled.archive.folder.glob("??/*.pack")
    pack.write_bytes(pack.read_bytes()[:-30])
    with pytest.raises(StoreError, match=r"damaged.*backup"):
        filled.rebuild()
    assert listed(filled) == exams
    pack.unlink()
    assert filled.rebuild().kept == filled.counts().objects
    assert listed(filled) == exams


def test_a_lost_database_comes_back_from_the_archive(settings: Settings, objects: Path, listed: Listed) -> None:
    with Store.from_settings(settings) as store:
        import_paths(store, [objects])
        exams = listed(store)
    new = msgspec.structs.replace(settings, store=f"sqlite:///{settings.data_path}/another.sqlite")
    with Store.from_settings(new) as store:
        assert store.counts().objects == 0
        store.rebuild()
        assert listed(store) == exams


def test_an_archive_that_keeps_identity_otherwise_is_not_taken_in(settings: Settings, objects: Path) -> None:
    plain = msgspec.structs.replace(settings, identity="plain")
    with Store.from_settings(plain) as store:
        import_paths(store, [objects])
    new = msgspec.structs.replace(settings, store=f"sqlite:///{settings.data_path}/another.sqlite")
    with Store.from_settings(new) as store:
        with pytest.raises(StoreError, match="keeps identity in another form"):
            store.rebuild()
        assert store.counts().objects == 0


def test_what_was_imported_meanwhile_is_kept(filled: Store, corpus: Path, listed: Listed) -> None:
    more = corpus / "rdsr" / "CT-RDSR-Siemens_Flash-TAP-SS.dcm"
    before = filled.counts().objects
    imported: list[int] = []

    def import_more(done: int, total: int | None) -> None:
        if not imported:
            imported.append(import_paths(filled, [more]).imported)

    summary = filled.rebuild(progress=import_more)
    assert imported == [1]
    assert (summary.read_again, summary.kept) == (before, 1)
    assert filled.counts().objects == before + 1


def test_of_two_rebuilds_the_later_one_goes_on(filled: Store, listed: Listed, monkeypatch: pytest.MonkeyPatch) -> None:
    exams = listed(filled)
    monkeypatch.setattr(rebuilding, "_BATCH_OBJECTS", 30)
    begun: list[bool] = []

    def begin_another(done: int, total: int | None) -> None:
        if not begun:
            begun.append(True)
            filled.rebuild()

    with pytest.raises(StoreError, match="Another rebuild"):
        filled.rebuild(progress=begin_another)
    assert listed(filled) == exams


def test_what_was_ignored_is_looked_at_again_after_a_rebuild(
    store: Store, without_dose: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_paths(store, [without_dose])
    store.rebuild()
    assert store.counts().ignored == 1
    with store.database.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM ignored WHERE stale")).scalar() == 1
    assert import_paths(store, [without_dose]).ignored == 1
    assert store.counts().ignored == 1
    with store.database.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM ignored WHERE stale")).scalar() == 0


def test_the_facility_that_a_sender_is_bound_to_comes_back_with_the_archive_alone(
    objects: Path, settings: Settings, tmp_path: Path, facilities: Facilities
) -> None:
    files = sorted(objects.rglob("*.dcm"))[:6]
    with Store.from_settings(settings) as store:
        import_paths(store, files[:3], facility="North")
        import_paths(store, files[3:])
        before = facilities(store)
        assert set(before.values()) > {"North"}
        store.rebuild()
        assert facilities(store) == before
    lost = Settings(data_dir=str(tmp_path / "found"), jobs=1)
    shutil.copytree(store.archive.folder, lost.data_path / "archive")
    shutil.copy(store.data_dir / "identity.key", lost.data_path / "identity.key")
    with Store.from_settings(lost) as found:
        found.rebuild()
        assert facilities(found) == before


def test_a_bound_facility_outlives_a_rebuild_where_no_original_is_kept(
    objects: Path, tmp_path: Path, facilities: Facilities
) -> None:
    settings = Settings(data_dir=str(tmp_path), jobs=1, archive=False)
    with Store.from_settings(settings) as store:
        import_paths(store, sorted(objects.rglob("*.dcm"))[:3], facility="North")
        store.rebuild()
        assert set(facilities(store).values()) == {"North"}
