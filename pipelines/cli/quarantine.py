"""``beacons quarantine``: the beacons that could not be decoded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import polars as pl

from ...stores import Quarantine, SegmentId
from ..archive import Archive, SegmentRef
from . import options
from .errors import Command, Failure, Group
from .output import write, written
from .places import existing_store


@click.group(cls=Group)
def quarantine() -> None:
    """Look after the beacons that could not be decoded."""


@quarantine.command("list", cls=Command)
@options.jobname
@options.store
@written
def list_reasons(jobname: str, store: str, form: str, output: Path | None) -> None:
    """Count the beacons that a job set aside, by reason.

    Nothing is dropped silently: a beacon that cannot be decoded, or has no event time, is kept in
    the archive and named here.

    For example:
      beacons quarantine list publisher-traffic --store sqlite:///beacons.db
      beacons quarantine list publisher-traffic --store sqlite:///beacons.db --format csv
    """
    place = existing_store(store)
    reasons = (
        place.quarantine(place.live(jobname))
        .list()
        .group_by("reason")
        .agg(beacons=pl.col("rows").sum(), segments=pl.len())
        .sort("beacons", "reason", descending=[True, False])
    )
    write(reasons, form, output)


@quarantine.command("show", cls=Command)
@options.jobname
@options.store
@options.optional_archive
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="Beacons to show.",
)
@written
def show(
    jobname: str, store: str, archive: str | None, limit: int, form: str, output: Path | None
) -> None:
    r"""Show beacons that a job set aside: where each is, why, and its raw bytes.

    The store knows the reasons, the archive has the beacons: without it they are not shown.

    For example:
      beacons quarantine show publisher-traffic --archive archive --store sqlite:///beacons.db
      beacons quarantine show publisher-traffic --archive archive \
          --store sqlite:///beacons.db --limit 1000 --format json
    """
    place = existing_store(store)
    kept = place.quarantine(place.live(jobname))
    opened = None if archive is None else Archive.open(archive, create=False)
    parts, left = [_NONE if opened is None else _NONE.with_columns(raw=pl.lit(b""))], limit
    for part in beacons(kept, opened):
        parts.append(part.head(left))
        left -= parts[-1].height
        if left == 0:
            break
    write(pl.concat(parts), form, output)


_NONE = pl.DataFrame(schema={"segment": pl.String(), "row": pl.UInt32(), "reason": pl.String()})


def beacons(kept: Quarantine, archive: Archive | None) -> Iterator[pl.DataFrame]:
    """Yield a segment's rejected beacons at a time: ``segment row reason``, and ``raw``.

    Raises
    ------
    Failure
        The archive is not the one that they came from.
    """
    names = kept.list()["segment"].unique(maintain_order=True)
    where = {} if archive is None else {str(ref.id): ref for ref in archive.segments()}
    for name in names:
        rejected = kept.get(SegmentId.parse(name)).sort("row")
        frame = rejected.select(pl.lit(name).alias("segment"), "row", "reason")
        if archive is None:
            yield frame
        elif name in where:
            yield frame.with_columns(raw=_raw(archive, where[name], rejected["row"]))
        else:
            raise Failure(f"segment {name} is not in the archive {archive.url}")


def _raw(archive: Archive, ref: SegmentRef, rows: pl.Series) -> pl.Series:
    return archive.read(ref)["raw"].gather(rows)
