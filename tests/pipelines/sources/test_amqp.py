"""AMQP queues: the contract of sources, and what is peculiar to queues."""

import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pika
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rabbitmq_server import PASSWORD

from beaconfold.pipelines.archive import Archive
from beaconfold.pipelines.publishers import open_publisher
from beaconfold.pipelines.receiver import Receiver
from beaconfold.pipelines.sources import open_source
from beaconfold.pipelines.sources.seen import Seen
from beaconfold.pipelines.testing.source_contract import (
    SourceContract,
    close,
    eventually,
    raw,
    receiving,
    stored,
    take,
)


def queue_url(server, kind):
    name = f"beacons {uuid.uuid4().hex[:8]}"
    server.declare_queue(name, kind)
    return server.amqp_url(name)


@pytest.fixture
def quorum_url(rabbitmq_server):
    return queue_url(rabbitmq_server, "quorum")


@pytest.fixture
def classic_url(rabbitmq_server):
    return queue_url(rabbitmq_server, "classic")


class TestQuorumQueue(SourceContract):
    resumes = False
    secret = PASSWORD
    bad_urls = (
        f"amqp://me:{PASSWORD}@host:port/vhost?queue=q",
        f"amqp://me:{PASSWORD}@host/vhost",
        "amqp://host/a/b?queue=q",
        "amqp://host?queue=q,q",
        "amqp://host?queue=q&prefetch=0",
        "amqp://host?queue=q&dedupe=soon",
        "amqp://host?queue=q&stream=s",
    )

    @pytest.fixture
    def source_url(self, quorum_url):
        return quorum_url

    @pytest.fixture
    def publish(self, source_url):
        with open_publisher(source_url) as publisher:
            yield publisher.send

    def test_a_killed_broker_loses_nothing_and_repeats_nothing(
        self, source_url, publish, rabbitmq_server, tmp_path
    ):
        bodies = self.bodies(60_000)
        archive = Archive.open(tmp_path / "archive")
        partition = self.partition(source_url)
        rabbitmq_server.wait_for_record(partition.queue)
        with receiving(partition, archive) as receiver:
            with ThreadPoolExecutor() as pool:
                confirmed = pool.submit(publish, bodies)
                eventually(lambda: receiver.progress.rows > 5000)
                rabbitmq_server.kill()
                eventually(lambda: receiver.partition.health is not None)
                assert PASSWORD not in receiver.partition.health
                assert receiver.progress.state == "receiving"
                rabbitmq_server.start()
                assert confirmed.result() == len(bodies)
            eventually(lambda: receiver.progress.rows >= len(bodies))
        counts = Counter(stored(archive))
        assert set(counts) == set(bodies)
        assert max(counts.values()) == 1


class TestClassicQueue(SourceContract):
    resumes = False
    secret = PASSWORD

    @pytest.fixture
    def source_url(self, classic_url):
        return classic_url

    @pytest.fixture
    def publish(self, source_url):
        with open_publisher(source_url) as publisher:
            yield publisher.send


def waiting(server, url):
    """Count the messages that a queue holds, acknowledged ones not."""
    credentials = pika.PlainCredentials("beacons", PASSWORD)
    where = pika.ConnectionParameters("127.0.0.1", server.ports["amqp"], credentials=credentials)
    (partition,) = open_source(url).partitions()
    with pika.BlockingConnection(where) as connection:
        declared = connection.channel().queue_declare(partition.queue, passive=True)
        return declared.method.message_count


def test_what_is_not_durable_is_not_acknowledged(rabbitmq_server, classic_url):
    with open_publisher(classic_url) as publisher:
        publisher.send([b"%d" % number for number in range(100)])
    (partition,) = open_source(classic_url).partitions()
    batches = partition.read(None)
    assert len(raw(take(batches, 100))) == 100
    close(batches)
    batches = partition.read(None)
    positions = [batch.position for batch in take(batches, 100)]
    partition.acknowledge(positions[-1])
    close(batches)
    eventually(lambda: waiting(rabbitmq_server, classic_url) == 0)


def test_a_prefetch_bounds_what_is_not_acknowledged(rabbitmq_server, classic_url):
    with open_publisher(classic_url) as publisher:
        publisher.send([b"%d" % number for number in range(100)])
    (partition,) = open_source(classic_url + "&prefetch=10").partitions()
    batches = partition.read(None)
    first = take(batches, 10)
    assert all(next(batches).frame.is_empty() for _ in range(3))
    partition.acknowledge(first[-1].position)
    assert raw(take(batches, 10)) == [b"%d" % number for number in range(10, 20)]
    close(batches)


def test_a_successor_drops_what_the_archive_has(rabbitmq_server, classic_url, tmp_path):
    bodies = [b"%d" % number for number in range(500)]
    with open_publisher(classic_url) as publisher:
        publisher.send(bodies)
    archive = Archive.open(tmp_path / "archive")
    (partition,) = open_source(classic_url).partitions()
    # A receiver that publishes and dies before it acknowledges: nothing tells the broker.
    partition.acknowledge = lambda _position: None
    receiver = Receiver(partition, archive, max_rows=500)
    while receiver.progress.rows < len(bodies):
        receiver.step()
    receiver._life.close()
    (partition,) = open_source(classic_url).partitions()
    heir = Receiver(partition, archive, age="50ms")
    heir.start()
    eventually(lambda: waiting(rabbitmq_server, classic_url) == 0)
    heir.stop()
    assert heir.join(30)
    assert heir.progress.rows == 0
    assert sorted(stored(archive)) == sorted(bodies)


def test_what_is_sent_twice_is_received_once(rabbitmq_server, classic_url):
    with open_publisher(classic_url) as publisher:
        publisher.send([b"a", b"b"])
        publisher._sent = 0
        publisher.send([b"a", b"b", b"c"])
    (partition,) = open_source(classic_url).partitions()
    batches = partition.read(None)
    assert raw(take(batches, 3)) == [b"a", b"b", b"c"]
    close(batches)
    (partition,) = open_source(classic_url + "&dedupe=0").partitions()
    batches = partition.read(None)
    assert len(raw(take(batches, 5))) == 5
    close(batches)


def test_what_is_sent_again_after_a_lost_connection_is_received_once(classic_url):
    with open_publisher(classic_url) as publisher:
        publisher.send([b"1"])
        publisher._link.do(lambda: publisher._link.lose("cut"))
        assert publisher.send([b"2", b"3"]) == 2
    (partition,) = open_source(classic_url).partitions()
    batches = partition.read(None)
    assert raw(take(batches, 3)) == [b"1", b"2", b"3"]
    close(batches)


def test_a_queue_that_comes_later_is_read(rabbitmq_server):
    url = rabbitmq_server.amqp_url(f"later-{uuid.uuid4().hex[:8]}")
    (partition,) = open_source(url).partitions()
    batches = partition.read(None)
    eventually(lambda: next(batches).frame.is_empty() and partition.health is not None)
    assert "NOT_FOUND" in partition.health
    with open_publisher(url + "&type=classic") as publisher:
        publisher.send([b"a"])
    assert raw(take(batches, 1)) == [b"a"]
    assert partition.health is None
    close(batches)


def test_wrong_credentials_are_waited_out_visibly(rabbitmq_server):
    url = rabbitmq_server.amqp_url("any", password="not-this-one")
    (partition,) = open_source(url).partitions()
    batches = partition.read(None)
    eventually(lambda: next(batches).frame.is_empty() and partition.health is not None)
    assert "ACCESS_REFUSED" in partition.health
    assert "not-this-one" not in partition.health
    close(batches)


def test_queues_are_partitions(rabbitmq_server):
    source = open_source("amqp://host/v?queue=a,b&batch=json&dedupe=1h&prefetch=7")
    assert [partition.queue for partition in source.partitions()] == ["a", "b"]
    assert (source.batch, source.dedupe, source.prefetch) == ("json", 3600, 7)
    assert len({partition.identity for partition in source.partitions()}) == 2


@given(
    st.lists(
        st.tuples(st.lists(st.none() | st.integers(0, 40), max_size=9), st.integers(0, 3)),
        max_size=30,
    )
)
def test_seen_is_a_set_with_an_end(batches):
    seen, known, now = Seen(seconds=1e9), set(), 0
    for numbers, passed in batches:
        now += passed
        ids = [None if number is None else b"%d" % number for number in numbers]
        expected = []
        for each in ids:
            expected.append(each is None or each not in known)
            known |= {each} - {None}
        assert seen.fresh(pl.Series(ids, dtype=pl.Binary), now).to_list() == expected
    assert len(seen) == len(known)


def test_seen_forgets_the_oldest_first():
    seen = Seen(seconds=1e9, most=1000)
    for number in range(300):
        seen.fresh(pl.Series([b"%d-%d" % (number, each) for each in range(10)]), number)
    assert len(seen) < 1200
    assert not seen.fresh(pl.Series([b"299-0", b"280-5"]), 300).any()
    assert seen.fresh(pl.Series([b"0-0", b"1-5"]), 300).all()
