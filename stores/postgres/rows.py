"""The table of one generation's rows in a PostgreSQL database."""

# ruff: noqa: S608 - names of tables and columns cannot be parameters; they are quoted

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
from polars import Schema
from psycopg import Connection

from ..backend import ShardWrite
from ..cells import CELL
from ..generation import Generation
from ..quoting import fitting, quoted
from ..rows import to_frame
from .copy import TYPES, array, copied

BATCH = 20_000
SCANNING = """
SET LOCAL enable_seqscan = on; SET LOCAL enable_bitmapscan = on; SET LOCAL cursor_tuple_fraction = 1
"""
"""All rows are wanted of a scan, in any order: the plan for that is PostgreSQL's to choose."""

FEW = 1_000
"""Rows up to which a statement with arrays takes less time than a table to copy them to."""

FILL = 50
"""Percentage of a page that is filled at first: states are changed in place where there is room."""

IN_ROW = "toast_tuple_target = 8160"
"""Sketches of a few kB stay in their rows: measured, twice as fast and smaller than apart."""


LONG = 400
"""Bytes up to which a key is in the index as it is; 2.7 kB are the most that fit in an entry."""


def _indexed(key: str) -> str:
    """Write what the index holds of a key: itself, or of a long one the start and a SHA-256.

    The two cannot be confused, as the second is longer than any of the first.
    """
    data = rf"decode(replace({key}, E'\\', E'\\\\'), 'escape')"
    long = f"left({key}, {LONG}) || encode(sha256({data}), 'hex')"
    return f"(CASE WHEN octet_length({key}) <= {LONG} THEN {key} ELSE {long} END)"


class PostgresRows:
    """A table ``job#number``: ``shard``, ``window``, ``key``, a column a state, ``updated_at``.

    Integers of 128 bits are ``numeric(39,0)``; they travel as decimal text. Names are cut where
    they exceed 63 bytes.

    Parameters
    ----------
    generation, number
        Name the table and its columns.
    """

    def __init__(self, generation: Generation, number: int) -> None:
        self.states = dict(generation.states)
        self.table = quoted(fitting(generation.job, f"#{number}"))
        names = [
            name if name == fitting(name) else fitting(name, f"#{place}")
            for place, name in enumerate(self.states)
        ]
        self.columns = [quoted(name) for name in names]
        self.types = {name: _travelling(dtype) for name, dtype in self.states.items()}

    def create(self, connection: Connection) -> None:
        """Make the table."""
        states = "".join(
            f"{column} {_kept(dtype)}, "
            for column, dtype in zip(self.columns, self.states.values(), strict=True)
        )
        connection.execute(
            f'CREATE TABLE {self.table} (shard bigint NOT NULL, "window" bigint NOT NULL, '
            f'key text COLLATE "C" NOT NULL, {states}updated_at bigint NOT NULL) '
            f"WITH (fillfactor = {FILL}, {IN_ROW})"
        )
        connection.execute(
            f'CREATE UNIQUE INDEX ON {self.table} (shard, "window", {_indexed("key")})'
        )
        for column, dtype in zip(self.columns, self.states.values(), strict=True):
            if dtype == pl.Binary:  # sketches are dense: to compress them gains nothing
                connection.execute(f"ALTER TABLE {self.table} ALTER {column} SET STORAGE EXTERNAL")

    def find(self, connection: Connection, keys: pl.DataFrame) -> pl.DataFrame:
        """Look rows up by ``shard``, ``window`` and ``key``."""
        cells = keys.select("shard", *CELL).sort("shard", *CELL)  # in the index's order: faster
        rows = connection.execute(
            f"SELECT wanted.place - 1{''.join(f', {each}' for each in self._read)} "
            "FROM unnest($1::bigint[], $2::bigint[], $3::text[]) "
            'WITH ORDINALITY AS wanted (shard, "window", key, place) '
            f"JOIN {self.table} AS kept ON {_same('kept', 'wanted')}",
            [array(column) for column in cells.get_columns()],
            binary=True,
        )
        # The number of the key goes by a name that no state has.
        found = to_frame(rows.fetchall(), {"key": pl.Int64(), **self.types})
        return cells.select(pl.all().gather(found["key"])).hstack(
            found.drop("key").cast(Schema(self.states))
        )

    def write(self, connection: Connection, writes: Sequence[ShardWrite]) -> None:
        """Remove and write the rows of several shards, whose heads are locked."""
        removed = _of_shards([(write.shard, write.removed) for write in writes])
        if removed is not None:
            connection.execute(
                f"DELETE FROM {self.table} AS kept "
                "USING unnest($1::bigint[], $2::bigint[], $3::text[]) "
                'AS gone (shard, "window", key) '
                f"WHERE {_same('kept', 'gone')}",
                [array(removed[name]) for name in ("shard", *CELL)],
            )
        rows = _of_shards([(write.shard, write.rows) for write in writes])
        if rows is not None:
            rows = rows.select("shard", *CELL, *self.states, "updated_at").sort("shard", *CELL)
            self._merge(connection, rows.cast(Schema(self.types)))

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
        bounds = {
            "shard = ANY($%d::bigint[])": None if shards is None else list(shards),
            '"window" >= $%d': since,
            '"window" < $%d': until,
            f"{_indexed('key')} = {_indexed('$%d::text')}": key,
        }
        given = {condition: value for condition, value in bounds.items() if value is not None}
        where = [condition.replace("$%d", f"${place}") for place, condition in enumerate(given, 1)]
        schema = {**CELL, **self.types, "updated_at": pl.Int64()}
        connection.execute(SCANNING)
        with connection.cursor("scan", binary=True) as rows:
            rows.execute(
                f'SELECT "window", key, {"".join(f"{each}, " for each in self._read)}updated_at '
                f"FROM {self.table} AS kept WHERE {' AND '.join(where) or 'true'}",
                list(given.values()),
            )
            while batch := rows.fetchmany(BATCH):
                yield to_frame(batch, schema).cast(Schema(self.states))

    def drop(self, connection: Connection) -> None:
        """Delete the table, if it is still there; waits for those who read it."""
        connection.execute(f"DROP TABLE IF EXISTS {self.table}")

    @property
    def _read(self) -> list[str]:
        """The states as they travel to us."""
        return [
            f"kept.{column}{'::text' * (dtype == pl.Int128)}"
            for column, dtype in zip(self.columns, self.states.values(), strict=True)
        ]

    def _merge(self, connection: Connection, rows: pl.DataFrame) -> None:
        """Write rows, sorted, in place of those that have their cells."""
        columns = ["shard", '"window"', "key", *self.columns, "updated_at"]
        types = [TYPES[dtype.base_type()] for dtype in rows.dtypes]
        values = [
            f"sent.{column}{'::numeric' * (self.states.get(name) == pl.Int128)}"
            for column, name in zip(columns, rows.columns, strict=True)
        ]
        changes = ", ".join(f"{each} = excluded.{each}" for each in columns[3:])
        insert = f"INSERT INTO {self.table} ({', '.join(columns)}) SELECT {', '.join(values)} FROM"
        update = (
            f"AS sent ({', '.join(columns)}) "
            f'ON CONFLICT (shard, "window", {_indexed("key")}) DO UPDATE SET {changes}'
        )
        if rows.height > FEW and _may_stage(connection):
            stage = self._stage(connection, rows, columns, types)
            connection.execute(f"{insert} {stage} {update}")
            return
        arrays = ", ".join(f"${place}::{type_}[]" for place, type_ in enumerate(types, 1))
        for some in rows.iter_slices(FEW):
            sent = [array(column) for column in some.get_columns()]
            connection.execute(f"{insert} unnest({arrays}) {update}", sent)

    def _stage(
        self, connection: Connection, rows: pl.DataFrame, columns: list[str], types: list[str]
    ) -> str:
        """Copy rows to a table that ends with the transaction: faster than arrays if many."""
        stage = "pg_temp.sent"
        kept = ", ".join(f"{column} {type_}" for column, type_ in zip(columns, types, strict=True))
        connection.execute(f"CREATE TEMP TABLE {stage} ({kept}) WITH ({IN_ROW}) ON COMMIT DROP")
        with connection.cursor().copy(f"COPY {stage} FROM STDIN (FORMAT binary)") as copy:
            for piece in copied(rows):
                copy.write(piece)
        return stage


def _same(one: str, other: str) -> str:
    """Compare the cells of two tables, by the index of the first."""
    pairs = [
        (f"{each}.shard", f'{each}."window"', _indexed(f"{each}.key")) for each in (one, other)
    ]
    return " AND ".join(f"{left} = {right}" for left, right in zip(*pairs, strict=True))


def _may_stage(connection: Connection) -> bool:
    """Tell whether this user may make temporary tables; with arrays it takes up to half longer."""
    query = "SELECT has_database_privilege(current_database(), 'TEMP')"
    return connection.execute(query).fetchone() == (True,)


def _kept(dtype: pl.DataType) -> str:
    return "numeric(39,0)" if dtype == pl.Int128 else TYPES[dtype.base_type()]


def _travelling(dtype: pl.DataType) -> pl.DataType:
    return pl.String() if dtype == pl.Int128 else dtype


def _of_shards(parts: Sequence[tuple[int, pl.DataFrame | None]]) -> pl.DataFrame | None:
    """Put the frames of several shards into one, with a column for the shard."""
    full = [(shard, frame) for shard, frame in parts if frame is not None and frame.height]
    if not full:
        return None
    shards = np.repeat([shard for shard, _ in full], [frame.height for _, frame in full])
    rows = pl.concat([frame for _, frame in full])
    return rows.with_columns(pl.Series("shard", shards, dtype=pl.Int64))
