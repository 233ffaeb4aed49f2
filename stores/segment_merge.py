"""The merge of segments into shards: each takes all of them, or knows them, or lacks some."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import polars as pl

from .backend import ShardHead, ShardWrite
from .cells import Cells
from .clock import Clock
from .ledger import Ledger
from .segments import Seal, SegmentId


class Applied(NamedTuple):
    """What `MergeableStore.apply` did, shard by shard.

    Attributes
    ----------
    merged
        Shards that took the partials and recorded the segments.
    known
        Shards that had all the segments already: nothing was merged.
    missing
        Shards that had some of them: nothing was merged there either, and these are those that
        the shard lacks. Fold them alone, and apply them to this shard.
    """

    merged: frozenset[int]
    known: frozenset[int]
    missing: Mapping[int, frozenset[SegmentId]]


class SegmentMerge:
    """The merge of some segments, decided by each shard's own ledger as it was read.

    Parameters
    ----------
    cells
        The cells of the generation.
    segments
        What the rows were folded from. Without any, only the seals are recorded.
    seals
        Lengths of epochs to record.
    clock
        Dates the rows.
    """

    def __init__(
        self, cells: Cells, segments: Iterable[SegmentId], seals: Iterable[Seal], clock: Clock
    ) -> None:
        self.cells, self.clock = cells, clock
        self.segments, self.seals = frozenset(segments), list(seals)
        self._lacking: dict[int, frozenset[SegmentId]] = {}
        self._decided: dict[bytes, tuple[frozenset[SegmentId], bytes]] = {}

    def change(
        self, heads: Mapping[int, ShardHead], found: pl.DataFrame, rows: pl.DataFrame
    ) -> list[ShardWrite]:
        """Decide for each shard, and merge into those that lack all segments."""
        decided = {shard: self._decide(head.ledger) for shard, head in heads.items()}
        self._lacking |= {shard: lacking for shard, (lacking, _) in decided.items()}
        taking = {shard for shard, (lacking, _) in decided.items() if lacking == self.segments}
        merged = {}
        if self.segments and taking:
            merged = self.cells.split(self.cells.plus(found, rows, taking), self.clock.now())
        return [
            ShardWrite(shard, heads[shard].version, ledger, merged.get(shard, self.cells.no_rows))
            for shard, (lacking, ledger) in decided.items()
            if lacking in (self.segments, frozenset()) and ledger != heads[shard].ledger
        ]

    @property
    def applied(self) -> Applied:
        """What became of each shard."""
        some = {shard: lacking for shard, lacking in self._lacking.items() if lacking}
        merged = frozenset(shard for shard, lacking in some.items() if lacking == self.segments)
        return Applied(
            merged,
            frozenset(self._lacking.keys() - some.keys()),
            {shard: lacking for shard, lacking in some.items() if shard not in merged},
        )

    def _decide(self, ledger: bytes) -> tuple[frozenset[SegmentId], bytes]:
        """Return what a ledger lacks, and what it becomes; most shards have the same one."""
        if ledger not in self._decided:
            known = Ledger.decode(ledger)
            lacking = frozenset(known.missing(self.segments))
            self._decided[ledger] = lacking, known.add(lacking, self.seals).encode()
        return self._decided[ledger]
