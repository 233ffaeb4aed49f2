"""Publishing by HTTP: what a collector confirmed is counted, and nothing else."""

import socket

import pytest

from beaconfold.pipelines.archive import Archive
from beaconfold.pipelines.publishers import open_publisher
from beaconfold.pipelines.publishers.http import HttpPublisher
from beaconfold.pipelines.publishers.publisher import PublishFailed
from beaconfold.pipelines.sources.http import HttpSource
from beaconfold.pipelines.testing.source_contract import eventually, receiving, stored
from beaconfold.stores.clock import ManualClock

ODD = [
    b'{"n": 1}',
    b'["one", "beacon"]',
    b"not text \xff\xfe",
    b"two\nlines",
    b"ends with\r",
    b"/b.gif?raw=\xc3\xa9",
    b"/b.gif?" + b"long" * 5000,
    "/ä".encode(),
]


@pytest.fixture(scope="module")
def collector(tmp_path_factory):
    archive = Archive.open(tmp_path_factory.mktemp("published") / "archive")
    source = HttpSource.of("127.0.0.1:0", "")
    with receiving(source, archive):
        eventually(lambda: source.address is not None)
        yield f"http://127.0.0.1:{source.address[1]}", archive


@pytest.mark.parametrize("query", ["", "?method=get", "?connections=3"])
def test_all_beacons_arrive_as_they_are(collector, query):
    url, archive = collector
    bodies = [b"/b.gif?%s=%d" % (query.encode()[1:4], n) for n in range(300)]
    bodies += [*ODD, *(b"line %d" % n for n in range(7000))]
    before = len(stored(archive))
    with open_publisher(f"{url}/b.gif{query}") as publisher:
        assert publisher.send(bodies) == len(bodies)
        assert publisher.send([]) == 0
    arrived = stored(archive)[before:]
    assert sorted(arrived) == sorted(bodies)
    if not query:
        assert arrived == bodies


def test_what_is_refused_is_not_counted(collector, caplog):
    url, archive = collector
    before = len(stored(archive))
    with HttpPublisher(f"{url}/nowhere") as publisher:
        assert publisher.send([b"n=1", b"n=2"]) == 0
    assert "answered 404: beacons are taken at paths" in caplog.text
    assert len(stored(archive)) == before


@pytest.mark.parametrize("body", [b"", b"\xff\n"])
def test_what_cannot_be_sent_is_said(collector, body):
    with (
        HttpPublisher(collector[0]) as publisher,
        pytest.raises(ValueError, match="cannot be sent"),
    ):
        publisher.send([body])


def test_a_collector_that_is_not_there_is_waited_for_and_given_up():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    clock = ManualClock()
    with HttpPublisher(f"http://127.0.0.1:{port}", patience=30.0, clock=clock) as publisher:
        with pytest.raises(PublishFailed, match="cannot be reached") as failed:
            publisher.send([b"n=1"])
        assert failed.value.confirmed == 0
    assert 30 <= clock.monotonic() < 35


@pytest.mark.parametrize(
    "url", ["http://", "http://me:s3cret@host/", "http://host?speed=1", "http://host?method=put"]
)
def test_a_url_that_cannot_be_read(url):
    with pytest.raises(ValueError, match=r".") as refused:
        open_publisher(url)
    assert "s3cret" not in str(refused.value)
