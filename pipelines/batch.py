"""A batch: some segments of the archive, folded by a job and merged into a store, once.

These functions are what runs on a worker. They are pure but for the store's own transaction, and
the ledger makes that one idempotent: a batch may be run again at any time, by anyone.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from ..monoids import Product
from ..stores import Generation, MergeableStore, Seal, SegmentId
from .archive import Archive, SegmentExpired, SegmentRef
from .job import Job
from .progress import BatchProgress

log = logging.getLogger(__name__)

# A panic of Polars is no Exception, and is the job's all the same.
_ANY = (Exception, pl.exceptions.PanicException)


@dataclass(frozen=True)
class FoldedSegments:
    """Segments folded by a job: one merged frame of partials, and what was set aside."""

    refs: tuple[SegmentRef, ...]
    """The segments in ``partials``: all that were asked for, less the poison and expired ones."""
    partials: pl.DataFrame
    rejected: Mapping[SegmentId, pl.DataFrame]
    poison: Mapping[SegmentId, str]
    rows: int
    seconds: float
    expired: tuple[SegmentId, ...] = ()
    """Segments that were deleted from the archive before they could be read."""


class JobFailed(RuntimeError):
    """The job's own code raised while it merged partials."""


def fold_segments(job: Job, archive: Archive, refs: Iterable[SegmentRef]) -> FoldedSegments:
    """Read and fold segments, one after the other, and merge their partials.

    Only an exception that the job itself raises makes a segment poison. One that the archive
    raises is passed on, for the caller to try again.

    Raises
    ------
    JobFailed
        The job could fold each of the segments, and not merge what came of them.
    """
    began = time.perf_counter()
    folded, partials, expired, rows = [], [], [], 0
    rejected, poison = {}, {}
    for ref in refs:
        try:
            frame = archive.read(ref)
        except SegmentExpired as error:
            log.warning("%s before it was merged", error)
            expired.append(ref.id)
            continue
        try:
            of_segment = job.fold_all(frame)
        except MemoryError:
            raise
        except _ANY as error:
            poison[ref.id] = f"{type(error).__name__}: {error}"
            continue
        folded.append(ref)
        partials.append(of_segment.partials)
        rows += frame.height
        if of_segment.rejected.height:
            rejected[ref.id] = of_segment.rejected
    merged = _Guarded(job.product.aggregators).plus(partials or [job.empty], job.by)
    return FoldedSegments(
        tuple(folded),
        merged,
        rejected,
        poison,
        rows,
        time.perf_counter() - began,
        tuple(expired),
    )


def run_batch(
    job: Job,
    archive: Archive,
    store: MergeableStore,
    generation: Generation,
    refs: Sequence[SegmentRef],
    seals: Sequence[Seal] = (),
) -> BatchProgress:
    """Fold segments and merge them, exactly once.

    Where the job fails to merge partials, halves of the batch are tried, until the segment is
    found that it fails with: that one is poison too.
    """
    try:
        folded = fold_segments(job, archive, refs)
        done = merge_segments(folded, job, archive, store, generation)
    except JobFailed as failed:
        if len(refs) > 1:
            half = len(refs) // 2
            first = run_batch(job, archive, store, generation, refs[:half])
            return first + run_batch(job, archive, store, generation, refs[half:], seals)
        (poisonous,) = refs
        poison = {poisonous.id: str(failed)}
        folded = FoldedSegments((), job.empty, {}, poison, 0, 0.0)
        done = merge_segments(folded, job, archive, store, generation)
    if seals:
        store.record_seals(generation, seals)
    return done


def merge_segments(
    folded: FoldedSegments,
    job: Job,
    archive: Archive,
    store: MergeableStore,
    generation: Generation,
) -> BatchProgress:
    """Merge folded segments into a store, with their ledger entries, exactly once.

    What cannot be decoded is written down first, so that no crash can lose it: those entries are
    keyed by segment, and writing them twice changes nothing.
    """
    began = time.perf_counter()
    for segment, rows in folded.rejected.items():
        store.quarantine(generation).put(segment, rows)
    for segment, reason in folded.poison.items():
        store.poison(generation).put(segment, reason)
    guarded = generation.with_product(_Guarded(job.product.aggregators))
    new = _apply(folded, job, archive, store, guarded, None) if folded.refs else frozenset()
    return BatchProgress(
        segments=len(folded.refs) + len(folded.poison) + len(folded.expired),
        merged_segments=len(new),
        num_input_rows=folded.rows,
        num_rejected_rows=sum(rows.height for rows in folded.rejected.values()),
        num_cells=folded.partials.height if new else 0,
        poison={str(segment): reason for segment, reason in folded.poison.items()},
        duration_ms={
            "fold": folded.seconds * 1e3,
            "merge": (time.perf_counter() - began) * 1e3,
        },
    )


def _apply(
    folded: FoldedSegments,
    job: Job,
    archive: Archive,
    store: MergeableStore,
    generation: Generation,
    shards: Collection[int] | None,
) -> frozenset[SegmentId]:
    """Apply to the shards that lack all of it; to the others, what they lack. Give what was new."""
    ids = [ref.id for ref in folded.refs]
    applied = store.apply(generation, ids, folded.partials, shards=shards)
    new = frozenset(ids) if applied.merged else frozenset()
    partly: dict[frozenset[SegmentId], list[int]] = defaultdict(list)
    for shard, lacking in applied.missing.items():
        partly[lacking].append(shard)
    for lacking, of_shards in partly.items():
        again = fold_segments(job, archive, [ref for ref in folded.refs if ref.id in lacking])
        # Others may be merging the same segments: what is lacking by then is decided anew.
        new |= _apply(again, job, archive, store, generation, of_shards)
    return new


class _Guarded(Product):
    """The job's aggregates, whose failures are told from those of a store."""

    def plus(self, frames: Iterable[pl.DataFrame], by: Sequence[str]) -> pl.DataFrame:
        try:
            return super().plus(frames, by)
        except MemoryError:
            raise
        except _ANY as error:
            raise JobFailed(f"{type(error).__name__}: {error}") from error
