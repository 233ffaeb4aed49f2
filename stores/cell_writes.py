"""Writes to single cells, beside the ledger: set, merged or deleted by key and window."""

from collections.abc import Mapping
from dataclasses import replace

import polars as pl

from .backend import ShardHead, ShardWrite
from .cells import CELL, Cells
from .clock import Clock
from .horizons import instant
from .shard_record import ShardRecord


class CellWrites:
    """The changes to cells that a transaction makes; see `transact`.

    Parameters
    ----------
    cells
        The cells of the generation.
    rows
        ``shard``, ``window``, ``key`` and, but for deletions, states: one row for each cell.
    clock
        Dates the rows.
    """

    def __init__(self, cells: Cells, rows: pl.DataFrame, clock: Clock) -> None:
        self.cells, self.rows, self.clock = cells, rows, clock
        self.touched: list[int] = rows["shard"].unique().to_list()

    def put(
        self, heads: Mapping[int, ShardHead], _found: pl.DataFrame, rows: pl.DataFrame
    ) -> list[ShardWrite]:
        """Set the cells."""
        self._refuse_moved(heads, rows)
        new = self.cells.split(rows, self.clock.now())
        return [self._write(shard, head, new[shard]) for shard, head in heads.items()]

    def merge(
        self, heads: Mapping[int, ShardHead], found: pl.DataFrame, rows: pl.DataFrame
    ) -> list[ShardWrite]:
        """Merge into the cells, and count those that have expired."""
        new = self.cells.split(self.cells.plus(found, rows), self.clock.now())
        sent, came = counts(self.rows), counts(rows)
        writes = []
        for shard, head in heads.items():
            write = self._write(shard, head, new.get(shard, self.cells.no_rows))
            if expired := sent[shard] - came.get(shard, 0):
                record = ShardRecord.decode(head.ledger)
                data = replace(record, expired=record.expired + expired).encode()
                write = write._replace(ledger=data)
            writes.append(write)
        return writes

    def delete(
        self, heads: Mapping[int, ShardHead], _found: pl.DataFrame, rows: pl.DataFrame
    ) -> list[ShardWrite]:
        """Delete the cells."""
        self._refuse_moved(heads, rows)
        gone = rows.partition_by("shard", as_dict=True, include_key=False)
        return [
            self._write(shard, head, self.cells.no_rows)._replace(removed=gone[(shard,)])
            for shard, head in heads.items()
        ]

    def _write(self, shard: int, head: ShardHead, rows: pl.DataFrame) -> ShardWrite:
        return ShardWrite(shard, head.version, head.ledger, rows)

    def _refuse_moved(self, heads: Mapping[int, ShardHead], placed: pl.DataFrame) -> None:
        """Refuse to set or delete a part of a wider window, or what has expired."""
        wanted = self.rows.filter(pl.col("shard").is_in(list(heads)))
        for window, key in wanted.join(placed, on=list(CELL), how="anti").select(*CELL).iter_rows():
            raise ValueError(
                f"the window {instant(window)} of key {key!r} is not kept any more: it was rolled "
                "up into a wider one, which can be named by its own start, or has expired"
            )


def counts(rows: pl.DataFrame) -> dict[int, int]:
    """Count the rows of each shard.

    Examples
    --------
    >>> counts(pl.DataFrame({"shard": [3, 3]}))
    {3: 2}
    """
    return dict(rows.group_by("shard").len().iter_rows())
