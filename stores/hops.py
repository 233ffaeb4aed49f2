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

    Examples
    --------
    >>> from beaconfold.monoids import Count, Product
    >>> from beaconfold.stores.grid import EvenGrid
    >>> rows = pl.DataFrame({"window": [0, 10, 20], "key": "p1", "n": [1, 2, 4]})
    >>> rows = rows.with_columns(pl.col("window").cast(WINDOW))
    >>> clicks = Product({"n": Count()})
    >>> found = hops(rows, EvenGrid(10), 2, lambda both: clicks.plus(both, ["window", "key"]))
    >>> found.sort("window").select(pl.col("window").to_physical(), "n").rows()
    [(-10, 1), (0, 3), (10, 6), (20, 4)]
    """
    # By number, as a day that was skipped starts with the next one.
    block = rows.with_columns(grid.number(pl.col("window").to_physical()))
    whole, size, done = block.clear(), 1, 0
    while done < length:
        if length & size:
            whole = plus([whole, _earlier(block, done)])
            done += size
        if done < length:
            block = plus([block, _earlier(block, size)])
            size *= 2
    start, stop = grid.start(pl.col("window")), grid.start(pl.col("window") + 1)
    return whole.filter(start < stop).with_columns(start.cast(WINDOW).alias("window"))


def _earlier(rows: pl.DataFrame, steps: int) -> pl.DataFrame:
    """Move rows to the windows that start some steps before theirs."""
    return rows.with_columns(pl.col("window") - steps)
