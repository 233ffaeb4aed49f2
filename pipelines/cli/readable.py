"""Columns as text, without loss: instants in ISO 8601, bytes."""

from __future__ import annotations

from typing import Final

import polars as pl

_FRACTIONS: Final = {"ms": (1_000, "%.3f"), "us": (1_000_000, "%.6f"), "ns": (10**9, "%.9f")}


def readable(column: pl.Series) -> pl.Series:
    r"""Turn what is neither text nor a number into text: instants, dates, bytes.

    Bytes are text where they are UTF-8, else hexadecimal.

    Examples
    --------
    >>> from datetime import datetime, UTC
    >>> readable(pl.Series([datetime(2015, 9, 12, 1, tzinfo=UTC)])).item()
    '2015-09-12T01:00:00Z'
    >>> readable(pl.Series([datetime(2015, 9, 12)]).dt.replace_time_zone("Europe/Berlin")).item()
    '2015-09-12T00:00:00+02:00'
    >>> readable(pl.Series([b"\xff", b"p1"])).to_list()
    ['ff', 'p1']
    """
    if isinstance(column.dtype, pl.Datetime):
        return _instants(column, column.dtype)
    if column.dtype == pl.Binary:
        return column.map_elements(_text, return_dtype=pl.String)
    return column.cast(pl.String) if column.dtype.is_temporal() else column


def _instants(column: pl.Series, dtype: pl.Datetime) -> pl.Series:
    """Write instants, with fractions of seconds if any of them has one."""
    second, fraction = _FRACTIONS[dtype.time_unit]
    if bool((column.to_physical() % second == 0).all()):
        fraction = ""
    offset = {None: "", "UTC": "Z"}.get(dtype.time_zone, "%:z")
    return column.dt.strftime(f"%Y-%m-%dT%H:%M:%S{fraction}{offset}")


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.hex()
