"""A simulated registry of a world: 3,000 facilities in 60 countries, 40 procedures, 6 patient groups, of any size.

It is written as the mart is (columns, types, zstd), one mart a country and one file a facility, as a registry
compacts what it is sent. Columns that the measured questions do not read are left out, which a reader sees as null.
"""

from __future__ import annotations

import shutil
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

COUNTRIES, FACILITIES, GROUPS, MONTHS, DEVICES = 60, 3_000, 6, 12, 3
KINDS = {"ct": 24, "projection": 10, "mammography": 2, "nuclear": 4}  # kind: number of procedures; 40 in all
COUNTRY_SD, FACILITY_SD, DEVICE_SD, PATIENT_SD = 0.25, 0.3, 0.1, 0.4  # of the logarithm of the dose
GROUP_NAMES = ("adult", *(f"child-weight-{band}" for band in ("lt5", "5-15", "15-30", "30-50", "50-80")))
GROUP_KG = (75.0, 4.0, 10.0, 22.0, 40.0, 62.0)


def simulated_registry(work: Path, exams: int) -> Path:
    """Return the folder of a registry of about ``exams`` exams, writing it where it is not there yet."""
    registry = work / f"registry-{exams}"
    if registry.exists():
        return registry
    print(f"simulating a registry of {exams:,} exams ...", flush=True)
    unfinished = work / f"registry-{exams}-unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    with ProcessPoolExecutor(2) as pool:
        for _ in pool.map(_write_country, *zip(*((unfinished, exams, c) for c in range(COUNTRIES)), strict=True)):
            pass
    unfinished.rename(registry)
    return registry


def _write_country(registry: Path, exams: int, country: int) -> None:
    import numpy as np
    import pyarrow.parquet as pq

    rng = np.random.default_rng([exams, country])
    effect = rng.normal(0, COUNTRY_SD)
    each = exams // FACILITIES
    for number in range(country, FACILITIES, COUNTRIES):
        folder = registry / "exams" / f"country=country {country:02}" / f"facility={number}"
        folder.mkdir(parents=True)
        table = _facility(rng, f"facility {number:04}", f"country {country:02}", each, effect)
        pq.write_table(table, folder / "exams.parquet", compression="zstd")


def _facility(rng: Any, name: str, country: str, exams: int, effect: float) -> pa.Table:
    import numpy as np
    import pyarrow as pa

    kinds = np.repeat(np.arange(len(KINDS)), list(KINDS.values()))
    procedure = rng.integers(0, len(kinds), exams)
    group = rng.integers(0, GROUPS, exams)
    device = rng.integers(0, DEVICES, exams)
    month = np.sort(rng.integers(0, MONTHS, exams))
    kind = kinds[procedure]
    weight = np.round(np.array(GROUP_KG)[group] * np.exp(rng.normal(0, 0.15, exams)), 1)
    level = effect + rng.normal(0, FACILITY_SD) + rng.normal(0, DEVICE_SD, DEVICES)[device]
    dose = np.exp(np.log(weight / 70) * 0.6 + level + rng.normal(0, PATIENT_SD, exams)) * (1 + procedure / 8)
    phases = np.where(rng.random(exams) < 0.2, 2, 1)
    length = np.round(300 * np.exp(rng.normal(0, 0.15, exams)))
    ctdi = np.round(8 * dose, 2)
    first_day = np.datetime64("2025-01", "M") + month
    date = first_day.astype("datetime64[D]") + rng.integers(0, 28, exams)

    def named(codes: Any, names: list[str]) -> pa.Array:
        return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(names))

    def of_kind(number: int, values: Any, type_: Any) -> pa.Array:
        return pa.array(values, type_, mask=kind != number)

    ids = [f"{kind_name}-{i:02}" for kind_name, count in KINDS.items() for i in range(count)]
    months = [f"2025-{i + 1:02}" for i in range(MONTHS)]
    only = np.zeros(exams, np.int32)
    return pa.table(
        {
            "facility": named(only, [name]),
            "country": named(only, [country]),
            "month": named(month, months),
            "study_date": pa.array(date),
            "kind": named(kind, list(KINDS)),
            "device": named(device, [f"{name} device {i}" for i in range(DEVICES)]),
            "procedure": named(procedure, ids),
            "protocol": named(procedure, [f"PROTOCOL {text}" for text in ids]),
            "patient_group": named(group, list(GROUP_NAMES)),
            "sex": named(rng.integers(0, 2, exams), ["F", "M"]),
            "weight_kg": pa.array(weight),
            "plausible": pa.array(rng.random(exams) > 0.002),
            "phase_count": of_kind(0, phases, pa.int32()),
            "ctdi_vol_mgy": of_kind(0, ctdi, pa.float64()),
            "phantom_cm": of_kind(0, np.where(procedure < 8, 16, 32), pa.int32()),
            "scan_length_mm": of_kind(0, length, pa.float64()),
            "dlp_mgy_cm": of_kind(0, np.round(ctdi * length / 10 * phases, 1), pa.float64()),
            "kap_gy_cm2": of_kind(1, np.round(2 * dose, 3), pa.float64()),
            "agd_mgy": of_kind(2, np.round(1.5 * dose, 2), pa.float64()),
            "administered_activity_mbq": of_kind(3, np.round(300 * dose, 1), pa.float64()),
        }
    )
