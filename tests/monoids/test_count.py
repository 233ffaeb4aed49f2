"""Counting rows."""

import polars as pl
import pytest

from beaconfold.monoids import CellError, Count, Product

FRAME = pl.DataFrame({"k": ["a", "a", "b", None], "yes": [True, None, False, True]})


def counted(**counts):
    product = Product(counts).bind(FRAME.schema)
    return product.present(product.fold(FRAME, ["k"])).sort("k").rows()


def test_rows_are_counted_and_null_is_not_true():
    assert counted(n=Count(), yes=Count(where=pl.col("yes"))) == [
        (None, 1, 1),
        ("a", 2, 1),
        ("b", 1, 0),
    ]


def test_no_state_presents_zero():
    assert Count().present(pl.Series([None, 2], dtype=pl.Int64)).to_list() == [0, 2]


def test_a_count_never_wraps():
    half = pl.DataFrame({"k": ["a"], "n": [2**62]})
    with pytest.raises(CellError, match=r"^n of k=a: the count does not fit in Int64$"):
        Product({"n": Count()}).plus([half, half], ["k"])
