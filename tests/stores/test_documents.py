"""What is set aside stays where one can look at it."""

from datetime import UTC, datetime

import polars as pl
import pytest

from beaconfold.stores import SegmentId, StoreLayoutError
from beaconfold.stores.testing import declaration

ONE, TWO = SegmentId("a", "p/q", 1, 2), SegmentId("a", "p/q", 1, 10)


def rejected(*rows):
    return pl.DataFrame(rows, {"row": pl.UInt32, "reason": pl.String}, orient="row")


def test_rejected_rows_are_kept_by_segment(store):
    quarantine = store.quarantine(store.register(declaration()))
    assert quarantine.list().schema == {
        "segment": pl.String,
        "reason": pl.String,
        "rows": pl.UInt32,
    }
    assert quarantine.get(ONE).equals(rejected())
    quarantine.put(ONE, rejected((0, "no ts")))
    for _ in range(2):
        quarantine.put(ONE, rejected((3, "no ts"), (4, "price: not a number"), (9, "no ts")))
    quarantine.put(TWO, rejected((1, "no ts")))
    assert quarantine.get(ONE)["row"].to_list() == [3, 4, 9]
    assert quarantine.list().rows() == [
        ("a/p/q/1/10", "no ts", 1),
        ("a/p/q/1/2", "no ts", 2),
        ("a/p/q/1/2", "price: not a number", 1),
    ]


def test_quarantines_of_generations_are_apart(store):
    one, two = store.register(declaration()), store.register(declaration(), 1)
    store.quarantine(one).put(ONE, rejected((0, "no ts")))
    assert store.quarantine(two).list().height == 0


def test_other_bytes_are_no_quarantine(store):
    where = store.register(declaration())
    store.backend.put_document(where, "quarantine", str(ONE), b"\x80\x04pickle")
    with pytest.raises(StoreLayoutError, match="another version/layout"):
        store.quarantine(where).get(ONE)


def test_poison_is_listed_until_it_is_waived(store):
    poison = store.poison(store.register(declaration()))
    assert poison.list().rows() == []
    at = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
    poison.put(TWO, "ZeroDivisionError: division by zero", at)
    poison.put(ONE, "first")
    poison.put(ONE, "second", at)
    found = poison.list()
    assert found.schema == {
        "segment": pl.String,
        "reason": pl.String,
        "at": pl.Datetime("us", "UTC"),
    }
    assert found.rows() == [
        ("a/p/q/1/10", "ZeroDivisionError: division by zero", at),
        ("a/p/q/1/2", "second", at),
    ]
    assert poison.segments() == {ONE, TWO}
    for _ in range(2):
        poison.waive(TWO)
    assert poison.segments() == {ONE}
