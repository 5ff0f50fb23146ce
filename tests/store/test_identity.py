"""Identity: nowhere in the store unless that is what was asked for."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pydicom
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from doseatlas.dicom import find_objects, read_bytes
from doseatlas.model import Identity, SettingsError, StoreError
from doseatlas.settings import Settings
from doseatlas.store import Store, import_paths
from doseatlas.store.archive import read_index, read_original
from doseatlas.store.identity import accession_pseudonym, load_key, masked, patient_pseudonym

NAME, PATIENT_ID, ACCESSION, BIRTH_DATE = "Quillfeather^Zebedee", "PID-7741902", "ACC-556677", "19510203"
SECRETS = [text.encode() for text in ("Quillfeather", "Zebedee", PATIENT_ID, ACCESSION, BIRTH_DATE, "1951-02-03")]
KEY = bytes(range(32))


@pytest.fixture
def named(objects: Path, tmp_path: Path) -> Path:
    """A report that states identity everywhere: in its header, in texts, in the name of its folder."""
    source = pydicom.dcmread(next(file for file in sorted(objects.rglob("*.dcm")) if _kind(file) == "ct"))
    source.PatientName, source.PatientID, source.AccessionNumber = NAME, PATIENT_ID, ACCESSION
    source.PatientBirthDate = BIRTH_DATE
    source.StudyDescription = f"CT head {PATIENT_ID} Quillfeather Zebedee"
    source.OperatorsName = "Nurse^Nightingale"
    if "PatientAge" in source:
        del source.PatientAge
    folder = tmp_path / f"{PATIENT_ID} {ACCESSION} {NAME.upper()}"
    folder.mkdir()
    source.save_as(folder / "zebedee.dcm")
    return folder


def test_nothing_in_the_store_says_who_the_patient_is(store: Store, named: Path) -> None:
    assert import_paths(store, [named]).imported == 1
    store.refresh_mart()
    for place, content in _everything(store):
        for secret in [*SECRETS, b"Nightingale"]:
            assert secret.lower() not in content.lower(), f"{secret!r} in {place}"


def test_the_age_is_kept_instead_of_the_birth_date(store: Store, named: Path) -> None:
    import_paths(store, [named])
    (exam,) = store.exams()
    assert exam.patient.age_years == int(exam.study_date[:4] if exam.study_date else 0) - 1951 - (
        (exam.study_date or "")[5:] < "02-03"
    )


def test_dose_and_device_are_what_the_object_states(store: Store, objects: Path) -> None:
    import_paths(store, [objects])
    stated = {
        exam.sop_instance_uid: exam
        for source in find_objects([objects])
        if (exam := read_bytes(source.read(), path=source.path).exam).error is None
    }
    alone = [exam for exam in store.exams() if "merged" not in {note.code for note in exam.notes}]
    assert len(alone) > 20
    for exam in alone:
        original = stated[exam.sop_instance_uid]
        assert (exam.totals, exam.events, exam.device) == (original.totals, original.events, original.device)


def test_plain_identity_is_a_deliberate_setting(settings: Settings, named: Path) -> None:
    with Store.from_settings(msgspec.structs.replace(settings, identity="plain")) as store:
        import_paths(store, [named])
        with store.database.reading() as connection:
            row = connection.execute(text("SELECT patient_id, accession_number FROM objects")).one()
        assert tuple(row) == (PATIENT_ID, ACCESSION)
        assert not (store.data_dir / "identity.key").exists()
        (pack,) = store.archive.folder.glob("??/*.pack")
        (original,) = read_index(pack).originals
        assert read_original(pack, original.offset, original.length) == (named / "zebedee.dcm").read_bytes()


def test_a_store_keeps_to_the_identity_it_was_made_with(settings: Settings) -> None:
    Store.from_settings(settings).close()
    with pytest.raises(SettingsError, match="identity = 'pseudonym'"):
        Store.from_settings(msgspec.structs.replace(settings, identity="plain"))


def test_another_key_is_not_accepted(settings: Settings) -> None:
    Store.from_settings(settings).close()
    (settings.data_path / "identity.key").write_text(KEY.hex() + "\n")
    with pytest.raises(StoreError, match="from a backup"):
        Store.from_settings(settings)


def test_a_damaged_key_is_not_overwritten(settings: Settings) -> None:
    settings.data_path.mkdir()
    (settings.data_path / "identity.key").write_text("half a k")
    with pytest.raises(StoreError, match="damaged"):
        Store.from_settings(settings)
    assert (settings.data_path / "identity.key").read_text() == "half a k"


def test_the_key_is_for_its_owner_only_and_stays(tmp_path: Path) -> None:
    key = load_key(tmp_path)
    assert load_key(tmp_path) == key
    assert stat.S_IMODE((tmp_path / "identity.key").stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["identity.key"]  # noqa: PTH208


def test_the_same_patient_has_the_same_pseudonym_and_no_other_has_it() -> None:
    one = Identity(patient_id="1", issuer="A")
    assert patient_pseudonym(KEY, one) == patient_pseudonym(KEY, Identity(patient_id="1", issuer="A"))
    others = [Identity(patient_id="1"), Identity(patient_id="2", issuer="A"), Identity(patient_id="A1", issuer="")]
    assert len({patient_pseudonym(KEY, other) for other in [one, *others]}) == 4
    assert patient_pseudonym(bytes(32), one) != patient_pseudonym(KEY, one)
    assert patient_pseudonym(KEY, Identity()) is None
    assert accession_pseudonym(KEY, Identity()) is None
    assert len(accession_pseudonym(KEY, Identity(accession_number="9")) or "") == 16  # what VR SH allows


def test_short_numbers_are_not_cut_out_of_paths() -> None:
    assert masked("/data/12/report.dcm", Identity(patient_id="12")) == "/data/12/report.dcm"
    assert masked("/data/1234567/r.dcm", Identity(patient_id="1234567")) == "/data/*/r.dcm"


@pytest.mark.parametrize(
    ("path", "left"),
    [
        ("/pacs/Quillfeather^Zebedee/1.dcm", "/pacs/*^*/1.dcm"),
        ("/pacs/QUILLFEATHER_Zebedee_CT.dcm", "/pacs/*_*_CT.dcm"),
        ("/pacs/zebedee quillfeather/a.dcm", "/pacs/* */a.dcm"),
        ("/pacs/ctquillfeather1/a.dcm", "/pacs/ct*1/a.dcm"),
        ("/pacs/pid-7741902.dcm", "/pacs/*.dcm"),
        ("/pacs/Jo/Joint/a.dcm", "/pacs/*/Joint/a.dcm"),
        ("/pacs/other/a.dcm", "/pacs/other/a.dcm"),
    ],
)
def test_the_parts_of_a_name_are_cut_out_of_paths_in_any_case(path: str, left: str) -> None:
    assert masked(path, Identity(patient_id="PID-7741902", patient_name=f"{NAME}^Jo")) == left


@pytest.mark.parametrize("written", ["Müßig", "MÜSSIG", "Muessig", "mussig", "Mu\u0308ßig"])
def test_a_name_is_cut_out_with_and_without_its_accents(written: str) -> None:
    assert masked(f"/pacs/{written}/a.dcm", Identity(patient_name="Müßig")) == "/pacs/*/a.dcm"


def test_words_that_stand_for_no_name_stay_in_paths() -> None:
    for name in ("ANONYMOUS^PATIENT", "Test^Phantom 12", "", "^"):
        assert masked("/anonymous/patient/test phantom 12/a.dcm", Identity(patient_name=name)) == (
            "/anonymous/patient/test phantom 12/a.dcm"
        )


@given(st.text(max_size=30), st.text(max_size=30))
def test_masking_takes_any_text(path: str, name: str) -> None:
    again = masked(path, Identity(patient_name=name, patient_id=name))
    assert masked(again, Identity()) == again


def _kind(file: Path) -> str:
    return read_bytes(file.read_bytes()).exam.kind


def _everything(store: Store) -> Iterator[tuple[str, bytes]]:
    """All that the store has on disk, as it lies there and decompressed."""
    for file in store.data_dir.rglob("*"):
        if file.is_file():
            yield str(file), file.read_bytes()
    with store.database.reading() as connection:
        for table in ("objects", "exams", "refused", "ignored", "mart_months", "packs", "meta"):
            for row in connection.execute(text(f"SELECT * FROM {table}")):
                for value in row:
                    yield table, value if isinstance(value, bytes) else str(value).encode()
                    if isinstance(value, bytes) and value[:4] == zstandard.FRAME_HEADER:
                        yield table, zstandard.ZstdDecompressor().decompress(value)
    for pack in store.archive.folder.glob("??/*.pack"):
        index = read_index(pack)
        yield str(pack), msgspec.msgpack.encode(index)
        for original in index.originals:
            yield str(pack), read_original(pack, original.offset, original.length)
