"""``doseatlas read``: what dose objects state, without a store. The JSON lines are the reading contract."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from doseatlas.cli import EXIT_REFUSED
from doseatlas.cli.output import Format, FormatOption, PathsArgument, print_rows

if TYPE_CHECKING:
    from doseatlas.model import Exam

COLUMNS = ("path", "kind", "study date", "device", "procedure", "events", "dose", "notes")


def read(paths: PathsArgument, form: FormatOption = Format.table) -> None:
    """Read dose objects and print what they state. Needs no store; changes nothing.

    Exit status 1 if an object was refused.
    """
    import msgspec

    from doseatlas.cli.context import read_limits
    from doseatlas.dicom import read_paths

    refused = 0

    def exams() -> Iterator[Exam]:
        nonlocal refused
        for reading in read_paths(paths, limits=read_limits()):
            refused += reading.exam.kind == "refused"
            yield reading.exam

    if form is Format.jsonl:
        encode = msgspec.json.Encoder().encode
        for exam in exams():
            sys.stdout.write(encode(exam).decode() + "\n")
    else:
        print_rows(COLUMNS, (_row(exam) for exam in exams()), form)
    if refused:
        raise typer.Exit(EXIT_REFUSED)


def _row(exam: Exam) -> tuple[object, ...]:
    device = " ".join(part for part in (exam.device.manufacturer, exam.device.model) if part)
    notes = exam.error.message if exam.error else ", ".join(sorted({note.code for note in exam.notes}))
    return (exam.path, exam.kind, exam.study_date, device, exam.procedure, len(exam.events) or None, dose(exam), notes)


def dose(exam: Exam) -> str:
    """Return the exam's main totals as text, such as ``DLP 512 mGy·cm``."""
    totals = exam.totals
    effective = next((one.effective_dose_msv for one in exam.estimates if one.effective_dose_msv is not None), None)
    stated = (
        ("DLP", totals.dlp_mgy_cm, "mGy·cm"),
        ("KAP", totals.kap_gy_cm2, "Gy·cm²"),
        ("Ka,r", totals.reference_air_kerma_mgy, "mGy"),
        ("AGD left", totals.agd_left_mgy, "mGy"),
        ("AGD right", totals.agd_right_mgy, "mGy"),
        ("activity", totals.administered_activity_mbq, "MBq"),
        ("E as estimated elsewhere", effective, "mSv"),
    )
    return ", ".join(f"{name} {value:.4g} {unit}" for name, value, unit in stated if value is not None)
