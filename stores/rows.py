"""Frames from cells of Python, and back: for backends whose drivers know no columns."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import polars as pl

_INT64 = (-(2**63), 2**63 - 1)


def to_frame(rows: Iterable[Sequence[Any]], schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Make a frame of rows.

    Parameters
    ----------
    rows
        Cells are ``None``, ``int``, ``str`` or ``bytes``; an ``Int128`` may be decimal text.
    schema
        Names and dtypes of the columns.

    Examples
    --------
    >>> to_frame([(1, b"x"), ("-5", None)], {"n": pl.Int128(), "state": pl.Binary()}).rows()
    [(1, b'x'), (-5, None)]
    """
    cells = list(chain.from_iterable(rows))
    return pl.DataFrame(
        [
            _column(name, cells[number :: len(schema)], dtype)
            for number, (name, dtype) in enumerate(schema.items())
        ]
    )


def from_frame(frame: pl.DataFrame) -> list[Any]:
    """Write a frame as one flat list of cells, row after row.

    An ``Int128`` beyond 64 bits becomes decimal text: databases have no such integers.

    Examples
    --------
    >>> from_frame(pl.DataFrame({"key": ["a", "b"], "n": pl.Series([1, 2**64], dtype=pl.Int128)}))
    ['a', 1, 'b', '18446744073709551616']
    """
    cells: list[Any] = [None] * (frame.height * frame.width)
    for number, column in enumerate(frame.get_columns()):
        cells[number :: frame.width] = _cells(column)
    return cells


def _column(name: str, cells: list[Any], dtype: pl.DataType) -> pl.Series:
    if dtype == pl.Int128:
        try:
            return pl.Series(name, cells, dtype=pl.Int64, strict=True).cast(pl.Int128)
        except TypeError:
            cells = [int(cell) if isinstance(cell, str) else cell for cell in cells]
    return pl.Series(name, cells, dtype=dtype)


def _cells(column: pl.Series) -> list[Any]:
    if column.dtype != pl.Int128:
        return column.to_list()
    if column.is_between(*_INT64).all():
        return column.cast(pl.Int64).to_list()
    low, high = _INT64
    return [
        str(cell) if cell is not None and not low <= cell <= high else cell
        for cell in column.to_list()
    ]
