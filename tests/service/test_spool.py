"""The spool: acknowledged means on disk, and a failing disk leaves nothing half done."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from doseatlas.model import SettingsError
from doseatlas.network import Sender
from doseatlas.service.spool import Disk, Incoming, Spool, TooLarge, spooled

SENDER = Sender(via="dicom", caller="CT1", address="192.0.2.7", facility="North")


class FailingDisk(Disk):
    """A disk that fails at the n-th call of a kind."""

    def __init__(self, call: str, number: int, code: int = errno.ENOSPC) -> None:
        self.call, self.number, self.code = call, number, code
        self.calls = 0
        self.synced: list[str] = []

    def _count(self, call: str) -> None:
        if call == self.call:
            self.calls += 1
            if self.calls == self.number:
                raise OSError(self.code, os.strerror(self.code))

    def write(self, descriptor: int, data: bytes | bytearray) -> None:
        self._count("write")
        super().write(descriptor, data)

    def fsync(self, descriptor: int) -> None:
        self._count("fsync")
        self.synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        super().fsync(descriptor)

    def free_bytes(self, folder: Path) -> int:
        return 0 if self.call == "free" else super().free_bytes(folder)


def commit(spool: Spool, incoming: Incoming) -> Exception | None:
    over = threading.Event()
    outcome: list[Exception | None] = []

    def done(error: Exception | None) -> None:
        outcome.append(error)
        over.set()

    spool.commit(incoming, done)
    assert over.wait(20)
    return outcome[0]


def everything(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.name not in ("lock", "sender.json")]


@pytest.mark.parametrize("size", [10, 200_000, 1_000_000])
def test_an_object_of_any_size_is_whole_and_bears_its_sender(tmp_path: Path, size: int) -> None:
    spool = Spool(tmp_path)
    incoming = spool.incoming(SENDER, "1.2.3", 2_000_000)
    data = os.urandom(size)
    for start in range(0, size, 70_000):
        incoming.write(data[start : start + 70_000])
    assert commit(spool, incoming) is None
    spool.close()
    ((sender, _, (file,)),) = spooled(spool.new)
    assert sender == SENDER
    assert file.sop_instance_uid == "1.2.3"
    assert file.path.read_bytes() == data


def test_file_and_folder_are_synced_before_it_is_told(tmp_path: Path) -> None:
    disk = FailingDisk("never", 0)
    spool = Spool(tmp_path, disk=disk)
    incoming = spool.incoming(SENDER, "1.2.3", 100)
    incoming.write(b"data")
    assert commit(spool, incoming) is None
    spool.close()
    folder = spool.folder_of(SENDER)
    assert disk.synced[0] == str(spool.temporary / incoming.name)
    assert disk.synced[-1] == str(folder)
    assert str(spool.new) in disk.synced


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
@pytest.mark.parametrize(("call", "number"), [("write", n) for n in range(1, 3)] + [("fsync", n) for n in range(1, 6)])
def test_wherever_the_disk_fails_nothing_half_stays_and_the_next_object_is_taken(
    tmp_path: Path, call: str, number: int, code: int
) -> None:
    spool = Spool(tmp_path, disk=FailingDisk(call, number, code))
    first = spool.incoming(SENDER, "1.2.3", 100)
    first.write(b"first")
    error = commit(spool, first)
    assert isinstance(error, OSError)
    assert error.errno == code
    assert everything(spool.folder) == []
    second = spool.incoming(SENDER, "1.2.4", 100)
    second.write(b"second")
    assert commit(spool, second) is None
    assert [path.read_bytes() for path in everything(spool.folder)] == [b"second"]
    spool.close()


def test_a_disk_that_is_nearly_full_takes_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path, min_free_bytes=1, disk=FailingDisk("free", 0))
    incoming = spool.incoming(SENDER, "1.2.3", 100)
    incoming.write(b"x")
    error = commit(spool, incoming)
    assert isinstance(error, OSError)
    assert error.errno == errno.ENOSPC
    assert everything(spool.folder) == []
    spool.close()


def test_an_object_larger_than_the_limit_is_not_taken(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    incoming = spool.incoming(SENDER, "1.2.3", 300_000)
    incoming.write(bytes(290_000))
    with pytest.raises(TooLarge):
        incoming.write(bytes(20_000))
    incoming.discard()
    assert everything(spool.folder) == []
    spool.close()


def test_many_at_once_are_all_kept(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    told = threading.Semaphore(0)
    for number in range(500):
        incoming = spool.incoming(SENDER, f"1.2.{number}", 100)
        incoming.write(str(number).encode())
        spool.commit(incoming, lambda error: told.release() if error is None else None)
    spool.close()
    assert all(told.acquire(blocking=False) for _ in range(500))
    ((_, _, files),) = spooled(spool.new)
    assert {file.path.read_bytes() for file in files} == {str(number).encode() for number in range(500)}


def test_what_was_incomplete_at_the_last_end_is_removed(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    incoming = spool.incoming(SENDER, "1.2.3", 1_000_000)
    incoming.write(bytes(500_000))
    assert everything(spool.folder)
    spool.close()
    Spool(tmp_path).close()
    assert everything(spool.folder) == []
    incoming.discard()


def test_two_services_cannot_share_a_spool(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    with pytest.raises(SettingsError, match="Another doseatlas serve"):
        Spool(tmp_path)
    spool.close()


def test_a_hostile_instance_uid_cannot_leave_the_spool(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    incoming = spool.incoming(SENDER, "../../../etc/passwd", 100)
    incoming.write(b"x")
    assert commit(spool, incoming) is None
    spool.close()
    assert [path.parent for path in everything(tmp_path)] == [spool.folder_of(SENDER)]
