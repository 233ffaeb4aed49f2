"""Python values as a column of one data type, none of them changed on the way."""

from collections.abc import Sequence
from typing import Any

import polars as pl


def exact(name: str, values: Sequence[Any], dtype: pl.DataType) -> pl.Series:
    """Make a column of values that all fit its data type exactly.

    Parameters
    ----------
    name
        What the values are, for the message; also the column's name.
    values
        Python values; None is not one.

    Raises
    ------
    TypeError, ValueError
        For the first value of another type, or that would be rounded or cut.

    Examples
    --------
    >>> exact("value", [1, 2], pl.Int64()).to_list()
    [1, 2]
    >>> exact("value", [1, 2.5], pl.Int64())
    Traceback (most recent call last):
    TypeError: the value 2.5 (float) is not Int64
    """
    try:
        column = pl.Series(name, values, dtype=dtype, strict=True)
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
        if len(values) == 1:
            raise TypeError(_message(name, values[0], dtype)) from None
        # Finds the first that does not fit; or they only do not fit together, as 1 and Decimal(1).
        return pl.concat([exact(name, [value], dtype) for value in values])
    wrong = column.dtype != dtype  # Polars makes no dates of datetimes, and says nothing
    for value, kept in zip(values, column.to_list(), strict=True):
        if value is None or isinstance(value, bool) != isinstance(kept, bool) or wrong:
            raise TypeError(_message(name, value, dtype))
        if kept != value and (kept == kept or value == value):  # noqa: PLR0124 - NaN is NaN
            same = type(value) is type(kept) or isinstance(value, int | float)
            error = ValueError if same and dtype.is_numeric() else TypeError
            raise error(_message(name, value, dtype))
    return column


def _message(name: str, value: object, dtype: pl.DataType) -> str:
    shown = repr(value)
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."  # noqa: PLR2004
    return f"the {name} {shown} ({type(value).__name__}) is not {dtype}"
