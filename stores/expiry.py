"""Expiry: fine windows go into wider ones, and horizons advance with them, shard by shard."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import NamedTuple, Self

import polars as pl

from .backend import Backend, ShardWrite
from .cells import CELL, Cells
from .clock import Clock
from .errors import CommitUncertain
from .generation import Generation
from .horizons import BEGINNING, Horizons, place
from .shard_record import ShardRecord
from .transaction import pause, refuse

STEP = 20_000
"""Rows of fine windows that one transaction takes, unless a single wider window has more."""


class Expired(NamedTuple):
    """What `MergeableStore.expire` did, in all shards.

    Attributes
    ----------
    rolled_up
        Cells that went into wider windows.
    deleted
        Cells that are kept at no width any more.
    """

    rolled_up: int = 0
    deleted: int = 0

    def plus(self, other: Self) -> Self:
        """Add up."""
        return type(self)(self.rolled_up + other.rolled_up, self.deleted + other.deleted)


@dataclass(frozen=True)
class Expiry:
    """The advance of a generation's shards to some horizons.

    One transaction merges the cells of some windows into wider ones, deletes them and advances the
    shard's horizon, so that a crash at any step, or another process that does the same, leaves
    every shard whole; doing it again goes on from there. A shard advances one width at a time and
    so few windows at a time that a transaction stays small, however long the last one was ago.

    Parameters
    ----------
    backend, cells
        Where the cells are.
    clock, random
        Date the cells, and pause between attempts.
    """

    backend: Backend
    cells: Cells
    clock: Clock
    random: Random

    def advance(self, target: Horizons) -> Expired:
        """Advance all shards; a horizon that is further already stays there.

        Raises
        ------
        GenerationRetired, GenerationDropped
            If the generation takes no more merges.
        ValueError
            If windows have been rolled up to other widths.
        """
        generation, shards = self.cells.generation, range(self.backend.shards)
        heads, _ = self.backend.read(generation, shards, self.cells.no_cells)
        refuse(generation, heads, "retired", "dropped")
        found = {s: ShardRecord.decode(head.ledger).horizons for s, head in heads.items()}
        # All shards must take the widths before any of them does.
        goals = {s: each.extended(target.widths) | target for s, each in found.items()}
        done = Expired()
        for shard, horizons in found.items():
            if target.advanced and goals[shard] != horizons:
                done = done.plus(self._shard(shard, horizons, target))
        return done

    def _shard(self, shard: int, horizons: Horizons, target: Horizons) -> Expired:
        """Advance one shard, whose horizons were these, one width at a time."""
        done = Expired()
        if horizons.widths != target.widths:
            horizons = horizons.extended(target.widths)
            done = self._step(shard, lambda found: found.extended(target.widths))
        for level, until in enumerate(target.until):
            for stop in self._stops(shard, horizons, level, until):
                done = done.plus(
                    self._step(shard, partial(Horizons.raised, level=level, instant=stop))
                )
        return done

    def _stops(self, shard: int, horizons: Horizons, level: int, until: int) -> list[int]:
        """Choose the instants to which a horizon shall advance, one transaction each."""
        since = horizons.until[level]
        width = horizons.alignments[level]
        if until - since <= width:
            return [until] if since < until else []
        rows: Counter[int] = Counter()
        for batch in self._scan(shard, since, until):
            starts = batch["window"] // width * width
            rows.update(dict(starts.value_counts().iter_rows()))
        stops, taken = [], 0
        for start in sorted(rows):
            if taken and taken + rows[start] > STEP:
                stops.append(start)
                taken = 0
            taken += rows[start]
        return [*stops, until]

    def _step(self, shard: int, advance: Callable[[Horizons], Horizons]) -> Expired:
        """Advance one shard in one transaction; again where somebody else was first."""
        generation, conflicts = self.cells.generation, 0
        while True:
            heads, _ = self.backend.read(generation, [shard], self.cells.no_cells)
            refuse(generation, heads, "retired", "dropped")
            version, record = heads[shard].version, ShardRecord.decode(heads[shard].ledger)
            horizons = advance(record.horizons)
            if horizons == record.horizons:
                return Expired()
            rows = self._given_up(shard, record.horizons, horizons)
            kept = horizons.place(rows)
            merged = self.cells.plus(kept.clear(), kept).select(kept.columns)
            gone = rows.select(*CELL).join(merged.select(*CELL), on=list(CELL), how="anti")
            new = self.cells.split(merged, self.clock.now()).get(shard, self.cells.no_rows)
            data = replace(record, horizons=horizons).encode()
            try:
                landed = self.backend.commit(
                    generation, [ShardWrite(shard, version, data, new, gone)]
                )
            except CommitUncertain:
                landed = [False]  # the horizon that is found next tells
            if landed == [True]:
                return Expired(kept.height, rows.height - kept.height)
            pause(self.clock, self.random, conflicts)
            conflicts += 1

    def _given_up(self, shard: int, before: Horizons, after: Horizons) -> pl.DataFrame:
        """Read the rows of the windows that are given up by an advance."""
        moved = [
            (since, until)
            for since, until in zip(before.until, after.until, strict=False)
            if since < until
        ]
        batches: Iterable[pl.DataFrame] = ()
        if moved:
            since, until = min(moved)[0], max(until for _, until in moved)
            batches = self._scan(shard, since, until)
        rows = pl.concat([self.cells.no_rows, *batches]).drop("updated_at")
        return rows.select(pl.lit(shard, dtype=pl.Int64).alias("shard"), pl.all())

    def _scan(self, shard: int, since: int, until: int) -> Iterator[pl.DataFrame]:
        return self.backend.scan(
            self.cells.generation,
            since=None if since == BEGINNING else since,
            until=until,
            shards=[shard],
        )


def rolled_up(
    partials: pl.DataFrame, generation: Generation, horizons: Mapping[int, Horizons], shards: int
) -> pl.DataFrame:
    """Place partials as a store with these horizons keeps them: what it holds after all merges.

    Parameters
    ----------
    partials
        In the job's own windows.
    generation
        Says which columns there are.
    horizons
        By shard, as `MergeableStore.horizons` returns them.
    shards
        Number of shards of the store.

    Returns
    -------
    pl.DataFrame
        Partials, one for each cell, without those that have expired.
    """
    cells = Cells(generation, shards)
    rows = place(cells.rows(partials), horizons)
    return cells.partials(cells.plus(rows.clear(), rows))
