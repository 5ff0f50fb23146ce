"""How large are the patients in the images that arrive? Measured by the workers, kept by exam, without the pixels.

Axial CT images, the frames of enhanced ones, and localisers are measured whether or not they state a dose. What they
give is kept in the database only: the archive holds no pixels, so that a rebuild keeps it and a lost database loses it.
Of an object that the store knows only what it lacks is measured: images of which nothing is kept can be imported again.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO

import msgspec
from sqlalchemy import Connection, delete, insert, select

from doseatlas.dicom import Limits, ct_images, most_image_bytes
from doseatlas.dosimetry import ImageSizes, sizes_of_images, united
from doseatlas.model import StoreError
from doseatlas.store.archive import compress, decompress
from doseatlas.store.database import Database, in_parts
from doseatlas.store.derive import key_of
from doseatlas.store.schema import image_sizes

# CT images, enhanced and legacy converted ones; UIDs of odd length end in a null (PS3.5 9.1).
_CT_IMAGE = re.compile(rb"1\.2\.840\.10008\.5\.1\.4\.1\.1\.2(?:\.[12])?\0")
_NEAR_THE_BEGINNING = 4096
_IN_MEMORY = 2**26  # bytes of a member of an archive; a larger one waits on disk
_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(ImageSizes)


class SizedImage(msgspec.Struct, frozen=True, array_like=True):
    """What an image says of the patient's size, and the exam it belongs to."""

    exam_id: str
    sizes: ImageSizes


class Member(msgspec.Struct, frozen=True):
    """Where an image lies in a zip archive."""

    archive: str
    name: str


def may_be_ct_image(header: bytes) -> bool:
    """Return whether the beginning of an object is that of a CT image, of one frame or several."""
    return _CT_IMAGE.search(header, 0, _NEAR_THE_BEGINNING) is not None


def measured_image(where: Path | Member, limits: Limits, database: Database | None = None) -> SizedImage | None:
    """Return what the CT images in a file say of the size; ``None`` where they say nothing.

    An image that cannot be decoded or measured says nothing: its header is a dose object all the same. With a database,
    only what it lacks is measured.
    """
    try:
        with _opened_at(where, most_image_bytes(limits)) as source, ct_images(source, "image", limits) as images:
            study = images[0].study_instance_uid if images else None
            if study is None:
                return None
            key = key_of("ct", study)
            known = None
            if database is not None:
                with database.reading() as connection:
                    known = sizes_of(connection, [key]).get(key)
            sizes = sizes_of_images(images, known)
    except StoreError:
        raise
    except Exception:
        # Whatever is wrong with its pixels must not keep a dose from being imported.
        return None
    return None if sizes == ImageSizes() else SizedImage(key, sizes)


@contextmanager
def _opened_at(where: Path | Member, most: int) -> Iterator[Path | IO[bytes]]:
    """Give a file, or a member of an archive as a file, as a stream within an archive cannot go back.

    Raises:
        ValueError: it is larger than any image.

    """
    if isinstance(where, Path):
        yield where
        return
    archive = _opened(where.archive)
    if archive.getinfo(where.name).file_size > most:
        raise ValueError("The member of the archive is larger than any image.")
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file, archive.open(where.name) as stream:
        shutil.copyfileobj(stream, file)
        yield file


@lru_cache(maxsize=1)
def _opened(archive: str) -> zipfile.ZipFile:
    """Return an open archive: its directory is read once for all its images."""
    return zipfile.ZipFile(archive)


def sizes_of(connection: Connection, keys: Iterable[str]) -> dict[str, ImageSizes]:
    """Return what is kept of the images of exams, by exam; exams of which nothing is are left out."""
    if connection.execute(select(image_sizes.c.exam_id).limit(1)).first() is None:
        return {}
    found: dict[str, ImageSizes] = {}
    for part in in_parts(list(keys)):
        rows = connection.execute(select(image_sizes).where(image_sizes.c.exam_id.in_(part)))
        found |= {row.exam_id: _decoder.decode(decompress(row.sizes)) for row in rows}
    return found


def keep_sizes(connection: Connection, measured: Sequence[SizedImage]) -> set[str]:
    """Keep what images say; returns the exams for which that is something new."""
    if not measured:
        return set()
    came: dict[str, list[ImageSizes]] = {}
    for one in measured:
        came.setdefault(one.exam_id, []).append(one.sizes)
    before = sizes_of(connection, came)
    after: Mapping[str, ImageSizes] = {
        key: united([*([before[key]] if key in before else []), *sizes]) for key, sizes in came.items()
    }
    changed = {key for key, sizes in after.items() if before.get(key) != sizes}
    for part in in_parts(sorted(changed)):
        connection.execute(delete(image_sizes).where(image_sizes.c.exam_id.in_(part)))
        connection.execute(
            insert(image_sizes), [{"exam_id": key, "sizes": compress(_encode(after[key]))} for key in part]
        )
    return changed
