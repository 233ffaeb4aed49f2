"""``beacons replay``: apply to a store whatever it lacks of an archive."""

from __future__ import annotations

from datetime import datetime

import click

from ..archive import Archive
from ..generation import open_generation
from ..job import Job
from ..platforms import replay as replay_job
from ..progress import BatchProgress
from . import options
from .computing import cluster
from .display import Status, logging_to, standard_error
from .errors import Command
from .places import is_missing, store_at
from .run import report_poison


@click.command(cls=Command)
@options.job
@options.archive
@options.store
@options.between("Whole segments received")
@click.option("--dry-run", is_flag=True, help="Only say what would be merged.")
@options.computing
def replay(
    job: Job,
    archive: str,
    store: str,
    since: datetime | None,
    until: datetime | None,
    dry_run: bool,
    scheduler: str | None,
    workers: int | None,
) -> None:
    r"""Merge into a store the segments of an archive that it lacks.

    Catching up, recovering and filling a new store are the same thing: a segment that the store
    has merged already is not merged again, so running it twice changes nothing. Segments that were
    set aside, because the job could not fold them, are tried again.

    JOB is a ready job's name, or module:attribute for one of your own.

    For example:
      beacons replay publisher-uniques --archive archive --store sqlite:///uniques.db
      beacons replay my_jobs:clicks --archive archive --store sqlite:///beacons.db \
          --from 2015-09-12 --to 2015-09-13 --dry-run
    """
    console = standard_error()
    opened = Archive.open(archive, create=False)
    # A dry run makes no store: of one that is not there, an empty one tells as much.
    place = store_at("memory://" if dry_run and is_missing(store) else store)
    done = BatchProgress()

    def show(batch: BatchProgress, total: int) -> None:
        nonlocal done
        done = done + batch
        text = f"{done.segments} of {total} segments, {done.num_input_rows:,} beacons"
        status.show(text, done.segments, total)

    with logging_to(console), Status(console, bar=True) as status:
        result = replay_job(
            job, archive=opened, store=place, since=since, until=until, dry_run=True
        )
        if not dry_run and not result.segments:
            # Nothing to do but to record what has ended: no cluster is started for that.
            result = replay_job(job, archive=opened, store=place, since=since, until=until)
        elif not dry_run:
            with cluster(scheduler, workers, store, status) as client:
                result = replay_job(
                    job,
                    archive=opened,
                    store=place,
                    client=client,
                    since=since,
                    until=until,
                    on_progress=show,
                )
    click.echo(str(result))
    if not dry_run:
        report_poison(place, open_generation(job, place))
