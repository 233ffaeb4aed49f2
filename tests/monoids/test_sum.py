"""Sums of integers and decimals are exact; what does not fit is an error with a name."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beaconfold.monoids import CellError, Product, Sum


def total(values, dtype, result=None):
    """Sum values over three batches."""
    frame = pl.DataFrame({"k": ["a"] * len(values), "x": pl.Series(values, dtype=dtype)})
    product = Product({"total": Sum("x", dtype=result)}).bind(frame.schema)
    thirds = [product.fold(frame[part::3], ["k"]) for part in range(3)]
    return product.present(product.plus(thirds, ["k"]))["total"].item()


INT128 = st.integers(-(2**127), 2**127 - 1)


@given(st.lists(INT128, min_size=1, max_size=9))
def test_128_bits_are_summed_exactly_or_not_at_all(values):
    parts = [sum(values[part::3]) for part in range(3)]
    if all(-(2**127) <= part < 2**127 for part in [*parts, sum(values)]):
        assert total(values, pl.Int128) == sum(values)
    else:
        with pytest.raises(CellError, match="total of k=a: the sum does not fit in Int128"):
            total(values, pl.Int128)


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=9))
def test_unsigned_64_bits(values):
    assert total(values, pl.UInt64, pl.Int128) == sum(values)


UNSCALED = st.integers(-(10**38) + 1, 10**38 - 1)


def decimal_totals(*batches):
    """Sum batches of unscaled integers as Decimal(38, 3); give the total unscaled."""
    frames = [
        pl.DataFrame({"k": "a", "x": pl.Series(batch, dtype=pl.Int128)}).with_columns(
            pl.col("x").reinterpret(dtype=pl.Decimal(38, 3))
        )
        for batch in batches
    ]
    product = Product({"total": Sum("x")}).bind(frames[0].schema)
    partials = product.plus([product.fold(frame, ["k"]) for frame in frames], ["k"])
    totals = product.present(partials)["total"]
    assert totals.dtype == pl.Decimal(38, 3)
    return totals.to_physical().item()


@given(st.lists(UNSCALED, min_size=1, max_size=9))
def test_38_digits_are_summed_exactly_or_not_at_all(values):
    if abs(sum(values)) < 10**38:
        assert decimal_totals(values) == sum(values)
    else:
        with pytest.raises(CellError, match="total of k=a: .* 38 digits of a Decimal"):
            decimal_totals(values)


def test_a_decimal_has_38_digits_and_not_one_more():
    nines = 10**38 - 1
    assert decimal_totals([nines, 1, -1]) == decimal_totals([nines], [1, -1]) == nines
    assert decimal_totals([-nines], [None]) == -nines
    for overflow in ([nines, 1], [-nines, -1]):
        for batches in ([overflow], [[value] for value in overflow]):
            with pytest.raises(CellError, match="total of k=a: .* 38 digits of a Decimal"):
                decimal_totals(*batches)


def test_an_int64_that_overflows_names_its_cell_and_the_way_out():
    values = [2**63 - 1, 1]
    with pytest.raises(CellError, match=r"total of k=a: .*dtype=pl\.Int128"):
        total(values, pl.Int64)
    assert total(values, pl.Int64, pl.Int128) == 2**63


def test_the_cell_is_named_by_all_its_columns():
    keys = {"publisher": ["p0", "p1"], "window": ["2024-01-01", "2024-01-02"]}
    frame = pl.DataFrame({**keys, "x": pl.Series([1, 10**38 - 1], dtype=pl.Int128)})
    product = Product({"revenue": Sum("x", dtype=pl.Int128())}).bind(frame.schema)
    states = product.fold(frame, [*keys])
    with pytest.raises(CellError, match="revenue of publisher=p1, window=2024-01-02") as caught:
        product.plus([states, states], [*keys])
    assert isinstance(caught.value, ArithmeticError)


@pytest.mark.parametrize(
    ("dtype", "result"),
    [(pl.Int8, pl.Int64), (pl.UInt64, pl.Int64), (pl.Int128, pl.Int128),
     (pl.Decimal(18, 6), pl.Decimal(38, 6)), (pl.Float32, pl.Float64)],
)  # fmt: skip
def test_the_result_depends_on_the_data_type_alone(dtype, result):
    assert total([1, None], dtype) == 1
    bound = Sum("x").bind({"x": dtype})
    assert bound.present(pl.Series([None], dtype=bound.state)).dtype == result


@pytest.mark.parametrize(
    ("dtype", "hint"),
    [(pl.Boolean, r"use Count\(where=pl.col\('x'\)\)"), (pl.String, "declare or cast"),
     (pl.Date, "declare or cast"), (pl.UInt128, "declare or cast")],
)  # fmt: skip
def test_what_cannot_be_summed_is_refused(dtype, hint):
    with pytest.raises(TypeError, match=f"'x' is {dtype().base_type().__name__}.*{hint}"):
        Sum("x").bind({"x": dtype})


def test_a_dtype_that_does_not_fit_the_column_is_refused():
    with pytest.raises(TypeError, match="the sum of Float64 is Float64, not Int64"):
        Sum("x", dtype=pl.Int64).bind({"x": pl.Float64})
    with pytest.raises(TypeError, match="dtype is Int64, Int128, Float64 or Decimal, not String"):
        Sum("x", dtype=pl.String)


def test_without_a_column_the_dtype_says_it_all():
    assert Sum(dtype=pl.Int64).state == pl.Int128
    assert Sum(dtype=pl.Float64()).state == pl.Binary
    assert Sum(dtype=pl.Int64).columns == {"value"}
    with pytest.raises(TypeError, match="must be bound"):
        Sum("x").state  # noqa: B018
