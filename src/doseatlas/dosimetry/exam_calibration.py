"""What does each value that an exam displays become by the certificates of its device and day?

The mart has the corrected value and its relative standard uncertainty beside every displayed one. A factor holds for a
beam, so that of an exam is the mean over its exposures, each by its own tube voltage, stated half-value layer and CTDI
phantom, weighted by what it adds to the displayed value.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from msgspec import structs

from doseatlas.dosimetry.calibration import Certificate, CertificateBook, certificate_on
from doseatlas.dosimetry.correction import Beam, CorrectedValue, correct_beams, correction
from doseatlas.dosimetry.estimate import DosimetryColumn, NotEstimated
from doseatlas.dosimetry.mammography import side_of
from doseatlas.dosimetry.uncertainty import of_product
from doseatlas.model import Event, Exam
from doseatlas.reference import coefficients

DISPLAY_TOLERANCE = "display tolerance"
SAME_TOTAL = 0.01
"""Relative difference up to which exposures add up to a total."""
NOTHING_DISPLAYED: Mapping[str, object] = MappingProxyType({})
_BREASTS = {"agd_left_mgy": "L", "agd_right_mgy": "R"}
_MEANS_OF_SCANS = ("ctdi_vol_mgy", "ssde_mgy")
SIZE_FACTOR = frozenset({"ssde_mgy"})
"""Displayed quantities that hold a factor of the patient's size, whose uncertainty comes on top."""


class Display(NamedTuple):
    """A displayed quantity of the mart: its columns, and which certificates correct it, the first that covers the day.

    The first of ``certified_by`` also has the tolerance that counts without a certificate.
    """

    quantity: str
    corrected: str
    uncertainty: str
    certified_by: tuple[str, ...]


_CTDI_VOL = ("ctdi_vol_mgy", "dlp_mgy_cm")
_KAP = Display("kap_gy_cm2", "kap_corrected_gy_cm2", "kap_relative_uncertainty", ("kap_gy_cm2",))
DISPLAYS: dict[str, tuple[Display, ...]] = {
    "ct": (
        Display("dlp_mgy_cm", "dlp_corrected_mgy_cm", "dlp_relative_uncertainty", _CTDI_VOL[::-1]),
        Display("ctdi_vol_mgy", "ctdi_vol_corrected_mgy", "ctdi_vol_relative_uncertainty", _CTDI_VOL),
        Display("ssde_mgy", "ssde_corrected_mgy", "ssde_relative_uncertainty", _CTDI_VOL),
    ),
    "projection": (
        _KAP,
        Display(
            "reference_air_kerma_mgy",
            "reference_air_kerma_corrected_mgy",
            "reference_air_kerma_relative_uncertainty",
            ("reference_air_kerma_mgy",),
        ),
        Display(
            "entrance_air_kerma_mgy",
            "entrance_air_kerma_corrected_mgy",
            "entrance_air_kerma_relative_uncertainty",
            ("entrance_air_kerma_mgy",),
        ),
    ),
    "mammography": (
        _KAP,
        Display("agd_mgy", "agd_corrected_mgy", "agd_relative_uncertainty", ("agd_mgy",)),
        Display("agd_left_mgy", "agd_left_corrected_mgy", "agd_left_relative_uncertainty", ("agd_mgy",)),
        Display("agd_right_mgy", "agd_right_corrected_mgy", "agd_right_relative_uncertainty", ("agd_mgy",)),
    ),
    "nuclear": (
        Display(
            "administered_activity_mbq",
            "administered_activity_corrected_mbq",
            "administered_activity_relative_uncertainty",
            ("administered_activity_mbq",),
        ),
    ),
}
"""The displayed quantities by kind of exam."""
ALL_DISPLAYS = tuple(dict.fromkeys(display for displays in DISPLAYS.values() for display in displays))
_BY_QUANTITY = {display.quantity: display for display in ALL_DISPLAYS}
CORRECTED_COLUMNS = {display.quantity: (display.corrected, display.uncertainty) for display in ALL_DISPLAYS}
_OF_QUANTITY = re.compile(rf"(?:^|; )(?P<quantity>{'|'.join(_BY_QUANTITY)}): ")
CERTIFIED = frozenset(quantity for display in ALL_DISPLAYS for quantity in display.certified_by)
"""Quantities whose certificates correct something."""
CALIBRATION_COLUMNS: tuple[DosimetryColumn, ...] = (
    *(
        column
        for display in ALL_DISPLAYS
        for column in (
            DosimetryColumn(
                display.corrected, "float64", f"{display.quantity} corrected by certificate; as stated without one"
            ),
            DosimetryColumn(
                display.uncertainty,
                "float64",
                "its relative standard uncertainty, common to the device"
                + (", with that of the size factor" if display.quantity in SIZE_FACTOR else ""),
            ),
        )
    ),
    DosimetryColumn(
        "calibration",
        "string",
        "id of the certificate, 'display tolerance' where none covers the day; by quantity where they differ",
    ),
)


class ExamCalibration(NamedTuple):
    """The certificates in force, asked for the device and the day of an exam."""

    certificates: CertificateBook
    device: str | None
    day: dt.date | None

    def covering(self, *quantities: str) -> Certificate | None:
        """Return the certificate of the first of the quantities that has one on the day."""
        for quantity in quantities if self.certificates.in_force else ():
            if (found := certificate_on(self.certificates, self.device, quantity, self.day)) is not None:
                return found
        return None

    def of_event(self, quantity: str, event: Event) -> tuple[float, float]:
        """Return factor and relative standard uncertainty of a displayed quantity of one exposure."""
        certified_by = _BY_QUANTITY[quantity].certified_by
        found = correction(certified_by[0], self.covering(*certified_by), _beam(1.0, event))
        return found.factor, found.relative

    def displayed(
        self, display: Display, displayed: float | None, exam: Exam, scans: Sequence[Event]
    ) -> CorrectedValue | NotEstimated:
        """Return a displayed value of an exam, corrected."""
        certificate = self.covering(*display.certified_by)
        beams = _beams(display.quantity, exam, scans) if certificate is not None else ()
        total = displayed if displayed is not None and hasattr(exam.totals, display.quantity) else None
        value = correct_beams(
            display.certified_by[0],
            displayed,
            certificate,
            beams,
            complete=total is None or abs(sum(one.share for one in beams) - total) <= SAME_TOTAL * total,
        )
        if isinstance(value, NotEstimated):
            return structs.replace(value, quantity=display.quantity)
        relative = value.relative_standard_uncertainty
        if display.quantity in SIZE_FACTOR:
            relative = of_product(relative, coefficients.component_uncertainties()["ssde-coefficient"].relative)
        return structs.replace(value, quantity=display.quantity, relative_standard_uncertainty=relative)


def exam_calibration(exam: Exam, device: str | None, certificates: CertificateBook) -> ExamCalibration:
    """Return what can be asked about an exam's certificates; ``device`` is the name under which they know it."""
    return ExamCalibration(certificates, device, exam.study_day)


def corrected_displays(
    exam: Exam,
    calibration: ExamCalibration,
    scans: Sequence[Event],
    displayed: Mapping[str, object] = NOTHING_DISPLAYED,
) -> dict[str, CorrectedValue]:
    """Return the displayed values of an exam, corrected, by quantity.

    Args:
        exam: the exam.
        calibration: its certificates.
        scans: its CT events that are scans of the patient.
        displayed: the columns of the mart that hold what it states; totals are taken from the exam where they lack.

    """
    found: dict[str, CorrectedValue] = {}
    for display in DISPLAYS.get(exam.kind, ()):
        stated = displayed.get(display.quantity, getattr(exam.totals, display.quantity, None))
        value = calibration.displayed(display, stated if isinstance(stated, float | int) else None, exam, scans)
        if isinstance(value, CorrectedValue):
            found[display.quantity] = value
    return found


def calibration_text(corrected: Mapping[str, CorrectedValue]) -> str | None:
    """Return what corrected the values: one certificate for all, else each quantity's; ``None`` for no values."""
    by_quantity = {name: value.certificate or DISPLAY_TOLERANCE for name, value in corrected.items()}
    if len(set(by_quantity.values())) <= 1:
        return next(iter(by_quantity.values()), None)
    return "; ".join(f"{name}: {certificate}" for name, certificate in by_quantity.items())


def certificate_named(text: str, quantity: str) -> str | None:
    """Return the certificate of a quantity from :func:`calibration_text`; ``None`` where it is not among them."""
    if not (parts := list(_OF_QUANTITY.finditer(text))):
        return text
    ends = [*(part.start() for part in parts[1:]), len(text)]
    named = {part["quantity"]: text[part.end() : end] for part, end in zip(parts, ends, strict=True)}
    return named.get(quantity)


def corrected_total(
    exam: Exam, quantity: str, device: str | None, certificates: CertificateBook
) -> CorrectedValue | NotEstimated:
    """Return a total of an exam corrected by the certificate of its device and day, exposure by exposure."""
    calibration = exam_calibration(exam, device, certificates)
    return calibration.displayed(_BY_QUANTITY[quantity], getattr(exam.totals, quantity), exam, exam.events)


def _beams(quantity: str, exam: Exam, scans: Sequence[Event]) -> list[Beam]:
    """Return the exposures that a displayed value consists of, each with what it adds to it."""
    if quantity in _MEANS_OF_SCANS:
        stated = [scan for scan in scans if getattr(scan, quantity) is not None]
        by_dlp = all(scan.dlp_mgy_cm is not None for scan in stated) and any(scan.dlp_mgy_cm for scan in stated)
        return [_beam(getattr(scan, quantity) * ((scan.dlp_mgy_cm or 0.0) if by_dlp else 1.0), scan) for scan in stated]
    if quantity == "entrance_air_kerma_mgy":
        entering = [event for event in exam.events if event.entrance_exposure_mgy is not None]
        return [_beam(1.0, max(entering, key=lambda event: event.entrance_exposure_mgy or 0.0))] if entering else []
    if quantity in _BREASTS:
        own = [event for event in exam.events if side_of(event) == _BREASTS[quantity]]
        return [_beam(event.agd_mgy or 0.0, event) for event in own]
    return [_beam(getattr(event, quantity) or 0.0, event) for event in exam.events]


def _beam(share: float, event: Event) -> Beam:
    return Beam(share, event.kvp, event.half_value_layer_mm, event.phantom_cm)
