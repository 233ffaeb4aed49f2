"""HyperLogLog beside a Python loop over `datasketches`, on the same data, run in turn.

    .venv/bin/python benchmarks/hyperloglog.py [--rows 500000] [--rounds 7]

Both sides go from columns to columns: rows to states, states to merged states, states to
estimates, and states to and from compact DataSketches bytes. What rests in a column is bytes: a
state's on our side; on the loop's those of an updatable sketch, which it reads and writes. Both
have one core: the loop has no use for more. What is measured is the process's own time on it, so
that a busy machine changes little.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

os.environ["POLARS_MAX_THREADS"] = "1"  # read when Polars is imported

import datasketches
import numpy as np
import polars as pl

from beaconfold.monoids import HyperLogLog
from beaconfold.monoids.datasketches_export import to_datasketches
from beaconfold.monoids.datasketches_import import from_datasketches

LG_K = 12
GOAL = 4
USERS = HyperLogLog("user", lg_k=LG_K).bind({"user": pl.String()})


class Result(NamedTuple):
    """One line of the report: medians in seconds."""

    path: str
    data: str
    items: int
    unit: str
    ours: float
    loop: float


def fold(frame: pl.DataFrame) -> pl.DataFrame:
    folded = frame.group_by("key").agg(USERS.fold().alias("users"))
    return folded.with_columns(users=USERS.fold_states(folded["users"]))


def loop_fold(frame: pl.DataFrame) -> pl.DataFrame:
    sketches: dict[str, datasketches.hll_sketch] = {}
    for key, user in zip(frame["key"], frame["user"], strict=True):
        sketch = sketches.get(key)
        if sketch is None:
            sketch = sketches[key] = datasketches.hll_sketch(LG_K, datasketches.HLL_8)
        sketch.update(user)
    return at_rest(sketches)


def plus(partials: pl.DataFrame) -> pl.DataFrame:
    merged = partials.group_by("key").agg(USERS.plus("users"))
    return merged.with_columns(users=USERS.plus_states(merged["users"]))


def loop_plus(partials: pl.DataFrame) -> pl.DataFrame:
    unions: dict[str, datasketches.hll_union] = {}
    for key, data in zip(partials["key"], partials["users"], strict=True):
        union = unions.get(key)
        if union is None:
            union = unions[key] = datasketches.hll_union(LG_K)
        union.update(datasketches.hll_sketch.deserialize(data))
    return at_rest({key: each.get_result(datasketches.HLL_8) for key, each in unions.items()})


def present(partials: pl.DataFrame) -> pl.Series:
    return USERS.present(partials["users"])


def loop_present(partials: pl.DataFrame) -> pl.Series:
    read = datasketches.hll_sketch.deserialize
    return pl.Series([read(data).get_estimate() for data in partials["users"]])


def loop_export(partials: pl.DataFrame) -> pl.Series:
    read = datasketches.hll_sketch.deserialize
    return pl.Series([read(data).serialize_compact() for data in partials["users"]])


def loop_import(exported: pl.Series) -> pl.Series:
    read = datasketches.hll_sketch.deserialize
    return pl.Series([read(data).serialize_updatable() for data in exported])


def at_rest(sketches: dict[str, datasketches.hll_sketch]) -> pl.DataFrame:
    data = [sketch.serialize_updatable() for sketch in sketches.values()]
    return pl.DataFrame({"key": list(sketches), "users": data})


def tiled(partials: pl.DataFrame) -> pl.DataFrame:
    """Repeat a few partials under other keys, so that there are as many as in life."""
    times = -(-20_000 // len(partials))
    copies = [partials.with_columns(pl.col("key") + f"-{each}") for each in range(times)]
    return pl.concat(copies, rechunk=True)


def in_turn(rounds: int, ours: Callable[[], object], loop: Callable[[], object]) -> list[float]:
    """Run both once for warmth, then in turn; give the medians of their times."""
    times: list[list[float]] = [[], []]
    for turn in range(-1, rounds):
        for side, run in enumerate((ours, loop)):
            begin = time.process_time()
            run()
            if turn >= 0:
                times[side].append(time.process_time() - begin)
    return [statistics.median(each) for each in times]


def measure(data: str, frame: pl.DataFrame, rounds: int) -> list[Result]:
    """Measure all paths on frames of ``key`` and ``user``."""
    first = pl.Series(np.random.default_rng(8).random(len(frame)) < 0.5)
    halves = [frame.filter(first), frame.filter(~first)]
    states, sketches = (
        tiled(pl.concat([folding(half) for half in halves])) for folding in (fold, loop_fold)
    )
    exported = loop_export(sketches)
    pairs: list[tuple[str, int, str, Callable[[], object], Callable[[], object]]] = [
        ("fold", len(frame), "row", lambda: fold(frame), lambda: loop_fold(frame)),
        ("plus", len(states), "state", lambda: plus(states), lambda: loop_plus(sketches)),
        ("present", len(states), "state", lambda: present(states), lambda: loop_present(sketches)),
        ("export", len(states), "state", lambda: to_datasketches(states["users"], LG_K),
         lambda: loop_export(sketches)),
        ("import", len(states), "state", lambda: from_datasketches(exported, LG_K),
         lambda: loop_import(exported)),
    ]  # fmt: skip
    results = []
    if frame["key"].n_unique() == 1:  # what is not done by row is only overhead
        pairs = pairs[:1]
    for path, count, unit, ours, loop in pairs:
        results.append(Result(path, data, count, unit, *in_turn(rounds, ours, loop)))
        print(line(results[-1]), flush=True)
    return results


def line(result: Result) -> str:
    ours, loop = (1e9 * each / result.items for each in (result.ours, result.loop))
    ratio = result.loop / result.ours
    flag = "" if ratio >= GOAL else f"  below {GOAL}x"
    return (
        f"{result.path:8} {result.data:28} {result.items:8,} {result.unit + 's':6}"
        f" {ours:9,.0f} ns {loop:9,.0f} ns {ratio:6.1f}x{flag}"
    )


def frames(rows: int) -> dict[str, pl.DataFrame]:
    """Make traffic: of many publishers, as in life, and of one size of sketch each."""
    rng = np.random.default_rng(7)
    publishers = max(1, rows // 80)
    weights = 1 / np.arange(1, publishers + 1)
    zipf = rng.choice(publishers, rows, p=weights / weights.sum())

    def traffic(keys: np.ndarray) -> pl.DataFrame:
        users = pl.Series("user", rng.integers(0, 2**40, len(keys)))
        key = pl.format("publisher-{}", pl.Series("key", keys))
        return pl.select(key=key, user=pl.format("user-{}", users))

    return {
        f"{publishers:,} publishers, Zipf": traffic(zipf),
        "5 users a publisher": traffic(np.arange(rows // 2) % (rows // 10)),
        "200 users a publisher": traffic(np.arange(rows) % (rows // 200)),
        "2,000 users a publisher": traffic(np.arange(rows) % (rows // 2000)),
        "one publisher": traffic(np.zeros(rows, np.int64)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    print(f"lg_k={LG_K}; medians of {options.rounds}; a unit: ours, the loop, the ratio")
    for data, frame in frames(options.rows).items():
        measure(data, frame, options.rounds)


if __name__ == "__main__":
    main()
