"""Raw beacons as text, whatever their bytes, so that one pattern reads all of them.

A beacon that is not UTF-8 is seen as Latin-1: each byte becomes the character of that number. ASCII
stays itself, so it still splits into its fields; each declared field is then turned back into its
bytes and judged on its own, and what lies outside of the declared fields may be anything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from .octets import Octets
from .utf8 import to_text

_ASCII: Final = 0x80


class Lines(NamedTuple):
    """The beacons of a segment as text.

    Attributes
    ----------
    text : pl.Series
        String, without nulls.
    foreign : pl.Series or None
        Boolean: the beacons that are not UTF-8 and are seen as Latin-1; None when there are none.
    """

    text: pl.Series
    foreign: pl.Series | None

    @classmethod
    def of(cls, raw: pl.Series) -> Lines:
        r"""See raw beacons as text.

        Parameters
        ----------
        raw
            Binary or String; null is an empty line.

        Raises
        ------
        TypeError
            The column is neither Binary nor String.

        Examples
        --------
        >>> lines = Lines.of(pl.Series([b"a=1", b"a=\xe9"]))
        >>> lines.text.to_list(), lines.foreign.to_list()
        (['a=1', 'a=é'], [False, True])
        """
        if raw.dtype == pl.String:
            return cls(raw.fill_null(""), None)
        if raw.dtype != pl.Binary:
            raise TypeError(f"raw beacons are Binary or String, not {raw.dtype}")
        raw = raw.fill_null(b"")
        text, foreign = to_text(raw)
        if foreign is not None:
            text = overlay(text, foreign, latin1_to_text(raw.filter(foreign)))
        return cls(text, foreign)

    def where(self, rows: pl.Series) -> Lines:
        """Keep some of the lines.

        Parameters
        ----------
        rows
            Their row numbers.
        """
        foreign = None if self.foreign is None else self.foreign.gather(rows)
        return Lines(self.text.gather(rows), foreign)

    def octets(self) -> pl.Series:
        r"""Give back the bytes, as Binary.

        Examples
        --------
        >>> Lines.of(pl.Series([b"a=1", b"a=\xe9"])).octets().to_list()
        [b'a=1', b'a=\xe9']
        """
        octets = self.text.cast(pl.Binary)
        if self.foreign is None or not self.foreign.any():
            return octets
        return overlay(octets, self.foreign, text_to_latin1(self.text.filter(self.foreign)))


def overlay(values: pl.Series, where: pl.Series, replacements: pl.Series) -> pl.Series:
    """Replace the values at the rows that a mask marks.

    Parameters
    ----------
    values
        Any data type.
    where
        Boolean, as long as the values.
    replacements
        The new values, one for each marked row, in order.

    Examples
    --------
    >>> overlay(pl.Series([1, 2, 3]), pl.Series([True, False, True]), pl.Series([7, 9])).to_list()
    [7, 2, 9]
    """
    rank = (where.cum_sum() - 1).cast(pl.UInt32)
    chosen = replacements.gather(rank.zip_with(where, pl.Series([None], dtype=pl.UInt32)))
    return chosen.zip_with(where, values)


def native(
    values: pl.Series,
    foreign: pl.Series | None,
    touched: pl.Series | None = None,
    decode: Callable[[pl.Series], pl.Series] = lambda octets: octets,
) -> tuple[pl.Series, pl.Series | None]:
    r"""Read parts of lines as what they are: UTF-8, or not.

    Parameters
    ----------
    values
        String, one a line: parts of `Lines.text`; null stays null.
    foreign
        `Lines.foreign`.
    touched
        Boolean: further values that are to be decoded; none by default.
    decode
        From the bytes of a value to its decoded bytes, over Binary without nulls.

    Returns
    -------
    text : pl.Series
        String; null also where the bytes are not UTF-8.
    invalid : pl.Series or None
        Boolean: where they are not; None when all are.

    Examples
    --------
    >>> lines = Lines.of(pl.Series([b"ab", b"a\xe9"]))
    >>> text, invalid = native(lines.text.str.tail(1), lines.foreign)
    >>> text.to_list(), invalid.to_list()
    (['b', None], [False, True])
    """
    if touched is None:
        touched = foreign
    elif foreign is not None:
        touched |= foreign
    if touched is None or not touched.any():
        return values, None
    touched = (touched & values.is_not_null()).fill_null(value=False)
    parts = Lines(values.filter(touched), None if foreign is None else foreign.filter(touched))
    text, invalid = to_text(decode(parts.octets()))
    if invalid is not None:
        invalid = overlay(~touched & touched, touched, invalid)
    return overlay(values, touched, text), invalid


def missing(count: int) -> pl.Series:
    """Make the text of a field that no beacon has.

    Examples
    --------
    >>> missing(2).to_list()
    [None, None]
    """
    return pl.Series([None], dtype=pl.String).new_from_index(0, count)


def latin1_to_text(values: pl.Series) -> pl.Series:
    r"""Read Binary as Latin-1: the character of each byte's number.

    Examples
    --------
    >>> latin1_to_text(pl.Series([b"caf\xe9"])).to_list()
    ['café']
    """
    octets = Octets.of(values)
    high = octets.data >= _ASCII
    # In UTF-8 the characters U+0080 to U+00FF are 1100_00ab 10cd_efgh for the byte abcd_efgh.
    wide = np.repeat(octets.data, 1 + high.astype(np.int64))
    shift = np.concatenate([[0], np.cumsum(high)])
    lead = np.flatnonzero(high) + shift[:-1][high]
    wide[lead] = 0xC0 | (wide[lead] >> 6)
    wide[lead + 1] = 0x80 | (wide[lead + 1] & 0x3F)
    return Octets(wide, octets.offsets + shift[octets.offsets]).restore().cast(pl.String)


def text_to_latin1(values: pl.Series) -> pl.Series:
    r"""Write text as Latin-1: the inverse of `latin1_to_text`, to Binary.

    Examples
    --------
    >>> text_to_latin1(pl.Series(["café"])).to_list()
    [b'caf\xe9']
    """
    octets = Octets.of(values)
    lead = octets.data >= 0xC0  # noqa: PLR2004
    narrow = octets.data.copy()
    at = np.flatnonzero(lead)
    narrow[at + 1] = ((narrow[at] & 0b11) << 6) | (narrow[at + 1] & 0x3F)
    shift = np.concatenate([[0], np.cumsum(lead)])
    return Octets(narrow[~lead], octets.offsets - shift[octets.offsets]).restore()
