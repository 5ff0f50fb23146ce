"""The documented columns of the mart: one row per merged exam, Parquet, partitioned by ``facility`` and ``month``.

This table is the border between the store, which writes it, and the analysis, which counts it. It is also what a
facility can hand to a registry. Columns are only ever added; a reader of an older mart sees the new ones as null.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, cast

from doseatlas.dosimetry import DOSIMETRY_COLUMNS, ENTRANCE_COLUMNS, SKIN_DOSE_COLUMNS

ColumnType = Literal["string", "int32", "float64", "date", "bool", "list<string>"]


class Column(NamedTuple):
    """One column: its name (unit included), its Arrow type and its meaning."""

    name: str
    type: ColumnType
    meaning: str


EXAM_COLUMNS: tuple[Column, ...] = (
    Column("exam_id", "string", "key of the merged exam in the store"),
    Column("study_id", "string", "key of the study, which exams of several kinds share (the CT of a PET/CT)"),
    Column("facility", "string", "facility by the settings, else the institution stated, else 'unnamed facility'"),
    Column("month", "string", "month of the study, YYYY-MM; 'undated' where no date is stated"),
    Column("study_date", "date", "date of the study"),
    Column("kind", "string", "ct, projection, mammography or nuclear"),
    Column("modality", "string", "DICOM modality of the irradiating device (CT, XA, RF, DX, MG, PT, NM, ...)"),
    Column("device", "string", "one name per physical device: manufacturer, model and station name or serial number"),
    Column("manufacturer", "string", "as stated"),
    Column("model", "string", "as stated"),
    Column("procedure", "string", "id of the standard procedure; null where unmapped"),
    Column("procedure_text", "string", "procedure as stated"),
    Column("indication", "string", "reason for the exam as the RIS states it; free text, for this facility only"),
    Column("protocol", "string", "protocol name of the event with the largest dose"),
    Column("mapped_by", "string", "confirmed, rule or unmapped"),
    Column("patient_group", "string", "id of the patient group; null where neither age nor weight allows one"),
    Column("age_years", "float64", "age at the study"),
    Column("sex", "string", "F, M, O or null"),
    Column("height_cm", "float64", "as stated, null where implausible"),
    Column("weight_kg", "float64", "as stated, null where implausible"),
    Column("pregnancy_status", "string", "as stated: not, possibly or definitely pregnant; null where not stated"),
    Column("plausible", "bool", "false: a dose value is out of physical range; statistics leave the exam out"),
    Column("flags", "list<string>", "codes of the plausibility flags and notes of the exam"),
    Column("event_count", "int32", "irradiation events read"),
    Column("phase_count", "int32", "CT: scans of the body other than localisers and bolus tracking"),
    Column("dlp_mgy_cm", "float64", "CT: dose-length product of the exam"),
    Column("ctdi_vol_mgy", "float64", "CT: mean CTDIvol weighted by DLP, scans on one phantom; null if phantoms mix"),
    Column("phantom_cm", "int32", "CT: phantom of ctdi_vol_mgy, 16 or 32; null where not stated or mixed"),
    Column("scan_length_mm", "float64", "CT: longest scanning length of one scan"),
    Column("ssde_mgy", "float64", "CT: SSDE as stated, weighted like ctdi_vol_mgy"),
    Column("kvp", "float64", "tube voltage of the event with the largest dose"),
    Column("kap_gy_cm2", "float64", "projection: total air kerma-area product"),
    Column("reference_air_kerma_mgy", "float64", "projection: total air kerma at the reference point"),
    Column("entrance_air_kerma_mgy", "float64", "radiography: largest entrance air kerma stated for one exposure"),
    Column("fluoro_time_s", "float64", "projection: total fluoroscopy time"),
    Column("frames", "int32", "projection: number of acquired frames or exposures"),
    Column("agd_mgy", "float64", "mammography: mean average glandular dose of the exam's views"),
    Column("agd_left_mgy", "float64", "mammography: accumulated AGD, left breast"),
    Column("agd_right_mgy", "float64", "mammography: accumulated AGD, right breast"),
    Column("compressed_thickness_mm", "float64", "mammography: mean compressed thickness"),
    Column("administered_activity_mbq", "float64", "nuclear medicine: activity administered"),
    Column("radiopharmaceutical", "string", "nuclear medicine: agent as stated"),
    Column("stated_effective_dose_msv", "float64", "effective dose as a dose object states it; never computed here"),
    Column("stated_effective_dose_method", "string", "method of stated_effective_dose_msv, as stated"),
    Column("adult_protocol_on_child", "bool", "CT: a child scanned by a protocol named for adults"),
    *(
        Column(column.name, cast("ColumnType", column.type), column.meaning)
        for column in (*DOSIMETRY_COLUMNS, *ENTRANCE_COLUMNS, *SKIN_DOSE_COLUMNS)
    ),
)
