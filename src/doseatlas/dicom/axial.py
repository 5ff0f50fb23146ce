"""Which pixels does a CT image hold, and what does its header say of them? For the patient's size, one image at a time.

Read with pydicom, whose decoders know the compressed forms; only single-frame grey images of bounded size are read.
"""

from __future__ import annotations

import warnings
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple

from doseatlas.dicom.limits import DEFAULT_LIMITS, Limits
from doseatlas.model import UnreadableObject

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

_MOST_PIXELS = 4096 * 4096
_MOST_SAID = 200  # characters of what a decoder says
_CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"


Vector = tuple[float, float, float]
"""In the patient's axes (PS3.3 C.7.6.2): to the left, to the back, to the head."""
_ALONG_TILTED = 0.85  # least cosine to the axes of a section: gantries tilt by 30 degrees at most


class CtImage(NamedTuple):
    """A CT image as its object states it; ``None`` is not stated. ``z_mm`` is its place along the table.

    ``original``: made from the measured data, not from other images (PS3.3 C.7.6.1.1.2). ``row_direction`` is the way
    that the columns are counted, ``column_direction`` that of the rows; ``position_mm`` is the first pixel's place.
    """

    series_instance_uid: str
    localiser: bool
    z_mm: float | None
    pixels: npt.NDArray[Any]
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


def read_ct_image(path: Path, limits: Limits = DEFAULT_LIMITS) -> CtImage | None:
    """Return a CT image with its pixels; ``None`` for an object that is no single-frame CT image.

    Raises:
        UnreadableObject: codes ``not-dicom``, ``too-large``, ``damaged``: it cannot be read, or its pixels cannot.

    """
    try:
        size = path.stat().st_size
        if size > most_image_bytes(limits):
            raise UnreadableObject("too-large", f"{path} has {size} bytes; no single CT image has.")
        data = path.read_bytes()
    except OSError as error:
        raise UnreadableObject("unreadable", f"{path} cannot be read: {error.strerror or error}.") from None
    return read_ct_image_bytes(data, str(path))


def most_image_bytes(limits: Limits = DEFAULT_LIMITS) -> int:
    """Return how many bytes a single CT image may have."""
    return limits.header_bytes + 2 * _MOST_PIXELS


def read_ct_image_bytes(data: bytes, name: str) -> CtImage | None:
    """Return the CT image that bytes hold, as :func:`read_ct_image` does; ``name`` is for its errors.

    Raises:
        UnreadableObject: codes ``not-dicom``, ``too-large``, ``damaged``: it cannot be read, or its pixels cannot.

    """
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        # What is odd about an object but does no harm to its image is not told to whoever runs a command.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _image_in(pydicom.dcmread(BytesIO(data)), name)
    except InvalidDicomError:
        raise UnreadableObject("not-dicom", f"{name} is no DICOM file.") from None
    except UnreadableObject:
        raise
    except Exception as error:
        # Decoders stumble over damaged pixels in many ways; each is a refusal of this image.
        said = " ".join(str(error).split())[:_MOST_SAID]
        raise UnreadableObject("damaged", f"{name}: the image cannot be decoded ({said}).") from None


def _image_in(data_set: Any, name: str) -> CtImage | None:
    """Return the image of a data set; ``None`` for one that is no single-frame CT image."""
    if str(data_set.get("SOPClassUID", "")) != _CT_IMAGE:
        return None
    rows, columns = int(data_set.get("Rows", 0) or 0), int(data_set.get("Columns", 0) or 0)
    if rows * columns > _MOST_PIXELS:
        raise UnreadableObject("too-large", f"{name} has {rows} x {columns} pixels; more than any CT image.")
    return _image(data_set)


def _image(data: Any) -> CtImage:
    spacing = [float(value) for value in data.get("PixelSpacing", None) or ()]
    position = _vector(data.get("ImagePositionPatient", None))
    directions = [float(value) for value in data.get("ImageOrientationPatient", None) or ()]
    oriented = len(directions) == 6
    place = position[2] if position else _number(data.get("SliceLocation", None))
    image_type = [str(part).upper() for part in data.get("ImageType", None) or ()]
    return CtImage(
        series_instance_uid=str(data.get("SeriesInstanceUID", "")),
        localiser="LOCALIZER" in image_type,
        z_mm=place,
        pixels=data.pixel_array,
        pixel_spacing_mm=(spacing[0], spacing[1]) if len(spacing) == 2 else None,
        rescale_slope=_number(data.get("RescaleSlope", None)),
        rescale_intercept=_number(data.get("RescaleIntercept", None)),
        ctdi_vol_mgy=_number(data.get("CTDIvol", None)),
        phantom_cm=_phantom(data),
        tube_current_ma=_number(data.get("XRayTubeCurrent", None)),
        study_instance_uid=_text(data.get("StudyInstanceUID", None)),
        frame_of_reference_uid=_text(data.get("FrameOfReferenceUID", None)),
        event_uid=_text(data.get("IrradiationEventUID", None)),
        original="DERIVED" not in image_type,
        position_mm=position,
        row_direction=_vector(directions[:3]) if oriented else None,
        column_direction=_vector(directions[3:]) if oriented else None,
    )


def _vector(values: Any) -> Vector | None:
    numbers = [float(value) for value in values or ()]
    return (numbers[0], numbers[1], numbers[2]) if len(numbers) == 3 else None


def _text(value: Any) -> str | None:
    """Return the one value of an attribute; ``None`` where it has none, or several."""
    return value.strip() or None if isinstance(value, str) else None


def _number(value: Any) -> float | None:
    return None if value is None or value == "" else float(value)


def _phantom(data: Any) -> int | None:
    """Return the CTDI phantom (CID 4052): 113690 head, 16 cm; 113691 body, 32 cm."""
    codes = data.get("CTDIPhantomTypeCodeSequence", None) or ()
    return {"113690": 16, "113691": 32}.get(str(codes[0].get("CodeValue", ""))) if codes else None
