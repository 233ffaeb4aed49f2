"""Hopping windows, made of tumbling ones by the monoid."""

from collections.abc import Callable, Sequence

import polars as pl

from .cells import WINDOW
from .grid import Grid


def hops(
    rows: pl.DataFrame,
    grid: Grid,
    length: int,
    plus: Callable[[Sequence[pl.DataFrame]], pl.DataFrame],
) -> pl.DataFrame:
    """Merge each tumbling window into every hop that contains it.

    Hops of 1, 2, 4, … windows are made each from two of the one before, and put together to the
    length asked for: as many merges as the length has binary digits, of frames as long as the
    result, and no state counts twice.

    Parameters
    ----------
    rows
        ``window`` (the start of a window of the grid), ``key`` and states, one row for each cell.
    grid
        The tumbling windows; a hop starts with each of them.
    length
        How many of them a hop has.
    plus
        Merges frames by window and key.

    Returns
    -------
    pl.DataFrame
        The same columns, ``window`` being the start of a hop.
    """
    block, size = rows, 1
    whole, done = rows.clear(), 0
    while True:
        if length & size:
            whole = plus([whole, _earlier(block, grid, done)])
            done += size
        if done == length:
            return whole
        block = plus([block, _earlier(block, grid, size)])
        size *= 2


def _earlier(rows: pl.DataFrame, grid: Grid, steps: int) -> pl.DataFrame:
    """Move rows to the windows that start some steps before theirs."""
    if not steps:
        return rows
    number = grid.number(pl.col("window").to_physical()) - steps
    return rows.with_columns(grid.start(number).cast(WINDOW).alias("window"))
