"""The store in a SQLite file: for one machine, any number of processes."""

# ruff: noqa: S608 - names of tables and columns cannot be parameters; they are quoted

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from sqlite3 import Connection

import numpy as np
import polars as pl

from .backend import Backend, ShardHead, ShardWrite
from .cells import CELL
from .errors import GenerationDropped, GenerationRetired, StoreError
from .generation import Generation, State
from .rows import from_frame, to_frame
from .sqlite_file import SQLiteFile

BATCH = 20_000
VARIABLES = 900
"""Cells written by one statement; old builds of SQLite take 999."""


class SQLiteBackend(Backend):
    """States in a SQLite file in WAL mode, readable with any SQLite tool.

    Each generation has a table of its own, ``job#number``: ``shard``, ``window`` (µs), ``key``, a
    column for each state, ``updated_at`` (ms). Integers beyond 64 bits are decimal text.

    Parameters
    ----------
    path
        The file; it is made if it is not there, its folder is not.
    shards
        Number of shards of a new store.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist.
    StoreLayoutError
        If the file is something else, or the number of shards differs.

    Notes
    -----
    The columns of states have no type affinity (https://www.sqlite.org/datatype3.html), so SQLite
    converts nothing.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     SQLiteBackend(f"{folder}/beacons.db").shards
    64
    """

    def __init__(self, path: str | Path, shards: int | None = None) -> None:
        self.file = SQLiteFile(path, shards)
        self.url = f"sqlite:///{self.file.path}"
        self.id, self.shards = self.file.id, self.file.shards

    def check(self) -> None:
        """Find out whether the file can be reached from here, and is the one meant."""
        self.file.close()
        with self.file.reading():
            pass

    def register(self, generation: Generation) -> Generation:
        """Add a generation if the store lacks it."""
        with self.file.reading() as connection:
            found = _generations(connection, "id = ?", generation.id)
        if not found:
            with self.file.writing() as connection:
                if not _generations(connection, "id = ?", generation.id):
                    self._register(connection, generation)
                found = _generations(connection, "id = ?", generation.id)
        return found[0]

    def _register(self, connection: Connection, generation: Generation) -> None:
        job = generation.job
        first = connection.execute("SELECT 1 FROM live WHERE job = ?", (job,)).fetchone() is None
        state = "live" if first else "building"
        number = connection.execute(
            "INSERT INTO generations (id, job, fingerprint, revision, state, declaration) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (
                generation.id,
                job,
                generation.fingerprint,
                generation.revision,
                state,
                json.dumps(generation.declaration),
            ),
        ).lastrowid
        if first:
            connection.execute("INSERT INTO live VALUES (?, ?)", (job, number))
        heads = [(number, shard, 0, state, b"") for shard in range(self.shards)]
        connection.executemany("INSERT INTO heads VALUES (?, ?, ?, ?, ?)", heads)
        states = "".join(f"{_quoted(name)}, " for name in generation.states)
        connection.execute(
            f"CREATE TABLE {_table(connection, generation)} (shard INTEGER NOT NULL, "
            f"window INTEGER NOT NULL, key TEXT NOT NULL, {states}updated_at INTEGER NOT NULL, "
            "PRIMARY KEY (shard, window, key))"
        )

    def generations(self) -> list[Generation]:
        """Return all generations in the order of registration."""
        with self.file.reading() as connection:
            return _generations(connection)

    def live(self, job: str) -> Generation | None:
        """Return the generation that readers of a job see."""
        with self.file.reading() as connection:
            number = "number = (SELECT generation FROM live WHERE job = ?)"
            found = _generations(connection, number, job)
        return found[0] if found else None

    def switch(self, generation: Generation) -> None:
        """Make this the generation that readers of its job see."""
        with self.file.writing() as connection:
            number, state = _state(connection, generation)
            _refuse(generation, state, "retired", "dropped")
            if state != "live":
                _set_state(connection, number, "live")
            connection.execute(
                "UPDATE live SET generation = ? WHERE job = ?", (number, generation.job)
            )

    def close_generation(self, generation: Generation, state: State) -> None:
        """Retire or drop a generation."""
        with self.file.writing() as connection:
            number, current = _state(connection, generation)
            if current == state:
                return
            _refuse(generation, current, "dropped")
            if connection.execute("SELECT 1 FROM live WHERE generation = ?", (number,)).fetchone():
                raise StoreError(f"readers see {generation}: switch them to another one first")
            _set_state(connection, number, state)
            if state == "dropped":
                connection.execute("UPDATE heads SET ledger = x'' WHERE generation = ?", (number,))
                connection.execute("DELETE FROM documents WHERE generation = ?", (number,))
                connection.execute(f"DROP TABLE {_table(connection, generation)}")

    def read(
        self, generation: Generation, shards: Sequence[int], keys: pl.DataFrame
    ) -> tuple[dict[int, ShardHead], pl.DataFrame]:
        """Read heads and rows: one snapshot of all shards."""
        with self.file.reading() as connection:
            number, state = _state(connection, generation)
            heads = {
                shard: ShardHead(version, state, ledger)
                for shard, version, state, ledger in connection.execute(
                    "SELECT shard, version, state, ledger FROM heads WHERE generation = ?",
                    (number,),
                )
            }
            cells, states = keys.select("shard", *CELL), []
            if state != "dropped" and keys.height:
                cells = cells.sort("shard", *CELL)  # the order of the index: a third faster
                connection.execute("CREATE TEMP TABLE IF NOT EXISTS wanted (shard, window, key)")
                connection.execute("DELETE FROM wanted")
                _insert(connection, "INSERT INTO wanted", cells)
                columns = "".join(f", {_quoted(name)}" for name in generation.states)
                # CROSS JOIN keeps SQLite from planning the join the other way round.
                states = connection.execute(
                    f"SELECT wanted.rowid - 1{columns} FROM wanted "
                    f"CROSS JOIN {_table(connection, generation)} USING (shard, window, key)"
                ).fetchall()
        found = to_frame(states, {"row": pl.Int64(), **generation.states})
        rows = cells.select(pl.all().gather(found["row"])).hstack(found.drop("row"))
        return {shard: heads[shard] for shard in shards}, rows

    def commit(self, generation: Generation, writes: Sequence[ShardWrite]) -> list[bool]:
        """Write to the shards that are still at their versions, in one transaction."""
        with self.file.writing() as connection:
            number, _ = _state(connection, generation)
            done = [
                connection.execute(
                    "UPDATE heads SET version = version + 1, ledger = ? "
                    "WHERE generation = ? AND shard = ? AND version = ?",
                    (write.ledger, number, write.shard, write.version),
                ).rowcount
                == 1
                for write in writes
            ]
            landed = [write for write, fits in zip(writes, done, strict=True) if fits]
            for write in landed:
                if write.removed is not None:
                    connection.executemany(
                        f"DELETE FROM {_table(connection, generation)} "
                        f"WHERE shard = {write.shard:d} AND window = ? AND key = ?",
                        write.removed.select(*CELL).rows(),
                    )
            full = [write for write in landed if write.rows.height]
            if full:
                sizes = [write.rows.height for write in full]
                shards = np.repeat([write.shard for write in full], sizes)
                rows = pl.concat([write.rows for write in full])
                rows = rows.with_columns(pl.Series("shard", shards, dtype=pl.Int64))
                self._upsert(connection, generation, rows)
        return done

    @staticmethod
    def _upsert(connection: Connection, generation: Generation, rows: pl.DataFrame) -> None:
        changes = ", ".join(
            f"{_quoted(name)} = excluded.{_quoted(name)}"
            for name in (*generation.states, "updated_at")
        )
        _insert(
            connection,
            f"INSERT INTO {_table(connection, generation)}",
            rows.select("shard", *CELL, *generation.states, "updated_at").sort("shard", *CELL),
            f"ON CONFLICT (shard, window, key) DO UPDATE SET {changes}",
        )

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
        bounds = {"window >= ?": since, "window < ?": until, "key = ?": key}
        given = {condition: value for condition, value in bounds.items() if value is not None}
        if shards is not None or given:  # naming the shards lets SQLite use its index
            some = range(self.shards) if shards is None else shards
            given[f"shard IN ({', '.join(f'{shard:d}' for shard in some)}) AND ?"] = True
        schema = {**CELL, **generation.states, "updated_at": pl.Int64()}
        with self.file.reading() as connection:
            _refuse(generation, _state(connection, generation)[1], "dropped")
            rows = connection.execute(
                f"SELECT {', '.join(map(_quoted, schema))} FROM {_table(connection, generation)} "
                f"WHERE {' AND '.join(given) or 'true'}",
                list(given.values()),
            )
            while batch := rows.fetchmany(BATCH):
                yield to_frame(batch, schema)

    def put_document(self, generation: Generation, kind: str, name: str, value: bytes) -> None:
        """Keep a document."""
        with self.file.writing() as connection:
            number, state = _state(connection, generation)
            _refuse(generation, state, "dropped")
            connection.execute(
                "INSERT OR REPLACE INTO documents VALUES (?, ?, ?, ?)", (number, kind, name, value)
            )

    def documents(
        self, generation: Generation, kind: str, name: str | None = None
    ) -> Iterator[tuple[str, bytes]]:
        """Yield documents by name."""
        with self.file.reading() as connection:
            number, _ = _state(connection, generation)
            yield from connection.execute(
                "SELECT name, value FROM documents WHERE generation = ?1 AND kind = ?2 "
                "AND (?3 IS NULL OR name = ?3) ORDER BY name",
                (number, kind, name),
            )

    def delete_document(self, generation: Generation, kind: str, name: str) -> None:
        """Delete a document, if it is there."""
        with self.file.writing() as connection:
            number, _ = _state(connection, generation)
            connection.execute(
                "DELETE FROM documents WHERE generation = ? AND kind = ? AND name = ?",
                (number, kind, name),
            )

    def close(self) -> None:
        """Close the connections of this process."""
        self.file.close()


def _generations(connection: Connection, where: str = "true", *values: object) -> list[Generation]:
    return [
        Generation(job, fingerprint, revision, state, json.loads(declaration))
        for job, fingerprint, revision, state, declaration in connection.execute(
            "SELECT job, fingerprint, revision, state, declaration FROM generations "
            f"WHERE {where} ORDER BY number",
            values,
        )
    ]


def _state(connection: Connection, generation: Generation) -> tuple[int, State]:
    found: tuple[int, State] | None = connection.execute(
        "SELECT number, state FROM generations WHERE id = ?", (generation.id,)
    ).fetchone()
    if found is None:
        raise StoreError(f"{generation} is not registered in this store")
    return found


def _set_state(connection: Connection, number: int, state: State) -> None:
    connection.execute("UPDATE generations SET state = ? WHERE number = ?", (state, number))
    connection.execute(
        "UPDATE heads SET state = ?, version = version + 1 WHERE generation = ?", (state, number)
    )


def _refuse(generation: Generation, state: State, *refused: State) -> None:
    if state in refused:
        error = GenerationDropped if state == "dropped" else GenerationRetired
        raise error(f"{generation} was {state}")


def _table(connection: Connection, generation: Generation) -> str:
    number, _ = _state(connection, generation)
    return _quoted(f"{generation.job}#{number}")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _insert(connection: Connection, into: str, rows: pl.DataFrame, then: str = "") -> None:
    """Insert many rows a statement: a third faster than one by one."""
    cells, step = from_frame(rows), max(1, VARIABLES // rows.width)
    row = f"({', '.join('?' * rows.width)})"
    for start in range(0, rows.height, step):
        some = cells[start * rows.width : (start + step) * rows.width]
        values = ", ".join([row] * (len(some) // rows.width))
        connection.execute(f"{into} VALUES {values} {then}", some)
