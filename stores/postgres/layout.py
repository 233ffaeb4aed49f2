"""The tables of a store in a schema of a PostgreSQL database: made, migrated, and recognised."""

import uuid
from typing import Any

from psycopg import Connection

from ..backend import SHARDS
from ..errors import StoreError, StoreLayoutError
from ..quoting import quoted
from .address import PostgresAddress

MIGRATIONS = (
    """
    CREATE TABLE beaconfold (name text PRIMARY KEY, value text NOT NULL);
    CREATE TABLE generations (
        number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id text NOT NULL UNIQUE,
        job text NOT NULL, fingerprint text NOT NULL, revision bigint NOT NULL,
        state text NOT NULL, declaration text NOT NULL
    );
    CREATE TABLE live (
        job text PRIMARY KEY, generation bigint NOT NULL REFERENCES generations
    );
    CREATE TABLE heads (
        generation bigint REFERENCES generations, shard bigint, version bigint NOT NULL,
        ledger bytea NOT NULL, PRIMARY KEY (generation, shard)
    ) WITH (fillfactor = 50);
    CREATE TABLE documents (
        generation bigint REFERENCES generations, kind text COLLATE "C", name text COLLATE "C",
        value bytea NOT NULL, PRIMARY KEY (generation, kind, name)
    );
    """,
)
"""Statements that lead from each layout to the next; the first makes layout 1."""


class PostgresLayout:
    """The store that an address means: its id, and whether its tables are as this version knows.

    Parameters
    ----------
    address
        Names the schema.
    """

    def __init__(self, address: PostgresAddress) -> None:
        self.address, self.schema = address, quoted(address.namespace)
        self.id, self.shards = "", 0

    def make(self, connection: Connection, shards: int | None) -> None:
        """Make the store or bring it to this layout; of several that try at once, one does.

        Raises
        ------
        StoreLayoutError
            If the schema holds something else, a newer layout, or another number of shards.
        """
        if self._found(connection).get("layout") != str(len(MIGRATIONS)):
            with connection.transaction():
                self.lock(connection)
                found = self._found(connection)  # by now somebody else may have made it
                self._migrate(connection, found, shards or SHARDS)
        found = self._found(connection)
        self.id, self.shards = found["id"], int(found["shards"])
        if shards not in (None, self.shards):
            raise StoreLayoutError(f"{self.address} has {self.shards} shards, not {shards}")

    def check(self, rows: list[Any]) -> None:
        """Refuse another store than the one opened first, or another layout, by its meta table."""
        found = dict(rows)
        if found.get("layout") != str(len(MIGRATIONS)):
            raise self._strange(found.get("layout"))
        if found["id"] != self.id:
            raise StoreError(f"{self.address} is another store than the one opened first")

    def lock(self, connection: Connection) -> None:
        """Let one transaction at a time change what the store holds, its merges aside."""
        connection.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended('beaconfold/' || $1, 0))",
            [self.address.namespace],
        )

    def _found(self, connection: Connection) -> dict[str, str]:
        """Read the meta table: empty if there is none, and nothing else either."""
        tables = connection.execute(
            "SELECT relname FROM pg_class JOIN pg_namespace ON relnamespace = pg_namespace.oid "
            "WHERE nspname = $1 AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')",
            [self.address.namespace],
        ).fetchall()
        if not tables:
            return {}
        if ("beaconfold",) not in tables:
            raise StoreLayoutError(
                f"{self.address}: the schema {self.address.namespace!r} holds tables, but no "
                "store of beaconfold: choose another ?namespace="
            )
        meta = f"SELECT name, value FROM {self.schema}.beaconfold"  # noqa: S608 - quoted
        found: dict[str, str] = dict(connection.execute(meta).fetchall())
        layout = found.get("layout", "")
        if not layout.isdecimal() or int(layout) > len(MIGRATIONS):
            raise self._strange(layout)
        return found

    def _migrate(self, connection: Connection, found: dict[str, str], shards: int) -> None:
        if not found:
            (encoding,) = connection.execute("SHOW server_encoding").fetchone() or ("",)
            if encoding != "UTF8":
                raise StoreError(f"{self.address}: the database is in {encoding}: it must be UTF8")
            if not connection.execute(
                "SELECT 1 FROM pg_namespace WHERE nspname = $1", [self.address.namespace]
            ).fetchone():
                connection.execute(f"CREATE SCHEMA {self.schema}")
        connection.execute(f"SET LOCAL search_path = {self.schema}")
        for migration in MIGRATIONS[int(found.get("layout", 0)) :]:
            connection.execute(migration)
        meta = {"id": uuid.uuid4().hex, "shards": str(shards), **found}
        for name, value in {**meta, "layout": str(len(MIGRATIONS))}.items():
            connection.execute(
                "INSERT INTO beaconfold VALUES ($1, $2) "
                "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                [name, value],
            )

    def _strange(self, layout: str | None) -> StoreLayoutError:
        return StoreLayoutError(
            f"{self.address}: written by another version/layout: {layout or None}, "
            f"this one reads {len(MIGRATIONS)}"
        )
