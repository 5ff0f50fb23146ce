"""Finding objects in folders, archives and DICOMDIRs."""

from __future__ import annotations

import os
import tracemalloc
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from doseatlas.dicom.encode import encode_element, encode_sequence
from doseatlas.dicom.limits import DEFAULT_LIMITS, Limits
from doseatlas.dicom.open import open_object
from doseatlas.dicom.sources import SourceObject, find_objects
from doseatlas.model.errors import UnreadableObject

OBJECT = bytes(128) + b"DICM" + encode_element(0x00080060, b"CS", b"CT")


def found(paths: Iterable[Path], root: Path, limits: Limits = DEFAULT_LIMITS) -> dict[str, str]:
    """Path below the root: ``"object"`` or the code of the refusal, in the order found."""
    return {
        os.path.relpath(source.path, root): source.refusal.code if source.refusal else "object"
        for source in find_objects(paths, limits=limits)
    }


def test_folders_are_walked_in_a_stable_order_and_other_files_are_skipped(tmp_path: Path) -> None:
    for name in ("b/2.dcm", "b/10", "a.dcm", "c/readme.txt", "c/table.CSV", "c/note.json", ".git/config", "b/x.xml"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(OBJECT)
    (tmp_path / "c" / "object.json").write_text('{"00080016": {"vr": "UI", "Value": ["1.2"]}}')
    assert list(found([tmp_path], tmp_path)) == ["a.dcm", "b/10", "b/2.dcm", "c/object.json"]


def test_a_file_named_explicitly_is_always_an_object(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("a letter")
    (source,) = find_objects([tmp_path / "note.txt"])
    with pytest.raises(UnreadableObject) as refusal:
        open_object(source.read())
    assert refusal.value.code == "not-dicom"


def test_missing_paths_and_links_to_nothing_are_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    assert found([tmp_path / "absent", tmp_path / "link"], tmp_path) == {"absent": "not-found", "link": "not-found"}
    assert found([tmp_path], tmp_path) == {"link": "not-found"}
    (source,) = find_objects([tmp_path / "absent"])
    with pytest.raises(UnreadableObject):
        source.read()


def test_links_that_go_round_in_circles_end(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.dcm").write_bytes(OBJECT)
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to(tmp_path / "self")
    assert found([tmp_path], tmp_path) == {"a/1.dcm": "object", "self": "unreadable"}


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_what_may_not_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "1.dcm").write_bytes(OBJECT)
    (tmp_path / "1.dcm").chmod(0)
    (tmp_path / "folder").mkdir(mode=0)
    assert found([tmp_path], tmp_path) == {"1.dcm": "permission-denied", "folder": "permission-denied"}
    (tmp_path / "folder").chmod(0o700)


def test_permission_denied_becomes_a_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "1.dcm").write_bytes(OBJECT)

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    assert found([tmp_path], tmp_path) == {"1.dcm": "permission-denied"}


def test_a_socket_or_device_is_refused_when_named_and_skipped_when_met(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert found([tmp_path], tmp_path) == {}
    assert found([tmp_path / "pipe"], tmp_path) == {"pipe": "not-dicom"}


def test_members_of_an_archive_are_read_in_place(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("2/b.dcm", OBJECT)
        archive.writestr("../../escape.dcm", OBJECT)
        archive.writestr("readme.txt", "text")
        archive.writestr("inner.zip", b"PK\x05\x06" + bytes(18))
    sources = list(find_objects([tmp_path]))
    names = [source.path.removeprefix(f"{tmp_path}/") for source in sources]
    assert names == ["a.zip/../../escape.dcm", "a.zip/2/b.dcm", "a.zip/inner.zip"]
    assert sources[0].read() == sources[1].read() == OBJECT
    assert sources[2].refusal is not None
    assert sources[2].refusal.code == "nested-archive"
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_zip_bombs_are_not_expanded(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.dcm", OBJECT + bytes(5_000_000))
    limits = Limits(header_bytes=100_000)
    assert found([tmp_path], tmp_path, limits) == {"bomb.zip/zeros.dcm": "too-large"}


def test_a_member_that_lies_about_its_size_is_read_only_to_the_limit(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("x.dcm", OBJECT + os.urandom(3_000_000))
    (source,) = find_objects([tmp_path], limits=Limits(header_bytes=500_000))
    assert len(source.read()) <= 500_001


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04" + b"rubbish" * 100)
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("1.dcm", OBJECT)
    data = bytearray((tmp_path / "b.zip").read_bytes())
    data[100:110] = b"0123456789"
    (tmp_path / "b.zip").write_bytes(data)
    sources: list[SourceObject] = list(find_objects([tmp_path]))
    assert sources[0].refusal is not None
    assert sources[0].refusal.code == "damaged"
    with pytest.raises(UnreadableObject) as refusal:
        sources[1].read()
    assert refusal.value.code == "damaged"


def test_a_dicomdir_leads_to_its_files_and_not_outside(tmp_path: Path) -> None:
    disc = tmp_path / "disc"
    (disc / "DIR").mkdir(parents=True)
    (disc / "DIR" / "FILE1").write_bytes(OBJECT)
    (tmp_path / "secret").write_bytes(OBJECT)
    (disc / "LINK").symlink_to(tmp_path / "secret")
    files = [b"DIR\\FILE1", b"DIR\\FILE1", b"..\\secret", b"GONE", b"LINK", b"\\etc\\passwd", b"a/../../secret"]
    records = [encode_element(0x00041500, b"CS", file) for file in files]
    directory = encode_element(0x00041130, b"CS", b"DISC") + encode_sequence(0x00041220, records)
    (disc / "DICOMDIR").write_bytes(bytes(128) + b"DICM" + directory)
    listed = list(find_objects([disc / "DICOMDIR"]))
    assert [source.refusal.code if source.refusal else "object" for source in listed] == [
        "object",
        "outside-folder",
        "not-found",
        "outside-folder",
        "outside-folder",
        "outside-folder",
    ]
    assert listed[0].read() == OBJECT


def test_of_an_image_only_the_header_is_read(tmp_path: Path) -> None:
    header = OBJECT + encode_element(0x00281050, b"DS", b"40")
    with (tmp_path / "image.dcm").open("wb") as stream:
        stream.write(header + b"\xe0\x7f\x10\0OW\0\0" + (50_000_000).to_bytes(4, "little"))
        stream.truncate(50_000_000)  # a sparse file
    (source,) = find_objects([tmp_path])
    data = source.read()
    assert len(data) < 1_000_000
    assert open_object(data).item.number(0x00281050) == 40
    assert not open_object(data).truncated


def test_many_files_are_found_in_bounded_memory(tmp_path: Path) -> None:
    for folder in range(4):
        (tmp_path / str(folder)).mkdir()
        for number in range(1000):
            (tmp_path / str(folder) / f"{number}.dcm").touch()
    tracemalloc.start()
    count = sum(1 for _ in find_objects([tmp_path]))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 4000
    assert peak < 1_000_000
