"""Time the main job in Beaconfold and in its peers: the same files, in turn, in one run.

Each run is a process of its own. Every cell of every answer is held against the exact truth;
no speed is asserted. Exit status 1 if Beaconfold's answer is wrong.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import polars as pl
from contender import Took
from generate import generate
from verdict import Verdict, judge

HERE = Path(__file__).parent
CONTENDERS = {
    "beaconfold": "beaconfold_replay.py",
    "duckdb": "duckdb_query.py",
    "polars": "polars_scan.py",
    "python": "python_loop.py",
}
BUILD = Path("build/bench")


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contenders", nargs="*", default=["beaconfold", "duckdb", "polars"])
    parser.add_argument("--data", type=Path, help="an archive made before (raw/, truth.parquet)")
    parser.add_argument("--n", type=int, default=5_000_000, help="else: how many beacons to make")
    parser.add_argument("--files", type=int, default=50, help="and in how many files")
    parser.add_argument("--runs", type=int, default=3, help="runs of each contender")
    parser.add_argument("--cores", type=int, default=2, help="threads or workers of each")
    given = parser.parse_args()
    unknown = set(given.contenders) - CONTENDERS.keys()
    if unknown:
        parser.error(f"no such contender: {', '.join(unknown)}; there are {', '.join(CONTENDERS)}")
    return given


def warm(data: Path) -> int:
    """Read the raw files once, so that no contender pays for the disk; return their size."""
    return sum(len(file.read_bytes()) for file in sorted((data / "raw").glob("part-*.txt")))


def run(contender: str, data: Path, answer: Path, cores: int) -> Took:
    """Run one contender's script to its end."""
    command = [sys.executable, str(HERE / CONTENDERS[contender])]
    command += ["--data", str(data), "--answer", str(answer), "--cores", str(cores)]
    environment = dict(os.environ)
    if contender == "polars":
        environment["POLARS_MAX_THREADS"] = str(cores)
    ran = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environment, check=True
    )
    return Took(**json.loads(ran.stdout.splitlines()[-1]))


def table(events: int, runs: dict[str, list[Took]], verdicts: dict[str, Verdict]) -> str:
    """Render the figures: each contender's median run, its largest process, its answer."""
    seconds = {name: median(took.seconds for took in taken) for name, taken in runs.items()}
    ours = seconds.get("beaconfold")
    head = ["beacons/s", "per CPU-s", "x Beaconfold", "peak memory", "cells", "users, rms/worst"]
    widths = [10, 10, 12, 12, 9, 16]
    lines = [" " * 21 + "".join(f" {text:>{w}}" for text, w in zip(head, widths, strict=True))]
    for name, taken in runs.items():
        verdict = verdicts[name]
        memory = max((took.memory for took in taken), key=max)
        row = [
            f"{events / seconds[name] / 1e6:.2f} M",
            f"{events / median(took.cpu for took in taken) / 1e6:.2f} M",
            f"{ours / seconds[name]:.2f}" if ours else "-",
            f"{len(memory)} x " * (len(memory) > 1) + f"{max(memory) / 1e9:.2f} GB",
            f"{verdict.wrong} wrong" if verdict.wrong else "exact",
            f"{verdict.typical:.1%} / {verdict.worst:.0%}",
        ]
        cells = "".join(f" {text:>{w}}" for text, w in zip(row, widths, strict=True))
        lines.append(f"{taken[0].name:21}{cells}")
    return "\n".join(lines)


def main() -> int:
    """Make the archive, run all contenders in turn, print the figures."""
    given = options()
    data = given.data or BUILD / "archive"
    if given.data is None:
        generate(given.n, given.files, data)
    gigabytes = warm(data) / 1e9
    runs: dict[str, list[Took]] = {name: [] for name in given.contenders}
    BUILD.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="answers-", dir=BUILD) as answers:
        paths = {name: Path(answers) / f"{name}.parquet" for name in runs}
        for turn in range(1, given.runs + 1):
            for name, taken in runs.items():
                took = run(name, data, paths[name], given.cores)
                taken.append(took)
                print(f"Run {turn} of {given.runs}: {took.name}, {took.seconds:.2f} s", flush=True)
        truth = pl.read_parquet(data / "truth.parquet")
        verdicts = {name: judge(pl.read_parquet(path), truth) for name, path in paths.items()}
    events = int(truth["count"].sum())
    size = f"{events:,} beacons, {gigabytes:.2f} GB, into {len(truth):,} cells"
    print(f"\n{size}; {given.cores} cores; median of {given.runs}")
    print(f"\n{table(events, runs, verdicts)}\n")
    for note in (taken[0].note for taken in runs.values() if taken[0].note):
        print(note)
    ours = verdicts.get("beaconfold")
    if ours and (ours.wrong or ours.out_of_bounds):
        print(f"Beaconfold is wrong: {ours.wrong} cells, {ours.out_of_bounds} users out of bounds")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
