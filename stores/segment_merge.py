"""The merge of segments into shards: each takes all of them, or knows them, or lacks some."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

import polars as pl

from .backend import ShardHead, ShardWrite
from .cell_writes import counts
from .cells import Cells
from .clock import Clock
from .segments import Seal, SegmentId
from .shard_record import ShardRecord


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
    expired
        How many cells the shards that merged left out, as their windows have expired.
    """

    merged: frozenset[int]
    known: frozenset[int]
    missing: Mapping[int, frozenset[SegmentId]]
    expired: int = 0


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
    rows
        All rows to merge: those that do not reach `change` have expired.
    """

    def __init__(
        self,
        cells: Cells,
        segments: Iterable[SegmentId],
        seals: Iterable[Seal],
        clock: Clock,
        rows: pl.DataFrame,
    ) -> None:
        self.cells, self.clock = cells, clock
        self.segments, self.seals = frozenset(segments), list(seals)
        self._sent = counts(rows)
        self._lacking: dict[int, frozenset[SegmentId]] = {}
        self._expired: dict[int, int] = {}
        self._decided: dict[tuple[bytes, int], tuple[frozenset[SegmentId], bytes]] = {}

    def change(
        self, heads: Mapping[int, ShardHead], found: pl.DataFrame, rows: pl.DataFrame
    ) -> list[ShardWrite]:
        """Decide for each shard, and merge into those that lack all segments."""
        came = counts(rows)
        expired = {shard: self._sent.get(shard, 0) - came.get(shard, 0) for shard in heads}
        decided = {
            shard: self._decide(head.ledger, expired[shard]) for shard, head in heads.items()
        }
        self._lacking |= {shard: lacking for shard, (lacking, _) in decided.items()}
        self._expired |= expired
        taking = {shard for shard, (lacking, _) in decided.items() if lacking == self.segments}
        merged = {}
        if self.segments and taking:
            merged = self.cells.split(self.cells.plus(found, rows, taking), self.clock.now())
        return [
            ShardWrite(shard, heads[shard].version, record, merged.get(shard, self.cells.no_rows))
            for shard, (lacking, record) in decided.items()
            if lacking in (self.segments, frozenset()) and record != heads[shard].ledger
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
            sum(self._expired[shard] for shard in merged),
        )

    def _decide(self, data: bytes, expired: int) -> tuple[frozenset[SegmentId], bytes]:
        """Return what a shard lacks, and what its record becomes; most have the same one."""
        if (data, expired) not in self._decided:
            record = ShardRecord.decode(data)
            lacking = frozenset(record.ledger.missing(self.segments))
            left_out = expired if lacking == self.segments else 0
            self._decided[data, expired] = (
                lacking,
                replace(
                    record,
                    ledger=record.ledger.add(lacking, self.seals),
                    expired=record.expired + left_out,
                ).encode(),
            )
        return self._decided[data, expired]
