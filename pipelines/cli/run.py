"""``beacons run``: the live stream."""

from __future__ import annotations

import time

import click

from ...stores import Generation, GenerationRetired, MergeableStore
from ..archive import Archive
from ..generation import open_generation
from ..job import Job
from ..platforms.stream import StreamProgress, StreamRun, stream
from ..sources import open_source
from . import options
from .computing import cluster
from .display import Status, logging_to, standard_error
from .ending import LOOK, Ending, ending
from .errors import Command
from .places import store_at
from .signals import stop_on_signals
from .table import shorten

SHOWN = 5
"""Segments set aside that are named."""


@click.command(cls=Command)
@options.job
@options.optional_source
@options.archive
@options.store
@options.receiving
@ending
@options.computing
def run(
    job: Job,
    source: str | None,
    archive: str,
    store: str,
    partition: str | None,
    max_rows: int,
    until_idle: bool,
    during: str | None,
    scheduler: str | None,
    workers: int | None,
) -> None:
    r"""Run JOB live: receive beacons, and merge each segment as it is published.

    Beacons are made durable in the archive first; then the segments that the store lacks are
    folded on the workers and merged, each exactly once. After a crash the same command goes on
    where it was. Without a source, or where another run receives it, the archive is followed.
    Sources that end, as files do, end the run; Ctrl-C ends it cleanly, a second one at once.

    JOB is a ready job's name, or module:attribute for one of your own.

    For example:
      beacons run publisher-traffic --source 'logs/*.gz' \
          --archive archive --store sqlite:///beacons.db
      beacons run my_jobs:clicks --source 'synthetic://?rate=1000' --for 30s \
          --archive archive --store sqlite:///beacons.db
    """
    console = standard_error()
    with stop_on_signals() as stop, logging_to(console), Status(console) as status:
        if source is not None:
            open_source(source).partitions()  # what is wrong with it is said before all else
        opened, place = Archive.open(archive), store_at(store)
        generation = open_generation(job, place)
        with (
            cluster(scheduler, workers, store, status) as client,
            stream(
                job,
                source=source,
                archive=opened,
                store=place,
                client=client,
                partition=partition,
                max_rows=max_rows,
            ) as running,
        ):
            follows = source is None and not until_idle
            for name in running.source.followed:
                status.say(f"{name} is received by another process: following the archive")
            try:
                progress = watch(
                    running,
                    Ending(stop, options.seconds(during), until_idle=until_idle),
                    status,
                    follows=follows,
                )
            except GenerationRetired as retired:
                click.echo(f"{job.name}: stopped: {retired}")
                return
    summarise(progress, opened, place, generation)


def watch(run: StreamRun, end: Ending, status: Status, *, follows: bool) -> StreamProgress:
    """Show a run until it is to end, then merge what was received.

    Raises
    ------
    GenerationRetired, GenerationDropped
        The store no longer takes this generation.
    ArchiveChanged, SourceUnreadable
        A receiver failed; what it had received is merged.
    """
    while not run.failed:
        progress = run.progress()
        status.show(str(progress))
        if end.reached(
            received=progress.received + progress.merged.merged_segments,
            pending=progress.backlog,
            waiting=follows or bool(run.source.followed) or not run.finished,
        ):
            break
        time.sleep(LOOK)
    run.source.supervisor.stop()
    while not run.finished or (not run.failed and run.progress().backlog):
        status.show(f"finishing: {run.progress()}")
        time.sleep(LOOK)
    return run.drain()


def summarise(
    progress: StreamProgress, archive: Archive, store: MergeableStore, generation: Generation
) -> None:
    """Say what the run has done; status 1 if the job cannot fold some of the archive."""
    merged = progress.merged
    if merged.merged_segments:
        text = (
            f"merged {merged.merged_segments} segments, {merged.num_input_rows:,} beacons "
            f"in {progress.seconds:.1f} s"
        )
    else:
        text = f"nothing to merge: all {len(archive.segments())} segments are merged"
    if merged.num_rejected_rows:
        text += f", {merged.num_rejected_rows:,} in quarantine"
    click.echo(f"{generation.job}: {text}")
    report_poison(store, generation)


def report_poison(store: MergeableStore, generation: Generation) -> None:
    """Name the segments that the job cannot fold, and exit with status 1 if there are any."""
    poison = store.poison(generation).list()
    if poison.is_empty():
        return
    click.echo(
        f"{poison.height} segments are set aside, as the job cannot fold them; "
        "`beacons replay` tries again"
    )
    for segment, reason in poison.select("segment", "reason").head(SHOWN).iter_rows():
        click.echo(shorten(f"  {segment}: {reason}"))
    raise click.exceptions.Exit(1)
