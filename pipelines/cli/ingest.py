"""``beacons ingest``: receivers only."""

from __future__ import annotations

import time
from collections.abc import Sequence

import click
from streamz import Stream

from ..archive import Archive
from ..receiver import Receiver
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
def ingest(
    source: str,
    archive: str,
    partition: str,
    max_rows: int,
    until_idle: bool,
    during: str | None,
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
        beacons = Stream.from_beacons(
            source, archive=Archive.open(archive), partition=partition, max_rows=max_rows
        )
        for name in beacons.followed:
            status.say(f"{name} is received by another process")
        receivers: list[Receiver] = beacons.receivers
        for receiver in receivers:
            receiver.start()
        receive(receivers, Ending(stop, options.seconds(during), until_idle=until_idle), status)
    rows, segments = (sum(getattr(r.progress, name) for r in receivers) for name in _COUNTS)
    text = f"{rows:,} beacons in {segments} segments" if rows else "nothing that was not there"
    click.echo(f"received {text}, from {len(receivers)} source partitions")
    for receiver in receivers:
        if receiver.failure is not None:
            raise receiver.failure


_COUNTS = ("rows", "segments")


def receive(receivers: Sequence[Receiver], end: Ending, status: Status) -> None:
    """Watch receivers until they are to end, and let them publish what they hold."""
    asked = False
    while not all(receiver.done for receiver in receivers):
        progress = [receiver.progress for receiver in receivers]
        received = sum(each.rows for each in progress)
        pending = sum(each.pending for each in progress)
        states = sorted({each.state for each in progress})
        status.show(f"received {received:,} beacons ({', '.join(states)})")
        if not asked and end.reached(received=received, pending=pending, waiting=True):
            asked = True
            for receiver in receivers:
                receiver.stop()
        time.sleep(LOOK)
    for receiver in receivers:
        receiver.join()
