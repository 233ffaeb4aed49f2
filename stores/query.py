"""Questions to a store: a range of windows, rolled up by the monoid, filtered, the largest few."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, reduce
from operator import or_
from typing import Any

import polars as pl

from ..monoids.expression import NotRowWise, OpaqueExpression, canonical
from .backend import Backend
from .cells import CELL, Cells
from .generation import Generation
from .hops import hops
from .horizons import Horizons
from .reading import AT_A_TIME, Reading
from .where import Where
from .windows import Misfit, Windows

HELD = 1_000_000
"""Rows that wait before they are rolled up, and before they are presented."""


def query(
    backend: Backend,
    generation: Generation,
    *,
    since: datetime | str | None = None,
    until: datetime | str | None = None,
    every: str | None = None,
    period: str | None = None,
    tz: str | None = None,
    where: Mapping[str, Any] | pl.Expr | None = None,
    top: int | None = None,
    by: str | None = None,
) -> pl.DataFrame:
    """Present the states of a generation.

    Parameters
    ----------
    backend, generation
        Where the states are. The generation stays the same throughout, whatever is switched.
    since, until
        Stored windows that start from ``since`` on and before ``until``; with ``period``, and
        without ``every``, windows of the result that do so, each of them whole. Datetimes or ISO
        8601 text, in ``tz`` or else UTC unless they say otherwise.
    every
        Roll windows up to this width: a multiple of the job's own window, ``"1h"`` say, aligned to
        1970-01-01T00:00Z; or weeks, months or years, ``"1w"``, ``"3mo"``, ``"1y"``, of the
        calendar, weeks from Monday. Without it, windows have the finest width at which all is kept
        that starts from ``since`` on, or ever if that is not given: the job's own, unless windows
        were rolled up since.
    period
        Hopping windows of this length, a multiple of ``every``, one starting with each ``every``.
    tz
        Days, too, are those of the calendar in this time zone, ``"Europe/Berlin"``: 23 or 25 hours
        long where the clocks are changed. Hours and below are aligned as in UTC.
    where
        Values of key columns, ``{"publisher": "p1"}``, each also a list, ``{"publisher": ["p1",
        "p2"]}``, of which any will do; or an expression over the result.
    top, by
        Only the ``top`` rows of the whole result with the largest ``by``, largest first, ties in
        order of key. Without ``top``, all rows in that order.

    Returns
    -------
    pl.DataFrame
        Key columns, ``window`` (its start, ``Datetime("us", tz)``, for a job with windows),
        aggregates in the job's order; sorted by keys, then window, if not by ``by``.

    Raises
    ------
    ValueError
        If a column or time zone is unknown, ``period`` does not fit ``every``, or ``every`` does
        not fit the windows that are kept; the message says from when on it does.

    Examples
    --------
    ``store.query("clicks", every="5m", period="1h", where={"publisher": ["p1", "p2"]})`` are sums
    over an hour, one every five minutes; ``store.query("clicks", every="1mo",
    tz="Europe/Berlin", top=10, by="users")`` the ten largest months of any publisher.
    """
    columns = [*generation.group, *generation.states]
    _known([by] if by is not None else [], columns)
    if top is not None and top < 0:
        raise ValueError(f"top={top}: ask for 0 rows or more")
    if top is not None and by is None:
        raise ValueError(f"top={top} of what? say by= one of: {', '.join(columns)}")
    if isinstance(where, pl.Expr):
        _known(where.meta.root_names(), columns)
    cells = Cells(generation, backend.shards)
    keys = Where(cells, where if isinstance(where, Mapping) else {})
    while True:
        horizons = _furthest(backend, generation)
        windows = Windows.asked(generation, horizons, since, until, every, period, tz)
        answer = _Answer(cells, windows, tz, where if isinstance(where, pl.Expr) else None, top, by)
        try:
            return answer.of(backend, keys)
        except Misfit:
            # Without every=, the windows of the result follow what is rolled up meanwhile.
            if every is not None or _furthest(backend, generation) == horizons:
                raise


def _furthest(backend: Backend, generation: Generation) -> Horizons:
    """Return the furthest horizons of any shard."""
    return reduce(or_, Reading(backend, generation).horizons().values())


def _known(names: list[str], columns: list[str]) -> None:
    for name in names:
        if name not in columns:
            raise ValueError(f"no column {name!r} in the result; there are: {', '.join(columns)}")


@dataclass(frozen=True)
class _Answer:
    """The result of a query, put together from that of some shards after the other.

    A key is in one shard only, so that what comes from some shards is rolled up, presented,
    filtered and cut to the largest few before the next ones are read. A filter that looks at more
    than one row has to wait for all of them.
    """

    cells: Cells
    windows: Windows | None
    tz: str | None
    where: pl.Expr | None
    top: int | None
    by: str | None

    def of(self, backend: Backend, keys: Where) -> pl.DataFrame:
        """Read the store."""
        since, until = self.windows.bounds if self.windows else (None, None)
        reading = Reading(backend, self.cells.generation, since, until, keys.keys)

        def take(horizons: Horizons, batches: Iterator[pl.DataFrame]) -> pl.DataFrame:
            return self._merged(horizons, map(keys.matching, batches))

        held: list[pl.DataFrame] = []
        result = self._presented([self._merged(Horizons(), iter(()))])
        for rows in reading.each(take, at_a_time=AT_A_TIME):
            held.append(rows)
            if sum(map(len, held)) > HELD:
                result, held = pl.concat([result, self._presented(held)]), []
                if self.top is not None and self.early:
                    result = self._sorted(result)
        result = pl.concat([result, self._presented(held)] if held else [result])
        if self.where is not None and not self.early:
            result = result.filter(self.where)
        return self._sorted(result)

    @cached_property
    def early(self) -> bool:
        """Whether the filter looks at one row at a time, and surely so."""
        try:
            return self.where is None or canonical(self.where) is not None
        except (NotRowWise, OpaqueExpression):
            return False

    def _merged(self, horizons: Horizons, batches: Iterator[pl.DataFrame]) -> pl.DataFrame:
        """Merge the rows of some shards, without holding all their stored windows at a time."""
        windows, columns = self.windows, [*CELL, *self.cells.generation.states]
        if windows is None:
            return pl.concat([self.cells.no_rows, *batches]).select(columns)
        held = [windows.place(self.cells.no_rows.select(columns), horizons)]
        for batch in batches:
            held.append(windows.place(batch.select(columns), horizons))
            if windows.grid is not None and sum(map(len, held[1:])) > HELD:
                held = [self._plus(held)]
        if windows.grid is None:
            return pl.concat(held)
        merged = self._plus(held)
        if windows.length is not None:
            merged = windows.within(hops(merged, windows.grid, windows.length, self._plus))
        return merged

    def _plus(self, frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
        return self.cells.product.plus(frames, self.cells.by)

    def _presented(self, held: Sequence[pl.DataFrame]) -> pl.DataFrame:
        generation = self.cells.generation
        result = generation.product.present(self.cells.partials(pl.concat(held)))
        result = result.select(*generation.group, *generation.states)
        if self.tz is not None:
            result = result.with_columns(pl.col("window").dt.convert_time_zone(self.tz))
        return result.filter(self.where) if self.where is not None and self.early else result

    def _sorted(self, result: pl.DataFrame) -> pl.DataFrame:
        """Sort, and leave all but the largest few."""
        group = self.cells.generation.group
        if self.by is None:
            return result.sort(group)
        order = [self.by, *(name for name in group if name != self.by)]
        first = [True] + [False] * (len(order) - 1)
        ordered = result.sort(order, descending=first, nulls_last=first)
        return ordered if self.top is None else ordered.head(self.top)
