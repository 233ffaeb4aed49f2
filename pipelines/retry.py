"""Trying again, visibly and for ever, what only the world around us can make fail."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from ..stores import GenerationDropped, GenerationRetired

log = logging.getLogger(__name__)

T = TypeVar("T")


class SchedulerLost(RuntimeError):
    """The Dask client is closed for good: the run has to be started again."""


class Stopped(RuntimeError):
    """The run was stopped while it was waiting to try again."""


FINAL = (GenerationRetired, GenerationDropped, SchedulerLost, Stopped)
"""Answers, not faults: trying again would give the same."""


class Outage:
    """One trouble, as several callers meet it: said when it begins, when it changes, and once over.

    Parameters
    ----------
    clock
        Tells how long it has been.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._began: float | None = None
        self._said: set[str] = set()

    def met(self, what: str, error: Exception) -> None:
        """Note that a call failed; say so unless that was said before."""
        text = f"{type(error).__name__}: {error}"
        with self._lock:
            self._began = self._clock() if self._began is None else self._began
            new = text not in self._said
            self._said.add(text)
        log.log(logging.WARNING if new else logging.DEBUG, "%s: %s; trying again", what, text)

    def over(self, what: str) -> None:
        """Note that a call worked that had failed before."""
        with self._lock:
            began, self._began, self._said = self._began, None, set()
        if began is not None:
            log.warning("%s: goes on, after %.0f s", what, self._clock() - began)


class Retry:
    """Call again after a fault, with jittered exponential back-off, until it works.

    Source: "full jitter" of Brooker, Exponential Backoff and Jitter (AWS Architecture Blog, 2015).

    Parameters
    ----------
    first, most
        Bounds of the pause, in seconds.
    stop
        Set it to give up: the waiting call raises `Stopped`.
    on_retry
        Called with the error, each time.
    outage
        Shared by those who are likely to meet the same trouble.

    Examples
    --------
    >>> attempts = iter([OSError("no route"), "done"])
    >>> def attempt():
    ...     outcome = next(attempts)
    ...     if isinstance(outcome, Exception):
    ...         raise outcome
    ...     return outcome
    >>> Retry(first=0.0, most=0.0)("the merge", attempt)
    'done'
    """

    def __init__(
        self,
        first: float = 0.1,
        most: float = 10.0,
        stop: threading.Event | None = None,
        on_retry: Callable[[Exception], None] = lambda _error: None,
        outage: Outage | None = None,
    ) -> None:
        self.first, self.most = first, most
        self.stop = stop or threading.Event()
        self.on_retry = on_retry
        self.outage = outage or Outage()

    def __call__(self, what: str, attempt: Callable[[], T]) -> T:
        """Call ``attempt`` until it returns.

        Raises
        ------
        GenerationRetired, GenerationDropped
            The store refuses this generation for good.
        SchedulerLost
            There is no cluster any more to try it on.
        Stopped
            ``stop`` was set while waiting.
        """
        pause, failed = self.first, False
        while True:
            try:
                done = attempt()
            except FINAL:
                raise
            except Exception as error:
                failed = True
                self.on_retry(error)
                self.outage.met(what, error)
                if self.stop.wait(pause * (0.5 + random.random() / 2)):  # noqa: S311 - only jitter
                    raise Stopped(f"{what} was given up: the run was stopped") from error
                pause = min(self.most, pause * 2)
            else:
                if failed:
                    self.outage.over(what)
                return done
