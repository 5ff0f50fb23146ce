"""Spark and DuckDB give the same answers to the same expressions, row by row, Spark as a cluster of two workers."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from doseatlas.analysis import mart_table
from doseatlas.dicom.simulate import mart_arrow
from doseatlas.store.mart_schema import EXAM_COLUMNS

from .conftest import ARROW_TYPES
from .expressions import EVERY_RUN, EXPRESSIONS

HERE = Path(__file__).parent
LOGGED_WITHIN_S = 60


@pytest.fixture(scope="module")
def mart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made-up country of six facilities, a file each."""
    folder = tmp_path_factory.mktemp("mart")
    exams = mart_arrow("country", 6000, 11, start=dt.date(2025, 1, 1), end=dt.date(2025, 6, 30))
    for column in EXAM_COLUMNS:  # the simulator derives no doses
        if column.name not in exams.column_names:
            exams = exams.append_column(column.name, pa.nulls(len(exams), ARROW_TYPES[column.type]))
    for number, part in enumerate(exams.slice(i, 1000) for i in range(0, 6000, 1000)):
        (folder / "exams" / str(number)).mkdir(parents=True)
        pq.write_table(part, folder / "exams" / str(number) / "part.parquet")
    return folder


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a standalone Spark master on loopback with two workers."""
    if shutil.which("java") is None:
        pytest.skip("there is no Java on this machine, which Spark needs")
    spec = find_spec("pyspark")
    if spec is None or spec.origin is None:
        pytest.skip("pyspark is not installed")
    home = Path(spec.origin).parent
    port = _free_port()
    address = f"spark://127.0.0.1:{port}"
    env = os.environ | {"SPARK_HOME": str(home), "SPARK_LOCAL_IP": "127.0.0.1"}
    command = [str(home / "bin" / "spark-class"), "org.apache.spark.deploy"]
    place = ["--host", "127.0.0.1", "--webui-port", "0"]
    started = [_start(command, "master.Master", ["--port", str(port), *place], env, "I have been elected leader")]
    try:
        for number in range(2):
            folder = tmp_path_factory.mktemp(f"worker-{number}")
            options = [*place, "--cores", "1", "--memory", "1g", "--work-dir", str(folder), address]
            started.append(_start(command, "worker.Worker", options, env, "Successfully registered with master"))
        yield address
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait(30)
            assert process.stderr is not None
            process.stderr.close()


def _start(command: list[str], role: str, options: list[str], env: dict[str, str], ready: str) -> subprocess.Popen[str]:
    """Start a master or worker and return when it says in its log that it is ready."""
    launcher, package = command
    process = subprocess.Popen(
        [launcher, f"{package}.{role}", *options], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    is_ready = threading.Event()

    def follow() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            if ready in line:
                is_ready.set()

    threading.Thread(target=follow, daemon=True).start()
    if not is_ready.wait(LOGGED_WITHIN_S):
        process.kill()
        pytest.fail(f"Spark's {role} was not ready within {LOGGED_WITHIN_S} s")
    return process


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _rows(table: pa.Table) -> list[dict[str, Any]]:
    """Return the rows in an order that does not depend on the engine: by all columns that are not measured."""
    keys = [field.name for field in table.schema if not pa.types.is_floating(field.type)]
    rows: list[dict[str, Any]] = table.to_pylist()
    return sorted(rows, key=lambda row: [str(row[name]) for name in keys])


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(EVERY_RUN, id="one of each kind"),
        pytest.param([name for name in EXPRESSIONS if name not in EVERY_RUN], id="others", marks=pytest.mark.nightly),
    ],
)
def test_spark_and_duckdb_agree_row_by_row(mart: Path, master: str, tmp_path: Path, names: Sequence[str]) -> None:
    env = os.environ | {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}
    job = [sys.executable, str(HERE / "spark_job.py"), master, str(mart), str(tmp_path), *names]
    done = subprocess.run(job, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert pq.read_table(tmp_path / "executors.parquet")["executors"].to_pylist() == [2]
    for name in names:
        ours = _rows(EXPRESSIONS[name](mart_table(mart)).to_pyarrow())
        theirs = _rows(pq.read_table(tmp_path / f"{name}.parquet"))
        assert len(ours) == len(theirs) > 0, name
        for one, other in zip(ours, theirs, strict=True):
            assert one == {key: _about(value) for key, value in other.items()}, name


def _about(value: Any) -> Any:
    """Allow for the order in which engines add up, in the last digits of a double."""
    if isinstance(value, list):
        return pytest.approx(value, rel=1e-12)
    return pytest.approx(value, rel=1e-12, abs=1e-12) if isinstance(value, float) else value
