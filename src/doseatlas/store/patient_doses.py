"""What effective dose has a patient received over the years, by what the store holds of them?"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from doseatlas.dosimetry import CumulativeDose, Estimate, ExamDose, NotEstimated, cumulative_dose
from doseatlas.model import StoreError

if TYPE_CHECKING:
    from doseatlas.store.store import Store

_QUANTITY = "effective_dose_msv"
_WITHOUT = "no-effective-dose:"
UNDATED = dt.date.min


def patient_doses(
    store: Store, pseudonym: str, *, since: dt.date | None = None, until: dt.date | None = None
) -> CumulativeDose:
    """Return a patient's effective doses with their exams; those without a dose, a plausible one or a date only listed.

    ``since`` and ``until`` are inclusive days of study; exams without a date are listed in any period.

    Raises:
        StoreError: the store holds no exam of such a patient, or cannot be read.

    """
    rows = store.rows_of_patient(pseudonym)
    if not rows:
        raise StoreError(
            f"The store holds no exam of a patient {pseudonym!r}. With pseudonyms, that is the pseudonym, not the ID."
        )
    doses = [_exam_dose(row) for row in rows]
    first, last = since or UNDATED, until or dt.date.max
    return cumulative_dose(one for one in doses if one.day == UNDATED or first <= one.day <= last)


def _exam_dose(row: dict[str, Any]) -> ExamDose:
    day = dt.date.fromisoformat(row["study_date"]) if "study_date" in row else None
    return ExamDose(exam_id=row["exam_id"], day=day or UNDATED, procedure=row.get("procedure"), dose=_dose(row, day))


def _dose(row: dict[str, Any], day: dt.date | None) -> Estimate | NotEstimated:
    value = row.get(_QUANTITY)
    if day is None:
        return NotEstimated(quantity=_QUANTITY, code="not-stated", message="The exam has no date.")
    if not row["plausible"]:
        message = "A dose value of the exam is out of physical range."
        return NotEstimated(quantity=_QUANTITY, code="not-physical", message=message)
    if value is None:
        codes = [code.removeprefix(_WITHOUT) for code in row.get("dosimetry_flags", ()) if code.startswith(_WITHOUT)]
        code = codes[0] if codes else "no-coefficient"
        return NotEstimated(quantity=_QUANTITY, code=code, message=f"There is no effective dose of this exam ({code}).")
    return Estimate(
        quantity=_QUANTITY,
        value=value,
        standard_uncertainty=row["effective_dose_uncertainty_msv"],
        method="as kept in the store",
        source="docs/dosimetry.md",
        coefficient_set=row.get("effective_dose_set"),
    )
