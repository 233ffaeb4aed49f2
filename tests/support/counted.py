"""Beacons that can be counted: each has a number of its own, so none can hide."""

from pathlib import Path

import polars as pl

from beaconfold import Count, HyperLogLog, Job, Max, MergeableStore, Min, QueryString, Sum

START = 1_700_000_000_000

counted = Job(
    "counted",
    decode=QueryString(site=pl.String, n=pl.Int64, ts=pl.Datetime("ms", "UTC")),
    event_time="ts",
    window="1m",
    key=["site"],
    aggregate={
        "beacons": Count(),
        "total": Sum("n"),
        "first": Min("n"),
        "last": Max("n"),
        "users": HyperLogLog("site", lg_k=8),
    },
)


def write(path: Path, rows: int) -> None:
    """Write that many beacons, numbered from 0, to a file."""
    numbers = pl.DataFrame({"n": pl.arange(0, rows, eager=True)})
    line = pl.format(
        "/b.gif?site=s{}&n={}&ts={}",
        pl.col("n") % 97,
        pl.col("n"),
        START + pl.col("n") * 7,
    )
    path.write_text("\n".join(numbers.select(line).to_series()) + "\n")


def check_all_once(store: MergeableStore, rows: int) -> None:
    """Hold a store to the arithmetic: every number is in it, once."""
    found = store.query("counted")
    assert found["beacons"].sum() == rows
    assert found["total"].sum() == rows * (rows - 1) // 2
    assert found["first"].min() == 0
    assert found["last"].max() == rows - 1
    site = found.group_by("site").agg(pl.col("beacons").sum(), pl.col("total").sum())
    for name, beacons, total in site.rows():
        numbers = range(int(name[1:]), rows, 97)
        assert (beacons, total) == (len(numbers), sum(numbers))
