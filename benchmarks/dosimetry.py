"""How fast is dosimetry: a million exams through calibration, SSDE and effective dose, one CT image to its diameter?

The exams are drawn at random with the spread of a country's; what is timed is everything from columns to columns. The
image is a simulated body with lungs and arms on a table; the peer is SciPy labelling the same slice once, which is
the least that a segmentation built on it must do.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from benchmarks.measure import Row, median_seconds, side_by_side
from doseatlas.dosimetry import (
    Certificate,
    CertificateBook,
    QualityFactor,
    body_section,
    certificate_book,
    corrected_column,
    ct_effective_dose_column,
    ssde_column,
)

EXAMS, DEVICES = 1_000_000, 60
BAR_SECONDS, BAR_RATIO = 5.0, 2.0
SIDE, PIXEL_MM, INTERCEPT = 512, 0.9, -1024.0
REGIONS = [frozenset(one.split()) for one in ("head", "chest", "abdomen pelvis", "chest abdomen", "neck chest")]


def _certificates(names: list[str]) -> CertificateBook:
    factors = tuple(
        QualityFactor(quality=f"{kvp} kV", kvp=kvp, factor=0.9 + kvp / 2000, expanded_relative_uncertainty=0.06)
        for kvp in (80, 100, 120, 140)
    )
    return certificate_book(
        [
            Certificate(
                id=f"{name}-{quantity}-{year}",
                device=name,
                instrument="ct-display",
                quantity=quantity,
                laboratory="benchmark",
                issued_on=dt.date(year, 1, 1),
                valid_from=dt.date(year, 1, 1),
                valid_until=dt.date(year + 1, 1, 1),
                factors=factors,
            )
            for name in names[: DEVICES // 2]
            for year in (2023, 2024)
            for quantity in ("dlp_mgy_cm", "ctdi_vol_mgy")
        ],
        dt.date(2025, 1, 1),
    )


def _whole(random: np.random.Generator) -> Callable[[], None]:
    names = [f"device {number}" for number in range(DEVICES)]
    book = _certificates(names)
    dlp = random.lognormal(6, 0.6, EXAMS)
    ctdi = random.lognormal(2.3, 0.5, EXAMS)
    device = random.integers(0, DEVICES, EXAMS)
    day = np.datetime64("2023-01-01") + random.integers(0, 900, EXAMS)
    kvp = random.choice(np.array([80.0, 100.0, 110.0, 120.0, 140.0]), EXAMS)
    region = random.integers(0, len(REGIONS), EXAMS)
    phantom = np.where(region == 0, 16, 32)
    age = np.where(random.random(EXAMS) < 0.1, random.uniform(0, 18, EXAMS), random.uniform(18, 95, EXAMS))
    diameter = random.normal(280, 40, EXAMS)

    def run() -> None:
        by_dlp, by_ctdi = (
            corrected_column(quantity, values, device, names, day, book, kvp=kvp, phantom_cm=phantom)
            for quantity, values in (("dlp_mgy_cm", dlp), ("ctdi_vol_mgy", ctdi))
        )
        head = region == 0
        ssde_column(by_ctdi.values, phantom, head, diameter, ctdi_relative=by_ctdi.uncertainty, diameter_relative=0.05)
        ct_effective_dose_column(by_dlp.values, phantom, region, REGIONS, age, dlp_relative=by_dlp.uncertainty)

    return run


def _slice(random: np.random.Generator) -> npt.NDArray[np.int16]:
    """Return stored values of a chest with arms on a table."""
    axis = (np.arange(SIDE) + 0.5 - SIDE / 2) * PIXEL_MM
    x, y = np.meshgrid(axis, axis)

    def ellipse(a: float, b: float, middle: float) -> npt.NDArray[np.bool_]:
        return np.asarray(((x - middle) / a) ** 2 + (y / b) ** 2 <= 1)

    image = np.full((SIDE, SIDE), -1000.0)
    image[(y > 118) & (y < 130) & (np.abs(x) < 210)] = -100
    for half_width, half_height, middle, hu in ((140, 110, 0, 20), (30, 40, 185, 10), (30, 40, -185, 10)):
        image[ellipse(half_width, half_height, middle)] = hu
    for middle in (-60, 60):
        image[ellipse(45, 75, middle)] = -800
    image += random.normal(0, 15, image.shape)
    return np.round(np.clip(image, -1024, 3071) - INTERCEPT).astype(np.int16)


def measure() -> list[Row]:
    """Measure a million exams, and one image beside SciPy."""
    random = np.random.default_rng(1)
    whole = median_seconds(_whole(random), runs=3)
    pixels = _slice(random)
    mask = pixels > -500 - INTERCEPT

    def ours() -> None:
        for _ in range(20):
            body_section(pixels, pixel_spacing_mm=(PIXEL_MM, PIXEL_MM), rescale_slope=1.0, rescale_intercept=INTERCEPT)

    def theirs() -> None:
        for _ in range(20):
            ndimage.label(mask)

    own, peer = side_by_side(ours, theirs, runs=11)
    return [
        Row(
            f"calibration, SSDE and effective dose of {EXAMS:,} exams",
            f"{whole:.2f} s",
            f"under {BAR_SECONDS:g} s",
            whole < BAR_SECONDS,
            f"{whole / EXAMS * 1e9:.0f} ns an exam; {DEVICES} devices, half of them with a certificate for each year",
        ),
        Row(
            "water-equivalent diameter of a CT image of 512 by 512",
            f"{own / peer:.2f} times scipy.ndimage.label",
            f"at most {BAR_RATIO:g} times",
            own <= BAR_RATIO * peer,
            f"{own / 20 * 1e3:.2f} ms from stored values to the diameter; SciPy labels the slice once in "
            f"{peer / 20 * 1e3:.2f} ms",
        ),
    ]
