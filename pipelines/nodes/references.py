"""What flows through a graph: references to segments, and promises of their partials."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl
from distributed import Client

from ...stores import Generation, MergeableStore, Seal
from ..archive import Archive, SegmentRef
from ..batch import FoldedSegments, fold_segments, merge_segments
from ..job import Job
from ..progress import BatchProgress
from ..retry import Retry, SchedulerLost
from ..shipping import ShippedJob


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
    """The partials of some segments, folded where it suits: here, or on a worker of a cluster.

    With a client the partials never leave the cluster: the merge runs where they are.
    """

    job: Job
    segments: Segments
    client: Client | None = None
    shipped: ShippedJob | None = field(default=None, repr=False)
    retry: Retry = field(default_factory=Retry)
    _folded: list[Any] = field(default_factory=list, repr=False, compare=False)

    def start(self) -> SegmentPartials:
        """Begin to fold on the cluster, so that folding overlaps with what is merged meanwhile."""
        if self.client is not None:
            self._folded[:] = [self._submit(fold_shipped)]
        return self

    def partials(self) -> pl.DataFrame:
        """Bring the partials here, to look at them; not from within the graph, which it blocks."""
        if self.client is None:
            return self._fold_here().partials
        folded: FoldedSegments = self.start()._folded[0].result()  # noqa: SLF001
        return folded.partials

    def merge_into(self, store: MergeableStore, generation: Generation) -> BatchProgress:
        """Fold and merge exactly once, trying again for ever but for what the job itself raises."""
        retries: list[Exception] = []

        def attempt() -> BatchProgress:
            if self.client is None:
                return self._merge(self._fold_here(), store, generation)
            try:
                folded = self._folded[0] if self._folded else self.start()._folded[0]  # noqa: SLF001
                plain = replace(generation)  # without aggregates: the job brings its own
                merging = self._submit(merge_shipped, folded, store, plain)
                progress: BatchProgress = merging.result()
            except Exception as error:
                # A lost worker may have taken the fold with it: the next attempt starts afresh.
                self._folded.clear()
                retries.append(error)
                raise
            return progress

        done = self.retry(f"batch of {len(self.segments.refs)} segments", attempt)
        return replace(done, retries=len(retries))

    def _submit(self, function: Callable[..., Any], *args: Any) -> Any:
        assert self.client is not None  # noqa: S101 - for the type checker
        if self.client.status == "closed":
            raise SchedulerLost("the Dask scheduler is gone: start the run again, it goes on there")
        shipped = self.shipped or ShippedJob(self.job)
        # Keys of their own: Dask would otherwise take a second attempt for the first.
        return self.client.submit(function, shipped, self.segments, *args, pure=False)

    def _fold_here(self) -> FoldedSegments:
        return fold_segments(self.job, self.segments.archive, self.segments.refs)

    def _merge(
        self, folded: FoldedSegments, store: MergeableStore, generation: Generation
    ) -> BatchProgress:
        segments = self.segments
        return merge_segments(folded, self.job, segments.archive, store, generation, segments.seals)


def fold_shipped(shipped: ShippedJob, segments: Segments) -> FoldedSegments:
    """Fold on a worker."""
    return fold_segments(shipped.job, segments.archive, segments.refs)


def merge_shipped(
    shipped: ShippedJob,
    segments: Segments,
    folded: FoldedSegments,
    store: MergeableStore,
    generation: Generation,
) -> BatchProgress:
    """Merge on the worker that folded."""
    job, archive = shipped.job, segments.archive
    own = generation.with_product(job.product)
    return merge_segments(folded, job, archive, store, own, segments.seals)
