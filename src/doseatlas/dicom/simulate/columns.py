"""What would the mart of millions of made-up exams hold? The columns of the mart, drawn with NumPy in seconds.

The same plan, tables and distributions as the objects of ``exams``, but drawn all at once: the rows are alike in
distribution, not one by one. No objects are written and none need be read.
"""

from __future__ import annotations

import datetime as dt
import math
from typing import TYPE_CHECKING, Any

from doseatlas.dicom.simulate.events import size_specific_dose, water_equivalent_diameter_cm
from doseatlas.dicom.simulate.patients import ADULT_WEIGHT_GSD, ADULT_WEIGHT_KG, CHILD_WEIGHT_GSD
from doseatlas.dicom.simulate.tables import Protocol, age_words, agents, concepts, faults, names, protocols
from doseatlas.dicom.simulate.tables import typical_values as table_of_values
from doseatlas.dicom.simulate.world import CLASS_SHARES, Facility, Scope, SimulatedDevice, World, plan
from doseatlas.model import TableError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    Columns = dict[str, np.ndarray[Any, Any]]

_HEAD_GROUPS = ("child-age-0-3m", "child-age-3m-1y", "child-age-1-6y", "child-age-6-18y")
_BODY_GROUPS = tuple(f"child-weight-{band}" for band in ("lt5", "5-15", "15-30", "30-50", "50-80"))
GROUPS = ("adult", *_HEAD_GROUPS, *_BODY_GROUPS)
_AGE_LIMITS, _WEIGHT_LIMITS = (0.25, 1, 6), (5, 15, 30, 50)


def mart_columns(
    scope: Scope,
    exams: int,
    seed: int,
    *,
    start: dt.date = dt.date(2024, 1, 1),
    end: dt.date = dt.date(2025, 12, 31),
) -> Columns:
    """Columns of the mart's exam table (``store.mart_schema.EXAM_COLUMNS``) for ``exams`` made-up exams.

    Those of dosimetry are not drawn, as they follow from these: ``dosimetry.with_dosimetry`` adds them.

    Returns:
        One array of length ``exams`` a column, units in the names. Strings are object arrays with ``None`` for null;
        ``float64`` arrays have NaN for null; ``int32`` and nullable ``bool`` columns are masked arrays; dates are
        ``datetime64[D]``; ``flags`` is an object array of lists.

    Raises:
        SettingsError: the scope, number or period cannot be planned.

    """
    import numpy as np

    world = plan(scope, exams=exams, seed=seed, start=start, end=end)
    rng = np.random.default_rng([seed, exams])
    cells = _cells(world)
    weights = np.array([weight for *_, weight in cells])
    cell = rng.choice(len(cells), size=exams, p=weights / weights.sum()).astype(np.int32)
    day = rng.integers(0, (end - start).days + 1, exams)
    patient = _patients(rng, cells, cell)
    put = {f.fault: rng.random(exams) < f.rate for f in faults().values()}
    columns = _stated(world, cells, cell, day, patient, put)
    columns |= _doses(rng, world, cells, cell, day, patient, put)
    columns["exam_id"] = np.array([f"sim-{seed}-{number}" for number in range(exams)], dtype=object)
    return columns


def mart_arrow(
    scope: Scope,
    exams: int,
    seed: int,
    *,
    start: dt.date = dt.date(2024, 1, 1),
    end: dt.date = dt.date(2025, 12, 31),
) -> pa.Table:
    """The columns of :func:`mart_columns` as an Arrow table, nulls and types as the mart has them."""
    import numpy as np
    import pyarrow as pa

    columns = mart_columns(scope, exams, seed, start=start, end=end)
    arrays: dict[str, pa.Array] = {}
    for name, values in columns.items():
        if name == "flags":
            arrays[name] = pa.array(values, pa.list_(pa.string()))
        elif isinstance(values, np.ma.MaskedArray):
            arrays[name] = pa.array(values.data, mask=np.ma.getmaskarray(values))
        elif values.dtype == np.float64:
            arrays[name] = pa.array(values, from_pandas=True)
        else:
            arrays[name] = pa.array(values, pa.string()) if values.dtype == object else pa.array(values)
    return pa.table(arrays)


Cell = tuple["Facility", "SimulatedDevice", "Protocol", float]


def _cells(world: World) -> list[Cell]:
    """Every (facility, device, protocol) of a world with its share of the exams."""
    cells: list[Cell] = []
    for facility in world.facilities:
        for device_class, devices in facility.devices.items():
            offered = [protocol for protocol in protocols().values() if protocol.device_class == device_class]
            share = CLASS_SHARES[device_class] / len(devices)
            cells += [(facility, device, p, share * p.share) for device in devices for p in offered]
    return cells


def _of_cells(cells: list[Cell], cell: Any, value: Any, dtype: Any = float) -> Any:
    """An attribute of each exam's cell."""
    import numpy as np

    return np.array([value(*c[:3]) for c in cells], dtype=dtype)[cell]


def _patients(rng: Any, cells: list[Cell], cell: Any) -> dict[str, Any]:
    """Age, sex, height and weight, as :mod:`patients` draws them, and the true patient group's number in GROUPS."""
    import numpy as np

    n = len(cell)
    child = rng.random(n) < _of_cells(cells, cell, lambda f, d, p: p.child_share)
    female = (rng.random(n) < 0.5) | _of_cells(cells, cell, lambda f, d, p: p.device_class == "mammography", bool)
    years = rng.random(n) * 18
    months = np.maximum(np.floor(years * 12), 1) / 12
    age = np.where(child, np.where(years < 2, months, np.floor(years)), np.clip(np.rint(rng.normal(58, 17, n)), 18, 97))
    height = np.where(
        child,
        50 + 25 * np.minimum(years, 1) + 6 * np.clip(years - 1, 0, 16),
        np.where(female, 163, 176) + rng.normal(0, 7, n),
    )
    child_kg = 3.5 + 6.5 * np.minimum(years, 1) + 2 * np.clip(years - 1, 0, 7) + 3.8 * np.clip(years - 8, 0, None)
    child_kg = np.clip(child_kg * np.exp(rng.normal(0, math.log(CHILD_WEIGHT_GSD), n)), 2.5, 79)
    adult_kg = np.minimum(ADULT_WEIGHT_KG * np.exp(rng.normal(0, math.log(ADULT_WEIGHT_GSD), n)), 190)
    weight = np.round(np.where(child, child_kg, adult_kg), 1)
    head = _of_cells(cells, cell, lambda f, d, p: p.region in ("head", "sinus"), bool)
    by_age = 1 + np.searchsorted(_AGE_LIMITS, age, side="right")
    by_weight = 1 + len(_HEAD_GROUPS) + np.searchsorted(_WEIGHT_LIMITS, weight, side="right")
    group = np.where(child, np.where(head, by_age, by_weight), 0)
    return {
        "child": child,
        "female": female,
        "age": age,
        "height": np.rint(height),
        "weight": weight,
        "group": group,
        "by_age": np.where(child, by_age, 0),
    }


def _stated(
    world: World, cells: list[Cell], cell: Any, day: Any, patient: dict[str, Any], put: dict[str, Any]
) -> Columns:
    """The columns that say who, what, when and where."""
    import numpy as np

    def text(value: Any) -> Any:
        return _of_cells(cells, cell, value, object)

    def names_of(facility: Facility, protocol: Protocol) -> tuple[str, str]:
        return names()[protocol.procedure, facility.language][0]

    def protocol_name(child: bool) -> Any:
        def of_cell(facility: Facility, device: SimulatedDevice, protocol: Protocol) -> str:
            name = names_of(facility, protocol)[1]
            if protocol.device_class != "ct":
                return name
            return f"{name} ({age_words()[facility.language][child]})"

        return text(of_cell)

    ct = _of_cells(cells, cell, lambda f, d, p: p.device_class == "ct", bool)
    adult_protocol = put["adult-protocol-on-child"] & patient["child"] & ct
    date = np.datetime64(world.start, "D") + day
    no_weight = put["missing-weight"] | put["zero-weight"]
    group = np.where(no_weight, patient["by_age"], patient["group"])
    implausible = put["implausible-dose"]
    zero = put["zero-weight"] & ~put["missing-weight"]
    flags = np.empty(len(cell), dtype=object)
    flags[:] = [[] for _ in range(len(cell))]
    for number in np.flatnonzero(zero | implausible):
        flags[number] = ["implausible-weight"] * bool(zero[number]) + ["implausible-dose"] * bool(implausible[number])
    return {
        "facility": text(lambda f, d, p: f.name),
        "month": np.array([str(m) for m in np.unique(date.astype("datetime64[M]"))], dtype=object)[
            np.unique(date.astype("datetime64[M]"), return_inverse=True)[1]
        ],
        "study_date": date,
        "kind": text(
            lambda f, d, p: {"ct": "ct", "mammography": "mammography", "nuclear": "nuclear"}.get(
                p.device_class, "projection"
            )
        ),
        "modality": text(lambda f, d, p: d.model.modality),
        "device": text(lambda f, d, p: f"{d.dialect.manufacturer} {d.model.model} {d.station_name}"),
        "manufacturer": text(lambda f, d, p: d.dialect.manufacturer),
        "model": text(lambda f, d, p: d.model.model),
        "procedure": text(lambda f, d, p: p.procedure),
        "procedure_text": text(lambda f, d, p: names_of(f, p)[0]),
        "study_id": np.full(len(date), None, dtype=object),  # a made-up exam is alone in its study
        "indication": np.full(len(date), None, dtype=object),  # no object states one
        "protocol": np.where(patient["child"] & ~adult_protocol, protocol_name(True), protocol_name(False)),
        "mapped_by": text(lambda f, d, p: "rule"),
        "patient_group": np.where(put["missing-age"], None, np.array(GROUPS, dtype=object)[group]),
        "age_years": np.where(put["missing-age"], np.nan, patient["age"]),
        "sex": np.where(patient["female"], "F", "M").astype(object),
        "height_cm": patient["height"],
        "weight_kg": np.where(no_weight, np.nan, patient["weight"]),
        "pregnancy_status": np.full(len(date), None, dtype=object),  # no made-up object states one
        "plausible": ~implausible,
        "flags": flags,
        "kvp": _of_cells(cells, cell, lambda f, d, p: p.kvp or np.nan),
        "adult_protocol_on_child": np.ma.masked_array(adult_protocol, mask=~ct),
        "radiopharmaceutical": text(
            lambda f, d, p: concepts()[agents()[p.procedure].agent].meaning if p.procedure in agents() else None
        ),
        "stated_effective_dose_msv": np.full(len(date), np.nan),  # nor an effective dose, unless asked for estimates
        "stated_effective_dose_method": np.full(len(date), None, dtype=object),
    }


def _doses(
    rng: Any,
    world: World,
    cells: list[Cell],
    cell: Any,
    day: Any,
    patient: dict[str, Any],
    put: dict[str, Any],
) -> Columns:
    """The columns of dose: NaN (or masked) where a quantity does not belong to the kind."""
    import numpy as np

    n = len(cell)
    adult_protocol = put["adult-protocol-on-child"] & patient["child"]
    group = np.where(adult_protocol, 0, patient["group"])
    exponent = _of_cells(cells, cell, lambda f, d, p: p.size_exponent)
    own = _lookup(cells, cell, group, "CTDIvol", 1)[2]
    size_exponent = np.where(patient["child"] & own, 0.0, exponent)
    size = (patient["weight"] / ADULT_WEIGHT_KG) ** size_exponent
    habit = _of_cells(cells, cell, lambda f, d, p: f.dose_factor * d.dose_factor if p.kvp else 1.0)
    drifting = _of_cells(cells, cell, lambda f, d, p: d.drift is not None, bool)
    drift = world.drifting_devices[0].drift if world.drifting_devices else None
    if drift:
        after = day >= (drift.date - world.start).days
        habit = np.where(drifting & after, habit * drift.factor, habit)
    spread = rng.normal(0, 1, n)

    def draw(quantity: str) -> Any:
        median, gsd, _ = _lookup(cells, cell, group, quantity, 1.0)
        sigma = np.sqrt(np.maximum(np.log(gsd) ** 2 - (size_exponent * math.log(ADULT_WEIGHT_GSD)) ** 2, 0.01))
        factor = np.where(put["implausible-dose"], 100.0, 1.0)
        return median * habit * size * np.exp(sigma * spread) * factor

    ctdi = draw("CTDIvol")
    ct = ~np.isnan(ctdi)
    phases = _of_cells(cells, cell, lambda f, d, p: p.phases, np.int32)
    extra = np.where(put["extra-phases"] & ct, rng.integers(1, 4, n), 0).astype(np.int32)
    length = _lookup(cells, cell, group, "DLP", 1.0)[0] / (_lookup(cells, cell, group, "CTDIvol", 1.0)[0] * phases)
    length = length * np.exp(rng.normal(0, 0.1, n))
    true_phantom = _of_cells(cells, cell, lambda f, d, p: 16 if p.region in ("head", "sinus") else 32, np.int32)
    wrong = put["wrong-phantom"] & ct
    ctdi = np.where(wrong, np.where(true_phantom == 16, ctdi / 2, ctdi * 2), ctdi)
    contrast = _of_cells(cells, cell, lambda f, d, p: p.contrast, bool)
    kap, kerma, seconds, frames, entrance = _projection(rng, cells, cell, draw)
    agd = draw("DG")
    mammography = ~np.isnan(agd)
    views = [2 * agd * np.exp(rng.normal(0, 0.04, n)) for _ in range(2)]
    nuclear = draw("Administered activity")
    projection = ~np.isnan(kap)
    exposures = _of_cells(cells, cell, lambda f, d, p: p.fluoro_events + p.acquisition_events + len(p.views))
    events = np.where(ct, 1 + phases + extra + 2 * contrast, np.where(mammography, 4, np.maximum(exposures, 1)))
    return {
        "event_count": np.ma.masked_array(events.astype(np.int32), mask=np.zeros(n, bool)),
        "phase_count": np.ma.masked_array(phases + extra, mask=~ct),
        "dlp_mgy_cm": np.round(ctdi * length * (phases + extra), 2),
        "ctdi_vol_mgy": np.round(ctdi, 2),
        "phantom_cm": np.ma.masked_array(np.where(wrong, 48 - true_phantom, true_phantom).astype(np.int32), mask=~ct),
        "scan_length_mm": np.where(ct, np.rint(10 * length), np.nan),
        "kap_gy_cm2": kap,
        "reference_air_kerma_mgy": kerma,
        "fluoro_time_s": seconds,
        "frames": np.ma.masked_array(frames.astype(np.int32), mask=~projection),
        "agd_mgy": np.round(agd, 2),
        "agd_left_mgy": np.round(views[0], 2),
        "agd_right_mgy": np.round(views[1], 2),
        "compressed_thickness_mm": np.where(mammography, np.clip(np.rint(rng.normal(53, 12, n)), 20, 95), np.nan),
        "administered_activity_mbq": np.round(nuclear, 1),
        "ssde_mgy": _ssde(cells, cell, patient["weight"], np.where(ct & (true_phantom == 32) & ~wrong, ctdi, np.nan)),
        "entrance_air_kerma_mgy": entrance,
    }


def _projection(rng: Any, cells: list[Cell], cell: Any, draw: Any) -> tuple[Any, Any, Any, Any, Any]:
    """KAP (Gy.cm2), reference air kerma (mGy), fluoroscopy time (s), frames, and entrance air kerma of radiographs."""
    import numpy as np

    n = len(cell)
    area = _of_cells(cells, cell, lambda f, d, p: p.field_area_cm2) * np.exp(rng.normal(0, 0.1, n))
    kap = draw("PKA")
    from_kerma = draw("Ka,r") * area / 1000
    kap = np.where(np.isnan(kap), from_kerma, kap)
    fluoro = _of_cells(cells, cell, lambda f, d, p: p.fluoro_events > 0, bool)
    seconds = kap * 22 * np.exp(rng.normal(0, 0.3, n))
    views = _of_cells(cells, cell, lambda f, d, p: len(p.views))
    frames = np.where(fluoro, np.clip(np.nan_to_num(kap) * 36, 1, 1e6), views)
    return (
        kap,
        np.where(fluoro, 1000 * kap / area, np.nan),
        np.where(fluoro, np.round(seconds, 1), np.nan),
        frames,
        np.where(fluoro, np.nan, 1000 * kap / area / np.maximum(views, 1)),
    )


def _ssde(cells: list[Cell], cell: Any, weight_kg: Any, ctdi_vol_mgy: Any) -> Any:
    """SSDE of devices that state it, from CTDIvol on the 32 cm phantom; NaN elsewhere."""
    import numpy as np

    states = _of_cells(cells, cell, lambda f, d, p: d.dialect.ssde, bool)
    return np.where(
        states, np.round(size_specific_dose(ctdi_vol_mgy, water_equivalent_diameter_cm(weight_kg)), 2), np.nan
    )


def _lookup(cells: list[Cell], cell: Any, group: Any, quantity: str, missing_gsd: float) -> tuple[Any, Any, Any]:
    """Median (Gy.cm2 for PKA), spread, and whether the group has values of its own, for each exam; NaN where none."""
    import numpy as np

    order = list(protocols())
    medians = np.full((len(order), len(GROUPS)), np.nan)
    spreads = np.full((len(order), len(GROUPS)), missing_gsd)
    own = np.zeros((len(order), len(GROUPS)), bool)
    for row, procedure in enumerate(order):
        for column, name in enumerate(GROUPS):
            median, gsd, is_own = _typical(protocols()[procedure], name, quantity)
            medians[row, column], spreads[row, column], own[row, column] = median, gsd or missing_gsd, is_own
    row_of_cell = np.array([order.index(c[2].procedure) for c in cells])[cell]
    return medians[row_of_cell, group], spreads[row_of_cell, group], own[row_of_cell, group]


def _typical(protocol: Protocol, group: str, quantity: str) -> tuple[float, float, bool]:
    """Typical value of an exam: of the group's own, else of adults; a radiograph's is the sum over its views."""
    table = table_of_values()
    if protocol.views:
        values = [table[view, "adult"].get(quantity) for view in protocol.views]
    else:
        is_own = (protocol.procedure, group) in table
        values = [table[protocol.procedure, group if is_own else "adult"].get(quantity)]
    known = [value for value in values if value]
    if not known:
        return math.nan, 0.0, False
    units = {"mGy.cm2": 0.001, "Gy.cm2": 1.0, "mGy": 1.0, "mGy.cm": 1.0, "MBq": 1.0}
    if known[0].unit not in units:
        raise TableError(f"typical_values.csv: the unit {known[0].unit} of {protocol.procedure} is not expected.")
    median = sum(value.median * units[value.unit] for value in known)
    return median, known[0].gsd, not protocol.views and (protocol.procedure, group) in table
