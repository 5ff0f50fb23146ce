"""How are skin dose maps shown? The answer on the terminal in the form asked for, and the page with the map."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from doseatlas.cli.output import Format, print_rows

if TYPE_CHECKING:
    from doseatlas.dosimetry.skin import CumulativeMap, ProcedureDose, SkinDose, SkinMap

Row = tuple[object, ...]


def write_map(output: Path, found: SkinMap, subject: str, procedures: Sequence[ProcedureDose] = ()) -> Path:
    """Write the page, whole or not at all, and return where it is.

    Raises:
        SkinDoseError: the output is a folder.

    """
    from doseatlas.dosimetry.skin import SkinDoseError, skin_dose_html
    from doseatlas.report import written_whole

    if output.is_dir():
        raise SkinDoseError(f"{output} is a folder. Give the name of the HTML file, such as {output / 'skin.html'}.")
    with written_whole(output) as file:
        file.write(skin_dose_html(found, subject, procedures).encode())
    return output.resolve()


def print_answer(answer: SkinDose, form: Format, written: Path | None) -> None:
    """Print the answer of one map."""
    import msgspec

    if form is Format.jsonl:
        typer.echo(msgspec.json.encode(answer).decode())
        return
    texts = list(_texts(answer))
    rows = list(_figures(answer))
    if form is Format.csv:
        rows += [(name, text, None, None) for name, text in texts]
    print_rows(("quantity", "value", "unit", "remark"), rows, form)
    if form is Format.table:
        _print_texts(texts, written)


def print_cumulative(found: CumulativeMap, form: Format, written: Path | None) -> None:
    """Print each exam's part, then the answer of the sum; JSON lines are the exams and, last, the sum."""
    import msgspec

    answer = found.skin_map.answer
    if form is Format.jsonl:
        for one in found.procedures:
            typer.echo(msgspec.json.encode(one).decode())
        typer.echo(msgspec.json.encode(answer).decode())
        return
    columns = ("date", "exam", "procedure", "air kerma mGy", "own peak mGy", "at the sum's peak mGy", "remark")
    rows: list[Row] = [
        (
            one.study_date,
            one.exam_id,
            one.procedure,
            one.reference_air_kerma_mgy,
            one.peak_mgy,
            one.at_peak_mgy,
            f"not in the map: {one.missing}" if one.missing else None,
        )
        for one in found.procedures
    ]
    low, high = answer.interval_mgy
    rows.append((None, "sum", None, None, None, answer.peak_mgy, f"95 %: {low:.3g} to {high:.3g} mGy"))
    texts = list(_texts(answer))
    if form is Format.csv:
        rows += [(None, name, None, None, None, None, text) for name, text in texts]
    print_rows(columns, rows, form)
    if form is Format.table:
        print_rows(("quantity", "value", "unit", "remark"), _figures(answer), form)
        _print_texts(texts, written)


def _print_texts(texts: Iterable[tuple[str, str]], written: Path | None) -> None:
    for name, text in texts:
        typer.echo(f"{name}: {text}")
    if written is not None:
        typer.echo(f"Map: {written}")


def _figures(answer: SkinDose) -> Iterable[Row]:
    low, high = answer.interval_mgy
    yield "peak skin dose", answer.peak_mgy, "mGy", f"95 %: {low:.3g} to {high:.3g} mGy"
    yield "air kerma at the reference point", answer.reference_air_kerma_mgy, "mGy", None
    yield "kerma-area product", answer.kap_gy_cm2, "Gy·cm²", None
    yield "share of it on the phantom", answer.kap_share_on_skin, None, None
    for area in answer.areas:
        yield f"skin above {area.dose_gy:g} Gy", area.area_cm2, "cm²", None
    for shift in answer.sensitivity:
        yield "peak if moved", shift.peak_mgy, "mGy", f"{shift.shift_cm:+g} cm {shift.direction}"
    yield "cells of the phantom", answer.cells, None, f"{answer.phantom}; cells of {answer.cell_cm:.1f} cm"
    for out in answer.left_out:
        yield "left out", out.events, "events", f"{out.reason}; {out.kerma_mgy:.3g} mGy"


def _texts(answer: SkinDose) -> Iterable[tuple[str, str]]:
    yield "place", answer.peak_place
    for note in answer.notes:
        yield "note", note.message
    for text in answer.assumptions:
        yield "assumed", text
