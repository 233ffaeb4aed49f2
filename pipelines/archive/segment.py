"""A segment: an immutable file of raw beacons, as they were received."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl
import pyarrow as pa
from pyarrow import ipc

from ...stores.segments import SegmentId

RAW: Final = pl.Schema(
    {
        "raw": pl.Binary(),
        "received": pl.Datetime("us", "UTC"),
        "offset": pl.Int64(),
        "message_id": pl.Binary(),
    }
)
"""The columns of a raw frame: what a segment holds. ``offset`` and ``message_id`` may be null."""

_HEADER: Final = b"beaconfold"
_OPTIONS: Final = ipc.IpcWriteOptions(compression="lz4")


class SegmentUnreadable(OSError):
    """A segment's file is missing, or is not what was published."""


class SegmentRef(NamedTuple):
    """What travels instead of the data: a segment's name, where it lies, and its size in bytes."""

    id: SegmentId
    path: str
    size: int


class SegmentHeader(NamedTuple):
    """What a segment says of itself without being decompressed.

    Parameters
    ----------
    rows
        Number of beacons.
    first, last
        The earliest and the latest time of receipt.
    position
        Where a successor resumes reading the source; None where the source has no positions.
    """

    rows: int
    first: datetime
    last: datetime
    position: int | None


def encode(frame: pl.DataFrame, position: int | None) -> tuple[memoryview, SegmentHeader]:
    """Write a raw frame as the bytes of a segment: an Arrow IPC file, compressed with lz4.

    Raises
    ------
    ValueError
        The frame is empty, has other columns than a raw frame, or lacks times of receipt.

    Examples
    --------
    >>> noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    >>> row = {"raw": b"/b.gif?p=1", "received": noon, "offset": 0, "message_id": None}
    >>> data, header = encode(pl.DataFrame([row], schema=RAW), 11)
    >>> header.rows, header.last == noon, header.position
    (1, True, 11)
    """
    if frame.schema != RAW:
        raise ValueError(f"a segment holds the columns {dict(RAW)}, not {dict(frame.schema)}")
    received = frame["received"]
    first, last = received.min(), received.max()
    if received.has_nulls() or not isinstance(first, datetime) or not isinstance(last, datetime):
        raise ValueError("a segment holds at least one beacon, each with its time of receipt")
    header = SegmentHeader(frame.height, first, last, position)
    text = {"rows": frame.height, "first": _instant(first), "last": _instant(last)}
    metadata = {_HEADER: json.dumps(text | {"position": position})}
    table = frame.rechunk().to_arrow().combine_chunks().replace_schema_metadata(metadata)
    sink = pa.BufferOutputStream()
    with ipc.new_file(sink, table.schema, options=_OPTIONS) as writer:
        writer.write_table(table)
    return memoryview(sink.getvalue()), header


def read_header(path: str | Path) -> SegmentHeader:
    """Read what a segment says of itself, from the end of its file only.

    Raises
    ------
    SegmentUnreadable
        The file is missing or is no segment.
    """
    try:
        with pa.memory_map(str(path)) as file:
            text = json.loads(ipc.open_file(file).schema.metadata[_HEADER])
        first, last = _datetime(text["first"]), _datetime(text["last"])
        return SegmentHeader(text["rows"], first, last, text["position"])
    except (OSError, pa.ArrowException, LookupError, TypeError, ValueError) as error:
        raise _unreadable(path, error) from error


def read_frame(path: str | Path) -> pl.DataFrame:
    """Read a segment as a raw frame.

    Raises
    ------
    SegmentUnreadable
        The file is missing or is no segment.
    """
    try:
        with pa.memory_map(str(path)) as file:
            frame = pl.from_arrow(ipc.open_file(file).read_all())
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error
    if not isinstance(frame, pl.DataFrame) or frame.schema != RAW:
        raise _unreadable(path, "it holds other columns")
    return frame


def holds(path: str | Path, frame: pl.DataFrame, header: SegmentHeader) -> bool:
    """Tell whether a segment's file holds this very frame and header.

    Bytes do not tell: Arrow leaves the padding of its buffers as it was in memory.
    """
    try:
        return read_header(path) == header and read_frame(path).equals(frame)
    except SegmentUnreadable:
        return False


def _instant(time: datetime) -> str:
    return time.astimezone(UTC).isoformat()


def _datetime(text: Any) -> datetime:
    return datetime.fromisoformat(text)


def _unreadable(path: str | Path, why: object) -> SegmentUnreadable:
    return SegmentUnreadable(f"cannot read the segment {path}: {why}")
