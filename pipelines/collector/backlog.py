"""What has come by HTTP and is not durable yet, and who waits for that."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

import numpy as np
import polars as pl

from ...stores.clock import Clock, SystemClock
from ..sources.source import ARRIVING, Batch

MAX_ROWS: Final = 100_000
MAX_BYTES: Final = 64 << 20

W = TypeVar("W")


class Refused(Exception):
    """Nothing can be taken now; says why. Trying again later may help."""


@dataclass
class _Messages(Generic[W]):
    """Messages in the order of their arrival, numbered once they are handed over."""

    since: float = 0.0
    beacons: list[bytes] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    waiting: list[W] = field(default_factory=list)
    bytes: int = 0
    first: int = 0

    @property
    def end(self) -> int:
        return self.first + len(self.counts)


class Backlog(Generic[W]):
    """Beacons on their way from the server's thread to the receiver's, bounded.

    Each request is a message: its beacons have the same ``offset``, a local count. Who waits for it
    is a token that is given back once the message is published, or once it has waited too long: a
    message that was not handed over by then is dropped, so that it is never published.

    Parameters
    ----------
    max_rows, max_bytes
        Beacons and their bytes that may be here, those handed over and not published included.
    patience
        Seconds that a message may wait. Once one has, nothing is taken until publishing goes on.
    clock
        Measures them.

    Attributes
    ----------
    rows, bytes
        What is here.
    received, published
        Beacons so far.

    Examples
    --------
    >>> backlog = Backlog()
    >>> backlog.add([b"/b.gif?n=1"], "Anna")
    >>> backlog.add([b"n=2", b"n=3"], "Ben")
    >>> batch = backlog.take()
    >>> batch.frame.select("raw", "offset").rows(), batch.position
    ([(b'/b.gif?n=1', 0), (b'n=2', 1), (b'n=3', 1)], 2)
    >>> backlog.publish(1), backlog.publish(2)
    (['Anna'], ['Ben'])
    """

    def __init__(
        self,
        *,
        max_rows: int = MAX_ROWS,
        max_bytes: int = MAX_BYTES,
        patience: float = 5.0,
        clock: Clock | None = None,
    ) -> None:
        self.max_rows, self.max_bytes, self.patience = max_rows, max_bytes, patience
        self.rows = self.bytes = self.received = self.published = 0
        self.arrived = threading.Event()
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._arriving: _Messages[W] = _Messages()
        self._taken: deque[_Messages[W]] = deque()
        self._position = 0
        self._late = False
        self._closed = False

    @property
    def trouble(self) -> str | None:
        """Why nothing is taken now; None if something would be."""
        if self._closed:
            return "the collector is stopping"
        if self._late:
            return f"nothing could be published for {self.patience:g} s"
        if self.rows >= self.max_rows or self.bytes >= self.max_bytes:
            return f"{self.rows} beacons of {self.bytes} bytes are waiting to be published"
        return None

    @property
    def waiting(self) -> bool:
        """True if something was handed over and is not published."""
        return bool(self._taken)

    def begin(self, position: int) -> None:
        """Count on from a position."""
        self._position = position

    def add(self, beacons: Sequence[bytes], waiting: W) -> None:
        """Take a message.

        Parameters
        ----------
        beacons
            At least one.
        waiting
            Who is to learn that it is published.

        Raises
        ------
        Refused
            See `trouble`.
        """
        size = sum(map(len, beacons))
        with self._lock:
            if (trouble := self.trouble) is not None:
                raise Refused(trouble)
            arriving = self._arriving
            if not arriving.counts:
                arriving.since = self._clock.monotonic()
                self.arrived.set()
            arriving.beacons += beacons
            arriving.counts.append(len(beacons))
            arriving.waiting.append(waiting)
            arriving.bytes += size
            self.bytes += size
            self.rows += len(beacons)
            self.received += len(beacons)

    def take(self) -> Batch | None:
        """Hand over what has arrived; None if nothing has."""
        with self._lock:
            self.arrived.clear()
            self._notice(moving=True)
            messages = self._arriving
            if not messages.counts:
                return None
            self._arriving = _Messages()
            messages.first = self._position
            self._position = messages.end
            self._taken.append(messages)
        numbers = np.arange(messages.first, messages.end, dtype=np.int64)
        if len(messages.beacons) > len(messages.counts):
            numbers = np.repeat(numbers, messages.counts)
        raw = pl.Series("raw", messages.beacons, dtype=pl.Binary)
        frame = pl.DataFrame({"raw": raw, "offset": numbers}).with_columns(
            message_id=pl.lit(None, ARRIVING["message_id"])
        )
        messages.beacons = []
        return Batch(frame, messages.end)

    def publish(self, position: int) -> list[W]:
        """Note that all before a position is durable; return who waited for it."""
        done: list[W] = []
        with self._lock:
            while self._taken and self._taken[0].first < position:
                messages = self._taken[0]
                whole = min(position, messages.end) - messages.first
                done += messages.waiting[:whole]
                messages.waiting = messages.waiting[whole:]
                rows = sum(messages.counts[:whole])
                # Of a batch that is published in part the bytes are counted when all of it is.
                messages.counts = messages.counts[whole:]
                messages.first += whole
                self.rows -= rows
                self.published += rows
                if not messages.counts:
                    self.bytes -= messages.bytes
                    self._taken.popleft()
            self._notice(moving=True)
        return done

    def overdue(self) -> list[W]:
        """Return who has waited too long; to be asked a few times a second."""
        late: list[W] = []
        with self._lock:
            now = self._clock.monotonic()
            for messages in self._taken:
                if now - messages.since >= self.patience:
                    late += messages.waiting
                    messages.waiting = []
            if self._arriving.counts and now - self._arriving.since >= self.patience:
                late += self._drop()
                self._late = True
            self._notice()
        return late

    def close(self) -> list[W]:
        """Take nothing more; return those whose beacons were not handed over, and never will be."""
        with self._lock:
            self._closed = True
            return self._drop()

    def abandon(self) -> list[W]:
        """Return all who wait still: what was handed over may be published or not."""
        with self._lock:
            late = [waiting for messages in self._taken for waiting in messages.waiting]
            for messages in self._taken:
                messages.waiting = []
            return late + self._drop()

    def _drop(self) -> list[W]:
        dropped, self._arriving = self._arriving, _Messages()
        self.rows -= len(dropped.beacons)
        self.bytes -= dropped.bytes
        return dropped.waiting

    def _notice(self, *, moving: bool = False) -> None:
        """See whether the oldest that was handed over is late, or the receiver moves on."""
        if self._taken:
            self._late = self._clock.monotonic() - self._taken[0].since >= self.patience
        elif moving:
            self._late = False
