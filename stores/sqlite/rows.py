"""The table of one generation's rows in a SQLite file."""

# ruff: noqa: S608 - names of tables and columns cannot be parameters; they are quoted

from collections.abc import Iterator, Mapping, Sequence
from sqlite3 import Connection

import numpy as np
import polars as pl

from ..backend import ShardWrite
from ..cells import CELL
from ..generation import Generation
from ..quoting import quoted
from ..rows import from_frame, to_frame

BATCH = 20_000
VARIABLES = 900
"""Cells written by one statement; old builds of SQLite take 999."""


class SQLiteRows:
    """A table ``job#number``: ``shard``, ``window``, ``key``, a column a state, ``updated_at``.

    The columns of states have no type affinity (https://www.sqlite.org/datatype3.html), so SQLite
    converts nothing; integers beyond 64 bits are decimal text.

    Parameters
    ----------
    generation, number
        Name the table and its columns.
    """

    def __init__(self, generation: Generation, number: int) -> None:
        self.states: Mapping[str, pl.DataType] = generation.states
        self.table = quoted(f"{generation.job}#{number}")

    def create(self, connection: Connection) -> None:
        """Make the table."""
        # With a rowid, as the rows of large sketches are too long for an index (measured).
        states = "".join(f"{quoted(name)}, " for name in self.states)
        connection.execute(
            f"CREATE TABLE {self.table} (shard INTEGER NOT NULL, window INTEGER NOT NULL, "
            f"key TEXT NOT NULL, {states}updated_at INTEGER NOT NULL, "
            "PRIMARY KEY (shard, window, key))"
        )

    def find(self, connection: Connection, keys: pl.DataFrame) -> pl.DataFrame:
        """Look rows up by ``shard``, ``window`` and ``key``."""
        cells = keys.select("shard", *CELL).sort("shard", *CELL)  # in the index's order: faster
        connection.execute("CREATE TEMP TABLE IF NOT EXISTS wanted (shard, window, key)")
        connection.execute("DELETE FROM wanted")
        _insert(connection, "INSERT INTO wanted", cells)
        states = "".join(f", kept.{quoted(name)}" for name in self.states)
        # CROSS JOIN keeps SQLite from planning the join the other way round.
        rows = connection.execute(
            f"SELECT wanted.rowid - 1{states} FROM wanted "
            f"CROSS JOIN {self.table} AS kept USING (shard, window, key)"
        )
        # The number of the key goes by a name that no state has.
        found = to_frame(rows.fetchall(), {"key": pl.Int64(), **self.states})
        return cells.select(pl.all().gather(found["key"])).hstack(found.drop("key"))

    def write(self, connection: Connection, writes: Sequence[ShardWrite]) -> None:
        """Remove and write the rows of several shards."""
        for write in writes:
            if write.removed is not None:
                connection.executemany(
                    f"DELETE FROM {self.table} "
                    f"WHERE shard = {write.shard:d} AND window = ? AND key = ?",
                    write.removed.select(*CELL).rows(),
                )
        full = [write for write in writes if write.rows.height]
        if not full:
            return
        shards = np.repeat([write.shard for write in full], [write.rows.height for write in full])
        rows = pl.concat([write.rows for write in full])
        rows = rows.with_columns(pl.Series("shard", shards, dtype=pl.Int64))
        columns = [*self.states, "updated_at"]
        changes = ", ".join(f"{quoted(name)} = excluded.{quoted(name)}" for name in columns)
        _insert(
            connection,
            f"INSERT INTO {self.table}",
            rows.select("shard", *CELL, *columns).sort("shard", *CELL),
            f"ON CONFLICT (shard, window, key) DO UPDATE SET {changes}",
        )

    def scan(
        self,
        connection: Connection,
        *,
        since: int | None,
        until: int | None,
        shards: Sequence[int] | None,
        key: str | None,
    ) -> Iterator[pl.DataFrame]:
        """Yield the rows within bounds; name all shards where there are any, for the index."""
        bounds = {"window >= ?": since, "window < ?": until, "key = ?": key}
        given = {condition: value for condition, value in bounds.items() if value is not None}
        where = list(given)
        if shards is not None:
            where.append(f"shard IN ({', '.join(f'{shard:d}' for shard in shards)})")
        schema = {**CELL, **self.states, "updated_at": pl.Int64()}
        rows = connection.execute(
            f"SELECT {', '.join(map(quoted, schema))} FROM {self.table} "
            f"WHERE {' AND '.join(where) or 'true'}",
            list(given.values()),
        )
        while batch := rows.fetchmany(BATCH):
            yield to_frame(batch, schema)

    def drop(self, connection: Connection) -> None:
        """Delete the table."""
        connection.execute(f"DROP TABLE {self.table}")


def _insert(connection: Connection, into: str, rows: pl.DataFrame, then: str = "") -> None:
    """Insert many rows a statement: a third faster than one by one."""
    cells, step = from_frame(rows), max(1, VARIABLES // rows.width)
    row = f"({', '.join('?' * rows.width)})"
    for start in range(0, rows.height, step):
        some = cells[start * rows.width : (start + step) * rows.width]
        values = ", ".join([row] * (len(some) // rows.width))
        connection.execute(f"{into} VALUES {values} {then}", some)
