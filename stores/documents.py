"""What is set aside: beacons that could not be decoded, segments that could not be folded."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from .backend import Backend
from .clock import Clock
from .errors import StoreLayoutError
from .generation import Generation
from .segments import SegmentId

REJECTED = {"row": pl.UInt32(), "reason": pl.String()}


@dataclass(frozen=True)
class Quarantine:
    """The beacons of a generation that could not be decoded, by segment.

    Parameters
    ----------
    backend, generation
        Where they are kept.

    Examples
    --------
    ``store.quarantine(generation).list()`` has one row for each segment and reason.
    """

    backend: Backend
    generation: Generation
    kind = "quarantine"

    def put(self, segment: SegmentId, rejected: pl.DataFrame) -> None:
        """Keep a segment's rejected rows, in place of those kept for it before.

        Parameters
        ----------
        segment
            Where the beacons are.
        rejected
            ``row: UInt32`` (number of the beacon in the segment) and ``reason: String``.
        """
        data = io.BytesIO()
        rejected.select(pl.col("row").cast(pl.UInt32), pl.col("reason").cast(pl.String)).write_ipc(
            data, compression="zstd"
        )
        self.backend.put_document(self.generation, self.kind, str(segment), data.getvalue())

    def get(self, segment: SegmentId) -> pl.DataFrame:
        """Return ``row`` and ``reason`` of a segment; no rows where nothing was rejected."""
        for _, value in self.backend.documents(self.generation, self.kind, str(segment)):
            return _rejected(value)
        return pl.DataFrame(schema=REJECTED)

    def list(self) -> pl.DataFrame:
        """Return ``segment: String, reason: String, rows: UInt32``, sorted."""
        counts = [
            _rejected(value)
            .group_by("reason")
            .agg(rows=pl.len())
            .select(pl.lit(name).alias("segment"), "reason", "rows")
            for name, value in self.backend.documents(self.generation, self.kind)
        ]
        none = pl.DataFrame(
            schema={"segment": pl.String(), "reason": pl.String(), "rows": pl.UInt32()}
        )
        return pl.concat([none, *counts]).sort("segment", "reason")


@dataclass(frozen=True)
class Poison:
    """The segments that a generation could not fold, with the reason, until someone acts.

    Parameters
    ----------
    backend, generation
        Where they are kept.
    clock
        Dates them.
    """

    backend: Backend
    generation: Generation
    clock: Clock
    kind = "poison"

    def put(self, segment: SegmentId, reason: str, at: datetime | None = None) -> None:
        """Set a segment aside."""
        value = json.dumps({"reason": reason, "at": (at or self.clock.now()).isoformat()})
        self.backend.put_document(self.generation, self.kind, str(segment), value.encode())

    def list(self) -> pl.DataFrame:
        """Return ``segment: String, reason: String, at: Datetime("us", "UTC")``, by segment."""
        rows = [
            (name, document["reason"], datetime.fromisoformat(document["at"]))
            for name, value in self._documents()
            for document in [json.loads(value)]
        ]
        schema = {"segment": pl.String(), "reason": pl.String(), "at": pl.Datetime("us", "UTC")}
        return pl.DataFrame(rows, schema, orient="row").sort("segment")

    def segments(self) -> set[SegmentId]:
        """Return the segments that are set aside."""
        return {SegmentId.parse(name) for name, _ in self._documents()}

    def waive(self, segment: SegmentId) -> None:
        """Take a segment off the list, to be tried again or to be done without."""
        self.backend.delete_document(self.generation, self.kind, str(segment))

    def _documents(self) -> Iterator[tuple[str, bytes]]:
        return self.backend.documents(self.generation, self.kind)


def _rejected(value: bytes) -> pl.DataFrame:
    try:
        return pl.read_ipc(value)
    except (pl.exceptions.PolarsError, OSError):
        raise StoreLayoutError("quarantine written by another version/layout") from None
