"""Real, valid DICOM dose objects of a made-up facility, country or world: for tests, the demo and benchmarks."""

from doseatlas.dicom.simulate.columns import mart_arrow, mart_columns
from doseatlas.dicom.simulate.estimates import estimate_report
from doseatlas.dicom.simulate.exams import SimulatedExam, draw_exam, exams, to_exam
from doseatlas.dicom.simulate.objects import encode_enhanced, encode_estimate, encode_exam, enhanced_report
from doseatlas.dicom.simulate.tables import DeviceClass
from doseatlas.dicom.simulate.tables import faults as fault_table
from doseatlas.dicom.simulate.world import Drift, Facility, Scope, SimulatedDevice, World, plan
from doseatlas.dicom.simulate.write import Written, write_objects

__all__ = [
    "DeviceClass",
    "Drift",
    "Facility",
    "Scope",
    "SimulatedDevice",
    "SimulatedExam",
    "World",
    "Written",
    "draw_exam",
    "encode_enhanced",
    "encode_estimate",
    "encode_exam",
    "enhanced_report",
    "estimate_report",
    "exams",
    "fault_table",
    "mart_arrow",
    "mart_columns",
    "plan",
    "to_exam",
    "write_objects",
]
