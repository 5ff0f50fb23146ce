"""What is the dose along the table? SSDE of each image of a scan, their mean, and that of the central image.

AAPM Report 220 (2014): SSDE(z) = f(D_w(z)) CTDIvol(z); the SSDE of the scan is the mean over its images. Where the
scanner modulates the tube current and states CTDIvol for the whole scan only, CTDIvol(z) follows the tube current of
the images.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from doseatlas.dosimetry.ct_effective_dose import Dlp
from doseatlas.dosimetry.estimate import DosimetryError, Estimate, NotEstimated
from doseatlas.dosimetry.patient_size import PatientSize
from doseatlas.dosimetry.ssde import QUANTITY, Region, ssde
from doseatlas.dosimetry.water_equivalent import BodySection, body_section
from doseatlas.model import Note

if TYPE_CHECKING:
    import numpy.typing as npt

_SAME_PLACE_MM = 0.01


class AxialImage(NamedTuple):
    """One axial image as its object states it; ``None`` is not stated."""

    z_mm: float
    pixels: npt.NDArray[Any]
    pixel_spacing_mm: tuple[float, float] | None
    rescale_slope: float | None
    rescale_intercept: float | None
    ctdi_vol_mgy: float | None = None
    tube_current_ma: float | None = None


class MeasuredImage(NamedTuple):
    """What is kept of an image once the patient is measured in it: its place, size and dose, without its pixels."""

    z_mm: float
    section: BodySection | NotEstimated
    ctdi_vol_mgy: float | None
    tube_current_ma: float | None


class ProfilePoint(NamedTuple):
    """Size and dose at one table position; ``ctdi_vol_mgy`` says what the SSDE was computed from."""

    z_mm: float
    section: BodySection
    ctdi_vol_mgy: float
    ssde: Estimate


class ScanProfile(NamedTuple):
    """A scan along z: the points that could be measured, the means, the centre, and why images were left out."""

    points: tuple[ProfilePoint, ...]
    mean: Estimate
    central: Estimate
    mean_diameter_mm: float
    left_out: tuple[tuple[float, NotEstimated], ...]


def scan_profile(
    images: Sequence[AxialImage],
    *,
    ctdi_vol_mgy: float | None,
    phantom_cm: int | None,
    region: Region,
    ctdi_relative_uncertainty: float = 0.0,
) -> ScanProfile | NotEstimated:
    """Return size and SSDE along a scan.

    Args:
        images: images of one scan in any order; of several at one position (reconstructions) the first counts.
        ctdi_vol_mgy: mean CTDIvol of the scan, used where the images don't state their own.
        phantom_cm: phantom of CTDIvol.
        region: ``head`` or ``body``.
        ctdi_relative_uncertainty: relative standard uncertainty of CTDIvol, common to all images.

    """
    return profile_of_measured(
        [measured(image) for image in _one_per_position(images)],
        ctdi_vol_mgy=ctdi_vol_mgy,
        phantom_cm=phantom_cm,
        region=region,
        ctdi_relative_uncertainty=ctdi_relative_uncertainty,
    )


def measured(image: AxialImage) -> MeasuredImage:
    """Return what an image says of the patient's size; its pixels may be forgotten then."""
    section = body_section(
        image.pixels,
        pixel_spacing_mm=image.pixel_spacing_mm,
        rescale_slope=image.rescale_slope,
        rescale_intercept=image.rescale_intercept,
    )
    return MeasuredImage(image.z_mm, section, image.ctdi_vol_mgy, image.tube_current_ma)


def profile_of_measured(
    images: Sequence[MeasuredImage],
    *,
    ctdi_vol_mgy: float | None,
    phantom_cm: int | None,
    region: Region,
    ctdi_relative_uncertainty: float = 0.0,
) -> ScanProfile | NotEstimated:
    """Return what :func:`scan_profile` does, from images that were measured one by one."""
    placed = _one_per_position(images)
    left_out = tuple((image.z_mm, image.section) for image in placed if isinstance(image.section, NotEstimated))
    good = [(image, image.section) for image in placed if isinstance(image.section, BodySection)]
    if not good:
        reason = left_out[0][1].message if left_out else "There are no images."
        return NotEstimated(quantity=QUANTITY, code="size-not-known", message=f"No image gives a diameter. {reason}")
    weights = _extents([image.z_mm for image, _ in good])
    doses, how = _ctdi_along([image for image, _ in good], weights, ctdi_vol_mgy)
    points = []
    for (image, section), dose in zip(good, doses, strict=True):
        point = ssde(dose, phantom_cm, region, section.size(), ctdi_relative_uncertainty=ctdi_relative_uncertainty)
        if isinstance(point, NotEstimated):
            return point
        assert dose is not None
        points.append(ProfilePoint(image.z_mm, section, dose, point))
    flags = _scan_flags([point.ssde.flags for point in points], left_out)
    mean = _mean(points, weights, how, flags)
    middle = (points[0].z_mm + points[-1].z_mm) / 2
    central = min(points, key=lambda point: abs(point.z_mm - middle)).ssde
    diameter = _mean_diameter([section for _, section in good], weights)
    return ScanProfile(tuple(points), mean, central, diameter, left_out)


def size_of_measured(images: Sequence[MeasuredImage]) -> PatientSize | NotEstimated:
    """Return the mean diameter of a scan over its length and its flags, whatever is known of its dose."""
    placed = _one_per_position(images)
    left_out = tuple((image.z_mm, image.section) for image in placed if isinstance(image.section, NotEstimated))
    sections = [image.section for image in placed if isinstance(image.section, BodySection)]
    if not sections:
        reason = left_out[0][1].message if left_out else "There are no images."
        return NotEstimated(quantity=QUANTITY, code="size-not-known", message=f"No image gives a diameter. {reason}")
    weights = _extents([image.z_mm for image in placed if isinstance(image.section, BodySection)])
    first = sections[0].size()
    return PatientSize(
        diameter_mm=_mean_diameter(sections, weights),
        relative_standard_uncertainty=max(section.relative_standard_uncertainty for section in sections),
        method=first.method,
        source=first.source,
        flags=_scan_flags([section.flags for section in sections], left_out),
    )


def _mean_diameter(sections: Sequence[BodySection], weights: Sequence[float]) -> float:
    pairs = zip(weights, sections, strict=True)
    return sum(weight * section.water_equivalent_diameter_mm for weight, section in pairs) / sum(weights)


def dlp_by_region(
    profile: ScanProfile, dlp_mgy_cm: float, phantom_cm: int | None, ranges: Sequence[tuple[str, float, float]]
) -> list[Dlp]:
    """Return the DLP of a scan over several regions split by z, in proportion to CTDIvol times length.

    Args:
        profile: size and CTDIvol along the scan.
        dlp_mgy_cm: DLP of the whole scan.
        phantom_cm: its phantom.
        ranges: region with its lowest and highest z (mm); what of the scan lies in none belongs to the nearest.

    Raises:
        DosimetryError: there is no range.

    """
    if not ranges:
        raise DosimetryError("A DLP cannot be split by z without a range of a region.")
    parts = dict.fromkeys((region for region, _, _ in ranges), 0.0)
    for point, length in zip(profile.points, _extents([point.z_mm for point in profile.points]), strict=True):
        outside = [max(low - point.z_mm, point.z_mm - high, 0.0) for _, low, high in ranges]
        parts[ranges[outside.index(min(outside))][0]] += point.ctdi_vol_mgy * length
    total = sum(parts.values())
    return [Dlp(dlp_mgy_cm * part / total, phantom_cm, frozenset({region})) for region, part in parts.items() if part]


_Image = TypeVar("_Image", AxialImage, MeasuredImage)


def _one_per_position(images: Sequence[_Image]) -> list[_Image]:
    placed: list[_Image] = []
    for image in sorted((image for image in images if isfinite(image.z_mm)), key=lambda image: image.z_mm):
        if not placed or image.z_mm - placed[-1].z_mm > _SAME_PLACE_MM:
            placed.append(image)
    return placed


def _ctdi_along(
    images: list[MeasuredImage], weights: list[float], scan_mgy: float | None
) -> tuple[list[float | None], str]:
    """Return CTDIvol of each image, and whether it is stated, follows the tube current, or is constant.

    Its mean over the length of the scan is that of the scan.
    """
    stated = [image.ctdi_vol_mgy for image in images]
    if None not in stated:
        return stated, "CTDIvol of each image"
    currents = [
        image.tube_current_ma for image in images if image.tube_current_ma is not None and image.tube_current_ma > 0
    ]
    if scan_mgy is not None and len(currents) == len(images):
        mean = sum(weight * current for weight, current in zip(weights, currents, strict=True)) / sum(weights)
        return [
            scan_mgy * current / mean for current in currents
        ], "CTDIvol of the scan by the tube current of each image"
    return [scan_mgy] * len(images), "CTDIvol of the scan"


def _extents(z: list[float]) -> list[float]:
    """Return the length of scan that each image stands for: half the way to its neighbours."""
    if len(z) == 1:
        return [1.0]
    gaps = [b - a for a, b in pairwise(z)]
    return [(a + b) / 2 for a, b in zip([gaps[0], *gaps], [*gaps, gaps[-1]], strict=True)]


def _scan_flags(
    of_images: Sequence[Sequence[Note]], left_out: tuple[tuple[float, NotEstimated], ...]
) -> tuple[Note, ...]:
    counts: dict[str, int] = {}
    for own in of_images:
        for flag in own:
            counts[flag.code] = counts.get(flag.code, 0) + 1
    flags = [Note(code=code, message=f"In {n} of {len(of_images)} images.") for code, n in counts.items()]
    if left_out:
        reasons = ", ".join(sorted({reason.code for _, reason in left_out}))
        flags.append(Note(code="images-left-out", message=f"{len(left_out)} images give no diameter: {reasons}."))
    return tuple(flags)


def _mean(points: list[ProfilePoint], weights: list[float], how: str, flags: tuple[Note, ...]) -> Estimate:
    """Return the mean over z. Calibration and coefficients are common to all images: no uncertainty averages out."""
    total = sum(weights)
    first = points[0].ssde
    return Estimate(
        quantity=first.quantity,
        value=sum(w * point.ssde.value for w, point in zip(weights, points, strict=True)) / total,
        standard_uncertainty=sum(w * p.ssde.standard_uncertainty for w, p in zip(weights, points, strict=True)) / total,
        method=f"mean of SSDE(z) over {len(points)} images, {how}",
        source=first.source,
        coefficient_set=first.coefficient_set,
        flags=flags,
    )
