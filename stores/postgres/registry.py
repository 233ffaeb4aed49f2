"""Which generations a PostgreSQL store holds, which of them readers see, and their heads."""

import json
from collections.abc import Sequence
from typing import LiteralString

import polars as pl
from psycopg import Connection

from ..backend import STEP, ShardWrite
from ..errors import StoreError
from ..generation import Generation, State
from .copy import array

RAISED = f"version + 1 + floor(random() * {STEP})::bigint"
"""A version after a write: random, as a standby that takes over may lack the last writes."""


def generations(connection: Connection, name: str | None = None) -> list[Generation]:
    """Return generations in the order of registration: all, or the one of this id."""
    return [
        Generation(job, fingerprint, revision, state, json.loads(declaration))
        for job, fingerprint, revision, state, declaration in connection.execute(
            "SELECT job, fingerprint, revision, state, declaration FROM generations "
            "WHERE $1::text IS NULL OR id = $1 ORDER BY number",
            [name],
        )
    ]


def named(connection: Connection, name: str) -> Generation | None:
    """Return the generation of this id, if the store holds it."""
    return next(iter(generations(connection, name)), None)


def live(connection: Connection, job: str) -> Generation | None:
    """Return the generation that readers of a job see, if the store holds the job."""
    found = connection.execute(
        "SELECT id FROM generations JOIN live ON generation = number WHERE live.job = $1", [job]
    ).fetchone()
    return named(connection, *found) if found else None


def state(
    connection: Connection, generation: Generation, lock: LiteralString = ""
) -> tuple[int, State]:
    """Return the number and the state of a generation.

    Raises
    ------
    StoreError
        If it is not registered.
    """
    found: tuple[int, State] | None = connection.execute(
        f"SELECT number, state FROM generations WHERE id = $1 {lock}",  # noqa: S608 - literal
        [generation.id],
    ).fetchone()
    if found is None:
        raise StoreError(f"{generation} is not registered in this store")
    return found


def add(connection: Connection, generation: Generation, shards: int) -> int:
    """Add a generation that is not there, with its heads, and return its number."""
    job = generation.job
    first = live(connection, job) is None
    ((number,),) = connection.execute(
        "INSERT INTO generations (id, job, fingerprint, revision, state, declaration) "
        "VALUES ($1, $2, $3, $4, $5, $6) RETURNING number",
        [
            generation.id,
            job,
            generation.fingerprint,
            generation.revision,
            "live" if first else "building",
            json.dumps(generation.declaration),
        ],
    )
    if first:
        connection.execute("INSERT INTO live VALUES ($1, $2)", [job, number])
    connection.execute(
        "INSERT INTO heads SELECT $1, shard, 0, '' FROM generate_series(0, $2 - 1) AS shard",
        [number, shards],
    )
    return int(number)


def switch(connection: Connection, generation: Generation) -> None:
    """Make this the generation that readers of its job see."""
    number, current = state(connection, generation)
    generation.refuse(current, "retired", "dropped")
    if current != "live":
        _set_state(connection, number, "live")
    connection.execute("UPDATE live SET generation = $1 WHERE job = $2", [number, generation.job])


def close(connection: Connection, generation: Generation, closed: State) -> int:
    """Retire or drop a generation, all but its rows, and return its number."""
    number, current = state(connection, generation)
    if current == closed:
        return number
    generation.refuse(current, "dropped")
    if connection.execute("SELECT 1 FROM live WHERE generation = $1", [number]).fetchone():
        raise StoreError(f"readers see {generation}: switch them to another one first")
    _set_state(connection, number, closed)
    if closed == "dropped":
        connection.execute("UPDATE heads SET ledger = '' WHERE generation = $1", [number])
        connection.execute("DELETE FROM documents WHERE generation = $1", [number])
    return number


def lock_heads(
    connection: Connection, number: int, shards: Sequence[int] | None = None
) -> dict[int, int]:
    """Lock the heads of some shards or all, and return their versions.

    They are locked in order, so that no two writers wait for each other.
    """
    return dict(
        connection.execute(
            "SELECT shard, version FROM heads WHERE generation = $1 "
            "AND ($2::bigint[] IS NULL OR shard = ANY($2)) ORDER BY shard FOR UPDATE",
            [number, None if shards is None else list(shards)],
        )
    )


def write_heads(connection: Connection, number: int, writes: Sequence[ShardWrite]) -> None:
    """Write ledgers, and raise versions, of heads that are locked."""
    connection.execute(
        f"UPDATE heads SET version = {RAISED}, ledger = written.ledger "  # noqa: S608 - constant
        "FROM unnest($2::bigint[], $3::bytea[]) AS written (shard, ledger) "
        "WHERE generation = $1 AND heads.shard = written.shard",
        [
            number,
            array(pl.Series([write.shard for write in writes], dtype=pl.Int64)),
            array(pl.Series([write.ledger for write in writes], dtype=pl.Binary)),
        ],
    )


def _set_state(connection: Connection, number: int, state: State) -> None:
    connection.execute("UPDATE generations SET state = $1 WHERE number = $2", [state, number])
    lock_heads(connection, number)
    connection.execute(
        f"UPDATE heads SET version = {RAISED} WHERE generation = $1",  # noqa: S608 - constant
        [number],
    )
