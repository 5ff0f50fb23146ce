"""Which exams get a peak skin dose, which columns does it fill, and which trigger does the exam reach?

The map is computed by ``dosimetry.skin`` with its default options, on a body of the patient's height and weight. It is
worth its time only above some kerma; an exam above that without a map says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from msgspec import structs

from doseatlas.dosimetry.calibration import CertificateBook
from doseatlas.dosimetry.correction import CorrectedValue
from doseatlas.dosimetry.estimate import DosimetryColumn, DosimetryError
from doseatlas.dosimetry.exam_calibration import corrected_total
from doseatlas.dosimetry.tables import TABLES
from doseatlas.model import DoseAtlasError, Exam, Patient, Record
from doseatlas.reference import number, read_rows

if TYPE_CHECKING:
    from doseatlas.dosimetry.skin import Mesh, SkinMap

KERMA = "reference_air_kerma_mgy"
FIELD_CM2 = 100.0
"""Field at the reference point that stands for the kerma where only the KAP is stated (NCRP Report 168)."""
_CHANGED = 1.1
"""Ratio of a patient's sizes in several exams beyond which one body for all is said to be an assumption."""
SKIN_DOSE_COLUMNS: tuple[DosimetryColumn, ...] = (
    DosimetryColumn(
        "peak_skin_dose_mgy",
        "float64",
        "projection, from the air kerma set by skin_dose_from_gy: calculated peak skin dose (docs/skin-dose.md)",
    ),
    DosimetryColumn("peak_skin_dose_uncertainty_mgy", "float64", "its standard uncertainty (k = 1)"),
    DosimetryColumn("peak_skin_dose_missing", "string", "why an exam of such a kerma has no peak skin dose"),
)


class SkinTrigger(Record, frozen=True, kw_only=True):
    """A value of a dose quantity from which an exam is notified or followed up; ``quantity`` is a column."""

    level: str
    quantity: str
    value: float
    meaning: str
    source: str
    verified: str


class SkinTotals(NamedTuple):
    """What triggers are compared with; units as in the columns of the same names, ``None`` where not known."""

    reference_air_kerma_mgy: float | None
    kap_gy_cm2: float | None
    fluoro_time_s: float | None
    peak_skin_dose_mgy: float | None


@cache
def skin_triggers() -> tuple[SkinTrigger, ...]:
    """Return the triggers, the highest level first."""
    path = TABLES / "skin_dose_triggers.csv"
    names = ("level", "quantity", "value", "meaning", "source", "verified")
    found = tuple(
        SkinTrigger(
            level=row["level"],
            quantity=row["quantity"],
            value=number(path, line, row, "value"),
            meaning=row["meaning"],
            source=row["source"],
            verified=row["verified"],
        )
        for line, row in read_rows(path, names)
    )
    unknown = {one.quantity for one in found} - set(SkinTotals._fields)
    if unknown:
        raise DosimetryError(f"{path} names {', '.join(sorted(unknown))}, which no exam is compared by.")
    return found


def triggers_reached(totals: SkinTotals) -> tuple[SkinTrigger, ...]:
    """Return the triggers that an exam reaches, the highest level first; one that is not stated reaches none."""
    return tuple(
        one for one in skin_triggers() if (value := getattr(totals, one.quantity)) is not None and value >= one.value
    )


def exam_skin_dose(
    exam: Exam, *, from_gy: float, device: str | None, certificates: CertificateBook, plausible: bool
) -> dict[str, object]:
    """Return the columns of ``SKIN_DOSE_COLUMNS`` for a merged exam, empty below the kerma asked for.

    Args:
        exam: the exam; implausible patient values already removed.
        from_gy: reference air kerma from which a map is computed; where only the KAP is stated, it over 100 cm2.
        device: the name under which certificates know the device.
        certificates: the certificates in force.
        plausible: whether the exam's dose values can be right; of one that cannot, there is no map.

    """
    row: dict[str, object] = dict.fromkeys(column.name for column in SKIN_DOSE_COLUMNS)
    if not needs_skin_map(exam, from_gy):
        return row
    if not plausible:
        row["peak_skin_dose_missing"] = "A dose value of the exam is out of physical range."
        return row
    try:
        answer = exam_skin_map(exam, device=device, certificates=certificates).answer
    except DoseAtlasError as error:
        row["peak_skin_dose_missing"] = str(error)
        return row
    row["peak_skin_dose_mgy"] = answer.peak_mgy
    row["peak_skin_dose_uncertainty_mgy"] = answer.peak_standard_uncertainty_mgy
    return row


def needs_skin_map(exam: Exam, from_gy: float) -> bool:
    """Return whether an exam's air kerma at the reference point, or its KAP where it states none, is worth a map."""
    if exam.kind != "projection":
        return False
    kerma, kap = exam.totals.reference_air_kerma_mgy, exam.totals.kap_gy_cm2
    if kerma is not None:
        return kerma >= 1000 * from_gy
    return kap is not None and kap >= from_gy * FIELD_CM2


def exam_skin_map(exam: Exam, *, device: str | None, certificates: CertificateBook) -> SkinMap:
    """Return the skin dose map of a merged exam; its kerma is corrected where a certificate covers its day.

    Raises:
        SkinDoseError: the exam states too little, or nothing hits the body.
        PhantomError: there is no body of the stated height and weight.

    """
    from doseatlas.dosimetry.skin import Options, skin_dose

    factor, relative = kerma_correction(exam, device, certificates)
    mesh, said = body_of([exam.patient])
    options = Options(kerma_factor=factor, kerma_relative_uncertainty=relative)
    found = skin_dose([structs.replace(exam, path=None)], mesh, options)  # a path may name the patient
    answer = structs.replace(found.answer, assumptions=(*said, *found.answer.assumptions))
    return found._replace(answer=answer)


def kerma_correction(
    exam: Exam, device: str | None, certificates: CertificateBook
) -> tuple[float | None, float | None]:
    """Return the factor that corrects an exam's air kerma and its relative standard uncertainty, if certified."""
    kerma = corrected_total(exam, KERMA, device, certificates)
    if isinstance(kerma, CorrectedValue) and kerma.certificate is not None and kerma.displayed:
        return kerma.value / kerma.displayed, kerma.relative_standard_uncertainty
    return None, None


def body_of(patients: Sequence[Patient], phantom: str = "human") -> tuple[Mesh, tuple[str, ...]]:
    """Return a body of the height and weight that the last of a patient's exams states, and what was assumed.

    Raises:
        PhantomError: there is no body of that height and weight.

    """
    from doseatlas.dosimetry.skin import HEIGHT_CM, SHAPES, WEIGHT_KG

    heights = [one.height_cm for one in patients if one.height_cm]
    weights = [one.weight_kg for one in patients if one.weight_kg]
    tall, heavy = (heights or [HEIGHT_CM])[-1], (weights or [WEIGHT_KG])[-1]
    said = []
    if not heights or not weights:
        said.append(f"The body is of {tall:g} cm and {heavy:g} kg; not both are stated.")
    for values, name, unit in ((heights, "height", "cm"), (weights, "weight", "kg")):
        if values and max(values) > _CHANGED * min(values):
            said.append(
                f"The exams state a {name} from {min(values):g} to {max(values):g} {unit}; the last, {values[-1]:g} "
                f"{unit}, stands for all."
            )
    return SHAPES[phantom](tall, heavy), tuple(said)
