"""What each contender's script does: answer the job in a process of its own and say what it took.

The answer is a Parquet file with the columns of the truth: `publisher`, `window`, `count`,
`clicks`, `sum_price`, `min_ts`, `max_ts`, `users`; times in ms since the epoch.
"""

import argparse
import json
import os
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl


@dataclass(frozen=True)
class Task:
    """The raw files, how many cores there are for them, and where to put the answer."""

    files: list[Path]
    cores: int
    answer: Path


@dataclass(frozen=True)
class Took:
    """What one run took: seconds, those of processors, each working process's peak memory."""

    name: str
    seconds: float
    cpu: float
    memory: Sequence[int]  # bytes
    note: str = ""


def task() -> Task:
    """Read the task from the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds raw/")
    parser.add_argument("--answer", type=Path, required=True, help="the Parquet file to write")
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    files = sorted((arguments.data / "raw").glob("part-*.txt"))
    return Task(files, arguments.cores, arguments.answer)


def report(took: Took) -> None:
    """Print what the run took, as one line of JSON."""
    print(json.dumps(asdict(took)))


def run(name: str, answer: Callable[[Sequence[Path], int], pl.DataFrame]) -> None:
    """Time one contender that works within this process."""
    given = task()
    began, cpu = time.perf_counter(), time.process_time()
    frame = answer(given.files, given.cores)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    frame.write_parquet(given.answer)
    report(Took(name, seconds, cpu, [peak_memory()]))


def peak_memory() -> int:
    """Give this process's peak resident memory in bytes.

    Linux is asked for its own high-water mark, since `ru_maxrss` there starts at the parent's.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
