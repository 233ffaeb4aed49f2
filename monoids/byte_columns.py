"""Binary columns as flat bytes, so that a kernel reads and writes all cells at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

VIEW: Final = np.dtype([("size", "<i4"), ("head", "<u4"), ("place", "<u8")])


class ByteColumn(NamedTuple):
    """The cells of a Binary column, end to end.

    Attributes
    ----------
    data
        The bytes of all cells, ``uint8``.
    starts
        Where each cell begins in `data`, ``int64``, and, last, where the last one ends.
    """

    data: npt.NDArray[np.uint8]
    starts: npt.NDArray[np.int64]


def read_bytes(cells: pl.Series) -> ByteColumn:
    """Lay the cells of a Binary column without nulls end to end.

    Examples
    --------
    >>> column = read_bytes(pl.Series([b"ab", b"", b"c"]))
    >>> column.data.tobytes(), column.starts.tolist()
    (b'abc', [0, 2, 2, 3])
    """
    array = cells.to_arrow()
    _, offsets, data = array.buffers()
    starts = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    return ByteColumn(np.frombuffer(data, np.uint8)[starts[0] : starts[-1]], starts - starts[0])


def read_views(cells: pl.Series) -> npt.NDArray[np.void]:
    """Read the length and the first four bytes of each cell, and touch no others.

    Polars holds a Binary column as Arrow's *binary view* layout: 16 bytes a cell, of which these
    are the first eight. The head of a shorter cell ends in zeros.

    Parameters
    ----------
    cells
        Binary, without nulls.

    Returns
    -------
    numpy.ndarray
        Of the structured data type `VIEW`: ``size``, ``head`` (little-endian) and ``place``.

    Examples
    --------
    >>> views = read_views(pl.Series([b"ab", b"", b"abcdefghijklmnop"]))
    >>> views["size"].tolist(), views["head"].astype("<u4").tobytes().split(bytes(2))
    ([2, 0, 16], [b'ab', b'', b'', b'abcd'])
    """
    if not len(cells):
        return np.empty(0, VIEW)
    array = pa.chunked_array(cells.rechunk(), type=pa.binary_view()).chunk(0)
    views = np.frombuffer(array.buffers()[1], VIEW)
    return views[array.offset : array.offset + len(array)]


def write_bytes(
    data: npt.NDArray[np.uint8],
    lengths: npt.NDArray[np.int64],
    valid: npt.NDArray[np.bool_] | None = None,
) -> pl.Series:
    """Cut flat bytes into the cells of a Binary column.

    Parameters
    ----------
    data
        The bytes of all cells, end to end.
    lengths
        How many each cell has; 0 for a null.
    valid
        Which cells are not null; by default all.

    Examples
    --------
    >>> data = np.frombuffer(b"abc", np.uint8)
    >>> write_bytes(data, np.array([2, 0, 1]), np.array([True, False, True])).to_list()
    [b'ab', None, b'c']
    """
    starts = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=starts[1:])
    # The data of an Arrow array of Booleans is a bitmap, as validity is.
    bitmap: Any = None if valid is None else pa.array(valid).buffers()[1]
    buffers = [bitmap, pa.py_buffer(starts), pa.py_buffer(np.ascontiguousarray(data))]
    array = pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(lengths), buffers)
    return pl.Series(array, dtype=pl.Binary)


def interleave(parts: Sequence[pl.Series], places: Sequence[npt.NDArray[np.bool_]]) -> pl.Series:
    """Put the cells of several columns end to end, then each at its place.

    Parameters
    ----------
    parts
        The columns.
    places
        Masks over the result: where the cells go, the first mask's first. Exactly one is true of
        each place.

    Examples
    --------
    >>> mask = np.array([False, True, False])
    >>> interleave([pl.Series([b"b"]), pl.Series([b"a", b"c"])], [mask, ~mask]).to_list()
    [b'a', b'b', b'c']
    """
    order = np.empty(len(places[0]), np.int64)
    order[np.concatenate([np.flatnonzero(place) for place in places])] = np.arange(len(order))
    # Of one chunk, gather moves views only; of several, it would copy the bytes of all cells.
    return pl.concat(parts, rechunk=True).gather(order)
