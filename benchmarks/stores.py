"""Time the merge of publisher-traffic's cells into each store, beside the naive way, in one run.

60,000 cells (1,000 publishers, 60 minutes; five numbers and a sketch each) are merged into an empty
store, and then 60,000 more into the same cells: by Beaconfold exactly once, with its ledger, and
naively, each cell by the server's own commands, which a crash or a repetition makes wrong.
"""

import argparse
import sqlite3
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import polars as pl
import psycopg
import redis
from generate import CLICK, MINUTE, draw, publisher_names, user_names

from beaconfold import open_store
from beaconfold.pipelines.jobs import publisher_traffic
from beaconfold.stores import SegmentId

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from postgres_server import PostgresServer, programs
from redis_servers import RedisServer, redis_program, valkey_program

BEACONS = 2_500_000
"""Enough for every publisher to have some in every minute."""


@dataclass(frozen=True)
class Cells:
    """What is merged: the job's partials, and the same as numbers and users for the naive way."""

    partials: pl.DataFrame
    naive: pl.DataFrame


@dataclass
class Figures:
    """Seconds of each run, for the empty store and for the one that has the cells."""

    fresh: list[float] = field(default_factory=list)
    existing: list[float] = field(default_factory=list)


def cells(beacons: int) -> tuple[Cells, Cells]:
    """Fold two times that many beacons."""
    traffic = draw(2 * beacons)
    frame = pl.DataFrame(
        {
            "publisher": publisher_names().gather(traffic.publisher),
            "beaconType": pl.Series(traffic.kind == CLICK).replace_strict(
                {True: "click", False: "view"}, return_dtype=pl.String
            ),
            "user": user_names().gather(traffic.user),
            "ts": pl.Series(traffic.time).cast(pl.Datetime("ms", "UTC")),
            "price": (pl.Series(traffic.price) / 10_000).cast(pl.Decimal(18, 6)),
        }
    ).sample(fraction=1, shuffle=True, seed=1)
    return _cells(frame[:beacons]), _cells(frame[beacons:])


def _cells(frame: pl.DataFrame) -> Cells:
    minute = (pl.col("ts").dt.epoch("ms") // MINUTE).alias("minute")
    naive = frame.group_by("publisher", minute).agg(
        beacons=pl.len(),
        clicks=(pl.col("beaconType") == "click").sum(),
        revenue=(pl.col("price") * 1_000_000).cast(pl.Int64).sum(),
        first=pl.col("ts").min().dt.epoch("ms"),
        last=pl.col("ts").max().dt.epoch("ms"),
        users=pl.col("user").unique(),
    )
    return Cells(publisher_traffic.fold(frame), naive)


NUMBERS = ["beacons", "clicks", "revenue", "first", "last"]
TABLE = """cells (publisher TEXT, minute BIGINT, beacons BIGINT, clicks BIGINT, revenue BIGINT,
first BIGINT, last BIGINT, PRIMARY KEY (publisher, minute))"""
UPSERT = """
INSERT INTO cells VALUES ({}) ON CONFLICT (publisher, minute) DO UPDATE SET
beacons = cells.beacons + excluded.beacons, clicks = cells.clicks + excluded.clicks,
revenue = cells.revenue + excluded.revenue, first = {}(cells.first, excluded.first),
last = {}(cells.last, excluded.last)
"""

Merge = Callable[[Cells], object]
"""Merges cells once; what it needs of them in Python is made before, and not timed."""

Contender = Callable[[Cells], Merge]


@contextmanager
def beaconfold(url: str) -> Iterator[Contender]:
    """Merge as a run does, into an empty store."""
    store = open_store(url)
    generation = store.register(publisher_traffic.declaration)
    count = iter(range(1000))

    def prepare(_cells: Cells) -> Merge:
        segment = SegmentId("bench", "web", 1, next(count))
        return lambda some: store.apply(generation, [segment], some.partials)

    yield prepare
    store.close()


@contextmanager
def naive_sqlite(url: str) -> Iterator[Contender]:
    """Upsert rows, all in one transaction; no sketch."""
    connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"CREATE TABLE {TABLE}")
    upsert = UPSERT.format(", ".join("?" * 7), "min", "max")

    def prepare(some: Cells) -> Merge:
        rows = some.naive.select("publisher", "minute", *NUMBERS).rows()

        def merge(_some: Cells) -> None:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(upsert, rows)
            connection.execute("COMMIT")

        return merge

    yield prepare
    connection.close()


@contextmanager
def naive_postgres(url: str) -> Iterator[Contender]:
    """Upsert rows by pipelined statements, all in one transaction; no sketch."""
    schema = f"naive_{uuid.uuid4().hex}"
    upsert = UPSERT.format(", ".join(["%s"] * 7), "least", "greatest")
    with psycopg.connect(url.partition("?")[0]) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
        connection.execute(f"SET search_path TO {schema}")
        connection.execute(f"CREATE TABLE {TABLE}")
        connection.commit()

        def prepare(some: Cells) -> Merge:
            rows = some.naive.select("publisher", "minute", *NUMBERS).rows()

            def merge(_some: Cells) -> None:
                with connection.cursor() as cursor:
                    cursor.executemany(upsert, rows)
                connection.commit()

            return merge

        yield prepare


@contextmanager
def naive_redis(url: str) -> Iterator[Contender]:
    """Pipeline HINCRBY for three sums and PFADD for the users; no first and last."""
    client = redis.Redis.from_url(url.partition("?")[0])
    prefix = uuid.uuid4().hex

    def prepare(some: Cells) -> Merge:
        rows = some.naive.select("publisher", "minute", *NUMBERS[:3], "users").rows()

        def merge(_some: Cells) -> None:
            for start in range(0, len(rows), 1000):
                pipeline = client.pipeline(transaction=False)
                for publisher, minute, beacons, clicks, revenue, users in rows[start:][:1000]:
                    name = f"{prefix}:{minute}:{publisher}"
                    pipeline.hincrby(name, "beacons", beacons)
                    pipeline.hincrby(name, "clicks", clicks)
                    pipeline.hincrby(name, "revenue", revenue)
                    pipeline.pfadd(f"{name}:users", *users)
                pipeline.execute()

        return merge

    yield prepare
    client.close()


def measure(contender: Contender, first: Cells, second: Cells, figures: Figures) -> None:
    """Merge into the empty store, then into the cells that it has."""
    for some, taken in ((first, figures.fresh), (second, figures.existing)):
        merge = contender(some)
        began = time.perf_counter()
        merge(some)
        taken.append(time.perf_counter() - began)


@dataclass(frozen=True)
class Place:
    """A kind of store: its new address for each run, and the naive way there."""

    name: str
    address: Callable[[], str]
    naive: Callable[[str], AbstractContextManager[Contender]] | None
    worst_block: Callable[[], float] = lambda: 0.0
    """Milliseconds for which the server did nothing else, at worst, since it was last asked."""


@contextmanager
def places(wanted: Sequence[str]) -> Iterator[list[Place]]:
    """Start the servers that are wanted, on private ports."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        files = (f"sqlite:///{folder}/{number}.db" for number in range(1000))
        found = [
            Place("memory", lambda: "memory://", None),
            Place("sqlite", lambda: next(files), naive_sqlite),
        ]
        for name, program in (("redis", redis_program), ("valkey", valkey_program)):
            if name in wanted:
                server = RedisServer(program(), Path(folder, name))
                stack.callback(server.stop)
                found.append(redis_place(name, server))
        if "postgresql" in wanted:
            postgres = PostgresServer(programs(), settings="fsync = on")
            stack.callback(postgres.remove)
            postgres.start()
            found.append(Place("postgresql", postgres.namespace, naive_postgres))
        yield [place for place in found if place.name in wanted]


def redis_place(name: str, server: RedisServer) -> Place:
    """Empty the server before each run, and let it watch for its own slow moments."""
    client = server.client()
    client.config_set("latency-monitor-threshold", 1)

    def address() -> str:
        client.flushall()
        client.latency_reset()
        return f"{server.url}?namespace=bench"

    def worst_block() -> float:
        return max((float(event[3]) for event in client.latency_latest()), default=0.0)

    return Place(name, address, naive_redis, worst_block)


def table(count: int, figures: dict[str, Figures], blocks: dict[str, float]) -> str:
    """Render the medians: thousands of keys a second, and how they compare."""
    head = f"{'':24}{'empty store':>16}{'existing cells':>18}{'worst block':>14}"
    lines = [head]
    for name, found in figures.items():
        fresh, existing = (count / median(each) / 1e3 for each in (found.fresh, found.existing))
        block = f"{blocks[name]:.0f} ms" if blocks[name] else ""
        lines.append(f"{name:24}{fresh:>9.0f} k/s   {existing:>11.0f} k/s   {block:>14}")
    return "\n".join(lines)


def main() -> None:
    """Measure every place in turn, several times, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = ["memory", "sqlite", "redis", "valkey", "postgresql"]
    parser.add_argument("stores", nargs="*", default=names, help=f"of: {', '.join(names)}")
    parser.add_argument("--runs", type=int, default=5, help="runs of each")
    given = parser.parse_args()
    first, second = cells(BEACONS)
    figures: dict[str, Figures] = {}
    blocks: dict[str, float] = {}
    with places(given.stores) as kinds:
        for run in range(1, given.runs + 1):
            for place in kinds:
                for name, way in ((place.name, beaconfold), (f"{place.name}, naive", place.naive)):
                    if way is None:
                        continue
                    with way(place.address()) as contender:
                        measure(contender, first, second, figures.setdefault(name, Figures()))
                    blocks[name] = max(blocks.get(name, 0.0), place.worst_block())
                print(f"Run {run} of {given.runs}: {place.name}", file=sys.stderr)
    count = first.partials.height
    print(f"{count:,} cells, sketches of {_sketches(first)} bytes on average; {given.runs} runs")
    print(table(count, figures, blocks))


def _sketches(some: Cells) -> int:
    return int(some.partials["users"].bin.size().sum()) // some.partials.height


if __name__ == "__main__":
    main()
