"""Run the analysis' expressions on a Spark cluster and write what they give as Parquet: a job of ``test_spark``.

It runs in a process of its own, as a user's job would, with the same expressions that DuckDB is given.
"""

from __future__ import annotations

import sys
from pathlib import Path

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
from expressions import EXPRESSIONS  # type: ignore[import-not-found]  # beside this file
from pyspark.sql import SparkSession


def main(master: str, mart: Path, output: Path, names: list[str]) -> None:
    """Answer the named expressions from the mart's files and write one Parquet file each."""
    settings = {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.cores.max": "2",
        "spark.executor.cores": "1",
        "spark.executor.memory": "512m",
        "spark.scheduler.minRegisteredResourcesRatio": "1.0",
        "spark.scheduler.maxRegisteredResourcesWaitingTime": "60s",
        "spark.sql.shuffle.partitions": "4",
        "spark.sql.session.timeZone": "UTC",
    }
    builder = SparkSession.builder.master(master).appName("doseatlas")
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    backend = ibis.pyspark.connect(session)
    session.read.option("recursiveFileLookup", "true").parquet(str(mart / "exams")).createOrReplaceTempView("exams")
    for name in names:
        pq.write_table(EXPRESSIONS[name](backend.table("exams")).to_pyarrow(), output / f"{name}.parquet")
    executors = session.sparkContext._jsc.sc().getExecutorMemoryStatus().size() - 1  # the driver is among them
    pq.write_table(pa.table({"executors": [executors]}), output / "executors.parquet")
    session.stop()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:])
