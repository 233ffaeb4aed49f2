"""What all aggregators share: binding, ``where``, declarations and their registry."""

import pickle

import polars as pl
import pytest

from beaconfold.monoids import CellError, Count, Max, NotRowWise, OpaqueExpression, Sum, restore

SCHEMA = {"x": pl.Int64, "flag": pl.Boolean(), "name": pl.String()}


def test_columns_are_those_of_where_too():
    assert Sum("x", where=pl.col("flag") & (pl.col("name") == "a")).columns == {"x", "flag", "name"}
    assert Count().columns == frozenset()


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (pl.col("x"), "where= must be Boolean and read a column; it is Int64"),
        (pl.lit(value=True), "where= must be Boolean and read a column"),
        (pl.col("nobody"), "no column 'nobody'; there are: x, flag, name"),
    ],
    ids=str,
)
def test_a_where_that_is_no_condition_is_refused(where, message):
    with pytest.raises(TypeError, match=message):
        Count(where=where).bind(SCHEMA)


def test_a_where_must_look_at_its_own_row_only():
    with pytest.raises(NotRowWise, match="row by row"):
        Count(where=pl.col("x") > pl.col("x").mean()).bind(SCHEMA)


def test_an_opaque_where_folds_but_cannot_be_declared():
    odd = pl.col("x").map_batches(lambda values: values % 2 == 1, return_dtype=pl.Boolean)
    count = Count(where=odd).bind(SCHEMA)
    frame = pl.DataFrame({"x": [1, 2, 3]})
    assert frame.group_by(pl.lit(1)).agg(n=count.fold())["n"].item() == 2
    with pytest.raises(OpaqueExpression):
        count.declare()


def test_declarations_leave_out_what_is_not_set_and_are_restored():
    total = Sum("x", where=pl.col("flag")).bind(SCHEMA)
    declaration = total.declare()
    assert declaration == {
        "kind": "sum",
        "version": 1,
        "column": "x",
        "where": ["column", "flag"],
        "dtype": "Int64",
        "source": "Int64",
    }
    restored = restore(declaration)
    assert restored.declare() == declaration
    assert restored.present(pl.Series([3], dtype=pl.Int128)).to_list() == [3]
    with pytest.raises(TypeError, match="restored from a declaration: it can merge and present"):
        restored.fold()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "median"}, "unknown aggregator 'median'.*known are .*count.*sum"),
        ({"version": 9}, "states of 'max' have version 9; this installation reads version 1"),
        ({"colour": "red"}, "aggregator 'max' has no parameter 'colour'"),
        ({"dtype": "Int65"}, "unknown data type 'Int65'"),
    ],
    ids=str,
)
def test_what_cannot_be_restored_says_why(change, message):
    declaration = {**Max("x").bind(SCHEMA).declare(), **change}
    with pytest.raises(ValueError, match=message):
        restore(declaration)


def test_aggregators_and_their_errors_are_picklable():
    total = Sum("x", where=pl.col("flag")).bind(SCHEMA)
    assert pickle.loads(pickle.dumps(total)).declare() == total.declare()
    error = pickle.loads(pickle.dumps(CellError("too big", 3, "revenue of p=1")))
    assert (str(error), error.index) == ("revenue of p=1: too big", 3)
    assert str(CellError("too big", 3)) == "group 3: too big"
