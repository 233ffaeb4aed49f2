"""Windows of a calendar, hopping windows, and windows that were rolled up since."""

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beaconfold.stores import MergeableStore, SegmentId, open_store
from beaconfold.stores.backend import ShardWrite
from beaconfold.stores.testing import MINUTE, declaration, fold

SEGMENT = SegmentId("a", "p", 1, 0)
RETENTION = {"1m": "10m", "5m": "30m", "20m": None}


def minutes(number):
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(minutes=number)


def filled(beacons, shards=3):
    store = open_store("memory://", shards=shards)
    store.apply(store.register(declaration()), [SEGMENT], fold(beacons))
    return store


# Calendars: the oracle is `zoneinfo`, a date at a time.

ZONES = {
    "Europe/Berlin": (2026, 3, 29),
    "America/New_York": (2025, 11, 2),
    "America/Sao_Paulo": (2017, 10, 15),  # clocks go from 24:00 to 1:00
    "America/Havana": (2025, 11, 2),  # from 1:00 back to 0:00
    "Asia/Kolkata": (2026, 1, 1),
    "Australia/Lord_Howe": (2026, 4, 5),  # by half an hour
    "Pacific/Apia": (2011, 12, 31),  # after the 29th
    "UTC": (1970, 1, 1),
}


def first_day(day, every):
    """Return the day with which a window of a calendar begins."""
    number, unit = int(every.rstrip("dwmoy")), every.lstrip("0123456789")
    if unit == "d":
        return day - timedelta(days=(day - date(1970, 1, 1)).days % number)
    if unit == "w":
        return day - timedelta(days=(day - date(1970, 1, 5)).days % (7 * number))
    months = number * (12 if unit == "y" else 1)
    total = (day.year - 1970) * 12 + day.month - 1
    total -= total % months
    return date(1970 + total // 12, total % 12 + 1, 1)


def begins(day, zone):
    """Return the first instant, to the minute, at which it is this day or later."""
    low = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(days=1)
    before, after = 0, 4 * 1440
    while after - before > 1:
        middle = (before + after) // 2
        if (low + timedelta(minutes=middle)).astimezone(zone).date() >= day:
            after = middle
        else:
            before = middle
    return low + timedelta(minutes=after)


around = st.one_of(st.integers(-2000, 2000), st.integers(-600_000, 600_000))


def expect_calendar(tz, beacons, every):
    zone, expected = ZoneInfo(tz), defaultdict(lambda: [0, 0])
    beacons = [(key, origin(tz) + minute, price, "u") for key, minute, price in beacons]
    for key, minute, price, _ in beacons:
        start = begins(first_day(minutes(minute).astimezone(zone).date(), every), zone)
        expected[key, start][0] += 1
        expected[key, start][1] += price
    found = filled(beacons).query("clicks", every=every, tz=tz)
    assert found.schema["window"] == pl.Datetime("us", tz)
    cells = found.select(
        "publisher", pl.col("window").dt.convert_time_zone("UTC"), pl.concat_list("n", "total")
    )
    assert [((key, start), value) for key, start, value in cells.rows()] == sorted(expected.items())


def origin(tz):
    return (datetime(*ZONES[tz], tzinfo=UTC) - minutes(0)) // timedelta(minutes=1)


@settings(max_examples=60)
@given(
    st.sampled_from(sorted(ZONES)),
    st.lists(st.tuples(st.sampled_from("ab"), around, st.integers(-9, 9)), min_size=1),
    st.sampled_from(["1d", "2d", "1w", "2w", "1mo", "3mo", "1y", "10y"]),
)
def test_windows_of_a_calendar(tz, beacons, every):
    expect_calendar(tz, beacons, every)


@pytest.mark.parametrize("tz", ZONES)
def test_days_on_which_clocks_are_changed(tz):
    expect_calendar(tz, [("a", minute, 1) for minute in range(-4000, 4000, 30)], "1d")


def test_days_are_as_long_as_clocks_make_them():
    start = int(datetime(2026, 3, 28, tzinfo=UTC).timestamp()) // 60
    store = filled([("p1", start + each, 1, "u") for each in range(3 * 1440)])
    found = store.query("clicks", every="1d", tz="Europe/Berlin")
    assert found["n"].to_list() == [23 * 60, 23 * 60, 24 * 60, 120]
    assert [each.isoformat() for each in found["window"]][1] == "2026-03-29T00:00:00+01:00"
    bounds = {"since": "2026-03-29", "until": "2026-03-30T00:00"}
    one = store.query("clicks", **bounds, every="1d", tz="Europe/Berlin")
    assert one["n"].to_list() == [23 * 60]
    assert store.query("clicks", **bounds, every="1h", tz="Europe/Berlin").height == 23
    assert store.query("clicks", **bounds)["n"].sum() == 24 * 60
    assert store.query("clicks", tz="Asia/Kolkata", top=1, by="n").schema["window"].time_zone == (
        "Asia/Kolkata"
    )


def test_weeks_begin_on_monday():
    store = filled([("p1", day * 1440, 1, "u") for day in range(11)])
    found = store.query("clicks", every="1w")
    assert found["window"].to_list() == [minutes(day * 1440) for day in (-3, 4)]
    assert found["n"].to_list() == [4, 7]
    assert store.query("clicks", every="7d")["n"].to_list() == [7, 4]
    assert store.query("clicks", every="1mo")["n"].to_list() == [11]


def test_stored_windows_must_not_lie_across_a_border():
    store = open_store("memory://")
    where = store.register({**declaration(), "window_us": 1440 * MINUTE})
    store.apply(where, [SEGMENT], fold([("p1", 0, 1, "u")]))
    with pytest.raises(
        ValueError,
        match="every='1d' in Europe/Berlin does not fit the stored windows: that of "
        "1970-01-01T00:00:00Z is 1d long and lies across 1970-01-01T23:00:00Z$",
    ):
        store.query("clicks", every="1d", tz="Europe/Berlin")
    assert store.query("clicks", every="1d", tz="UTC").height == 1
    assert store.query("clicks", every="1mo").height == 1


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"every": "1d", "tz": "Mars/Olympus"}, "no time zone 'Mars/Olympus': name one as"),
        ({"every": "0mo"}, "'0mo' is not longer than zero"),
        ({"every": "1q"}, "'1q' is not a duration"),
        ({"period": "1h"}, "period='1h' needs every="),
        ({"period": "1h", "every": "7m"}, "period='1h' is not a whole number of every='7m'"),
        ({"period": "5m", "every": "1h"}, "not a whole number"),
        ({"period": "1d", "every": "1h", "tz": "UTC"}, "not a whole number"),
        ({"period": "1mo", "every": "1d"}, "not a whole number"),
        ({"since": "2026-02-30", "tz": "UTC"}, "not an instant"),
    ],
)
def test_windows_that_make_no_sense(question, message):
    store = filled([("p1", 0, 1, "u")])
    with pytest.raises(ValueError, match=message):
        store.query("clicks", **question)


# Hopping windows: the oracle puts each beacon into every hop that contains it.

beacons = st.tuples(
    st.sampled_from(["p1", "p2", "p3"]), st.integers(-90, 90), st.integers(-9, 9), st.text("uvw")
)
bounds = st.one_of(st.none(), st.integers(-100, 100))


@given(st.lists(beacons), st.sampled_from([1, 5, 7]), st.integers(1, 13), bounds, bounds)
def test_hops_hold_all_the_windows_that_they_contain(beacons, every, length, since, until):
    hopping = [
        (key, start, price, user)
        for key, minute, price, user in beacons
        for start in range(minute // every * every, minute - every * length, -every)
        if (since is None or since <= start) and (until is None or start < until)
    ]
    found = filled(beacons).query(
        "clicks",
        since=None if since is None else minutes(since),
        until=None if until is None else minutes(until),
        every=f"{every}m",
        period=f"{every * length}m",
    )
    assert found.equals(filled(hopping).query("clicks"))


def test_hops_of_calendar_days():
    start = int(datetime(2026, 3, 20, tzinfo=UTC).timestamp()) // 60
    store = filled([("p1", start + 60 * each, 1, str(each % 5)) for each in range(20 * 24)])
    days = store.query("clicks", every="1d", tz="Europe/Berlin")["n"].to_list()
    hops = store.query("clicks", every="1d", period="1w", tz="Europe/Berlin")
    assert hops["n"].to_list() == [
        sum(days[max(0, each - 6) : each + 1]) for each in range(len(days) + 6)
    ]
    assert {24 * 7 - 1, 24 * 7} <= set(hops["n"])
    assert store.query("clicks", every="1d", period="1w")["n"].max() == 24 * 7
    assert store.query("clicks", every="1w", period="2w", tz="UTC").height == 5
    assert store.query("clicks", every="1mo", period="1y").height == 13


def test_a_day_that_was_skipped_starts_no_hop():
    # The 30th of December 2011 was not in Samoa.
    days = [(2011, 12, each) for each in (25, 26, 27, 28, 29, 31)] + [(2012, 1, 1)]
    noons = [datetime(*day, 12, tzinfo=ZoneInfo("Pacific/Apia")) for day in days]
    store = filled([("p1", int(noon.timestamp()) // 60, 1, "u") for noon in noons])
    words = {"every": "1d", "tz": "Pacific/Apia"}
    found = store.query("clicks", **words)
    assert [each.day for each in found["window"]] == [25, 26, 27, 28, 29, 31, 1]
    hops = store.query("clicks", **words, period="3d")
    assert [(each.day, n) for each, n in hops.select("window", "n").rows()] == [
        (23, 1), (24, 2), (25, 3), (26, 3), (27, 3), (28, 2), (29, 2), (31, 2), (1, 1),
    ]  # fmt: skip
    some = store.query("clicks", **words, period="3d", since="2011-12-30", until="2012-01-01")
    assert some["n"].to_list() == [2]


# Rolled-up windows


def rolled(store, now=100):
    store.expire(store.live("clicks"), RETENTION, minutes(now))
    return store


TRAFFIC = [(f"p{key}", minute, minute, str(key * minute % 9)) for key in range(9)
           for minute in range(0, 120, 2)]  # fmt: skip


@pytest.mark.parametrize("every", ["20m", "40m", "1h", "1d", "1mo"])
@pytest.mark.parametrize("period", [None, 3])
def test_wide_windows_cannot_tell_what_was_rolled_up(every, period):
    fine = filled(TRAFFIC)
    period = period and f"{period * int(every.rstrip('mhdo'))}{every.lstrip('0123456789')}"
    whole = fine.query("clicks", every=every, period=period)
    assert rolled(filled(TRAFFIC)).query("clicks", every=every, period=period).equals(whole)


def test_without_every_windows_are_as_fine_as_they_are_kept():
    fine, store = filled(TRAFFIC), rolled(filled(TRAFFIC))
    for since, first, width in (
        (91, 91, "1m"),
        (90, 90, "1m"),
        (89, 90, "5m"),  # the window that begins before is left out
        (60, 60, "5m"),
        (55, 60, "20m"),
        (0, 0, "20m"),
    ):
        found = store.query("clicks", since=minutes(since))
        assert found.equals(fine.query("clicks", since=minutes(first), every=width))
    assert store.query("clicks").equals(fine.query("clicks", every="20m"))
    assert set(store.query("clicks", until=minutes(50))["window"]) == {
        minutes(0),
        minutes(20),
        minutes(40),
    }


def test_finer_windows_than_are_kept_are_refused():
    store = rolled(filled(TRAFFIC))
    with pytest.raises(
        ValueError,
        match="every='1m' does not fit the stored windows: that of 1970-01-01T01:25:00Z is 5m long "
        "and lies across 1970-01-01T01:26:00Z; finer ones are kept from 1970-01-01T01:30:00Z on: "
        "ask since='1970-01-01T01:30:00Z', or every='20m'",
    ):
        store.query("clicks", every="1m")
    assert store.query("clicks", every="1m", since="1970-01-01T01:30:00Z").height == 9 * 15
    with pytest.raises(ValueError, match="kept from 1970-01-01T01:00:00Z on: .* or every='20m'"):
        store.query("clicks", every="5m")
    assert store.query("clicks", every="5m", since="1970-01-01T01:00:00Z").height == 9 * 12
    with pytest.raises(ValueError, match="every='30m' does not fit .* lies across"):
        store.query("clicks", every="30m", since=minutes(0))


class Rival:
    """A backend on which somebody else acts in the middle of a scan."""

    def __init__(self, backend, act):
        self.backend, self.act = backend, act

    def __getattr__(self, name):
        return getattr(self.backend, name)

    def scan(self, where, **bounds):
        for batch in self.backend.scan(where, **bounds):
            yield batch
            self.act()


@pytest.mark.parametrize("question", [{}, {"every": "20m"}, {"every": "20m", "period": "1h"},
                                      {"where": {"publisher": ["p1", "p2"]}}])  # fmt: skip
def test_a_roll_up_in_the_middle_of_a_query(question):
    fine, store = filled(TRAFFIC), filled(TRAFFIC)
    whole = fine.query("clicks", **{"every": "20m"} | question)
    reader = MergeableStore(Rival(store.backend, lambda: rolled(store)))
    assert reader.query("clicks", **question).equals(whole)


def test_finer_windows_that_go_in_the_middle_of_a_query():
    store = filled(TRAFFIC)
    reader = MergeableStore(Rival(store.backend, lambda: rolled(store)))
    with pytest.raises(ValueError, match="finer ones are kept from"):
        reader.query("clicks", every="1m")


def test_shards_that_are_rolled_up_at_different_times():
    fine, store = filled(TRAFFIC, shards=9), filled(TRAFFIC, shards=9)

    class Dying(Rival):
        commits = 0

        def commit(self, where, writes):
            self.commits += 1
            if self.commits > 20:
                raise InterruptedError
            return self.backend.commit(where, writes)

    with pytest.raises(InterruptedError):
        rolled(MergeableStore(Dying(store.backend, lambda: None)))
    assert len(set(store.horizons(store.live("clicks")).values())) > 1
    assert store.query("clicks").equals(fine.query("clicks", every="20m"))
    assert store.query("clicks", since=minutes(90)).equals(fine.query("clicks", since=minutes(90)))
    whole = fine.query("clicks", since=minutes(60), until=minutes(100), every="20m")
    assert store.query("clicks", since=minutes(55), until=minutes(95)).equals(whole)


# What is read, and how much of it is held


def test_any_of_several_values(store):
    keys = {"publisher": "String", "country": "Int16"}
    where = store.register({**declaration(), "keys": keys})
    country = pl.Series("country", [1, 2, None] * 180, dtype=pl.Int16)
    store.apply(where, [SEGMENT], fold(TRAFFIC).sort("publisher", "window").with_columns(country))
    everything = store.query("clicks")
    for wanted in (
        {"publisher": ["p1", "p2", "p9"]},
        {"country": [1, None]},
        {"country": (2,)},
        {"publisher": ["p1", "p2"], "country": {1, None}},
        {"publisher": [f"p{each}" for each in range(50)], "country": pl.Series([1, 2])},
        {"publisher": []},
        {"publisher": "p1", "country": []},
    ):
        expected = everything
        for name, value in wanted.items():
            listed = pl.Series([value] if isinstance(value, str) else list(value))
            listed = listed.cast(everything.schema[name]).implode()
            expected = expected.filter(pl.col(name).is_in(listed, nulls_equal=True))
        assert store.query("clicks", where=wanted).equals(expected)
        states = pl.concat([store.states(where).clear(), *store.scan(where, where=wanted)])
        assert states.select(where.group).sort(where.group).equals(expected.select(where.group))
    with pytest.raises(ValueError, match="key column 'country' is Int16: .* is not"):
        store.query("clicks", where={"country": [1, "x"]})


def test_only_the_shards_of_the_keys_are_read():
    store = filled(TRAFFIC, shards=64)
    read = []

    class Watched(Rival):
        def scan(self, where, **bounds):
            read.append((bounds["shards"], bounds["key"]))
            return self.backend.scan(where, **bounds)

    found = MergeableStore(Watched(store.backend, None)).query(
        "clicks", where={"publisher": ["p1", "p2"]}, every="1d"
    )
    assert found.height == 2
    assert sorted(key for _, key in read) == ["p1", "p2"]


@pytest.mark.parametrize("question", [{}, {"every": "1h"}, {"every": "20m", "period": "1h"},
                                      {"top": 7, "by": "total"}, {"by": "n", "every": "5m"},
                                      {"where": pl.col("n") > 7, "every": "20m"}])  # fmt: skip
def test_an_answer_is_put_together_from_pieces(question, monkeypatch):
    store = filled(TRAFFIC, shards=9)
    whole = store.query("clicks", **question)
    monkeypatch.setattr("beaconfold.stores.query.HELD", 10)
    monkeypatch.setattr("beaconfold.stores.query.AT_A_TIME", 2)
    monkeypatch.setattr("beaconfold.stores.memory.BATCH", 7)
    assert store.query("clicks", **question).equals(whole)


def test_other_windows_of_a_job_without_windows_are_no_states(store):
    where = store.register({**declaration(), "window_us": None})
    states = fold([("p1", 0, 1, "u")]).drop("window")
    store.apply(where, [SEGMENT], states)
    before = store.dump(where)
    shard = next(s for s, head in store.records(where).items() if head.ledger)
    heads, _ = store.backend.read(where, [shard], pl.DataFrame(
        schema={"shard": pl.Int64, "window": pl.Int64, "key": pl.String}))  # fmt: skip
    token = pl.DataFrame({"window": [1], "key": ["p1\ttoken"], "n": [None], "total": [None],
        "users": [None], "updated_at": [0]}, schema_overrides={**where.states})  # fmt: skip
    write = ShardWrite(shard, heads[shard].version, heads[shard].ledger, token)
    assert store.backend.commit(where, [write]) == [True]
    assert store.dump(where) == before
    assert store.query("clicks").height == 1
    assert pl.concat(store.scan(where)).height == store.states(where).height == 1
