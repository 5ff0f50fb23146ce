"""Standardisation: one exam from several objects, its standard procedure, patient group, plausibility and mart row."""

from doseatlas.standardise.classify import classify
from doseatlas.standardise.groups import patient_group
from doseatlas.standardise.mapping import Suggestion, map_procedure, mapping_key, suggest
from doseatlas.standardise.merge import exam_kind_key, merge
from doseatlas.standardise.plausibility import (
    DOSE_FLAG,
    implausible_dose,
    implausible_patient,
    plausible_patient,
)
from doseatlas.standardise.scans import ct_scans
from doseatlas.standardise.summary import device_name, summarise

__all__ = [
    "DOSE_FLAG",
    "Suggestion",
    "classify",
    "ct_scans",
    "device_name",
    "exam_kind_key",
    "implausible_dose",
    "implausible_patient",
    "map_procedure",
    "mapping_key",
    "merge",
    "patient_group",
    "plausible_patient",
    "suggest",
    "summarise",
]
