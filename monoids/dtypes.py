"""Names of data types that stay the same whatever version of Polars reads them.

Declarations, stores and fingerprints hold these names, so they are ours: ``Int64``, ``String``,
``Decimal(18,6)``, ``Datetime(ms,UTC)``, ``Duration(us)``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias, cast

import polars as pl
from polars.datatypes import DataTypeClass

TimeUnit: TypeAlias = Literal["ms", "us", "ns"]

_PLAIN: Final[Mapping[str, pl.DataType]] = {
    "Binary": pl.Binary(),
    "Boolean": pl.Boolean(),
    "Date": pl.Date(),
    "Float32": pl.Float32(),
    "Float64": pl.Float64(),
    "Int8": pl.Int8(),
    "Int16": pl.Int16(),
    "Int32": pl.Int32(),
    "Int64": pl.Int64(),
    "Int128": pl.Int128(),
    "String": pl.String(),
    "Time": pl.Time(),
    "UInt8": pl.UInt8(),
    "UInt16": pl.UInt16(),
    "UInt32": pl.UInt32(),
    "UInt64": pl.UInt64(),
    "UInt128": pl.UInt128(),
}
_NAMES: Final = {dtype: name for name, dtype in _PLAIN.items()}
_DECIMAL: Final = re.compile(r"Decimal\((\d+),(\d+)\)")
_TEMPORAL: Final = re.compile(r"(Datetime|Duration)\((ms|us|ns)(?:,([^,()]+))?\)")


def as_dtype(dtype: pl.DataType | DataTypeClass) -> pl.DataType:
    """Turn a class such as ``pl.Int64`` into the data type that it stands for.

    Examples
    --------
    >>> as_dtype(pl.Datetime)
    Datetime(time_unit='us', time_zone=None)
    """
    return cast("pl.DataType", dtype()) if isinstance(dtype, type) else dtype


def dtype_name(dtype: pl.DataType | DataTypeClass) -> str:
    """Write a data type's stable name.

    Raises
    ------
    TypeError
        The data type has no name here (nested, categorical and unknown ones).

    Examples
    --------
    >>> dtype_name(pl.Decimal(18, 6)), dtype_name(pl.Datetime("ms", "UTC")), dtype_name(pl.String)
    ('Decimal(18,6)', 'Datetime(ms,UTC)', 'String')
    """
    dtype = as_dtype(dtype)
    if isinstance(dtype, pl.Decimal):
        return f"Decimal({dtype.precision},{dtype.scale})"
    if isinstance(dtype, pl.Datetime):
        zone = f",{dtype.time_zone}" if dtype.time_zone else ""
        return f"Datetime({dtype.time_unit}{zone})"
    if isinstance(dtype, pl.Duration):
        return f"Duration({dtype.time_unit})"
    try:
        return _NAMES[dtype]
    except KeyError:
        raise TypeError(
            f"{dtype} is not a data type of a beacon's field: use one of "
            f"{', '.join(_PLAIN)}, Decimal, Datetime, Duration"
        ) from None


def parse_dtype(name: str) -> pl.DataType:
    """Read a data type's stable name: the inverse of `dtype_name`.

    Raises
    ------
    ValueError
        No data type has that name.

    Examples
    --------
    >>> parse_dtype("Decimal(18,6)")
    Decimal(precision=18, scale=6)
    """
    if name in _PLAIN:
        return _PLAIN[name]
    if match := _DECIMAL.fullmatch(name):
        return pl.Decimal(int(match[1]), int(match[2]))
    if match := _TEMPORAL.fullmatch(name):
        unit = cast("TimeUnit", match[2])
        if match[1] == "Datetime":
            return pl.Datetime(unit, match[3])
        if match[3] is None:
            return pl.Duration(unit)
    raise ValueError(f"unknown data type {name!r}")
