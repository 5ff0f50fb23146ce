"""Which administrations of a radiopharmaceutical had a CT in the same study (PET/CT, SPECT/CT)?

Both parts are exams of their own, with their own typical values and reference levels; here they stand side by side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from doseatlas.analysis.results import HybridExam

if TYPE_CHECKING:
    import ibis

MOST_LISTED = 50
_NUCLEAR = (
    "exam_id",
    "study_date",
    "device",
    "procedure",
    "radiopharmaceutical",
    "administered_activity_mbq",
    "effective_dose_msv",
    "effective_dose_set",
)
_CT = {
    "ct_exam_id": "exam_id",
    "ct_procedure": "procedure",
    "ct_dlp_mgy_cm": "dlp_mgy_cm",
    "ct_ctdi_vol_mgy": "ctdi_vol_mgy",
    "ct_phantom_cm": "phantom_cm",
    "ct_effective_dose_msv": "effective_dose_msv",
    "ct_effective_dose_set": "effective_dose_set",
}


class HybridExams(NamedTuple):
    """The latest such exams, the latest first, and how many there are."""

    latest: tuple[HybridExam, ...]
    total: int


def hybrid_exams(exams: ibis.Table, everything: ibis.Table, *, most: int = MOST_LISTED) -> HybridExams:
    """Return the nuclear medicine exams that have a CT in their study.

    Args:
        exams: the exams that are meant.
        everything: the mart, whose CT exams may be of another device or procedure than those meant.
        most: how many are listed.

    """
    nuclear = exams.filter((exams.kind == "nuclear") & exams.plausible).select("study_id", *_NUCLEAR)
    scans = everything.filter((everything.kind == "ct") & everything.plausible)
    ct = scans.select(ct_study_id="study_id", **_CT)
    found = nuclear.join(ct, nuclear.study_id == ct.ct_study_id)
    latest = found.order_by(found.study_date.desc(nulls_first=False), found.exam_id).limit(most)
    rows = latest.select(*_NUCLEAR, *_CT).to_pyarrow().to_pylist()
    return HybridExams(tuple(HybridExam(**row) for row in rows), int(found.count().to_pyarrow().as_py()))
