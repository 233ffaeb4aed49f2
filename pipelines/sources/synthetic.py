"""Made-up beacons at a steady rate: a source that needs no broker and no file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from ...stores.clock import Clock, SystemClock
from .beacons import CHUNK, Beacons
from .source import ARRIVING, NONE_KNOWN, NOTHING, Batch, Source, SourcePartition

_TICK: Final = 0.05
_UNPACED_SPACING: Final = 1e-3


@dataclass(frozen=True)
class SyntheticSource(Source, SourcePartition):
    """Beacons made by number: reading on from a position gives the rows that follow it.

    Parameters
    ----------
    beacons
        What they are like.
    rate
        Beacons a second by the clock; 0: as fast as they can be made.
    count
        How many; None: without end.
    start
        Event time of the first one; the others follow at the rate (1000/s if there is none), and
        every run gives the same bytes. None: event times follow the clock.
    clock
        Paces them.

    Examples
    --------
    >>> source = SyntheticSource(Beacons(seed=1), rate=0, count=20_000)
    >>> [(batch.frame.height, batch.position) for batch in source.read(10_000)]
    [(6384, 16384), (3616, 20000)]
    """

    beacons: Beacons = field(default_factory=Beacons)
    rate: float = 1000.0
    count: int | None = None
    start: datetime | None = None
    clock: Clock = field(default_factory=SystemClock)

    def partitions(
        self, known: Mapping[str, Mapping[str, Any]] = NONE_KNOWN
    ) -> list[SourcePartition]:
        """There is one."""
        del known
        return [self]

    @property
    def finite(self) -> bool:
        """Whether it ends by itself."""
        return self.count is not None

    @property
    def identity(self) -> str:
        """Name of the partition in the archive: the same for the same beacons, however many."""
        about = {name: value for name, value in self.about().items() if name != "count"}
        text = json.dumps(about, sort_keys=True)
        return f"synthetic-{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def about(self) -> dict[str, Any]:
        """Tell the parameters."""
        beacons = self.beacons
        return {
            "seed": beacons.seed,
            "publishers": beacons.publishers,
            "users": beacons.users,
            "malformed": beacons.malformed,
            "disorder": beacons.disorder,
            "rate": self.rate,
            "count": self.count,
            "start": None if self.start is None else self.start.astimezone(UTC).isoformat(),
        }

    def read(self, position: int | None) -> Iterator[Batch]:
        """Make beacons; a position is the number of beacons before it."""
        index = first = position or 0
        began, began_at = self.clock.monotonic(), self.clock.now()
        while self.count is None or index < self.count:
            end = (index // CHUNK + 1) * CHUNK
            if self.count is not None:
                end = min(end, self.count)
            if self.rate:
                end = min(end, first + int((self.clock.monotonic() - began) * self.rate))
            if end > index:
                times = self._times(index, end, first, began_at)
                yield Batch(self._frame(index, times), end)
                index = end
                if self.rate and end % CHUNK:  # it keeps pace: let some more come together
                    self.clock.sleep(_TICK)
            else:
                self.clock.sleep(_TICK)
                yield Batch(NOTHING, index)

    def _times(self, index: int, end: int, first: int, began_at: datetime) -> npt.NDArray[np.int64]:
        """When the events of these rows happened, in microseconds since 1970."""
        if self.start is None and not self.rate:
            return np.full(end - index, _microseconds(self.clock.now()))
        spacing = 1 / self.rate if self.rate else _UNPACED_SPACING
        zero = (
            _microseconds(began_at) - int(first * spacing * 1e6)
            if self.start is None
            else _microseconds(self.start)
        )
        return zero + (np.arange(index, end) * (spacing * 1e6)).astype(np.int64)

    def _frame(self, index: int, times: npt.NDArray[np.int64]) -> pl.DataFrame:
        offset = pl.int_range(index, index + times.size, dtype=pl.Int64)
        message_id = pl.lit(None, ARRIVING["message_id"])
        raw = self.beacons.rows(index, times)
        return pl.DataFrame({"raw": raw}).with_columns(offset=offset, message_id=message_id)


def _microseconds(time: datetime) -> int:
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
