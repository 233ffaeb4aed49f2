"""The least and the greatest of every data type, in one total order."""

import datetime as dt
import math
import struct
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beaconfold.monoids import Max, Min, Product


def extrema(values, dtype):
    frame = pl.DataFrame({"k": [1] * len(values), "x": pl.Series(values, dtype=dtype)})
    product = Product({"low": Min("x"), "high": Max("x")}).bind(frame.schema)
    halves = [product.fold(frame[part::2], ["k"]) for part in range(2)]
    results = product.present(product.plus(halves, ["k"]))
    assert results.schema["low"] == results.schema["high"] == dtype
    return results.select("low", "high").row(0)


NOON = dt.datetime(1969, 7, 20, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        (pl.Int8(), -128, 127),
        (pl.Int64(), -(2**63), 2**63 - 1),
        (pl.UInt64(), 0, 2**64 - 1),
        (pl.Int128(), -(2**127), 2**127 - 1),
        (pl.Decimal(38, 2), Decimal("-999999999999999999999999999999999999.99"), Decimal("0.01")),
        (pl.Boolean(), False, True),
        (pl.Float64(), -math.inf, math.inf),
        (pl.Float64(), -5e-324, 5e-324),
        (pl.Float32(), -0.5, 0.25),
        (pl.Date(), dt.date(1, 1, 1), dt.date(9999, 12, 31)),
        (pl.Time(), dt.time(0), dt.time(23, 59, 59, 999999)),
        (pl.Duration("ms"), dt.timedelta(-1), dt.timedelta(1)),
        (pl.Datetime("ms", "UTC"), NOON, NOON + dt.timedelta(milliseconds=1)),
        (pl.Datetime("ns"), dt.datetime(1969, 1, 1), dt.datetime(1970, 1, 1)),
        (pl.String(), "", "\U00010348"),
        (pl.String(), "\uffff", "\U00010000"),  # by UTF-8 bytes, not by UTF-16 units
        (pl.Binary(), b"\x7f", b"\x80"),
    ],
    ids=str,
)
def test_extrema(dtype, low, high):
    assert extrema([None, high, low, high], dtype) == (low, high)
    assert extrema([None, None], dtype) == (None, None)


@given(st.lists(st.floats(), min_size=2))
def test_floats_have_one_order_in_which_nan_propagates(values):
    low, high = extrema(values, pl.Float64())
    if any(map(math.isnan, values)):
        assert math.isnan(low)
        assert math.isnan(high)
    else:
        # Adding 0.0 turns -0.0 to 0.0, which is what states do.
        expected = min(values) + 0.0, max(values) + 0.0
        assert [struct.pack("<d", each) for each in (low, high)] == [
            struct.pack("<d", each) for each in expected
        ]


@given(st.lists(st.text(), min_size=2))
def test_text_is_ordered_by_its_bytes(values):
    assert extrema(values, pl.String()) == (
        min(values, key=str.encode),
        max(values, key=str.encode),
    )


@pytest.mark.parametrize("dtype", [pl.List(pl.Int8), pl.Categorical(), pl.UInt128()], ids=str)
@pytest.mark.parametrize("kind", [Min, Max])
def test_what_has_no_order_here_is_refused(kind, dtype):
    with pytest.raises(TypeError, match=rf"{kind.__name__}\('x'\) orders numbers.*cast"):
        kind("x").bind({"x": dtype})


def test_another_column_than_declared_is_refused():
    with pytest.raises(TypeError, match="is of Int64, and 'x' is String"):
        Min("x", dtype=pl.Int64()).bind({"x": pl.String()})
    with pytest.raises(TypeError, match="must be bound"):
        Min("x").state  # noqa: B018


def test_the_state_of_another_version_is_refused():
    with pytest.raises(ValueError, match=r"not the states of Min\('x'\) of version 1"):
        Min("x", dtype=pl.String()).present(pl.Series([b"\x01a", b"\x02b", None]))
