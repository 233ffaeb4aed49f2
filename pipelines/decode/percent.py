"""Percent-decoding of whole columns, on flat bytes.

An escape is ``%`` and two hexadecimal digits; any other ``%`` stands for itself. A hexadecimal
digit is never a ``%``, so escapes cannot overlap and all of them are replaced at once. In a query
string or a form ``+`` is a space. (RFC 3986; the WHATWG URL Standard's form parser.)
"""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from .lines import native
from .octets import Octets

_NOT_HEX: Final = 0xFF
_HEX: Final = np.full(256, _NOT_HEX, np.uint8)
for _digit in b"0123456789abcdefABCDEF":
    _HEX[_digit] = int(chr(_digit), 16)


def decode(values: pl.Series) -> pl.Series:
    r"""Decode escapes and ``+``.

    Parameters
    ----------
    values
        Binary, without nulls.

    Returns
    -------
    pl.Series
        Binary; whether the bytes are UTF-8 is for `text` to say.

    Examples
    --------
    >>> decode(pl.Series([b"a+b%20c", b"100%", b"%2B%zz", b"%ff"])).to_list()
    [b'a b c', b'100%', b'+%zz', b'\xff']
    """
    octets = Octets.of(values)
    data = np.where(octets.data == ord("+"), np.uint8(ord(" ")), octets.data)
    at = np.flatnonzero(data == ord("%"))
    at = at[at + 2 < octets.offsets[octets.rows_of(at) + 1]]  # both digits in the same value
    high, low = _HEX[data[at + 1]], _HEX[data[at + 2]]
    escape = (high != _NOT_HEX) & (low != _NOT_HEX)
    at = at[escape]
    data[at] = (high[escape] << 4) | low[escape]
    keep = np.ones(len(data), np.bool_)
    keep[at + 1] = keep[at + 2] = False
    return Octets(data[keep], octets.offsets - 2 * np.searchsorted(at, octets.offsets)).restore()


def text(values: pl.Series, foreign: pl.Series | None) -> tuple[pl.Series, pl.Series | None]:
    """Decode a column of encoded text; only the values that need it are touched.

    Parameters
    ----------
    values
        String; null stays null.
    foreign
        Boolean: which of them are seen as Latin-1 (see `Lines`).

    Returns
    -------
    text : pl.Series
        String; null also where the decoded bytes are not UTF-8.
    invalid : pl.Series or None
        Boolean: where they are not; None when all are.

    Examples
    --------
    >>> decoded, invalid = text(pl.Series(["a", "%C3%A9", "%e9", None]), None)
    >>> decoded.to_list(), invalid.to_list()
    (['a', 'é', None, None], [False, False, True, False])
    """
    return native(values, foreign, values.str.contains("[%+]"), decode)
