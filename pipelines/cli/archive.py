"""``beacons archive``: what is in an archive."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path

import click
import polars as pl

from ...stores import SegmentId, SystemClock
from ...stores.times import parse_duration
from ..archive import Archive
from . import options
from .errors import Command, Group
from .output import write, written
from .places import existing_store

_INSTANT = pl.Datetime("us", "UTC")
_SEGMENTS = pl.Schema(
    {
        "partition": pl.String(),
        "epoch": pl.Int64(),
        "sequence": pl.Int64(),
        "rows": pl.Int64(),
        "bytes": pl.Int64(),
        "first": _INSTANT,
        "last": _INSTANT,
    }
)


@click.group(cls=Group)
def archive() -> None:
    """Look after the archive of segments."""


@archive.command("list", cls=Command)
@options.archive
@click.option("--segments", is_flag=True, help="A row for each segment.")
@written
def list_segments(archive: str, segments: bool, form: str, output: Path | None) -> None:
    """List what an archive holds: beacons, bytes, and when they were received.

    A row for each source partition: `epochs` counts the receivers that it has had, one after the
    other; `bytes` are those on disk; `expired` segments were deleted.

    For example:
      beacons archive list --archive archive
      beacons archive list --archive archive --segments --format csv
    """
    opened = Archive.open(archive, create=False)
    found = segments_of(opened)
    if not segments:
        gone = [(each.partition, each.stop) for each in opened.expired()]
        expired = pl.DataFrame(gone, {"partition": pl.String, "expired": pl.Int64}, orient="row")
        expired = expired.group_by("partition").sum()
        found = partitions_of(found).join(expired, on="partition", how="left")
        found = found.with_columns(pl.col("expired").fill_null(0)).select(
            "partition", "epochs", "segments", "expired", "rows", "bytes", "first", "last"
        )
    write(found, form, output, ["partition"])


def segments_of(archive: Archive) -> pl.DataFrame:
    """Describe each segment: ``partition epoch sequence rows bytes first last``."""
    rows = [
        (*ref.id[1:], header.rows, ref.size, header.first, header.last)
        for ref in archive.segments()
        for header in [archive.header(ref)]
    ]
    return pl.DataFrame(rows, _SEGMENTS, orient="row")


def partitions_of(segments: pl.DataFrame) -> pl.DataFrame:
    """Sum segments up by partition, in order of name."""
    return (
        segments.group_by("partition")
        .agg(
            pl.col("epoch").n_unique().alias("epochs"),
            pl.len().alias("segments"),
            pl.col("rows", "bytes").sum(),
            pl.col("first").min(),
            pl.col("last").max(),
        )
        .sort("partition")
    )


@archive.command("expire", cls=Command)
@options.archive
@click.option(
    "--older-than",
    metavar="DURATION",
    type=options.duration,
    required=True,
    help="Delete segments received longer ago than this: 30d, say.",
)
@click.option(
    "--store",
    "stores",
    metavar="URL",
    multiple=True,
    help="Keep what a job of this store, that reads this archive, has not merged yet. Repeatable.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
def expire(archive: str, older_than: str, stores: tuple[str, ...], dry_run: bool) -> None:
    """Delete old segments; what they were is remembered.

    A store keeps what it has merged. What it has not merged it never will: `beacons run` and
    `beacons replay` then name the gap. The last segment of each source stays, as its receiver goes
    on from there.

    For example:
      beacons archive expire --archive archive --older-than 30d --dry-run
      beacons archive expire --archive archive --older-than 30d --store sqlite:///beacons.db
    """
    opened = Archive.open(archive, create=False)
    before = SystemClock().now() - timedelta(microseconds=parse_duration(older_than))
    done = opened.expire(before, keep=_unmerged(opened, stores), dry_run=dry_run)
    text = f"{done.segments} segments, {done.beacons:,} beacons, {done.bytes:,} bytes"
    click.echo(f"{'would delete' if dry_run else 'deleted'} {text}")
    if done.kept:
        click.echo(f"kept {done.kept} segments: a store has not merged them all", err=True)


def _unmerged(archive: Archive, urls: Iterable[str]) -> Callable[[SegmentId], bool]:
    """Say of a segment whether a job that reads this archive has still to merge it."""
    ledgers = [
        store.segments(generation)
        for store in map(existing_store, urls)
        for generation in store.generations()
        if generation.state in {"building", "live"}
    ]
    reading = [
        ledger for ledger in ledgers if any(name == archive.id for name, _ in ledger.partitions)
    ]
    return lambda segment: any(segment not in ledger for ledger in reading)
