"""A million exams at once get what each gets by itself."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from doseatlas.dosimetry import (
    Certificate,
    CorrectedValue,
    Dlp,
    DosimetryError,
    Estimate,
    PatientSize,
    QualityFactor,
    certificate_book,
    certificate_on,
    correct,
    corrected_column,
    ct_effective_dose,
    ct_effective_dose_column,
    ssde,
    ssde_column,
)

COUNT = 600
RANDOM = np.random.default_rng(5)
REGIONS = [
    frozenset(one.split())
    for one in ("head", "chest", "chest abdomen", "chest abdomen pelvis", "neck chest", "abdomen", "leg", "")
]


def test_ssde_of_a_column_is_that_of_each_exam() -> None:
    ctdi = RANDOM.uniform(-1, 60, COUNT)
    ctdi[:5] = np.nan
    phantom = RANDOM.choice([16, 32, 0], COUNT)
    head = RANDOM.random(COUNT) < 0.3
    diameter = RANDOM.uniform(20, 460, COUNT)
    found = ssde_column(ctdi, phantom, head, diameter, ctdi_relative=0.1, diameter_relative=0.05)
    for i in range(COUNT):
        size = PatientSize(diameter_mm=diameter[i], relative_standard_uncertainty=0.05, method="m", source="s")
        dose = None if np.isnan(ctdi[i]) else float(ctdi[i])
        one = ssde(dose, int(phantom[i]) or None, "head" if head[i] else "body", size, ctdi_relative_uncertainty=0.1)
        if isinstance(one, Estimate):
            assert found.values[i] == pytest.approx(one.value, rel=1e-12)
            assert found.uncertainty[i] == pytest.approx(one.standard_uncertainty, rel=1e-12)
        else:
            assert np.isnan(found.values[i])
    assert 100 < np.isfinite(found.values).sum() < COUNT


@pytest.mark.parametrize("coefficient_set", ["aapm-96", "deak-2010", "lee-2012"])
def test_effective_dose_of_a_column_is_that_of_each_exam(coefficient_set: str) -> None:
    dlp = RANDOM.uniform(-10, 2000, COUNT)
    phantom = RANDOM.choice([16, 32, 0], COUNT, p=[0.4, 0.5, 0.1])
    region = RANDOM.integers(-1, len(REGIONS), COUNT)
    age = RANDOM.choice([0.0, 0.3, 1.0, 4.2, 10.0, 14.5, 17.99, 18.0, 65.0, np.nan], COUNT)
    found = ct_effective_dose_column(
        dlp, phantom, region, REGIONS, age, coefficient_set=coefficient_set, dlp_relative=0.12
    )
    for i in range(COUNT):
        one = ct_effective_dose(
            [Dlp(float(dlp[i]), int(phantom[i]) or None)],
            REGIONS[region[i]] if region[i] >= 0 else frozenset(),
            None if np.isnan(age[i]) else float(age[i]),
            coefficient_set=coefficient_set,
            dlp_relative_uncertainty=0.12,
        )
        if isinstance(one, Estimate) and phantom[i]:
            assert found.values[i] == pytest.approx(one.value, rel=1e-12)
            assert found.uncertainty[i] == pytest.approx(one.standard_uncertainty, rel=1e-12)
        else:
            assert np.isnan(found.values[i])
    assert 50 < np.isfinite(found.values).sum() < COUNT


def test_an_unknown_set_or_quantity_is_an_error() -> None:
    empty, none = np.empty(0), np.empty(0, np.int64)
    with pytest.raises(DosimetryError, match="no coefficient set"):
        ct_effective_dose_column(empty, none, none, REGIONS, empty, coefficient_set="own")
    with pytest.raises(DosimetryError, match="no displayed quantity"):
        corrected_column(
            "agd", empty, none, [], np.empty(0, "datetime64[D]"), certificate_book([], dt.date(2024, 1, 1))
        )


def test_corrected_columns_are_those_of_each_exam() -> None:
    devices = ["a", "b", "c"]

    def certificate(device: str, year: int, *factors: QualityFactor) -> Certificate:
        return Certificate(
            id=f"{device}-{year}",
            device=device,
            instrument="kap-meter",
            quantity="kap_gy_cm2",
            laboratory="Physics",
            issued_on=dt.date(year, 1, 1),
            valid_from=dt.date(year, 1, 1),
            valid_until=dt.date(year + 1, 1, 1),
            factors=factors,
        )

    low = QualityFactor(quality="RQR 5", kvp=70, hvl_mm_al=2.6, factor=0.9, expanded_relative_uncertainty=0.06)
    high = QualityFactor(quality="RQR 8", kvp=100, factor=0.97, expanded_relative_uncertainty=0.07)
    hard = QualityFactor(quality="RQR 9", kvp=120, hvl_mm_al=5.0, factor=1.05, expanded_relative_uncertainty=0.07)
    book = certificate_book(
        [certificate("a", 2023, low, high), certificate("a", 2024, high), certificate("b", 2024, low, hard)],
        dt.date(2024, 12, 31),
    )
    value = RANDOM.uniform(-1, 100, COUNT)
    device = RANDOM.integers(-1, 3, COUNT)
    day = np.datetime64("2022-12-01") + RANDOM.integers(0, 900, COUNT)
    day[:3] = np.datetime64("NaT", "D")
    kvp = RANDOM.choice([60.0, 81.5, 90.0, 120.0, np.nan], COUNT)
    hvl = RANDOM.choice([2.0, 3.1, 6.0, np.nan], COUNT)
    found = corrected_column("kap_gy_cm2", value, device, devices, day, book, kvp=kvp, hvl_mm_al=hvl)
    for i in range(COUNT):
        name = devices[device[i]] if device[i] >= 0 else None
        known = None if np.isnat(day[i]) else day[i].astype(object)
        one = correct(
            "kap_gy_cm2",
            float(value[i]),
            certificate_on(book, name, "kap_gy_cm2", known),
            kvp=None if np.isnan(kvp[i]) else float(kvp[i]),
            hvl_mm_al=None if np.isnan(hvl[i]) else float(hvl[i]),
        )
        if isinstance(one, CorrectedValue):
            assert found.values[i] == pytest.approx(one.value, rel=1e-12)
            assert found.uncertainty[i] == pytest.approx(one.relative_standard_uncertainty, rel=1e-12)
        else:
            assert np.isnan(found.values[i])
