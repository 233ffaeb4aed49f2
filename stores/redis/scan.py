"""Scans of rows, several shards at a time, in frames of bounded size."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import polars as pl

from ..generation import Generation
from .heads import RedisHeads
from .names import Shard
from .protocol import Argument, Reply, packed
from .rows import RedisRows
from .windows import listed

BATCH = 10_000
"""Rows of one frame; more of one shard are not one snapshot."""

TOGETHER = 16
"""Shards that are asked at once."""


class _Run(NamedTuple):
    """Some keys of one window, or all of them."""

    shard: Shard
    window: int
    keys: Sequence[Argument] = ()


class RedisScan:
    """The rows of one generation.

    The windows of one shard are one snapshot while they have few rows; of those with many, the
    parts of a window are.

    Parameters
    ----------
    heads, rows, generation
        Where, and what.
    """

    def __init__(self, heads: RedisHeads, rows: RedisRows, generation: Generation) -> None:
        self.heads, self.rows, self.generation = heads, rows, generation
        self.number = rows.number

    def all(
        self, shards: Sequence[int], since: int | None, until: int | None
    ) -> Iterator[pl.DataFrame]:
        """Yield the rows of windows within bounds."""
        for pages in self._pages(shards, since, until):
            sizes = self._sizes(pages)
            piece: list[_Run] = []
            total = 0
            for shard, page in pages.items():
                mine = sum(sizes[shard, window] for window in page)
                if piece and total + mine > BATCH:
                    yield self._whole(piece)
                    piece, total = [], 0
                for window in page:
                    size = sizes[shard, window]
                    if size > BATCH:
                        yield from self._large(shard, window)
                        continue
                    if total + size > BATCH:
                        yield self._whole(piece)
                        piece, total = [], 0
                    piece.append(_Run(shard, window))
                    total += size
            if piece:
                yield self._whole(piece)

    def of(
        self, key: str, shards: Sequence[int], since: int | None, until: int | None
    ) -> Iterator[pl.DataFrame]:
        """Yield the rows of one key, of windows within bounds."""
        for pages in self._pages(shards, since, until):
            yield self._some(
                [_Run(shard, window, [key]) for shard, page in pages.items() for window in page]
            )

    def _pages(
        self, shards: Sequence[int], since: int | None, until: int | None
    ) -> Iterator[dict[Shard, list[int]]]:
        for start in range(0, len(shards), TOGETHER):
            some = list(shards[start : start + TOGETHER])
            for pages in listed(self.heads, self.number, some, since, until):
                for state, _ in pages.values():
                    self.generation.refuse(state, "dropped")
                if found := {shard: page for shard, (_, page) in pages.items() if page}:
                    yield found

    def _sizes(self, pages: dict[Shard, list[int]]) -> dict[tuple[Shard, int], int]:
        runs = [_Run(shard, window) for shard, page in pages.items() for window in page]
        commands = [[packed("HLEN", self.rows.hashes(run.shard, run.window)[0])] for run in runs]
        answers = self._ask(runs, commands)
        return {run[:2]: size for run, size in zip(runs, answers, strict=True)}

    def _large(self, shard: Shard, window: int) -> Iterator[pl.DataFrame]:
        """Walk a window with many keys; the server may show a key twice while a hash grows."""
        name, cursor, seen = self.rows.hashes(shard, window)[0], b"0", set[bytes]()
        while True:
            page = packed("HSCAN", name, cursor, "COUNT", BATCH)
            ((cursor, fields),) = self._ask([_Run(shard, window)], [[page]])
            keys = list(dict.fromkeys(key for key in fields[::2] if key not in seen))
            seen.update(keys)
            if keys:
                yield self._some([_Run(shard, window, keys)])
            if cursor == b"0":
                return

    def _whole(self, runs: Sequence[_Run]) -> pl.DataFrame:
        commands = [self.rows.get_all(run.shard, run.window) for run in runs]
        return self.rows.found_all([run.window for run in runs], self._ask(runs, commands))

    def _some(self, runs: Sequence[_Run]) -> pl.DataFrame:
        keys = [key.decode() if isinstance(key, bytes) else key for run in runs for key in run.keys]
        cells = pl.DataFrame(
            {
                "window": [run.window for run in runs for _ in run.keys],
                "key": pl.Series(keys, dtype=pl.String),
            },
            {"window": pl.Int64, "key": pl.String},
        )
        commands = [self.rows.get(run.shard, run.window, run.keys) for run in runs]
        found = self.rows.found(cells, self._ask(runs, commands))
        return found.select(list(self.rows.schema))

    def _ask(self, runs: Sequence[_Run], commands: Sequence[Sequence[bytes]]) -> list[Reply]:
        """Ask each shard in one snapshot; the runs of one shard follow each other."""
        asked: dict[Shard, list[bytes]] = {}
        for run, some in zip(runs, commands, strict=True):
            asked.setdefault(run.shard, []).extend(some)
        found: list[Reply] = []
        for head, answers in self.heads.snapshots(self.number, asked).values():
            self.generation.refuse(head.state, "dropped")
            found += answers
        return found
