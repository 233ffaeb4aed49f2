"""Receivers on the workers of a Dask cluster: an actor each, that owns its thread."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

from distributed import Client, get_worker

from ..stores.clock import Clock, SystemClock
from .archive import Archive, SegmentRef
from .receiver import Receiver, ReceiverProgress
from .receiver_thread import find_partition
from .retry import SchedulerLost
from .supervisor import FINAL

PING: Final = 0.2
"""Seconds between two questions to an actor."""

ORPHANED: Final = 10.0
"""Seconds without a question after which an actor's supervisor is gone."""

_PATIENCE: Final = 1.0
_PRIORITY: Final = 1_000_000
_log = logging.getLogger(__name__)


class Heard:
    """When a supervisor was last heard."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.now()

    def now(self) -> None:
        """Note that it is heard."""
        self._at = self._clock.monotonic()

    @property
    def orphaned(self) -> bool:
        """Tell whether that was too long ago."""
        return self._clock.monotonic() - self._at > ORPHANED


class ReceiverActor:
    """A receiver on a worker. Its methods are short: all actors of a worker share one thread.

    It stops, cleanly, when nobody has asked after it for a while, and when it is released: a run
    whose driver was killed leaves no receiver behind.

    Parameters
    ----------
    url, partition
        What to receive.
    archive, age, max_rows
        See `Receiver`.
    topic
        Where to announce segments, for `Client.subscribe_topic`.
    """

    def __init__(
        self,
        url: str,
        partition: str,
        archive: Archive,
        age: str | timedelta,
        max_rows: int,
        topic: str,
    ) -> None:
        worker, clock = get_worker(), SystemClock()

        def announce(ref: SegmentRef) -> None:
            worker.log_event(topic, str(ref.id))

        self._worker: str = worker.address
        self._drain = True
        self._heard = Heard(clock)
        self._receiver = Receiver(
            find_partition(url, partition, archive, clock),
            archive,
            age=age,
            max_rows=max_rows,
            clock=clock,
            on_publish=announce,
        )
        threading.Thread(
            target=_live,
            args=(self._receiver, self._heard),
            name=f"receiver-{partition}",
            daemon=True,
        ).start()

    def look(self) -> tuple[ReceiverProgress, Exception | None, str]:
        """Tell where it stands, what ended it, and where it is."""
        self._heard.now()
        failure = self._receiver.failure
        if failure is not None and not isinstance(failure, FINAL):
            # Not every exception can travel.
            failure = RuntimeError(f"{type(failure).__name__}: {failure}")
        return self._receiver.progress, failure, self._worker

    def stop(self, drain: bool) -> None:
        """Ask it to come to an end."""
        self._drain = drain
        self._receiver.stop(drain=drain)

    def __del__(self) -> None:
        with suppress(AttributeError):  # it may never have been made
            self._receiver.stop(drain=self._drain)


def _live(receiver: Receiver, heard: Heard) -> None:
    """Receive to the end; the thread knows nothing of the actor, so that it can be released."""
    try:
        while receiver.step() is not None:
            if heard.orphaned:
                receiver.stop()
    except Exception as error:  # noqa: BLE001 - kept in `failure`, for whoever asks
        _log.warning("the receiver of %s failed: %s", receiver.partition.identity, error)


class ActorPost:
    """A receiver's actor, seen from the driver: a `Post`.

    A thread of its own starts it and asks after it, so that nobody else waits for a worker that
    does not answer.
    """

    failure: Exception | None = None

    def __init__(self, client: Client, worker: str, partition: str, **receiver: Any) -> None:
        self.worker: str | None = worker
        self._client, self._partition, self._receiver = client, partition, receiver
        self._progress = ReceiverProgress(partition, "starting", 0, 0, 0, 0, 0, None, None)
        self._lost: Exception | None = None
        self._stop: bool | None = None
        self._asked, self._abandoned = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._watch, name=f"asking-{partition}", daemon=True)
        self._thread.start()

    def look(self) -> ReceiverProgress:
        """Tell where it stood when last heard of; raise what it was lost by."""
        if self._lost is not None:
            raise self._lost
        return self._progress

    def stop(self, *, drain: bool = True) -> None:
        """Ask it to come to an end."""
        self._stop = drain
        self._asked.set()

    def abandon(self) -> None:
        """Let go of it."""
        self._abandoned.set()
        self._asked.set()

    def _watch(self) -> None:
        try:
            future = self._client.submit(
                ReceiverActor,
                partition=self._partition,
                **self._receiver,
                actor=True,
                key=f"receiver-{self._partition}-{uuid.uuid4().hex[:8]}",
                # An actor that may only be on a worker that is gone would break the scheduler.
                workers=[self.worker],
                allow_other_workers=True,
                priority=_PRIORITY,
            )
            actor = self._wait(future, self._vanished)
            told: bool | None = None
            while not self._abandoned.is_set():
                self._progress, self.failure, self.worker = self._wait(actor.look())
                if self._stop is not None and self._stop != told:
                    told = self._stop
                    self._wait(actor.stop(drain=told))
                self._asked.wait(PING)
                if not self._abandoned.is_set():
                    self._asked.clear()
            if self._stop is not None and self._stop != told:
                actor.stop(drain=self._stop)
        except Exception as error:  # noqa: BLE001 - the supervisor reads it
            self._lost = error

    def _wait(self, future: Any, vain: Callable[[], bool] = lambda: False) -> Any:
        """Wait for an answer, as long as somebody wants it and it is not in vain."""
        while True:
            try:
                return future.result(timeout=_PATIENCE)
            except TimeoutError:
                if self._abandoned.is_set() or self._client.status != "running" or vain():
                    raise

    def _vanished(self) -> bool:
        """Tell whether the worker is gone: what was to start there may then wait for ever."""
        return self.worker not in self._client.scheduler_info(n_workers=-1)["workers"]


class Actors:
    """Puts receivers to work on the workers of a cluster.

    Parameters
    ----------
    client
        Of the cluster.
    url
        Of the source, as the workers see it.
    archive, age, max_rows
        See `Receiver`.
    topic
        Where segments are announced.
    """

    def __init__(
        self,
        client: Client,
        url: str,
        archive: Archive,
        *,
        age: str | timedelta,
        max_rows: int,
        topic: str,
    ) -> None:
        self._client = client
        self._receiver = {
            "url": url,
            "archive": archive,
            "age": age,
            "max_rows": max_rows,
            "topic": topic,
        }

    def workers(self) -> Sequence[str]:
        """Tell which workers there are now; none while the scheduler is out of reach.

        Raises
        ------
        SchedulerLost
            It is gone for good.
        """
        if self._client.status in {"closing", "closed"}:
            raise SchedulerLost("the Dask scheduler is gone: start the run again")
        if self._client.status != "running":
            return ()
        try:
            return sorted(self._client.scheduler_info(n_workers=-1)["workers"])
        except (OSError, RuntimeError, TimeoutError):
            return ()

    def start(self, partition: str, worker: str | None) -> ActorPost:
        """Start a receiver's actor."""
        assert worker is not None  # noqa: S101 - for the type checker
        return ActorPost(self._client, worker, partition, **self._receiver)
