"""Replay: apply to a store whatever its ledger lacks of the archive."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from distributed import Client

from ...stores import Generation, MergeableStore, open_store
from ...stores.times import parse_instant
from ..archive import Archive, SegmentRef
from ..chunks import chunks
from ..cluster import check_workers
from ..gaps import Gap, gaps, warning
from ..generation import open_generation
from ..job import Job
from ..nodes.references import SegmentPartials, Segments
from ..progress import BatchProgress
from ..retry import Outage, Retry
from ..roll_up import RollUp
from ..shipping import ShippedJob


@dataclass(frozen=True)
class Replay:
    """What a replay did, or with ``dry_run`` would do."""

    job: str
    segments: int
    """Segments that the store lacked."""
    already_merged: int
    """Segments of the selection that were in the ledger."""
    done: BatchProgress
    seconds: float
    dry_run: bool = False
    gaps: tuple[Gap, ...] = ()
    """Segments that have expired from the archive and were never merged."""

    def __str__(self) -> str:
        return f"{self.job}: {self._outcome}" + (f"; {warning(self.gaps)}" if self.gaps else "")

    @property
    def _outcome(self) -> str:
        if self.dry_run:
            return f"would merge {self.segments} segments"
        if not self.segments:
            return f"nothing to merge, all {self.already_merged} segments are merged"
        rate = self.done.num_input_rows / self.seconds if self.seconds else 0.0
        rejected = self.done.num_rejected_rows
        text = (
            f"merged {self.done.merged_segments} segments, "
            f"{self.done.num_input_rows:,} beacons in {self.seconds:.1f} s ({rate:,.0f}/s)"
        )
        return text + (f", {rejected:,} in quarantine" if rejected else "")


def replay(
    job: Job,
    *,
    archive: Archive | str,
    store: MergeableStore | str,
    client: Client | None = None,
    since: datetime | str | None = None,
    until: datetime | str | None = None,
    dry_run: bool = False,
    on_progress: Callable[[BatchProgress, int], None] = lambda _done, _of: None,
) -> Replay:
    """Merge into a store the segments of an archive that are not in its ledger.

    Running it again merges nothing. Segments that were set aside as poison are tried again.

    Parameters
    ----------
    client
        Fold and merge on its workers; None: in this process.
    since, until
        Whole segments, by time of receipt.
    dry_run
        Only say what would be merged.
    on_progress
        Called after each batch, with what it did and the number of segments in all.

    Raises
    ------
    FileNotFoundError
        There is no archive.
    JobChanged
        The store holds the job under another definition.
    WorkersDiffer
        A worker has other versions, or cannot see the archive or the store.

    Examples
    --------
    >>> import tempfile
    >>> from beaconfold import open_store, replay, stream
    >>> from beaconfold.pipelines.jobs import beacon_counts
    >>> folder, store = tempfile.mkdtemp(), open_store("memory://")
    >>> beacons = "synthetic://?count=1000&rate=0"
    >>> with stream(beacon_counts, source=beacons, archive=folder, store=store) as run:
    ...     _ = run.drain()
    >>> print(replay(beacon_counts, archive=folder, store=store))
    beacon-counts: nothing to merge, all 1 segments are merged
    """
    began = time.perf_counter()
    archive = Archive.open(archive, create=False) if isinstance(archive, str) else archive
    store = open_store(store) if isinstance(store, str) else store
    if dry_run and not store.generations(job.name):
        store = open_store("memory://")  # an empty one tells as much, and nothing is registered
    generation = open_generation(job, store)
    shipped = None
    if client is not None:
        shipped = ShippedJob(job)
        check_workers(client, archive, *([] if dry_run else [store]), shipped=shipped)
    selected = archive.segments(
        since=parse_instant(since) if since else None,
        until=parse_instant(until) if until else None,
    )
    ledger = store.segments(generation)
    lacking = [ref for ref in selected if ref.id not in ledger]
    done = BatchProgress()
    if not dry_run:
        # Before anything is merged, so that old windows go straight to the width that they have.
        RollUp(store, generation, job)()
        for segment in store.poison(generation).segments() & {ref.id for ref in lacking}:
            store.poison(generation).waive(segment)
        for batch in _batches(job, archive, store, generation, lacking, client, shipped):
            done = done + batch
            on_progress(batch, len(lacking))
        store.record_seals(generation, archive.seals())
    return Replay(
        job.name,
        len(lacking),
        len(selected) - len(lacking),
        done,
        time.perf_counter() - began,
        dry_run,
        tuple(gaps(archive, ledger)),
    )


def _batches(
    job: Job,
    archive: Archive,
    store: MergeableStore,
    generation: Generation,
    refs: Sequence[SegmentRef],
    client: Client | None,
    shipped: ShippedJob | None,
) -> Iterator[BatchProgress]:
    workers = len(client.scheduler_info()["workers"]) if client is not None else 1
    stop, outage = threading.Event(), Outage()

    def run(piece: Sequence[SegmentRef]) -> BatchProgress:
        segments = Segments(archive, tuple(piece))
        partials = SegmentPartials(job, segments, client, shipped, Retry(stop=stop, outage=outage))
        return partials.merge_into(store, generation)

    # Twice as many batches under way as there are workers: none has to wait for the next one.
    with ThreadPoolExecutor(2 * workers if client is not None else 1) as threads:
        try:
            yield from threads.map(run, chunks(refs))
        finally:
            stop.set()
            threads.shutdown(wait=True, cancel_futures=True)
