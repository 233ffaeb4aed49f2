"""Beacons to a file, and the URLs of publishers."""

import resource
import signal

import pytest

from beaconfold.pipelines.publishers import FilePublisher, PublishFailed, open_publisher
from beaconfold.pipelines.sources import open_source


@pytest.mark.parametrize("form", ["{}", "file://{}", "file://localhost{}"])
def test_what_was_confirmed_can_be_read(tmp_path, form):
    path = tmp_path / "100% real.log"
    name = str(path) if form == "{}" else str(path).replace("%", "%25").replace(" ", "%20")
    url = form.format(name)
    for first in (0, 3):
        with open_publisher(url) as publisher:
            assert publisher.send([b"n=%d" % n for n in range(first, first + 3)]) == 3
            assert publisher.send([]) == 0
    (partition,) = open_source(str(path)).partitions()
    raw = [beacon for batch in partition.read(None) for beacon in batch.frame["raw"]]
    assert raw == [b"n=%d" % n for n in range(6)]


def test_of_what_a_full_disk_does_not_take_there_is_nothing(tmp_path):
    path = tmp_path / "beacons.log"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with FilePublisher(path) as publisher:
        assert publisher.send([b"a" * 100]) == 1
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        try:
            with pytest.raises(PublishFailed, match=r"beacons\.log: File too large") as failed:
                publisher.send([b"b" * 600, b"c" * 600])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, handler)
        assert failed.value.confirmed == 0
        assert publisher.send([b"d"]) == 1
    assert path.read_bytes() == b"a" * 100 + b"\nd\n"


def test_a_beacon_of_two_lines_is_refused(tmp_path):
    with FilePublisher(tmp_path / "x") as publisher, pytest.raises(ValueError, match="line feed"):
        publisher.send([b"a\nb"])


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "name the file"),
        ("file://logs/x", "three slashes"),
        ("gopher://user:s3cret@host/x", "cannot be sent to gopher://…: use "),
        ("redis-stream://user:s3cret@host/0", "name the stream"),
        ("redis-stream://user:s3cret@host/0?stream=x&batch=one", "no parameter 'batch'"),
    ],
)
def test_errors(url, message):
    with pytest.raises(ValueError, match=message) as caught:
        open_publisher(url)
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)
