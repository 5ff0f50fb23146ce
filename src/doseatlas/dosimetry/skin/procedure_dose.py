"""What did one of several procedures give to a patient's skin? A record only, which loads nothing else."""

from __future__ import annotations

import datetime as dt

from doseatlas.model import Record


class ProcedureDose(Record, frozen=True, kw_only=True):
    """A procedure of a cumulative map: what it states, its own peak, and its part of the dose at the sum's peak.

    A procedure that is not in the map says why in ``missing``.
    """

    exam_id: str
    study_date: dt.date | None = None
    device: str | None = None
    procedure: str | None = None
    reference_air_kerma_mgy: float | None = None
    kap_gy_cm2: float | None = None
    peak_mgy: float | None = None
    at_peak_mgy: float | None = None
    missing: str | None = None
