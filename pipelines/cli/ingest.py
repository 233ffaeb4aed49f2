"""``beacons ingest``: receivers only."""

from __future__ import annotations

import time
from contextlib import nullcontext

import click
from streamz import Stream

from ..archive import Archive
from ..cluster import connect
from ..nodes.from_beacons import from_beacons
from ..sources import open_source
from . import options
from .display import Status, logging_to, standard_error
from .ending import LOOK, Ending, ending
from .errors import Command
from .signals import stop_on_signals


@click.command(cls=Command)
@options.source
@options.archive
@options.receiving
@ending
@options.scheduler
def ingest(
    source: str,
    archive: str,
    partition: str | None,
    max_rows: int,
    until_idle: bool,
    during: str | None,
    scheduler: str | None,
) -> None:
    """Receive beacons into an archive, and do nothing else with them.

    What is received is durable before its source is told so. Running it again goes on where it
    was: of a file that has grown, what is new. What another process receives is left to it as long
    as that one lives. Jobs follow the archive (`beacons run` without a source), or are applied to
    it at any later time (`beacons replay`). Ctrl-C ends it cleanly.

    For example:
      beacons ingest --source /var/log/beacons/ --archive archive
      zcat beacons.gz | beacons ingest --source stdin:// --archive archive
    """
    console = standard_error()
    with stop_on_signals() as stop, logging_to(console), Status(console) as status:
        open_source(source).partitions()
        opened = Archive.open(archive)
        with connect(scheduler) if scheduler is not None else nullcontext() as client:
            beacons: from_beacons = Stream.from_beacons(
                source, archive=opened, partition=partition, max_rows=max_rows, client=client
            )
            for name in beacons.followed:
                status.say(f"{name} is received by another process: standing by")
            beacons.start_receiving()
            end = Ending(stop, options.seconds(during), until_idle=until_idle)
            receive(beacons, end, status)
            beacons.supervisor.close()
    receivers = beacons.receivers
    rows, segments = (sum(getattr(r.progress, name) for r in receivers) for name in _COUNTS)
    text = f"{rows:,} beacons in {segments} segments" if rows else "nothing that was not there"
    partitions = len({receiver.name for receiver in receivers})
    click.echo(f"received {text}, from {partitions} source partitions")
    for receiver in receivers:
        if receiver.failure is not None:
            raise receiver.failure


_COUNTS = ("rows", "segments")


def receive(beacons: from_beacons, end: Ending, status: Status) -> None:
    """Watch receivers until they are to end, and let them publish what they hold."""
    supervisor, asked = beacons.supervisor, False
    while not supervisor.done or (beacons.followed and not asked):
        each = supervisor.supervised
        received = sum(one.progress.rows for one in each)
        pending = sum(one.progress.pending for one in each)
        ailing = [str(one.status) for one in each if one.status.ailing]
        states = "; ".join(ailing) or ", ".join(sorted({one.state for one in each}))
        status.show(f"received {received:,} beacons ({states or 'standing by'})")
        if asked:
            supervisor.join(LOOK)
        elif end.reached(received=received, pending=pending, waiting=True):
            asked = True
            supervisor.stop()
        else:
            take_over(beacons, status)
            time.sleep(LOOK)


def take_over(beacons: from_beacons, status: Status) -> None:
    """Receive what another process has received until now."""
    try:
        for taken in beacons.take_over():
            status.say(f"{taken.name} is received by no other process any more: taking over")
    except OSError as error:
        status.show(f"the archive cannot be read: {error}; trying again")
