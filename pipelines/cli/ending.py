"""When a live command comes to its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import click

from . import options
from .signals import Stop

LOOK: Final = 0.1
"""Seconds between two looks at what goes on."""

QUIET: Final = 3.0
"""Seconds without a beacon after which a source that never ends is idle."""

ending = options.together(
    click.option("--until-idle", is_flag=True, help="Stop once there is nothing left to do."),
    click.option(
        "--for",
        "during",
        metavar="DURATION",
        type=options.duration,
        help="Stop after this time: 30s, 10m, 12h, …",
    ),
)


class Ending:
    """Decides when to stop: when asked to, after a time, or when there is nothing left to do.

    Parameters
    ----------
    stop
        Whether the user has asked for the end.
    during
        Seconds, at most.
    until_idle
        Also stop when a source that has no end yields nothing.
    monotonic
        Tells the seconds.

    Examples
    --------
    >>> now = iter([0.0, 1.0, 2.0])
    >>> ending = Ending(Stop(), during=2.0, monotonic=lambda: next(now))
    >>> ending.reached(received=10, pending=0, waiting=True)
    False
    >>> ending.reached(received=20, pending=0, waiting=True)
    True
    """

    def __init__(
        self,
        stop: Stop,
        during: float | None = None,
        *,
        until_idle: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stop, self.during, self.until_idle = stop, during, until_idle
        self._monotonic = monotonic
        self._began = self._changed = monotonic()
        self._received = 0

    def reached(self, *, received: int, pending: int, waiting: bool) -> bool:
        """Tell whether it is time.

        Parameters
        ----------
        received
            Beacons, or whatever grows while something comes.
        pending
            What is still to be merged.
        waiting
            Whether more may come.
        """
        now = self._monotonic()
        if received != self._received:
            self._received, self._changed = received, now
        if self.stop.requested or (self.during is not None and now - self._began >= self.during):
            return True
        quiet = self.until_idle and now - self._changed >= QUIET
        return pending == 0 and (quiet or not waiting)
