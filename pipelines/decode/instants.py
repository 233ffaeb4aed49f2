"""Text to instants: RFC 3339 and the date of the common log format, on flat bytes.

Both forms are of fixed width but for RFC 3339's fraction and offset, so every digit is fetched by
its position and the calendar is computed for all rows at once. An instant is a count of units since
1970-01-01T00:00:00Z; what would have to be rounded is not an instant.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from .octets import Octets

Integers = NDArray[np.int64]

UNITS: Final[Mapping[str, int]] = {"ms": 10**3, "us": 10**6, "ns": 10**9}
"""Units in a second."""

_EPOCH: Final = date(1970, 1, 1).toordinal()
_FIRST: Final = (date.min.toordinal() - _EPOCH) * 86_400  # 0001-01-01T00:00:00Z, in seconds
_LAST: Final = (date.max.toordinal() + 1 - _EPOCH) * 86_400 - 1  # 9999-12-31T23:59:59Z

_DAY_TIME: Final = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_ZONE: Final = r"[+-](?:[01][0-9]|2[0-3]):?[0-5][0-9]"
_COMMON_LOG: Final = rf"^[0-9]{{2}}/[A-Z][a-z]{{2}}/[0-9]{{4}}:{_DAY_TIME} {_ZONE}$"
_MONTHS: Final = (
    "Jan",
    "Feb",
    "Mar",
    "Apr",
    "May",
    "Jun",
    "Jul",
    "Aug",
    "Sep",
    "Oct",
    "Nov",
    "Dec",
)


def limits(unit: str) -> tuple[int, int]:
    """Give the first and the last instant: years 0001 to 9999, as far as 64 bits reach.

    Examples
    --------
    >>> limits("ms")
    (-62135596800000, 253402300799999)
    """
    scale = UNITS[unit]
    return max(_FIRST * scale, -(2**63)), min(_LAST * scale + scale - 1, 2**63 - 1)


def rfc3339(text: pl.Series, unit: str, *, zoned: bool) -> pl.Series:
    """Read RFC 3339: ``2015-09-12T00:46:58.771Z``, with ``T``, ``t`` or a space in the middle.

    Parameters
    ----------
    text
        String.
    unit
        ``ms``, ``us`` or ``ns``; a fraction may have no more digits than it counts.
    zoned
        Whether the text ends in ``Z`` or an offset; if not, it has neither.

    Returns
    -------
    pl.Series
        Int64; null where the text is no such instant. A leap second (``:60``) is none.

    Examples
    --------
    >>> texts = pl.Series(["1970-01-01T00:00:01.5Z", "1970-01-01 01:00:00+01:00"])
    >>> rfc3339(texts, "ms", zoned=True).to_list()
    [1500, 0]
    """
    digits = len(str(UNITS[unit])) - 1
    zone = r"(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])" if zoned else ""
    form = rf"^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[Tt ]{_DAY_TIME}(?:\.[0-9]{{1,{digits}}})?{zone}$"
    formed = text.str.contains(form).fill_null(value=False)
    octets = Octets.of(text.filter(formed))
    start, end = octets.offsets[:-1], octets.offsets[1:]
    year, month, day = (
        _number(octets.data, start + at, width) for at, width in ((0, 4), (5, 2), (8, 2))
    )
    seconds = _time_of_day(octets.data, start + 11)
    if zoned:
        numeric = octets.data[end - 1] < ord("A")  # no Z
        sign_at = np.where(numeric, end - 6, start)
        offset = _offset(octets.data, sign_at, sign_at + 4)
        seconds -= np.where(numeric, offset, 0)
        end = np.where(numeric, end - 6, end - 1)
    fraction = np.zeros(len(start), np.int64)
    for place in range(digits):
        at = start + 20 + place
        digit = octets.data[np.minimum(at, len(octets.data) - 1)].astype(np.int64) - ord("0")
        fraction = fraction * 10 + np.where(at < end, digit, 0)
    return _placed(formed, _instants(year, month, day, seconds, fraction, unit))


def common_log(text: pl.Series, unit: str) -> pl.Series:
    """Read the date of a log line of NCSA's common format: ``10/Oct/2000:13:55:36 -0700``.

    Parameters
    ----------
    text
        String.
    unit
        ``ms``, ``us`` or ``ns``.

    Returns
    -------
    pl.Series
        Int64; null where the text is no such instant.

    Examples
    --------
    >>> common_log(pl.Series(["10/Oct/2000:13:55:36 -0700", "31/Feb/2000:00:00:00 +0000"]), "ms")[0]
    971211336000
    """
    formed = text.str.contains(_COMMON_LOG).fill_null(value=False)
    octets = Octets.of(text.filter(formed))
    start = octets.offsets[:-1]
    letters = sum(
        octets.data[start + 3 + place].astype(np.int64) << 8 * place for place in range(3)
    )
    month = np.zeros(len(start), np.int64)
    for number, name in enumerate(_MONTHS, 1):
        month[letters == int.from_bytes(name.encode(), "little")] = number
    seconds = _time_of_day(octets.data, start + 12)
    seconds -= _offset(octets.data, start + 21, start + 24)
    year, day = _number(octets.data, start + 7, 4), _number(octets.data, start, 2)
    none = np.zeros(len(start), np.int64)
    return _placed(formed, _instants(year, month, day, seconds, none, unit))


def _number(data: NDArray[np.uint8], at: Integers, width: int) -> Integers:
    value = np.zeros(len(at), np.int64)
    for place in range(width):
        value = value * 10 + (data[at + place].astype(np.int64) - ord("0"))
    return value


def _time_of_day(data: NDArray[np.uint8], at: Integers) -> Integers:
    hour, minute, second = (_number(data, at + place, 2) for place in (0, 3, 6))
    return (hour * 60 + minute) * 60 + second


def _offset(data: NDArray[np.uint8], sign_at: Integers, minutes_at: Integers) -> Integers:
    size = _number(data, sign_at + 1, 2) * 3600 + _number(data, minutes_at, 2) * 60
    return np.where(data[sign_at] == ord("-"), -size, size)


def _instants(
    year: Integers, month: Integers, day: Integers, seconds: Integers, fraction: Integers, unit: str
) -> pl.Series:
    """Count the units since the epoch; null for a day that no calendar has, or out of limits."""
    # Days from the civil calendar, by eras of 400 years: Howard Hinnant, "chrono-Compatible
    # Low-Level Date Algorithms". The year begins in March, so that leap days come last.
    of_march = year - (month <= 2)  # noqa: PLR2004
    era, of_era = np.divmod(of_march, 400)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    days = era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + day_of_year - 719_468
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    length = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
    in_month = (month >= 1) & (month <= 12)  # noqa: PLR2004
    longest = length[np.where(in_month, month, 0)] + (leap & (month == 2))  # noqa: PLR2004
    good = in_month & (day >= 1) & (day <= longest)
    seconds = days * 86_400 + seconds
    scale = UNITS[unit]
    (low, low_fraction), (high, high_fraction) = (divmod(limit, scale) for limit in limits(unit))
    good &= (seconds > low) | ((seconds == low) & (fraction >= low_fraction))
    good &= (seconds < high) | ((seconds == high) & (fraction <= high_fraction))
    return pl.Series(seconds * scale + fraction).set(pl.Series(~good), None)


def _placed(formed: pl.Series, instants: pl.Series) -> pl.Series:
    """Put the instants on the rows that have the form; the others are null."""
    if len(instants) == len(formed):
        return instants
    placed = pl.Series([None], dtype=pl.Int64).new_from_index(0, len(formed))
    return placed.scatter(formed.arg_true(), instants)
