"""The store in a PostgreSQL database: for many machines, and readable with SQL."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import polars as pl
from psycopg.errors import UndefinedTable

from ..backend import Backend, ShardHead, ShardWrite
from ..cells import CELL
from ..errors import GenerationDropped
from ..generation import Generation, State
from ..rows import to_frame
from . import registry
from .address import PostgresAddress
from .errors import LostRace
from .rows import PostgresRows
from .server import PostgresServer


class PostgresBackend(Backend):
    """States in a schema of a PostgreSQL database, version 13 or newer.

    Each generation has a table of its own, ``job#number``: ``shard``, ``window`` (µs), ``key``, a
    column for each state, ``updated_at`` (ms). The tables are made, and brought to a newer layout,
    when the store is opened.

    Parameters
    ----------
    url
        ``postgresql://user:password@host:5432/database?namespace=NAME``, the namespace being the
        schema's name, ``beaconfold`` by default; other parameters are libpq's.
    shards
        Number of shards of a new store.

    Raises
    ------
    ValueError
        If the URL is wrong.
    StoreUnavailable
        If the server cannot be reached, or is not ready.
    StoreLayoutError
        If the schema holds something else, or the number of shards differs.
    StoreError
        If the server refuses: the password, the database, a permission.
    """

    def __init__(self, url: str, shards: int | None = None) -> None:
        self.url = url
        self.server = PostgresServer(PostgresAddress(url), shards)
        self.id, self.shards = self.server.layout.id, self.server.layout.shards

    def check(self) -> None:
        """Find out whether the server can be reached from here, and holds the store meant."""
        with self.server.reading():
            pass

    def register(self, generation: Generation) -> Generation:
        """Add a generation if the store lacks it."""
        with self.server.reading() as connection:
            found = registry.named(connection, generation.id)
        if found is None:
            with self.server.registering() as connection:
                found = registry.named(connection, generation.id)
                if found is None:
                    number = registry.add(connection, generation, self.shards)
                    PostgresRows(generation, number).create(connection)
                    (found,) = registry.generations(connection, generation.id)
        return found

    def generations(self) -> list[Generation]:
        """Return all generations in the order of registration."""
        with self.server.reading() as connection:
            return registry.generations(connection)

    def live(self, job: str) -> Generation | None:
        """Return the generation that readers of a job see."""
        with self.server.reading() as connection:
            return registry.live(connection, job)

    def switch(self, generation: Generation) -> None:
        """Make this the generation that readers of its job see."""
        with self.server.registering() as connection:
            registry.switch(connection, generation)

    def close_generation(self, generation: Generation, state: State) -> None:
        """Retire or drop a generation."""
        with self.server.registering() as connection:
            number = registry.close(connection, generation, state)
        if state == "dropped":  # apart, as it waits for those who read the rows; again if need be
            with self.server.writing() as connection:
                PostgresRows(generation, number).drop(connection)

    def read(
        self, generation: Generation, shards: Sequence[int], keys: pl.DataFrame
    ) -> tuple[dict[int, ShardHead], pl.DataFrame]:
        """Read heads and rows: one snapshot of all shards."""
        with self.server.reading() as connection:
            number, state = registry.state(connection, generation)
            heads = {
                shard: ShardHead(version, state, ledger)
                for shard, version, ledger in connection.execute(
                    "SELECT shard, version, ledger FROM heads "
                    "WHERE generation = $1 AND shard = ANY($2::bigint[])",
                    [number, list(shards)],
                    binary=True,
                )
            }
            if state == "dropped" or not keys.height:
                found = to_frame((), {"shard": pl.Int64(), **CELL, **generation.states})
            else:
                with _dropped_meanwhile(generation):
                    found = PostgresRows(generation, number).find(connection, keys)
        return heads, found

    def commit(self, generation: Generation, writes: Sequence[ShardWrite]) -> list[bool]:
        """Write to the shards that are still at their versions, in one transaction."""
        if not writes:
            return []
        try:
            with self.server.writing() as connection:
                number, _ = registry.state(connection, generation)
                versions = registry.lock_heads(connection, number, [each.shard for each in writes])
                done = [versions[write.shard] == write.version for write in writes]
                landed = [write for write, fits in zip(writes, done, strict=True) if fits]
                if landed:
                    registry.write_heads(connection, number, landed)
                    PostgresRows(generation, number).write(connection, landed)
        except LostRace:
            return [False] * len(writes)
        return done

    def scan(
        self,
        generation: Generation,
        *,
        since: int | None = None,
        until: int | None = None,
        shards: Sequence[int] | None = None,
        key: str | None = None,
    ) -> Iterator[pl.DataFrame]:
        """Yield rows in batches, all from one snapshot."""
        if shards is None and (since, until, key) != (None, None, None):
            shards = range(self.shards)  # the index begins with the shard
        with self.server.reading() as connection, _dropped_meanwhile(generation):
            number, state = registry.state(connection, generation)
            generation.refuse(state, "dropped")
            yield from PostgresRows(generation, number).scan(
                connection,
                since=since,
                until=until,
                shards=shards,
                key=key,
            )

    def put_document(self, generation: Generation, kind: str, name: str, value: bytes) -> None:
        """Keep a document."""
        with self.server.writing() as connection:
            # The lock keeps the generation from being dropped in between.
            number, state = registry.state(connection, generation, "FOR SHARE")
            generation.refuse(state, "dropped")
            connection.execute(
                "INSERT INTO documents VALUES ($1, $2, $3, $4) "
                "ON CONFLICT (generation, kind, name) DO UPDATE SET value = excluded.value",
                [number, kind, name, value],
            )

    def documents(
        self, generation: Generation, kind: str, name: str | None = None
    ) -> Iterator[tuple[str, bytes]]:
        """Yield documents by name."""
        with self.server.reading() as connection:
            number, _ = registry.state(connection, generation)
            with connection.cursor("documents", binary=True) as documents:
                documents.execute(
                    "SELECT name, value FROM documents WHERE generation = $1 AND kind = $2 "
                    "AND ($3::text IS NULL OR name = $3) ORDER BY name",
                    [number, kind, name],
                )
                yield from documents

    def delete_document(self, generation: Generation, kind: str, name: str) -> None:
        """Delete a document, if it is there."""
        with self.server.writing() as connection:
            number, _ = registry.state(connection, generation)
            connection.execute(
                "DELETE FROM documents WHERE generation = $1 AND kind = $2 AND name = $3",
                [number, kind, name],
            )

    def close(self) -> None:
        """Close the connections of this process."""
        self.server.close()


@contextmanager
def _dropped_meanwhile(generation: Generation) -> Iterator[None]:
    """Rows that were there when the transaction began are gone only if they were dropped."""
    try:
        yield
    except UndefinedTable:
        raise GenerationDropped(f"{generation} was dropped") from None
