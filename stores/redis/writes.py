"""The commands that write rows: packed a shard at a time, while the server works."""

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from ..backend import ShardWrite
from ..cells import CELL
from .protocol import packed
from .rows import RedisRows
from .runs import Arguments
from .windows import add

NOTHING = pl.DataFrame(schema={**CELL, "place": pl.Int64()})


class RedisWrites:
    """Rows of several shards as commands.

    Parameters
    ----------
    rows
        How rows are kept.
    writes
        What shall be written.
    """

    def __init__(self, rows: RedisRows, writes: Sequence[ShardWrite]) -> None:
        self.rows, self.writes = rows, writes
        new = _together([write.rows for write in writes], list(rows.schema))
        gone = _together([write.removed for write in writes], list(CELL))
        new = new.with_columns(rows.text())
        self.removed, self.texts = Arguments(gone), Arguments(new, "text")
        self.sketches = [
            (Arguments(new.filter(~none), name), Arguments(new.filter(none)))
            for name in rows.sketches
            for none in [new[name].is_null()]
        ]

    def commands(self, place: int) -> list[bytes]:
        """Pack the commands of one write, but for its head."""
        shard, number = self.writes[place].shard, self.rows.number
        windows = [window for window, _ in self.texts.at(place)]
        index = self.rows.names.windows(number, shard)
        return [
            *self._removals(place, shard),
            *self._rows(place, shard),
            *([add(index, windows)] if windows else []),
        ]

    def emptied(self, place: int) -> list[int]:
        """Return the windows that may have lost their last row by one write."""
        return [window for window, _ in self.removed.at(place)]

    def _removals(self, place: int, shard: int) -> Iterator[bytes]:
        for window, keys in self.removed.at(place):
            for name in self.rows.hashes(shard, window):
                yield packed("HDEL", name, *keys)

    def _rows(self, place: int, shard: int) -> Iterator[bytes]:
        for window, cells in self.texts.at(place):
            yield packed("HSET", self.rows.hashes(shard, window)[0], *cells)
        for column, (some, none) in enumerate(self.sketches, 1):
            for window, cells in some.at(place):
                yield packed("HSET", self.rows.hashes(shard, window)[column], *cells)
            for window, keys in none.at(place):
                yield packed("HDEL", self.rows.hashes(shard, window)[column], *keys)


def _together(frames: Sequence[pl.DataFrame | None], columns: list[str]) -> pl.DataFrame:
    """Put frames into one, with the ``place`` that each had."""
    some = {place: frame for place, frame in enumerate(frames) if frame is not None}
    if not some:
        return NOTHING
    places = np.repeat(list(some), [frame.height for frame in some.values()])
    rows = pl.concat(list(some.values())).select(columns)
    return rows.with_columns(pl.Series("place", places, dtype=pl.Int64))
