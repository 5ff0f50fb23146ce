"""How fast, and in how much memory, do dose reports get into the store, and how fast does the mart follow?

Imports are durable, with the archive on. The peer is pydicom reading and walking the same files in one process and
doing nothing else with them. It is timed on a sample of the files, since the whole would take minutes; its time for all
is the sample's scaled up.
"""

from __future__ import annotations

import random
import shutil
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import select

from benchmarks.measure import Row, run, seconds
from benchmarks.reading import walk_with_pydicom
from doseatlas.dicom.simulate import mart_arrow
from doseatlas.settings import Settings
from doseatlas.store import Store
from doseatlas.store.derive import DERIVATION, ExamRow
from doseatlas.store.record import mark_months, replace_exams
from doseatlas.store.schema import exams as exam_table

PEER_SAMPLE = 500
BAR_RATIO = 8
BAR_MEBIBYTES = 400
OPENREM_REPORTS_PER_SECOND = 7.7
MART_EXAMS = 1_000_000
NEW_EXAMS = 1_000
REFRESHES = 5
BAR_REFRESH_SECONDS = 1.0


def measure(folders: list[Path], work: Path) -> list[Row]:
    """Import each folder of CT reports into a new store; the first is compared with pydicom."""
    rows = []
    for folder in folders:
        files = sorted(folder.rglob("*.dcm"))
        elapsed, peak = _import(folder, work / "store")
        rate = len(files) / elapsed
        if folder == folders[0]:
            peer = _pydicom_seconds_each(files)
            ratio = peer * len(files) / elapsed
            rows.append(
                Row(
                    f"importing {len(files):,} CT reports",
                    f"{ratio:.1f} times pydicom",
                    f"at least {BAR_RATIO} times",
                    ratio >= BAR_RATIO,
                    f"{elapsed:.1f} s ({rate:.0f} a second, {elapsed / len(files) * 1e3:.2f} ms each) against "
                    f"pydicom's {peer * 1e3:.1f} ms each (sample of {PEER_SAMPLE}); OpenREM 1.0.0b3 was measured at "
                    f"{OPENREM_REPORTS_PER_SECOND} a second elsewhere",
                )
            )
        rows.append(
            Row(
                f"peak memory, importing {len(files):,} CT reports",
                f"{peak:.0f} MiB",
                f"under {BAR_MEBIBYTES} MiB",
                peak < BAR_MEBIBYTES,
                f"all processes together; {elapsed:.1f} s, {rate:.0f} a second",
            )
        )
    return [*rows, _refresh(work)]


def _refresh(work: Path) -> Row:
    """Time the mart's refresh after new exams of the latest month, in every facility of a store of a million exams."""
    import msgspec

    with Store.from_settings(Settings(data_dir=str(_large_store(work)))) as store:
        chance = random.Random(3)
        with store.database.reading() as connection:
            latest = select(exam_table).order_by(exam_table.c.study_date.desc()).limit(NEW_EXAMS)
            rows = [ExamRow(*row) for row in connection.execute(latest)]
        times, files = [], 0
        for _ in range(REFRESHES):
            new = [msgspec.structs.replace(row, exam_id=f"{chance.getrandbits(128):032x}") for row in rows]
            with store.database.writing() as connection:
                mark_months(connection, replace_exams(connection, exam_table, new))
            times.append(seconds(lambda: store.refresh_mart()))
            files = len({(row.facility, row.month) for row in new})
    elapsed = statistics.median(times)
    return Row(
        f"refreshing the mart after {NEW_EXAMS:,} new exams among {MART_EXAMS:,}",
        f"{elapsed:.2f} s",
        f"under {BAR_REFRESH_SECONDS:g} s",
        elapsed < BAR_REFRESH_SECONDS,
        f"median of {REFRESHES}; {files} files of a month and facility written, {min(times):.2f} to {max(times):.2f} s",
    )


def _large_store(work: Path) -> Path:
    """Return the data folder of a store of a million made-up exams, making it where it is not there yet."""
    folder = work / f"store-{MART_EXAMS}-of-derivation-{DERIVATION}"
    if not (folder / "finished").exists():
        print(f"filling a store with {MART_EXAMS:,} exams ...", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        with Store.from_settings(Settings(data_dir=str(folder))) as store:
            for rows in _made_up_rows():
                with store.database.writing() as connection:
                    mark_months(connection, replace_exams(connection, exam_table, rows))
            store.refresh_mart()
        (folder / "finished").touch()
    return folder


def _made_up_rows() -> Iterator[list[ExamRow]]:
    """Draw exams as the mart has them; beside each row as many bytes as a compressed exam usually has."""
    import msgspec

    encode = msgspec.json.Encoder().encode
    for batch in mart_arrow("country", MART_EXAMS, seed=1).to_batches(max_chunksize=20_000):
        rows = []
        for row in batch.to_pylist():
            row["exam_id"] = f"{random.getrandbits(128):032x}"
            name = row["procedure_text"] or ""
            rows.append(
                ExamRow(
                    exam_id=row["exam_id"],
                    kind=row["kind"],
                    study_date=str(row["study_date"]),
                    facility=row["facility"],
                    month=row["month"],
                    mapping_key=f"{row['kind']}:{name.casefold()}",
                    name=name,
                    mapped_by=row["mapped_by"],
                    exam=random.randbytes(1000),
                    mart_row=encode({name: value for name, value in row.items() if value is not None}),
                )
            )
        yield rows


def _import(folder: Path, work: Path) -> tuple[float, float]:
    shutil.rmtree(work, ignore_errors=True)
    done = run(
        [str(Path(sys.executable).with_name("doseatlas")), "import", str(folder)], {"DOSEATLAS_DATA_DIR": str(work)}
    )
    shutil.rmtree(work)
    return done.seconds, done.peak_mebibytes


def _pydicom_seconds_each(files: list[Path]) -> float:
    sample = random.Random(1).sample(files, min(PEER_SAMPLE, len(files)))
    total = seconds(lambda: [walk_with_pydicom(path.read_bytes()) for path in sample])
    return total / len(sample)
