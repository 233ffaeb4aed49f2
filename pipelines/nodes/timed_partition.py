"""Buffer beacons that are emitted by hand into partitions, by age and by size."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import polars as pl
from streamz import Stream

from ...stores.clock import Clock
from ..timed_partition import MAX_ROWS, TimedPartition


@Stream.register_api()
class timed_partition(Stream):  # type: ignore[misc]  # noqa: N801 - Streamz names nodes so
    """Collect beacons until the first of them is as old as the width, or there are ``max_rows``.

    Unlike ``timed_window`` it emits frames, holds a bounded number of rows, and emits nothing when
    there is nothing.

    Parameters
    ----------
    width
        ``"1s"``, ``"200ms"``, …
    max_rows
        Rows in a partition, at most.
    clock
        What the age is measured with.

    Examples
    --------
    >>> from streamz import Stream
    >>> source, seen = Stream(), []
    >>> partitions = source.timed_partition("1h", max_rows=2)
    >>> _ = partitions.map(len).sink(seen.append)
    >>> for number in range(5):
    ...     source.emit(f"/b.gif?n={number}")
    >>> partitions.flush()
    >>> seen
    [2, 2, 1]
    """

    def __init__(
        self,
        upstream: Stream,
        width: str | timedelta = "1s",
        *,
        max_rows: int = MAX_ROWS,
        clock: Clock | None = None,
        **kwargs: Any,
    ) -> None:
        self.buffer = TimedPartition(width, max_rows=max_rows, clock=clock)
        self._timer: asyncio.TimerHandle | None = None
        super().__init__(upstream, ensure_io_loop=True, **kwargs)

    def update(self, x: Any, who: Stream | None = None, metadata: Any = None) -> Any:
        """Take a beacon (bytes or text), several of them, or a frame with a column ``raw``."""
        del who, metadata
        emitted = self._emit_all(self.buffer.add(_frame(x)))
        if self.buffer.rows and self._timer is None:
            self._wait(self.buffer.age)
        return emitted

    def flush(self) -> None:
        """Emit what is held, however young."""
        for frame in self.buffer.flush():
            self.emit(frame)

    def look(self) -> None:
        """Emit what is old enough by the clock, and look again when the rest may be."""
        self._timer = None
        for frame in self.buffer.due():
            self.emit(frame, asynchronous=True)
        if self.buffer.rows:
            self._wait(self.buffer.age / 4)

    def _wait(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self.look)

    def _emit_all(self, frames: Iterable[pl.DataFrame]) -> list[Any]:
        return [awaitable for frame in frames for awaitable in self._emit(frame)]


def _frame(beacons: pl.DataFrame | bytes | str | Iterable[bytes | str]) -> pl.DataFrame:
    if isinstance(beacons, pl.DataFrame):
        return beacons
    lines = [beacons] if isinstance(beacons, bytes | str) else beacons
    raw = [line.encode() if isinstance(line, str) else line for line in lines]
    return pl.DataFrame({"raw": pl.Series(raw, dtype=pl.Binary)})
