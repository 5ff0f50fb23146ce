"""Real objects of many makers: what each is read as, with values taken from it with pydicom; and what they taught."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pydicom
import pytest

from doseatlas.dicom import read_bytes, read_paths
from doseatlas.model import Event, Exam

# file -> kind, number of events, stated totals that name what the object is about (in our units)
REPORTS: dict[str, tuple[str, int, dict[str, float]]] = {
    "CT-ESR-GE_VCT.dcm": ("ct", 27, {"dlp_mgy_cm": 2002.39, "event_count": 27}),
    "CT-RDSR-GEPixelMed.dcm": ("ct", 2, {"dlp_mgy_cm": 586.34}),
    "CT-RDSR-GE_LightSpeedVCT.dcm": ("ct", 3, {"dlp_mgy_cm": 1344.8}),
    "CT-RDSR-Philips_Ingenuity-same-dose-other-encoding.dcm": ("ct", 3, {"dlp_mgy_cm": 802.9}),
    "CT-RDSR-Philips_Ingenuity.dcm": ("ct", 3, {"dlp_mgy_cm": 802.9}),
    "CT-RDSR-Siemens-Continued-1.dcm": ("ct", 2, {"dlp_mgy_cm": 60.17}),
    "CT-RDSR-Siemens-Continued-2.dcm": ("ct", 2, {"dlp_mgy_cm": 56.44}),
    "CT-RDSR-Siemens_Flash-TAP-SS.dcm": ("ct", 4, {"dlp_mgy_cm": 724.52}),
    "CT-RDSR-ToshibaPixelMed.dcm": ("ct", 3, {"dlp_mgy_cm": 349.7}),
    "CT-RDSR-Toshiba_DoseCheck.dcm": ("ct", 2, {"dlp_mgy_cm": 502.4}),
    "CT-minimal-in-comprehensive-sr.dcm": ("ct", 2, {"dlp_mgy_cm": 450.0}),
    "DX-RDSR-Canon_CXDI.dcm": ("projection", 1, {"kap_gy_cm2": 0.107}),
    "DX-RDSR-Canon_CXDI_noDAP.dcm": ("projection", 2, {"acquisition_time_s": 0.0218}),
    "ESR_non-dose.dcm": ("not-dose", 0, {}),
    "Enhanced-RDSR-minimal.dcm": ("projection", 1, {"kap_gy_cm2": 22.5}),
    "MG-RDSR-GEPristina-2D.dcm": ("mammography", 8, {"agd_left_mgy": 0.0, "agd_right_mgy": 9.68}),
    "MG-RDSR-Hologic_2D.dcm": ("mammography", 2, {"agd_left_mgy": 1.3, "agd_right_mgy": 1.28}),
    "MG-RDSR-Hologic_mix.dcm": ("mammography", 7, {"agd_left_mgy": 0.87, "agd_right_mgy": 2.71}),
    "NM-CT-RDSR-Siemens.dcm": ("ct", 2, {"dlp_mgy_cm": 667.72}),
    "NM-RRDSR-Siemens.dcm": ("nuclear", 1, {"administered_activity_mbq": 394.0}),
    "RF-ESR-Siemens-Varic.dcm": ("projection", 0, {"kap_gy_cm2": 0.2359, "fluoro_time_s": 34.427, "event_count": 0}),
    "RF-No-kVp-and-others.dcm": ("projection", 20, {"kap_gy_cm2": 0.2954178618, "fluoro_time_s": 19.4}),
    "RF-RDSR-Canon-Alphenix-rotational.dcm": (
        "projection",
        49,
        {"kap_gy_cm2": 3.1522, "reference_air_kerma_mgy": 12.722, "radiographic_frames": 217},
    ),
    "RF-RDSR-GE-OECEliteMiniView.dcm": ("projection", 22, {"kap_gy_cm2": 0.013316568, "fluoro_time_s": 11.18}),
    "RF-RDSR-Philips_Allura-1event.dcm": ("projection", 1, {"kap_gy_cm2": 0.023}),
    "RF-RDSR-Philips_Allura.dcm": ("projection", 3, {"kap_gy_cm2": 1.5356864017, "fluoro_time_s": 13.0}),
    "RF-RDSR-Philips_AlluraClarity-biplane.dcm": ("projection", 25, {"kap_gy_cm2": 0.078391324289}),
    "RF-RDSR-Philips_Azurion.dcm": (
        "projection",
        89,
        {"kap_gy_cm2": 24.7409, "reference_air_kerma_mgy": 548.37, "fluoro_time_s": 567.922},
    ),
    "RF-RDSR-Siemens-Zee.dcm": ("projection", 8, {"kap_gy_cm2": 0.16, "reference_air_kerma_mgy": 2.52}),
    "RF-RDSR-Siemens_Artis-21events.dcm": ("projection", 21, {"kap_gy_cm2": 0.0937, "fluoro_time_s": 18.0}),
    "RF-RDSR-Siemens_Artis-24events.dcm": ("projection", 24, {"kap_gy_cm2": 2.7902, "fluoro_time_s": 74.0}),
    "RF-RDSR-unknown-maker.dcm": ("projection", 21, {"kap_gy_cm2": 0.0937}),
}

# file -> kind, values of its first event (images of one exposure or administration)
IMAGES: dict[str, tuple[str, dict[str, object]]] = {
    "1.dcm": ("nuclear", {"administered_activity_mbq": 178.34001159668}),
    "2.dcm": ("nuclear", {"administered_activity_mbq": 173.52999877929688}),
    "2020-08-12-Christopher.dcm": ("ct", {"ctdi_vol_mgy": 0.0781781, "kvp": 100.0}),
    "2020-09-11-Christopher-ELSCINT1-Raw.dcm": ("ct", {"ctdi_vol_mgy": 13.175257731958762, "kvp": 120.0}),
    "2020-09-12-ELSCINT1-PMSCT_RLE1.dcm": ("ct", {"ctdi_vol_mgy": 7.0, "kvp": 120.0}),
    "2020-11-16-SalimKanounAnonymization.dcm": ("nuclear", {"administered_activity_mbq": 290.0}),
    "2021-02-19-MalaterreCP246.dcm": ("nuclear", {"administered_activity_mbq": 388.5}),
    "CR000000.dcm": ("projection", {"kap_gy_cm2": 1.758, "kvp": 73.0, "exposure_mas": 35.0}),
    "CT-SC-Philips_Brilliance16P.dcm": ("ct", {"kvp": 120.0, "scan_length_mm": 700.0, "ctdi_vol_mgy": 0.0}),
    "DX-Im-Carestream_DR7500-1.dcm": ("projection", {"kap_gy_cm2": 1.1013, "source_to_detector_mm": 1150.0}),
    "DX-Im-Carestream_DRX.dcm": ("projection", {"kap_gy_cm2": 0.0633, "exposure_mas": 1.0}),
    "DX-Im-Date-Missing.dcm": ("projection", {"kap_gy_cm2": 1.1013}),
    "DX-Im-GE_XR220-1.dcm": ("projection", {"kap_gy_cm2": 0.041, "exposure_mas": 1.04}),
    "FreezePattern.dcm": ("ct", {"ctdi_vol_mgy": 14.435610656603773}),
    "GH1376.dcm": ("mammography", {"agd_mgy": 2.02, "entrance_exposure_mgy": 6.72, "laterality": "R", "view": "MLO"}),
    "GH1728.dcm": ("ct", {"ctdi_vol_mgy": 56.01123}),
    "GH178.dcm": ("ct", {"acquisition_type": "Constant Angle Acquisition", "phantom_cm": 32}),
    "GH184.dcm": ("nuclear", {"administered_activity_mbq": 474.592928}),
    "GH342.dcm": ("ct", {"ctdi_vol_mgy": 0.157}),
    "GH610.dcm": ("nuclear", {"administered_activity_mbq": 422.895936}),
    "IM-0001-0001-0001.dcm": ("ct", {"ctdi_vol_mgy": 9.696969696969697}),
    "Issue94.dcm": ("nuclear", {"administered_activity_mbq": 153.9}),
    "MG-Im-GE-SenDS-scaled.dcm": ("mammography", {"agd_mgy": 1.373, "entrance_exposure_mgy": 5.071}),
    "MG-Im-GE_Seno_1_ForPresentation.dcm": ("mammography", {"agd_mgy": 0.547, "laterality": "L", "view": "CC"}),
    "MG-Im-GE_Seno_1_ForProcessing.dcm": ("mammography", {"agd_mgy": 0.547, "compressed_thickness_mm": 20.0}),
    "NM-NmIm-Siemens-s1-1.dcm": ("nuclear", {"administered_activity_mbq": 320.0, "radiopharmaceutical": "Sestamibi"}),
    "NM-PetIm-GE.dcm": ("nuclear", {"administered_activity_mbq": 221.596288}),
    "NM-PetIm-Siemens-2.dcm": ("nuclear", {"administered_activity_mbq": 394.0}),
    "NM-PetIm-Siemens.dcm": ("nuclear", {"administered_activity_mbq": 394.0}),
    "OutOfBoundsOverlay.dcm": ("mammography", {"agd_mgy": 1.1805, "laterality": "L"}),
    "PrivateMDNTags.dcm": ("nuclear", {"administered_activity_mbq": 90.1}),
    "TEST_1_study_1234.dcm": ("ct", {"ctdi_vol_mgy": 2.8257057391304348, "phantom_cm": 32}),
    "TEST_1_study_2345.dcm": ("ct", {"ctdi_vol_mgy": 2.8257057391304348, "phantom_cm": 32}),
    "ct_scout_01.dcm": ("ct", {"ctdi_vol_mgy": 0.04548907113457111, "phantom_cm": 32}),
    "ct_scout_02.dcm": ("ct", {"ctdi_vol_mgy": 0.04548907113457111, "phantom_cm": 32}),
}
REFUSED_IMAGES = {"GH179A.dcm": "truncated", "GH179B.dcm": "truncated"}  # a damaged length hides the end of both
WITHOUT_DOSE = {
    "1.2.840.10008.1.2.1.99.dcm",
    "1.2.840.10008.1.2.4.70.dcm",
    "1.2.840.10008.1.2.4.81.dcm",
    "2019-06-17-VedranZdesic.dcm",
    "2024-05-30-GuillemVela.dcm",
    "5.dcm",
    "CR-ModalitySequenceLUT.dcm",
    "CT1_J2KI.dcm",
    "GH1308.dcm",
    "HasFragmentSequence.dcm",
    "IM-0001-0001.dcm",
    "IM0.dcm",
    "IM2263.dcm",
    "Issue56-NoPixelData.dcm",
    "KarstenHilbertRF.dcm",
    "MarekLatin2.dcm",
    "Monochrome1-Jpeg.dcm",
    "SignedCT.dcm",
}

# file -> kind, or the code of its refusal
BROKEN = {
    "2017-06-27-XSSInjection.dcm": "not-dose",
    "2026-03-16-OD-OF-OL.dcm": "not-dose",
    "2026-05-26-oob-monochrome-65535.dcm": "not-dose",
    "ExplVR_BigEnd.dcm": "not-dose",
    "ExplVR_LitEndNoMeta.dcm": "not-dose",
    "GH1146.dcm": "not-dose",
    "Image2.dcm": "not-dose",
    "Image3.dcm": "not-dose",
    "JPEG2000-embedded-sequence-delimiter.dcm": "not-dose",
    "Tag-0040-A170-VR-CS.dcm": "not-dose",
    "UN_sequence.dcm": "not-dose",
    "UnknownSopClassUid.dcm": "not-dose",
    "badVR.dcm": "not-dose",
    "bad_sequence.dcm": "ct",
    "chrSQEncoding1.dcm": "not-dose",
    "ct_as_enhanced_sr.dcm": "ct",
    "ct_ctdivol_in_Gy_code.dcm": "ct",
    "ct_deflated.dcm": "ct",
    "ct_empty_content.dcm": "not-dose",
    "ct_huge.dcm": "impossible-value",
    "ct_localised_meanings.dcm": "ct",
    "ct_no_uids.dcm": "ct",
    "ct_no_units.dcm": "ct",
    "ct_truncated_last_bytes.dcm": "truncated",
    "deflated.dcm": "not-dose",
    "empty.dcm": "empty",
    "empty_charset_LEI.dcm": "not-dose",
    "emri_small_big_endian.dcm": "not-dose",
    "html.dcm": "not-dicom",
    "image_dfl.dcm": "not-dose",
    "invalid-vr-length-test.dcm": "not-dose",
    "meta_missing_tsyntax.dcm": "not-dose",
    "nested_priv_SQ.dcm": "not-dose",
    "no_meta.dcm": "not-dicom",
    "preamble_only.dcm": "empty",
    "priv_SQ.dcm": "not-dose",
    "rf_bitflips.dcm": "truncated",
    "rf_truncated_header.dcm": "damaged",
    "rtplan_truncated.dcm": "truncated",
    "sr_nested_150.dcm": "not-dose",
    "sr_nested_400.dcm": "too-deep",
    "undefined-length-test.dcm": "not-dose",
    "zero-length-US.dcm": "truncated",
}


@cache
def read(path: Path) -> Exam:
    return read_bytes(path.read_bytes(), path=path.name).exam


def codes(exam: Exam) -> set[str]:
    return {note.code for note in exam.notes}


# ---- every file ----


def test_every_file_of_the_corpus_is_in_a_table(corpus: Path) -> None:
    assert {path.name for path in (corpus / "rdsr").iterdir()} == REPORTS.keys()
    images = {path.name for path in (corpus / "images").iterdir()}
    assert images == IMAGES.keys() | WITHOUT_DOSE | REFUSED_IMAGES.keys()
    assert {path.name for path in (corpus / "broken").iterdir()} == BROKEN.keys()


@pytest.mark.parametrize("name", REPORTS)
def test_reports_are_read_with_their_stated_totals(corpus: Path, name: str) -> None:
    kind, events, totals = REPORTS[name]
    exam = read(corpus / "rdsr" / name)
    assert (exam.kind, len(exam.events)) == (kind, events)
    for field, value in totals.items():
        assert getattr(exam.totals, field) == pytest.approx(value, rel=1e-9), field
    if kind != "not-dose":
        assert exam.source == "dose-report"
        assert exam.study_date
        assert exam.device.manufacturer


@pytest.mark.parametrize("name", IMAGES)
def test_images_are_read_with_the_dose_of_their_header(corpus: Path, name: str) -> None:
    kind, values = IMAGES[name]
    exam = read(corpus / "images" / name)
    assert (exam.kind, exam.source) == (kind, "image")
    for field, value in values.items():
        found = getattr(exam.events[0], field)
        assert found == (pytest.approx(value, rel=1e-9) if isinstance(value, float) else value), field


@pytest.mark.parametrize("name", sorted(WITHOUT_DOSE))
def test_images_without_dose_are_told_so(corpus: Path, name: str) -> None:
    exam = read(corpus / "images" / name)
    assert (exam.kind, exam.error, exam.events) == ("not-dose", None, ())


@pytest.mark.parametrize("name", [*BROKEN, *REFUSED_IMAGES])
def test_broken_files_are_read_ignored_or_refused_with_a_sentence(corpus: Path, name: str) -> None:
    folder = "broken" if name in BROKEN else "images"
    exam = read(corpus / folder / name)
    assert (exam.error.code if exam.error else exam.kind) == {**BROKEN, **REFUSED_IMAGES}[name]
    if exam.error:
        assert exam.kind == "refused"
        assert exam.error.message.endswith(".")
        assert "does not know" not in exam.error.message


def test_reading_the_folders_gives_every_object_once_in_a_stable_order(corpus: Path) -> None:
    folders = [corpus / "rdsr", corpus / "other", corpus / "ct-series"]
    paths = [reading.exam.path for reading in read_paths(folders)]
    assert paths == [reading.exam.path for reading in read_paths(folders)]
    assert len(paths) == len(REPORTS) + 1 + 34
    assert paths[: len(REPORTS)] == sorted(paths[: len(REPORTS)], key=str)


def test_slices_of_a_scanner_that_states_no_dose_are_not_dose(corpus: Path) -> None:
    assert {reading.exam.kind for reading in read_paths([corpus / "ct-series"])} == {"not-dose"}


def test_a_dump_of_tags_in_json_is_read(corpus: Path) -> None:
    exam = read(corpus / "other" / "CT-RDSR-as-tags.json")
    assert (exam.kind, exam.totals.dlp_mgy_cm, exam.totals.event_count) == ("ct", 700, 2)
    # Its events add up to 740, and its phantom is a code that no template has.
    assert {"total-differs-from-events", "unknown-code"} <= codes(exam)


# ---- each event, as pydicom shows it ----

QUANTITIES: dict[str, tuple[str, dict[str, float]]] = {
    "113838": ("dlp_mgy_cm", {"mGy.cm": 1, "mGycm": 1}),
    "113830": ("ctdi_vol_mgy", {"mGy": 1}),
    "122130": ("kap_gy_cm2", {"Gy.m2": 1e4, "Gym2": 1e4, "Gy.cm2": 1}),
    "113738": ("reference_air_kerma_mgy", {"Gy": 1e3, "mGy": 1}),
    "111631": ("agd_mgy", {"mGy": 1}),
    "113507": ("administered_activity_mbq", {"MBq": 1}),
    "113825": ("scan_length_mm", {"mm": 1}),
    "113750": ("source_to_detector_mm", {"mm": 1}),
    "112011": ("primary_angle_deg", {"deg": 1}),
    "113768": ("pulses", {"1": 1}),
    "111633": ("compressed_thickness_mm", {"mm": 1}),
}
EVENTS = ("113706", "113819", "113502")


def walked(item: Any) -> Iterator[Any]:
    yield item
    for child in item.get("ContentSequence", []):
        yield from walked(child)


def code_of(item: Any) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeValue) if item.get("ConceptNameCodeSequence") else ""


def stated_by_pydicom(event: Any) -> dict[str, float]:
    values: dict[str, float] = {}
    for item in walked(event):
        measured = item.get("MeasuredValueSequence")
        if item.get("ValueType") == "NUM" and measured and code_of(item) in QUANTITIES:
            field, factors = QUANTITIES[code_of(item)]
            unit = measured[0].MeasurementUnitsCodeSequence[0].CodeValue
            values.setdefault(field, float(measured[0].NumericValue) * factors[unit])
    return values


@pytest.mark.parametrize("name", REPORTS)
def test_every_event_states_what_pydicom_shows(corpus: Path, name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(corpus / "rdsr" / name, force=True)
        expected = [stated_by_pydicom(item) for item in walked(dataset) if code_of(item) in EVENTS]
    events = read(corpus / "rdsr" / name).events
    assert len(events) == len(expected)
    for event, values in zip(events, expected, strict=True):
        for field, _ in QUANTITIES.values():
            found = getattr(event, field)
            assert found == (pytest.approx(values[field], rel=1e-9) if field in values else None), field


# ---- what these files taught (corpus/README.md) ----


def test_lesson_1_spellings_of_units_and_exponents_of_three_digits(corpus: Path) -> None:
    zee = read(corpus / "rdsr" / "RF-RDSR-Siemens-Zee.dcm")  # 1.6e-005 Gym2
    assert zee.totals.kap_gy_cm2 == 0.16
    azurion = read(corpus / "rdsr" / "RF-RDSR-Philips_Azurion.dcm").events[0]  # 4.05878e-006 Gy.m2, uA.s
    assert azurion.kap_gy_cm2 == 0.0405878
    assert azurion.exposure_mas == 0.375967
    flash = read(corpus / "rdsr" / "CT-RDSR-Siemens_Flash-TAP-SS.dcm")  # mGycm
    assert flash.events[3].dlp_mgy_cm == 708.2


def test_lesson_2_philips_ingenuity_states_milliseconds_as_seconds(corpus: Path) -> None:
    exam = read(corpus / "rdsr" / "CT-RDSR-Philips_Ingenuity.dcm")
    assert [event.exposure_time_ms for event in exam.events] == [1000, 1074, 1076]
    assert "vendor-correction" in codes(exam)


def test_lesson_3_scouts_without_dose_and_scans_on_two_phantoms(corpus: Path) -> None:
    scouts = read(corpus / "rdsr" / "CT-ESR-GE_VCT.dcm").events[:4]
    assert {event.acquisition_type for event in scouts} == {"Constant Angle Acquisition"}
    assert {(event.ctdi_vol_mgy, event.dlp_mgy_cm) for event in scouts} == {(None, None)}
    exam = read(corpus / "rdsr" / "CT-RDSR-Philips_Ingenuity.dcm")
    assert {event.phantom_cm for event in exam.events} == {16, 32}
    assert "ctdi" not in "".join(exam.totals.__struct_fields__)


def test_lesson_4_philips_events_add_up_to_less_than_the_stated_total(corpus: Path) -> None:
    exam = read(corpus / "rdsr" / "RF-RDSR-Philips_AlluraClarity-biplane.dcm")
    assert exam.totals.kap_gy_cm2 == pytest.approx(0.078391324289)
    assert math.fsum(event.kap_gy_cm2 or 0 for event in exam.events) == pytest.approx(0.0659055, rel=1e-5)
    assert any("-15.9 %" in note.message for note in exam.notes if note.code == "total-differs-from-events")


def test_lesson_5_two_planes_one_of_which_is_all_zero(corpus: Path) -> None:
    exam = read(corpus / "rdsr" / "RF-RDSR-Philips_AlluraClarity-biplane.dcm")
    assert exam.totals.fluoro_time_s == 37
    assert exam.totals.radiographic_frames == 15
    assert {event.plane for event in exam.events} == {"A"}


def test_lesson_6_items_of_a_private_scheme_do_not_disturb(corpus: Path) -> None:
    event = read(corpus / "rdsr" / "RF-RDSR-Philips_Azurion.dcm").events[0]
    assert (event.table_height_mm, event.pulses, len(event.filters)) == (935, 60, 2)
    assert event.filters[1].material == "Copper or Copper compound"


def test_lesson_7_one_dose_in_two_encodings_reads_the_same(corpus: Path) -> None:
    one = read(corpus / "rdsr" / "CT-RDSR-Philips_Ingenuity.dcm")
    other = read(corpus / "rdsr" / "CT-RDSR-Philips_Ingenuity-same-dose-other-encoding.dcm")
    assert one.sop_instance_uid == other.sop_instance_uid
    assert (one.totals, one.events) == (other.totals, other.events)


def test_lesson_8_odd_patients_are_read_not_refused(corpus: Path) -> None:
    assert read(corpus / "rdsr" / "RF-RDSR-Siemens_Artis-21events.dcm").patient.age_years == 162
    old = read(corpus / "rdsr" / "RF-RDSR-Siemens_Artis-24events.dcm").patient
    assert (old.age_years, old.sex) == (106, None)
    weightless = read(corpus / "rdsr" / "RF-RDSR-Philips_Allura-1event.dcm")
    assert weightless.patient.weight_kg is None
    assert "patient-value-not-stated" in codes(weightless)


def test_lesson_9_tomosynthesis_slices_are_ct_images_with_the_dose_in_dgy(corpus: Path) -> None:
    hologic = read(corpus / "images" / "GH1376.dcm")
    assert (hologic.modality, hologic.kind, hologic.totals.agd_right_mgy) == ("CT", "mammography", 2.02)
    assert read(corpus / "images" / "OutOfBoundsOverlay.dcm").events[0].agd_mgy == 1.1805


def test_lesson_10_the_dose_screen_of_ge_and_philips_is_read_from_its_text(corpus: Path) -> None:
    ge = read(corpus / "images" / "GH178.dcm")
    assert ge.totals.dlp_mgy_cm == 1748.68
    assert [(event.dlp_mgy_cm, event.ctdi_vol_mgy) for event in ge.events] == [
        (None, None),
        (None, None),
        (769.67, 15.43),
        (979.01, 19.53),
    ]
    philips = read(corpus / "images" / "CT-SC-Philips_Brilliance16P.dcm")
    assert philips.totals.dlp_mgy_cm == 1102.4
    assert [event.dlp_mgy_cm for event in philips.events] == [None, 196.0, 248.6, 657.9]
    assert [event.kvp for event in philips.events] == [120, 120, 120, 120]
    assert codes(ge) & codes(philips) >= {"dose-from-text"}


def test_lesson_11_a_study_continued_later_sends_two_reports_of_their_own_events(corpus: Path) -> None:
    first, second = (read(corpus / "rdsr" / f"CT-RDSR-Siemens-Continued-{n}.dcm") for n in (1, 2))
    assert first.study_instance_uid == second.study_instance_uid
    uids: list[set[str | None]] = [{event.event_uid for event in exam.events} for exam in (first, second)]
    assert uids[0].isdisjoint(uids[1])


def test_lesson_12_nests_too_deep_for_other_readers_are_refused_or_read(corpus: Path) -> None:
    assert read(corpus / "broken" / "sr_nested_400.dcm").kind == "refused"
    assert read(corpus / "broken" / "sr_nested_150.dcm").kind == "not-dose"


# ---- what the derived objects are for ----


def plain_events(corpus: Path) -> tuple[Event, ...]:
    return read(corpus / "rdsr" / "CT-RDSR-Philips_Ingenuity.dcm").events


@pytest.mark.parametrize("name", ["ct_as_enhanced_sr.dcm", "ct_deflated.dcm", "ct_localised_meanings.dcm"])
def test_another_class_encoding_or_language_changes_no_value(corpus: Path, name: str) -> None:
    exam = read(corpus / "broken" / name)
    assert exam.totals.dlp_mgy_cm == 802.9
    for ours, plain in zip(exam.events, plain_events(corpus), strict=True):
        assert (ours.ctdi_vol_mgy, ours.dlp_mgy_cm, ours.phantom_cm) == (
            plain.ctdi_vol_mgy,
            plain.dlp_mgy_cm,
            plain.phantom_cm,
        )


def test_without_units_no_number_is_used_and_notes_say_so(corpus: Path) -> None:
    exam = read(corpus / "broken" / "ct_no_units.dcm")
    assert exam.totals.dlp_mgy_cm is None
    assert {event.dlp_mgy_cm for event in exam.events} == {None}
    assert {event.phantom_cm for event in exam.events} == {16, 32}
    assert "unit-missing" in codes(exam)


def test_a_ctdi_vol_in_gray_is_a_thousand_times_that_in_milligray(corpus: Path) -> None:
    found = read(corpus / "broken" / "ct_ctdivol_in_Gy_code.dcm").events
    for event, plain in zip(found, plain_events(corpus), strict=True):
        assert event.ctdi_vol_mgy == pytest.approx(1000 * (plain.ctdi_vol_mgy or math.nan))


def test_a_refused_object_still_says_whose_study_and_device_it_was(corpus: Path) -> None:
    exam = read(corpus / "broken" / "ct_huge.dcm")
    assert exam.device.model == "Ingenuity CT"
    assert exam.study_instance_uid
    assert exam.study_date == "2017-08-25"
    assert exam.error
    assert "1e+308" in exam.error.message
