"""Time the collector's durable GETs beside its bare server, in turn, each on one core.

The server runs in a process of its own, bound to one core with its receiver; the load, keep-alive
connections that each send a beacon once the last one is answered, comes from another process on
another core. Bare: the same server and the same pixel, answered at once, and nothing is kept. The
collector's every answer is counted, and compared with what its archive holds in the end.
"""

import argparse
import itertools
import os
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

from beaconfold.pipelines.archive import Archive
from beaconfold.pipelines.collector import Server
from beaconfold.pipelines.collector.application import GIF
from beaconfold.pipelines.receiver import Receiver
from beaconfold.pipelines.sources.http import PARTITION, HttpSource

HOST = "127.0.0.1"
TARGET = (
    b"/b.gif?beaconType=impression&publisher=p%d&user=0a1b2c3d&ts=17000%08d&price=0.0123"
    b"&url=https%%3A%%2F%%2Fexample7.com%%2Fsection%%2F12345%%3Fref%%3Dhome"
)
REQUEST = (
    b"GET %s HTTP/1.1\r\nHost: beacons.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n"
    b"Accept: image/avif,image/webp,*/*\r\nReferer: https://example7.com/section/12345\r\n\r\n"
)
HEADERS = [("cache-control", "no-store"), ("content-type", "image/gif")]


class Bare:
    """Answers the pixel, and forgets."""

    async def __rsgi__(self, _scope: Any, exchange: Any) -> None:
        """Answer at once."""
        exchange.response_bytes(200, HEADERS, GIF)


@dataclass(frozen=True)
class Took:
    """Answers and seconds of a run, the server's processor time, and latencies in ms."""

    answers: int
    seconds: float
    cpu: float
    p50: float
    p99: float


def serve(kind: str, folder: str) -> None:
    """Serve until standard input ends; print the port first, and figures at each line of it."""
    os.sched_setaffinity(0, {0})
    receiver = None
    if kind == "bare":
        port = Server(Bare(), HOST, 0).address[1]
    else:
        source = HttpSource.of(f"{HOST}:0", "")
        receiver = Receiver(source, Archive.open(folder), age=PARTITION)
        receiver.start()
        while source.address is None:
            time.sleep(0.01)
        port = source.address[1]
    print(port, flush=True)
    for _ in sys.stdin:
        print(time.process_time(), flush=True)
    if receiver is not None:
        receiver.stop()
        receiver.join()


def load(port: int, connections: int, seconds: float) -> tuple[int, float, list[float]]:
    """Send beacons for some seconds; return the answers, the seconds, and all latencies."""
    numbers = itertools.count()
    clients = {}
    poll = select.epoll()
    for _ in range(connections):
        client = socket.create_connection((HOST, port))
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        clients[client.fileno()] = client
        poll.register(client.fileno(), select.EPOLLIN)
    sent = {}
    latencies = []
    began = time.perf_counter()
    for descriptor, client in clients.items():
        sent[descriptor] = send(client, numbers)
    waiting = len(clients)
    while waiting:
        for descriptor, _ in poll.poll(10):
            answer = clients[descriptor].recv(65536)
            now = time.perf_counter()
            if not answer.startswith(b"HTTP/1.1 200 "):
                raise RuntimeError(f"not answered: {answer[:200]!r}")
            latencies.append(now - sent[descriptor])
            if now - began < seconds:
                sent[descriptor] = send(clients[descriptor], numbers)
            else:
                waiting -= 1
    took = time.perf_counter() - began
    for client in clients.values():
        client.close()
    return len(latencies), took, sorted(latencies)


def send(client: socket.socket, numbers: Iterator[int]) -> float:
    number = next(numbers)
    client.sendall(REQUEST % (TARGET % (number % 100, number)))
    return time.perf_counter()


def measure(kind: str, connections: int, seconds: float) -> Took:
    """Run a server of its own, and load it."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--serve", kind, "--folder", folder]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as server:
            assert server.stdin is not None
            assert server.stdout is not None

            def used() -> float:
                print(file=server.stdin, flush=True)
                return float(server.stdout.readline())  # type: ignore[union-attr]

            port = int(server.stdout.readline())
            warm, _, _ = load(port, connections, 0.5)
            before = used()
            answers, took, latencies = load(port, connections, seconds)
            cpu = used() - before
            server.stdin.close()
        if kind == "durable":
            archive = Archive.open(folder)
            held = sum(archive.header(ref).rows for ref in archive.segments())
            assert held == warm + answers, f"{held} beacons for {warm + answers} answers"
    p50, p99 = (1000 * latencies[len(latencies) * share // 100] for share in (50, 99))
    return Took(answers, took, cpu, p50, p99)


def main() -> None:
    """Measure both in turn, several times, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", choices=["bare", "durable"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--runs", type=int, default=3, help="runs of each")
    parser.add_argument("--seconds", type=float, default=5, help="of each run")
    parser.add_argument("--connections", type=int, default=8000, help="that wait at once")
    given = parser.parse_args()
    if given.serve:
        serve(given.serve, given.folder)
        return
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    # Few connections keep the bare server busy; a beacon that waits for its segment needs many.
    kinds = {"bare": 64, "durable": given.connections}
    figures: dict[str, list[Took]] = {kind: [] for kind in kinds}
    for _ in range(given.runs):
        for kind, connections in kinds.items():
            figures[kind].append(measure(kind, connections, given.seconds))
    print(f"{'':12}{'connections':>12}{'GET/s':>10}{'µs CPU':>8}{'p50 ms':>8}{'p99 ms':>8}")
    for kind, runs in figures.items():
        rate = median(run.answers / run.seconds for run in runs)
        cpu = median(1e6 * run.cpu / run.answers for run in runs)
        p50, p99 = median(run.p50 for run in runs), median(run.p99 for run in runs)
        print(f"{kind:12}{kinds[kind]:>12,}{rate:>10,.0f}{cpu:>8.1f}{p50:>8.0f}{p99:>8.0f}")


if __name__ == "__main__":
    main()
