"""Scans of one shard's rows, in frames of bounded size."""

from collections.abc import Iterator, Sequence

import polars as pl

from .errors import GenerationDropped, StoreError
from .generation import Generation
from .redis_heads import RedisHeads
from .redis_names import Names
from .redis_nodes import Argument, Batch, Reply, packed
from .redis_rows import RedisRows
from .redis_windows import listed

BATCH = 5000
"""Rows read in one piece: a few milliseconds of the server's time."""

GLANCES = 500
"""Windows in which one command looks a key up."""


class RedisScan:
    """The rows of one generation, read shard by shard.

    What is read in one piece is consistent: all windows of a shard together while they have few
    rows, parts of a window where it has many.

    Parameters
    ----------
    heads, rows, generation
        Where, and what.
    """

    def __init__(self, heads: RedisHeads, rows: RedisRows, generation: Generation) -> None:
        self.heads, self.rows, self.generation = heads, rows, generation
        self.nodes, self.number = heads.nodes, rows.number
        self.names: Names = heads.names

    def all(self, shard: int, since: int | None, until: int | None) -> Iterator[pl.DataFrame]:
        """Yield the rows of windows within bounds."""
        for page in listed(self.nodes, self.names, self.number, shard, since, until):
            sizes = self._ask(
                shard, [packed("HLEN", self.rows.hashes(shard, window)[0]) for window in page]
            )
            some: list[int] = []
            total = 0
            for window, size in zip(page, sizes, strict=True):
                if size > BATCH:
                    yield from self._large(shard, window)
                    continue
                if total + size > BATCH:
                    yield self._whole(shard, some)
                    some, total = [], 0
                some.append(window)
                total += size
            if total:
                yield self._whole(shard, some)

    def of(
        self, shard: int, since: int | None, until: int | None, key: str
    ) -> Iterator[pl.DataFrame]:
        """Yield the rows of one key, of windows within bounds."""
        for page in listed(self.nodes, self.names, self.number, shard, since, until):
            for start in range(0, len(page), GLANCES):
                yield self._rows(shard, [(each, [key]) for each in page[start : start + GLANCES]])

    def _whole(self, shard: int, windows: Sequence[int]) -> pl.DataFrame:
        commands = [each for window in windows for each in self.rows.get_all(shard, window)]
        return self.rows.found_all(windows, self._ask(shard, commands))

    def _large(self, shard: int, window: int) -> Iterator[pl.DataFrame]:
        """Walk a window with many keys; the server may show a key twice while a hash grows."""
        name, cursor, seen = self.rows.hashes(shard, window)[0], b"0", set[bytes]()
        while True:
            ((cursor, fields),) = self._ask(shard, [packed("HSCAN", name, cursor, "COUNT", BATCH)])
            keys = list(dict.fromkeys(key for key in fields[::2] if key not in seen))
            seen.update(keys)
            yield self._rows(shard, [(window, keys)])
            if cursor == b"0":
                return

    def _rows(self, shard: int, wanted: Sequence[tuple[int, Sequence[Argument]]]) -> pl.DataFrame:
        some = [(window, keys) for window, keys in wanted if keys]
        cells = pl.DataFrame(
            {
                "window": [window for window, keys in some for _ in keys],
                "key": [
                    key.decode() if isinstance(key, bytes) else key
                    for _, keys in some
                    for key in keys
                ],
            },
            {"window": pl.Int64, "key": pl.String},
        )
        commands = [each for window, keys in some for each in self.rows.get(shard, window, keys)]
        found = self.rows.found(cells, self._ask(shard, commands))
        return found.select(list(self.rows.schema))

    def _ask(self, shard: int, commands: Sequence[bytes]) -> list[Reply]:
        """Ask a shard in one snapshot, unless it is dropped."""
        batch = Batch(
            self.names.tag(self.number, shard), [self.heads.get(self.number, shard), *commands]
        )
        ((first, *answers),) = self.nodes.run([batch])
        head = self.heads.read(first)
        if head is None:
            raise StoreError(f"{self.nodes.address.shown}: the store was emptied during a scan")
        if head.state == "dropped":
            raise GenerationDropped(f"{self.generation} was dropped")
        return answers
