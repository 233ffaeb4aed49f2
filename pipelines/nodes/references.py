"""What flows through a graph: references to segments, and promises of their partials."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl
from distributed import Client

from ...stores import Generation, MergeableStore, Seal, StoreError
from ..archive import Archive, SegmentRef
from ..batch import FoldedSegments, fold_segments, run_batch
from ..job import Job
from ..progress import BatchProgress
from ..retry import Retry, SchedulerLost, Stopped
from ..shipping import ShippedJob

PATIENCE = 2.0
"""Seconds between two looks whether a run that waits for its workers was told to stop."""


@dataclass(frozen=True)
class Segments:
    """Some segments of an archive, by name: never their data."""

    archive: Archive
    refs: tuple[SegmentRef, ...]
    seals: tuple[Seal, ...] = ()


@dataclass(frozen=True)
class Partials:
    """Partials of beacons that were emitted by hand: nothing says which they were."""

    job: Job
    frame: pl.DataFrame

    def merge_into(self, store: MergeableStore, generation: Generation) -> BatchProgress:
        """Merge, at least once: a merge that is repeated counts twice."""
        store.merge(generation, self.frame)
        return BatchProgress(num_cells=self.frame.height)


@dataclass(frozen=True)
class SegmentPartials:
    """The partials of some segments, to be folded where they are merged: here, or on a worker.

    Nothing is computed before someone asks. To merge is one task, so that partials never travel,
    and a lost worker takes nothing with it that another one cannot do again.
    """

    job: Job
    segments: Segments
    client: Client | None = None
    shipped: ShippedJob | None = field(default=None, repr=False)
    retry: Retry = field(default_factory=Retry)

    def partials(self) -> pl.DataFrame:
        """Bring the partials here, to look at them; not from within the graph, which it blocks."""
        if self.client is None:
            return fold_segments(self.job, self.segments.archive, self.segments.refs).partials
        folded: FoldedSegments = self._run(fold_shipped)
        return folded.partials

    def merge_into(self, store: MergeableStore, generation: Generation) -> BatchProgress:
        """Fold and merge exactly once, trying again for ever but for what the job itself raises."""
        retries = 0
        archive, refs, seals = self.segments.archive, self.segments.refs, self.segments.seals

        def attempt() -> BatchProgress:
            nonlocal retries
            try:
                if self.client is None:
                    return run_batch(self.job, archive, store, generation, refs, seals)
                plain = replace(generation)  # without aggregates: the job brings its own
                merged: BatchProgress = self._run(merge_shipped, store, plain)
            except Exception:
                retries += 1
                raise
            return merged

        done = self.retry(f"batch of {len(refs)} segments", attempt)
        return replace(done, retries=retries)

    def _run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run on a worker, for as long as nobody asks to give up."""
        assert self.client is not None  # noqa: S101 - for the type checker
        if self.client.status == "closed":
            raise SchedulerLost("the Dask scheduler is gone: start the run again, it goes on there")
        shipped = self.shipped or ShippedJob(self.job)
        # Keys of their own: Dask would otherwise take a second attempt for the first.
        future = self.client.submit(function, shipped, self.segments, *args, pure=False)
        while True:
            try:
                result = future.result(timeout=PATIENCE)
            except TimeoutError:
                if future.done():
                    raise
                if self.retry.stop.is_set():
                    # Whether the worker has merged it is for the ledger to say, next time.
                    future.cancel()
                    raise Stopped("given up: the run was stopped") from None
            else:
                if isinstance(result, StoreError):
                    raise result
                return result


def fold_shipped(shipped: ShippedJob, segments: Segments) -> FoldedSegments:
    """Fold on a worker."""
    return fold_segments(shipped.job, segments.archive, segments.refs)


def merge_shipped(
    shipped: ShippedJob, segments: Segments, store: MergeableStore, generation: Generation
) -> BatchProgress | StoreError:
    """Fold and merge on a worker; a store's error is returned, as it is no news to the worker."""
    job, archive = shipped.job, segments.archive
    own = generation.with_product(job.product)
    try:
        return run_batch(job, archive, store, own, segments.refs, segments.seals)
    except StoreError as error:
        return error
