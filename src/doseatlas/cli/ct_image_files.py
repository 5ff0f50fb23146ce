"""What was measured in the CT images below some paths: for the commands that look at images and need no store."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from doseatlas.model import StoreError, UnreadableObject

if TYPE_CHECKING:
    from doseatlas.dicom import CtImage
    from doseatlas.dosimetry import ImageSizes, LocaliserLines, NotEstimated, Place

_NO_IMAGE = frozenset({"not-dicom", "empty"})


class MeasuredImages:
    """What was measured, by series, and by the frame of reference in which the images lie."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.frames: dict[str, str | None] = {}
        self.localisers: list[tuple[str, str | None, LocaliserLines | NotEstimated]] = []
        self.others = 0
        self._sizes: dict[str, list[ImageSizes]] = {}

    def add(self, images: Sequence[CtImage]) -> None:
        """Measure the images of an object, which may be closed then.

        Raises:
            UnreadableObject: one cannot be decoded; nothing of the object was added.

        """
        from doseatlas.dosimetry import lines_of_image, place_of_image, sizes_of_images

        axial = [image for image in images if place_of_image(image) is not None]
        localisers = [image for image in images if image.localiser]
        sizes = sizes_of_images(axial)
        lines = [lines_of_image(image) for image in localisers]
        for image, own in zip(localisers, lines, strict=True):
            self.localisers.append((image.series_instance_uid, image.frame_of_reference_uid, own))
        self.others += len(images) - len(axial) - len(localisers)
        if axial:
            series = axial[0].series_instance_uid
            self._sizes.setdefault(series, []).append(sizes)
            self.counts[series] += len(axial)
            self.frames[series] = axial[0].frame_of_reference_uid

    def places(self, series: str) -> tuple[Place, ...]:
        """Return what is kept of the axial images of a series, which is what an import keeps too."""
        from doseatlas.dosimetry import united

        return united(self._sizes[series]).places

    def diameters_in(self, frame: str | None) -> list[tuple[float, float]]:
        """Return place and diameter of the axial images in a frame of reference."""
        own = [series for series in self.counts if self.frames[series] == frame]
        return [(one.z_mm, one.diameter_mm) for series in own for one in self.places(series) if one.diameter_mm]


def read_images(paths: Sequence[Path], take: Callable[[Sequence[CtImage]], None]) -> Iterator[UnreadableObject]:
    """Have the CT images below paths taken, object by object; gives what could not be read.

    Other files of folders are passed over.

    Raises:
        StoreError: a path is not there.

    """
    from doseatlas.cli.context import read_limits
    from doseatlas.dicom import ct_images

    if absent := [str(path) for path in paths if not path.exists()]:
        raise StoreError(f"There is no {', '.join(absent)}.")
    limits = read_limits()
    for path in paths:
        named = not path.is_dir()
        files = [path] if named else sorted(Path(f, n) for f, _, names in os.walk(path) for n in names)
        for file in files:
            try:
                with ct_images(file, str(file), limits) as images:
                    take(images)
            except UnreadableObject as error:
                if named or error.code not in _NO_IMAGE:
                    yield error
