"""Which exams are of patients who are stated to be pregnant, or possibly so?

They are listed with what the devices state. The dose to the embryo or foetus is not computed: no table of conversion
coefficients with a source that was read is part of this program, and none is assumed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from doseatlas.analysis.results import PregnantExam

if TYPE_CHECKING:
    import ibis

MOST_LISTED = 50
PREGNANT = ("possibly pregnant", "definitely pregnant")
_COLUMNS = (
    "exam_id",
    "study_date",
    "device",
    "procedure",
    "pregnancy_status",
    "dlp_mgy_cm",
    "ctdi_vol_mgy",
    "phantom_cm",
    "kap_gy_cm2",
    "administered_activity_mbq",
)


class PregnantExams(NamedTuple):
    """The latest such exams, the latest first, and how many there are."""

    latest: tuple[PregnantExam, ...]
    total: int


def pregnant_exams(exams: ibis.Table, *, most: int = MOST_LISTED) -> PregnantExams:
    """Return the exams of patients stated pregnant or possibly so, implausible ones too."""
    found = exams.filter(exams.pregnancy_status.isin(PREGNANT))
    latest = found.order_by(found.study_date.desc(nulls_first=False), found.exam_id).limit(most).select(*_COLUMNS)
    count = int(found.count().to_pyarrow().as_py())
    return PregnantExams(tuple(PregnantExam(**row) for row in latest.to_pyarrow().to_pylist()), count)
