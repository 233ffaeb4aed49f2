"""Questions to a store: ranges, roll-up, filters, the largest few."""

from datetime import UTC, datetime, timedelta, timezone

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beaconfold.stores import MergeableStore, SegmentId, open_store
from beaconfold.stores.testing import declaration, fold

SEGMENT = SegmentId("a", "p", 1, 0)
BEACONS = [
    (publisher, minute, price, f"user {minute % 7}")
    for minute in range(-90, 90)
    for publisher, price in (("p1", 1), ("p2", minute), (None, 100))
]


@pytest.fixture
def filled(store):
    store.apply(store.register(declaration()), [SEGMENT], fold(BEACONS))
    return store


def minutes(number):
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(minutes=number)


def test_everything_sorted_by_key_then_window(filled):
    found = filled.query("clicks")
    assert found.schema == {
        "publisher": pl.String,
        "window": pl.Datetime("us", "UTC"),
        "n": pl.Int64,
        "total": pl.Int128,
        "users": pl.Float64,
    }
    assert found.height == 3 * 180
    assert found.select("publisher", "window").equals(
        found.select("publisher", "window").sort("publisher", "window")
    )


@pytest.mark.parametrize(
    ("since", "until"),
    [
        (minutes(-30), minutes(30)),
        ("1969-12-31T23:30", "1970-01-01 00:30:00Z"),
        ("1969-12-31T23:30:00", "1970-01-01T01:30:00+01:00"),
        (
            datetime(1969, 12, 31, 23, 30),
            datetime(1970, 1, 1, 2, 30, tzinfo=timezone(timedelta(hours=2))),
        ),
    ],
)
def test_bounds_take_the_first_and_leave_the_last(filled, since, until):
    found = filled.query("clicks", since=since, until=until)["window"].unique().sort()
    assert (found[0], found[-1], len(found)) == (minutes(-30), minutes(29), 60)


def test_windows_roll_up_by_the_monoid(filled):
    found = filled.query("clicks", every="1h", where={"publisher": "p2"})
    assert found["window"].to_list() == [minutes(-120), minutes(-60), minutes(0), minutes(60)]
    assert found["n"].to_list() == [30, 60, 60, 30]
    totals = [sum(range(-90, -60)), sum(range(-60, 0)), sum(range(60)), sum(range(60, 90))]
    assert found["total"].to_list() == totals
    assert found["users"].round().to_list() == [7] * 4
    part = filled.query("clicks", since=minutes(30), until=minutes(61), every="1h")
    assert part.filter(publisher="p1")["n"].to_list() == [30, 1]


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(-300, 300), st.integers(), st.text())),
    st.sampled_from(["1m", "60s", "7m", "1h", "1d"]),
)
def test_a_roll_up_is_the_fold_over_wider_windows(beacons, every):
    beacons = [(key, minute, price % 1000, user) for key, minute, price, user in beacons]
    width = {"1m": 1, "60s": 1, "7m": 7, "1h": 60, "1d": 1440}[every]
    store = open_store("memory://", shards=3)
    store.apply(store.register(declaration()), [SEGMENT], fold(beacons))
    wide = open_store("memory://", shards=3)
    rolled = [(key, minute // width * width, *rest) for key, minute, *rest in beacons]
    wide.apply(wide.register(declaration()), [SEGMENT], fold(rolled))
    assert store.query("clicks", every=every).equals(wide.query("clicks"))


def test_a_roll_up_need_not_hold_all_windows(filled, monkeypatch):
    whole = filled.query("clicks", every="1h")
    monkeypatch.setattr("beaconfold.stores.query.HELD", 100)
    assert filled.query("clicks", every="1h").equals(whole)


def test_key_columns_are_matched_exactly(filled):
    for value in ("p1", None):
        found = filled.query("clicks", where={"publisher": value}, until=minutes(0))
        assert found["publisher"].unique().to_list() == [value]
        assert found.height == 90
    assert filled.query("clicks", where={"publisher": "p"}).height == 0


def test_some_key_columns_are_matched(store):
    keys = {"publisher": "String", "country": "Int16"}
    where = store.register({**declaration(), "keys": keys})
    country = pl.Series("country", [1, 2, None] * 180, dtype=pl.Int16)
    states = fold(BEACONS).sort("publisher", "window").with_columns(country)
    store.apply(where, [SEGMENT], states)
    assert store.query("clicks", where={"country": 2}).height == 180
    assert store.query("clicks", where={"country": None})["country"].null_count() == 180
    assert store.query("clicks", where={"country": 2, "publisher": "p1"}).height == 60
    assert store.query("clicks", where={"country": 9, "publisher": "p1"}).height == 0
    with pytest.raises(ValueError, match="key column 'country' is Int16: 'x' is not"):
        store.query("clicks", where={"country": "x"})


def test_an_expression_sees_the_result(filled):
    found = filled.query("clicks", every="1h", where=(pl.col("n") > 30) & (pl.col("total") == 60))
    assert found.select("publisher", "n").rows() == [("p1", 60), ("p1", 60)]
    late = filled.query("clicks", where=pl.col("window") >= minutes(89))
    assert late["publisher"].to_list() == [None, "p1", "p2"]


def test_the_largest_few(filled):
    found = filled.query("clicks", top=3, by="total", every="1d")
    assert found.select("publisher", "window", "total").rows() == [
        (None, minutes(-1440), 9000),
        (None, minutes(0), 9000),
        ("p2", minutes(0), sum(range(90))),
    ]
    whole = filled.query("clicks", by="total", every="1d")
    assert whole.height == 6
    assert whole[:3].equals(found)
    assert filled.query("clicks", top=1, by="publisher")["publisher"].to_list() == ["p2"]
    assert filled.query("clicks", top=0, by="n").height == 0


def test_a_result_without_data_is_last(store):
    where = store.register(declaration())
    states = fold([("p1", 0, 1, "a"), ("p2", 0, None, "b"), ("p3", 0, -1, "b")])
    store.apply(where, [SEGMENT], states)
    assert store.query("clicks", top=3, by="total")["total"].to_list() == [1, -1, None]


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"every": "90s"}, "every='90s' is not a multiple of the window of clicks, 60 s"),
        ({"every": "hour"}, "'hour' is not a duration"),
        ({"every": "0m"}, "the duration '0m' is not longer than zero"),
        ({"since": "yesterday"}, "'yesterday' is not an instant"),
        ({"where": {"country": 1}}, "no key column 'country'; there are: publisher$"),
        ({"where": {"n": 1}}, "no key column 'n'; there are: publisher$"),
        (
            {"where": pl.col("city") == "x"},
            "no column 'city' .*: publisher, window, n, total, users",
        ),
        ({"top": 3, "by": "clicks"}, "no column 'clicks' .*: publisher, window, n, total, users"),
        ({"top": 3}, "top=3 of what"),
        ({"top": -1, "by": "n"}, "top=-1: ask for 0 rows or more"),
    ],
)
def test_questions_that_make_no_sense(filled, question, message):
    with pytest.raises(ValueError, match=message):
        filled.query("clicks", **question)


@pytest.mark.parametrize(
    "question", [{"every": "1h"}, {"since": "2020-01-01"}, {"until": minutes(0)}]
)
def test_a_job_without_windows_has_no_time(store, question):
    store.register({**declaration(), "window_us": None})
    assert store.query("clicks").columns == ["publisher", "n", "total", "users"]
    with pytest.raises(ValueError, match="clicks has no windows"):
        store.query("clicks", **question)


def test_a_query_stays_with_its_generation(filled):
    old, new = filled.live("clicks"), filled.register(declaration(), 1)
    filled.apply(new, [SEGMENT], fold([("p9", 0, 1, "u")]))

    class Switching:
        def __getattr__(self, name):
            return getattr(filled.backend, name)

        def live(self, job):
            found = filled.backend.live(job)
            filled.switch(new)
            return found

        def scan(self, where, **bounds):
            for batch in filled.backend.scan(where, **bounds):
                filled.switch(new)
                yield batch

    assert MergeableStore(Switching()).query("clicks").height == 3 * 180
    assert filled.query("clicks")["publisher"].to_list() == ["p9"]
    filled.switch(old)


def test_an_empty_store_has_an_empty_answer(store):
    store.register(declaration())
    for question in ({}, {"every": "1h"}, {"top": 3, "by": "n"}, {"where": {"publisher": "x"}}):
        found = store.query("clicks", **question)
        assert found.height == 0
        assert found.columns == ["publisher", "window", "n", "total", "users"]


def test_a_filter_may_look_at_all_rows(filled, monkeypatch):
    monkeypatch.setattr("beaconfold.stores.query.HELD", 10)
    largest = pl.col("total") == pl.col("total").max()
    everything = filled.query("clicks")
    for question in ({}, {"top": 1, "by": "total"}):
        found = filled.query("clicks", where=largest, **question)
        assert found.equals(everything.filter(largest).head(question.get("top", 10**6)))


@pytest.mark.parametrize(
    ("since", "until", "every"),
    [(30, 45, "1m"), (1, 60, "1m"), (30, 60, "30m"), (30, None, "1m"), (90, 100, "1m")],
)
def test_a_part_of_a_window_that_was_rolled_up_is_no_empty_answer(filled, since, until, every):
    where = filled.live("clicks")
    filled.expire(where, {"1m": "1d", "1h": None}, datetime(1980, 1, 1, tzinfo=UTC))
    with pytest.raises(ValueError, match="does not fit the stored windows"):
        filled.query("clicks", since=minutes(since), until=until and minutes(until), every=every)
    hours = filled.query("clicks", since=minutes(30), every="1h")
    assert hours["window"].min() == minutes(60)
