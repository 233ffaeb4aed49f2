"""Rows with the horizons that they are kept under, though shards may be rolled up meanwhile."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

import polars as pl

from .backend import Backend
from .cells import Cells
from .generation import Generation
from .horizons import BEGINNING, Horizons
from .shard_record import ShardRecord

T = TypeVar("T")

AT_A_TIME = 16
"""Shards to read at once where the result is held anyway: servers answer several together."""

FEW_KEYS = 16
"""Up to so many keys of a shard are looked up one by one."""


@dataclass(frozen=True)
class Reading:
    """The rows of a generation within some bounds.

    Parameters
    ----------
    backend, generation
        Where they are.
    since, until
        Windows that start from ``since`` on and before ``until``, in µs; None for no bound.
    keys
        Only these keys, by their shard; None for all keys of all shards.
    """

    backend: Backend
    generation: Generation
    since: int | None = None
    until: int | None = None
    keys: Mapping[int, Sequence[str]] | None = None

    @property
    def shards(self) -> list[int]:
        """The shards to read."""
        return list(range(self.backend.shards) if self.keys is None else self.keys)

    def horizons(self, shards: Sequence[int] | None = None) -> dict[int, Horizons]:
        """Return the present horizons of some shards, or of all to read."""
        shards = self.shards if shards is None else shards
        if self.generation.window is None or not shards:
            return dict.fromkeys(shards, Horizons())
        cells = Cells(self.generation, self.backend.shards)
        heads, _ = self.backend.read(self.generation, shards, cells.no_cells)
        return {shard: ShardRecord.decode(head.ledger).horizons for shard, head in heads.items()}

    def each(
        self, take: Callable[[Horizons, Iterator[pl.DataFrame]], T], *, at_a_time: int = 1
    ) -> Iterator[T]:
        """Take the rows, of some shards at a time, which all have the same horizons.

        Parameters
        ----------
        take
            Called with the horizons and the rows in batches: ``window``, ``key``, states,
            ``updated_at``. Called anew, and its result forgotten, if the shards' horizons moved
            while it read them.
        at_a_time
            How many shards.
        """
        todo = _alike(self.horizons(), at_a_time)
        while todo:
            horizons, shards = todo.pop()
            taken = take(horizons, self._scan(shards))
            found = self.horizons(shards)
            if set(found.values()) == {horizons}:
                yield taken
            else:
                todo += _alike(found, at_a_time)

    def rows(self, *, at_a_time: int = 1) -> Iterator[pl.DataFrame]:
        """Yield the rows in batches, holding those of so many shards at most."""
        taken = self.each(lambda _, batches: list(batches), at_a_time=at_a_time)
        return chain.from_iterable(taken)

    def _scan(self, shards: Sequence[int]) -> Iterator[pl.DataFrame]:
        # Under a generation without windows, others than 0 are free for bookkeeping.
        since, until = (0, 1) if self.generation.window is None else (self.since, self.until)
        if since == BEGINNING:
            since = None
        if self.keys is None:
            yield from self.backend.scan(self.generation, since=since, until=until, shards=shards)
            return
        for shard in shards:
            keys = self.keys[shard]
            single = keys if len(keys) <= FEW_KEYS else [None]
            for key in single:
                for batch in self.backend.scan(
                    self.generation, since=since, until=until, shards=[shard], key=key
                ):
                    yield batch if key is not None else batch.filter(pl.col("key").is_in(keys))


def _alike(horizons: Mapping[int, Horizons], at_a_time: int) -> list[tuple[Horizons, list[int]]]:
    """Part shards into groups with equal horizons, the first one last."""
    groups: dict[Horizons, list[int]] = {}
    for shard, each in horizons.items():
        groups.setdefault(each, []).append(shard)
    return [
        (each, shards[start : start + at_a_time])
        for each, shards in groups.items()
        for start in range(0, len(shards), at_a_time)
    ][::-1]
