"""Trying again, visibly and for ever, what only the world around us can make fail."""

from __future__ import annotations

import logging
import random
import threading
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
    ) -> None:
        self.first, self.most = first, most
        self.stop = stop or threading.Event()
        self.on_retry = on_retry

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
        pause = self.first
        while True:
            try:
                return attempt()
            except FINAL:
                raise
            except Exception as error:
                self.on_retry(error)
                log.warning("%s: %s: %s; trying again", what, type(error).__name__, error)
                if self.stop.wait(pause * (0.5 + random.random() / 2)):  # noqa: S311 - only jitter
                    raise Stopped(f"{what} was given up: the run was stopped") from error
                pause = min(self.most, pause * 2)
