"""The commands that write rows: packed a shard at a time, while the server works."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import polars as pl

from ..backend import ShardWrite
from ..cells import CELL
from .protocol import packed
from .rows import RedisRows
from .runs import Arguments
from .windows import add


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
        cells, new = _together([write.rows for write in writes], rows.schema)
        gone, _ = _together([write.removed for write in writes], CELL)
        self.removed = Arguments(gone)
        self.texts = Arguments(cells, new.select(rows.text()).to_series())
        self.sketches = [
            (Arguments(cells.filter(~none), sketch.filter(~none)), Arguments(cells.filter(none)))
            for sketch in (new[name] for name in rows.sketches)
            for none in [sketch.is_null()]
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


def _together(
    frames: Sequence[pl.DataFrame | None], schema: Mapping[str, pl.DataType]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Put frames into one; return its cells, with the ``place`` that each frame had, and all."""
    some = {place: frame for place, frame in enumerate(frames) if frame is not None}
    sizes = np.array([frame.height for frame in some.values()], np.int64)
    places = np.repeat(np.array(list(some), np.int64), sizes)
    nothing = pl.DataFrame(schema=schema)
    rows = pl.concat([nothing, *(frame.select(nothing.columns) for frame in some.values())])
    return rows.select(pl.Series("place", places), *CELL), rows
