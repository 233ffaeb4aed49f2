"""Text to typed values, by a grammar of our own: nothing is rounded and nothing is guessed.

=========  ========================================================================================
String     any text, the empty one too
integers   ``[+-]?digits``, within the data type's range
Decimal    ``[+-]?digits[.digits]``: no exponent, no more fraction digits than the scale, and no
           more whole digits than the precision leaves
floats     ``[+-]?digits[.digits][e[+-]?digits]``, rounded to the nearest float as every float is,
           but not to infinity; ``[+-]?inf``, ``[+-]?infinity``, ``nan`` (in any case)
Boolean    ``true``, ``false`` (in any case), ``1``, ``0``
Date       ``YYYY-MM-DD``, years 0001 to 9999
Datetime   a whole count of the data type's own unit since 1970-01-01T00:00:00Z, or RFC 3339
           (``YYYY-MM-DD``, ``T``, ``t`` or a space, ``hh:mm:ss[.fraction]``), which ends in ``Z``
           or an offset if the data type has a time zone, and in neither if it has none; no more
           fraction digits than the unit counts, no leap second, years 0001 to 9999
=========  ========================================================================================

Digits are ASCII. Nothing is trimmed. The empty text is a missing value, but for String.
"""

from __future__ import annotations

from datetime import date
from typing import Final

import polars as pl

from ...monoids.dtypes import dtype_name
from .instants import limits, rfc3339

_FLOAT: Final = r"^[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$"
_NOT_FINITE: Final = r"(?i-u)^(?:[+-]?inf(?:inity)?|nan)$"
_DATE: Final = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_BOOLEANS: Final = {"true": True, "1": True, "false": False, "0": False}


def check(dtype: pl.DataType) -> None:
    """Refuse a data type that has no text form here.

    Raises
    ------
    TypeError
        It is not in the table above.

    Examples
    --------
    >>> check(pl.Time())  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    TypeError: a field cannot be a Time: use String, an integer, Decimal, a float, ...
    """
    if isinstance(dtype, pl.String | pl.Decimal | pl.Boolean | pl.Date | pl.Datetime):
        return
    if not (dtype.is_integer() or dtype.is_float()):
        raise TypeError(
            f"a field cannot be a {dtype}: "
            "use String, an integer, Decimal, a float, Boolean, Date or Datetime"
        )


def describe(dtype: pl.DataType) -> str:
    """Name what a text should have been, for a reason.

    Examples
    --------
    >>> describe(pl.Decimal(18, 6)), describe(pl.Int64()), describe(pl.Datetime("ms", "UTC"))
    ('a decimal(18,6)', 'an int64', 'a datetime')
    """
    name = dtype_name(dtype)
    name = name if isinstance(dtype, pl.Decimal) else name.partition("(")[0]
    return f"{'an' if name.startswith('Int') else 'a'} {name.lower()}"


def parse(text: pl.Series, dtype: pl.DataType) -> pl.Series:  # noqa: PLR0911 - one a data type
    """Read a column of text.

    Parameters
    ----------
    text
        String; null is a missing value.
    dtype
        One that `check` lets pass.

    Returns
    -------
    pl.Series
        Of that data type; null where the text is missing, empty or not of the grammar.

    Examples
    --------
    >>> parse(pl.Series(["0.5", "0.1234567", "1e3", ""]), pl.Decimal(18, 6)).to_list()
    [Decimal('0.500000'), None, None, None]
    >>> parse(pl.Series(["1500", "1970-01-01T00:00:01.5Z"]), pl.Datetime("ms")).to_list()
    [datetime.datetime(1970, 1, 1, 0, 0, 1, 500000), None]
    """
    match dtype:
        case pl.String():
            return text
        case pl.Decimal():
            return _decimal(text, dtype)
        case pl.Boolean():
            return text.str.to_lowercase().replace_strict(
                _BOOLEANS, default=None, return_dtype=pl.Boolean
            )
        case pl.Date():
            days = _only(text, text.str.contains(_DATE)).str.to_date("%Y-%m-%d", strict=False)
            return _only(days, days >= date.min)
        case pl.Datetime():
            return _datetime(text, dtype)
        case _ if dtype.is_float():
            return _float(text, dtype)
        case _:
            return _integer(text, dtype)


def _only(values: pl.Series, kept: pl.Series) -> pl.Series:
    """Set to null what is not marked."""
    if kept.all(ignore_nulls=True):
        return values
    nulls = pl.Series([None], dtype=values.dtype).new_from_index(0, len(values))
    return values.zip_with(kept.fill_null(value=False), nulls)


def _integer(text: pl.Series, dtype: pl.DataType) -> pl.Series:
    values = text.cast(dtype, strict=False)
    if dtype.is_unsigned_integer() and values.null_count() > text.null_count():
        # The cast of an unsigned integer refuses every minus.
        zeros = text.str.contains("^-0+$").fill_null(value=False)
        values = values.set(zeros, 0)
    return values


def _decimal(text: pl.Series, dtype: pl.Decimal) -> pl.Series:
    # The cast rounds and takes exponents.
    whole, scale = dtype.precision - dtype.scale, dtype.scale
    digits = rf"0*[0-9]{{1,{whole}}}" if whole else "0+"
    fraction = rf"(?:\.[0-9]{{1,{scale}}})?" if scale else ""
    return _only(text, text.str.contains(f"^[+-]?{digits}{fraction}$")).cast(dtype, strict=False)


def _float(text: pl.Series, dtype: pl.DataType) -> pl.Series:
    finite = text.str.contains(_FLOAT)
    values = _only(text, finite | text.str.contains(_NOT_FINITE)).cast(dtype, strict=False)
    return _only(values, ~(finite & values.is_infinite()))


def _datetime(text: pl.Series, dtype: pl.Datetime) -> pl.Series:
    unit, zone = dtype.time_unit, dtype.time_zone
    low, high = limits(unit)
    instants = text.cast(pl.Int64, strict=False)
    instants = _only(instants, instants.is_between(low, high))
    if instants.null_count() > text.null_count():
        others = (instants.is_null() & text.is_not_null()).arg_true()
        parsed = rfc3339(text.gather(others), unit, zoned=zone is not None)
        instants = instants.scatter(others, parsed)
    if zone is None:
        return instants.cast(dtype)
    return instants.cast(pl.Datetime(unit, "UTC")).dt.convert_time_zone(zone)
