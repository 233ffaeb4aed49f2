"""Redis Streams: the contract on a real server, trimmed and re-made streams, any entries."""

import contextlib
import random
import secrets
import socket
import subprocess
import threading
import time

import pytest
from lossy_proxy import LossyProxy
from redis_servers import RedisServer, free_port, redis_program

from beaconfold.pipelines.archive import Archive
from beaconfold.pipelines.publishers import PublishFailed, open_publisher
from beaconfold.pipelines.receiver import Receiver
from beaconfold.pipelines.sources import SourceUnreadable, open_source
from beaconfold.pipelines.testing import SourceContract

STREAM = "of a test"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Give a server that may be killed, and asks for a password where a user is named."""
    user = ("--user", "me", "on", ">s3cret", "~*", "+@all")
    server = RedisServer(redis_program(), tmp_path_factory.mktemp("redis-stream"), *user)
    yield server
    server.stop()


@pytest.fixture
def client(server):
    with server.client() as client:
        client.delete(STREAM)
        yield client


@pytest.fixture
def url(server, client):
    return f"redis-stream://me:s3cret@127.0.0.1:{server.port}/0?stream=of+a+test"


class TestRedisStream(SourceContract):
    bad_urls = (
        "redis-stream://me:s3cret@host/0",
        "redis-stream://me:s3cret@host/zero?stream=x",
        "redis-stream://me:s3cret@host:port/0?stream=x",
        "redis-stream://me:s3cret@host/0?stream=x&trim=1",
        "redis-stream://me:s3cret@host/0?stream=x&incarnation=0",
        "redis-stream://?stream=x",
    )

    @pytest.fixture
    def source_url(self, url):
        return url

    @pytest.fixture
    def publish(self, url):
        with open_publisher(url) as publisher:
            yield publisher.send

    @pytest.fixture
    def broker(self, server):
        return server


def opened(url):
    (partition,) = open_source(url).partitions()
    return partition


def read(url, count, position=None):
    """Read so many entries; give the beacons and the position behind them."""
    beacons, batches = [], opened(url).read(position)
    while len(beacons) < count:
        batch = next(batches)
        beacons += batch.frame["raw"].to_list()
    return beacons, batch.position


def next_of(url, position):
    return next(opened(url).read(position))


class TestIds:
    def test_an_offset_is_the_entry_s_id(self, url, client):
        names = ["1-1", "1-2", "7-0", "1700000000000-1048575"]
        for name in names:
            client.xadd(STREAM, {"b": name}, id=name)
        batch = next_of(url, None)
        offsets = batch.frame["offset"].to_list()
        assert [f"{offset >> 20}-{offset % 2**20}" for offset in offsets] == names
        assert batch.position == offsets[-1] + 1
        assert read(url, 2, offsets[2])[0] == [b"7-0", b"1700000000000-1048575"]

    @pytest.mark.parametrize("name", ["5-1048576", f"{1 << 43}-0"])
    def test_one_out_of_bounds_is_refused_by_name(self, url, client, name):
        client.xadd(STREAM, {"b": "x"}, id=name)
        with pytest.raises(SourceUnreadable, match=f"the id {name} .* out of bounds"):
            next_of(url, None)

    def test_identity_is_of_the_stream_not_of_the_server(self, url):
        here = opened(url).identity
        assert opened("rediss-stream://elsewhere/0?stream=of+a+test").identity == here
        others = (url.replace("/0?", "/1?"), f"{url}&incarnation=2", f"{url}+2")
        assert len({here, *(opened(other).identity for other in others)}) == 4


class TestEntries:
    def test_of_one_field_of_any_name(self, url, client):
        client.xadd(STREAM, {"body": b"a=1"})
        client.xadd(STREAM, {"raw": b"\xff\x00"})
        assert read(url, 2)[0] == [b"a=1", b"\xff\x00"]

    def test_of_several_fields_are_received_as_a_query_string(self, url, client):
        client.xadd(STREAM, {"publisher": "p 1", "url": "a&b=c"})
        assert read(url, 1)[0] == [b"publisher=p%201&url=a%26b%3Dc"]

    def test_one_field_can_be_chosen(self, url, client):
        client.xadd(STREAM, {"at": "7", "body": "a=1"})
        client.xadd(STREAM, {"body": "a=2"})
        client.xadd(STREAM, {"other": "3"})
        assert read(f"{url}&field=body", 3)[0] == [b"a=1", b"a=2", b"other=3"]

    def test_may_hold_lines_or_arrays(self, url, client):
        for body in ("a=1\na=2", "", '["a=3"]'):
            client.xadd(STREAM, {"raw": body})
        assert read(f"{url}&batch=lines", 3)[0] == [b"a=1", b"a=2", b'["a=3"]']
        assert read(f"{url}&batch=json", 3)[0] == [b"a=1\na=2", b"", b"a=3"]

    def test_large_ones_are_read_few_at_a_time(self, url, client):
        for _ in range(80):
            client.xadd(STREAM, {"raw": b"x" * (1 << 20)})
        sizes = []
        for batch in opened(url).read(None):
            sizes.append(batch.frame.height)
            if sum(sizes) == 80:
                break
        assert len(sizes) >= 1
        assert max(sizes[1:], default=0) <= 16


class TestTrimming:
    """What was trimmed before it was read is an error; what was read may go."""

    @pytest.fixture
    def position(self, url, client):
        for n in range(1, 6):
            client.xadd(STREAM, {"raw": n}, id=f"{n}-0")
        return read(url, 5)[1]

    def test_while_the_last_entry_that_was_read_is_there(self, url, client, position):
        client.xtrim(STREAM, minid="5-0", approximate=False)
        client.xadd(STREAM, {"raw": "6"}, id="6-0")
        assert read(url, 1, position)[0] == [b"6"]

    @pytest.mark.parametrize("length", [0, 1])
    def test_beyond_what_was_read_names_both_ids(self, url, client, position, length):
        client.xadd(STREAM, {"raw": "6"}, id="6-0")
        client.xadd(STREAM, {"raw": "7"}, id="7-0")
        client.xtrim(STREAM, maxlen=length, approximate=False)
        begins = "begins at 7-0" if length else "is empty"
        with pytest.raises(SourceUnreadable, match=f"{begins} and was read up to 5-0.*ation=2"):
            next_of(url, position)
        anew = next_of(f"{url}&incarnation=2", None)
        assert anew.frame["raw"].to_list() == [b"7"][:length]

    def test_of_all_that_was_read_is_known_to_be_no_gap(self, url, client, position):
        client.xtrim(STREAM, maxlen=0, approximate=False)
        assert next_of(url, position).frame.is_empty()

    def test_of_all_that_was_read_is_told_from_a_gap_while_it_runs(self, url, client, position):
        batches = opened(url).read(position)
        assert next(batches).frame.is_empty()
        client.xadd(STREAM, {"raw": "6"}, id="6-0")
        client.xtrim(STREAM, minid="6-0", approximate=False)
        assert next(batches).frame["raw"].to_list() == [b"6"]
        client.xadd(STREAM, {"raw": "7"}, id="7-0")
        client.xadd(STREAM, {"raw": "8"}, id="8-0")
        client.xtrim(STREAM, minid="8-0", approximate=False)
        with pytest.raises(SourceUnreadable, match=r"begins at 8-0 and was read up to 6-0"):
            list(batches)

    def test_before_the_beginning_is_no_gap(self, url, client, position):
        client.xtrim(STREAM, maxlen=2, approximate=False)
        assert read(url, 2)[0] == [b"4", b"5"]


class TestMadeAnew:
    @pytest.fixture
    def position(self, url, client):
        client.xadd(STREAM, {"raw": "5"}, id="5-0")
        return read(url, 1)[1]

    def test_with_lower_ids_names_both(self, url, client, position):
        client.delete(STREAM)
        client.xadd(STREAM, {"raw": "1"}, id="1-0")
        with pytest.raises(SourceUnreadable, match=r"ends at 1-0, but was read up to 5-0"):
            next_of(url, position)

    def test_with_higher_ids_names_both(self, url, client, position):
        client.delete(STREAM)
        client.xadd(STREAM, {"raw": "9"}, id="9-0")
        with pytest.raises(SourceUnreadable, match=r"begins at 9-0 and was read up to 5-0"):
            next_of(url, position)

    def test_is_waited_for_while_it_is_not_there(self, url, client, position):
        client.delete(STREAM)
        partition = opened(url)
        batches = partition.read(position)
        assert next(batches).frame.is_empty()
        assert "there is no such stream, since " in partition.health
        client.xadd(STREAM, {"raw": "4"}, id="4-0")
        with pytest.raises(SourceUnreadable, match=r"ends at 4-0"):
            list(batches)


def test_wrong_credentials_are_seen_and_tried_again(url, server, client):
    client.xadd(STREAM, {"raw": "1"})
    wrong = url.replace("s3cret", f"wr0ng{secrets.token_hex(4)}")
    partition = opened(wrong)
    batches = partition.read(None)
    assert all(next(batches).frame.is_empty() for _ in range(3))
    assert "invalid username-password pair" in partition.health
    assert "wr0ng" not in partition.health
    with open_publisher(wrong) as publisher, pytest.raises(PublishFailed, match="password"):
        publisher.send([b"2"])


def test_a_key_of_another_kind_is_said(url, client):
    client.set(STREAM, "x")
    partition = opened(url)
    next(partition.read(None))
    assert "WRONGTYPE" in partition.health


class Cutter:
    """Passes bytes on, and cuts each connection after so many bytes of replies."""

    def __init__(self, port, limits):
        self.target, self.limits, self.cuts = ("127.0.0.1", port), limits, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        for limit in self.limits:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(self.target)
            for job in ((client, server, None), (server, client, limit)):
                threading.Thread(target=self.carry, args=job, daemon=True).start()

    def carry(self, source, target, left):
        try:
            while data := source.recv(1 << 16):
                target.sendall(data[:left])
                if left is not None and (left := left - len(data)) <= 0:
                    self.cuts += 1
                    break
        except OSError:
            pass
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


def test_connections_cut_in_the_middle_of_replies(url, server, tmp_path):
    draw = random.Random(5)
    limits = [draw.randrange(20_000, 200_000) for _ in range(15)] + [1 << 40]
    proxy, archive = Cutter(server.port, limits), Archive.open(tmp_path / "archive")
    bodies = [b"/b.gif?n=%06d" % n for n in range(40_000)]
    receiver = Receiver(opened(url.replace(str(server.port), str(proxy.port))), archive, age="20ms")
    receiver.start()
    with open_publisher(url) as publisher:
        for n in range(0, len(bodies), 500):
            publisher.send(bodies[n : n + 500])
    late = time.monotonic() + 60
    while sum(archive.header(ref).rows for ref in archive.segments()) < len(bodies):
        assert time.monotonic() < late
        time.sleep(0.01)
    receiver.stop()
    assert receiver.join(30)
    proxy.listener.close()
    assert [raw for ref in archive.segments() for raw in archive.read(ref)["raw"]] == bodies
    assert proxy.cuts > 3


def test_tls_is_spoken_and_certificates_are_checked(tmp_path):
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", key),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    port = free_port()
    options = ["--tls-port", port, "--tls-cert-file", certificate, "--tls-key-file", key]
    options += ["--tls-ca-cert-file", certificate, "--tls-auth-clients", "no"]
    server = RedisServer(redis_program(), tmp_path / "data", *map(str, options))
    try:
        url = f"rediss-stream://127.0.0.1:{port}/0?stream=tls"
        with open_publisher(f"{url}&ca={certificate}") as publisher:
            assert publisher.send([b"1"]) == 1
        assert read(f"{url}&ca={certificate}", 1)[0] == [b"1"]
        distrustful = opened(url)
        next(distrustful.read(None))
        assert "certificate verify failed" in distrustful.health.lower()
    finally:
        server.stop()


class TestPublishing:
    @pytest.mark.parametrize("lost", ["request", "reply"])
    def test_a_transaction_that_was_lost_is_stored_once(self, url, server, client, lost):
        proxy = LossyProxy(server.port)
        with open_publisher(url.replace(str(server.port), str(proxy.port))) as publisher:
            assert publisher.send([b"1", b"2"]) == 2
            proxy.lose = lost
            assert publisher.send([b"3", b"4"]) == 2
            assert proxy.lose is None
        proxy.close()
        assert read(url, 4)[0] == [b"1", b"2", b"3", b"4"]
        assert client.xlen(STREAM) == 4

    def test_a_server_that_stays_away_is_an_error(self, url, server):
        publisher = open_publisher(url)
        publisher.patience = 0.0
        server.kill()
        try:
            with pytest.raises(PublishFailed, match=r"127\.0\.0\.1.*refused") as failed:
                publisher.send([b"1"])
            assert "s3cret" not in str(failed.value)
        finally:
            server.start()
        publisher.patience = 30.0
        assert publisher.send([b"2"]) == 1

    def test_what_it_leaves_behind_expires(self, url, client):
        with open_publisher(url) as publisher:
            publisher.send([b"1"])
        keys = client.keys("{of a test}:publisher:*")
        assert keys
        assert all(0 < client.ttl(key) <= 3600 for key in keys)
