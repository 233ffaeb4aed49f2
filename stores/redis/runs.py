"""Runs of cells: those of one shard and one window are looked up or written by one command."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl


def runs(frame: pl.DataFrame, *by: str) -> Iterator[tuple[tuple[int, ...], int, int]]:
    """Yield the values of a sorted frame's columns, and where each combination starts and stops.

    Examples
    --------
    >>> frame = pl.DataFrame({"shard": [0, 0, 0, 1], "window": [5, 5, 9, 9]})
    >>> list(runs(frame, "shard", "window"))
    [((0, 5), 0, 2), ((0, 9), 2, 3), ((1, 9), 3, 4)]
    """
    if not frame.height:
        return
    columns = [frame[name].to_numpy() for name in by]
    changes = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    starts = [0, *(np.flatnonzero(changes) + 1).tolist()]
    values = zip(*(column[starts].tolist() for column in columns), strict=True)
    yield from zip(values, starts, [*starts[1:], frame.height], strict=True)


class Arguments:
    """Keys, or keys and values, as arguments of commands, run by run.

    Parameters
    ----------
    cells
        ``place`` (which write), ``window`` and ``key``.
    values
        A value for each, or None for keys alone.

    Examples
    --------
    >>> cells = pl.DataFrame({"place": [0, 0], "window": [5, 5], "key": ["a", "b"]})
    >>> list(Arguments(cells, pl.Series(["1", "2"])).at(0))
    [(5, ['a', '1', 'b', '2'])]
    """

    def __init__(self, cells: pl.DataFrame, values: pl.Series | None = None) -> None:
        frame = cells if values is None else cells.with_columns(values.alias("value"))
        frame = frame.sort("place", "window")
        step = 1 if values is None else 2
        self.cells: list[Any] = [None] * (step * frame.height)
        self.cells[::step] = frame["key"].to_list()
        if values is not None:
            self.cells[1::step] = frame["value"].to_list()
        self.places: dict[int, list[tuple[int, int, int]]] = {}
        for (place, window), start, stop in runs(frame, "place", "window"):
            self.places.setdefault(place, []).append((window, start * step, stop * step))

    def at(self, place: int) -> Iterator[tuple[int, list[Any]]]:
        """Yield the windows of one write, each with the arguments for it."""
        for window, start, stop in self.places.get(place, ()):
            yield window, self.cells[start:stop]
