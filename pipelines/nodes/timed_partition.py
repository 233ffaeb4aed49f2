"""Buffer beacons that are emitted by hand into partitions, by age and by size."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import polars as pl
from streamz import Stream

from ..clock import Clock, SystemClock
from ..timed_partition import TimedPartition


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
    """

    def __init__(
        self,
        upstream: Stream,
        width: str = "1s",
        *,
        max_rows: int = 100_000,
        clock: Clock | None = None,
        **kwargs: Any,
    ) -> None:
        self.buffer = TimedPartition(age=width, max_rows=max_rows, clock=clock or SystemClock())
        self._timer: asyncio.TimerHandle | None = None
        super().__init__(upstream, ensure_io_loop=True, **kwargs)

    def update(self, x: Any, who: Stream | None = None, metadata: Any = None) -> Any:
        """Take a beacon (bytes or text), several of them, or a frame with a column ``raw``."""
        del who, metadata
        return self._pass_on(self.buffer.add(_frame(x)))

    def flush(self) -> None:
        """Emit what is held, however young."""
        for frame in self.buffer.flush():
            self.emit(frame)
