"""What is the dose along the table? SSDE of each image of a scan, their mean, and that of the central image.

AAPM Report 220 (2014): SSDE(z) = f(D_w(z)) CTDIvol(z); the SSDE of the scan is the mean over its images. Where the
scanner modulates the tube current and states CTDIvol for the whole scan only, be it in each of its images, CTDIvol(z)
follows the tube current of the images.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import isfinite
from typing import NamedTuple

from doseatlas.dosimetry.ct_effective_dose import Dlp
from doseatlas.dosimetry.estimate import DosimetryError, Estimate, NotEstimated
from doseatlas.dosimetry.patient_size import PatientSize
from doseatlas.dosimetry.ssde import QUANTITY, Region, ssde
from doseatlas.model import Note

_SAME_PLACE_MM = 0.01
_OF_SCAN = "CTDIvol of the scan"
_SAME_CTDI = 0.001  # relative; what is stated of the whole scan is written alike in all images


class MeasuredImage(NamedTuple):
    """What is kept of an image once the patient is measured in it: its place, size and dose, without its pixels."""

    z_mm: float
    size: PatientSize | NotEstimated
    ctdi_vol_mgy: float | None
    tube_current_ma: float | None


class ProfilePoint(NamedTuple):
    """Size and dose at one table position; ``ctdi_vol_mgy`` says what the SSDE was computed from."""

    z_mm: float
    size: PatientSize
    ctdi_vol_mgy: float
    ssde: Estimate


class ScanProfile(NamedTuple):
    """A scan along z: the points that could be measured, the means, the centre, and why images were left out.

    ``dose`` says where CTDIvol(z) comes from.
    """

    points: tuple[ProfilePoint, ...]
    mean: Estimate
    central: ProfilePoint
    mean_diameter_mm: float
    dose: str
    left_out: tuple[tuple[float, NotEstimated], ...]


def profile_of_measured(
    images: Sequence[MeasuredImage],
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
    placed = _one_per_position(images)
    left_out = tuple((image.z_mm, image.size) for image in placed if isinstance(image.size, NotEstimated))
    good = [(image, image.size) for image in placed if isinstance(image.size, PatientSize)]
    if not good:
        return _no_diameter(left_out)
    weights = _extents([image.z_mm for image, _ in good])
    doses, how = _ctdi_along([image for image, _ in good], weights, ctdi_vol_mgy)
    points = []
    for (image, size), dose in zip(good, doses, strict=True):
        point = ssde(dose, phantom_cm, region, size, ctdi_relative_uncertainty=ctdi_relative_uncertainty)
        if isinstance(point, NotEstimated):
            return point
        assert dose is not None
        points.append(ProfilePoint(image.z_mm, size, dose, point))
    flags = _scan_flags([point.ssde.flags for point in points], left_out)
    mean = _mean(points, weights, how, flags)
    middle = (points[0].z_mm + points[-1].z_mm) / 2
    central = min(points, key=lambda point: abs(point.z_mm - middle))
    diameter = _mean_diameter([size for _, size in good], weights)
    return ScanProfile(tuple(points), mean, central, diameter, how, left_out)


def size_of_measured(images: Sequence[MeasuredImage]) -> PatientSize | NotEstimated:
    """Return the mean diameter of a scan over its length and its flags, whatever is known of its dose."""
    placed = _one_per_position(images)
    left_out = tuple((image.z_mm, image.size) for image in placed if isinstance(image.size, NotEstimated))
    sizes = [image.size for image in placed if isinstance(image.size, PatientSize)]
    if not sizes:
        return _no_diameter(left_out)
    weights = _extents([image.z_mm for image in placed if isinstance(image.size, PatientSize)])
    return PatientSize(
        diameter_mm=_mean_diameter(sizes, weights),
        relative_standard_uncertainty=max(size.relative_standard_uncertainty for size in sizes),
        method=sizes[0].method,
        source=sizes[0].source,
        flags=_scan_flags([size.flags for size in sizes], left_out),
    )


def mean_ctdi_mgy(images: Sequence[MeasuredImage]) -> float | None:
    """Return the mean over the length of the CTDIvol that images state; ``None`` where not all of them do."""
    placed = _one_per_position(images)
    stated = [image.ctdi_vol_mgy for image in placed if image.ctdi_vol_mgy is not None]
    if not placed or len(stated) < len(placed):
        return None
    weights = _extents([image.z_mm for image in placed])
    return sum(weight * value for weight, value in zip(weights, stated, strict=True)) / sum(weights)


def _no_diameter(left_out: tuple[tuple[float, NotEstimated], ...]) -> NotEstimated:
    reason = left_out[0][1].message if left_out else "There are no images."
    return NotEstimated(quantity=QUANTITY, code="size-not-known", message=f"No image gives a diameter. {reason}")


def _mean_diameter(sizes: Sequence[PatientSize], weights: Sequence[float]) -> float:
    return sum(weight * size.diameter_mm for weight, size in zip(weights, sizes, strict=True)) / sum(weights)


class SplitDlp(NamedTuple):
    """The DLP of a scan split by z: its part in each region, the share that lay in none, and what the split follows."""

    parts: tuple[Dlp, ...]
    outside: float
    dose: str


def dlp_by_region(
    images: Sequence[MeasuredImage],
    dlp_mgy_cm: float,
    phantom_cm: int | None,
    ranges: Sequence[tuple[str, float, float]],
) -> SplitDlp:
    """Return the DLP of a scan over several regions split by z, in proportion to CTDIvol times length.

    Args:
        images: of the scan; their sizes do not matter here.
        dlp_mgy_cm: DLP of the whole scan.
        phantom_cm: its phantom.
        ranges: region with its lowest and highest z (mm); what of the scan lies in none belongs to the nearest.

    Raises:
        DosimetryError: there is no range, or no image with a place.

    """
    placed = _one_per_position(images)
    if not ranges or not placed:
        raise DosimetryError("Without a range of a region and images that state their place, no DLP is split by z.")
    lengths = _extents([image.z_mm for image in placed])
    # Only the course along z matters here: without any, as much dose to each millimetre.
    along, how = _ctdi_along(placed, lengths, 1.0)
    parts = dict.fromkeys((region for region, _, _ in ranges), 0.0)
    beside = 0.0
    for image, length, relative in zip(placed, lengths, along, strict=True):
        dose = (relative or 0.0) * length
        outside = [max(low - image.z_mm, image.z_mm - high, 0.0) for _, low, high in ranges]
        parts[ranges[outside.index(min(outside))][0]] += dose
        beside += dose if min(outside) else 0.0
    total = sum(parts.values())
    if not total > 0:
        raise DosimetryError("A DLP cannot be split by z where the images state a CTDIvol of 0.")
    split = [Dlp(dlp_mgy_cm * part / total, phantom_cm, frozenset({region})) for region, part in parts.items() if part]
    return SplitDlp(tuple(split), beside / total, "length alone" if how is _OF_SCAN else how)


def _one_per_position(images: Sequence[MeasuredImage]) -> list[MeasuredImage]:
    placed: list[MeasuredImage] = []
    for image in sorted((image for image in images if isfinite(image.z_mm)), key=lambda image: image.z_mm):
        if not placed or image.z_mm - placed[-1].z_mm > _SAME_PLACE_MM:
            placed.append(image)
    return placed


def _ctdi_along(
    images: list[MeasuredImage], weights: list[float], scan_mgy: float | None
) -> tuple[list[float | None], str]:
    """Return CTDIvol of each image, and whether it is stated, follows the tube current, or is constant.

    Its mean over the length of the scan is that of the scan. One and the same CTDIvol in all images is that of the scan
    too: the tube current then says how it goes along the table.
    """
    stated = [image.ctdi_vol_mgy for image in images if image.ctdi_vol_mgy is not None]
    own = len(stated) == len(images)
    if own and max(stated) - min(stated) > _SAME_CTDI * max(stated):
        return list(stated), "CTDIvol of each image"
    scan_mgy = stated[0] if own else scan_mgy
    currents = [image.tube_current_ma for image in images if image.tube_current_ma is not None]
    if scan_mgy is not None and len(currents) == len(images) and min(currents) > 0:
        mean = sum(weight * current for weight, current in zip(weights, currents, strict=True)) / sum(weights)
        how = "CTDIvol of the scan by the tube current of each image"
        return [scan_mgy * current / mean for current in currents], how
    return [scan_mgy] * len(images), "CTDIvol of each image" if own else _OF_SCAN


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
        method=f"mean of SSDE(z) over {len(points)} images, {points[0].size.method}, {how}",
        source=first.source,
        coefficient_set=first.coefficient_set,
        flags=flags,
    )
