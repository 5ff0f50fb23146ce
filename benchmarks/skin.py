"""How much faster than PySkinDose is a skin dose map? The same events and the same cells, in turn, in one process.

PySkinDose's side is ``calculate_dose`` on its own normalised events, without its reading and plotting. Ours is the
whole way from events to the answer: placing, beam quality, map, sensitivity to the patient's position, uncertainty; so
ours does more (seven maps for their one). Geometry and technique differ from event to event, as under a moving table:
where they do not, PySkinDose keeps the geometry of the event before, and is faster than here.
"""

from __future__ import annotations

import contextlib
import io
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks.measure import Row, median_seconds, seconds
from doseatlas.dosimetry.skin import Options, skin_dose
from doseatlas.dosimetry.skin.engine import map_of
from doseatlas.dosimetry.skin.phantom import Mesh, mesh_of_cells
from doseatlas.dosimetry.skin.procedure import body_on_table, prepare
from doseatlas.model import Device, Event, Exam, Filter

EVENTS = 1_000
RATIO = 500
KERNEL_MICROSECONDS = 3.0
CYLINDER_CM = 158  # sparse: 63 cells around, one ring a cm, and 2 more: 10,080 cells


def measure() -> list[Row]:
    """Measure the whole calculation against PySkinDose, and the compiled sum by itself."""
    events = _events()
    exam = Exam(kind="projection", device=Device(), events=events)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        theirs, patient = _pyskindose(events)
        mesh = mesh_of_cells("PySkinDose's cylinder", patient.r_ref, patient.n, np.ones(len(patient.r_ref)))
        skin_dose([exam], mesh)
        # PySkinDose takes seconds: it is run twice, ours before and after each.
        pairs = []
        for _ in range(2):
            ours = statistics.median(seconds(lambda: skin_dose([exam], mesh)) for _ in range(7))
            pairs.append((ours, seconds(theirs)))
    ours, peer = (statistics.median(column) for column in zip(*pairs, strict=True))
    kernel = _kernel_microseconds(exam, mesh)
    cells = f"{len(mesh.areas):,} cells, {EVENTS:,} events"
    return [
        Row(
            "skin dose map, whole calculation",
            f"{peer / ours:.0f} times PySkinDose",
            f"at least {RATIO} times",
            peer / ours >= RATIO,
            f"{cells}: {ours * 1e3:.1f} ms with sensitivity and uncertainty; PySkinDose {peer:.2f} s for the map",
        ),
        Row(
            "skin dose map, compiled sum",
            f"{kernel:.2f} µs an event",
            f"under {KERNEL_MICROSECONDS:g} µs",
            kernel < KERNEL_MICROSECONDS,
            f"{cells}, double precision, one core",
        ),
    ]


def _kernel_microseconds(exam: Exam, mesh: Mesh) -> float:
    options = Options()
    body = body_on_table(mesh, options)
    procedure = prepare(exam, body, options)
    one = median_seconds(lambda: map_of(body, procedure), runs=21)
    return one / len(procedure.rows) * 1e6


def _events() -> tuple[Event, ...]:
    """Return fluoroscopy of a chest on a moving table, no two events alike; technique that PySkinDose knows."""
    random = np.random.default_rng(1)
    copper = (0.1, 0.2, 0.3, 0.6, 0.9)
    found = []
    for number in range(EVENTS):
        mm = copper[number % len(copper)]
        side = random.uniform(14.0, 24.0)
        found.append(
            Event(
                event_uid=f"2.25.{number + 1}",
                reference_air_kerma_mgy=float(random.uniform(0.1, 5.0)),
                kvp=float(random.integers(60, 110)),
                primary_angle_deg=float(random.uniform(-40, 40)),
                secondary_angle_deg=float(random.uniform(-30, 30)),
                source_to_isocenter_mm=785.0,
                source_to_reference_point_mm=635.0,
                source_to_detector_mm=float(random.uniform(1000, 1180)),
                collimated_field_area_cm2=side * side,
                table_longitudinal_mm=float(random.uniform(-40, 40)),
                table_lateral_mm=float(random.uniform(400, 500)),
                table_height_mm=float(random.uniform(100, 180)),
                table_horizontal_rotation_deg=0.0,
                table_head_tilt_deg=0.0,
                table_cradle_tilt_deg=0.0,
                target_region="Chest",
                filters=(Filter(material="Copper", thickness_min_mm=mm, thickness_max_mm=mm),),
            )
        )
    return tuple(found)


def _pyskindose(events: tuple[Event, ...]) -> tuple[Callable[[], object], Any]:
    """Return PySkinDose's calculation of the same events, and its placed phantom."""
    import pandas as pd
    import pyskindose
    from pyskindose.calculate_dose.calculate_dose import calculate_dose
    from pyskindose.helpers.calculate_rotation_matrices import calculate_rotation_matrices
    from pyskindose.phantom_class import Phantom
    from pyskindose.settings import PyskindoseSettings

    plain = json.loads((Path(pyskindose.__file__).parent / "settings_example.json").read_text())
    plain["mode"], plain["plot"]["notebook_mode"] = "calculate_dose", False
    plain["phantom"]["model"] = "cylinder"
    plain["phantom"]["dimension"]["cylinder_length"] = CYLINDER_CM
    settings = PyskindoseSettings(plain)
    rows = [msgspec.structs.asdict(event) for event in events]
    table = pd.DataFrame(rows)
    side = np.sqrt(table["collimated_field_area_cm2"])
    normalised = pd.DataFrame(
        {
            "model": "AXIOM-Artis",
            "acquisition_plane": "Single Plane",
            "DSD": table["source_to_detector_mm"] / 10,
            "DSI": table["source_to_isocenter_mm"] / 10,
            "DID": (table["source_to_detector_mm"] - table["source_to_isocenter_mm"]) / 10,
            "DSIRP": table["source_to_reference_point_mm"] / 10,
            "Tx": table["table_longitudinal_mm"] / 10,
            "Ty": table["table_height_mm"] / 10,
            "Tz": table["table_lateral_mm"] / 10,
            **dict.fromkeys(("At1", "At2", "At3", "Ap3", "filter_thickness_Al"), 0.0),
            "filter_thickness_Cu": [event.filters[0].thickness_min_mm for event in events],
            "Ap1": table["primary_angle_deg"],
            "Ap2": table["secondary_angle_deg"],
            "DSL": 40,
            "FS_lat": side,
            "FS_long": side,
            "kVp": table["kvp"],
            "K_IRP": table["reference_air_kerma_mgy"],
        }
    )

    def run() -> Any:
        sizes = settings.phantom.dimension
        # It calls itself once an event, and writes a progress bar.
        with _deep(20 * EVENTS), contextlib.redirect_stderr(io.StringIO()):
            return calculate_dose(
                calculate_rotation_matrices(normalised.copy()),
                settings,
                Phantom("table", sizes),
                Phantom("pad", sizes),
            )

    patient, _ = run()
    return run, patient


@contextlib.contextmanager
def _deep(levels: int) -> Iterator[None]:
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(levels)
    try:
        yield
    finally:
        sys.setrecursionlimit(usual)


if __name__ == "__main__":
    for row in measure():
        print(*row, sep=" | ")
