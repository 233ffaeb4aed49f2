"""The cluster hop: fold what arrives by a job, with a bounded number of batches under way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import polars as pl
from distributed import Client
from streamz import Stream

from ..job import Job
from ..retry import Outage, Retry
from ..shipping import ShippedJob
from .references import Partials, SegmentPartials, Segments


@Stream.register_api()
class aggregate_by_key(Stream):  # type: ignore[misc]  # noqa: N801 - Streamz names nodes so
    """Fold beacons, or references to segments of beacons, into partials by the job's key.

    References go to the cluster: the node submits them with at most ``window`` batches under way,
    emits results in the order in which they are done, survives lost workers, and can drain. (To
    ``scatter`` data and ``gather`` results would lose both data and the stream with a worker.)

    Parameters
    ----------
    job
        What to compute.
    client
        A Dask client; None: fold in this process.
    window
        Batches under way, from folding to the end of everything downstream; then upstream waits.

    Examples
    --------
    >>> from streamz import Stream
    >>> from beaconfold.pipelines.jobs import beacon_counts
    >>> source, seen = Stream(), []
    >>> hop = source.aggregate_by_key(beacon_counts)
    >>> _ = hop.map(lambda partials: partials.frame).sink(seen.append)
    >>> source.emit(["/b.gif?beaconType=click&ts=1", "/b.gif?beaconType=click&ts=2"])
    >>> seen[0]["beacons"].to_list()
    [2]
    """

    def __init__(
        self,
        upstream: Stream,
        job: Job,
        *,
        client: Client | None = None,
        window: int = 8,
        **kwargs: Any,
    ) -> None:
        self.job, self.client, self.window = job, client, window
        self.shipped = ShippedJob(job) if client is not None else None
        self.giving_up = threading.Event()
        self.retries = 0
        self.failure: BaseException | None = None
        self._outage = Outage()
        self._slots = asyncio.Semaphore(window)
        self._under_way: dict[asyncio.Task[None], Segments] = {}
        # Where partials of beacons that were emitted by hand are waited for.
        self.threads = ThreadPoolExecutor(window, thread_name_prefix=f"beacons-{job.name}")
        super().__init__(upstream, ensure_io_loop=client is not None, **kwargs)

    def update(self, x: Any, who: Stream | None = None, metadata: Any = None) -> Any:
        """Take references, or beacons: a frame, or an iterable of bytes or text."""
        del who
        if isinstance(x, Segments):
            self._retain_refs(metadata or [])
            return asyncio.ensure_future(self._admit(x, metadata or []))
        if self.client is not None:
            self._retain_refs(metadata or [])
            return asyncio.ensure_future(self._fold_there(_frame(x), metadata or []))
        return self._emit(Partials(self.job, self.job.fold(_frame(x))), metadata=metadata)

    @property
    def under_way(self) -> int:
        """Segments admitted and not done yet."""
        return sum(len(segments.refs) for segments in list(self._under_way.values()))

    async def drained(self) -> None:
        """Wait until nothing is under way; raise what ended the stream, if something did."""
        while self._under_way:
            await asyncio.wait(self._under_way)
        if isinstance(self.failure, Exception):
            raise self.failure
        if self.failure is not None:
            # Anything else would pass by all who wait for the loop, and leave them waiting.
            raise RuntimeError(f"the stream has ended: {self.failure!r}") from self.failure

    def fail(self, error: BaseException) -> None:
        """End the stream by an error, for `drained` to raise."""
        self.failure = self.failure or error
        self.stop()

    def give_up(self) -> None:
        """Stop trying again: batches that fail now are left to the next run."""
        self.giving_up.set()

    async def _fold_there(self, frame: pl.DataFrame, metadata: Sequence[Any]) -> None:
        assert self.client is not None  # noqa: S101 - for the type checker
        future = self.client.submit(_fold_frame, self.shipped, frame, pure=False)
        # The loop may be the client's own: only another thread may wait for it.
        loop = asyncio.get_running_loop()
        partials = await loop.run_in_executor(self.threads, future.result)
        await asyncio.gather(*self._emit(Partials(self.job, partials), metadata=metadata))
        self._release_refs(metadata)

    async def _admit(self, segments: Segments, metadata: Sequence[Any]) -> None:
        await self._slots.acquire()
        task = asyncio.ensure_future(self._pass_on(segments, metadata))
        self._under_way[task] = segments
        task.add_done_callback(self._under_way.pop)

    async def _pass_on(self, segments: Segments, metadata: Sequence[Any]) -> None:
        retry = Retry(stop=self.giving_up, on_retry=self._count_retry, outage=self._outage)
        try:
            partials = SegmentPartials(self.job, segments, self.client, self.shipped, retry)
            await asyncio.gather(*self._emit(partials, metadata=metadata))
            # Released only now: the reference count says that the batch is merged.
            self._release_refs(metadata)
        except BaseException as error:  # noqa: BLE001 - an exception in the loop would end it silently
            self.fail(error)
        finally:
            self._slots.release()

    def _count_retry(self, _error: Exception) -> None:
        self.retries += 1


def _fold_frame(shipped: ShippedJob, frame: pl.DataFrame) -> pl.DataFrame:
    return shipped.job.fold(frame)


def _frame(beacons: pl.DataFrame | Iterable[bytes | str]) -> pl.DataFrame:
    if isinstance(beacons, pl.DataFrame):
        return beacons
    raw = [line.encode() if isinstance(line, str) else line for line in beacons]
    return pl.DataFrame({"raw": pl.Series(raw, dtype=pl.Binary)})
