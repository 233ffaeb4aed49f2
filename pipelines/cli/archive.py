"""``beacons archive``: what is in an archive."""

from __future__ import annotations

from pathlib import Path

import click
import polars as pl

from ..archive import Archive
from . import options
from .errors import Command, Group
from .output import write, written

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
    other; `bytes` are those on disk.

    For example:
      beacons archive list --archive archive
      beacons archive list --archive archive --segments --format csv
    """
    opened = Archive.open(archive, create=False)
    found = segments_of(opened)
    write(found if segments else partitions_of(found), form, output, ["partition"])


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
