"""Which dosimetric columns do the exams of a whole table get, from the columns that say what they state?

For tables that were not derived exam by exam, such as made-up ones. What needs single events (size-specific dose,
phantoms of single scans) stays null, as does all that tells why a value is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from doseatlas.dosimetry.calibration import CertificateBook
from doseatlas.dosimetry.columns import corrected_column, ct_effective_dose_column
from doseatlas.dosimetry.ct_effective_dose import region_coefficients
from doseatlas.dosimetry.estimate import NOT_VERIFIED, Estimate, NotEstimated, not_verified
from doseatlas.dosimetry.exam import DOSIMETRY_COLUMNS
from doseatlas.dosimetry.exam_calibration import ALL_DISPLAYS, DISPLAY_TOLERANCE, DISPLAYS, SIZE_FACTOR, Display
from doseatlas.dosimetry.exam_entrance import ENTRANCE_COLUMNS, exam_entrance
from doseatlas.dosimetry.exam_skin import SKIN_DOSE_COLUMNS
from doseatlas.dosimetry.nuclear import nuclear_effective_dose
from doseatlas.dosimetry.projection import projection_effective_dose
from doseatlas.dosimetry.tables import ct_regions, nuclear_agent
from doseatlas.model import Event, Exam
from doseatlas.reference import coefficients

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Texts = npt.NDArray[np.object_]

_ARROW: dict[str, Any] = {"float64": pa.float64(), "string": pa.string(), "list<string>": pa.list_(pa.string())}


class _Doses(NamedTuple):
    """Effective doses, their uncertainty, their coefficient sets, and which rest on a coefficient not verified."""

    values: Floats
    uncertainty: Floats
    sets: Texts
    recalled: npt.NDArray[np.bool_]


def with_dosimetry(exams: pa.Table) -> pa.Table:
    """Return a table of exams (columns of the mart) with its dosimetric columns in place of any it had.

    Displayed values count as they are, with the tolerance of their display; the effective dose is that of the default
    coefficients.
    """
    kinds = _texts(exams, "kind")
    found: dict[str, pa.Array] = {}
    effective, uncertainty = np.full(len(kinds), np.nan), np.full(len(kinds), np.nan)
    sets: Texts = np.full(len(kinds), None, object)
    displayed, recalled = np.zeros(len(kinds), bool), np.zeros(len(kinds), bool)
    for display in ALL_DISPLAYS:
        of_kind = np.isin(kinds, [kind for kind, displays in DISPLAYS.items() if display in displays])
        values, relative = _display(exams, display, of_kind)
        displayed |= np.isfinite(values)
        found[display.corrected] = pa.array(values, from_pandas=True)
        found[display.uncertainty] = pa.array(relative, from_pandas=True)
    for kind, doses in _EFFECTIVE.items():
        own = np.flatnonzero(kinds == kind)
        effective[own], uncertainty[own], sets[own], recalled[own] = doses(exams.take(pa.array(own)))
    found |= _entrance(exams)
    known = np.isfinite(effective)
    found["effective_dose_msv"] = pa.array(effective, from_pandas=True)
    found["effective_dose_uncertainty_msv"] = pa.array(np.where(known, uncertainty, np.nan), from_pandas=True)
    found["effective_dose_set"] = pa.array(sets, pa.string(), mask=~known)
    found["calibration"] = pa.array(np.full(len(kinds), DISPLAY_TOLERANCE, object), pa.string(), mask=~displayed)
    flags = [[NOT_VERIFIED] if one else None for one in (recalled & known).tolist()]
    found["dosimetry_flags"] = pa.array(flags, _ARROW["list<string>"])
    columns = (*DOSIMETRY_COLUMNS, *ENTRANCE_COLUMNS, *SKIN_DOSE_COLUMNS)
    exams = exams.drop_columns([column.name for column in columns if column.name in exams.column_names])
    for column in columns:
        exams = exams.append_column(column.name, found.get(column.name, pa.nulls(len(kinds), _ARROW[column.type])))
    return exams


def _display(exams: pa.Table, display: Display, of_kind: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return the values of a display and their relative uncertainty, where an exam is of a kind that displays it."""
    values, relative = _as_displayed(display.certified_by[0], _floats(exams, display.quantity))
    if display.quantity in SIZE_FACTOR:
        relative = np.hypot(relative, coefficients.component_uncertainties()["ssde-coefficient"].relative)
    return np.where(of_kind, values, np.nan), np.where(of_kind, relative, np.nan)


def _as_displayed(quantity: str, displayed: Floats) -> tuple[Floats, Floats]:
    nobody = np.full(len(displayed), -1)
    days = np.full(len(displayed), np.datetime64("NaT", "D"), "datetime64[D]")
    values, relative = corrected_column(quantity, displayed, nobody, [], days, CertificateBook())
    return values, relative


def _entrance(exams: pa.Table) -> dict[str, pa.Array]:
    """Return the air kerma of the radiographs that state their entrance exposure, without and with backscatter."""
    stated, kvp = _floats(exams, "entrance_air_kerma_mgy"), _floats(exams, "kvp")
    of_one = (_texts(exams, "kind") == "projection") & (stated > 0) & ~(_floats(exams, "fluoro_time_s") > 0)
    voltages, inverse = np.unique(kvp, return_inverse=True)
    of_one_mgy = [_of_one_mgy(None if np.isnan(voltage) else float(voltage)) for voltage in voltages]
    found: dict[str, pa.Array] = {}
    for column in ENTRANCE_COLUMNS:
        each = [row[column.name] for row in of_one_mgy]
        if column.type == "float64":
            values = np.array(each or [np.nan], np.float64)[inverse] * stated
            found[column.name] = pa.array(np.where(of_one, values, np.nan), from_pandas=True)
        else:
            texts = np.array(each or [None], object)[inverse]
            found[column.name] = pa.array(texts, pa.string(), mask=~of_one)
    return found


def _of_one_mgy(kvp: float | None) -> dict[str, object]:
    exam = Exam(kind="projection", events=(Event(entrance_exposure_mgy=1.0, kvp=kvp),))
    return exam_entrance(exam, device=None, certificates=CertificateBook(), plausible=True)


def _ct(exams: pa.Table) -> _Doses:
    dlp, relative = _as_displayed("dlp_mgy_cm", _floats(exams, "dlp_mgy_cm"))
    procedures, inverse = np.unique(_texts(exams, "procedure").astype(str), return_inverse=True)
    regions = [known.regions if (known := ct_regions().get(name)) else frozenset[str]() for name in procedures]
    phantom = np.nan_to_num(_floats(exams, "phantom_cm")).astype(np.int64)
    dose = ct_effective_dose_column(dlp, phantom, inverse, regions, _floats(exams, "age_years"), dlp_relative=relative)
    sets = np.full(len(dlp), coefficients.DEFAULT_CT_SET, object)
    adult = coefficients.ADULT_AGE_YEARS
    # The ages of the table are whole years: within a year, the same rows are interpolated.
    years = np.nan_to_num(np.minimum(np.floor(_floats(exams, "age_years")) + 0.5, adult), nan=adult)
    cases = list(zip(inverse.tolist(), years.tolist(), strict=True))
    weak = {case: _recalled(regions[case[0]], case[1]) for case in set(cases)}
    return _Doses(dose.values, dose.uncertainty, sets, np.array([weak[case] for case in cases], bool))


def _recalled(regions: frozenset[str], age_years: float) -> bool:
    found = region_coefficients(coefficients.DEFAULT_CT_SET, regions, age_years)
    return not isinstance(found, NotEstimated) and bool(not_verified([row for one in found for row in one.rows]))


def _projection(exams: pa.Table) -> _Doses:
    kap, relative = _as_displayed("kap_gy_cm2", _floats(exams, "kap_gy_cm2"))
    procedures, inverse = np.unique(_texts(exams, "procedure").astype(str), return_inverse=True)
    adult = coefficients.ADULT_AGE_YEARS
    each = [projection_effective_dose(1.0, name, adult) for name in procedures]
    doses = _per_unit(each, inverse, kap, relative)
    doses.values[~(_floats(exams, "age_years") >= adult)] = np.nan
    return doses


def _nuclear(exams: pa.Table) -> _Doses:
    activity, relative = _as_displayed("administered_activity_mbq", _floats(exams, "administered_activity_mbq"))
    keys = list(
        zip(_texts(exams, "radiopharmaceutical"), _texts(exams, "procedure"), _floats(exams, "age_years"), strict=True)
    )
    different = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    each = [
        nuclear_effective_dose(1.0, nuclear_agent(name, None, procedure), None if np.isnan(age) else float(age))
        for name, procedure, age in different
    ]
    return _per_unit(each, np.array([different[key] for key in keys], np.int64), activity, relative)


def _per_unit(each: list[Any], inverse: npt.NDArray[np.int64], amount: Floats, amount_relative: Floats) -> _Doses:
    """Return doses of amounts from the doses of one unit."""
    known = [one if isinstance(one, Estimate) else None for one in each]
    per_unit = np.array([one.value if one else np.nan for one in known] or [np.nan])
    relative = np.array([one.relative_standard_uncertainty if one else np.nan for one in known] or [np.nan])
    sets = np.array([one.coefficient_set if one else None for one in known] or [None], object)
    recalled = np.array([any(f.code == NOT_VERIFIED for f in one.flags) if one else False for one in known] or [False])
    values = per_unit[inverse] * amount
    return _Doses(values, values * np.hypot(relative[inverse], amount_relative), sets[inverse], recalled[inverse])


_EFFECTIVE = {"ct": _ct, "projection": _projection, "nuclear": _nuclear}


def _floats(exams: pa.Table, name: str) -> Floats:
    return np.asarray(exams[name].cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)


def _texts(exams: pa.Table, name: str) -> Texts:
    return np.asarray(exams[name].to_numpy(zero_copy_only=False), object)
