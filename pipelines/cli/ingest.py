"""``beacons ingest``: receivers only."""

from __future__ import annotations

from contextlib import nullcontext

import click
from streamz import Stream

from ..archive import Archive
from ..cluster import connect
from ..nodes.from_beacons import from_beacons
from ..sources import open_source
from ..supervisor import Supervisor
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
    partition: str,
    max_rows: int,
    until_idle: bool,
    during: str | None,
    scheduler: str | None,
) -> None:
    """Receive beacons into an archive, and do nothing else with them.

    What is received is durable before its source is told so. Running it again goes on where it
    was: of a file that has grown, what is new. Jobs follow the archive (`beacons run` without a
    source), or are applied to it at any later time (`beacons replay`). Ctrl-C ends it cleanly.

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
                status.say(f"{name} is received by another process")
            beacons.start_receiving()
            end = Ending(stop, options.seconds(during), until_idle=until_idle)
            receive(beacons.supervisor, end, status)
            beacons.supervisor.close()
    receivers = beacons.receivers
    rows, segments = (sum(getattr(r.progress, name) for r in receivers) for name in _COUNTS)
    text = f"{rows:,} beacons in {segments} segments" if rows else "nothing that was not there"
    click.echo(f"received {text}, from {len(receivers)} source partitions")
    for receiver in receivers:
        if receiver.failure is not None:
            raise receiver.failure


_COUNTS = ("rows", "segments")


def receive(supervisor: Supervisor, end: Ending, status: Status) -> None:
    """Watch receivers until they are to end, and let them publish what they hold."""
    asked = False
    while not supervisor.done:
        progress = [each.progress for each in supervisor.supervised]
        received = sum(each.rows for each in progress)
        pending = sum(each.pending for each in progress)
        states = [each.status for each in supervisor.supervised]
        ailing = [str(each) for each in states if each.ailing]
        shown = "; ".join(ailing) or ", ".join(sorted({each.state for each in states}))
        status.show(f"received {received:,} beacons ({shown})")
        if not asked and end.reached(received=received, pending=pending, waiting=True):
            asked = True
            supervisor.stop()
        supervisor.join(LOOK)
