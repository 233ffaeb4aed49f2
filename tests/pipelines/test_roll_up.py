"""A job's retention: live, replayed and verified stores roll up alike, whenever they do it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from beaconfold import Count, HyperLogLog, Job, QueryString, open_store, replay, stream, verify
from beaconfold.pipelines.archive import RAW, Archive
from beaconfold.pipelines.batch import run_batch
from beaconfold.pipelines.generation import open_generation
from beaconfold.pipelines.roll_up import RollUp
from beaconfold.stores.clock import ManualClock

START = datetime(2026, 1, 1, tzinfo=UTC)
JOB = Job(
    "clicks",
    decode=QueryString(publisher=pl.String, user=pl.String, ts=pl.Datetime("ms", "UTC")),
    event_time="ts",
    window="1m",
    key=["publisher"],
    aggregate={"beacons": Count(), "users": HyperLogLog("user")},
    retention={"1m": "1d", "1h": "7d", "1d": "30d"},
)
DAYS = 40
PER_DAY = 50


def day(number):
    return START + timedelta(days=number)


def beacons(number):
    """Make a day's beacons, some of them days late."""
    lines = []
    for i in range(PER_DAY):
        at = day(number) + timedelta(minutes=17 * i) - timedelta(days=9 * (i % 5 == 0))
        ms = int(at.timestamp() * 1000)
        lines.append(f"/b.gif?publisher=p{i % 3}&user=u{i % 7}&ts={ms}".encode())
    received = day(number) + timedelta(hours=23)
    return (
        pl.DataFrame({"raw": lines, "received": received, "offset": range(PER_DAY)})
        .select(*RAW.names()[:3], message_id=pl.lit(None))
        .cast(dict(RAW))
    )


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    archive = Archive.open(tmp_path_factory.mktemp("archive"))
    archive.claim("web")
    for number in range(DAYS):
        archive.publish("web", 1, number, beacons(number), position=number)
    return archive


@pytest.fixture
def clock():
    return ManualClock(day(DAYS))


def merged_day_by_day(archive, clock):
    """Give a store as a live run leaves it: a day's segment is merged on that day."""
    clock = ManualClock(day(0))
    store = open_store("memory://", shards=4, clock=clock)
    where = open_generation(JOB, store)
    roll_up = RollUp(store, where, JOB)
    for ref in archive.segments():
        run_batch(JOB, archive, store, where, [ref])
        clock.advance(24 * 3600)
        roll_up.when_due()
    return store, where


def test_a_store_rolled_up_as_it_went_equals_one_replayed_at_the_end(archive, clock):
    live, where = merged_day_by_day(archive, clock)
    late = open_store("memory://", shards=4, clock=clock)
    assert replay(JOB, archive=archive, store=late).done.merged_segments == DAYS
    assert late.dump(late.live("clicks")) == live.dump(where)
    widths = {each for horizons in live.horizons(where).values() for each in horizons.widths}
    assert widths == {60_000_000, 3_600_000_000, 86_400_000_000}
    kept = live.states(where)
    assert kept["window"].min() >= day(DAYS - 31)
    assert kept["beacons"].sum() < DAYS * PER_DAY
    for store in (live, late):
        result = verify(JOB, archive=archive, store=store)
        assert result, result.differing


def test_verify_finds_a_wrong_state_in_a_window_that_was_rolled_up(archive, clock):
    store, where = merged_day_by_day(archive, clock)
    oldest = store.states(where).sort("window")[:1]
    store.put(where, oldest.with_columns(pl.col("beacons") + 1))
    result = verify(JOB, archive=archive, store=store)
    assert result.differing.select("window", "aggregate").rows() == [
        (oldest["window"].item(), "beacons")
    ]


def test_a_live_run_rolls_up_by_itself(archive, clock):
    store = open_store("memory://", shards=4, clock=clock)
    with stream(JOB, archive=archive, store=store) as run:
        run.drain()
    assert verify(JOB, archive=archive, store=store)
    assert store.states(store.live("clicks"))["window"].min() >= day(DAYS - 31)


def test_a_new_generation_rolls_up_like_the_old_one(archive, clock):
    store, where = merged_day_by_day(archive, clock)
    new = store.register(JOB.declaration, revision=1, product=JOB.product)
    run_batch(JOB, archive, store, new, archive.segments())
    RollUp(store, new, JOB)()
    assert store.dump(new) == store.dump(where)


def test_a_retention_is_not_part_of_the_definition_but_must_fit_it():
    other = replace(JOB, retention=None)
    assert (other, other.fingerprint) == (JOB, JOB.fingerprint)
    with pytest.raises(ValueError, match="begins with the job's own window, 1m, not with 1h"):
        replace(JOB, retention={"1h": None})
    with pytest.raises(ValueError, match="windows has no retention"):
        replace(JOB, window=None, event_time=None)
    store = open_store("memory://")
    RollUp(store, open_generation(other, store), other)()
    assert not store.horizons(store.live("clicks"))[0].advanced


def test_it_is_due_once_in_a_while(clock):
    store = open_store("memory://", shards=4, clock=clock)
    roll_up = RollUp(store, open_generation(JOB, store), JOB, every=60)

    def horizon():
        return store.horizons(store.live("clicks"))[0].until[0]

    roll_up.when_due()
    before = horizon()
    clock.advance(59)
    roll_up.when_due()
    assert horizon() == before
    clock.advance(2 * 24 * 3600)
    roll_up.when_due()
    assert horizon() - before == 2 * 24 * 3600 * 1_000_000
