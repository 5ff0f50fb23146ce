"""Packs: what goes in comes out, what is damaged is noticed, what a crash leaves is settled."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from doseatlas.model import Note, StoreError
from doseatlas.store.archive import Archive, Frame, build_pack, compress, decompress, read_index, read_original

NOTES = (Note(code="truncated", message="The object ends early."),)


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_what_goes_into_a_pack_comes_out(tmp_path_factory: pytest.TempPathFactory, objects: list[bytes]) -> None:
    folder = tmp_path_factory.mktemp("archive")
    pack = build_pack(
        "plain", [Frame(hashlib.sha256(o).digest(), compress(o), f"{n}.dcm", NOTES) for n, o in enumerate(objects)]
    )
    archive = Archive(folder)
    archive.write(pack)
    archive.accept(pack.name)
    file = archive.file(pack.name)
    assert hashlib.sha256(file.read_bytes()).hexdigest() == pack.name == file.stem
    index = read_index(file)
    assert index.identity == "plain"
    assert [read_original(file, one.offset, one.length) for one in index.originals] == objects
    assert [one.notes for one in index.originals] == [NOTES] * len(objects)


@given(st.binary(max_size=300))
def test_a_file_that_is_no_pack_is_said_to_be_damaged(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    file = tmp_path_factory.mktemp("archive") / "x.pack"
    file.write_bytes(data)
    with pytest.raises(StoreError, match="damaged"):
        read_index(file)
    file.write_bytes(data + b"DOSEPAK1")
    with pytest.raises(StoreError, match="damaged"):
        read_index(file)


@example(place=4, change=176)  # a header that states no size: 2 GiB would be set aside for it
@example(place=4, change=64)  # a header that states no bytes at all
@given(st.integers(0, 10**6), st.integers(1, 255))
def test_damage_within_an_object_is_noticed(place: int, change: int) -> None:
    data = bytes(range(256)) * 4
    frame = bytearray(compress(data))
    frame[place % len(frame)] ^= change
    with suppress(ValueError):  # else the bit did not matter, such as an unused one
        assert decompress(bytes(frame)) == data


def test_what_a_crash_left_is_moved_on_if_known_and_removed_if_not(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "archive")
    assert archive.is_settled()
    known, unknown = (build_pack("plain", [Frame(bytes(32), compress(text), "a")]) for text in (b"known", b"unknown"))
    archive.write(known)
    archive.write(unknown)
    (tmp_path / "archive" / "incoming" / "half.pack.0f.unfinished").write_bytes(b"half")
    assert not archive.is_settled()
    assert read_index(archive.file(known.name)).originals
    archive.settle(lambda name: name == known.name)
    assert archive.is_settled()
    assert archive.names() == [known.name]
    archive.accept(known.name)  # by another process that was slower


def test_a_pack_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"gone\.pack"):
        read_index(tmp_path / "gone.pack")
