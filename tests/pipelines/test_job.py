"""A job is pure, checks itself, and has an identity that only its definition changes."""

import pickle
import re

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beaconfold import Count, HyperLogLog, Job, Max, Min, Monoid, QueryString, Sum
from beaconfold.pipelines.jobs import READY, publisher_traffic

FIELDS = {
    "publisher": pl.String,
    "beaconType": pl.String,
    "user": pl.String,
    "ts": pl.Datetime("ms", "UTC"),
    "price": pl.Decimal(18, 6),
}


def job(**changes):
    """Make a job that differs from the plain one by the changes."""
    parts = {
        "decode": QueryString(**FIELDS),
        "event_time": "ts",
        "window": "1m",
        "key": ["publisher"],
        "aggregate": {
            "beacons": Count(),
            "clicks": Count(where=pl.col("beaconType") == "click"),
            "revenue": Sum("price"),
            "first": Min("ts"),
            "last": Max("ts"),
            "users": HyperLogLog("user", lg_k=12),
        },
    }
    return Job("publisher-traffic", **(parts | changes))


beacons = st.lists(
    st.builds(
        "/b.gif?beaconType={}&publisher={}&user={}&ts={}&price={}".format,
        st.sampled_from(["click", "view"]),
        st.sampled_from(["p1", "p%202", "p+2", ""]),
        st.integers(0, 50),
        st.integers(-200_000, 200_000),
        st.sampled_from(["1.5", "0", "-2.000001", "x", ""]),
    ),
    max_size=30,
)


@given(beacons, st.integers(0, 30), st.randoms())
def test_any_split_and_any_order_give_the_same_partials(lines, at, random):
    traffic = job()
    shuffled = lines.copy()
    random.shuffle(shuffled)

    def fold(some):
        return traffic.fold(pl.DataFrame({"raw": pl.Series(some, dtype=pl.String)}))

    whole = traffic.plus(fold(lines)).sort(traffic.by)
    parts = traffic.plus(fold(shuffled[at:]), traffic.empty, fold(shuffled[:at]))
    assert parts.sort(traffic.by).equals(whole)
    assert traffic.run(lines).equals(traffic.present(whole))


def test_results_have_the_key_the_window_and_the_aggregates_in_order():
    result = job().run(["/b.gif?beaconType=click&publisher=p1&user=a&ts=-1&price=0.5"])
    assert result.columns == ["publisher", "window", *job().aggregate]
    assert result["window"][0].isoformat() == "1969-12-31T23:59:00+00:00"
    assert result["revenue"].dtype == pl.Decimal(38, 6)


def test_what_cannot_be_decoded_is_set_aside_with_its_reason():
    lines = [
        "/b.gif?publisher=p1&ts=1",
        "/b.gif?publisher=p1&ts=soon",
        "/b.gif?publisher=p1",
        "/b.gif?publisher=%FF&ts=1",
    ]
    rejected = job().rejected(lines)
    assert rejected["row"].to_list() == [1, 2, 3]
    assert [reason.split(":")[0] for reason in rejected["reason"]] == ["ts", "ts", "publisher"]
    assert rejected["raw"].to_list() == [line.encode() for line in lines[1:]]
    assert job().run(lines)["beacons"].to_list() == [1]


def test_decoded_columns_are_folded_too():
    traffic = job()
    lines = ["/b.gif?publisher=p1&ts=1&price=2", "/b.gif?publisher=p2&ts=1"]
    decoded = traffic.decode.decode(pl.Series(lines)).rows
    assert traffic.present(traffic.fold(decoded)).equals(traffic.run(lines))
    with pytest.raises(ValueError, match="missing: .*ts"):
        traffic.fold(decoded.drop("ts"))


def test_a_job_can_be_pickled():
    again = pickle.loads(pickle.dumps(publisher_traffic))
    line = "/b.gif?publisher=p1&ts=1"
    assert again.fingerprint == publisher_traffic.fingerprint
    assert again.run([line]).equals(publisher_traffic.run([line]))


# The fingerprint

GOLDEN = {
    "beacon-counts": "6a0c41e67e67a321",
    "publisher-uniques": "c2f5b6f5daad5da3",
    "publisher-traffic": "393e2c004aa6823f",
}


@pytest.mark.parametrize("name", READY)
def test_the_fingerprints_of_the_ready_jobs_are_pinned(name):
    assert READY[name].fingerprint == GOLDEN[name]


@pytest.mark.parametrize(
    "change",
    [
        {"window": "2m"},
        {"key": ["publisher", "beaconType"]},
        {"aggregate": {**job().aggregate, "users": HyperLogLog("user", lg_k=13)}},
        {"aggregate": {**job().aggregate, "clicks": Count(where=pl.col("beaconType") == "view")}},
        {"decode": QueryString(**FIELDS, defaults={"publisher": "unknown"})},
        {"decode": QueryString(**FIELDS, derive={"hour": pl.col("ts").dt.hour()})},
        {"version": "2"},
    ],
    ids=str,
)
def test_a_change_of_the_definition_changes_the_fingerprint(change):
    assert job(**change).fingerprint != job().fingerprint


def test_writing_the_same_differently_does_not():
    assert job(key="publisher").fingerprint == job().fingerprint
    assert job(window="60s").fingerprint == job().fingerprint


def test_what_cannot_be_compared_needs_a_version():
    odd = {"aggregate": {"n": Count(where=pl.col("user").hash() % 2 == 0)}}
    with pytest.raises(ValueError, match="version="):
        job(**odd)
    assert job(**odd, version="1").fingerprint != job(**odd, version="2").fingerprint


# Errors that are found before the first beacon


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"key": ["site"]}, "'site' is not decoded; there are: publisher"),
        ({"event_time": "when"}, "'when' is not decoded"),
        ({"event_time": "price"}, "declare it as pl.Datetime"),
        ({"window": None}, "go together"),
        ({"window": "soon"}, "not a duration"),
        ({"aggregate": {}}, "needs a key and an aggregate"),
        ({"aggregate": {"window": Count()}}, "rename window"),
        ({"aggregate": {"publisher": Count()}}, "rename publisher"),
        ({"aggregate": {"Updated_At": Count()}}, "rename the aggregate 'Updated_At'"),
        ({"aggregate": {"Publisher": Count()}}, "differ only in case"),
        ({"aggregate": {"total": Sum("user")}}, "total"),
        ({"aggregate": {"total": Sum("cost")}}, "cost"),
        ({"aggregate": {"n": Count(where=pl.col("ts") == pl.col("ts").max())}}, "row by row"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_parts_that_do_not_fit_are_refused(change, message):
    with pytest.raises((ValueError, TypeError), match=re.escape(message)):
        job(**change)


def test_a_name_is_fit_for_a_file_and_a_key():
    with pytest.raises(ValueError, match="use letters"):
        Job("a/b", decode=QueryString(x=pl.String), key="x", aggregate={"n": Count()})


# A row at a time


class Total(Monoid[int]):
    """Integers under addition."""

    commutative = True
    zero = 0

    def plus(self, left, right):
        """Add."""
        return left + right


def test_any_python_map_and_monoid_make_a_job():
    words = Job.per_row(
        name="words",
        version="1",
        map=lambda raw: [(word, 1) for word in raw.decode().split()],
        monoid=Total(),
    )
    lines = ["to be or not to be", b"\xff"]
    assert dict(words.run(lines).rows()) == {"to": 2, "be": 2, "or": 1, "not": 1}
    (rejected,) = words.rejected(lines).rows(named=True)
    assert rejected["row"] == 1
    assert rejected["reason"].startswith("map raised UnicodeDecodeError")


def test_keys_of_several_columns_a_row_at_a_time():
    pairs = Job.per_row(
        name="pairs",
        version="1",
        map=lambda raw: [(("a", len(raw)), 1)],
        monoid=Total(),
        key={"kind": pl.String, "size": pl.Int64},
    )
    assert pairs.run([b"x", b"y", b"zz"]).rows() == [("a", 1, 2), ("a", 2, 1)]
