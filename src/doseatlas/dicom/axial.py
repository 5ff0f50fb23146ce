"""Which pixels does a CT image hold, and what does its header say of them? For the patient's size, one image at a time.

Read with pydicom, whose decoders know the compressed forms; only single-frame grey images of bounded size are read.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple

from doseatlas.dicom.limits import DEFAULT_LIMITS, Limits
from doseatlas.model import UnreadableObject

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

_MOST_PIXELS = 4096 * 4096
_CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"


class CtImage(NamedTuple):
    """A CT image as its object states it; ``None`` is not stated. ``z_mm`` is its place along the table."""

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


def read_ct_image(path: Path, limits: Limits = DEFAULT_LIMITS) -> CtImage | None:
    """Return a CT image with its pixels; ``None`` for an object that is no single-frame CT image.

    Raises:
        UnreadableObject: codes ``not-dicom``, ``too-large``, ``damaged``: it cannot be read, or its pixels cannot.

    """
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        size = path.stat().st_size
        if size > limits.header_bytes + 2 * _MOST_PIXELS:
            raise UnreadableObject("too-large", f"{path} has {size} bytes; no single CT image has.")
        data = pydicom.dcmread(BytesIO(path.read_bytes()))
        if str(data.get("SOPClassUID", "")) != _CT_IMAGE:
            return None
        rows, columns = int(data.get("Rows", 0) or 0), int(data.get("Columns", 0) or 0)
        if rows * columns > _MOST_PIXELS:
            raise UnreadableObject("too-large", f"{path} has {rows} x {columns} pixels; more than any CT image.")
        return _image(data)
    except InvalidDicomError:
        raise UnreadableObject("not-dicom", f"{path} is no DICOM file.") from None
    except OSError as error:
        raise UnreadableObject("unreadable", f"{path} cannot be read: {error.strerror or error}.") from None
    except UnreadableObject:
        raise
    except Exception as error:
        # Decoders stumble over damaged pixels in many ways; each is a refusal of this image.
        raise UnreadableObject("damaged", f"{path}: the image cannot be decoded ({error}).") from None


def _image(data: Any) -> CtImage:
    spacing = [float(value) for value in data.get("PixelSpacing", None) or ()]
    position = [float(value) for value in data.get("ImagePositionPatient", None) or ()]
    place = position[2] if len(position) == 3 else _number(data.get("SliceLocation", None))
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
    )


def _number(value: Any) -> float | None:
    return None if value is None or value == "" else float(value)


def _phantom(data: Any) -> int | None:
    """Return the CTDI phantom (CID 4052): 113690 head, 16 cm; 113691 body, 32 cm."""
    codes = data.get("CTDIPhantomTypeCodeSequence", None) or ()
    return {"113690": 16, "113691": 32}.get(str(codes[0].get("CodeValue", ""))) if codes else None
