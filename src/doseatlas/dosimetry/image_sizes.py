"""What do an exam's images say of the patient's size? Measured when they arrive, kept without their pixels.

What is kept is bounded and the same in whatever order the images come, and how often: of each series one diameter every
5 mm along the table, and one width every 10 mm from localisers. The size for a scan comes from the axial images of its
irradiation event, else from all axial images of the exam, else from two localisers at right angles.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite, sqrt
from typing import TYPE_CHECKING, Literal, NamedTuple

from doseatlas.dosimetry.estimate import NotEstimated
from doseatlas.dosimetry.patient_size import PatientSize
from doseatlas.model import Note, Record

if TYPE_CHECKING:
    from doseatlas.dicom import CtImage

PLACE_MM, WIDTH_MM = 5.0, 10.0
"""Length of table for which one diameter, and one width, is kept."""
_FARTHEST_MM = 10_000.0  # from the origin of a frame of reference
_MOST = 2000  # of each; a whole body in five reconstructions has that many


class Place(Record, frozen=True, kw_only=True, order=True):
    """The diameter at one place of a series, 0 where the image gives none; ``cell`` is z over 5 mm, rounded."""

    series: str
    cell: int
    missed_by_mm: float
    diameter_mm: float = 0.0
    relative_standard_uncertainty: float = 0.0
    event_uid: str = ""
    flags: tuple[str, ...] = ()


class Width(Record, frozen=True, kw_only=True, order=True):
    """The width of the body in a localiser at one place; ``cell`` is z over 10 mm, rounded."""

    series: str
    view: Literal["frontal", "lateral"]
    cell: int
    width_mm: float


class ImageSizes(Record, frozen=True, kw_only=True):
    """What is kept of an exam's images."""

    places: tuple[Place, ...] = ()
    widths: tuple[Width, ...] = ()


class ImageSize(NamedTuple):
    """The mean size along a scan, and the diameter (mm) at its middle."""

    size: PatientSize
    central_diameter_mm: float


def sizes_of_image(image: CtImage) -> ImageSizes:
    """Return what one CT image says of the size; nothing where it is derived from others, or no section or localiser.

    Its pixels may be forgotten then.
    """
    if not image.original:
        return ImageSizes()
    if image.localiser:
        return _of_localiser(image)
    if not image.axial or image.z_mm is None or not abs(image.z_mm) <= _FARTHEST_MM:
        return ImageSizes()
    from doseatlas.dosimetry.water_equivalent import body_section

    section = body_section(
        image.pixels,
        pixel_spacing_mm=image.pixel_spacing_mm,
        rescale_slope=image.rescale_slope,
        rescale_intercept=image.rescale_intercept,
    )
    cell = round(image.z_mm / PLACE_MM)
    place = Place(
        series=_uid(image.series_instance_uid),
        cell=cell,
        missed_by_mm=round(abs(image.z_mm - cell * PLACE_MM), 3),
        event_uid=_uid(image.event_uid or ""),
        flags=(section.code,) if isinstance(section, NotEstimated) else tuple(flag.code for flag in section.flags),
        **_measured(section),
    )
    return ImageSizes(places=(place,))


def _uid(text: str) -> str:
    """Return a UID as it is, and what is none bounded and in letters that can be kept."""
    return text[:64].encode("ascii", "replace").decode()


def _measured(section: object) -> dict[str, float]:
    from doseatlas.dosimetry.water_equivalent import BodySection

    if not isinstance(section, BodySection):
        return {}
    return {
        "diameter_mm": round(section.water_equivalent_diameter_mm, 2),
        "relative_standard_uncertainty": round(section.relative_standard_uncertainty, 4),
    }


def _of_localiser(image: CtImage) -> ImageSizes:
    from doseatlas.dosimetry.localiser import localiser_lines

    lines = localiser_lines(
        image.pixels,
        pixel_spacing_mm=image.pixel_spacing_mm,
        position_mm=image.position_mm,
        row_direction=image.row_direction,
        column_direction=image.column_direction,
    )
    if isinstance(lines, NotEstimated):
        return ImageSizes()
    by_cell: dict[int, list[float]] = {}
    for z_mm, width in zip(lines.z_mm.tolist(), lines.widths_mm.tolist(), strict=True):
        if isfinite(width) and abs(z_mm) <= _FARTHEST_MM:
            by_cell.setdefault(round(z_mm / WIDTH_MM), []).append(width)
    widths = [
        Width(
            series=_uid(image.series_instance_uid), view=lines.view, cell=cell, width_mm=round(sum(own) / len(own), 1)
        )
        for cell, own in by_cell.items()
    ]
    return united([ImageSizes(widths=tuple(widths))])


def united(found: Iterable[ImageSizes]) -> ImageSizes:
    """Return the sizes of several images together; of one place in a series the image nearest its middle counts."""
    places: dict[tuple[str, int], Place] = {}
    widths: dict[tuple[str, str, int], Width] = {}
    for one in found:
        for place in one.places:
            own = (place.series, place.cell)
            places[own] = min(place, places.get(own, place), key=_preferred)
        for width in one.widths:
            at = (width.series, width.view, width.cell)
            widths[at] = min(width, widths.get(at, width))
    return ImageSizes(places=tuple(sorted(places.values())[:_MOST]), widths=tuple(sorted(widths.values())[:_MOST]))


def _preferred(place: Place) -> tuple[bool, float, Place]:
    """Return by what one image goes before another of its place: measured, then near the middle."""
    return not place.diameter_mm, place.missed_by_mm, place


def size_for_scan(sizes: ImageSizes, event_uid: str | None) -> ImageSize | None:
    """Return the size of the patient in a scan; ``None`` where the exam's images give none.

    Args:
        sizes: of the exam's images.
        event_uid: irradiation event of the scan, which images state too; ``None`` where the report does not.

    """
    own = [place for place in sizes.places if event_uid and place.event_uid == event_uid]
    flags: tuple[Note, ...] = ()
    if not own:
        own = list(sizes.places)
        if event_uid and own and all(place.event_uid for place in own):
            message = "The images state that they are of other scans of the exam."
            flags = (Note(code="size-of-other-images", message=message),)
    return _from_places(own, flags) or _from_widths(sizes.widths)


def imaged_range_mm(sizes: ImageSizes, event_uid: str) -> tuple[float, float] | None:
    """Return the lowest and highest place of a scan's axial images, within 2.5 mm; ``None`` where there is none."""
    own = [place.cell for place in sizes.places if place.event_uid == event_uid]
    return (min(own) * PLACE_MM, max(own) * PLACE_MM) if own else None


def _from_places(places: Sequence[Place], flags: tuple[Note, ...]) -> ImageSize | None:
    """Return the mean over the table: cells are of one length, and several reconstructions of one count once."""
    best: dict[int, Place] = {}
    for place in sorted(places, key=_preferred):
        if place.diameter_mm:
            best.setdefault(place.cell, place)
    if not best:
        return None
    counts: dict[str, int] = {}
    for place in best.values():
        for code in place.flags:
            counts[code] = counts.get(code, 0) + 1
    flags += tuple(Note(code=code, message=f"At {n} of {len(best)} places.") for code, n in sorted(counts.items()))
    lacking = {place.cell for place in places} - best.keys()
    if lacking:
        flags += (Note(code="images-left-out", message=f"At {len(lacking)} places the images give no diameter."),)
    middle = (min(best) + max(best)) / 2
    central = best[min(best, key=lambda cell: (abs(cell - middle), cell))]
    size = PatientSize(
        diameter_mm=sum(place.diameter_mm for place in best.values()) / len(best),
        relative_standard_uncertainty=max(place.relative_standard_uncertainty for place in best.values()),
        method="water-equivalent diameter from axial images",
        source="AAPM Report 220 (2014), eq. 4",
        flags=flags,
    )
    return ImageSize(size, central.diameter_mm)


def _from_widths(widths: Sequence[Width]) -> ImageSize | None:
    """Return the effective diameter at the places that two views at right angles show."""
    views: dict[str, dict[int, list[float]]] = {"frontal": {}, "lateral": {}}
    for one in widths:
        views[one.view].setdefault(one.cell, []).append(one.width_mm)
    cells = sorted(views["frontal"].keys() & views["lateral"].keys())
    if not cells:
        return None
    import numpy as np

    from doseatlas.dosimetry.localiser import size_from_widths

    mean = {view: {cell: sum(own) / len(own) for cell, own in found.items()} for view, found in views.items()}
    diameters = [sqrt(mean["frontal"][cell] * mean["lateral"][cell]) for cell in cells]
    size = size_from_widths(np.array(diameters))
    return None if size is None else ImageSize(size, diameters[len(diameters) // 2])
