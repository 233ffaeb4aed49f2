"""Binary columns as flat bytes, so that a kernel reads and writes all cells at once."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa


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
    return ByteColumn(np.frombuffer(data, np.uint8), starts)


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
