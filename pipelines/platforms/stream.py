"""The live stream: receivers, a Streamz graph over the cluster, and a store."""

from __future__ import annotations

import html
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from distributed import Client
from streamz import Stream

from ...stores import MergeableStore, open_store
from ...stores.clock import Clock
from ..archive import Archive
from ..job import Job
from ..nodes.aggregate_by_key import aggregate_by_key
from ..nodes.from_beacons import from_beacons
from ..nodes.store import store as store_node
from ..progress import BatchProgress
from ..supervised import ReceiverStatus

log = logging.getLogger(__name__)

CLOSE: Final = 20.0
"""Seconds that receivers have to publish what they hold when a run is closed."""


@dataclass(frozen=True)
class StreamProgress:
    """Where a live run stands."""

    job: str
    received: int
    """Beacons published to the archive by this run's receivers."""
    backlog: int
    """Segments published and not yet merged."""
    merged: BatchProgress
    """All that this run has merged so far."""
    receivers: tuple[ReceiverStatus, ...]
    """How each source partition of this run is received."""
    retries: int
    seconds: float

    def __str__(self) -> str:
        merged, rate = self.merged, self.received / self.seconds if self.seconds else 0.0
        text = (
            f"{self.job}: {self.received:,} received ({rate:,.0f}/s), "
            f"{merged.merged_segments} segments merged, {self.backlog} waiting"
        )
        if merged.num_rejected_rows:
            text += f", {merged.num_rejected_rows:,} in quarantine"
        if merged.poison:
            text += f", {len(merged.poison)} poison segments set aside"
        return "; ".join([text, *(str(each) for each in self.receivers if each.ailing)])

    def _repr_html_(self) -> str:
        rows = {
            "received": f"{self.received:,} beacons",
            "merged": f"{self.merged.num_input_rows:,} beacons in "
            f"{self.merged.merged_segments} segments",
            "waiting": f"{self.backlog} segments",
            "quarantine": f"{self.merged.num_rejected_rows:,} beacons",
            "receivers": "; ".join(map(str, self.receivers)) or "none",
        }
        cells = "".join(
            f"<tr><th style='text-align:left'>{name}</th><td>{html.escape(value)}</td></tr>"
            for name, value in rows.items()
        )
        return f"<table><caption>{html.escape(self.job)}</caption>{cells}</table>"


class StreamRun:
    """A live run; see `stream`. Leaving its ``with`` block stops it cleanly.

    Attributes
    ----------
    graph
        The Streamz graph: its last node emits a `BatchProgress` for each batch.
    """

    def __init__(self, source: from_beacons, hop: aggregate_by_key, graph: store_node) -> None:
        self.source, self._hop, self.graph = source, hop, graph
        self._began = time.monotonic()
        self._merged = BatchProgress()
        self._lock = threading.Lock()
        self._closed = False
        self._sink = graph.sink(self._add)

    def progress(self) -> StreamProgress:
        """Say where the run stands."""
        with self._lock:
            merged = self._merged
        return StreamProgress(
            self._hop.job.name,
            sum(receiver.progress.rows for receiver in self.source.receivers),
            self.source.backlog + self._hop.under_way,
            merged,
            tuple(receiver.status for receiver in self.source.receivers),
            self._hop.retries,
            time.monotonic() - self._began,
        )

    def drain(self) -> StreamProgress:
        """Merge everything: what sources that end still hold, and all that was received.

        Sources that never end are stopped. The run is over afterwards.

        Raises
        ------
        GenerationRetired, GenerationDropped
            The store no longer takes this generation.
        """
        self.source.drain()
        return self.progress()

    @property
    def failed(self) -> bool:
        """True when the stream has ended by an error, which `drain` raises."""
        return self._hop.failure is not None

    @property
    def finished(self) -> bool:
        """True when every receiver has come to its end, or the stream has failed."""
        return self.failed or self.source.supervisor.done

    def close(self) -> None:
        """Stop cleanly: publish what the receivers hold, and finish the batches under way.

        What is published and not merged stays in the archive, for the next run. A receiver that
        does not come to its end in time, as it cannot write the archive, is let go of: what it held
        is logged, and received again by the next run where the source can.
        """
        if self._closed:
            return
        self._closed = True
        try:
            for left in self.source.stop_receiving(timeout=CLOSE):
                log.warning("%d beacons were not published: %s", left.pending, left)
        finally:
            self.source.stop()
            self._hop.give_up()
            self._hop.threads.shutdown(wait=True)
            self.graph.threads.shutdown(wait=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _repr_html_(self) -> str:
        return self.progress()._repr_html_()

    def _add(self, batch: BatchProgress) -> None:
        with self._lock:
            self._merged = self._merged + batch
        for segment, reason in batch.poison.items():
            log.error("segment %s set aside, the job cannot fold it: %s", segment, reason)


def stream(
    job: Job,
    *,
    archive: Archive | str,
    store: MergeableStore | str,
    source: str | None = None,
    client: Client | None = None,
    partition: str | None = None,
    max_rows: int = 100_000,
    poll: float = 1.0,
    window: int = 8,
    clock: Clock | None = None,
    on_progress: Callable[[BatchProgress], Any] | None = None,
) -> StreamRun:
    """Run a job live: receive beacons, and merge each partition of them as it is published.

    Starts at once. Whatever crashes, starting it again goes on where it was: nothing received is
    lost, nothing is merged twice.

    Parameters
    ----------
    source
        URL of the source; None: follow the archive that other processes fill.
    client
        Receive, fold and merge on the workers of this Dask cluster; None: in this process.
    partition
        Width in time of a segment; None: what suits the source, a second for most.
    max_rows
        Beacons in a segment, at most.
    poll
        Seconds between two looks at the archive when nothing announces a segment.
    window
        Batches under way at a time.
    on_progress
        Called with a `BatchProgress` for each batch.

    Raises
    ------
    JobChanged
        The store holds the job under another definition.
    WorkersDiffer
        A worker has other versions, or cannot see the archive or the store.

    Examples
    --------
    >>> import tempfile
    >>> from beaconfold import open_store, stream
    >>> from beaconfold.pipelines.jobs import beacon_counts
    >>> folder, store = tempfile.mkdtemp(), open_store("memory://")
    >>> beacons = "synthetic://?count=1000&rate=0&malformed=0"
    >>> with stream(beacon_counts, source=beacons, archive=folder, store=store) as run:
    ...     run.drain().merged.num_input_rows
    1000
    """
    store = open_store(store) if isinstance(store, str) else store
    beacons: from_beacons = Stream.from_beacons(
        source,
        archive=archive,
        partition=partition,
        max_rows=max_rows,
        poll=poll,
        client=client,
        clock=clock,
    )
    hop = beacons.aggregate_by_key(job, client=client, window=window)
    graph = hop.store(store)
    graph.roll_up(job)()
    run = StreamRun(beacons, hop, graph)
    if on_progress is not None:
        graph.sink(on_progress)
    beacons.start()
    return run
