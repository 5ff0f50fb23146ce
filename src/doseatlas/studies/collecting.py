"""How do a participant's data come into a study? One file a participant, written whole, with what was left out.

A second collection from the same participant replaces what it brings: exams replace exams, answers replace answers.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from doseatlas.analysis.corrected import counted_as
from doseatlas.model import DoseAtlasError
from doseatlas.store.files import make_folder, write_whole
from doseatlas.studies.results import Receipt
from doseatlas.studies.schema import Participant, Study, StudyError
from doseatlas.studies.sources import exam_schema, mart_exams, of_mart, of_workbook, sorted_out
from doseatlas.studies.workbook import read_study_workbook

if TYPE_CHECKING:
    import pyarrow as pa

RECEIPT = b"doseatlas-study"


class CollectRefused(DoseAtlasError):
    """A source cannot be taken; ``problems`` lists the cells or facilities concerned. Nothing of it is kept."""

    code = "collect-refused"

    def __init__(self, message: str, problems: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems


def collect(
    study: Study, source: Path, data_dir: Path, *, participant: str | None = None, now: dt.datetime
) -> tuple[Receipt, ...]:
    """Take the data of one source into the study.

    Args:
        study: the study.
        source: a mart's folder, a mart file (Parquet) or a workbook made by :func:`write_study_workbook`.
        data_dir: where the study's data are collected, one file a participant.
        participant: whose data these are; by default the participant whose ``facility`` the exams or the workbook name.
        now: when this is done.

    Raises:
        CollectRefused: the source belongs to no participant, or cells of a workbook must be mended; nothing is kept.
        StudyError: the source is damaged.
        WorkbookRefused: the workbook as a whole cannot be read.

    """
    if participant is not None:
        _participant(study, participant)
    if source.suffix.lower() in (".xlsx", ".xlsm", ".xls"):
        return (_from_workbook(study, source, data_dir, participant, now),)
    if source.is_file() and is_collected(source):
        return (_from_collected(study, source, data_dir, participant, now),)
    if not study.exams:
        raise CollectRefused(f"{source}: this study asks questions only; its data come in workbooks.")
    exams = counted_as(mart_exams(source), study.rules.dose_values)
    names = exams.filter(exams.facility.notnull()).select("facility").distinct().to_pyarrow()["facility"].to_pylist()
    owners = _owners(study, source, sorted(names), participant)
    receipts = []
    for owner, facility in owners:
        found = of_mart(exams.filter(exams.facility == facility), study)
        kept, left_out, received = sorted_out(found, study)
        receipt = Receipt(
            study=study.id,
            participant=owner.id,
            country=owner.country,
            facility=facility,
            sources=(source.name,),
            received=received,
            counted=kept.num_rows,
            left_out=left_out,
            collected_at=now,
        )
        receipts.append((receipt, kept))
    return tuple(_keep(data_dir, receipt, kept) for receipt, kept in receipts)


def _participant(study: Study, name: str) -> Participant:
    for one in study.participants:
        if one.id == name:
            return one
    raise CollectRefused(f"There is no participant {name!r} in study {study.id}. Add it to the study file.")


def _owners(study: Study, source: Path, names: list[str], asked: str | None) -> list[tuple[Participant, str]]:
    """Return whose exams a mart holds: participants and the facility names that the mart uses."""
    if not names:
        raise CollectRefused(f"{source}: it holds no exams, or none whose facility is stated.")
    known = {one.facility or one.id: one for one in study.participants}
    if asked is not None:
        owner = _participant(study, asked)
        name = owner.facility or owner.id
        if name in names:
            return [(owner, name)]
        if len(names) > 1:
            raise CollectRefused(
                f"{source}: it holds {len(names)} facilities, none of them {name!r}. Set facility of participant"
                f" {asked!r} in the study file to the one meant.",
                tuple(names),
            )
        if names[0] in known:
            raise CollectRefused(
                f"{source}: its facility {names[0]!r} is that of participant {known[names[0]].id!r}, not of {asked!r};"
                " nothing is taken, as it would count twice."
            )
        if owner.facility is not None:
            raise CollectRefused(
                f"{source}: its facility is {names[0]!r}, but the study file says that participant {asked!r} is"
                f" {owner.facility!r}. Mend the study file, or collect the mart that is meant."
            )
        return [(owner, names[0])]
    owners = [(known[name], name) for name in names if name in known]
    if not owners:
        raise CollectRefused(
            f"{source}: none of its facilities takes part in study {study.id}. Name the participant, or set facility of"
            " a participant in the study file.",
            tuple(names),
        )
    return owners


def _from_workbook(study: Study, source: Path, data_dir: Path, asked: str | None, now: dt.datetime) -> Receipt:
    import ibis

    reading = read_study_workbook(study, source)
    if reading.problems:
        count = reading.problem_count
        raise CollectRefused(
            f"{source}: {count} cell{'s' if count > 1 else ''} must be mended before it can be taken.",
            tuple(str(problem) for problem in reading.problems),
        )
    named = reading.participant
    if asked is not None and named is not None and named != asked:
        raise CollectRefused(f"{source}: the workbook is that of {named!r}, not of {asked!r}.")
    if asked is None and named is None:
        raise CollectRefused(f"{source}: it does not say whose it is. Pick the participant on the sheet 'site'.")
    owner = _participant(study, asked or named or "")
    receipt = Receipt(
        study=study.id,
        participant=owner.id,
        country=owner.country,
        sources=(source.name,),
        answers=reading.answers,
        collected_at=now,
    )
    if reading.exams is None:
        return _keep(data_dir, receipt, None)
    kept, left_out, received = sorted_out(of_workbook(ibis.memtable(reading.exams), study), study)
    receipt = msgspec.structs.replace(receipt, received=received, counted=kept.num_rows, left_out=left_out)
    return _keep(data_dir, receipt, kept)


def is_collected(file: Path) -> bool:
    """Return whether a file is one that :func:`collect` wrote, at a site that sends it instead of its mart."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return RECEIPT in (pq.read_schema(file).metadata or {})
    except (pa.ArrowException, OSError):
        return False


def _from_collected(study: Study, source: Path, data_dir: Path, asked: str | None, now: dt.datetime) -> Receipt:
    """Take a file that a site collected itself, after its exams were judged once more."""
    import ibis

    stated = read_receipt(source)
    if stated.study != study.id or (asked is not None and stated.participant != asked):
        raise CollectRefused(f"{source}: collected for study {stated.study!r} from {stated.participant!r}.")
    owner = _participant(study, stated.participant)
    receipt = msgspec.structs.replace(stated, country=owner.country, collected_at=now)
    exams = collected_exams(study, source)
    if not stated.counted:
        return _keep(data_dir, receipt, None if not stated.received else exams.slice(0, 0))
    kept, left_out, _ = sorted_out(ibis.memtable(exams), study)
    if left_out or kept.num_rows != stated.counted:
        reasons = tuple(f"{one.exams} exam{'s' if one.exams > 1 else ''}: {one.reason}" for one in left_out)
        raise CollectRefused(f"{source}: it holds exams that do not count by this study file.", reasons)
    return _keep(data_dir, receipt, kept)


def collected_exams(study: Study, file: Path) -> pa.Table:
    """Return the exams of a site's file as a mart would hold them.

    Raises:
        CollectRefused: its columns are not those that the study asks for.

    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    wanted = exam_schema(study)
    try:
        table = pq.read_table(file).drop_columns(["participant", "country"]).select(wanted.names).cast(wanted)
    except (pa.ArrowException, KeyError, OSError, ValueError) as error:
        raise CollectRefused(f"{file}: its columns are not those of this study ({error}).") from error
    groups = {group.id: group.patient_group for group in study.groups}
    of_reference = pa.array([groups.get(name) for name in table["patient_group"].to_pylist()], pa.string())
    table = table.set_column(table.schema.get_field_index("patient_group"), "patient_group", of_reference)
    table = table.append_column("plausible", pa.array([True] * table.num_rows))
    return table.append_column("other_indication", pa.array([False] * table.num_rows))


def _keep(data_dir: Path, receipt: Receipt, exams: pa.Table | None) -> Receipt:
    """Write a participant's file; what the new source does not bring stays from the earlier one."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = data_dir / f"{receipt.participant}.parquet"
    make_folder(data_dir)
    if file.exists():
        earlier = read_receipt(file)
        if exams is None:
            exams = pq.read_table(file)
            receipt = msgspec.structs.replace(
                receipt,
                facility=earlier.facility,
                sources=tuple(dict.fromkeys((*earlier.sources, *receipt.sources))),
                received=earlier.received,
                counted=earlier.counted,
                left_out=earlier.left_out,
            )
        if not receipt.answers:
            receipt = msgspec.structs.replace(receipt, answers=earlier.answers)
    table = exams if exams is not None else pa.table({})
    for name in ("country", "participant"):
        if name not in table.column_names:
            value = getattr(receipt, name)
            table = table.add_column(0, name, pa.array([value] * table.num_rows, pa.string()))
    # In an order that says nothing about when an exam was done, and that is the same for the same exams.
    table = table.sort_by([(name, "ascending") for name in table.column_names]) if table.num_rows else table
    table = table.replace_schema_metadata({RECEIPT: msgspec.json.encode(receipt)})
    write_whole(file, lambda unfinished: pq.write_table(table, unfinished, compression="zstd"))
    return receipt


def read_receipt(file: Path) -> Receipt:
    """Return what a participant's file says about itself.

    Raises:
        StudyError: the file is damaged or not one of a study.

    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata: Mapping[bytes, bytes] = pq.read_schema(file).metadata or {}
        return msgspec.json.decode(metadata[RECEIPT], type=Receipt)
    except (pa.ArrowException, OSError, KeyError, msgspec.MsgspecError) as error:
        raise StudyError(f"{file}: no whole file of collected data ({error}). Collect it again.") from error


def _content(file: Path, receipt: Receipt) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(file).replace_schema_metadata(None)
    except (pa.ArrowException, OSError) as error:
        raise StudyError(f"{file}: no whole file of collected data ({error}). Collect it again.") from error
    stream = pa.BufferOutputStream()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    never = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    timeless = msgspec.structs.replace(receipt, collected_at=never, sources=(), facility=None)
    return hashlib.sha256(stream.getvalue()).digest() + msgspec.json.encode(timeless)


def collected(study: Study, data_dir: Path) -> tuple[dict[str, tuple[Path, Receipt]], str]:
    """Return file and receipt of each participant that gave data, and the version of all of it.

    The country is that of the study file, also where it was mended after the data came in.
    The version is a hash of exams, answers and what was left out; when and from which file they came is not in it.

    Raises:
        StudyError: a file is damaged, or was collected for another study or from someone who does not take part.

    """
    found: dict[str, tuple[Path, Receipt]] = {}
    digest = hashlib.sha256()
    known = {participant.id: participant for participant in study.participants}
    for file in sorted(data_dir.glob("*.parquet")):
        receipt = read_receipt(file)
        if receipt.study != study.id or receipt.participant not in known:
            raise StudyError(
                f"{file}: collected for study {receipt.study!r} from {receipt.participant!r}, not for this one. Move it"
                " away."
            )
        of_study_file = msgspec.structs.replace(receipt, country=known[receipt.participant].country)
        found[receipt.participant] = (file, of_study_file)
        digest.update(_content(file, receipt))
    return found, digest.hexdigest()[:16]
