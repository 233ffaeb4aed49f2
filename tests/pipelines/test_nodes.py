"""The Streamz nodes: on a plain stream, with a client, by hand and by reference."""

import gc
import gzip
import threading
from datetime import timedelta

import polars as pl
import pytest
from streamz import Stream
from streamz.core import sync

from beaconfold import Archive, Count, Job, Monoid, QueryString, local_cluster, open_store
from beaconfold.pipelines.archive import Lease
from beaconfold.pipelines.generation import open_generation
from beaconfold.pipelines.jobs import beacon_counts
from beaconfold.pipelines.retry import SchedulerLost
from beaconfold.pipelines.sources import open_source
from beaconfold.pipelines.sources.source import SourceUnreadable
from beaconfold.stores.clock import ManualClock

LINES = [f"/b.gif?beaconType={kind}&ts={at}" for kind in ("click", "view") for at in range(50)]


def counts(store):
    """Give the beacons by type."""
    found = store.query("beacon-counts")
    return dict(found.group_by("beaconType").agg(pl.col("beacons").sum()).rows())


def test_beacons_by_hand_on_a_plain_stream():
    source, store, done = Stream(), open_store("memory://"), []
    source.aggregate_by_key(beacon_counts).store(store).sink(done.append)
    source.emit(LINES[:60])
    source.emit(pl.DataFrame({"raw": LINES[60:]}))
    assert counts(store) == {"click": 50, "view": 50}
    assert [batch.num_cells for batch in done] == [2, 1]


def test_partitions_by_size_and_by_age():
    clock, seen = ManualClock(), []
    source = Stream()
    node = source.timed_partition("1s", max_rows=40, clock=clock)
    node.map(lambda frame: frame["raw"].to_list()).sink(seen.append)

    async def look():
        node.look()

    for line in LINES:
        source.emit(line)
    assert [len(part) for part in seen] == [40, 40]
    clock.advance(0.9)
    sync(node.loop, look)
    assert len(seen) == 2
    clock.advance(0.1)
    sync(node.loop, look)
    assert [line for part in seen for line in part] == [line.encode() for line in LINES]


def test_a_partition_that_is_old_enough_is_emitted_by_itself(client, tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/beacons.db")
    source, done = Stream(), []
    partitions = source.timed_partition("50ms", max_rows=1_000)
    graph = partitions.aggregate_by_key(beacon_counts, client=client).store(store)
    graph.sink(done.append)
    for line in LINES:
        source.emit(line)
    while sum(counts(store).values() if done else []) < len(LINES):
        source.emit([])
    assert counts(store) == {"click": 50, "view": 50}


def test_what_the_job_raises_reaches_who_emitted():
    source = Stream()
    source.aggregate_by_key(beacon_counts).store(open_store("memory://"))
    with pytest.raises(ValueError, match="missing: beaconType"):
        source.emit(pl.DataFrame({"other": [1]}))


def test_a_store_wants_partials():
    source = Stream()
    source.store("memory://")
    gc.collect()
    with pytest.raises(TypeError, match="put aggregate_by_key"):
        source.emit(LINES)


def test_references_are_merged_exactly_once_by_any_number_of_graphs(client, tmp_path):
    (tmp_path / "beacons.log").write_text("\n".join(LINES))
    store = open_store(f"sqlite:///{tmp_path}/beacons.db")
    archive = Archive.open(tmp_path / "archive")
    received = []
    for _ in range(2):
        source = Stream.from_beacons(
            str(tmp_path / "beacons.log"), archive=archive, max_rows=7, partition="1h", poll=60
        )
        graph = source.aggregate_by_key(beacon_counts, client=client, window=2).store(store)
        graph.sink(received.append)
        source.start()
        source.drain()
    assert sum(batch.merged_segments for batch in received) == -(-len(LINES) // 7)
    assert counts(store) == {"click": 50, "view": 50}


def test_two_drivers_at_once(client, tmp_path):
    (tmp_path / "beacons.log").write_text("\n".join(LINES))
    store = open_store(f"sqlite:///{tmp_path}/beacons.db")
    archive = Archive.open(tmp_path / "archive")
    first = Stream.from_beacons(str(tmp_path / "beacons.log"), archive=archive, max_rows=3)
    first.aggregate_by_key(beacon_counts, client=client).store(store)
    second = Stream.from_beacons(archive=archive, poll=0.01)
    second.aggregate_by_key(beacon_counts, client=client).store(store)
    second.start()
    first.start()
    first.drain()
    second.drain()
    assert counts(store) == {"click": 50, "view": 50}


def test_partials_can_be_looked_at_without_a_store(client, tmp_path):
    (tmp_path / "beacons.log").write_text("\n".join(LINES))
    seen = []
    source = Stream.from_beacons(str(tmp_path / "beacons.log"), archive=str(tmp_path / "archive"))
    hop = source.aggregate_by_key(beacon_counts, client=client)
    hop.sink(seen.append)
    source.start()
    source.drain()
    assert beacon_counts.present(beacon_counts.plus(*(each.partials() for each in seen)))[
        "beacons"
    ].to_list() == [50, 50]


def test_a_retired_generation_ends_the_stream_and_says_so(tmp_path):
    (tmp_path / "beacons.log").write_text("\n".join(LINES))
    store = open_store("memory://")
    old = store.register(beacon_counts.declaration)
    source = Stream.from_beacons(str(tmp_path / "beacons.log"), archive=str(tmp_path / "archive"))
    node = source.aggregate_by_key(beacon_counts).store(store)
    assert node.generation(beacon_counts) == old
    new = store.register(beacon_counts.declaration, revision=1)
    store.switch(new)
    assert open_generation(beacon_counts, store) == new
    store.retire(old)
    source.start()
    with pytest.raises(Exception, match="retired"):
        source.drain()
    assert len(Archive.open(tmp_path / "archive").segments()) == 1


def test_a_source_that_is_received_already_is_followed(tmp_path):
    def graph():
        source = Stream.from_beacons(
            "synthetic://?rate=1000&seed=5", archive=str(tmp_path / "archive"), partition="10ms"
        )
        source.aggregate_by_key(beacon_counts).store(open_store("memory://"))
        return source

    first = graph()
    first.start()
    while not first.archive.segments():
        pass
    second = graph()
    assert second.followed == [first.receivers[0].progress.partition]
    assert not second.receivers
    first.drain()
    assert not graph().followed


def test_a_receiver_whose_lease_runs_out_is_taken_over_from(tmp_path):
    clock, store = ManualClock(), open_store("memory://")
    (tmp_path / "beacons.log").write_text("\n".join(LINES))
    archive = Archive.open(tmp_path / "archive")
    (partition,) = open_source(str(tmp_path / "beacons.log")).partitions()
    elsewhere = Lease(partition.identity, 1, "elsewhere", 1, clock.now() + timedelta(seconds=10))
    archive.claim(partition.identity, clock=clock)
    archive.renew(elsewhere)

    source = Stream.from_beacons(
        str(tmp_path / "beacons.log"), archive=archive, clock=clock, poll=0.01
    )
    source.aggregate_by_key(beacon_counts).store(store)
    source.start()
    assert source.followed == [partition.identity]
    clock.advance(10)
    while not (source.receivers and source.receivers[0].done):
        pass
    assert not source.followed
    source.drain()
    assert counts(store) == {"click": 50, "view": 50}


def test_one_that_is_fenced_follows_until_its_successor_is_gone(tmp_path):
    archive = Archive.open(tmp_path / "archive")
    source = Stream.from_beacons(
        "synthetic://?rate=1000&seed=6", archive=archive, partition="10ms", poll=0.01
    )
    source.aggregate_by_key(beacon_counts).store(open_store("memory://"))
    source.start()
    (first,) = source.receivers
    while first.progress.segments == 0:
        pass
    elsewhere = archive.claim(first.name)
    until = source.clock.now() + timedelta(hours=1)
    archive.renew(Lease(first.name, elsewhere, "elsewhere", 1, until))
    archive.seal_before(first.name, elsewhere)
    while not source.followed:
        pass
    assert first.status.state == "fenced"
    assert source.receivers == [first]
    archive.release(first.name, elsewhere)
    while len(source.receivers) == 1 or source.receivers[1].progress.segments == 0:
        pass
    assert source.followed == []
    source.drain()
    offsets = [n for ref in archive.segments() for n in archive.read(ref)["offset"]]
    assert offsets == list(range(sum(each.progress.rows for each in source.receivers)))


def test_two_jobs_from_one_source(tmp_path):
    (tmp_path / "beacons.log").write_text("\n".join(LINES))
    hourly = Job(
        "hourly",
        decode=QueryString(beaconType=pl.String, ts=pl.Datetime("ms", "UTC")),
        event_time="ts",
        window="1h",
        key="beaconType",
        aggregate={"n": Count()},
    )
    store = open_store("memory://")
    source = Stream.from_beacons(str(tmp_path / "beacons.log"), archive=str(tmp_path / "archive"))
    nodes = [source.aggregate_by_key(job).store(store) for job in (beacon_counts, hourly)]
    source.start()
    source.drain()
    assert len(nodes) == 2
    assert counts(store) == {"click": 50, "view": 50}
    assert store.query("hourly")["n"].to_list() == [50, 50]


class Total(Monoid[int]):
    """A sum of Python integers."""

    commutative, idempotent, zero = True, False, 0

    def plus(self, left, right):
        return left + right


def per_row(name, of):
    return Job.per_row(name=name, version="1", map=of, monoid=Total())


def test_a_branch_concerns_its_own_job_and_store_only(tmp_path):
    def refuse(_raw):
        raise pl.exceptions.PanicException("not caught as an Exception")

    one, other = per_row("one", lambda _raw: [("all", 1)]), per_row("other", refuse)
    stores = open_store("memory://"), open_store("memory://")
    (tmp_path / "beacons.log").write_text("\n".join(LINES))

    def emitted(*branches):
        url, batches = str(tmp_path / "beacons.log"), []
        source = Stream.from_beacons(url, archive=str(tmp_path / "archive"))
        for job, store in branches:
            source.aggregate_by_key(job).store(store).sink(batches.append)
        source.start()
        source.drain()
        return sum(batch.segments for batch in batches)

    # The segment is poison for one job, and still to be merged for the other one.
    assert emitted((other, stores[1])) == 1
    assert emitted((one, stores[0]), (other, stores[1])) == 2
    states = stores[0].states(open_generation(one, stores[0]))
    assert one.present(states)["value"].to_list() == [100]
    assert stores[1].poison(stores[1].live("other")).list().height == 1
    assert [[each.job for each in store.generations()] for store in stores] == [["one"], ["other"]]
    assert emitted((one, stores[0]), (other, stores[1])) == 0


def test_a_listing_that_fails_is_tried_again(tmp_path):
    class Flaky(Archive):
        failures = 2

        def segments(self, *bounds):
            if self.failures:
                self.failures -= 1
                raise OSError("the disk is gone for a moment")
            return super().segments(*bounds)

    (tmp_path / "beacons.log").write_text("\n".join(LINES))
    store = open_store("memory://")
    archive = Flaky.open(tmp_path / "archive")
    source = Stream.from_beacons(str(tmp_path / "beacons.log"), archive=archive, poll=0.01)
    merged = threading.Event()
    source.aggregate_by_key(beacon_counts).store(store).sink(lambda _done: merged.set())
    source.start()
    assert merged.wait(30)
    source.drain()
    assert counts(store) == {"click": 50, "view": 50}


def test_what_a_failed_receiver_had_is_merged(tmp_path):
    whole = gzip.compress("\n".join(LINES * 1000).encode())
    (tmp_path / "cut.gz").write_bytes(whole[:-9])
    store, archive = open_store("memory://"), Archive.open(tmp_path / "archive")
    source = Stream.from_beacons(
        str(tmp_path / "cut.gz"), archive=archive, max_rows=1000, poll=1000
    )
    node = source.aggregate_by_key(beacon_counts).store(store)
    source.start()
    with pytest.raises(SourceUnreadable):
        source.drain()
    merged = store.segments(node.generation(beacon_counts))
    assert archive.segments()
    assert not merged.missing(ref.id for ref in archive.segments())


def test_a_lost_scheduler_ends_the_stream_and_says_so(tmp_path):
    with local_cluster(workers=1) as client:
        source = Stream.from_beacons(
            "synthetic://?rate=1000", archive=str(tmp_path / "archive"), partition="50ms"
        )
        hop = source.aggregate_by_key(beacon_counts, client=client)
        merged = threading.Event()
        hop.store(f"sqlite:///{tmp_path}/beacons.db").sink(lambda _done: merged.set())
        source.start()
        assert merged.wait(30)
        client.cluster.close()
        with pytest.raises(SchedulerLost):
            source.drain()


@pytest.mark.parametrize(
    ("url", "given", "age"),
    [
        ("synthetic://?count=1", None, "1s"),
        ("http://127.0.0.1:0?name=a", None, "200ms"),
        ("http://127.0.0.1:0?name=a", "5s", "5s"),
    ],
)
def test_a_segment_is_as_wide_as_suits_the_source(tmp_path, url, given, age):
    source = Stream.from_beacons(url, archive=str(tmp_path / "archive"), partition=given)
    assert source._partition == age
