"""The mergeable store: monoids merged into a backend's shards, exactly once for each segment."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any, Self

import polars as pl

from ..monoids.product import Product
from .backend import Backend
from .cell_writes import CellWrites
from .cells import Cells
from .clock import Clock, SystemClock
from .documents import Poison, Quarantine
from .dump import digest, dump
from .errors import UnknownJob
from .expiry import Expired, Expiry
from .generation import Generation
from .horizons import Horizons
from .ledger import Ledger
from .query import query
from .reading import AT_A_TIME, Reading
from .redaction import redacted
from .retention import Retention
from .segment_merge import Applied, SegmentMerge
from .segments import Seal, SegmentId
from .shard_record import ShardRecord
from .times import microseconds
from .transaction import Change, read_placed, refuse, transact
from .where import Where


@dataclass(frozen=True)
class MergeableStore:
    """States of jobs by key and window, with a ledger of the segments that are in them.

    A frame of *partials* has the job's key columns, ``window`` (its start, ``Datetime("us",
    "UTC")``; absent for a job without windows) and a column of states for each aggregate.

    Parameters
    ----------
    backend
        Where the states are kept.
    clock
        Dates rows, and waits between attempts.

    Examples
    --------
    >>> from beaconfold.monoids import Count
    >>> from beaconfold.stores import SegmentId, open_store
    >>> store = open_store("memory://")
    >>> generation = store.register(
    ...     {
    ...         "layout": 1,
    ...         "job": "clicks",
    ...         "fingerprint": "9f2c41aa77e0",
    ...         "window_us": None,
    ...         "keys": {"publisher": "String"},
    ...         "aggregates": {"clicks": Count().declare()},
    ...     }
    ... )
    >>> partials = pl.DataFrame({"publisher": ["p1"], "clicks": [3]})
    >>> segment = SegmentId("a1", "web", 1, 0)
    >>> len(store.apply(generation, [segment], partials).merged)
    64
    >>> len(store.apply(generation, [segment], partials).known)
    64
    >>> store.query("clicks").rows()
    [('p1', 3)]
    """

    backend: Backend
    clock: Clock = field(default_factory=SystemClock)
    random: Random = field(default_factory=Random, repr=False, compare=False)
    seen: dict[str, dict[int, Horizons]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({redacted(self.url)!r})"

    def __reduce__(self) -> tuple[object, ...]:
        """Leave behind what was seen, and the random numbers: copies must not wait in step."""
        return MergeableStore, (self.backend, self.clock)

    @property
    def id(self) -> str:
        """Random text made with the store: the same wherever the same store is opened."""
        return self.backend.id

    @property
    def url(self) -> str:
        """Address that opens this store again, from any working directory."""
        return self.backend.url

    @property
    def shards(self) -> int:
        """Number of shards."""
        return self.backend.shards

    # Generations

    def register(
        self, declaration: Mapping[str, Any], revision: int = 0, product: Product | None = None
    ) -> Generation:
        """Make a job's generation known to the store; doing it again changes nothing.

        The first generation of a job becomes live at once, later ones are building.

        Parameters
        ----------
        declaration
            The job in JSON, as `Generation` describes it.
        revision
            Distinguishes rebuilds of one declaration.
        product
            The aggregates, where the declaration is not enough to restore them.

        Returns
        -------
        Generation
            With the state that it has in the store.

        Raises
        ------
        TypeError, ValueError
            If a key's dtype or a column's name cannot be stored, or an aggregate is unknown here.
        StoreLayoutError
            If the declaration is of another layout.
        """
        generation = Generation.declared(declaration, revision)
        if product is not None:
            generation = generation.with_product(product)
        Cells(generation, self.shards)  # finds what cannot be stored
        found = self.backend.register(generation)
        return found if product is None else found.with_product(product)

    def generations(self, job: str | None = None) -> list[Generation]:
        """Return the generations of a job, or of all, in order of registration."""
        return [found for found in self.backend.generations() if job in (None, found.job)]

    def live(self, job: str) -> Generation:
        """Return the generation that readers of a job see.

        Raises
        ------
        UnknownJob
            If the store has no such job; lists those that it has.
        """
        found = self.backend.live(job)
        if found is None:
            jobs = ", ".join(sorted({each.job for each in self.backend.generations()}))
            raise UnknownJob(f"no job {job!r} in this store; it holds: {jobs or 'none yet'}")
        return found

    def switch(self, generation: Generation) -> None:
        """Make this the generation that readers see, in one atomic step.

        Its predecessor goes on taking merges, so that one can switch back, until it is retired.
        """
        self.backend.switch(generation)

    def retire(self, generation: Generation) -> None:
        """Stop a generation from taking merges; its states can still be read."""
        self.backend.close_generation(generation, "retired")

    def drop(self, generation: Generation) -> None:
        """Delete a generation's states, and remember that they were: it cannot come back."""
        self.backend.close_generation(generation, "dropped")

    # Segments

    def apply(
        self,
        generation: Generation,
        segments: Iterable[SegmentId],
        partials: pl.DataFrame,
        *,
        seals: Iterable[Seal] = (),
        shards: Collection[int] | None = None,
        clock: Clock | None = None,
    ) -> Applied:
        """Merge the partials of some segments into every shard that lacks them all.

        Each shard decides by its own ledger, in one transaction: it has none of the segments and
        takes everything, or has them all and takes nothing, or has some and says which it lacks.
        Every shard records every segment, also one that gets no keys. Applying twice, from two
        places at once, or again after a crash gives the states of applying once. A late row goes
        into the finest window that its shard still keeps; one that has expired is counted.

        Parameters
        ----------
        generation
            Where to.
        segments
            What the partials were folded from, all of it.
        partials
            States by key and window; a cell may occur more than once.
        seals
            Lengths of epochs that became known; recorded with the segments.
        shards
            Apply to these shards only; keys of others are left out.
        clock
            In place of the store's own.

        Raises
        ------
        GenerationRetired, GenerationDropped
            If the generation takes no more merges.
        CellError
            If a total overflows; the message names the cell, and its shard took nothing.
        """
        cells = Cells(generation, self.shards)
        rows = cells.rows(partials)
        merge = SegmentMerge(cells, segments, seals, clock or self.clock, rows)
        if not merge.segments and partials.height:
            raise ValueError("partials of no segments: name them, or use merge() without any")
        self._transact(generation, rows, merge.change, shards, clock)
        return merge.applied

    def record_seals(self, generation: Generation, seals: Iterable[Seal]) -> None:
        """Record lengths of epochs on every shard, so that its ledger can shrink."""
        cells = Cells(generation, self.shards)
        merge = SegmentMerge(cells, (), seals, self.clock, cells.no_cells)
        self._transact(generation, cells.no_cells, merge.change)

    def ledgers(self, generation: Generation) -> dict[int, Ledger]:
        """Return each shard's ledger."""
        return {shard: record.ledger for shard, record in self.records(generation).items()}

    def records(self, generation: Generation) -> dict[int, ShardRecord]:
        """Return each shard's record, as one read finds them: ledger, horizons, expired cells."""
        cells = Cells(generation, self.shards)
        heads, _ = self.backend.read(generation, range(self.shards), cells.no_cells)
        return {shard: ShardRecord.decode(head.ledger) for shard, head in heads.items()}

    def segments(self, generation: Generation) -> Ledger:
        """Return the segments that are merged: those that no shard lacks."""
        first, *others = {id(each): each for each in self.ledgers(generation).values()}.values()
        for other in others:
            first &= other
        return first

    # Retention

    def expire(
        self,
        generation: Generation,
        retention: Retention | Mapping[str, str | timedelta | None],
        now: datetime | None = None,
    ) -> Expired:
        """Roll windows up, and delete them, as far as a retention says.

        Each shard does so in small transactions that also advance its horizons, by which merges
        and readers go from then on. A crash, or another process that does the same, tears nothing;
        doing it again goes on from there, or changes nothing. With another retention than before,
        what was rolled up stays so.

        Parameters
        ----------
        generation
            Of a job with windows.
        retention
            Width of a window → how long it is kept, ``{"1m": "7d", "1h": "90d", "1d": None}``.
        now
            In place of the store's clock; UTC if it is naive.

        Raises
        ------
        ValueError
            If the retention makes no sense, does not begin with the job's window, or lacks a width
            to which windows have been rolled up.
        GenerationRetired, GenerationDropped
            If the generation takes no more merges.
        """
        checked = Retention.parse(retention).check(generation.window)
        expiry = Expiry(self.backend, Cells(generation, self.shards), self.clock, self.random)
        return expiry.advance(checked.horizons(now or self.clock.now()))

    def horizons(self, generation: Generation) -> dict[int, Horizons]:
        """Return each shard's horizons: which windows it keeps at which width."""
        return {shard: record.horizons for shard, record in self.records(generation).items()}

    # Cells

    def get(self, generation: Generation, keys: pl.DataFrame) -> pl.DataFrame:
        """Look cells up by key columns and ``window``; returns the partials of those that exist.

        A window that was rolled up is found as the wider one that it went into.
        """
        cells = Cells(generation, self.shards)
        wanted = cells.names(keys)
        shards = wanted["shard"].unique().to_list()
        heads, found, _ = read_placed(
            self.backend, generation, shards, wanted, self._seen(generation)
        )
        refuse(generation, heads, "dropped")
        return cells.partials(found)

    def put(self, generation: Generation, partials: pl.DataFrame) -> None:
        """Set cells to these states, whatever they held.

        Raises
        ------
        ValueError
            If a window was rolled up into a wider one, or has expired.
        """
        cells = Cells(generation, self.shards)
        writes = CellWrites(cells, cells.rows(partials), self.clock)
        self._transact(generation, writes.rows, writes.put, writes.touched)

    def merge(self, generation: Generation, partials: pl.DataFrame) -> None:
        """Add states to cells without a segment's name: at least once, if one tries again.

        Raises
        ------
        MergeUncertain
            If the store went away before it answered: the merge may have been made, or not.
        """
        cells = Cells(generation, self.shards)
        writes = CellWrites(cells, cells.rows(partials), self.clock)
        repeatable = all(each.idempotent for each in cells.product.aggregators.values())
        self._transact(generation, writes.rows, writes.merge, writes.touched, repeatable=repeatable)

    def delete(self, generation: Generation, keys: pl.DataFrame) -> None:
        """Delete cells by key columns and ``window``; those that are not there do not matter.

        Raises
        ------
        ValueError
            If a window was rolled up into a wider one, or has expired.
        """
        cells = Cells(generation, self.shards)
        writes = CellWrites(cells, cells.names(keys), self.clock)
        self._transact(generation, writes.rows, writes.delete, writes.touched)

    # Reading

    def states(self, generation: Generation) -> pl.DataFrame:
        """Return all partials of a generation, sorted by key columns and window.

        Windows that were rolled up have the width that `horizons` tells of their start.
        """
        cells = Cells(generation, self.shards)
        return cells.partials(self._rows(generation)).sort(generation.group)

    def scan(
        self,
        generation: Generation,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        where: Mapping[str, Any] | None = None,
    ) -> Iterator[pl.DataFrame]:
        """Yield partials in batches, holding those of one shard at most.

        Parameters
        ----------
        generation
            Whose.
        since, until
            Stored windows that start from ``since`` on and before ``until``.
        where
            Values of key columns, each also a list of which any will do.
        """
        cells = Cells(generation, self.shards)
        keys, bounds = Where(cells, where or {}), (microseconds(since), microseconds(until))
        for rows in Reading(self.backend, generation, *bounds, keys.keys).rows():
            yield cells.partials(keys.matching(rows))

    def dump(self, generation: Generation) -> bytes:
        """Write all cells in canonical order and form: equal states give equal bytes."""
        return b"".join(dump(generation, self._rows(generation)))

    def digest(self, generation: Generation) -> str:
        """Return the SHA-256 of `dump`, in hexadecimal."""
        return digest(generation, self._rows(generation))

    def query(
        self,
        job: str,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        every: str | None = None,
        where: Mapping[str, Any] | pl.Expr | None = None,
        top: int | None = None,
        by: str | None = None,
        *,
        period: str | None = None,
        tz: str | None = None,
    ) -> pl.DataFrame:
        """Present what readers of a job see, as `beaconfold.stores.query.query` describes.

        Raises
        ------
        UnknownJob
            If the store has no such job.
        """
        return query(
            self.backend,
            self.live(job),
            since=since,
            until=until,
            every=every,
            period=period,
            tz=tz,
            where=where,
            top=top,
            by=by,
        )

    # Documents

    def quarantine(self, generation: Generation) -> Quarantine:
        """Return the beacons of a generation that could not be decoded."""
        return Quarantine(self.backend, generation)

    def poison(self, generation: Generation) -> Poison:
        """Return the segments of a generation that could not be folded."""
        return Poison(self.backend, generation, self.clock)

    def check(self) -> None:
        """Find out whether the store can be reached from here, and is the one that was meant.

        Raises
        ------
        StoreError
            If it is not.
        """
        self.backend.check()

    def close(self) -> None:
        """Close connections; using the store again opens them anew."""
        self.backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def _transact(
        self,
        generation: Generation,
        rows: pl.DataFrame,
        change: Change,
        shards: Collection[int] | None = None,
        clock: Clock | None = None,
        *,
        repeatable: bool = True,
    ) -> None:
        transact(
            self.backend,
            generation,
            rows,
            change,
            shards=shards,
            clock=clock or self.clock,
            random=self.random,
            repeatable=repeatable,
            seen=self._seen(generation),
        )

    def _seen(self, generation: Generation) -> dict[int, Horizons]:
        """Return the horizons last seen of each shard: where to look for its rows first."""
        return self.seen.setdefault(generation.id, {})

    def _rows(self, generation: Generation) -> pl.DataFrame:
        cells = Cells(generation, self.shards)
        rows = Reading(self.backend, generation).rows(at_a_time=AT_A_TIME)
        return pl.concat([cells.no_rows, *rows]).drop("updated_at")
