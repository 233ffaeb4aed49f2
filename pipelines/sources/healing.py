"""A connection that heals itself: when to try again, and what to say meanwhile."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

from ...stores.clock import Clock, SystemClock

NAP: Final = 0.1
"""Seconds after which whoever waits looks up, so that it can be stopped."""

_log = logging.getLogger(__name__)


class Healing:
    """How a connection fares, and how long to wait before the next attempt.

    Source: "full jitter" of Brooker, Exponential Backoff and Jitter (AWS Architecture Blog, 2015).

    Parameters
    ----------
    name
        What is connected to, for messages: no credentials.
    first, most
        The first pause is at most so many seconds; it doubles up to the longest.
    clock
        Waits, and dates what is wrong.
    uniform
        Draws a number between two others.

    Examples
    --------
    >>> from beaconfold.stores.clock import ManualClock
    >>> clock = ManualClock()
    >>> healing = Healing("redis://host", clock=clock, uniform=lambda low, high: high)
    >>> healing.failed("connection refused")
    >>> healing.health
    'redis://host: connection refused, since 2026-01-01T00:00:00+00:00'
    >>> len([None for _ in healing.pause()]), clock.monotonic()
    (1, 0.1)
    >>> len([None for _ in healing.pause()]), round(clock.monotonic(), 3)
    (2, 0.3)
    >>> healing.healed()
    >>> healing.health
    """

    def __init__(
        self,
        name: str,
        *,
        first: float = 0.1,
        most: float = 5.0,
        clock: Clock | None = None,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.name, self.first, self.most = name, first, most
        self._clock, self._uniform = clock or SystemClock(), uniform
        self._wrong: str | None = None
        self._since: datetime | None = None
        self._attempts = 0

    @property
    def health(self) -> str | None:
        """What is wrong and since when, in a line; None if nothing is."""
        wrong, since = self._wrong, self._since
        if wrong is None or since is None:
            return None
        return f"{self.name}: {wrong}, since {since.isoformat(timespec='seconds')}"

    def failed(self, what: str) -> None:
        """Note that an attempt has failed; logged when it is the first one."""
        what = " ".join(what.split())
        if self._wrong is None:
            self._since = self._clock.now()
            _log.warning("%s: %s; trying again", self.name, what)
        self._wrong = what

    def healed(self) -> None:
        """Note that all is well."""
        if self._wrong is not None:
            _log.warning("%s: connected again", self.name)
        self._wrong, self._since, self._attempts = None, None, 0

    def pause(self) -> Iterator[None]:
        """Wait until the next attempt, in short naps; yields after each of them."""
        most = min(self.most, self.first * 2**self._attempts)
        self._attempts = min(self._attempts + 1, 32)
        left = self._uniform(0.0, most)
        while left > 0:
            self._clock.sleep(min(left, NAP))
            left -= NAP
            yield
