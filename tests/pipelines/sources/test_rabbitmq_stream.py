"""RabbitMQ streams: the contract of sources, and what is peculiar to streams."""

import asyncio
import gzip
import struct
import uuid
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from rabbitmq_server import PASSWORD
from rstream import schema
from rstream.client import Client

from beaconfold.pipelines.archive import Archive
from beaconfold.pipelines.publishers import open_publisher
from beaconfold.pipelines.receiver import Receiver
from beaconfold.pipelines.sources import SourceUnreadable, open_source
from beaconfold.pipelines.sources.amqp_message import bodies_and_ids, encode
from beaconfold.pipelines.sources.rabbitmq_chunk import messages_of
from beaconfold.pipelines.testing.source_contract import (
    SourceContract,
    close,
    eventually,
    raw,
    read,
    receiving,
    stored,
    take,
)


@pytest.fixture
def stream_url(rabbitmq_server):
    return rabbitmq_server.stream_url(f"beacons {uuid.uuid4().hex[:8]}")


@pytest.fixture
def publisher(stream_url):
    with open_publisher(stream_url) as publisher:
        yield publisher


class TestRabbitStream(SourceContract):
    secret = PASSWORD
    bad_urls = (
        f"rabbitmq-stream://me:{PASSWORD}@host:port/vhost/stream",
        "rabbitmq-stream://host",
        "rabbitmq-stream://host/a/b/c",
        "rabbitmq-stream://host/stream?batch=some",
        "rabbitmq-stream://host/stream?queue=q",
    )

    @pytest.fixture
    def broker(self, rabbitmq_server):
        return rabbitmq_server

    @pytest.fixture
    def source_url(self, stream_url):
        return stream_url

    @pytest.fixture
    def publish(self, publisher):
        return publisher.send

    def test_a_killed_broker_loses_nothing_and_repeats_nothing(
        self, source_url, publish, broker, tmp_path
    ):
        bodies = self.bodies(60_000)
        archive = Archive.open(tmp_path / "archive")
        with receiving(self.partition(source_url), archive) as receiver:
            with ThreadPoolExecutor() as pool:
                confirmed = pool.submit(publish, bodies)
                eventually(lambda: receiver.progress.rows > 5000)
                broker.kill()
                eventually(lambda: receiver.partition.health is not None)
                assert receiver.progress.state == "receiving"
                broker.start()
                assert confirmed.result() == len(bodies)
            eventually(lambda: receiver.progress.rows >= len(bodies))
            assert receiver.partition.health is None
        assert stored(archive) == bodies


def on_broker(server, work):
    """Do something with a client of the stream protocol."""

    async def run():
        client = Client(
            "127.0.0.1",
            server.ports["stream"],
            frame_max=1 << 20,
            heartbeat=60,
            connection_closed_handler=lambda _why: None,
        )
        await client.start()
        await client.authenticate("/", "beacons", PASSWORD)
        try:
            return await work(client)
        finally:
            await client.close()

    return asyncio.run(run())


def known(*partitions):
    return {partition.identity: partition.about() for partition in partitions}


def name_of(partition):
    return partition.stream


class TestIncarnations:
    def test_a_stream_that_is_declared_anew_is_another_partition(
        self, rabbitmq_server, stream_url, publisher
    ):
        publisher.send([b"old"] * 5)
        (old,) = open_source(stream_url).partitions()
        (same,) = open_source(stream_url).partitions(known(old))
        assert same == old
        rabbitmq_server.delete_queue(name_of(old))
        with open_publisher(stream_url) as again:
            again.send([b"new"] * 9)
        (new,) = open_source(stream_url).partitions(known(old))
        assert new.identity != old.identity
        assert raw(read(new, 9)) == [b"new"] * 9
        (still,) = open_source(stream_url).partitions(known(old, new))
        assert still == new

    def test_one_that_is_declared_anew_under_its_reader_is_noticed(
        self, rabbitmq_server, stream_url, publisher
    ):
        publisher.send([b"old"] * 5)
        (old,) = open_source(stream_url).partitions()
        batches = old.read(None)
        take(batches, 5)
        rabbitmq_server.delete_queue(name_of(old))
        with open_publisher(stream_url) as again:
            again.send([b"new"] * 9)
        open_source(stream_url).partitions()
        with pytest.raises(SourceUnreadable, match="declared anew"):
            take(batches, 1)

    def test_an_end_below_the_position_names_both(self, stream_url, publisher):
        publisher.send([b"beacon"] * 5)
        (partition,) = open_source(stream_url).partitions()
        batches = partition.read(1000)
        eventually(lambda: next(batches).frame.is_empty() and partition.health is None)
        for _ in range(5):
            next(batches)
        publisher.send([b"beacon"] * 3)
        with pytest.raises(SourceUnreadable, match=r"goes on at offset \d+, .* up to 1000"):
            take(batches, 1)

    def test_a_broker_that_is_away_is_not_asked(self):
        away = "rabbitmq-stream://127.0.0.1:1/clicks"
        about = {"kind": "rabbitmq-stream", "vhost": "/", "super": None}
        (lone,) = open_source(away).partitions()
        records = {
            name: {**about, "stream": lone.stream, "mark": mark}
            for name, mark in [("later", 9), ("earlier", 3), (lone.identity, 1)]
        }
        (partition,) = open_source(away).partitions(records)
        assert (partition.identity, partition.mark) == ("later", 9)


def test_expired_messages_are_a_gap_that_is_named(rabbitmq_server, stream_url):
    stream = open_source(stream_url).stream
    limits = {"max-length-bytes": 400_000, "stream-max-segment-size-bytes": 100_000}
    on_broker(rabbitmq_server, lambda client: client.create_stream(stream, limits))
    with open_publisher(stream_url) as publisher:
        (partition,) = open_source(stream_url).partitions()
        publisher.send([b"early"] * 10)
        position = read(partition, 10)[-1].position
        for _ in range(40):
            publisher.send([b"x" * 1000] * 50)
        with pytest.raises(SourceUnreadable, match=rf"begins at offset \d+, .* up to {position}"):
            read(partition, 1, position)
        (lenient,) = open_source(stream_url + "?gaps=accept").partitions()
        assert lenient.identity == partition.identity
        batches = lenient.read(position)
        eventually(lambda: not next(batches).frame.is_empty())
        close(batches)


def test_notes_of_other_readers_are_no_gap(rabbitmq_server, stream_url, publisher):
    publisher.send([b"a"] * 3)
    (partition,) = open_source(stream_url).partitions()
    position = read(partition, 3)[-1].position

    async def note(client):
        for offset in range(5):
            await client.store_offset(partition.stream, "another", offset)
            await client.query_offset(partition.stream, "another")

    on_broker(rabbitmq_server, note)
    publisher.send([b"b"] * 3)
    batches = read(partition, 3, position)
    assert raw(batches) == [b"b"] * 3
    assert batches[0].frame["offset"].item(0) > position


def test_a_super_stream_is_a_partition_a_stream(rabbitmq_server):
    name = f"super-{uuid.uuid4().hex[:8]}"

    async def declare(client):
        for number in range(3):
            await client.create_stream(f"{name}-{number}")

    on_broker(rabbitmq_server, declare)
    for number in range(3):
        with open_publisher(rabbitmq_server.stream_url(f"{name}-{number}")) as publisher:
            publisher.send([b"%d" % number] * 4)
    partitions = open_source(rabbitmq_server.stream_url(name)).partitions()
    assert len({partition.identity for partition in partitions}) == 3
    found = [raw(read(partition, 4)) for partition in partitions]
    assert found == [[b"0"] * 4, [b"1"] * 4, [b"2"] * 4]
    away = open_source(f"rabbitmq-stream://127.0.0.1:1/{name}")
    found = away.partitions(known(*partitions))
    assert {each.identity for each in found} == {each.identity for each in partitions}


def test_wrong_credentials_are_waited_out_visibly(rabbitmq_server):
    url = rabbitmq_server.stream_url("any", password="not-this-one")
    (partition,) = open_source(url).partitions()
    batches = partition.read(None)
    eventually(lambda: next(batches).frame.is_empty() and partition.health is not None)
    assert "authentication failure" in partition.health
    assert "not-this-one" not in partition.health
    close(batches)


def test_a_stream_that_comes_later_is_read(rabbitmq_server, stream_url):
    (partition,) = open_source(stream_url).partitions()
    batches = partition.read(None)
    eventually(lambda: next(batches).frame.is_empty() and partition.health is not None)
    assert "stream does not exist" in partition.health
    with open_publisher(stream_url) as publisher:
        publisher.send([b"a", b"b"])
    assert raw(take(batches, 2)) == [b"a", b"b"]
    assert partition.health is None
    close(batches)


class TestChunks:
    def chunk(self, *entries, first=100, records=None):
        data = b"".join(entries)
        count = len(entries) if records is None else records
        crc = zlib.crc32(data)
        return schema.Deliver(
            1, 0x50, 0, len(entries), count, 0, 1, first, crc, len(data), 0, 0, data
        )

    def entry(self, body):
        return struct.pack(">I", len(body)) + body

    def batched(self, bodies, codec=0):
        inner = b"".join(map(self.entry, bodies))
        packed = {
            0: lambda text: text,
            1: gzip.compress,
            3: lambda text: pa.compress(text, "lz4", asbytes=True),
            4: lambda text: pa.compress(text, "zstd", asbytes=True),
        }.get(codec, bytes)(inner)
        head = struct.pack(">BHII", 0x80 | codec << 4, len(bodies), len(inner), len(packed))
        return head + packed

    def test_messages_have_consecutive_offsets(self):
        chunks = [self.chunk(self.entry(b"a"), self.entry(b"")), self.chunk(self.entry(b"c"))]
        chunks[1].chunk_first_offset = 107
        found = messages_of(chunks, 0)
        assert found.bodies.to_list() == [b"a", b"", b"c"]
        assert found.offsets.tolist() == [100, 101, 107]
        assert messages_of(chunks, 101).bodies.to_list() == [b"", b"c"]
        assert messages_of(chunks, 200).bodies.to_list() == []

    @pytest.mark.parametrize("codec", [0, 1, 3, 4])
    def test_an_entry_of_many_messages_is_cut_at_any_offset(self, codec):
        bodies = [b"%d" % number for number in range(50)]
        chunk = self.chunk(
            self.entry(b"first"),
            self.batched(bodies, codec),
            self.entry(b"then"),
            self.batched(bodies, codec),
            records=102,
        )
        every = [b"first", *bodies, b"then", *bodies]
        for at in (0, 100, 101, 125, 151, 180, 201, 202):
            found = messages_of([chunk], at)
            assert found.bodies.to_list() == every[max(at - 100, 0) :]
            assert found.offsets.tolist() == list(range(max(at, 100), 202))

    def test_a_codec_that_is_not_known_is_named(self):
        with pytest.raises(SourceUnreadable, match="codec 2: none, gzip, lz4 and zstd"):
            messages_of([self.chunk(self.batched([b"a"], 2))], 0)


class TestMessages:
    def decode(self, *messages):
        ends = np.cumsum([len(message) for message in messages])
        data = np.frombuffer(b"".join(messages), np.uint8)
        return bodies_and_ids(data, np.concatenate([[0], ends[:-1]]), ends)

    def test_data_of_any_size(self):
        bodies = [b"", b"a", b"b" * 255, b"c" * 256, b"d" * 70_000]
        assert self.decode(*map(encode, bodies))[0].to_list() == bodies

    @pytest.mark.parametrize(
        "message",
        [b"", b"\0", b"\0S", b"\0Su", b"\0Su\xa0\x05ab", b"a=1", b"\0Sux", b"\0Ss\xc0\x09"],
    )
    def test_what_is_no_such_message_is_a_body(self, message):
        bodies, ids = self.decode(message, encode(b"x"))
        assert bodies.to_list() == [message, b"x"]
        assert ids is None

    def test_what_another_library_writes(self):
        from rstream import AMQPMessage, Properties

        messages = [
            bytes(AMQPMessage(body=b"plain")),
            bytes(
                AMQPMessage(
                    body=b"z" * 300,
                    properties=Properties(message_id="id-1", user_id=b"u"),
                    application_properties={"key": "value", "number": 7},
                )
            ),
            bytes(AMQPMessage(body=b"two", properties=Properties(correlation_id=b"c"))),
        ]
        bodies, ids = self.decode(*messages)
        assert bodies.to_list() == [b"plain", b"z" * 300, b"two"]
        assert ids.to_list() == [None, b"id-1", None]


def test_what_a_queue_protocol_published_is_read_with_its_id(
    rabbitmq_server, stream_url, publisher
):
    import pika

    publisher.send([b"first"])
    (partition,) = open_source(stream_url).partitions()
    credentials = pika.PlainCredentials("beacons", PASSWORD)
    where = pika.ConnectionParameters(
        "127.0.0.1", rabbitmq_server.ports["amqp"], credentials=credentials
    )
    with pika.BlockingConnection(where) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        properties = pika.BasicProperties(message_id="id-7", headers={"a": 1})
        channel.basic_publish("", partition.stream, b"second", properties)
    frame = pl.concat(batch.frame for batch in read(partition, 2))
    assert frame["raw"].to_list() == [b"first", b"second"]
    assert frame["message_id"].to_list() == [None, b"id-7"]


def test_what_is_sent_again_after_a_lost_connection_is_stored_once(stream_url, publisher):
    publisher.send([b"1", b"2"])
    publisher._loop.call_soon_threadsafe(publisher._lose)
    assert publisher.send([b"3", b"4"]) == 2
    (partition,) = open_source(stream_url).partitions()
    assert raw(read(partition, 4)) == [b"1", b"2", b"3", b"4"]


def test_a_receiver_stores_offsets_of_the_broker(stream_url, publisher, tmp_path):
    publisher.send([b"a\nb", b"c"])
    (partition,) = open_source(stream_url + "?batch=lines").partitions()
    archive = Archive.open(tmp_path / "archive")
    receiver = Receiver(partition, archive, age="10ms")
    while receiver.progress.rows < 3:
        receiver.step()
    receiver.stop()
    receiver.run()
    (ref, *_) = archive.segments()
    offsets = archive.read(ref)["offset"].to_list()
    assert offsets[0] == offsets[1] == offsets[2] - 1
    assert archive.position(partition.identity) > offsets[2]
