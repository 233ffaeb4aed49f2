"""Bytes to text, value by value: which values of a Binary column are UTF-8."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from .octets import Octets

_ASCII: Final = 0x80  # the first byte that is not ASCII
_LEAD: Final = 0xC0  # the first byte that begins a sequence (those from 0x80 on continue one)


def to_text(values: pl.Series) -> tuple[pl.Series, pl.Series | None]:
    r"""Read bytes as UTF-8.

    Parameters
    ----------
    values
        Binary, without nulls.

    Returns
    -------
    text : pl.Series
        String; null where a value is not UTF-8.
    invalid : pl.Series or None
        Boolean; None when all of them are.

    Examples
    --------
    >>> text, invalid = to_text(pl.Series([b"caf\xc3\xa9", b"caf\xe9"]))
    >>> text.to_list(), invalid.to_list()
    (['café', None], [False, True])
    """
    try:
        return values.cast(pl.String), None
    except pl.exceptions.ComputeError:  # Polars names no row, and has no cast that is not strict
        invalid = pl.Series(invalid_utf8(Octets.of(values)))
        # Emptied first: the cast looks at the bytes under a null as well.
        text = pl.Series([b""]).new_from_index(0, len(values)).zip_with(invalid, values)
        return text.cast(pl.String).set(invalid, None), invalid


def invalid_utf8(octets: Octets) -> NDArray[np.bool_]:
    r"""Find the values that are not UTF-8 (RFC 3629: shortest forms, no surrogates).

    A value is UTF-8 when each leading byte is followed by its own continuation bytes and there
    are no others.

    Returns
    -------
    NDArray[np.bool_]
        One a value.

    Examples
    --------
    >>> invalid_utf8(Octets.of(pl.Series([b"a", b"\xc3\xa9", b"\xc3"]))).tolist()
    [False, False, True]
    """
    count = len(octets.offsets) - 1
    at = np.flatnonzero(octets.data >= _ASCII)
    rows = octets.rows_of(at)
    is_lead = octets.data[at] >= _LEAD
    lead, row = at[is_lead], rows[is_lead]
    following = np.concatenate([octets.data, np.zeros(3, np.uint8)])  # so that lead + 3 exists
    first, second = octets.data[lead], following[lead + 1]
    length = (first >= 0xC2).astype(np.int64) + (first >= 0xE0) + (first >= 0xF0)  # noqa: PLR2004
    low = np.select([first == 0xE0, first == 0xF0], [0xA0, 0x90], 0x80)  # noqa: PLR2004
    high = np.select([first == 0xED, first == 0xF4], [0x9F, 0x8F], 0xBF)  # noqa: PLR2004
    good = (length > 0) & (first <= 0xF4) & (second >= low) & (second <= high)  # noqa: PLR2004
    good &= lead + length < octets.offsets[row + 1]
    for step in (2, 3):
        good &= (length < step) | (following[lead + step] & 0xC0 == _ASCII)
    expected = np.bincount(row, weights=length, minlength=count)
    invalid: NDArray[np.bool_] = np.bincount(rows[~is_lead], minlength=count) != expected
    invalid[row[~good]] = True
    return invalid
