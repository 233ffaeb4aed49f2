"""Products fold, merge and present named aggregators over groups."""

import json

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from beaconfold.monoids import Count, HyperLogLog, Max, Product, Sum

FRAME = pl.DataFrame({
    "publisher": ["p1", "p1", None, "p2", None],
    "kind": ["click", "view", "click", None, "view"],
    "price": [1, 2, 3, None, 5],
    "user": ["a", "b", "a", "a", "a"],
})  # fmt: skip
PRODUCT = Product({
    "beacons": Count(),
    "clicks": Count(where=pl.col("kind") == "click"),
    "revenue": Sum("price"),
    "top": Max("price"),
    "users": HyperLogLog("user"),
}).bind(FRAME.schema)  # fmt: skip
BY = ["publisher"]


def results(partials, product=PRODUCT):
    return product.present(partials).with_columns(pl.col("users").round()).sort(BY).rows()


EXPECTED = [(None, 2, 1, 8, 5, 1.0), ("p1", 2, 1, 3, 2, 2.0), ("p2", 1, 0, None, None, 1.0)]


def test_rows_become_results_and_null_is_a_group():
    assert results(PRODUCT.fold(FRAME, BY)) == EXPECTED


def test_states_and_columns_are_known_beforehand():
    partials = PRODUCT.fold(FRAME, BY)
    assert dict(partials.schema) == {"publisher": pl.String, **PRODUCT.states}
    assert PRODUCT.columns == {"kind", "price", "user"}


def test_batches_merge_to_the_same_partials():
    parts = [PRODUCT.fold(FRAME[row], BY) for row in range(len(FRAME))]
    merged = PRODUCT.plus(parts, BY)
    assert_frame_equal(merged.sort(BY), PRODUCT.fold(FRAME, BY).sort(BY))


def test_groups_that_occur_once_pass_through_in_their_order():
    partials = PRODUCT.fold(FRAME, BY)
    assert PRODUCT.plus([partials], BY).equals(partials)
    assert PRODUCT.plus([partials[:1], partials[1:]], BY).equals(partials)
    assert PRODUCT.plus([partials[1:], partials, partials.clear()], BY)[0].equals(partials[0])


def test_repeated_groups_in_one_frame_are_merged():
    partials = PRODUCT.fold(FRAME, BY)
    twice = PRODUCT.plus([pl.concat([partials, partials])], BY)
    assert twice.sort(BY)["beacons"].to_list() == [4, 4, 2]


def test_no_rows_make_no_partials():
    empty = PRODUCT.fold(FRAME.clear(), BY)
    assert dict(empty.schema) == {"publisher": pl.String, **PRODUCT.states}
    assert PRODUCT.plus([empty], BY).equals(empty)
    assert PRODUCT.present(empty).schema["users"] == pl.Float64


def test_it_is_restored_from_its_declaration_in_order():
    declaration = json.loads(json.dumps(PRODUCT.declare()))
    restored = Product.restore(declaration)
    assert list(restored.aggregators) == list(PRODUCT.aggregators)
    partials = PRODUCT.fold(FRAME, BY)
    assert results(restored.plus([partials, partials.clear()], BY), restored) == EXPECTED


def test_other_columns_survive_presenting():
    partials = PRODUCT.fold(FRAME, BY).with_columns(note=pl.lit("kept"))
    assert PRODUCT.present(partials)["note"].unique().to_list() == ["kept"]


def test_binding_names_the_aggregate():
    with pytest.raises(TypeError, match="aggregate 'revenue': .*Count"):
        Product({"revenue": Sum("flag")}).bind({"flag": pl.Boolean()})
