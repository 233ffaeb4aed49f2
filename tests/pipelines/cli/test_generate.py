"""Synthetic beacons from the command line: counted, seeded, and stopped cleanly."""

import re
import signal
import time
from pathlib import Path

import pytest

from beaconfold.pipelines.sources import Beacons

from .conftest import assert_narrow, beacons, process


def made(path):
    return Path(path).read_bytes().splitlines()


def untimed(lines):
    """Leave out the times, which are the clock's."""
    return [re.sub(rb"&ts=\d*", b"", line) for line in lines]


def test_as_many_as_asked_for_are_confirmed(folder):
    result = beacons("generate", "--to", "made.log", "--count", "20000", "--rate", "max")
    assert result.exit_code == 0
    assert result.stdout == "confirmed 20,000 beacons\n"
    assert len(made("made.log")) == 20_000


def test_they_depend_on_the_seed(folder):
    for name, seed in (("a.log", 7), ("b.log", 7), ("c.log", 8)):
        beacons("generate", "--to", name, "--count", "100", "--rate", "max", "--seed", seed)
    assert untimed(made("a.log")) == untimed(made("b.log")) != untimed(made("c.log"))
    assert len(set(made("a.log"))) == 100
    assert Beacons(7) != Beacons(8)


def test_a_stream_is_filled(redis_server):
    url = f"redis-stream://127.0.0.1:{redis_server.port}/0?stream=generated"
    result = beacons("generate", "--to", url, "--count", "12345", "--rate", "max")
    assert result.stdout == "confirmed 12,345 beacons\n"
    with redis_server.client() as client:
        assert client.xlen("generated") == 12_345


def test_ctrl_c_ends_it_and_what_it_says_is_there(folder):
    started = process("generate", "--to", "endless.log", "--rate", "5000")
    late = time.monotonic() + 60
    while not (Path("endless.log").exists() and len(made("endless.log")) > 1000):
        assert time.monotonic() < late
        time.sleep(0.02)
    started.send_signal(signal.SIGINT)
    out, err = started.communicate(timeout=60)
    assert started.returncode == 0, err
    assert out == f"confirmed {len(made('endless.log')):,} beacons\n"
    assert_narrow(out + err)
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--to", "gopher://user:s3cret@host"), "beacons cannot be sent to gopher://…"),
        (("--to", "no/such/folder/x.log"), "no such file or directory"),
        (("--to", "x.log", "--rate", "fast"), "--rate fast: use a number"),
        (("--to", "redis-stream://:s3cret@host/0"), "name the stream"),
        ((), "Missing option '--to'"),
    ],
)
def test_errors_are_one_line(folder, args, message):
    result = beacons("generate", *args)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert "s3cret" not in result.stderr
