"""The start of a graph: receive beacons into an archive, and emit references to its segments."""

from __future__ import annotations

import asyncio
import logging
import threading
import uuid
import weakref
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from distributed import Client
from streamz import Source, Stream
from streamz.core import sync
from tornado.ioloop import IOLoop

from ...stores import Ledger, Seal, SegmentId
from ...stores.clock import Clock, SystemClock
from ...stores.times import parse_duration
from ..archive import Archive, SegmentRef
from ..chunks import chunks
from ..cluster import check_receivers, check_workers
from ..gaps import gaps, warning
from ..receiver_actor import Actors
from ..receiver_thread import Threads
from ..sources import SourcePartition, open_source
from ..sources.listing import to_receive
from ..supervised import Posts, ReceiverStatus, Supervised
from ..supervisor import Supervisor
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
        Width in time of a segment: how long a beacon may wait to be published. None: what suits the
        source, a second for most.
    max_rows
        Beacons in a segment, at most.
    poll
        Seconds between two looks at the archive when nothing announces a segment.
    client
        Receive on the workers of this Dask cluster; None: in threads of this process, as always
        with a source that is this process's own, such as standard input.

    Attributes
    ----------
    supervisor
        Keeps the receivers alive: see `Supervisor`.
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
        partition: str | None = None,
        max_rows: int = 100_000,
        poll: float = 1.0,
        client: Client | None = None,
        clock: Clock | None = None,
        start: bool = False,
        **kwargs: Any,
    ) -> None:
        self.archive = Archive.open(archive) if isinstance(archive, str) else archive
        self.poll, self.clock = poll, clock or SystemClock()
        self.backlog = 0
        self._url, self._max_rows = url, max_rows
        self._partitions: dict[str, SourcePartition] = {}
        self._source = None if url is None else open_source(url, clock=self.clock)
        growing = self._source is not None and self._source.growing
        if self._source is not None and not growing:
            of_source = self._source.partitions(self.archive.sources())
            self._partitions = {each.identity: each for each in of_source}
        ages = [each.age for each in self._partitions.values()]
        self._partition = partition or min(ages, default="1s", key=parse_duration)
        portable = not growing and all(each.portable for each in self._partitions.values())
        self._client = client if portable and url is not None else None
        self._topic = f"beaconfold-{uuid.uuid4().hex}"
        more = self._list_again if growing else None
        self.supervisor = Supervisor(self._posts(), self.archive, clock=self.clock, more=more)
        self._followed = list(self._partitions)
        self._listing = threading.Lock()
        self.take_over()
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

    @property
    def receivers(self) -> list[Supervised]:
        """Source partitions that this graph receives."""
        return list(self.supervisor.supervised)

    def _posts(self) -> Posts:
        url = self._url or ""
        settings: dict[str, Any] = {"age": self._partition, "max_rows": self._max_rows}
        if self._client is not None:
            return Actors(self._client, absolute(url), self.archive, topic=self._topic, **settings)
        return Threads(
            url,
            self._partitions,
            self.archive,
            clock=self.clock,
            on_publish=lambda _ref: self._wake(),
            **settings,
        )

    def _list_again(self) -> None:
        """Receive what a growing source has now: new files, and those that have grown again."""
        if self._source is None:
            return
        live = {each.name for each in self.receivers if not each.done}
        for each in to_receive(self._source, self.archive, live | set(self._followed)):
            self._partitions[each.identity] = each
            self._followed.append(each.identity)
        self.take_over()

    def take_over(self) -> list[Supervised]:
        """Receive what nobody else is receiving, or no longer: leases run out."""
        with self._listing:
            return self._take()

    def _take(self) -> list[Supervised]:
        new = []
        for name, latest in {each.name: each for each in self.receivers}.items():
            if latest.state == "fenced" and name not in self._followed:
                self._followed.append(name)
        for name in self.followed:
            lease = self.archive.lease(name)
            if lease is not None and lease.live(self.clock.now()):
                continue
            self._followed.remove(name)
            new.append(self.supervisor.add(name, finite=self._partitions[name].finite))
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
        self.start_receiving()
        self._ended.clear()
        super().start()

    def start_receiving(self) -> None:
        """Start the receivers only: nothing is emitted.

        Raises
        ------
        WorkersDiffer
            A worker cannot receive.
        """
        if self._client is not None:
            url = absolute(self._url or "")
            check_receivers(self._client, self.archive, url, list(self._partitions))
            # A client keeps its handlers for ever: this one does not keep the graph.
            wake = weakref.WeakMethod(self._wake)
            self._client.subscribe_topic(
                self._topic, lambda _event: woken() if (woken := wake()) else None
            )
        self.supervisor.start()

    async def run(self) -> None:
        """Emit what the archive has, then wait for a hint or for the next look."""
        self._hint = asyncio.Event()
        try:
            while not self.stopped:
                self._hint.clear()
                try:
                    await self._emit_pending()
                    for taken in await asyncio.to_thread(self.take_over):
                        log.warning("receiving %s: its lease ran out", taken.name)
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

    def stop_receiving(
        self, *, wait_for_the_end: bool = False, timeout: float | None = None
    ) -> list[ReceiverStatus]:
        """Stop the receivers: each publishes what it holds.

        Parameters
        ----------
        wait_for_the_end
            Let sources that end by themselves come to their end.
        timeout
            Seconds to wait, at most.

        Returns
        -------
        list[ReceiverStatus]
            Those that had not come to their end by then, and were let go of: what they held is not
            published, nor acknowledged.

        Raises
        ------
        ArchiveChanged, SourceUnreadable
            What made a receiver fail; what it had received by then is published.
        """
        self._followed.clear()
        self.supervisor.stop(wait_for_the_end=wait_for_the_end)
        self.supervisor.join(timeout)
        left = [each.status for each in self.receivers if not each.done]
        self.supervisor.close()
        if self._client is not None and self._client.status == "running":
            with suppress(ValueError):  # it was never started
                self._client.unsubscribe_topic(self._topic)
        for each in self.receivers:
            if each.failure is not None:
                raise each.failure
        return left

    def drain(self) -> None:
        """Receive to the end, or stop a source that has none, and wait until all is merged.

        However long that takes: while the archive cannot be written, say.
        """
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


def absolute(url: str) -> str:
    """Make a relative path absolute, as a worker's folder may be another one.

    >>> absolute("synthetic://?rate=5"), absolute("/var/log/*.gz")
    ('synthetic://?rate=5', '/var/log/*.gz')
    """
    return url if "://" in url else str(Path.cwd() / url)


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
