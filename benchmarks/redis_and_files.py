"""Time receivers of a Redis Stream and of a file, to durable segments, beside bare readers.

Bare: redis-py's own XREAD, 10,000 entries at a time, and Python's own loop over the lines of a
file; both keep nothing. A receiver's beacons are counted in its archive in the end.
"""

import argparse
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import redis

from beaconfold.pipelines.archive import Archive
from beaconfold.pipelines.publishers import FilePublisher, open_publisher
from beaconfold.pipelines.receiver import Receiver
from beaconfold.pipelines.sources import Beacons, open_source
from beaconfold.pipelines.sources.beacons import CHUNK

STREAM = "beacons"
PATIENCE = 10.0


def start(folder: str) -> tuple[subprocess.Popen[bytes], int]:
    """Start a Redis server with an append-only file; return once it answers."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = int(found.getsockname()[1])
    program = shutil.which("redis-server", path="/usr/bin:/usr/local/bin") or "redis-server"
    options = ["--bind", "127.0.0.1", "--port", str(port), "--dir", folder, "--save", ""]
    options += ["--appendonly", "yes", "--appendfsync", "everysec"]
    server = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
    late = time.monotonic() + PATIENCE
    while True:
        try:
            redis.Redis(port=port).ping()
        except redis.RedisError:
            if server.poll() is not None or time.monotonic() > late:
                raise
            time.sleep(0.05)
        else:
            return server, port


def read_stream(port: int, count: int) -> None:
    """Read a stream as a user of redis-py does."""
    client, seen = redis.Redis(port=port, protocol=2), 0
    last: Any = b"0-0"
    while seen < count:
        reply: Any = client.xread({STREAM: last}, count=10_000)
        ((_, entries),) = reply
        seen += len(entries)
        last = entries[-1][0]


def read_lines(path: Path, count: int) -> None:
    """Read a file as a user of Python does."""
    with path.open("rb") as file:
        assert sum(1 for line in file if line.rstrip(b"\n")) == count


def receive(url: str, count: int) -> None:
    """Receive to durable segments, of a second each."""
    (partition,) = open_source(url).partitions()
    with tempfile.TemporaryDirectory() as folder:
        archive = Archive.open(folder)
        receiver = Receiver(partition, archive)
        while receiver.progress.rows + receiver.progress.pending < count:
            receiver.step()
        receiver.stop()
        assert receiver.run().rows == count
        assert sum(archive.header(ref).rows for ref in archive.segments()) == count


def rate(count: int, work: Callable[[], None]) -> float:
    """Tell how many a second."""
    began = time.perf_counter()
    work()
    return count / (time.perf_counter() - began)


def main() -> None:
    """Measure each in turn, several times, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=50, help=f"of {CHUNK} beacons")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    count = CHUNK * options.chunks
    beacons, times = Beacons(malformed=0), np.zeros(CHUNK, np.int64)
    bodies = [
        body for n in range(options.chunks) for body in beacons.rows(n * CHUNK, times).to_list()
    ]
    with tempfile.TemporaryDirectory() as folder:
        server, port = start(folder)
        try:
            url = f"redis-stream://127.0.0.1:{port}/0?stream={STREAM}"
            with open_publisher(url) as publisher:
                publisher.send(bodies)
            path = Path(folder, "beacons.log")
            with FilePublisher(path) as file:
                file.send(bodies)
            works: dict[str, Callable[[], None]] = {
                "redis stream, bare XREAD": lambda: read_stream(port, count),
                "redis stream, received": lambda: receive(url, count),
                "file, bare lines": lambda: read_lines(path, count),
                "file, received": lambda: receive(str(path), count),
                "file, followed": lambda: receive(f"{path}?follow=true", count),
            }
            rates: dict[str, list[float]] = {name: [] for name in works}
            for _ in range(options.rounds):
                for name, work in works.items():
                    rates[name].append(rate(count, work))
        finally:
            server.terminate()
            server.wait()
    for name, found in rates.items():
        print(f"{name:26} {median(found):12,.0f} beacons/s")


if __name__ == "__main__":
    main()
