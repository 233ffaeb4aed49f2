"""Bytes to beacons, one a line: a block at a time, no Python call a line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from .source import ARRIVING, NOTHING, Batch

BLOCK: Final = 4 << 20
_LF, _CR = 10, 13


def split_lines(text: bytes, at: int) -> tuple[pl.DataFrame, int]:
    r"""Split the whole lines of a block; tell how many bytes they take.

    A line ends with ``\n`` or ``\r\n``, which is not part of the beacon; empty lines are skipped.

    Parameters
    ----------
    text
        The block, which begins with a line.
    at
        The block's position in the source: beacons get their positions as ``offset``.

    Returns
    -------
    tuple[DataFrame, int]
        A frame of `ARRIVING`, and the bytes up to the end of the last whole line.

    Examples
    --------
    >>> frame, used = split_lines(b"a=1\r\n\nb=2\nc=", at=100)
    >>> frame["raw"].to_list(), frame["offset"].to_list(), used
    ([b'a=1', b'b=2'], [100, 106], 10)
    """
    content = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(content == _LF)
    if not ends.size:
        return NOTHING, 0
    used = int(ends[-1]) + 1
    starts = np.empty_like(ends)
    starts[0] = 0
    starts[1:] = ends[:-1] + 1
    # An empty first line has no byte before its end: index -1 is then the block's last byte.
    ends = ends - ((content[ends - 1] == _CR) & (ends > starts))
    filled = ends > starts
    starts, ends = starts[filled], ends[filled]
    if not starts.size:
        return NOTHING, used
    # Arrow's values lie side by side: every second one is what lies between two lines.
    bounds = np.empty(2 * starts.size, np.int64)
    bounds[0::2], bounds[1::2] = starts, ends
    pieces = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), bounds.size - 1, [None, pa.py_buffer(bounds), pa.py_buffer(text)]
    )
    raw = pl.Series("raw", pieces).gather_every(2)
    return _frame(raw, starts + at), used


def read_lines(read: Callable[[int], bytes | None], at: int) -> Iterator[Batch]:
    """Read lines until the end; a last one without a line feed counts.

    Parameters
    ----------
    read
        Returns at most that many bytes, none at the end, or None when there is nothing yet.
    at
        The position that reading begins at, which begins a line.
    """
    rest = b""
    while True:
        # A line longer than a block is read by ever longer ones, so that it is not copied for ever.
        block = read(max(BLOCK, len(rest)))
        if block is None:
            yield Batch(NOTHING, at)
            continue
        if not block:
            break
        text = rest + block
        frame, used = split_lines(text, at)
        rest, at = text[used:], at + used
        yield Batch(frame, at)
    if rest:
        frame, _ = split_lines(rest + b"\n", at)
        yield Batch(frame, at + len(rest))


def _frame(raw: pl.Series, offsets: npt.NDArray[np.int64]) -> pl.DataFrame:
    message_id = pl.lit(None, ARRIVING["message_id"])
    return pl.DataFrame({"raw": raw, "offset": offsets}).with_columns(message_id=message_id)
