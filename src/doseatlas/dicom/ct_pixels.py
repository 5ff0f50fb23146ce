"""Where do the pixels of a CT image begin, and what are those of one frame? One frame is read and decoded at a time.

pydicom's decoders know the compressed forms. Of an uncompressed object the bytes of the frame asked for are read; of a
compressed one the frame's fragment. Compressed frames that lie in several fragments each are not told apart.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Callable
from io import BytesIO
from typing import IO, TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

from doseatlas.dicom.open import EXPLICIT_LITTLE, IMPLICIT_LITTLE, Plain
from doseatlas.model import UnreadableObject

if TYPE_CHECKING:
    import numpy.typing as npt

    Pixels = npt.NDArray[Any]

ROWS, COLUMNS = 0x00280010, 0x00280011
_SAMPLES, _PHOTOMETRIC = 0x00280002, 0x00280004
_ALLOCATED, _STORED, _SIGNED = 0x00280100, 0x00280101, 0x00280103
_PIXEL_GROUP, _PIXEL_DATA = 0x7FE0, 0x0010
_UNDEFINED = 0xFFFFFFFF
_MOST_ELEMENTS = 4  # of the pixel group before the pixel data: two of offsets
_MOST_SAID = 200  # characters of what a decoder says


class _Place(NamedTuple):
    """Where the value of the pixel data begins in a stream, and its length; undefined for compressed pixels."""

    stream: IO[bytes]
    start: int
    length: int


def frame_decoder(stream: IO[bytes], header: bytes, plain: Plain, frames: int, name: str) -> Callable[[int], Pixels]:
    """Return what decodes a frame by its number; it raises :class:`UnreadableObject`, code ``damaged``.

    Args:
        stream: the whole object.
        header: its beginning, up to the pixel data at least.
        plain: what was read of the header.
        frames: how many there are.
        name: of the object, for errors.

    Raises:
        UnreadableObject: code ``damaged``: there are no pixels, or not those of all frames.

    """
    if plain.read_by != "own":
        if frames > 1:
            raise _damaged(name, "frames in this encoding are not read")
        return lambda _: _guarded(lambda: _by_pydicom(stream), name)
    place = _found(stream if plain.data is header else BytesIO(plain.data), plain, name)
    syntax = plain.transfer_syntax or (IMPLICIT_LITTLE if plain.implicit else EXPLICIT_LITTLE)
    compressed = _is_compressed(syntax, name)
    options = _options(plain, frames)
    if compressed and frames > 1:
        options["extended_offsets"] = _fragments(place, frames, name)
    elif not compressed:
        _check_length(place, options, name)
    return lambda number: _guarded(lambda: _decoded(syntax, place, number, options), name)


def _is_compressed(syntax: str, name: str) -> bool:
    from pydicom.uid import UID

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return UID(syntax).is_encapsulated
    except ValueError:
        raise _damaged(name, f"there is no transfer syntax {syntax[:64]}") from None


def _found(stream: IO[bytes], plain: Plain, name: str) -> _Place:
    """Return where the pixel data are; the reader of headers stopped at the first value of their group."""
    size = 8 if plain.implicit else 12
    at = plain.parsed.stop - size
    for _ in range(_MOST_ELEMENTS):
        stream.seek(max(at, 0))
        element = stream.read(size)
        if len(element) < size or at < 0:
            break
        group, number = struct.unpack_from("<HH", element)
        (length,) = struct.unpack_from("<I", element, size - 4)
        if (group, number) == (_PIXEL_GROUP, _PIXEL_DATA):
            return _Place(stream, at + size, length)
        if group != _PIXEL_GROUP or length == _UNDEFINED:
            break
        at += size + length
    raise _damaged(name, "it holds no pixels")


def _options(plain: Plain, frames: int) -> dict[str, Any]:
    item = plain.parsed.item
    numbers = {
        "rows": ROWS,
        "columns": COLUMNS,
        "samples_per_pixel": _SAMPLES,
        "bits_allocated": _ALLOCATED,
        "bits_stored": _STORED,
        "pixel_representation": _SIGNED,
    }
    return {
        **{key: int(item.number(tag) or 0) for key, tag in numbers.items()},
        "photometric_interpretation": item.text(_PHOTOMETRIC) or "",
        "number_of_frames": frames,
        "planar_configuration": 0,
        "pixel_keyword": "PixelData",
        "pixel_vr": "OW",
    }


def _check_length(place: _Place, options: dict[str, Any], name: str) -> None:
    """Raise where the pixels end before those of the last frame do."""
    wanted = options["number_of_frames"] * options["rows"] * options["columns"] * (options["bits_allocated"] // 8)
    there = min(place.stream.seek(0, 2) - place.start, place.length)
    if there < wanted:
        raise _damaged(name, f"{there} bytes of pixels, where {wanted} are stated")


def _fragments(place: _Place, frames: int, name: str) -> tuple[list[int], list[int]]:
    """Return where the fragment of each frame lies behind the offset table, and its length (PS3.5 A.4)."""
    stream = place.stream
    stream.seek(place.start)
    lengths: list[int] = []
    offsets: list[int] = []
    first = place.start
    while len(lengths) <= frames + 1:
        head = stream.read(8)
        if len(head) < 8:
            raise _damaged(name, "its pixels end early")
        group, number, length = struct.unpack("<HHI", head)
        if (group, number) != (0xFFFE, 0xE000) or length == _UNDEFINED:
            break
        offsets.append(stream.tell() - 8 - first)
        lengths.append(length)
        at = stream.seek(length, 1)
        if len(lengths) == 1:  # the table itself, from whose end offsets count
            first = at
    if len(lengths) != frames + 1:
        raise _damaged(name, f"its {frames} compressed frames do not lie in one fragment each")
    return offsets[1:], lengths[1:]


def _decoded(syntax: str, place: _Place, number: int, options: dict[str, Any]) -> Pixels:
    from pydicom.pixels.decoders.base import get_decoder

    place.stream.seek(place.start)
    pixels, _ = get_decoder(syntax).as_array(cast("BinaryIO", place.stream), index=number, **options)
    return pixels


def _by_pydicom(stream: IO[bytes]) -> Pixels:
    import pydicom

    stream.seek(0)
    return pydicom.dcmread(stream).pixel_array


def _guarded(decode: Callable[[], Pixels], name: str) -> Pixels:
    try:
        # What is odd about an object but does no harm to its image is not told to whoever runs a command.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return decode()
    except Exception as error:
        # Decoders stumble over damaged pixels in many ways; each is a refusal of this image.
        raise _damaged(name, " ".join(str(error).split())[:_MOST_SAID]) from None


def _damaged(name: str, why: str) -> UnreadableObject:
    return UnreadableObject("damaged", f"{name}: the image cannot be decoded ({why}).")
