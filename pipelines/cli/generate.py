"""``beacons generate``: synthetic beacons, for tests and demos."""

from __future__ import annotations

import time

import click

from ..publishers import Publisher, PublishFailed, open_publisher
from ..sources import Beacons, SyntheticSource
from .display import Status, logging_to, standard_error
from .errors import Command, Failure
from .signals import Stop, stop_on_signals


def rate_of(text: str) -> float:
    """Read a rate: beacons a second, or ``max`` for as fast as they can be sent, which is 0.

    Raises
    ------
    Failure
        It is none.

    Examples
    --------
    >>> rate_of("2500"), rate_of("max")
    (2500.0, 0.0)
    """
    if text == "max":
        return 0.0
    try:
        rate = float(text)
    except ValueError:
        rate = -1.0
    if not 0 < rate < float("inf"):
        raise Failure(f"--rate {text}: use a number of beacons a second, or max")
    return rate


@click.command(cls=Command)
@click.option(
    "--to",
    metavar="URL",
    required=True,
    help="Where they go: a file's path, or the URL of a broker or a collector.",
)
@click.option("--count", metavar="N", type=click.IntRange(min=0), help="How many; else no end.")
@click.option(
    "--rate",
    metavar="R",
    type=rate_of,
    default="1000",
    show_default=True,
    help="Beacons a second, or max.",
)
@click.option(
    "--seed",
    metavar="S",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Another seed gives other beacons.",
)
def generate(to: str, count: int | None, rate: float, seed: int) -> None:
    """Send synthetic beacons to a broker, a collector or a file.

    The stream or the queue is declared if it is not there; a file is appended to. What is counted
    is what the other side has confirmed. Their times are those of the clock, their other fields
    depend on the seed alone. Ctrl-C ends it cleanly.

    For example:
      beacons generate --to redis-stream://localhost/0?stream=beacons --count 100000 --rate max
      beacons generate --to /var/log/beacons.log --rate 2500 --seed 7
    """
    source = SyntheticSource(Beacons(seed), rate, count)
    console = standard_error()
    with (
        stop_on_signals() as stop,
        logging_to(console),
        Status(console) as status,
        open_publisher(to) as publisher,
    ):
        confirmed, failure = send(source, publisher, stop, status)
    click.echo(f"confirmed {confirmed:,} beacons")
    if failure is not None:
        raise failure


def send(
    source: SyntheticSource, publisher: Publisher, stop: Stop, status: Status
) -> tuple[int, PublishFailed | None]:
    """Send all that the source makes; tell how many were confirmed, and what ended it early."""
    confirmed, began = 0, time.monotonic()
    for batch in source.read(None):
        if stop.requested:
            break
        if batch.frame.is_empty():
            continue
        try:
            confirmed += publisher.send(batch.frame["raw"].to_list())
        except PublishFailed as error:
            return confirmed + error.confirmed, error
        seconds = max(time.monotonic() - began, 1e-9)
        status.show(f"confirmed {confirmed:,} beacons, {confirmed / seconds:,.0f}/s")
    return confirmed, None
