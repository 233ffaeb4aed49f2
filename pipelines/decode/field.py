"""Declared fields: what an author says about one, checked and in its declared form."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl
from polars.datatypes import DataTypeClass

from ...monoids.dtypes import as_dtype, dtype_name
from ...monoids.expression import Json
from . import fields as grammar

RESERVED = "row"
"""The column that holds a beacon's row number in the raw frame."""


@dataclass(frozen=True)
class Field:
    """A declared field: its data type, and what differs from a plain one.

    Attributes
    ----------
    dtype
        The data type of the column.
    default
        The value where the beacon does not have the field; None: null.
    source
        The field's name in the beacon, where it is not the column's.

    Examples
    --------
    >>> Field(pl.String, default="unknown")
    Field(dtype=String, default='unknown', source=None)
    """

    dtype: pl.DataType | DataTypeClass
    default: object = None
    source: str | None = None


def check_name(name: str) -> None:
    """Refuse a name that no column may have.

    Raises
    ------
    ValueError
        It is reserved, or empty.
    """
    if name == RESERVED:
        raise ValueError("'row' is the number of a beacon's row: give the field another name")
    if not name:
        raise ValueError("a field has a name that is not empty")


def checked(name: str, given: pl.DataType | DataTypeClass | Field) -> Field:
    """Make a field of what an author wrote.

    Raises
    ------
    TypeError, ValueError
        The name is reserved, the data type has no text form, or the default is not of it.

    Examples
    --------
    >>> checked("price", Field(pl.Decimal(9, 2), default=0)).default
    Decimal('0.00')
    """
    check_name(name)
    field = given if isinstance(given, Field) else Field(given)
    dtype = as_dtype(field.dtype)
    if not isinstance(dtype, pl.DataType):
        raise TypeError(f"field {name!r}: {field.dtype!r} is not a Polars data type")
    try:
        grammar.check(dtype)
    except TypeError as error:
        raise TypeError(f"field {name!r}: {error}") from None
    default = field.default
    if default is not None:
        try:
            default = pl.Series([default], dtype=dtype, strict=True).item()
        except (TypeError, pl.exceptions.PolarsError):
            raise TypeError(
                f"field {name!r}: the default {default!r} is not {grammar.describe(dtype)}"
            ) from None
    return Field(dtype, default, field.source)


def declare(field: Field) -> dict[str, Json]:
    """Write down what the author said, as JSON.

    Examples
    --------
    >>> declare(Field(pl.String(), default="unknown"))
    {'dtype': 'String', 'default': 'unknown'}
    """
    declaration: dict[str, Json] = {"dtype": dtype_name(field.dtype)}
    if field.default is not None:
        plain = isinstance(field.default, bool | int | str)
        declaration["default"] = field.default if plain else str(field.default)  # type: ignore[assignment]
    if field.source is not None:
        declaration["source"] = field.source
    return declaration
