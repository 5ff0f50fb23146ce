"""Dose in the headers of images and in procedure steps, each made with pydicom."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from doseatlas.dicom import read_bytes
from doseatlas.model import Exam, Reading

HEAD_PHANTOM = ("113690", "DCM")


def made(**attributes: Any) -> Dataset:
    dataset = Dataset()
    for name, value in attributes.items():
        setattr(dataset, name, value)
    return dataset


def coded(value: str, scheme: str, meaning: str = "x") -> Dataset:
    return made(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def reading(**attributes: Any) -> Reading:
    dataset = made(StudyDate="20250102", StudyInstanceUID="1.2", SOPInstanceUID="1.2.3", **attributes)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, dataset, implicit_vr=False, little_endian=True)
    return read_bytes(stream.getvalue())


def read(**attributes: Any) -> Exam:
    return reading(**attributes).exam


def codes(exam: Exam) -> list[str]:
    return [note.code for note in exam.notes]


# ---- radiography, angiography, mammography ----


@pytest.mark.parametrize("modality", ["CR", "DX", "PX", "IO", "XA", "RF"])
def test_the_area_dose_product_of_a_header_is_in_dgy_cm2(modality: str) -> None:
    exam = read(Modality=modality, ImageAndFluoroscopyAreaDoseProduct="12.5", EntranceDoseInmGy="0.4", KVP="70")
    assert (exam.kind, exam.modality, exam.source) == ("projection", modality, "image")
    event = exam.events[0]
    assert (event.kap_gy_cm2, event.entrance_exposure_mgy, event.kvp) == (1.25, 0.4, 70)
    assert exam.totals.kap_gy_cm2 == 1.25
    assert codes(exam) == ["total-from-events"]


def test_the_entrance_dose_in_whole_dgy_counts_only_where_it_says_something() -> None:
    assert read(Modality="DX", EntranceDose=0, KVP="70").kind == "not-dose"
    assert read(Modality="DX", EntranceDose=2).events[0].entrance_exposure_mgy == 200
    both = read(Modality="DX", EntranceDose=2, EntranceDoseInmGy="181")
    assert both.events[0].entrance_exposure_mgy == 181


def test_exposure_is_taken_from_the_attribute_with_the_finest_unit() -> None:
    exam = read(
        Modality="DX",
        ImageAndFluoroscopyAreaDoseProduct="1",
        Exposure="2",
        ExposureInuAs="1640",
        XRayTubeCurrent="200",
        XRayTubeCurrentInuA="199500",
        ExposureTime="8",
    )
    event = exam.events[0]
    assert (event.exposure_mas, event.tube_current_ma, event.exposure_time_ms) == (1.64, 199.5, 8)


def test_an_angiographic_run_keeps_mode_frames_and_angles() -> None:
    exam = read(
        Modality="XA",
        ImageAndFluoroscopyAreaDoseProduct="30",
        RadiationMode="PULSED",
        NumberOfFrames="40",
        CineRate="15",
        PositionerPrimaryAngle="-30",
        PositionerSecondaryAngle="10",
        AveragePulseWidth="7",
    )
    event = exam.events[0]
    assert (event.fluoro_mode, event.frames, event.pulse_rate_hz, event.pulse_width_ms) == ("pulsed", 40, 15, 7)
    assert (event.primary_angle_deg, event.secondary_angle_deg) == (-30, 10)


def test_organ_dose_is_glandular_only_of_mammograms() -> None:
    mammogram = read(Modality="MG", OrganDose="0.0118", ImageLaterality="L", ViewCodeSequence=[coded("R-10226", "SRT")])
    assert (mammogram.kind, mammogram.totals.agd_left_mgy, mammogram.events[0].view) == ("mammography", 1.18, "MLO")
    other = read(Modality="DX", OrganDose="0.0118")
    assert other.kind == "not-dose"


def test_an_acquisition_without_datetime_has_its_date_and_time() -> None:
    exam = read(
        Modality="DX", ImageAndFluoroscopyAreaDoseProduct="1", AcquisitionDate="20250103", AcquisitionTime="101112.5"
    )
    assert exam.events[0].started_at == "2025-01-03T10:11:12.5"


def test_no_dose_attribute_no_dose_object() -> None:
    exam = read(Modality="DX", KVP="70", Exposure="2")
    assert (exam.kind, exam.totals, exam.events, exam.source) == ("not-dose", Exam(kind="ct").totals, (), None)


def test_a_negative_area_dose_product_is_refused() -> None:
    exam = read(Modality="DX", ImageAndFluoroscopyAreaDoseProduct="-1")
    assert exam.error
    assert exam.error.code == "impossible-value"


# ---- CT ----


def test_a_ct_slice_states_ctdi_vol_and_phantom() -> None:
    exam = read(
        Modality="CT",
        CTDIvol=45.5,
        CTDIPhantomTypeCodeSequence=[coded(*HEAD_PHANTOM)],
        ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
    )
    event = exam.events[0]
    assert (exam.kind, event.ctdi_vol_mgy, event.phantom_cm, event.acquisition_code) == ("ct", 45.5, 16, None)
    assert exam.totals.dlp_mgy_cm is None


def test_a_localiser_image_is_told_by_its_image_type() -> None:
    exam = read(Modality="CT", CTDIvol=0.05, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    event = exam.events[0]
    assert event.acquisition_type == "Constant Angle Acquisition"
    assert event.acquisition_code
    assert event.acquisition_code.value == "113805"


def frame(uid: str, ctdi_vol: float) -> Dataset:
    exposure = made(CTDIvol=ctdi_vol, CTDIPhantomTypeCodeSequence=[coded(*HEAD_PHANTOM)], ExposureInmAs=100.0)
    return made(CTExposureSequence=[exposure], IrradiationEventIdentificationSequence=[made(IrradiationEventUID=uid)])


def test_an_enhanced_ct_image_gives_one_event_for_each_irradiation() -> None:
    shared = made(
        CTAcquisitionTypeSequence=[made(AcquisitionType="SPIRAL")],
        CTAcquisitionDetailsSequence=[made(RevolutionTime=0.5, TotalCollimationWidth=40.0)],
        CTTableDynamicsSequence=[made(SpiralPitchFactor=0.9)],
        CTXRayDetailsSequence=[made(KVP="120")],
    )
    exam = read(
        SOPClassUID="1.2.840.10008.5.1.4.1.1.2.1",
        Modality="CT",
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=[frame("1.1", 10.0), frame("1.1", 12.0), frame("1.2", 30.0)],
    )
    first, second = exam.events
    assert (first.event_uid, first.ctdi_vol_mgy, second.event_uid, second.ctdi_vol_mgy) == ("1.1", 11, "1.2", 30)
    assert (first.phantom_cm, first.kvp, first.pitch, first.acquisition_type) == (16, 120, 0.9, "Spiral Acquisition")
    assert (first.exposure_mas, first.total_collimation_mm, first.exposure_time_per_rotation_s) == (100, 40, 0.5)


def test_a_dose_screen_pairs_its_text_with_its_exposures() -> None:
    exam = read(
        SOPClassUID="1.2.840.10008.5.1.4.1.1.7",
        Modality="CT",
        CommentsOnRadiationDose="TotalDLP=30.5\r\nEvent=1\r\nEvent=2 DLP=30.5",
        ExposureDoseSequence=[made(KVP="80"), made(KVP="120", CTDIvol=2.5)],
    )
    assert [(e.kvp, e.ctdi_vol_mgy, e.dlp_mgy_cm) for e in exam.events] == [(80, None, None), (120, 2.5, 30.5)]
    assert exam.totals.dlp_mgy_cm == 30.5
    assert codes(exam) == ["dose-from-text"]


def test_a_dose_screen_without_exposures_gives_the_lines_of_its_text() -> None:
    text = "Series #3 HEAD Average CTDIvol=7.2 DLP=196.0\nSeries #5 NECK Average CTDIvol=1.5 DLP=8.6\nTotal DLP=300"
    exam = read(Modality="CT", CommentsOnRadiationDose=text)
    assert [(e.protocol, e.ctdi_vol_mgy, e.dlp_mgy_cm) for e in exam.events] == [("HEAD", 7.2, 196), ("NECK", 1.5, 8.6)]
    assert exam.totals.dlp_mgy_cm == 300
    assert codes(exam) == ["dose-from-text", "total-differs-from-events"]


def test_a_bare_number_or_another_text_is_no_dose() -> None:
    for text in ("123.55", "31 %", "DLP is in the report"):
        assert read(Modality="CT", CommentsOnRadiationDose=text).kind == "not-dose"


# ---- nuclear medicine ----


def administration(dose: str, **attributes: Any) -> Sequence[Dataset]:
    return [made(RadionuclideTotalDose=dose, **attributes)]


@pytest.mark.parametrize(
    ("modality", "dose", "activity", "notes"),
    [
        ("PT", "394000000", 394, []),
        ("PT", "394", 394, ["vendor-correction"]),
        ("NM", "740", 740, []),
        ("NM", "740000000", 740, ["vendor-correction"]),
    ],
)
def test_activity_is_in_bq_in_pet_and_in_mbq_in_nm(modality: str, dose: str, activity: float, notes: list[str]) -> None:
    exam = read(Modality=modality, RadiopharmaceuticalInformationSequence=administration(dose))
    assert (exam.kind, exam.totals.administered_activity_mbq) == ("nuclear", activity)
    assert codes(exam) == [*notes, "total-from-events"]


def test_an_administration_states_what_and_when() -> None:
    exam = read(
        Modality="PT",
        RadiopharmaceuticalInformationSequence=administration(
            "200000000",
            RadiopharmaceuticalStartDateTime="20250102083000",
            Radiopharmaceutical="FDG",
            RadionuclideCodeSequence=[coded("C-111A1", "SRT", "^18^Fluorine")],
            RadiopharmaceuticalRoute="IV",
        ),
    )
    event = exam.events[0]
    assert (event.started_at, event.radiopharmaceutical, event.radionuclide) == (
        "2025-01-02T08:30:00",
        "FDG",
        "^18^Fluorine",
    )
    assert event.route == "IV"


def test_an_image_without_modality_does_not_tell_the_unit_of_its_activity() -> None:
    assert read(RadiopharmaceuticalInformationSequence=administration("394")).kind == "not-dose"


# ---- procedure steps ----


def step(**attributes: Any) -> Reading:
    scheduled = made(
        StudyInstanceUID="1.55", AccessionNumber="A1", RequestedProcedureDescription="Coronary angiography"
    )
    dataset = made(
        SOPClassUID="1.2.840.10008.3.1.2.3.3",
        PerformedProcedureStepStatus="COMPLETED",
        PerformedProcedureStepID="P1",
        PerformedProcedureStepStartDate="20250103",
        ScheduledStepAttributesSequence=[scheduled],
        **attributes,
    )
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, dataset, implicit_vr=False, little_endian=True)
    return read_bytes(stream.getvalue())


def test_a_procedure_step_states_totals_of_its_study() -> None:
    found = step(
        Modality="XA",
        TotalTimeOfFluoroscopy=310,
        TotalNumberOfExposures=12,
        ImageAndFluoroscopyAreaDoseProduct="455",
    )
    exam = found.exam
    assert (exam.kind, exam.source, exam.study_instance_uid) == ("projection", "mpps", "1.55")
    assert (exam.totals.kap_gy_cm2, exam.totals.fluoro_time_s, exam.totals.event_count) == (45.5, 310, 12)
    assert (exam.procedure, exam.study_date) == ("Coronary angiography", "2025-01-03")
    assert found.identity.accession_number == "A1"


def test_a_ct_procedure_step_states_its_exposures() -> None:
    exposures = [
        made(KVP="120", CTDIvol=9.5, AcquisitionType="SPIRAL", CTDIPhantomTypeCodeSequence=[coded(*HEAD_PHANTOM)])
    ]
    exam = step(Modality="CT", CommentsOnRadiationDose="TotalDLP=100.5", ExposureDoseSequence=exposures).exam
    assert (exam.kind, exam.totals.dlp_mgy_cm, exam.events[0].ctdi_vol_mgy) == ("ct", 100.5, 9.5)
    assert exam.events[0].phantom_cm == 16


def test_a_procedure_step_without_dose_is_no_dose_object() -> None:
    assert step(Modality="MR").exam.kind == "not-dose"


def test_identity_is_kept_apart_from_the_exam() -> None:
    found = reading(Modality="DX", ImageAndFluoroscopyAreaDoseProduct="1", PatientID="P7", PatientBirthDate="20000102",
                    AccessionNumber="A9", PatientName="Nobody")  # fmt: skip
    assert (found.identity.patient_id, found.identity.accession_number) == ("P7", "A9")
    assert str(found.identity.birth_date) == "2000-01-02"
    assert "P7" not in repr(found.exam)
    assert found.exam.patient.age_years == 25
