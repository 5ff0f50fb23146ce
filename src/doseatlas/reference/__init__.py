"""Reference tables: procedures, patient groups, plausible ranges, diagnostic reference levels, dose coefficients."""

from doseatlas.reference import coefficients
from doseatlas.reference.drl import DEFAULT_DRL_SET, DrlRow, DrlSet, drl_set, drl_sets, load_drl_csv
from doseatlas.reference.drl_methods import DrlMethod, DrlRule, Guide, drl_method, drl_methods, load_drl_methods
from doseatlas.reference.procedures import (
    PatientGroup,
    PlausibleRange,
    Procedure,
    note_meanings,
    number,
    patient_group,
    patient_groups,
    plausible_ranges,
    procedure,
    procedures,
    read_rows,
)

__all__ = [
    "DEFAULT_DRL_SET",
    "DrlMethod",
    "DrlRow",
    "DrlRule",
    "DrlSet",
    "Guide",
    "PatientGroup",
    "PlausibleRange",
    "Procedure",
    "coefficients",
    "drl_method",
    "drl_methods",
    "drl_set",
    "drl_sets",
    "load_drl_csv",
    "load_drl_methods",
    "note_meanings",
    "number",
    "patient_group",
    "patient_groups",
    "plausible_ranges",
    "procedure",
    "procedures",
    "read_rows",
]
