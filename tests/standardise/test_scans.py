from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doseatlas.model import Code, Event
from doseatlas.standardise.scans import ct_scans, mean_by_dlp


def event(code: str | None, *, length: float | None = 300.0, protocol: str | None = None) -> Event:
    scheme, _, value = (code or "").partition(" ")
    stated = Code(value=value, scheme=scheme) if code else None
    return Event(acquisition_code=stated, scan_length_mm=length, protocol=protocol)


@pytest.mark.parametrize(
    ("found", "scan"),
    [
        (event("SRT P5-08001"), True),
        (event("SCT 116152004"), True),
        (event("DCM 113804"), True),
        (event("DCM 113807"), True),
        (event("DCM 113805"), False),
        (event("DCM 113806", length=10.0), False),
        (event("DCM 113806", length=None), False),
        (event("DCM 113806", length=160.0), True),
        (event("DCM 113804", length=10.0, protocol="Monitoring"), False),
        (event("SRT P5-08001", protocol="Abdomen after scout"), True),
        (event(None, protocol="Topogram 0.6"), False),
        (event(None, protocol="PreMonitoring"), False),
        (event(None, protocol="Thorax"), True),
        (event("99X 1"), True),
        (event(None), True),
    ],
)
def test_localisers_and_bolus_tracking_are_no_scans(found: Event, scan: bool) -> None:
    assert bool(ct_scans([found])) is scan


def test_a_mean_is_weighted_by_dlp_where_every_scan_states_it() -> None:
    scans = [Event(ctdi_vol_mgy=10.0, dlp_mgy_cm=300.0), Event(ctdi_vol_mgy=20.0, dlp_mgy_cm=100.0)]
    assert mean_by_dlp(scans, "ctdi_vol_mgy") == 12.5


def test_a_mean_has_equal_weights_where_a_dlp_is_missing() -> None:
    scans = [Event(ctdi_vol_mgy=10.0, dlp_mgy_cm=300.0), Event(ctdi_vol_mgy=20.0)]
    assert mean_by_dlp(scans, "ctdi_vol_mgy") == 15.0


def test_there_is_no_mean_of_nothing() -> None:
    assert mean_by_dlp([Event()], "ctdi_vol_mgy") is None


@given(st.lists(st.tuples(st.floats(0.1, 500), st.none() | st.floats(0, 9000)), min_size=1))
def test_a_mean_lies_between_the_least_and_the_largest(values: list[tuple[float, float | None]]) -> None:
    mean = mean_by_dlp([Event(ctdi_vol_mgy=ctdi, dlp_mgy_cm=dlp) for ctdi, dlp in values], "ctdi_vol_mgy")
    assert mean is not None
    assert min(ctdi for ctdi, _ in values) * 0.999999 <= mean <= max(ctdi for ctdi, _ in values) * 1.000001
