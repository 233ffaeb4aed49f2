"""The job in Beaconfold: its archive, replayed into SQLite on a local Dask cluster."""

import importlib
import tempfile
import time
from pathlib import Path

import polars as pl
from contender import Task, Took, peak_memory, report, task
from distributed import Client

from beaconfold import Archive, __version__, local_cluster, open_store, replay
from beaconfold.pipelines.jobs import publisher_traffic
from beaconfold.pipelines.receiver import Receiver
from beaconfold.pipelines.sources import open_source


def ingest(files: list[Path], url: str) -> str:
    """Receive the raw files into an archive, one after the other; say what it took."""
    archive, began, rows, size = Archive.open(url), time.perf_counter(), 0, 0
    for partition in open_source(str(files[0].with_name("part-*.txt"))).partitions():
        end = Receiver(partition, archive).run()
        rows, size = rows + end.rows, size + end.bytes
    seconds = time.perf_counter() - began
    rate = f"{rows / seconds / 1e6:.2f} M beacons/s"
    return f"Writing Beaconfold's archive, one process: {rate}, {size / seconds / 1e6:.0f} MB/s"


def answer(store: str) -> pl.DataFrame:
    """Query the store, and name the columns as the truth does."""
    found = open_store(store).query(publisher_traffic.name)
    return found.select(
        "publisher",
        pl.col("window").dt.epoch("ms"),
        pl.col("beacons").alias("count"),
        "clicks",
        pl.col("revenue").alias("sum_price"),
        pl.col("first").dt.epoch("ms").alias("min_ts"),
        pl.col("last").dt.epoch("ms").alias("max_ts"),
        "users",
    )


def cpu_time(client: Client) -> float:
    """Sum the processor time of the driver, the scheduler in it, and the workers."""
    workers: dict[str, float] = client.run(time.process_time)
    return time.process_time() + sum(workers.values())


def measure(given: Task, folder: str) -> Took:
    """Time the replay once the archive is written and the cluster is up."""
    archive, store = f"{folder}/archive", f"sqlite:///{folder}/beacons.db"
    note = ingest(given.files, archive)
    with local_cluster(given.cores) as client:
        client.run(importlib.import_module, "beaconfold")
        cpu, began = cpu_time(client), time.perf_counter()
        replay(publisher_traffic, archive=archive, store=store, client=client)
        seconds, cpu = time.perf_counter() - began, cpu_time(client) - cpu
        memory = list(client.run(peak_memory).values())
    answer(store).write_parquet(given.answer)
    return Took(f"Beaconfold {__version__}", seconds, cpu, memory, note)


if __name__ == "__main__":
    now = task()
    with tempfile.TemporaryDirectory(dir=now.answer.parent) as place:
        report(measure(now, place))
