"""The roll-up of a job's windows in its store, once in a while, as the job's retention says."""

from __future__ import annotations

import logging
import threading

from ..stores import Generation, MergeableStore, Retention
from .job import Job

log = logging.getLogger(__name__)

EVERY = 60.0
"""Seconds between two roll-ups of a store by one run."""


class RollUp:
    """Rolls up a generation's windows, and lets those expire that are kept no longer.

    Safe to run in any number of processes at once: each shard goes on from where it is.

    Parameters
    ----------
    store, generation
        Where.
    job
        Its ``retention`` says how long windows of each width are kept; without one, nothing is
        done.
    every
        Seconds before it is due again.
    """

    def __init__(
        self, store: MergeableStore, generation: Generation, job: Job, every: float = EVERY
    ) -> None:
        self.store, self.generation, self.every = store, generation, every
        self.retention = None if job.retention is None else Retention.parse(job.retention)
        self._last: float | None = None
        self._running = threading.Lock()

    def __call__(self) -> None:
        """Roll up what is over its time.

        Raises
        ------
        ValueError
            If the store has rolled windows up to other widths than the job's retention has.
        """
        if self.retention is not None:
            with self._running:
                done = self.store.expire(self.generation, self.retention)
                self._last = self.store.clock.monotonic()
            if done.rolled_up or done.deleted:
                log.info("%s: %s", self.generation, done)

    def when_due(self) -> None:
        """Roll up if that was not done for a while, and nobody here is at it."""
        if self.retention is None or self._running.locked():
            return
        if self._last is None or self.store.clock.monotonic() - self._last >= self.every:
            self()
