"""What do an exam's images say of the patient's size and of the dose along the table? Kept without their pixels.

What is kept is bounded and the same in whatever order the images come, and how often: of each series one diameter every
5 mm along the table, with the CTDIvol and tube current that its image states, and one width every 10 mm from
localisers. The size for a scan comes from the axial images of its irradiation event, else from all axial images of the
exam, else from two localisers at right angles.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite, sqrt
from typing import TYPE_CHECKING, Literal, NamedTuple

from msgspec import structs

from doseatlas.dosimetry.ct_scan import MeasuredImage
from doseatlas.dosimetry.estimate import NotEstimated
from doseatlas.dosimetry.patient_size import PatientSize
from doseatlas.dosimetry.tables import flag_meanings
from doseatlas.model import Note, Record

if TYPE_CHECKING:
    from doseatlas.dicom import CtImage
    from doseatlas.dosimetry.localiser import LocaliserLines

PLACE_MM, WIDTH_MM = 5.0, 10.0
"""Length of table for which one diameter, and one width, is kept."""
_FARTHEST_MM = 10_000.0  # from the origin of a frame of reference
_MOST = 2000  # of each; a whole body in five reconstructions has that many
_MOST_STATED = 10_000.0  # mGy, mA; more is another unit
_SOURCE = "AAPM Report 220 (2014), eq. 4"


class Place(Record, frozen=True, kw_only=True, order=True):
    """The diameter at one place of a series, 0 where the image gives none; ``cell`` is z over 5 mm, rounded.

    CTDIvol, phantom and tube current are what the image states, 0 where it states none. ``missed_by_mm`` is how far it
    lies from the middle of the cell, ``side`` 1 towards larger z, -1 towards smaller, 0 where that is not known.
    """

    series: str
    cell: int
    missed_by_mm: float
    diameter_mm: float = 0.0
    relative_standard_uncertainty: float = 0.0
    event_uid: str = ""
    flags: tuple[str, ...] = ()
    ctdi_vol_mgy: float = 0.0
    phantom_cm: int = 0
    tube_current_ma: float = 0.0
    side: int = 0

    @property
    def z_mm(self) -> float:
        """Where its image lies, or the middle of the cell."""
        return self.cell * PLACE_MM + self.side * self.missed_by_mm

    @property
    def states_dose(self) -> bool:
        """Whether its image states what says how the dose goes along the table."""
        return bool(self.ctdi_vol_mgy or self.tube_current_ma)


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


class ScanPlaces(NamedTuple):
    """Places along a scan by z; ``own``: their images state that they are of it, ``other``: of other scans."""

    places: tuple[Place, ...]
    whose: Literal["own", "not stated", "other"]


def sizes_of_images(images: Iterable[CtImage], known: ImageSizes | None = None) -> ImageSizes:
    """Return what CT images say of the size: nothing where they are derived from others, or no section or localiser.

    An image is decoded only where it may change what is kept: not if the same or a better one of its place was
    measured, be it among these or among those ``known``.
    """
    from doseatlas.dosimetry.localiser import view_of

    kept = {(place.series, place.cell): place for place in (known.places if known else ())}
    seen = {(width.series, width.view) for width in (known.widths if known else ())}
    found = []
    placed = []
    for image in images:
        if image.localiser:
            view = view_of(image.row_direction, image.column_direction)
            if image.original and (_uid(image.series_instance_uid), view) not in seen:
                found.append(_of_localiser(image))
        elif (place := place_of_image(image)) is not None:
            placed.append((place, image))
    placed.sort(key=lambda one: (one[0].cell, _nearness(one[0])))
    for place, image in placed:
        at = (place.series, place.cell)
        before = kept.get(at)
        if before is not None and _as_good(before, place):
            continue
        now = _measured(place, image)
        kept[at] = now if before is None else min(before, now, key=_preferred)
        found.append(ImageSizes(places=(now,)))
    return united(found)


def place_of_image(image: CtImage) -> Place | None:
    """Return where an image lies and what dose it states; ``None`` where it is no original section at a place.

    Its diameter is not measured.
    """
    if not image.original or not image.axial or image.z_mm is None or not abs(image.z_mm) <= _FARTHEST_MM:
        return None
    cell = round(image.z_mm / PLACE_MM)
    missed = image.z_mm - cell * PLACE_MM
    ctdi_vol = _stated(image.ctdi_vol_mgy)
    return Place(
        series=_uid(image.series_instance_uid),
        cell=cell,
        missed_by_mm=round(abs(missed), 3),
        event_uid=_uid(image.event_uid or ""),
        ctdi_vol_mgy=ctdi_vol,
        phantom_cm=(image.phantom_cm or 0) if ctdi_vol else 0,
        tube_current_ma=_stated(image.tube_current_ma),
        side=(missed > 0) - (missed < 0),
    )


def _stated(value: float | None) -> float:
    """Return a value that can be, else 0."""
    return value if value is not None and 0 < value <= _MOST_STATED else 0.0


def _measured(place: Place, image: CtImage) -> Place:
    from doseatlas.dosimetry.water_equivalent import body_section

    section = body_section(
        image.decoded(),
        pixel_spacing_mm=image.pixel_spacing_mm,
        rescale_slope=image.rescale_slope,
        rescale_intercept=image.rescale_intercept,
    )
    if isinstance(section, NotEstimated):
        return structs.replace(place, flags=(section.code,))
    return structs.replace(
        place,
        diameter_mm=round(section.water_equivalent_diameter_mm, 2),
        relative_standard_uncertainty=round(section.relative_standard_uncertainty, 4),
        flags=tuple(flag.code for flag in section.flags),
    )


def _as_good(kept: Place, image: Place) -> bool:
    """Whether measuring an image cannot give a better diameter of a place than the one kept."""
    nearness, own = _nearness(kept), _nearness(image)
    return nearness <= own and (bool(kept.diameter_mm) or nearness == own)


def _uid(text: str) -> str:
    """Return a UID as it is, and what is none bounded and in letters that can be kept."""
    return text[:64].encode("ascii", "replace").decode()


def lines_of_image(image: CtImage) -> LocaliserLines | NotEstimated:
    """Return the lines of a localiser, which is decoded for them."""
    from doseatlas.dosimetry.localiser import localiser_lines

    return localiser_lines(
        image.decoded(),
        pixel_spacing_mm=image.pixel_spacing_mm,
        position_mm=image.position_mm,
        row_direction=image.row_direction,
        column_direction=image.column_direction,
    )


def _of_localiser(image: CtImage) -> ImageSizes:
    lines = lines_of_image(image)
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


def _preferred(place: Place) -> tuple[bool, tuple[float, bool], Place]:
    """Return by what one image goes before another of its place: measured, then as :func:`_nearness` says."""
    return not place.diameter_mm, _nearness(place), place


def _nearness(place: Place) -> tuple[float, bool]:
    """Return how near an image is to the middle of its place; of two as near, the one that states its dose is first."""
    return place.missed_by_mm, not place.states_dose


def places_of_scan(sizes: ImageSizes, event_uid: str | None) -> ScanPlaces:
    """Return the places along a scan, none where the exam's images are no axial ones.

    Several reconstructions of one place count once.

    Args:
        sizes: of the exam's images.
        event_uid: irradiation event of the scan, which images state too; ``None`` where the report does not.

    """
    own = [place for place in sizes.places if event_uid and place.event_uid == event_uid]
    chosen = own or sizes.places
    best: dict[int, Place] = {}
    for place in sorted(chosen, key=_preferred):
        best.setdefault(place.cell, place)
    places = tuple(best[cell] for cell in sorted(best))
    if own:
        return ScanPlaces(places, "own")
    return ScanPlaces(places, "other" if event_uid and all(place.event_uid for place in places) else "not stated")


def measured_at(place: Place) -> MeasuredImage:
    """Return what was kept of an image in the form in which a profile takes it."""
    dose = (place.ctdi_vol_mgy or None, place.tube_current_ma or None)
    if not place.diameter_mm:
        code = place.flags[0] if place.flags else "size-not-known"
        why = NotEstimated(
            quantity="water_equivalent_diameter_mm", code=code, message=f"{flag_meanings().get(code, code)}."
        )
        return MeasuredImage(place.z_mm, why, *dose)
    size = PatientSize(
        diameter_mm=place.diameter_mm,
        relative_standard_uncertainty=place.relative_standard_uncertainty,
        method="water-equivalent diameter from axial images",
        source=_SOURCE,
        flags=tuple(Note(code=code, message="") for code in place.flags),
    )
    return MeasuredImage(place.z_mm, size, *dose)


def imaged_range_mm(sizes: ImageSizes, event_uid: str) -> tuple[float, float] | None:
    """Return the lowest and highest place of a scan's axial images, within 2.5 mm; ``None`` where there is none."""
    own = [place.cell for place in sizes.places if place.event_uid == event_uid]
    return (min(own) * PLACE_MM, max(own) * PLACE_MM) if own else None


def size_from_localisers(widths: Sequence[Width]) -> PatientSize | None:
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
    return size_from_widths(np.array(diameters))
