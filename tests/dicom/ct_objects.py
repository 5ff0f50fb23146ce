"""CT objects with pixels: an ellipse of water, as single images, localisers, and frames of enhanced and legacy CT."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from math import sqrt
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    LegacyConvertedEnhancedCTImageStorage,
    generate_uid,
)

SIDE, PIXEL_MM, A_MM, B_MM = 256, 1.5, 150.0, 110.0
DIAMETER_MM = 2 * sqrt(A_MM * B_MM)
AXIS = (np.arange(SIDE) + 0.5 - SIDE / 2) * PIXEL_MM
ACROSS = [1, 0, 0, 0, 1, 0]
Frame = dict[str, Any]


def water(scale: float = 1.0) -> npt.NDArray[np.uint16]:
    """Stored values of an ellipse of water in air, HU plus 1024."""
    x, y = np.meshgrid(AXIS, AXIS)
    return np.where((x / (scale * A_MM)) ** 2 + (y / (scale * B_MM)) ** 2 <= 1, 1024, 24).astype(np.uint16)


def ct_image(study: str, pixels: npt.NDArray[Any], **more: Any) -> bytes:
    """A CT Image Storage object."""
    image = _object(CTImageStorage, study, pixels)
    image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    image.PixelSpacing = [PIXEL_MM, PIXEL_MM]
    image.RescaleSlope, image.RescaleIntercept = 1, -1024
    image.PixelData = pixels.astype(np.uint16).tobytes()
    return _written(image, more)


def axial(study: str, z_mm: float, scale: float = 1.0, **more: Any) -> bytes:
    """An axial image of an ellipse of water."""
    stated = {"ImagePositionPatient": [AXIS[0], AXIS[0], z_mm], "ImageOrientationPatient": ACROSS}
    return ct_image(study, water(scale), **(stated | more))


def localiser(study: str, half_width_mm: float, across: list[int], series: str) -> bytes:
    """A localiser of a cylinder of water."""
    chord = 2 * np.sqrt(np.maximum(0.0, half_width_mm**2 - AXIS**2))
    return ct_image(
        study,
        np.repeat(100 + 3 * chord[None, :], 40, axis=0),
        ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
        SeriesInstanceUID=series,
        ImagePositionPatient=[0, 0, 100],
        ImageOrientationPatient=[*across, 0, 0, -1],
    )


def frame(z_mm: float | None, scale: float = 1.0, **more: Any) -> Frame:
    """A frame of :func:`enhanced_ct`: ``type``, ``ctdi``, ``current``, ``event`` and ``phantom`` as they are given."""
    return {"z": z_mm, "pixels": water(scale), "type": ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"], **more}


def enhanced_ct(study: str, frames: Sequence[Frame], **more: Any) -> bytes:
    """An Enhanced CT Image Storage object: what is common to its frames in the shared groups, the rest by frame."""
    image = _object(EnhancedCTImageStorage, study, frames[0]["pixels"])
    image.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "MIXED"]
    image.NumberOfFrames = len(frames)
    shared = Dataset()
    shared.PixelMeasuresSequence = [_set(PixelSpacing=[PIXEL_MM, PIXEL_MM], SliceThickness=1)]
    shared.PixelValueTransformationSequence = [_set(RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU")]
    shared.PlaneOrientationSequence = [_set(ImageOrientationPatient=ACROSS)]
    image.SharedFunctionalGroupsSequence = [shared]
    image.PerFrameFunctionalGroupsSequence = [_frame_groups(one) for one in frames]
    image.PixelData = np.stack([one["pixels"] for one in frames]).tobytes()
    return _written(image, more)


def legacy_ct(study: str, frames: Sequence[Frame], **more: Any) -> bytes:
    """A Legacy Converted Enhanced CT object: dose attributes stand as they were, among the unassigned ones."""
    image = _object(LegacyConvertedEnhancedCTImageStorage, study, frames[0]["pixels"])
    image.NumberOfFrames = len(frames)
    groups = []
    for one in frames:
        group = _frame_groups({"z": one["z"], "type": one["type"]})
        group.PixelMeasuresSequence = [_set(PixelSpacing=[PIXEL_MM, PIXEL_MM])]
        group.PixelValueTransformationSequence = [_set(RescaleSlope=1, RescaleIntercept=-1024, RescaleType="US")]
        group.PlaneOrientationSequence = [_set(ImageOrientationPatient=ACROSS)]
        unassigned = _set(CTDIvol=one["ctdi"], XRayTubeCurrent=one["current"])
        group.UnassignedPerFrameConvertedAttributesSequence = [unassigned]
        groups.append(group)
    image.SharedFunctionalGroupsSequence = [Dataset()]
    image.PerFrameFunctionalGroupsSequence = groups
    image.PixelData = np.stack([one["pixels"] for one in frames]).tobytes()
    return _written(image, more)


def _frame_groups(one: Frame) -> Dataset:
    group = Dataset()
    if one.get("z") is not None:
        group.PlanePositionSequence = [_set(ImagePositionPatient=[AXIS[0], AXIS[0], one["z"]])]
    group.CTImageFrameTypeSequence = [_set(FrameType=one["type"])]
    exposure = Dataset()
    if "ctdi" in one:
        exposure.CTDIvol = one["ctdi"]
    if "current" in one:
        exposure.XRayTubeCurrentInmA = one["current"]
    if "phantom" in one:
        code = _set(CodeValue=one["phantom"], CodingSchemeDesignator="DCM", CodeMeaning="phantom")
        exposure.CTDIPhantomTypeCodeSequence = [code]
    if len(exposure):
        group.CTExposureSequence = [exposure]
    if "event" in one:
        group.IrradiationEventIdentificationSequence = [_set(IrradiationEventUID=one["event"])]
    return group


def _set(**values: Any) -> Dataset:
    found = Dataset()
    for name, value in values.items():
        setattr(found, name, value)
    return found


def _object(sop_class: UID, study: str, pixels: npt.NDArray[Any]) -> Dataset:
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID = sop_class
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID = generate_uid()
    image.StudyInstanceUID, image.SeriesInstanceUID, image.Modality = study, "1.2.3", "CT"
    image.Rows, image.Columns = pixels.shape
    image.BitsAllocated = image.BitsStored = 16
    image.HighBit, image.PixelRepresentation, image.SamplesPerPixel = 15, 0, 1
    image.PhotometricInterpretation = "MONOCHROME2"
    return image


def _written(image: Dataset, more: dict[str, Any]) -> bytes:
    for name, value in more.items():
        setattr(image, name, value)
    file = BytesIO()
    image.save_as(file, enforce_file_format=True)
    return file.getvalue()
