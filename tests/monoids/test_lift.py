"""Any Python monoid becomes an aggregator."""

import polars as pl
import pytest

from beaconfold.monoids import Lifted, Monoid, Product, Sum, restore


class Longest(Monoid[str]):
    idempotent = True
    zero = ""

    def plus(self, left, right):
        return max(left, right, key=lambda text: (len(text), text))


class Joined(Monoid[str]):
    commutative = False
    zero = ""

    def plus(self, left, right):
        return left + right


FRAME = pl.DataFrame({"k": [1, 1, 2, 2, 3], "x": ["a", "bbb", "c", None, None]})


def lifted(**changes):
    parts = {"monoid": Longest(), "column": "x", "dtype": pl.String(), "version": "1"}
    return Lifted(**{**parts, **changes})


def run(aggregator):
    product = Product({"result": aggregator}).bind(FRAME.schema)
    halves = [product.fold(FRAME[part::2], ["k"]) for part in range(2)]
    return product.present(product.plus(halves, ["k"])).sort("k")["result"].to_list()


def test_values_are_summed_and_nulls_ignored():
    assert run(lifted()) == ["bbb", "c", None]
    assert lifted().idempotent


def test_functions_prepare_encode_decode_and_show():
    shouting = lifted(prepare=str.upper, encode=str.encode, decode=bytes.decode, result=len,
                      dtype=pl.Int8)  # fmt: skip
    assert run(shouting) == [3, 1, None]
    assert shouting.fold_states(pl.Series([["a"]])).to_list() == [b"\x01A"]


def test_a_state_begins_with_its_version():
    assert lifted().fold_states(pl.Series([["é"]])).to_list() == ['\x01"é"'.encode()]
    with pytest.raises(ValueError, match="not the state of a lifted monoid"):
        lifted().present(pl.Series([b'\x02"a"']))


def test_its_version_stands_for_its_functions():
    where = pl.col("x") != "c"
    assert lifted(where=where, version="7").declare() == {
        "kind": "lifted",
        "version": "7",
        "monoid": "Longest",
        "column": "x",
        "dtype": "String",
        "where": ["ne", ["column", "x"], ["literal", "String", "c"]],
    }
    with pytest.raises(ValueError, match="'Longest' is Python code.*use the job itself"):
        restore(lifted().declare())


def test_a_monoid_that_depends_on_the_order_is_refused():
    with pytest.raises(TypeError, match="Joined is not commutative"):
        lifted(monoid=Joined())


def test_it_agrees_with_the_aggregator_of_the_same_monoid():
    class Adding(Monoid[int]):
        zero = 0

        def plus(self, left, right):
            return left + right

    frame = pl.DataFrame({"k": [1, 2, 1], "x": [1, 2, 3]})
    product = Product(
        {"python": lifted(monoid=Adding(), dtype=pl.Int64()), "column": Sum("x")}
    ).bind(frame.schema)
    results = product.present(product.fold(frame, ["k"]))
    assert results["python"].to_list() == results["column"].to_list()
