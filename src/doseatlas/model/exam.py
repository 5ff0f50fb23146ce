"""What one dose object, or one merged examination, states. This module holds words, not behaviour.

Every type is an immutable record whose fields default to ``None`` (not stated). Encoding leaves out what is not
stated, so the JSON form of :class:`Exam` is the reading contract (``docs/reading.md``) without further code.
Why these are ``msgspec.Struct`` rather than dataclasses: ``docs/decisions/002-domain-records.md``.
"""

from __future__ import annotations

import datetime as dt
from typing import Literal

import msgspec

Kind = Literal["ct", "projection", "mammography", "nuclear", "estimate", "not-dose", "refused"]
Pregnancy = Literal["not pregnant", "possibly pregnant", "definitely pregnant"]
Source = Literal["dose-report", "image", "mpps"]


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An immutable record; equal by value; fields that are not stated are ``None`` and are left out when encoded."""


class Note(Record, frozen=True, kw_only=True):
    """Something a reader of the values must know. Codes are stable and listed in ``docs/notes.md``."""

    code: str
    message: str


class Code(Record, frozen=True, kw_only=True):
    """A coded concept (DICOM PS3.3 section 8.8): recognised by ``value`` and ``scheme``, never by ``meaning``."""

    value: str
    scheme: str
    meaning: str | None = None


class Device(Record, frozen=True, kw_only=True):
    """The irradiating equipment as the object states it (PS3.3 C.7.5.1; TID 1004 device observer)."""

    manufacturer: str | None = None
    model: str | None = None
    serial_number: str | None = None
    station_name: str | None = None
    institution: str | None = None
    software_versions: str | None = None


class Patient(Record, frozen=True, kw_only=True):
    """The patient as dosimetry needs to know them. Identity is kept apart, in :class:`Identity`."""

    age_years: float | None = None
    sex: str | None = None
    height_cm: float | None = None
    weight_kg: float | None = None
    pregnancy_status: Pregnancy | None = None


class Identity(Record, frozen=True, kw_only=True):
    """Who the patient is. Never part of an exam; the store turns it into a keyed pseudonym unless told otherwise."""

    patient_id: str | None = None
    issuer: str | None = None
    accession_number: str | None = None
    birth_date: dt.date | None = None
    patient_name: str | None = None


class Totals(Record, frozen=True, kw_only=True):
    """Accumulated dose of an exam. Units are in the names; KAP and reference air kerma are summed over planes."""

    dlp_mgy_cm: float | None = None
    kap_gy_cm2: float | None = None
    reference_air_kerma_mgy: float | None = None
    fluoro_time_s: float | None = None
    fluoro_kap_gy_cm2: float | None = None
    fluoro_reference_air_kerma_mgy: float | None = None
    acquisition_kap_gy_cm2: float | None = None
    acquisition_reference_air_kerma_mgy: float | None = None
    acquisition_time_s: float | None = None
    radiographic_frames: int | None = None
    event_count: int | None = None
    agd_left_mgy: float | None = None
    agd_right_mgy: float | None = None
    agd_both_mgy: float | None = None
    administered_activity_mbq: float | None = None
    radionuclide: str | None = None
    radiopharmaceutical: str | None = None


class Filter(Record, frozen=True, kw_only=True):
    """One added X-ray filter (TID 10003B)."""

    material: str | None = None
    type: str | None = None
    thickness_min_mm: float | None = None
    thickness_max_mm: float | None = None


class Event(Record, frozen=True, kw_only=True):
    """One irradiation event (or one administration of a radiopharmaceutical) as stated."""

    event_uid: str | None = None
    started_at: str | None = None
    protocol: str | None = None
    acquisition_type: str | None = None
    acquisition_code: Code | None = None
    target_region: str | None = None
    target_region_code: Code | None = None
    comment: str | None = None
    # computed tomography
    dlp_mgy_cm: float | None = None
    ctdi_vol_mgy: float | None = None
    phantom_cm: int | None = None
    scan_length_mm: float | None = None
    exposed_range_mm: float | None = None
    ssde_mgy: float | None = None
    water_equivalent_diameter_mm: float | None = None
    pitch: float | None = None
    collimation_mm: float | None = None
    total_collimation_mm: float | None = None
    exposure_time_per_rotation_s: float | None = None
    tube_current_max_ma: float | None = None
    dlp_notification_mgy_cm: float | None = None
    ctdi_vol_notification_mgy: float | None = None
    dlp_alert_mgy_cm: float | None = None
    ctdi_vol_alert_mgy: float | None = None
    # projection and mammography
    plane: str | None = None
    kap_gy_cm2: float | None = None
    reference_air_kerma_mgy: float | None = None
    output_air_kerma_mgy: float | None = None
    entrance_exposure_mgy: float | None = None
    fluoro_mode: str | None = None
    frames: int | None = None
    pulses: int | None = None
    pulse_rate_hz: float | None = None
    irradiation_duration_s: float | None = None
    primary_angle_deg: float | None = None
    secondary_angle_deg: float | None = None
    primary_end_angle_deg: float | None = None
    secondary_end_angle_deg: float | None = None
    detector_rotation_deg: float | None = None
    column_angulation_deg: float | None = None
    source_to_detector_mm: float | None = None
    source_to_isocenter_mm: float | None = None
    source_to_entrance_mm: float | None = None
    source_to_reference_point_mm: float | None = None
    table_longitudinal_mm: float | None = None
    table_lateral_mm: float | None = None
    table_height_mm: float | None = None
    table_above_floor_mm: float | None = None
    system_height_mm: float | None = None
    table_horizontal_rotation_deg: float | None = None
    table_head_tilt_deg: float | None = None
    table_cradle_tilt_deg: float | None = None
    collimated_field_area_cm2: float | None = None
    collimated_field_height_mm: float | None = None
    collimated_field_width_mm: float | None = None
    shutter_left_mm: float | None = None
    shutter_right_mm: float | None = None
    shutter_bottom_mm: float | None = None
    shutter_top_mm: float | None = None
    exposure_index: float | None = None
    target_exposure_index: float | None = None
    deviation_index: float | None = None
    grid: str | None = None
    agd_mgy: float | None = None
    laterality: str | None = None
    view: str | None = None
    compressed_thickness_mm: float | None = None
    compression_force_n: float | None = None
    half_value_layer_mm: float | None = None
    percent_fibroglandular: float | None = None
    anode_material: str | None = None
    focal_spot_mm: float | None = None
    # technique, all X-ray
    kvp: float | None = None
    tube_current_ma: float | None = None
    exposure_mas: float | None = None
    exposure_time_ms: float | None = None
    pulse_width_ms: float | None = None
    filters: tuple[Filter, ...] = ()
    # nuclear medicine
    administered_activity_mbq: float | None = None
    radionuclide: str | None = None
    radiopharmaceutical: str | None = None
    effective_dose_msv: float | None = None
    route: str | None = None


class DoseEstimate(Record, frozen=True, kw_only=True):
    """One dose to the patient as another program estimated and stated it (TID 10031, TID 10023). Never our own figure.

    One of the three doses is stated; ``statistic`` says of which distribution value it is (mean, maximum, ...).
    ``uncertainty_minus`` and ``uncertainty_plus`` are in the unit of that dose.
    """

    name: str | None = None
    organ: str | None = None
    organ_code: Code | None = None
    laterality: str | None = None
    statistic: str | None = None
    absorbed_dose_mgy: float | None = None
    equivalent_dose_msv: float | None = None
    effective_dose_msv: float | None = None
    uncertainty_minus: float | None = None
    uncertainty_plus: float | None = None
    method: str | None = None
    method_reference: str | None = None
    patient_model: str | None = None
    patient_model_reference: str | None = None
    transport_model: str | None = None


class Refusal(Record, frozen=True, kw_only=True):
    """Why an object is refused: a stable code and a sentence a physicist understands."""

    code: str
    message: str


class Exam(Record, frozen=True, kw_only=True):
    """One dose object as read, or one examination merged from several objects of a study.

    ``kind`` says which quantities to expect; ``estimate`` is a report of doses that another program estimated, and
    ``not-dose`` and ``refused`` carry no dose. ``study_date`` is ISO 8601.
    ``estimated_from`` are the SOP Instance UIDs of the dose reports that ``estimates`` were made from.
    ``indication`` is the reason for the examination, which objects are not read for: the RIS states it.
    """

    path: str | None = None
    kind: Kind
    study_instance_uid: str | None = None
    sop_instance_uid: str | None = None
    sop_class_uid: str | None = None
    series_instance_uid: str | None = None
    modality: str | None = None
    source: Source | None = None
    study_date: str | None = None
    study_time: str | None = None
    content_at: str | None = None
    replaces: tuple[str, ...] = ()
    device: Device = Device()
    patient: Patient = Patient()
    procedure: str | None = None
    procedure_codes: tuple[Code, ...] = ()
    indication: str | None = None
    body_part: str | None = None
    totals: Totals = Totals()
    events: tuple[Event, ...] = ()
    estimates: tuple[DoseEstimate, ...] = ()
    estimated_from: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()
    error: Refusal | None = None

    @property
    def study_day(self) -> dt.date | None:
        """The day of the study; ``None`` where what is stated is no date."""
        try:
            return dt.date.fromisoformat(self.study_date) if self.study_date else None
        except ValueError:
            return None


class Reading(Record, frozen=True, kw_only=True):
    """The result of reading one object: the exam that it states, and whose it is."""

    exam: Exam
    identity: Identity = Identity()


class Classification(Record, frozen=True, kw_only=True):
    """What standardisation says about an exam.

    ``procedure`` is an id of ``reference.procedures()`` (``None``: unmapped); ``mapped_by`` says on what ground;
    ``group`` is an id of ``reference.patient_groups()``; ``flags`` lists implausible values,
    which statistics leave out.
    """

    procedure: str | None = None
    mapped_by: Literal["confirmed", "rule", "unmapped"] = "unmapped"
    group: str | None = None
    flags: tuple[Note, ...] = ()
