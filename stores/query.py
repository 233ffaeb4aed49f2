"""Questions to a store: a range of windows, rolled up by the monoid, filtered, the largest few."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import polars as pl

from .backend import Backend
from .cells import WINDOW, Cells
from .generation import Generation
from .keys import shard_of
from .times import microseconds, parse_duration

HELD = 1_000_000
"""Rows that wait before they are rolled up."""


def query(
    backend: Backend,
    generation: Generation,
    *,
    since: datetime | str | None = None,
    until: datetime | str | None = None,
    every: str | None = None,
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
        Windows that start from ``since`` on and before ``until``: datetimes or ISO 8601 text, in
        UTC unless they say otherwise.
    every
        Roll windows up to this width, ``"1h"`` say, aligned to 1970-01-01T00:00Z: a multiple of
        the job's own window. None keeps the job's.
    where
        Values of key columns, ``{"publisher": "p1"}``, or an expression over the result.
    top, by
        Only the ``top`` rows with the largest ``by``, largest first, ties in order of key. Without
        ``top``, all rows in that order.

    Returns
    -------
    pl.DataFrame
        Key columns, ``window`` (its start, for a job with windows), aggregates in the job's
        order; sorted by keys, then window, if not by ``by``.

    Raises
    ------
    ValueError
        If a column is unknown, or ``every`` does not fit the job's window.
    """
    columns = [*generation.group, *generation.states]
    _known([by] if by is not None else [], columns)
    if top is not None and by is None:
        raise ValueError(f"top={top} of what? say by= one of: {', '.join(columns)}")
    if isinstance(where, pl.Expr):
        _known(where.meta.root_names(), columns)
    width = _width(generation, every, bounded=since is not None or until is not None)
    cells = Cells(generation, backend.shards)
    found = _scan(backend, cells, since, until, where if isinstance(where, Mapping) else {})
    rows = _roll_up(cells, found, width) if width else pl.concat([cells.no_rows, *found])
    result = generation.product.present(cells.partials(rows)).select(columns)
    if isinstance(where, pl.Expr):
        result = result.filter(where)
    if by is None:
        return result.sort(generation.group)
    order = [by, *(name for name in generation.group if name != by)]
    descending = [True] + [False] * (len(order) - 1)
    ordered = result.sort(
        order, descending=descending, nulls_last=[True] + [False] * (len(order) - 1)
    )
    return ordered if top is None else ordered.head(top)


def _known(names: list[str], columns: list[str]) -> None:
    for name in names:
        if name not in columns:
            raise ValueError(f"no column {name!r} in the result; there are: {', '.join(columns)}")


def _width(generation: Generation, every: str | None, *, bounded: bool) -> int | None:
    """Return the width in µs to roll up to, or None to leave windows as they are."""
    if generation.window is None:
        if every is not None or bounded:
            raise ValueError(f"{generation.job} has no windows: leave out since, until and every")
        return None
    if every is None:
        return None
    width = parse_duration(every)
    if width % generation.window:
        raise ValueError(
            f"every={every!r} is not a multiple of the window of {generation.job}, "
            f"{generation.window / 1e6:g} s"
        )
    return None if width == generation.window else width


def _scan(
    backend: Backend,
    cells: Cells,
    since: datetime | str | None,
    until: datetime | str | None,
    where: Mapping[str, Any],
) -> Iterator[pl.DataFrame]:
    """Read the rows within bounds whose key columns have these values."""
    keys = cells.generation.keys
    for name in where:
        if name not in keys:
            raise ValueError(f"no key column {name!r}; there are: {', '.join(keys)}")
    wanted = pl.DataFrame(
        [_one(name, where[name], dtype) for name, dtype in keys.items() if name in where]
    )
    whole = cells.keys.encode(wanted) if len(where) == len(keys) else None
    for batch in backend.scan(
        cells.generation,
        since=microseconds(since),
        until=microseconds(until),
        shards=None if whole is None else shard_of(whole, cells.shards).to_list(),
        key=None if whole is None else whole.item(),
    ):
        if whole is not None or not where:
            yield batch
        else:
            matches = [pl.col(name).eq_missing(wanted[name].item()) for name in wanted.columns]
            yield batch.filter(
                cells.keys.decode(batch["key"]).select(pl.all_horizontal(matches)).to_series()
            )


def _one(name: str, value: Any, dtype: pl.DataType) -> pl.Series:
    try:
        return pl.Series(name, [value], dtype=dtype)
    except (TypeError, pl.exceptions.PolarsError):
        raise ValueError(f"key column {name!r} is {dtype}: {value!r} is not") from None


def _roll_up(cells: Cells, batches: Iterator[pl.DataFrame], width: int) -> pl.DataFrame:
    """Merge windows into wider ones, without holding all the narrow ones at a time."""
    start = (pl.col("window") // width * width).cast(WINDOW)
    held = [cells.no_rows.with_columns(start)]
    for batch in batches:
        held.append(batch.with_columns(start))
        if sum(map(len, held[1:])) > HELD:
            held = [cells.product.plus(held, cells.by)]
    return cells.product.plus(held, cells.by).with_columns(pl.col("window").to_physical())
