"""Coordinated studies as data: a study is one TOML file; it is checked, its data are collected, its report computed.

The functions are loaded on first use, so that a program that only names the records loads no query engine.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from doseatlas.studies.results import (
    AdultProtocolRow,
    AnswerRow,
    FlowStep,
    LeftOut,
    PhaseRow,
    PlaceValue,
    Receipt,
    SiteValue,
    StudyReport,
    VariationRow,
)

if TYPE_CHECKING:
    from doseatlas.studies.check import load_study
    from doseatlas.studies.collecting import CollectRefused, collect
    from doseatlas.studies.compute import study_report
    from doseatlas.studies.schema import Study, StudyError
    from doseatlas.studies.template import template_names, template_text
    from doseatlas.studies.workbook import write_study_workbook

__all__ = [
    "AdultProtocolRow",
    "AnswerRow",
    "CollectRefused",
    "FlowStep",
    "LeftOut",
    "PhaseRow",
    "PlaceValue",
    "Receipt",
    "SiteValue",
    "Study",
    "StudyError",
    "StudyReport",
    "VariationRow",
    "collect",
    "load_study",
    "study_report",
    "template_names",
    "template_text",
    "write_study_workbook",
]

_HOMES = {
    "CollectRefused": "collecting",
    "Study": "schema",
    "StudyError": "schema",
    "collect": "collecting",
    "load_study": "check",
    "study_report": "compute",
    "template_names": "template",
    "template_text": "template",
    "write_study_workbook": "workbook",
}


def __getattr__(name: str) -> Any:
    """Load the module of a public function on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
