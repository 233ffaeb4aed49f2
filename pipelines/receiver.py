"""The receiver: reads a source partition into the archive, and only then acknowledges."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, TypeAlias, TypeVar

import polars as pl

from ..stores.clock import Clock, SystemClock
from .archive import RAW, Archive, Fenced, Lease, SegmentRef
from .sources.source import Batch, SourcePartition
from .timed_partition import MAX_ROWS, TimedPartition, raw_bytes

State: TypeAlias = Literal[
    "new", "starting", "receiving", "retrying", "finished", "stopped", "fenced", "failed"
]
T = TypeVar("T")

LEASE = timedelta(seconds=10)
_OVER = frozenset({"finished", "stopped", "fenced", "failed"})
_FIRST_DELAY, _LONGEST_DELAY = 0.1, 2.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReceiverProgress:
    """Where a receiver stands.

    Attributes
    ----------
    partition
        The source partition's name in the archive.
    state
        ``finished``: its source ended; ``stopped``: it was asked to; ``fenced``: a successor has
        taken over; ``failed``: see ``error``; ``retrying``: the archive cannot be written, see
        ``error``, and nothing is lost.
    epoch
        The epoch it has claimed; 0 before that.
    rows, bytes, segments
        Beacons published by this receiver, their raw bytes, and the segments that hold them.
    pending
        Beacons that it holds and has not published.
    position
        Where its successor would resume.
    error
        What went wrong last, unless that is over.
    steps
        Rises as long as it does anything, be it waiting for beacons: one that hangs stands still.
    health
        What is wrong with its source's connection, see `SourcePartition.health`.
    """

    partition: str
    state: State
    epoch: int
    rows: int
    bytes: int
    segments: int
    pending: int
    position: int | None
    error: str | None
    steps: int = 0
    health: str | None = None


class Receiver:
    r"""Consumes one source partition: buffer, publish, acknowledge.

    It claims an epoch, seals its predecessors', asks the archive where to resume, and publishes
    timed partitions as segments until its source ends, it is stopped, or a successor fences it.
    A clean end publishes what is held, and seals the epoch. It runs in the caller's thread (`run`),
    in one of its own (`start`, `stop`, `join`), or a step at a time (`step`).

    Parameters
    ----------
    partition
        What to receive.
    archive
        Where to.
    age, max_rows
        When a segment is full: see `TimedPartition`.
    clock
        Tells times of receipt and the age of what is held.
    on_publish
        Called with a reference to each segment once it is durable and acknowledged. It is a hint:
        who misses it finds the segment in the archive. An exception of its own is logged.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from beaconfold.pipelines.sources import open_source
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "beacons.log").write_text("/b.gif?p=1\n/b.gif?p=2\n")
    ...     archive = Archive.open(f"{folder}/archive")
    ...     (partition,) = open_source(f"{folder}/beacons.log").partitions()
    ...     end = Receiver(partition, archive).run()
    ...     (ref,) = archive.segments()
    ...     end.state, end.rows, end.position, archive.read(ref)["raw"].to_list()
    ('finished', 2, 22, [b'/b.gif?p=1', b'/b.gif?p=2'])
    """

    def __init__(
        self,
        partition: SourcePartition,
        archive: Archive,
        *,
        age: str | timedelta = "1s",
        max_rows: int = MAX_ROWS,
        clock: Clock | None = None,
        on_publish: Callable[[SegmentRef], object] | None = None,
    ) -> None:
        self.partition, self.archive = partition, archive
        self.failure: Exception | None = None
        self._name = partition.identity
        self._clock = clock or SystemClock()
        self._buffer = TimedPartition(age, max_rows=max_rows, clock=self._clock)
        self._on_publish = on_publish
        self._state: State = "new"
        self._epoch = self._rows = self._bytes = self._segments = 0
        self._position: int | None = None
        self._read_to: int | None = None
        self._error: str | None = None
        self._renew_at = 0.0
        self._steps = 0
        self._stopping = threading.Event()
        self._drain = True
        self._thread: threading.Thread | None = None
        self._life = self._live()

    @property
    def progress(self) -> ReceiverProgress:
        """Where the receiver stands; may be asked from any thread."""
        return ReceiverProgress(
            self._name,
            self._state,
            self._epoch,
            self._rows,
            self._bytes,
            self._segments,
            self._buffer.rows,
            self._position,
            self._error,
            self._steps,
            self.partition.health,
        )

    @property
    def done(self) -> bool:
        """True once it has come to an end, whichever."""
        return self._state in _OVER

    @property
    def finite(self) -> bool:
        """True if its source ends by itself."""
        return self.partition.finite

    def start(self) -> None:
        """Run in a thread of its own; what makes it fail is in `progress` and `failure`."""
        name = f"receiver-{self._name}"
        self._thread = threading.Thread(target=self._run_alone, name=name, daemon=True)
        self._thread.start()

    def stop(self, *, drain: bool = True) -> None:
        """Ask it to come to an end; returns at once.

        Parameters
        ----------
        drain
            Publish what it holds. If not, that is left to the successor, which reads it again
            where the source can.
        """
        self._drain = drain
        self._stopping.set()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the thread to end, for that many seconds at most; tell whether it has."""
        if self._thread is None:
            return True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def run(self) -> ReceiverProgress:
        """Receive until the end, in the calling thread.

        Raises
        ------
        ArchiveChanged
            The archive was made anew under its feet.
        SourceUnreadable
            The source is broken; what could be read of it is published.
        """
        while self.step() is not None:
            pass
        return self.progress

    def step(self) -> str | None:
        """Do the next thing, and tell what was done: None when there is no more to do.

        No step changes more than one thing that others can see: a crash between any two of them
        is a crash anywhere. The steps: ``claimed sealed resumed``, then ``received`` for a batch
        and ``full published acknowledged`` for a segment, ``retrying``, ``ended`` and ``sealed``.
        """
        self._steps += 1
        try:
            self._breathe()
            return next(self._life, None)
        except Fenced as fenced:
            self._state, self._error = "fenced", str(fenced)
            self._life.close()
            return None
        except Exception as error:
            self._state, self._error, self.failure = "failed", str(error), error
            self._life.close()
            with suppress(OSError, ValueError):
                self.archive.release(self._name, self._epoch)
            raise

    def _run_alone(self) -> None:
        try:
            self.run()
        except Exception as error:  # noqa: BLE001 - kept in `failure`, for whoever asks
            _log.warning("the receiver of %s failed: %s", self._name, error)

    def _live(self) -> Generator[str, None, None]:
        """Live a whole life; nothing here may be written when it is cut short at a yield."""
        if self._stopping.is_set():
            self._state = "stopped"
            return
        self._state = "starting"
        name, archive = self._name, self.archive
        self._epoch = yield from self._lasting(
            lambda: archive.claim(name, source=self.partition.about(), clock=self._clock)
        )
        yield "claimed"
        yield from self._lasting(lambda: archive.seal_before(name, self._epoch))
        yield "sealed"
        self._position = yield from self._lasting(lambda: archive.position(name))
        self._read_to = self._position
        yield from self._lasting(self._recall)
        self._state = "receiving"
        yield "resumed"
        broken = yield from self._consume()
        if self._drain:
            yield from self._publish(self._buffer.flush())
        yield "ended"
        yield from self._lasting(lambda: archive.seal(name, self._epoch))
        with suppress(OSError):
            archive.release(name, self._epoch)
        if broken is not None:
            raise broken
        self._state = "stopped" if self._stopping.is_set() else "finished"
        yield "sealed"

    def _recall(self) -> None:
        """Tell a source that knows repeated beacons by their ids what the archive has of it."""
        if self.partition.memory is None:
            return
        since = self._clock.now() - self.partition.memory
        for ref in self.archive.segments(since=since):
            if ref.id.partition == self._name:
                self.partition.recall(self.archive.read(ref))

    def _consume(self) -> Generator[str, None, Exception | None]:
        """Publish what the source yields; return what broke it, if anything did."""
        batches = self.partition.read(self._position)
        try:
            while not self._stopping.is_set():
                try:
                    batch = next(batches, None)
                except Exception as error:  # noqa: BLE001 - what came before it is still to be kept
                    return error
                if batch is None:
                    break
                full = self._add(batch)
                yield "received"
                yield from self._publish(full)
                yield from self._publish(self._buffer.due())
            return None
        finally:
            _close(batches)

    def _add(self, batch: Batch) -> list[pl.DataFrame]:
        self._read_to = batch.position
        if batch.frame.is_empty():
            return []
        received = pl.lit(self._clock.now()).cast(RAW["received"]).alias("received")
        return self._buffer.add(batch.frame.with_columns(received).select(RAW.names()))

    def _publish(self, frames: list[pl.DataFrame]) -> Generator[str, None, None]:
        for frame, position in _with_positions(frames, self._buffer.held, self._read_to):
            yield "full"
            ref = yield from self._lasting(self._publishing(frame, position))
            self._segments += 1
            self._rows += frame.height
            self._bytes += raw_bytes(frame)
            self._position = position
            yield "published"
            self.partition.acknowledge(position)
            self._announce(ref)
            yield "acknowledged"

    def _publishing(self, frame: pl.DataFrame, position: int | None) -> Callable[[], SegmentRef]:
        return lambda: self.archive.publish(
            self._name, self._epoch, self._segments, frame, position=position
        )

    def _announce(self, ref: SegmentRef) -> None:
        if self._on_publish is not None:
            try:
                self._on_publish(ref)
            except Exception:  # noqa: BLE001 - a hint must not stop what it hints at
                _log.warning("announcing %s failed; the archive has it", ref.id, exc_info=True)

    def _lasting(self, action: Callable[[], T]) -> Generator[str, None, T]:
        """Do something with the archive, again and again while its disk fails or is full."""
        delay, state = _FIRST_DELAY, self._state
        while True:
            try:
                result = action()
            except OSError as error:
                if self._stopping.is_set() and not self._drain:
                    raise
                self._state, self._error = "retrying", str(error)
                yield "retrying"
                self._clock.sleep(delay)
                delay = min(2 * delay, _LONGEST_DELAY)
            else:
                self._state, self._error = state, None
                return result

    def _breathe(self) -> None:
        """Renew the lease when it is time to, and see whether a successor has one."""
        if not self._epoch or self.done or self._clock.monotonic() < self._renew_at:
            return
        with suppress(OSError):  # a full disk is for publishing to report
            lease = self.archive.lease(self._name)
            if lease is not None and lease.epoch > self._epoch:
                raise Fenced(f"epoch {lease.epoch} of {self._name} has taken over")
            until = self._clock.now() + LEASE
            self.archive.renew(Lease.mine(self._name, self._epoch, until))
        self._renew_at = self._clock.monotonic() + LEASE.total_seconds() / 3


def _with_positions(
    frames: list[pl.DataFrame], held: Iterable[pl.DataFrame], end: int | None
) -> Iterator[tuple[pl.DataFrame, int | None]]:
    """Pair each full frame with where to resume: at the row that follows, else at the end."""
    following = [*frames[1:], *held]
    for index, frame in enumerate(frames):
        position = following[index]["offset"].item(0) if index < len(following) else end
        yield frame, position


def _close(batches: Iterator[Batch]) -> None:
    if isinstance(batches, Generator):
        batches.close()
