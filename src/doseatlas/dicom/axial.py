"""Which CT images does an object hold, and what does its header say of each? For the patient's size, frame by frame.

Single-frame CT images, and the frames of enhanced and of legacy converted ones, whose values stand in functional groups
(PS3.3 C.7.6.16). Headers are read within the limits of all objects; the pixels of a frame are decoded when asked for,
one frame at a time, so that neither memory nor time goes with what nobody asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from doseatlas.dicom.ct_pixels import COLUMNS, ROWS, frame_decoder
from doseatlas.dicom.image import FRAME_GROUPS, SHARED_GROUPS, macros
from doseatlas.dicom.item import Item
from doseatlas.dicom.limits import DEFAULT_LIMITS, Limits
from doseatlas.dicom.open import open_plain
from doseatlas.dicom.sources import read_header
from doseatlas.model import UnreadableObject

if TYPE_CHECKING:
    import numpy.typing as npt

    Pixels = npt.NDArray[Any]

_CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
_MULTI_FRAME = frozenset({"1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2"})  # enhanced, legacy converted
_MOST_PIXELS = 4096 * 4096  # of a frame
_MOST_PIXELS_OF_ALL = 2**31  # of all frames: 8,192 of 512 x 512
_MOST_STORED = 2**32  # bytes of pixels that are not compressed, by their length field

_SOP_CLASS, _IMAGE_TYPE, _FRAME_TYPE, _FRAMES = 0x00080016, 0x00080008, 0x00089007, 0x00280008
_STUDY, _SERIES, _FRAME_OF_REFERENCE, _EVENT = 0x0020000D, 0x0020000E, 0x00200052, 0x00083010
_POSITION, _ORIENTATION, _LOCATION, _SPACING = 0x00200032, 0x00200037, 0x00201041, 0x00280030
_INTERCEPT, _SLOPE, _RESCALE_TYPE = 0x00281052, 0x00281053, 0x00281054
_CTDI_VOL, _PHANTOM, _CODE = 0x00189345, 0x00189346, 0x00080100
_CURRENT, _CURRENT_OF_FRAME = 0x00181151, 0x00189330
_PHANTOMS_CM = {"113690": 16, "113691": 32}  # CID 4052: head, body
_HOUNSFIELD = frozenset({None, "HU", "US"})  # PS3.3 C.11.1.1.2; US: not specified, as of old images

Vector = tuple[float, float, float]
"""In the patient's axes (PS3.3 C.7.6.2): to the left, to the back, to the head."""
_ALONG_TILTED = 0.85  # least cosine to the axes of a section: gantries tilt by 30 degrees at most


class CtImage(NamedTuple):
    """A CT image or a frame as its object states it; ``None`` is not stated. ``z_mm`` is its place along the table.

    ``original``: made from the measured data, not from other images (PS3.3 C.7.6.1.1.2), and of attenuation.
    ``row_direction`` is the way that the columns are counted, ``column_direction`` that of the rows; ``position_mm`` is
    the first pixel's place. ``decoded`` decodes the pixels as long as the object is open.
    """

    series_instance_uid: str
    localiser: bool
    z_mm: float | None
    decoded: Callable[[], Pixels]
    pixel_spacing_mm: tuple[float, float] | None
    rescale_slope: float | None
    rescale_intercept: float | None
    ctdi_vol_mgy: float | None
    phantom_cm: int | None
    tube_current_ma: float | None
    study_instance_uid: str | None = None
    frame_of_reference_uid: str | None = None
    event_uid: str | None = None
    original: bool = True
    position_mm: Vector | None = None
    row_direction: Vector | None = None
    column_direction: Vector | None = None

    @property
    def axial(self) -> bool:
        """Whether it is a section across the patient, neither a localiser nor reformatted."""
        if self.localiser or self.row_direction is None or self.column_direction is None:
            return not self.localiser
        return min(abs(self.row_direction[0]), abs(self.column_direction[1])) > _ALONG_TILTED


def most_image_bytes(limits: Limits = DEFAULT_LIMITS) -> int:
    """Return how many bytes an object with CT images may have."""
    return limits.header_bytes + _MOST_STORED


@contextmanager
def ct_images(source: Path | IO[bytes], name: str, limits: Limits = DEFAULT_LIMITS) -> Iterator[tuple[CtImage, ...]]:
    """Give the CT images of an object, frame by frame, as long as it is open; none of an object of another kind.

    Args:
        source: a file, or a stream that can seek.
        name: of the object, for errors.
        limits: within which its header is read.

    Raises:
        UnreadableObject: codes ``unreadable``, ``not-dicom``, ``too-large``, ``damaged`` and those of headers: it
            cannot be read, contradicts itself, or lacks pixels. Decoding raises it too.

    """
    if not isinstance(source, Path):
        yield _images(source, name, limits)
        return
    try:
        stream = source.open("rb")
    except OSError as error:
        raise UnreadableObject("unreadable", f"{name} cannot be read: {error.strerror or error}.") from None
    with stream:
        yield _images(stream, name, limits)


def _images(stream: IO[bytes], name: str, limits: Limits) -> tuple[CtImage, ...]:
    try:
        size = stream.seek(0, 2)
        stream.seek(0)
        header = read_header(stream.read, limits)
    except OSError as error:
        raise UnreadableObject("unreadable", f"{name} cannot be read: {error.strerror or error}.") from None
    if header[:64].lstrip(b"\xef\xbb\xbf \r\n\t")[:1] in (b"{", b"[", b"<"):
        raise UnreadableObject("not-dicom", f"{name} is no DICOM file.")
    try:
        plain = open_plain(header, limits)
    except UnreadableObject as error:
        raise UnreadableObject(error.code, f"{name}: {error}") from None
    item = plain.parsed.item
    sop_class = item.text(_SOP_CLASS)
    if sop_class != _CT_IMAGE and sop_class not in _MULTI_FRAME:
        return ()
    multi = sop_class in _MULTI_FRAME
    if size > limits.header_bytes + (_MOST_STORED if multi else 2 * _MOST_PIXELS):
        raise UnreadableObject("too-large", f"{name} has {size} bytes; no such CT image has.")
    scopes = _scopes(item, multi, name)
    _check_size(item, len(scopes), name)
    decode = frame_decoder(stream, header, plain, len(scopes), name)
    return tuple([_image(scope, item, partial(decode, number), multi) for number, scope in enumerate(scopes)])


def _scopes(item: Item, multi: bool, name: str) -> list[Sequence[Item]]:
    """Return the data sets that state each frame, the nearest to it first."""
    stated = int(item.number(_FRAMES) or (0 if multi else 1))
    frames = item.items(FRAME_GROUPS) if multi else (item,)
    if stated != len(frames) or not frames:
        message = f"{name} states {stated} frames and describes {len(frames)}, so it is not known which is which."
        raise UnreadableObject("damaged", message)
    if not multi:
        return [(item,)]
    shared = [inner for group in item.items(SHARED_GROUPS) for inner in macros(group)]
    return [(*macros(frame), *shared, item) for frame in frames]


def _check_size(item: Item, frames: int, name: str) -> None:
    rows, columns = int(item.number(ROWS) or 0), int(item.number(COLUMNS) or 0)
    if rows * columns > _MOST_PIXELS:
        raise UnreadableObject("too-large", f"{name} has {rows} x {columns} pixels; more than any CT image.")
    if rows * columns * frames > _MOST_PIXELS_OF_ALL:
        message = f"{name} has {frames} frames of {rows} x {columns} pixels; more than are measured of one object."
        raise UnreadableObject("too-large", message)


def _image(scope: Sequence[Item], item: Item, decoded: Callable[[], Pixels], multi: bool) -> CtImage:
    spacing = _numbers(scope, _SPACING)
    position = _vector(_numbers(scope, _POSITION))
    directions = _numbers(scope, _ORIENTATION)
    oriented = len(directions) == 6
    place = position[2] if position else None if multi else item.number(_LOCATION)
    # A frame without its functional groups may lie in any way; of single images many state no orientation.
    placed = oriented or not multi
    frame_type = _texts(scope, _FRAME_TYPE) if multi else []
    image_type = {part.upper() for part in frame_type or item.texts(_IMAGE_TYPE)}
    rescale_type = next(iter(_texts(scope, _RESCALE_TYPE)), None)
    current = _number(scope, _CURRENT_OF_FRAME)
    return CtImage(
        series_instance_uid=item.text(_SERIES) or "",
        localiser="LOCALIZER" in image_type,
        z_mm=place if placed else None,
        decoded=decoded,
        pixel_spacing_mm=(spacing[0], spacing[1]) if len(spacing) == 2 else None,
        rescale_slope=_number(scope, _SLOPE),
        rescale_intercept=_number(scope, _INTERCEPT),
        ctdi_vol_mgy=_number(scope, _CTDI_VOL),
        phantom_cm=_phantom(scope),
        tube_current_ma=_number(scope, _CURRENT) if current is None else current,
        study_instance_uid=item.text(_STUDY),
        frame_of_reference_uid=item.text(_FRAME_OF_REFERENCE),
        event_uid=_only(_texts(scope, _EVENT)),
        original=not {"DERIVED", "MIXED"} & image_type and rescale_type in _HOUNSFIELD,
        position_mm=position,
        row_direction=_vector(directions[:3]) if oriented else None,
        column_direction=_vector(directions[3:]) if oriented else None,
    )


def _texts(scope: Sequence[Item], tag: int) -> list[str]:
    return next((item.texts(tag) for item in scope if tag in item), [])


def _numbers(scope: Sequence[Item], tag: int) -> list[float]:
    return next((item.numbers(tag) for item in scope if tag in item), [])


def _number(scope: Sequence[Item], tag: int) -> float | None:
    return next((item.number(tag) for item in scope if tag in item), None)


def _vector(values: Sequence[float]) -> Vector | None:
    return (values[0], values[1], values[2]) if len(values) == 3 else None


def _only(values: Sequence[str]) -> str | None:
    """Return the one value of an attribute; ``None`` where it has none, or several."""
    return values[0] or None if len(values) == 1 else None


def _phantom(scope: Sequence[Item]) -> int | None:
    codes = next((item.items(_PHANTOM) for item in scope if _PHANTOM in item), ())
    return _PHANTOMS_CM.get(codes[0].text(_CODE) or "") if codes else None
