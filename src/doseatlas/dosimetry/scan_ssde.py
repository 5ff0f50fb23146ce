"""Which size-specific dose does one scan give, and from which size of the patient?

The axial images of the scan itself come first, as they show the patient where the scan was: its SSDE is the mean of
SSDE(z) over them (AAPM Report 220). Then the diameter that the report states, other axial images of the exam, its
localisers, and height and weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from msgspec import structs

from doseatlas.dosimetry.ct_scan import MeasuredImage, mean_ctdi_mgy, profile_of_measured
from doseatlas.dosimetry.estimate import Estimate, NotEstimated
from doseatlas.dosimetry.image_sizes import ImageSizes, Place, measured_at, places_of_scan, size_from_localisers
from doseatlas.dosimetry.patient_size import PatientSize, size_from_height_and_weight
from doseatlas.dosimetry.ssde import Region, ssde
from doseatlas.model import Event, Note, Patient
from doseatlas.reference import coefficients

_CTDI_DIFFERS = 0.2  # relative, of the mean over the images from that of the scan; overranging makes less


class ScanSsde(NamedTuple):
    """SSDE of a scan and the diameter (mm) behind it; from images, also both at the scan's middle."""

    ssde: Estimate
    diameter_mm: float
    central_ssde_mgy: float | None = None
    central_diameter_mm: float | None = None


class ScanDose(NamedTuple):
    """The CTDIvol of a scan and its phantom, as stated; the factor that corrects it, its relative uncertainty."""

    ctdi_vol_mgy: float | None
    phantom_cm: int | None
    factor: float = 1.0
    relative_standard_uncertainty: float = 0.0


def ssde_of_scan(
    scan: Event,
    patient: Patient,
    region: Region,
    dose: ScanDose,
    sizes: ImageSizes | None,
    *,
    alone: bool,
) -> ScanSsde | NotEstimated:
    """Return the SSDE of a scan.

    Args:
        scan: the scan.
        patient: height, weight and age, where images lack.
        region: ``head`` or ``body``.
        dose: of the scan.
        sizes: what was measured in the exam's images.
        alone: it is the exam's only scan, so that images which do not state a scan are of it.

    """
    places, whose = places_of_scan(sizes or ImageSizes(), scan.event_uid)
    its_own = whose == "own" or (whose == "not stated" and alone)
    if its_own and any(place.diameter_mm for place in places):
        return _along(places, dose, region)
    if scan.water_equivalent_diameter_mm is not None:
        return _by_size(_stated_size(scan.water_equivalent_diameter_mm), dose, region)
    if any(place.diameter_mm for place in places):
        # Which scan these are of is not known, so neither is it whose dose they state.
        flags: tuple[Note, ...] = ()
        if whose == "other":
            message = "The images state that they are of other scans of the exam."
            flags = (Note(code="size-of-other-images", message=message),)
        return _profile([_without_dose(measured_at(place)) for place in places], dose, region, flags)
    size = size_from_localisers(sizes.widths) if sizes else None
    if size is None and region == "body":
        size = size_from_height_and_weight(patient.height_cm, patient.weight_kg, patient.age_years)
    return _by_size(size, dose, region)


def _stated_size(diameter_mm: float) -> PatientSize:
    return PatientSize(
        diameter_mm=diameter_mm,
        relative_standard_uncertainty=coefficients.component_uncertainties()["diameter-from-localiser"].relative,
        method="water-equivalent diameter as stated",
        source="the dose report",
    )


def _by_size(size: PatientSize | None, dose: ScanDose, region: Region) -> ScanSsde | NotEstimated:
    mgy = None if dose.ctdi_vol_mgy is None else dose.factor * dose.ctdi_vol_mgy
    relative = dose.relative_standard_uncertainty
    estimate = ssde(mgy, dose.phantom_cm, region, size, ctdi_relative_uncertainty=relative)
    if isinstance(estimate, NotEstimated):
        return estimate
    assert size is not None
    return ScanSsde(estimate, size.diameter_mm)


def _along(places: Sequence[Place], dose: ScanDose, region: Region) -> ScanSsde | NotEstimated:
    """Return the mean of SSDE(z) over a scan's own images, whose CTDIvol is believed where it is that of the scan."""
    images = [measured_at(place) for place in places]
    phantoms = {place.phantom_cm for place in places if place.ctdi_vol_mgy}
    on = phantoms.pop() if len(phantoms) == 1 else 0
    if dose.phantom_cm is None and on:
        dose = dose._replace(phantom_cm=on)
    mean = mean_ctdi_mgy(images)
    if mean is None:
        images = [image._replace(ctdi_vol_mgy=None) for image in images]
    elif message := _contradiction(mean, on, phantoms, dose):
        flag = Note(code="ctdi-of-images-differs", message=message)
        return _profile([image._replace(ctdi_vol_mgy=None) for image in images], dose, region, (flag,))
    return _profile(images, dose, region, ())


def _contradiction(mean_mgy: float, on_cm: int, others: set[int], dose: ScanDose) -> str | None:
    """Return why the CTDIvol of the images is not that of the scan, ``None`` where it is.

    ``on_cm`` is the phantom that all images state, 0 for none; ``others`` are those left where they state several.
    """
    if others or on_cm not in (0, dose.phantom_cm):
        return "The images state CTDIvol on another phantom than the report; that of the report is taken."
    if dose.ctdi_vol_mgy and not abs(mean_mgy / dose.ctdi_vol_mgy - 1) <= _CTDI_DIFFERS:
        stated = f"{mean_mgy:.3g} mGy, the report {dose.ctdi_vol_mgy:.3g} mGy"
        return f"The images state a mean CTDIvol of {stated}; that of the report is taken."
    return None


def _without_dose(image: MeasuredImage) -> MeasuredImage:
    return image._replace(ctdi_vol_mgy=None, tube_current_ma=None)


def _profile(
    images: Sequence[MeasuredImage], dose: ScanDose, region: Region, flags: tuple[Note, ...]
) -> ScanSsde | NotEstimated:
    factor = dose.factor
    profile = profile_of_measured(
        [one._replace(ctdi_vol_mgy=one.ctdi_vol_mgy and factor * one.ctdi_vol_mgy) for one in images],
        ctdi_vol_mgy=None if dose.ctdi_vol_mgy is None else factor * dose.ctdi_vol_mgy,
        phantom_cm=dose.phantom_cm,
        region=region,
        ctdi_relative_uncertainty=dose.relative_standard_uncertainty,
    )
    if isinstance(profile, NotEstimated):
        return profile
    mean = structs.replace(profile.mean, flags=flags + profile.mean.flags)
    central = profile.central
    return ScanSsde(mean, profile.mean_diameter_mm, central.ssde.value, central.size.diameter_mm)
