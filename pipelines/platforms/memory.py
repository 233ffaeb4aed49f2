"""The job in memory: nothing is stored, the answer is a frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import polars as pl
from distributed import Client, as_completed

from ..archive import Archive, SegmentExpired, SegmentRef
from ..batch import FoldedSegments, fold_segments
from ..chunks import chunks
from ..job import Job
from ..nodes.references import Segments, fold_shipped
from ..shipping import ShippedJob


def run_archive(
    job: Job,
    archive: Archive | str,
    *,
    segments: Sequence[SegmentRef] | None = None,
    client: Client | None = None,
    on_progress: Callable[[FoldedSegments], None] = lambda _folded: None,
) -> pl.DataFrame:
    """Fold an archive, or some segments of it, into partials.

    Parameters
    ----------
    segments
        Which; all of them unless given.
    client
        Fold on its workers; None: in this process.
    on_progress
        Called for each piece of work that is done.

    Returns
    -------
    pl.DataFrame
        Partials; ``job.present(…)`` makes results of them.
    """
    archive = Archive.open(archive, create=False) if isinstance(archive, str) else archive
    pieces = list(chunks(archive.segments() if segments is None else segments))
    partials = job.empty
    for folded in _folded(job, archive, pieces, client):
        if folded.poison:
            segment, reason = next(iter(folded.poison.items()))
            raise RuntimeError(f"segment {segment} cannot be folded: {reason}")
        if folded.expired:
            raise SegmentExpired(f"{folded.expired[0]} expired while the archive was being read")
        partials = job.plus(partials, folded.partials)
        on_progress(folded)
    return partials


def _folded(
    job: Job, archive: Archive, pieces: list[list[SegmentRef]], client: Client | None
) -> Iterator[FoldedSegments]:
    if client is None:
        yield from (fold_segments(job, archive, piece) for piece in pieces)
        return
    segments = [Segments(archive, tuple(piece)) for piece in pieces]
    futures = client.map(partial(fold_shipped, ShippedJob(job)), segments, pure=False)
    done = as_completed(futures, with_results=True)
    del futures  # so that the cluster forgets each result once it is here
    for _future, folded in done:
        yield folded
