"""The timed partition: beacons are held until there are enough of them, or the first is old."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from ..stores.clock import Clock, SystemClock
from ..stores.times import parse_duration

MAX_ROWS = 100_000
MAX_BYTES = 64 << 20


class TimedPartition:
    """A buffer of frames that completes by age, by rows or by bytes.

    It does nothing by itself: who owns it adds frames, and asks from time to time what is due.
    Rows of a frame that have the same ``offset``, as those of one message do, stay together.

    Parameters
    ----------
    age
        How long the first beacon of a partition may be held: ``"1s"``, ``"200ms"``, ….
    max_rows
        Rows of a partition, at most: frames are split there, or before a message that would not
        fit. A message of more rows is a partition of its own.
    max_bytes
        A partition that has reached so many raw bytes is complete, with the frame that did.
    clock
        Measures the age.

    Raises
    ------
    ValueError
        A limit is not greater than zero, or the age is no duration.

    Examples
    --------
    >>> from beaconfold.stores.clock import ManualClock
    >>> clock = ManualClock()
    >>> buffer = TimedPartition("1s", max_rows=2, clock=clock)
    >>> [part["raw"].to_list() for part in buffer.add(pl.DataFrame({"raw": [b"a", b"b", b"c"]}))]
    [[b'a', b'b']]
    >>> buffer.due()
    []
    >>> clock.advance(1)
    >>> [part["raw"].to_list() for part in buffer.due()]
    [[b'c']]
    """

    def __init__(
        self,
        age: str | timedelta = "1s",
        *,
        max_rows: int = MAX_ROWS,
        max_bytes: int = MAX_BYTES,
        clock: Clock | None = None,
    ) -> None:
        if max_rows < 1 or max_bytes < 1:
            raise ValueError("a partition has room for at least one row and one byte")
        self.age = parse_duration(age) / 1e6
        self.max_rows, self.max_bytes = max_rows, max_bytes
        self._clock = clock or SystemClock()
        self._held: list[pl.DataFrame] = []
        self._began = 0.0
        self.rows = 0
        self.bytes = 0

    @property
    def held(self) -> tuple[pl.DataFrame, ...]:
        """What is held, as it was added."""
        return tuple(self._held)

    def add(self, frame: pl.DataFrame) -> list[pl.DataFrame]:
        """Hold a frame's rows; return the partitions that this completes."""
        complete: list[pl.DataFrame] = []
        while frame.height:
            cut = _cut(frame, self.max_rows - self.rows, empty=not self.rows)
            if cut:
                self._hold(frame.head(cut))
            frame = frame.slice(cut)
            if frame.height or self.rows >= self.max_rows or self.bytes >= self.max_bytes:
                complete += self.flush()
        return complete

    def due(self) -> list[pl.DataFrame]:
        """Return the partition that is held if it is old enough."""
        old = self._held and self._clock.monotonic() - self._began >= self.age
        return self.flush() if old else []

    def flush(self) -> list[pl.DataFrame]:
        """Return the partition that is held, however young; nothing if there is none."""
        held, self._held, self.rows, self.bytes = self._held, [], 0, 0
        return [pl.concat(held)] if held else []

    def _hold(self, frame: pl.DataFrame) -> None:
        if not self._held:
            self._began = self._clock.monotonic()
        self._held.append(frame)
        self.rows += frame.height
        self.bytes += raw_bytes(frame)


def _cut(frame: pl.DataFrame, room: int, *, empty: bool) -> int:
    """Tell how many rows to take into a partition that has room for so many."""
    if frame.height <= room or "offset" not in frame.columns:
        return min(room, frame.height)
    offset = frame["offset"]
    message = offset.item(room - 1)
    if message is None or offset.item(room) != message:
        return room
    before = (offset.head(room) != message).fill_null(value=True).arg_true()
    begin = int(before.item(-1)) + 1 if before.len() else 0
    if begin or not empty:
        return begin
    after = (offset.slice(room) != message).fill_null(value=True).arg_true()
    return room + int(after.item(0)) if after.len() else frame.height


def raw_bytes(frame: pl.DataFrame) -> int:
    """Count the bytes of the beacons in a frame, or of the frame where it holds none.

    >>> raw_bytes(pl.DataFrame({"raw": [b"abc", b"d"]}))
    4
    """
    if frame.schema.get("raw") == pl.Binary:
        return int(frame["raw"].bin.size().sum())
    return int(frame.estimated_size())
