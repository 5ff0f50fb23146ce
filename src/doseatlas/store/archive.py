"""Where are the originals? Content-addressed packs of compressed objects, each with an index of what it holds.

A pack is ``archive/ab/<SHA-256 of the pack>.pack``: one zstd frame an object, a zstd frame with the index, its length
and a mark. The index makes a pack readable without a database. A pack is first written to ``archive/incoming``; it
moves to its place after the database has committed what refers to it. So whatever a crash leaves in ``incoming`` is
settled by one look at the database: known packs move on, others are removed.
Why so: ``docs/decisions/004-durable-import.md``.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import zstandard

from doseatlas.model import Note, StoreError
from doseatlas.store.database import disk_errors
from doseatlas.store.files import make_folder, write_whole

_MARK = b"DOSEPAK1"
_FOOTER = struct.Struct("<Q8s")
_MAX_INDEX_BYTES = 2**28
_MAX_OBJECT_BYTES = 2**30
# Made once: making them takes longer than compressing one object. Not for several threads at once.
_COMPRESSOR = zstandard.ZstdCompressor(level=3, write_checksum=True)
_DECOMPRESSOR = zstandard.ZstdDecompressor()


class Original(msgspec.Struct, frozen=True, array_like=True):
    """One archived object: the SHA-256 of the bytes once read, where its frame lies, and what the frame cannot tell.

    ``path`` is where it was found; ``notes`` are what reading the bytes as they came told beyond the archived form;
    ``facility`` is the one that its sender is bound to.
    """

    digest: bytes
    offset: int
    length: int
    path: str
    notes: tuple[Note, ...] = ()
    facility: str | None = None


class Index(msgspec.Struct, frozen=True, array_like=True):
    """What a pack holds. ``identity`` says how: ``plain``, or the fingerprint of the key of its pseudonyms."""

    identity: str
    originals: list[Original]


class Frame(NamedTuple):
    """A compressed object on its way into a pack; the fields are those of :class:`Original`."""

    digest: bytes
    data: bytes
    path: str
    notes: tuple[Note, ...] = ()
    facility: str | None = None


class Pack(NamedTuple):
    """A pack as it will lie on disk, and its index."""

    name: str
    data: bytes
    originals: list[Original]


def build_pack(identity: str, objects: Sequence[Frame]) -> Pack:
    """Put compressed objects into a pack."""
    originals, offset = [], 0
    for one in objects:
        originals.append(Original(one.digest, offset, len(one.data), one.path, one.notes, one.facility))
        offset += len(one.data)
    index = compress(msgspec.msgpack.encode(Index(identity, originals)))
    data = b"".join([*(one.data for one in objects), index, _FOOTER.pack(len(index), _MARK)])
    return Pack(hashlib.sha256(data).hexdigest(), data, originals)


def compress(data: bytes) -> bytes:
    """Return a zstd frame that can tell when it is damaged."""
    return _COMPRESSOR.compress(data)


def decompress(frame: bytes) -> bytes:
    """Return what a frame holds. Raises :class:`ValueError` for a damaged one."""
    try:
        stated = zstandard.frame_content_size(frame)  # -1: none, which a frame of ours never lacks
        if not 0 <= stated <= _MAX_OBJECT_BYTES or (stated == 0 and frame != compress(b"")):
            raise ValueError("damaged (its header states no size that an object has)")
        return _DECOMPRESSOR.decompress(frame)
    except zstandard.ZstdError as error:
        raise ValueError(f"damaged ({error})") from None
    except MemoryError:  # as much as a damaged header asks for
        raise ValueError("damaged, or too large for this machine's memory") from None


class Archive:
    """The folder of packs. Nothing is made on disk before the first pack is written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._incoming = folder / "incoming"

    def write(self, pack: Pack) -> None:
        """Put a pack on disk, in ``incoming``; it is there for good when this returns. Raises :class:`StoreError`."""
        with disk_errors("Writing to the archive", self.folder):
            make_folder(self._incoming)
            write_whole(self._incoming / f"{pack.name}.pack", pack.data)

    def accept(self, name: str) -> None:
        """Move a pack, which the database now refers to, to its place. Raises :class:`StoreError`."""
        place = self._place(name)
        with disk_errors("Writing to the archive", self.folder):
            make_folder(place.parent)
            try:
                (self._incoming / place.name).replace(place)
            except FileNotFoundError:
                if not place.exists():  # another process may have settled it
                    raise

    def is_settled(self) -> bool:
        """Return whether nothing is left in ``incoming``."""
        with disk_errors("Reading the archive", self.folder):
            return not self._incoming.is_dir() or next(self._incoming.iterdir(), None) is None

    def settle(self, is_known: Callable[[str], bool]) -> None:
        """Move packs that the database knows to their place and remove what else lies in ``incoming``.

        Raises:
            StoreError: the archive cannot be written.

        """
        with disk_errors("Clearing up in the archive", self.folder):
            for file in sorted(self._incoming.iterdir()):
                if file.suffix == ".pack" and is_known(file.stem):
                    self.accept(file.stem)
                else:
                    file.unlink(missing_ok=True)

    def names(self) -> list[str]:
        """Return the names of all packs that are in their place, in order."""
        with disk_errors("Reading the archive", self.folder):
            return sorted(file.stem for file in self.folder.glob("??/*.pack"))

    def file(self, name: str) -> Path:
        """Return where a pack lies."""
        place = self._place(name)
        waiting = self._incoming / place.name
        return waiting if not place.exists() and waiting.exists() else place

    def _place(self, name: str) -> Path:
        return self.folder / name[:2] / f"{name}.pack"


def read_index(file: Path) -> Index:
    """Return the index of a pack.

    Raises:
        StoreError: the pack is not there, cannot be read or is damaged.

    """
    try:
        with file.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(size - _FOOTER.size, 0))
            length, mark = _FOOTER.unpack(stream.read(_FOOTER.size))
            if mark != _MARK or length > min(size - _FOOTER.size, _MAX_INDEX_BYTES):
                raise ValueError("it has no index")
            stream.seek(size - _FOOTER.size - length)
            return msgspec.msgpack.decode(decompress(stream.read(length)), type=Index)
    except (ValueError, struct.error, msgspec.MsgspecError) as error:
        raise StoreError(
            f"The pack {file} of the archive is damaged: {error}. Restore it from a backup, "
            "or move it away: what was read of its objects before is then kept."
        ) from None
    except OSError as error:
        raise StoreError(f"The pack {file} of the archive cannot be read: {error.strerror or error}.") from error


def read_original(file: Path, offset: int, length: int) -> bytes:
    """Return an object of a pack as it was archived.

    Raises:
        ValueError: the pack is damaged there.
        OSError: the pack cannot be read.

    """
    with file.open("rb") as stream:
        stream.seek(offset)
        return decompress(stream.read(length))
