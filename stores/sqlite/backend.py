"""The store in a SQLite file: for one machine, any number of processes."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from sqlite3 import Connection

import polars as pl

from ..backend import Backend, ShardHead, ShardWrite
from ..cells import CELL
from ..errors import StoreError
from ..generation import Generation, State
from ..rows import to_frame
from .file import SQLiteFile
from .rows import SQLiteRows


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
            found = _generations(connection, generation.id)
        if not found:
            with self.file.writing() as connection:
                if not _generations(connection, generation.id):
                    self._register(connection, generation)
                found = _generations(connection, generation.id)
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
        SQLiteRows(generation, int(number or 0)).create(connection)

    def generations(self) -> list[Generation]:
        """Return all generations in the order of registration."""
        with self.file.reading() as connection:
            return _generations(connection)

    def live(self, job: str) -> Generation | None:
        """Return the generation that readers of a job see."""
        with self.file.reading() as connection:
            found = connection.execute(
                "SELECT id FROM generations JOIN live ON generation = number WHERE live.job = ?",
                (job,),
            ).fetchone()
            return _generations(connection, *found)[0] if found else None

    def switch(self, generation: Generation) -> None:
        """Make this the generation that readers of its job see."""
        with self.file.writing() as connection:
            number, state = _state(connection, generation)
            generation.refuse(state, "retired", "dropped")
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
            generation.refuse(current, "dropped")
            if connection.execute("SELECT 1 FROM live WHERE generation = ?", (number,)).fetchone():
                raise StoreError(f"readers see {generation}: switch them to another one first")
            _set_state(connection, number, state)
            if state == "dropped":
                connection.execute("UPDATE heads SET ledger = x'' WHERE generation = ?", (number,))
                connection.execute("DELETE FROM documents WHERE generation = ?", (number,))
                SQLiteRows(generation, number).drop(connection)

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
            if state == "dropped" or not keys.height:
                found = to_frame((), {"shard": pl.Int64(), **CELL, **generation.states})
            else:
                found = SQLiteRows(generation, number).find(connection, keys)
        return {shard: heads[shard] for shard in shards}, found

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
            SQLiteRows(generation, number).write(connection, landed)
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
        with self.file.reading() as connection:
            number, state = _state(connection, generation)
            generation.refuse(state, "dropped")
            yield from SQLiteRows(generation, number).scan(
                connection,
                since=since,
                until=until,
                shards=shards,
                key=key,
            )

    def put_document(self, generation: Generation, kind: str, name: str, value: bytes) -> None:
        """Keep a document."""
        with self.file.writing() as connection:
            number, state = _state(connection, generation)
            generation.refuse(state, "dropped")
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


def _generations(connection: Connection, name: str | None = None) -> list[Generation]:
    return [
        Generation(job, fingerprint, revision, state, json.loads(declaration))
        for job, fingerprint, revision, state, declaration in connection.execute(
            "SELECT job, fingerprint, revision, state, declaration FROM generations "
            "WHERE ?1 IS NULL OR id = ?1 ORDER BY number",
            (name,),
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
