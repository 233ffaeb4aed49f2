"""The start of a graph: receive beacons into an archive, and emit references to its segments."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from functools import cache
from typing import Any

from streamz import Source, Stream
from streamz.core import sync
from tornado.ioloop import IOLoop

from ...stores import Ledger, Seal, SegmentId
from ...stores.clock import Clock, SystemClock
from ..archive import Archive, SegmentRef
from ..chunks import chunks
from ..cluster import check_workers
from ..gaps import gaps, warning
from ..receiver import Receiver
from ..sources import SourcePartition, open_source
from .aggregate_by_key import aggregate_by_key
from .references import Segments
from .store import store

log = logging.getLogger(__name__)


@Stream.register_api(staticmethod)
class from_beacons(Source):  # type: ignore[misc]  # noqa: N801 - Streamz names nodes so
    """Receive beacons into an archive and emit its segments, each once, as references.

    The truth is the archive's listing less the ledgers of the stores downstream: it is looked at
    when the graph starts, whenever a receiver publishes, and every ``poll`` seconds. What was
    merged before is not emitted again; what was received and not merged is.

    Parameters
    ----------
    url
        Where beacons come from; None: only follow what others receive into the archive. A source
        partition that another process receives is followed, until that one stops or its lease runs
        out: it is never received twice.
    archive
        A folder, its URL, or an `Archive`.
    partition
        Width in time of a segment: how long a beacon may wait to be published.
    max_rows
        Beacons in a segment, at most.
    poll
        Seconds between two looks at the archive when nothing announces a segment.

    Attributes
    ----------
    receivers
        Those of this graph, one a source partition.
    backlog
        Segments that were published and not emitted yet, at the last look.

    Examples
    --------
    >>> import tempfile
    >>> from streamz import Stream
    >>> from beaconfold import open_store
    >>> from beaconfold.pipelines.jobs import beacon_counts
    >>> store, beacons = open_store("memory://"), "synthetic://?count=100&rate=0&malformed=0"
    >>> source = Stream.from_beacons(beacons, archive=tempfile.mkdtemp())
    >>> graph = source.aggregate_by_key(beacon_counts).store(store)
    >>> source.start()
    >>> source.drain()
    >>> store.query("beacon-counts")["beacons"].sum()
    100
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        archive: Archive | str,
        partition: str = "1s",
        max_rows: int = 100_000,
        poll: float = 1.0,
        clock: Clock | None = None,
        start: bool = False,
        **kwargs: Any,
    ) -> None:
        self.archive = Archive.open(archive) if isinstance(archive, str) else archive
        self.poll, self.clock = poll, clock or SystemClock()
        self.receivers: list[Receiver] = []
        self.backlog = 0
        self._partition, self._max_rows = partition, max_rows
        self._followed: dict[str, SourcePartition] = {}
        if url is not None:
            of_source = open_source(url, clock=self.clock).partitions(self.archive.sources())
            self._followed = {each.identity: each for each in of_source}
        self._take_over()
        self._taken, self._sealed = Ledger(), set[Seal]()
        self._taking = threading.Lock()
        self._hint: asyncio.Event | None = None
        self._ended = threading.Event()
        # The default Dask client's loop would be taken, and end with that client.
        kwargs.setdefault("loop", own_loop())
        super().__init__(start=start, **kwargs)

    @property
    def followed(self) -> list[str]:
        """Source partitions that another process receives."""
        return list(self._followed)

    def _take_over(self) -> list[Receiver]:
        """Receive what nobody else is receiving, or no longer: leases run out."""
        new = []
        for name, partition in list(self._followed.items()):
            lease = self.archive.lease(name)
            if lease is not None and lease.live(self.clock.now()):
                continue
            del self._followed[name]
            receiver = Receiver(
                partition,
                self.archive,
                age=self._partition,
                max_rows=self._max_rows,
                clock=self.clock,
                on_publish=lambda _ref: self._wake(),
            )
            new.append(receiver)
        self.receivers += new
        return new

    def start(self) -> None:
        """Check the cluster, take from the ledgers what is merged, and begin to receive.

        Raises
        ------
        WorkersDiffer
            A worker cannot do the work; see `check_workers`.
        """
        if not self.stopped:
            return
        ends = [
            (hop, node)
            for hop in self._hops()
            for node in _downstream(hop)
            if isinstance(node, store)
        ]
        for hop in self._hops():
            if hop.client is not None and hop.shipped is not None:
                own = (node.target for of, node in ends if of is hop)
                check_workers(hop.client, self.archive, *own, shipped=hop.shipped)
        # What each store is done with: merged, or set aside.
        self._done: list[tuple[Ledger, set[SegmentId]]] = [
            (node.target.segments(generation), node.target.poison(generation).segments())
            for hop, node in ends
            for generation in [node.generation(hop.job)]
        ]
        for ledger, _ in self._done:
            if lost := gaps(self.archive, ledger):
                log.warning("%s", warning(lost))
        for receiver in self.receivers:
            receiver.start()
        self._ended.clear()
        super().start()

    async def run(self) -> None:
        """Emit what the archive has, then wait for a hint or for the next look."""
        self._hint = asyncio.Event()
        try:
            while not self.stopped:
                self._hint.clear()
                try:
                    await self._emit_pending()
                    for receiver in await asyncio.to_thread(self._take_over):
                        log.warning("receiving %s: its lease ran out", receiver.progress.partition)
                        receiver.start()
                except OSError as error:
                    log.warning("the archive cannot be read: %s; trying again", error)
                try:
                    await asyncio.wait_for(self._hint.wait(), self.poll)
                except TimeoutError:
                    continue
        except Exception as error:  # noqa: BLE001 - the loop would only log it, and all would stand still
            for hop in self._hops():
                hop.fail(error)
        finally:
            self._ended.set()

    def stop_receiving(self, *, wait_for_the_end: bool = False) -> None:
        """Stop the receivers: each publishes what it holds.

        Parameters
        ----------
        wait_for_the_end
            Let sources that end by themselves come to their end.

        Raises
        ------
        ArchiveChanged, SourceUnreadable
            What made a receiver fail; what it had received by then is published.
        """
        for receiver in self.receivers:
            if not (wait_for_the_end and receiver.finite):
                receiver.stop()
        for receiver in self.receivers:
            receiver.join()
        for receiver in self.receivers:
            if receiver.failure is not None:
                raise receiver.failure

    def drain(self) -> None:
        """Receive to the end, or stop a source that has none, and wait until all is merged."""
        self.start()
        try:
            self.stop_receiving(wait_for_the_end=True)
        except Exception:
            sync(self.loop, self.drained)  # what a receiver had before it failed
            raise
        sync(self.loop, self.drained)

    async def drained(self) -> None:
        """Emit all that is published, and wait until it is merged."""
        self.stopped = True
        self._wake()
        await asyncio.to_thread(self._ended.wait)
        await self._emit_pending()
        for hop in self._hops():
            await hop.drained()

    def _hops(self) -> list[aggregate_by_key]:
        return [node for node in _downstream(self) if isinstance(node, aggregate_by_key)]

    async def _emit_pending(self) -> None:
        while not any(hop.failure is not None for hop in self._hops()):
            if (batch := await asyncio.to_thread(self._next)) is None:
                break
            await asyncio.gather(*self._emit(batch))

    def _next(self) -> Segments | None:
        """Take the next batch of what is published, merged by nobody and not taken yet."""
        with self._taking:
            refs, seals = self._pending()
            if not refs and not seals:
                return None
            batch = next(chunks(refs), [])
            self.backlog = len(refs) - len(batch)
            self._taken = self._taken.add(ref.id for ref in batch)
            self._sealed.update(seals)
            return Segments(self.archive, tuple(batch), tuple(seals))

    def _pending(self) -> tuple[list[SegmentRef], list[Seal]]:
        refs = [
            ref
            for ref in self.archive.segments()
            if ref.id not in self._taken
            and not (self._done and all(_holds(*done, ref.id) for done in self._done))
        ]
        seals = [seal for seal in self.archive.seals() if seal not in self._sealed]
        return refs, seals

    def _wake(self) -> None:
        if self._hint is not None:
            self.loop.add_callback(self._hint.set)


@cache
def own_loop() -> IOLoop:
    """Start the loop that live graphs of this process share, in a thread of its own."""
    loop: IOLoop = IOLoop(make_current=False)
    threading.Thread(target=loop.start, name="beacons-loop", daemon=True).start()
    return loop


def _holds(ledger: Ledger, poison: set[SegmentId], segment: SegmentId) -> bool:
    return segment in ledger or segment in poison


def _downstream(node: Stream) -> Iterator[Stream]:
    for below in node.downstreams:
        yield below
        yield from _downstream(below)
