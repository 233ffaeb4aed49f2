"""The end of a graph: merge partials into a store."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

from streamz import Stream
from streamz.sinks import _global_sinks

from ...stores import Generation, MergeableStore, open_store
from ..generation import open_generation
from ..job import Job
from ..progress import BatchProgress
from ..roll_up import RollUp
from .references import Partials, SegmentPartials


@Stream.register_api()
class store(Stream):  # type: ignore[misc]  # noqa: N801 - Streamz names nodes so
    """Merge partials into a store, and emit a `BatchProgress` for each batch.

    Partials of segments are merged exactly once, by the store's ledger. Partials of beacons that
    were emitted by hand carry no names and are merged at least once.

    Parameters
    ----------
    into
        A store, or its URL.

    Examples
    --------
    >>> from streamz import Stream
    >>> from beaconfold import open_store
    >>> from beaconfold.pipelines.jobs import beacon_counts
    >>> source, kept = Stream(), open_store("memory://")
    >>> node = source.aggregate_by_key(beacon_counts).store(kept)
    >>> source.emit(["/b.gif?beaconType=click&ts=1"])
    >>> kept.query("beacon-counts")["beacons"].item()
    1
    """

    def __init__(self, upstream: Stream, into: MergeableStore | str, **kwargs: Any) -> None:
        self.target = open_store(into) if isinstance(into, str) else into
        self.generation = lru_cache(self._generation)
        self.roll_up = lru_cache(self._roll_up)
        self.threads = ThreadPoolExecutor(32, thread_name_prefix="beacons-store")
        super().__init__(upstream, **kwargs)
        # Streams know those below them by weak references only: as a sink, the end keeps itself.
        _global_sinks.add(self)

    def destroy(self, streams: Any = None) -> None:
        """Leave the graph."""
        super().destroy(streams)
        _global_sinks.discard(self)

    def update(self, x: Any, who: Stream | None = None, metadata: Any = None) -> Any:
        """Take `Partials` or `SegmentPartials`."""
        del who
        if isinstance(x, SegmentPartials):
            self._retain_refs(metadata or [])
            return asyncio.ensure_future(self._merge(x, metadata))
        if isinstance(x, Partials):
            return self._emit(x.merge_into(self.target, self.generation(x.job)), metadata=metadata)
        raise TypeError(
            f"store() takes what aggregate_by_key(job) emits, not {type(x).__name__}: "
            "put aggregate_by_key(job) before it"
        )

    async def _merge(self, partials: SegmentPartials, metadata: Any) -> None:
        loop = asyncio.get_running_loop()

        def merge() -> BatchProgress:
            done = partials.merge_into(self.target, self.generation(partials.job))
            partials.retry("roll-up", self.roll_up(partials.job).when_due)
            return done

        progress = await loop.run_in_executor(self.threads, merge)
        await asyncio.gather(*self._emit(progress, metadata=metadata))
        self._release_refs(metadata or [])

    def _generation(self, job: Job) -> Generation:
        return open_generation(job, self.target)

    def _roll_up(self, job: Job) -> RollUp:
        return RollUp(self.target, self.generation(job), job)
