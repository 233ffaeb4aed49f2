"""Retention: fine windows go into wider ones, and nobody can tell when."""

import pickle
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis_servers import fresh

from beaconfold.stores import (
    CommitUncertain,
    GenerationDropped,
    GenerationRetired,
    ManualClock,
    MergeableStore,
    SegmentId,
    open_store,
    shard_of,
)
from beaconfold.stores.expiry import Expired, rolled_up
from beaconfold.stores.horizons import BEGINNING, Horizons, place
from beaconfold.stores.retention import Retention
from beaconfold.stores.shard_record import ShardRecord
from beaconfold.stores.testing import MINUTE, declaration, fold

RETENTION = {"1m": "10m", "5m": "30m", "20m": "2h"}
FOR_EVER = {"1m": "10m", "5m": "30m", "20m": None}
SHARDS = 3


def minutes(number):
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(minutes=number)


def at(*numbers):
    return tuple(BEGINNING if number is None else number * MINUTE for number in numbers)


def starts(store, where):
    """Return the minutes at which the stored windows of each publisher start."""
    found = defaultdict(list)
    for publisher, window in store.states(where).select("publisher", "window").rows():
        found[publisher].append((window - minutes(0)) // timedelta(minutes=1))
    return dict(found)


# What a retention says


def test_a_retention_is_read_and_written():
    retention = Retention.parse({"60s": "7d", "1h": timedelta(days=90), "24h": None})
    assert retention == Retention.parse({"1m": "168h", "1h": "90d", "1d": None})
    assert retention.to_json() == {"1m": "7d", "1h": "90d", "1d": None}
    assert Retention.parse(retention.to_json()) == retention == Retention.parse(retention)


@pytest.mark.parametrize(
    ("retention", "message"),
    [
        ({}, "at least one width"),
        ({"1m": "week"}, "'week' is not a duration"),
        ({"minute": "7d"}, "'minute' is not a duration"),
        ({"1h": "7d", "1m": None}, "multiple of the one before: 1m after 1h is not"),
        ({"1m": "7d", "90s": None}, "multiple of the one before: 90s after 1m is not"),
        ({"1m": "7d", "60s": None}, "1m after 1m is not"),
        ({"1m": "7d", "1h": "7d"}, "1h must be kept longer than 1m, which is kept 7d, not 7d"),
        ({"1m": None, "1h": "7d"}, "1h must be kept longer than 1m, .* for ever, not 7d"),
        ({"1m": None, "1h": None}, "1h must be kept longer than 1m"),
        ({"2m": "7d"}, "begins with the job's own window, 1m, not with 2m"),
    ],
)
def test_a_retention_that_makes_no_sense(retention, message):
    store = open_store("memory://")
    with pytest.raises(ValueError, match=message):
        store.expire(store.register(declaration()), retention)


def test_a_job_without_windows_has_no_retention():
    store = open_store("memory://")
    where = store.register({**declaration(), "window_us": None})
    with pytest.raises(ValueError, match="a job without windows has no retention"):
        store.expire(where, RETENTION)


@given(st.integers(-(10**6), 10**6), st.integers(0, 10**4))
def test_horizons_only_advance_with_the_clock(now, later):
    one, two = (
        Retention.parse(RETENTION).horizons(minutes(0) + timedelta(seconds=each))
        for each in (now, now + later)
    )
    assert one | two == two
    assert all(
        now * 10**6 - width < until + kept <= now * 10**6
        for until, kept, width in zip(one.until, at(10, 30, 120), at(5, 20, 20), strict=True)
    )


def test_horizons_must_tell_the_width_of_a_window():
    with pytest.raises(ValueError, match="not aligned"):
        Horizons((1, 10), (5, 0))
    with pytest.raises(ValueError, match="come after"):
        Horizons((1, 10), (10, 20))
    assert str(Horizons()) == "all as merged"


def test_wider_windows_are_added_where_nothing_has_expired_anew():
    horizons = Horizons((1, 10), (100, 50))
    assert horizons.extended((1, 10)) == horizons
    assert horizons.extended((1, 10, 100)) == Horizons((1, 10, 100), (100, 100, 100))
    assert Horizons((1, 10), (100, BEGINNING)) | Horizons((1, 10, 100), (0, 0, 0)) == Horizons(
        (1, 10, 100), (100, 0, 0)
    )
    for other in ((1,), (1, 20), (1, 5, 10)):
        with pytest.raises(ValueError, match=r"have been rolled up to 1us, 10us: .* not have"):
            horizons.extended(other)
    fresh_ones = Horizons((1, 10), at(None, None))
    assert fresh_ones.extended((1, 20)).widths == (1, 20)
    assert horizons | fresh_ones.extended((1, 20)) == fresh_ones | horizons == horizons


@given(
    st.lists(st.integers(-500, 500)),
    st.tuples(*[st.integers(-5, 5)] * 3).map(lambda each: sorted(each, reverse=True)),
)
def test_rows_go_to_the_finest_window_still_kept(windows, until):
    horizons = Horizons((1, 10, 100), tuple(each * 100 for each in until))
    rows = pl.DataFrame({"shard": 0, "window": windows}, {"shard": pl.Int64, "window": pl.Int64})
    expected = []
    for start in windows:
        kept = [w for w, u in zip(horizons.widths, horizons.until, strict=True) if start >= u]
        expected += [start // kept[0] * kept[0]] if kept else []
        assert rows.filter(window=start).select(horizons.width).to_series()[0] == (
            kept[0] if kept else None
        )
        assert not kept or horizons.finest(start) == kept[0]
    assert horizons.place(rows)["window"].to_list() == expected
    assert place(rows, {0: horizons})["window"].to_list() == expected
    assert place(rows, {1: horizons})["window"].to_list() == windows
    assert horizons.place(horizons.place(rows))["window"].to_list() == expected


# The bytes of a shard


def test_the_bytes_of_a_shard_without_horizons_are_its_ledgers():
    assert ShardRecord.decode(b"") == ShardRecord()
    data = b'{"layout":1,"archives":{"a":{"p":[0,[[1,3,[0,1]]]]}}}'
    assert ShardRecord.decode(data).encode() == data == ShardRecord.decode(data).ledger.encode()


def test_the_bytes_of_a_shard_with_horizons():
    data = (
        b'{"layout":2,"archives":{"a":{"p":[0,[[1,3,[0,1]]]]}},'
        b'"horizons":[[60000000,1774310400000000],[3600000000,null]],"expired":7}'
    )
    record = ShardRecord.decode(data)
    assert record.horizons == Horizons((60_000_000, 3_600_000_000), (1774310400000000, BEGINNING))
    assert (record.expired, SegmentId("a", "p", 1, 0) in record.ledger) == (7, True)
    assert record.encode() == data


@pytest.mark.parametrize(
    "data",
    [
        b'{"layout":3,"archives":{}}',
        b'{"layout":2,"archives":{}}',
        b'{"layout":2,"archives":{},"horizons":[[60,7]],"expired":0}',
        b'{"layout":2,"archives":{},"horizons":7,"expired":0}',
    ],
)
def test_other_bytes_are_of_another_layout(data):
    with pytest.raises(Exception, match="another version/layout"):
        ShardRecord.decode(data)


# What a store does


def test_windows_are_rolled_up_and_deleted(store):
    where = store.register(declaration())
    store.apply(
        where, [SegmentId("a", "p", 1, 0)], fold(("p1", each, 1, "u") for each in range(200))
    )
    assert store.expire(where, RETENTION, minutes(9)) == Expired()
    assert store.expire(where, RETENTION, minutes(20)) == Expired(10, 0)
    assert starts(store, where) == {"p1": [0, 5, *range(10, 200)]}
    assert store.expire(where, RETENTION, minutes(20)) == Expired()
    assert store.expire(where, RETENTION, minutes(15)) == Expired()
    assert store.states(where)["n"].sum() == 200
    done = store.expire(where, RETENTION, minutes(185))
    assert starts(store, where) == {
        "p1": [*range(60, 140, 20), *range(140, 175, 5), *range(175, 200)]
    }
    assert done.deleted == 3
    assert set(store.horizons(where).values()) == {Horizons(at(1, 5, 20), at(175, 140, 60))}
    assert {record.expired for record in store.records(where).values()} == {0}
    assert SegmentId("a", "p", 1, 0) in store.segments(where)
    assert store.query("clicks", since=minutes(175))["n"].to_list() == [1] * 25


def test_late_rows_go_where_their_windows_went(store):
    where = store.register(declaration())
    store.expire(where, RETENTION, minutes(185))
    late = fold(
        [("p1", each, 1, "u") for each in (59, 61, 62, 141, 171, 176)] + [("p2", 3, 1, "u")]
    )
    applied = store.apply(where, [SegmentId("a", "p", 1, 0)], late)
    assert (len(applied.merged), applied.expired) == (64, 2)
    assert starts(store, where) == {"p1": [60, 140, 170, 176]}
    assert store.apply(where, [SegmentId("a", "p", 1, 0)], late).expired == 0
    expired = {shard: each.expired for shard, each in store.records(where).items() if each.expired}
    assert expired == dict.fromkeys(shard_of(pl.Series(["p1", "p2"]), 64).to_list(), 1)
    gone = store.apply(where, [SegmentId("a", "p", 1, 1)], late.filter(publisher="p2"))
    assert (len(gone.merged), gone.expired) == (64, 1)
    assert SegmentId("a", "p", 1, 1) in store.segments(where)
    store.expire(where, RETENTION, minutes(300))
    assert sum(record.expired for record in store.records(where).values()) == 3


def test_cells_are_found_where_their_windows_went(store):
    where = store.register(declaration())
    some = fold([("p1", each, 1, "u") for each in (1, 2, 12)])
    store.merge(where, some)
    store.expire(where, FOR_EVER, minutes(20))
    assert store.get(where, some.select(where.group))["n"].to_list() in ([2, 1], [1, 2])
    store.merge(where, some)
    assert starts(store, where) == {"p1": [0, 12]}
    assert store.states(where)["n"].to_list() == [4, 2]
    for refused in (store.put, store.delete):
        with pytest.raises(ValueError, match="window 1970-01-01T00:0.:00Z of key 'p1' is not kept"):
            refused(where, some)
    whole = store.states(where)
    store.put(where, fold([("p1", 0, 5, "v"), ("p1", 30, 5, "v")]))
    assert store.states(where)["n"].to_list() == [1, 2, 1]
    store.delete(where, whole.select(where.group))
    assert starts(store, where) == {"p1": [30]}
    store.expire(where, RETENTION, minutes(200))
    store.merge(where, some)
    assert starts(store, where) == {}
    assert sum(record.expired for record in store.records(where).values()) == 3


def test_only_a_generation_that_takes_merges_expires(store):
    old, new = store.register(declaration()), store.register(declaration(), 1)
    store.switch(new)
    store.retire(old)
    with pytest.raises(GenerationRetired):
        store.expire(old, RETENTION)
    store.drop(old)
    with pytest.raises(GenerationDropped):
        store.expire(old, RETENTION)


def test_the_clock_of_the_store_tells_the_time():
    clock = ManualClock(minutes(185))
    store = open_store("memory://", clock=clock)
    where = store.register(declaration())
    store.expire(where, RETENTION)
    assert set(store.horizons(where).values()) == {Horizons(at(1, 5, 20), at(175, 140, 60))}


def test_what_was_seen_stays_behind(store):
    where = store.register(declaration())
    store.expire(where, RETENTION, minutes(185))
    store.apply(where, [SegmentId("a", "p", 1, 0)], fold([("p1", 62, 1, "u")]))
    assert store.seen[where.id][0].advanced
    other = pickle.loads(pickle.dumps(store))
    assert other.seen == {}
    other.apply(where, [SegmentId("a", "p", 1, 1)], fold([("p1", 63, 1, "u")]))
    assert starts(store, where) == {"p1": [60]}


def test_a_retention_may_change(store):
    where = store.register(declaration())
    store.apply(
        where, [SegmentId("a", "p", 1, 0)], fold(("p1", each, 1, "u") for each in range(200))
    )
    store.expire(where, {"1m": "10m", "5m": "30m"}, minutes(105))
    assert starts(store, where) == {"p1": [*range(75, 95, 5), *range(95, 200)]}
    store.expire(where, {"1m": "20m", "5m": "60m"}, minutes(105))
    store.expire(where, {"1m": "10m", "5m": "30m", "20m": "1h"}, minutes(105))
    assert starts(store, where) == {"p1": [80, 85, 90, *range(95, 200)]}
    store.expire(where, {"1m": "5m", "5m": None, "20m": None} | {"5m": "40m"}, minutes(150))
    assert starts(store, where) == {"p1": [80, *range(100, 145, 5), *range(145, 200)]}
    with pytest.raises(ValueError, match="rolled up to 1m, 5m, 20m: .* not have 1m, 5m$"):
        store.expire(where, {"1m": "10m", "5m": "30m"}, minutes(105))


# The law: whenever shards were rolled up, and whatever came late, the same states remain.


class Crash(Exception):
    pass


class Crashing:
    """A backend whose user dies at its n-th commit, before or after it is made."""

    def __init__(self, backend, commits, made):
        self.backend, self.left, self.made = backend, commits, made

    def __getattr__(self, name):
        return getattr(self.backend, name)

    def commit(self, where, writes):
        self.left -= 1
        if self.left < 0:
            for write in writes[: len(writes) // 2 + self.made]:
                self.backend.commit(where, [write])
            raise Crash
        return self.backend.commit(where, writes)


beacons = st.tuples(
    st.sampled_from(["p1", "p2", "p3", "p4"]),
    st.integers(-60, 200),
    st.integers(-9, 9),
    st.sampled_from("uvw"),
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("apply"), st.lists(beacons, max_size=12)),
        st.tuples(st.just("expire"), st.integers(0, 120)),
        st.tuples(st.just("crash"), st.tuples(st.integers(0, 8), st.booleans())),
        st.tuples(st.just("grow"), st.none()),
    ),
    max_size=12,
)


@settings(max_examples=60)
@given(steps, st.sampled_from([1, 4, 20_000]))
def test_the_order_of_merges_and_roll_ups_cannot_be_told(steps, step):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("beaconfold.stores.expiry.STEP", step)
        _run(steps)


def _run(steps):
    real = open_store("memory://", shards=SHARDS)
    where = real.register(declaration())
    store, now, done, segments = real, 0, [], []
    retention = {"1m": "10m", "5m": "30m"}
    for kind, value in steps:
        try:
            if kind == "apply":
                segments.append((SegmentId("a", "p", 1, len(segments)), value))
                store.apply(where, [segments[-1][0]], fold(value))
            elif kind == "expire":
                now += value
                done.append((retention, minutes(now)))
                store.expire(where, *done[-1])
            elif kind == "grow":
                retention = RETENTION
            else:
                store = MergeableStore(Crashing(real.backend, *value))
        except Crash:
            store = real  # with the horizons that it saw before
    for segment, value in segments:
        real.apply(where, [segment], fold(value))
    for each in done[-1:]:
        real.expire(where, *each)
    horizons = real.horizons(where)
    clean = open_store("memory://", shards=SHARDS)
    clean.register(declaration())
    whole = fold([beacon for _, value in segments for beacon in value])
    expected = rolled_up(whole, where, horizons, SHARDS)
    clean.put(where, expected)
    assert real.dump(where) == clean.dump(where)
    assert real.segments(where).missing(segment for segment, _ in segments) == set()


def test_shards_at_different_horizons_are_each_right():
    real = open_store("memory://", shards=8)
    where = real.register(declaration())
    some = fold((f"p{key}", each, 1, "u") for key in range(20) for each in range(0, 60, 3))
    real.apply(where, [SegmentId("a", "p", 1, 0)], some)
    with pytest.raises(Crash):
        MergeableStore(Crashing(real.backend, 9, True)).expire(where, FOR_EVER, minutes(60))
    horizons = real.horizons(where)
    assert len(set(horizons.values())) > 1
    for store in (real, MergeableStore(real.backend)):
        segment = SegmentId("a", "p", 2, 0 if store is real else 1)
        store.apply(where, [segment], some)
        store.apply(where, [segment], some)
    expected = rolled_up(pl.concat([some] * 3), where, horizons, 8).sort(where.group)
    assert real.states(where).equals(expected.select(*where.group, *where.states))
    assert pl.concat(real.scan(where)).sort(where.group).equals(real.states(where))
    real.expire(where, FOR_EVER, minutes(60))
    assert len(set(real.horizons(where).values())) == 1


class Rival:
    """A backend on which somebody else acts when a scan has begun, for the first few times."""

    def __init__(self, backend, act, times=1):
        self.backend, self.act, self.times = backend, act, times

    def __getattr__(self, name):
        return getattr(self.backend, name)

    def scan(self, where, **bounds):
        batches = list(self.backend.scan(where, **bounds))
        if batches and self.times:
            self.times -= 1
            self.act()
        yield from batches


def test_two_at_once_do_it_once():
    real = open_store("memory://", shards=2)
    where = real.register(declaration())
    some = fold((f"p{key}", each, 1, "u") for key in range(8) for each in range(60))
    real.apply(where, [SegmentId("a", "p", 1, 0)], some)
    late = fold([("p1", 1, 1, "u"), ("p2", 59, 1, "u")])
    rival = Rival(real.backend, lambda: real.apply(where, [SegmentId("a", "p", 1, 1)], late))
    MergeableStore(rival, ManualClock()).expire(where, FOR_EVER, minutes(60))
    rival = Rival(real.backend, lambda: real.expire(where, FOR_EVER, minutes(90)))
    MergeableStore(rival, ManualClock()).expire(where, FOR_EVER, minutes(80))
    horizons = real.horizons(where)
    assert set(horizons.values()) == {Horizons(at(1, 5, 20), at(80, 60, None))}
    expected = rolled_up(pl.concat([some, late]), where, horizons, 2).sort(where.group)
    assert real.states(where).equals(expected.select(*where.group, *where.states))


def test_a_roll_up_during_a_reading_is_noticed():
    real = open_store("memory://", shards=2)
    where = real.register(declaration())
    some = fold((f"p{key}", each, 1, "u") for key in range(8) for each in range(60))
    real.apply(where, [SegmentId("a", "p", 1, 0)], some)
    rival = Rival(real.backend, lambda: real.expire(where, FOR_EVER, minutes(60)))
    states = MergeableStore(rival).states(where)
    assert states.equals(real.states(where))
    assert set(states.group_by("publisher").agg(pl.col("n").sum())["n"]) == {60}


@pytest.mark.parametrize("server", ["redis_server", "postgres_url"])
def test_servers_roll_up_as_memory_does(server, request):
    found = request.getfixturevalue(server)
    url = fresh(found) if server == "redis_server" else found
    some = fold((f"p{key}", each, 1, "u") for key in range(8) for each in range(0, 190, 7))
    late = fold([(f"p{key}", each, 1, "v") for key in range(9) for each in range(3, 180, 30)])
    dumps, answers = [], []
    with open_store(url, shards=4) as remote:
        for store in (remote, open_store("memory://", shards=4)):
            where = store.register(declaration())
            for number, (partials, now) in enumerate([(some, 100), (late, 185), (late, 190)]):
                store.apply(where, [SegmentId("a", "p", 1, number)], partials)
                store.expire(where, RETENTION, minutes(now))
            dumps.append(store.dump(where))
            answers.append(store.query("clicks", every="20m", period="2h", since=minutes(60)))
            answers.append(store.query("clicks", where={"publisher": ["p1", "p2"]}))
            assert set(store.horizons(where).values()) == {Horizons(at(1, 5, 20), at(180, 160, 60))}
    assert dumps[0] == dumps[1]
    assert answers[0].equals(answers[2])
    assert answers[1].equals(answers[3])


def test_a_refused_retention_changes_no_shard():
    store = open_store("memory://", shards=8)
    where = store.register(declaration())
    with pytest.raises(Crash):
        MergeableStore(Crashing(store.backend, 4, False)).expire(where, FOR_EVER, minutes(60))
    before = store.records(where)
    with pytest.raises(ValueError, match="rolled up to 1m, 5m, 20m: .* not have 1m, 10m$"):
        store.expire(where, {"1m": "10m", "10m": None}, minutes(60))
    assert store.records(where) == before
    assert store.query("clicks").height == 0


@pytest.mark.parametrize("made", [True, False])
def test_a_roll_up_whose_outcome_is_unknown_is_tried_again(made):
    real = open_store("memory://", shards=2)
    where = real.register(declaration())
    some = fold((f"p{key}", each, 1, "u") for key in range(8) for each in range(60))
    real.apply(where, [SegmentId("a", "p", 1, 0)], some)

    class Lossy(Crashing):
        def commit(self, where, writes):
            self.left -= 1
            if self.left % 2:
                return self.backend.commit(where, writes)
            if self.made:
                self.backend.commit(where, writes)
            raise CommitUncertain("gone")

    lossy = MergeableStore(Lossy(real.backend, 9, made), ManualClock())
    lossy.expire(where, FOR_EVER, minutes(60))
    assert set(real.horizons(where).values()) == {Horizons(at(1, 5, 20), at(50, 20, None))}
    expected = rolled_up(some, where, real.horizons(where), 2).sort(where.group)
    assert real.states(where).equals(expected.select(*where.group, *where.states))


def test_an_overdue_roll_up_is_done_in_small_steps(monkeypatch):
    monkeypatch.setattr("beaconfold.stores.expiry.STEP", 50)
    store = open_store("memory://", shards=1)
    where = store.register(declaration())
    some = fold((f"p{key}", each, 1, "u") for key in range(8) for each in range(100))
    store.apply(where, [SegmentId("a", "p", 1, 0)], some)
    sizes = []

    class Measured(Crashing):
        def commit(self, where, writes):
            sizes.extend(write.removed.height + write.rows.height for write in writes)
            return self.backend.commit(where, writes)

    measured = MergeableStore(Measured(store.backend, 0, False))
    assert measured.expire(where, FOR_EVER, minutes(110)) == Expired(8 * (100 + 16), 0)
    assert len(sizes) > 20
    assert max(sizes) <= 50
    assert store.states(where)["n"].sum() == 800
