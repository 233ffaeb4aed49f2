"""RabbitMQ streams, read by offset: only the archive knows what was read."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Self, TypeAlias

from rstream.client import Client
from rstream.exceptions import StreamDoesNotExist

from ...stores.clock import Clock, SystemClock
from .healing import NAP, Healing
from .messages import Batching, read_batching, to_beacons
from .parameters import one_of
from .rabbitmq_address import RabbitAddress, partition_name
from .rabbitmq_chunk import messages_of
from .rabbitmq_link import MARK, LinkLost, StreamLink, ask, find_mark, open_client
from .source import NONE_KNOWN, NOTHING, Batch, Source, SourcePartition, SourceUnreadable

Gaps: TypeAlias = Literal["refuse", "accept"]
_KIND: Final = "rabbitmq-stream"
_LISTS_PARTITIONS: Final = (3, 11)
_PATIENCE: Final = 5.0


@dataclass(frozen=True)
class RabbitStreamPartition(SourcePartition):
    """A stream: each message has an offset, and reading goes on exactly after the last one.

    A connection that breaks is made again at the next offset.

    Parameters
    ----------
    address
        The broker.
    stream
        The stream's name.
    mark
        Tells the stream from one of the same name that was declared anew; None: not known.
    name
        What it is called in the archive.
    super_stream
        What it is a partition of.
    batch
        What a message holds; see `to_beacons`.
    gaps
        ``accept``: where messages expired before they were read, go on with those that are left.
    clock
        Waits between attempts to connect.
    """

    address: RabbitAddress
    stream: str
    mark: int | None
    name: str
    super_stream: str | None = None
    batch: Batching = "one"
    gaps: Gaps = "refuse"
    clock: Clock = field(default_factory=SystemClock, repr=False)
    healing: Healing = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        healing = Healing(f"{self.address}/{self.stream}", clock=self.clock)
        object.__setattr__(self, "healing", healing)

    @property
    def finite(self) -> bool:
        """A stream does not end."""
        return False

    @property
    def identity(self) -> str:
        """Name of the partition in the archive."""
        return self.name

    @property
    def health(self) -> str | None:
        """What is wrong with the connection and since when; None while it stands."""
        return self.healing.health

    def about(self) -> dict[str, Any]:
        """Tell which stream it is."""
        return {
            "kind": _KIND,
            "vhost": self.address.vhost,
            "stream": self.stream,
            "super": self.super_stream,
            "mark": self.mark,
        }

    def read(self, position: int | None) -> Iterator[Batch]:
        """Read messages; a position is the offset of the next one.

        Raises
        ------
        SourceUnreadable
            Messages after the position have expired, or the stream was declared anew.
        """
        while True:
            link = StreamLink(self.address, self.stream, position)
            try:
                for batch in self._follow(link, position):
                    position = batch.position
                    yield batch
            except LinkLost as lost:
                self.healing.failed(str(lost))
            finally:
                link.close()
            yield Batch(NOTHING, position)
            for _ in self.healing.pause():
                yield Batch(NOTHING, position)

    def _follow(self, link: StreamLink, position: int | None) -> Iterator[Batch]:
        """Read from a connection until it breaks."""
        begun = False
        while True:
            chunks = link.take(NAP)
            if chunks is None:  # not connected yet
                yield Batch(NOTHING, position)
                continue
            if self.healing.health is not None:
                self.healing.healed()
            if not begun and self.mark is not None and link.mark not in (None, self.mark):
                raise SourceUnreadable(self._declared_anew())
            if not chunks:
                yield Batch(NOTHING, position)
                continue
            first, last = chunks[0].chunk_first_offset, chunks[-1]
            if not begun and position is not None:
                self._check(link, position, first, first + chunks[0].num_records)
            begun = True
            messages = messages_of(chunks, position or 0)
            position = last.chunk_first_offset + last.num_records
            frame = to_beacons(messages.bodies, messages.offsets, messages.ids, batch=self.batch)
            yield Batch(frame, position)

    def _check(self, link: StreamLink, position: int, first: int, end: int) -> None:
        """Make sure that nothing is missing between what was read and what comes."""
        if end <= position:
            raise SourceUnreadable(
                f"the stream {self.stream} goes on at offset {first}, but was read up to "
                f"{position} before: it was declared anew, or has lost its end"
            )
        # The broker's own notes lie between messages and take offsets, so a gap may mean nothing:
        # unless what comes is the very beginning of what the stream still has.
        if first > position and self.gaps == "refuse" and link.first_offset() == first:
            raise SourceUnreadable(
                f"the stream {self.stream} begins at offset {first}, but was read up to {position} "
                "before: what lies between has expired, add ?gaps=accept to go on without it"
            )

    def _declared_anew(self) -> str:
        return (
            f"the stream {self.stream} was deleted and declared anew: list the partitions again, "
            f"so that it is not taken for the one that {self.name} holds"
        )


@dataclass(frozen=True)
class RabbitStreamSource(Source):
    """A stream, or the partitions of a super stream.

    A stream is known by its virtual host, its name, and a mark that the first reader keeps in it
    among the offsets that consumers keep there (this needs the right to write to it): one that was
    deleted and declared anew is another partition.

    Parameters
    ----------
    address, stream
        Where it is, and what it is called.
    batch, gaps
        See `RabbitStreamPartition`.
    """

    address: RabbitAddress
    stream: str
    batch: Batching = "one"
    gaps: Gaps = "refuse"
    clock: Clock = field(default_factory=SystemClock, repr=False)

    @classmethod
    def of(cls, url: str, clock: Clock) -> Self:
        """Read a URL: ``rabbitmq-stream://user:password@host:5552/vhost/stream?batch=lines``.

        Raises
        ------
        ValueError
            It is no such URL.
        """
        known = {"batch": read_batching, "gaps": one_of("refuse", "accept")}
        address, (stream,), parameters = RabbitAddress.of(url, known, names=1)
        return cls(address, stream, **parameters, clock=clock)

    def partitions(
        self, known: Mapping[str, Mapping[str, Any]] = NONE_KNOWN
    ) -> list[SourcePartition]:
        """List the partitions: one, unless it is a super stream.

        While the broker cannot be asked, these are the ones that are known, or the stream itself:
        it is read as soon as it is there.
        """
        here = {
            name: about
            for name, about in known.items()
            if about.get("kind") == _KIND and about.get("vhost") == self.address.vhost
        }
        try:
            marks = ask(self._look, _PATIENCE)
        except LinkLost:
            latest = {
                about["stream"]: about["mark"]
                for about in sorted(here.values(), key=lambda about: about["mark"] or 0)
                if self.stream in (about["stream"], about["super"])
            }
            marks = latest or {self.stream: None}
        return [self._partition(stream, mark, here) for stream, mark in marks.items()]

    def _partition(
        self, stream: str, mark: int | None, here: Mapping[str, Mapping[str, Any]]
    ) -> SourcePartition:
        name = partition_name(_KIND, self.address.vhost, stream)
        marks = {other: about["mark"] for other, about in here.items() if about["stream"] == stream}
        if mark is not None and marks:
            same = [other for other, its in marks.items() if its == mark]
            if not same and marks.get(name) is not None:
                name = partition_name(_KIND, self.address.vhost, stream, f"{mark:x}")
            else:
                name = same[0] if same else name
        whole = self.stream if stream != self.stream else None
        return RabbitStreamPartition(
            self.address, stream, mark, name, whole, self.batch, self.gaps, self.clock
        )

    async def _look(self) -> dict[str, int | None]:
        """Ask the broker for the streams, and for the mark of each; mark those that have none."""
        client = await open_client(self.address, lambda _why: None)
        try:
            exists = await client.stream_exists(self.stream)
            streams = [self.stream] if exists else await _super_stream(client, self.stream)
            return {stream: await _marked(client, stream) for stream in streams}
        finally:
            await client.close()


async def _marked(client: Client, stream: str) -> int | None:
    mark = await find_mark(client, stream)
    if mark is None:
        # Later marks are greater, and all are beyond any offset.
        instant = int(time.time() * 1000) & ((1 << 42) - 1)
        await client.store_offset(stream, MARK, 1 << 62 | instant << 20 | secrets.randbits(20))
        mark = await find_mark(client, stream)  # another reader's, if it came later
    return mark


async def _super_stream(client: Client, name: str) -> list[str]:
    properties = client.server_properties or {}
    version = tuple(int(part) for part in properties.get("version", "0").split(".")[:2])
    if version >= _LISTS_PARTITIONS:
        return await client.partitions(name)
    # Older brokers' answer is malformed; their partitions are called name-0, name-1 and so on.
    found: list[str] = []
    while await client.stream_exists(f"{name}-{len(found)}"):
        found.append(f"{name}-{len(found)}")
    if not found:
        raise StreamDoesNotExist
    return found
