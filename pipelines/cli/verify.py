"""``beacons verify``: replay into memory and compare with the store."""

from __future__ import annotations

from datetime import datetime

import click

from ..archive import Archive
from ..batch import FoldedSegments
from ..generation import open_generation
from ..job import Job
from ..platforms import verify as verify_job
from . import options
from .computing import cluster
from .display import Status, logging_to, standard_error
from .errors import Command
from .places import existing_store
from .table import table

SHOWN = 20
"""Differing cells that are listed."""


@click.command(cls=Command)
@options.job
@options.archive
@options.store
@options.between("Only windows that start")
@options.computing
def verify(
    job: Job,
    archive: str,
    store: str,
    since: datetime | None,
    until: datetime | None,
    scheduler: str | None,
    workers: int | None,
) -> None:
    r"""Replay into memory what a store has merged, and compare every state to the byte.

    Exit status 0 if they agree; else 1, and the cells that differ: what the store says, and what
    the archive says. Segments that the store has not merged yet are counted, not compared.

    JOB is a ready job's name, or module:attribute for one of your own.

    For example:
      beacons verify publisher-traffic --archive archive --store sqlite:///beacons.db
      beacons verify my_jobs:clicks --archive archive --store sqlite:///beacons.db \
          --from 2015-09-12T01:00 --to 2015-09-12T02:00
    """
    console = standard_error()
    opened = Archive.open(archive, create=False)
    place = existing_store(store)
    place.live(job.name)
    open_generation(job, place)
    folded = 0

    def show(of: FoldedSegments, total: int) -> None:
        nonlocal folded
        folded += len(of.refs)
        status.show(f"{folded} of {total} segments", folded, total)

    with (
        logging_to(console),
        Status(console, bar=True) as status,
        cluster(scheduler, workers, store, status) as client,
    ):
        result = verify_job(
            job,
            archive=opened,
            store=place,
            client=client,
            since=since,
            until=until,
            on_progress=show,
        )
    click.echo(str(result))
    if not result:
        for line in table(result.differing.head(SHOWN), repeated=job.by):
            click.echo(line)
        if (more := result.differing.height - SHOWN) > 0:
            click.echo(f"… and {more:,} more")
        raise click.exceptions.Exit(1)
