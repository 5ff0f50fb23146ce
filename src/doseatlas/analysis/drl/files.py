"""How is a computation of levels kept? A JSON file with all of it, a CSV that is a DRL set, and the units' values.

The JSON is what a later computation is held against; the CSV can be named in the setting ``drl_files`` and compared
with at once; the Parquet file of unit values answers a facility's questions without the registry.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from doseatlas.analysis.drl.records import ComputedLevel, DrlRun
from doseatlas.model import TableError
from doseatlas.reference.drl import COLUMNS as DRL_COLUMNS
from doseatlas.store.files import write_whole

if TYPE_CHECKING:
    from doseatlas.analysis.drl.compute import Computed

RUN, LEVELS, UNITS = "run.json", "levels.csv", "units.parquet"
STATED = {
    "dlp_mgy_cm": ("DLP", "mGy.cm"),
    "ctdi_vol_mgy": ("CTDIvol", "mGy"),
    "kap_gy_cm2": ("PKA", "Gy.cm2"),
    "reference_air_kerma_mgy": ("Ka,r", "mGy"),
    "entrance_air_kerma_mgy": ("Entrance exposure", "mGy"),
    "incident_air_kerma_mgy": ("Ka,i", "mGy"),
    "entrance_surface_air_kerma_mgy": ("Ka,e", "mGy"),
    "fluoro_time_s": ("Fluoroscopy time", "s"),
    "agd_mgy": ("DG", "mGy"),
    "administered_activity_mbq": ("Administered activity", "MBq"),
}
COLUMNS = (*DRL_COLUMNS, "achievable", "phantom_cm", "note")


def save_computed(computed: Computed, folder: Path, *, year: int) -> tuple[Path, ...]:
    """Write ``run.json``, ``units.parquet`` and, for each area, ``levels[-area].csv``; each whole or not at all.

    ``year`` is the year that the sets of levels bear.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / RUN]
    write_whole(written[0], msgspec.json.format(msgspec.json.encode(computed.run), indent=1))
    if computed.units is not None:
        import pyarrow.parquet as pq

        units = computed.units
        written.append(folder / UNITS)
        write_whole(written[-1], lambda file: pq.write_table(units, file, compression="zstd", row_group_size=20_000))
    by_area: dict[str, list[ComputedLevel]] = defaultdict(list)
    for level in computed.run.levels:
        if level.value:
            by_area[level.area].append(level)
    names = _plain_names(by_area)
    for area, levels in sorted(by_area.items()):
        name = LEVELS if len(by_area) == 1 else f"levels-{names[area]}.csv"
        text = _levels_csv(computed.run, levels, set_id=f"{names[area]}-{year}-{computed.run.method}", year=year)
        written.append(folder / name)
        write_whole(written[-1], text.encode())
    return tuple(written)


def load_run(path: Path) -> DrlRun:
    """Read a ``run.json``.

    Raises:
        TableError: it cannot be read, or is none.

    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=DrlRun)
    except OSError as error:
        raise TableError(f"{path}: cannot be read ({error.strerror}).") from error
    except msgspec.MsgspecError as error:
        raise TableError(f"{path}: is no computation of reference levels ({error}). Name a run.json.") from error


def _levels_csv(run: DrlRun, levels: Sequence[ComputedLevel], *, set_id: str, year: int) -> str:
    """Return the levels of an area as a DRL set (format: ``docs/reference-levels.md``)."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_row(run, level, set_id, year) for level in levels)
    return text.getvalue()


def _row(run: DrlRun, level: ComputedLevel, set_id: str, year: int) -> dict[str, object]:
    quantity, unit = STATED[level.quantity]
    achievable = [guide.value for guide in level.guides if guide.percentile == 50 and guide.value <= (level.value or 0)]
    interval = f" ({level.low:.4g} to {level.high:.4g})" if level.low is not None and level.high is not None else ""
    doubt = "; the method's rule was not verified against its document" if run.unverified else ""
    return {
        "set": set_id,
        "authority": f"computed from registry {run.data.digest[:12]}",
        "country": level.area,
        "year": year,
        "level": f"computed {run.level} level",
        "exam": level.procedure,
        "stated_quantity": quantity,
        "stated_value": repr(level.value),
        "stated_unit": unit,
        "procedure": level.procedure,
        "patient_group": level.patient_group,
        "source": f"doseatlas {run.code_version}, method {run.method}, data {run.data.digest}, seed {run.seed}, "
        f"{run.dose_values} dose values",
        "achievable": repr(achievable[0]) if achievable else "",
        "phantom_cm": level.phantom_cm or "",
        "note": f"p{level.percentile:g} {level.percentile_value:.6g}{interval}; {level.units} units, "
        f"{level.patients} patients; {level.status}{doubt}",
    }


def _plain_names(areas: Iterable[str]) -> dict[str, str]:
    """Return a name of letters, digits and hyphens for each area; areas that it would confuse get a digest as well."""
    plain = {area: "".join(c if c.isalnum() else "-" for c in area.lower()) for area in areas}
    often = Counter(plain.values())
    return {
        area: name if often[name] == 1 else f"{name}-{hashlib.sha256(area.encode()).hexdigest()[:8]}"
        for area, name in plain.items()
    }
