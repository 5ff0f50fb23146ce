"""How large are the patients in the images that arrive? Measured by the workers, kept by exam, without the pixels.

Axial CT images and localisers are measured whether or not they state a dose. What they give is kept in the database
only: the archive holds no pixels, so that a rebuild keeps it and a lost database loses it.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import msgspec
from sqlalchemy import Connection, delete, insert, select

from doseatlas.dicom import Limits, most_image_bytes, read_ct_image_bytes
from doseatlas.dosimetry import ImageSizes, sizes_of_image, united
from doseatlas.model import Exam
from doseatlas.store.archive import compress, decompress
from doseatlas.store.database import in_parts
from doseatlas.store.derive import exam_id
from doseatlas.store.schema import image_sizes

_CT_IMAGE = b"1.2.840.10008.5.1.4.1.1.2\0"  # a UID of odd length ends in a null (PS3.5 9.1)
_NEAR_THE_BEGINNING = 4096
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
    """Return whether the beginning of an object is that of a single-frame CT image."""
    return header.find(_CT_IMAGE, 0, _NEAR_THE_BEGINNING) >= 0


def measured_image(where: Path | Member, limits: Limits) -> SizedImage | None:
    """Return what the CT image in a file says of the size; ``None`` where it says nothing.

    An image that cannot be decoded or measured says nothing: its header is a dose object all the same.
    """
    try:
        data = _whole(where, most_image_bytes(limits))
        image = None if data is None else read_ct_image_bytes(data, "image")
        if image is None or image.study_instance_uid is None:
            return None
        sizes = sizes_of_image(image)
    except Exception:
        # Whatever is wrong with its pixels must not keep a dose from being imported.
        return None
    if sizes == ImageSizes():
        return None
    return SizedImage(exam_id(Exam(kind="ct", study_instance_uid=image.study_instance_uid)), sizes)


def _whole(where: Path | Member, most: int) -> bytes | None:
    """Return the bytes of a file, ``None`` where it is larger than any image."""
    if isinstance(where, Path):
        return where.read_bytes() if where.stat().st_size <= most else None
    with _opened(where.archive).open(where.name) as stream:
        data = stream.read(most + 1)
    return data if len(data) <= most else None


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
