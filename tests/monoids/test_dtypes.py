"""Names of data types are stable, and read back."""

import polars as pl
import pytest

from beaconfold.monoids.dtypes import as_dtype, dtype_name, parse_dtype

GOLDEN = {
    "String": pl.String,
    "Binary": pl.Binary(),
    "Boolean": pl.Boolean,
    "Int8": pl.Int8,
    "UInt64": pl.UInt64(),
    "Int128": pl.Int128,
    "Float32": pl.Float32,
    "Date": pl.Date,
    "Time": pl.Time,
    "Decimal(18,6)": pl.Decimal(18, 6),
    "Decimal(38,0)": pl.Decimal,
    "Datetime(ms,UTC)": pl.Datetime("ms", "UTC"),
    "Datetime(us,America/Argentina/Buenos_Aires)": pl.Datetime(
        "us", "America/Argentina/Buenos_Aires"
    ),
    "Datetime(us)": pl.Datetime,
    "Duration(ns)": pl.Duration("ns"),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_names_are_pinned_and_read_back(name):
    assert dtype_name(GOLDEN[name]) == name
    assert parse_dtype(name) == as_dtype(GOLDEN[name])
    assert isinstance(parse_dtype(name), pl.DataType)


@pytest.mark.parametrize("dtype", [pl.List(pl.Int8), pl.Categorical, pl.Struct({"a": pl.Int8})])
def test_other_data_types_are_refused(dtype):
    with pytest.raises(TypeError, match="not a data type of a beacon's field: use one of"):
        dtype_name(dtype)


@pytest.mark.parametrize("name", ["int64", "Decimal(18)", "Duration(us,UTC)", "Datetime(s)", ""])
def test_other_names_are_refused(name):
    with pytest.raises(ValueError, match="unknown data type"):
        parse_dtype(name)
