"""Expressions keep their canonical form, whatever Polars writes."""

import pickle

import polars as pl
import pytest

from beaconfold.monoids.expression import NotRowWise, OpaqueExpression, canonical

A = pl.col("a")

GOLDEN = [
    (A == "click", ["eq", ["column", "a"], ["literal", "String", "click"]]),
    (~A.is_null() & (A > 1), ["and", ["not", ["is_null", ["column", "a"]]],
                              ["gt", ["column", "a"], ["literal", 1]]]),
    (A.is_in(["x", "y"]), ["is_in", False, ["column", "a"], ["literal", "List", ["x", "y"]]]),
    (A.str.split("/").list.get(1),
     ["list_get", False, ["split", False, ["column", "a"], ["literal", "String", "/"]],
      ["literal", 1]]),
    (A.str.count_matches("/", literal=True),
     ["count_matches", True, ["column", "a"], ["literal", "String", "/"]]),
    (pl.when(A.str.len_bytes() >= 2).then(A).otherwise(pl.lit("/")),
     ["when", ["ge", ["len_bytes", ["column", "a"]], ["literal", 2]], ["column", "a"],
      ["literal", "String", "/"]]),
    (A.cast(pl.Datetime("ms", "UTC"), strict=False),
     ["cast", ["column", "a"], {"Datetime": ["Milliseconds", "UTC"]}, False]),
    (A.dt.truncate("1h"), ["truncate", ["column", "a"], ["literal", "String", "1h"]]),
]  # fmt: skip


@pytest.mark.parametrize(("expr", "expected"), GOLDEN, ids=lambda value: str(value)[:40])
def test_the_form_is_pinned(expr, expected):
    assert canonical(expr) == expected


def test_an_alias_and_a_pickle_change_nothing():
    expr = A.fill_null("x")
    assert canonical(expr.alias("b")) == canonical(pickle.loads(pickle.dumps(expr)))
    assert canonical(expr) == canonical(expr.alias("b"))


@pytest.mark.parametrize(
    "expr",
    [A.map_elements(lambda value: value, return_dtype=pl.Int64), pl.all(), A.hash()],
    ids=["python", "selector", "hash"],
)
def test_what_cannot_be_compared_is_opaque(expr):
    with pytest.raises(OpaqueExpression, match="canonical form|written down"):
        canonical(expr)


@pytest.mark.parametrize("expr", [A.sum(), A.shift(1), A.sum().over("b"), A.cum_sum()])
def test_what_looks_at_other_rows_is_refused(expr):
    with pytest.raises(NotRowWise, match="row by row"):
        canonical(expr)
