"""Columns in PostgreSQL's binary formats: as an array, and as rows for COPY; no cell in Python.

Sources: https://www.postgresql.org/docs/current/sql-copy.html (binary format) and ``array_send`` in
PostgreSQL's ``arrayfuncs.c``. Every value is its size in bytes, as a big-endian 32-bit integer that
is −1 for null, and the bytes.
"""

from collections.abc import Iterator

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import Connection
from psycopg.adapt import Dumper
from psycopg.pq import Format

BATCH = 20_000
"""Rows in one piece of a COPY: 60 MB of the largest usual states."""

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"

TYPES = {pl.Int64: "bigint", pl.String: "text", pl.Binary: "bytea"}
"""What the dtypes are called there."""

_OIDS = {pl.Int64: 20, pl.String: 25, pl.Binary: 17}


class Array(bytes):
    """An array of one dimension in binary form, to pass as ``$1::bigint[]``."""

    __slots__ = ()


class _ArrayDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Array) -> bytes:
        """Pass it on as it is."""
        return obj


def register(connection: Connection) -> None:
    """Let a connection take an `Array` for a parameter."""
    connection.adapters.register_dumper(Array, _ArrayDumper)


def array(column: pl.Series) -> Array:
    """Write a column of ``Int64``, ``String`` or ``Binary`` as an array.

    Examples
    --------
    >>> array(pl.Series([258, None])).hex(" ", 4)
    '00000001 00000001 00000014 00000002 00000001 00000008 00000000 00000102 ffffffff'
    """
    nulls = int(column.null_count() > 0)
    oid = _OIDS[column.dtype.base_type()]
    if column.is_empty():
        return Array(np.array([0, 0, oid], ">i4").tobytes())
    header = np.array([1, nulls, oid, len(column), 1], ">i4").tobytes()
    return Array(header + _bytes(_fields(column)))


def copied(frame: pl.DataFrame) -> Iterator[bytes]:
    """Write the rows of a frame for ``COPY … FROM STDIN (FORMAT binary)``, in pieces.

    Parameters
    ----------
    frame
        Columns of ``Int64``, ``String`` and ``Binary``.

    Examples
    --------
    >>> rows = b"".join(copied(pl.DataFrame({"key": ["a"], "n": [None]}, {"key": str, "n": int})))
    >>> rows[len(HEADER):].hex(" ")
    '00 02 00 00 00 01 61 ff ff ff ff ff ff'
    """
    yield HEADER
    width = np.array([frame.width], ">i2").tobytes()
    for piece in frame.iter_slices(BATCH):
        fields = [_fields(column) for column in piece.get_columns()]
        first, nothing = (pa.scalar(each, pa.large_binary()) for each in (width, b""))
        yield _bytes(pc.binary_join_element_wise(first, *fields, nothing))
    yield TRAILER


def _fields(column: pl.Series) -> pa.Array:
    """Write each value behind its size."""
    if column.dtype == pl.Int64:
        return _integers(column)
    column = column.cast(pl.Binary)
    sizes = column.bin.size().cast(pl.Int32).fill_null(-1).to_numpy().astype(">i4")
    prefixes = _fixed(sizes.view("V4"))
    nothing = pa.scalar(b"", pa.large_binary())
    values = column.fill_null(b"").to_arrow().cast(pa.large_binary())
    return pc.binary_join_element_wise(prefixes, values, nothing)


def _integers(column: pl.Series) -> pa.Array:
    fields = np.empty(len(column), [("size", ">i4"), ("value", ">i8")])
    fields["size"], fields["value"] = 8, column.fill_null(0).to_numpy()
    if not column.null_count():
        return _fixed(fields)
    null = column.is_null().to_numpy()
    fields["size"][null] = -1
    kept = np.ones((len(column), 12), dtype=bool)
    kept[null, 4:] = False
    return _binary(np.append(0, np.cumsum(kept.sum(axis=1))), fields.view(np.uint8)[kept.ravel()])


def _fixed(values: np.ndarray) -> pa.Array:
    """Make an array of values of one size."""
    size = values.dtype.itemsize
    return _binary(np.arange(len(values) + 1) * size, np.ascontiguousarray(values))


def _binary(offsets: np.ndarray, data: np.ndarray) -> pa.Array:
    buffers = [None, pa.py_buffer(offsets.astype(np.int64)), pa.py_buffer(data)]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(offsets) - 1, buffers)


def _bytes(fields: pa.Array) -> bytes:
    """Return all values, one after another."""
    start, stop = np.frombuffer(fields.buffers()[1], np.int64)[
        [fields.offset, fields.offset + len(fields)]
    ]
    return memoryview(fields.buffers()[2])[start:stop].tobytes()
