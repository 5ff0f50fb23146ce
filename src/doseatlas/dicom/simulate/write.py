"""Where do the objects of a world go? Writes them to folders by facility and month."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from doseatlas.dicom.simulate.estimates import estimate_report
from doseatlas.dicom.simulate.exams import SimulatedExam, draw_exam
from doseatlas.dicom.simulate.objects import encode_estimate, encode_exam
from doseatlas.dicom.simulate.world import World

_BATCH = 500


@dataclass(frozen=True, slots=True)
class Written:
    """How many objects were written, how many bytes they have, and where they are."""

    count: int
    bytes: int
    folder: Path


def write_objects(
    world: World,
    folder: Path,
    *,
    with_estimates: bool = False,
    jobs: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Written:
    """Write all objects of a world as ``folder/<facility>/<YYYY-MM>/<SOP instance UID>.dcm``.

    A duplicate send gets ``-2`` after the UID. Writing again writes the same files with the same bytes.

    Args:
        world: what :func:`plan` gave.
        folder: made where missing.
        with_estimates: whether each exam has a report of estimated patient dose beside its own objects.
        jobs: processes to write with.
        progress: called now and then with the number of exams done so far.

    Raises:
        OSError: the folder cannot be written.

    """
    batches = [(start, min(start + _BATCH, world.exam_count)) for start in range(0, world.exam_count, _BATCH)]
    count = size = 0
    if jobs <= 1 or len(batches) == 1:
        for first, end in batches:
            wrote = _write_batch(world, folder, first, end, with_estimates)
            count, size = count + wrote[0], size + wrote[1]
            if progress:
                progress(end)
        return Written(count, size, folder)
    with ProcessPoolExecutor(jobs) as pool:
        pending = [
            (pool.submit(_write_batch, world, folder, first, end, with_estimates), end) for first, end in batches
        ]
        for future, end in pending:
            wrote = future.result()
            count, size = count + wrote[0], size + wrote[1]
            if progress:
                progress(end)
    return Written(count, size, folder)


def _write_batch(world: World, folder: Path, first: int, end: int, with_estimates: bool) -> tuple[int, int]:
    count = size = 0
    made: set[Path] = set()
    for index in range(first, end):
        simulated = draw_exam(world, index)
        month = (simulated.exam.study_date or "")[:7]
        place = folder / folder_name(simulated.facility.name) / month
        if place not in made:
            place.mkdir(parents=True, exist_ok=True)
            made.add(place)
        for name, data in _files(simulated, with_estimates):
            (place / name).write_bytes(data)
            count, size = count + 1, size + len(data)
    return count, size


def _files(simulated: SimulatedExam, with_estimates: bool) -> Iterator[tuple[str, bytes]]:
    uids = [report.sop_instance_uid for report in simulated.reports]
    names = [f"{uid}.dcm" for uid in uids] + [f"{uids[-1]}-{n}.dcm" for n in range(2, simulated.copies + 1)]
    yield from zip(names, encode_exam(simulated), strict=True)
    if with_estimates:
        yield f"{estimate_report(simulated).sop_instance_uid}.dcm", encode_estimate(simulated)


def folder_name(text: str) -> str:
    """A facility's name as the name of a folder: lower case ASCII letters, digits and hyphens."""
    plain = unicodedata.normalize("NFKD", text.replace("ł", "l").replace("Ł", "L"))
    return re.sub(r"[^a-z0-9]+", "-", plain.encode("ascii", "ignore").decode().lower()).strip("-")
