"""AMQP queues: what is durable is acknowledged, and what is delivered again is recognised."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, Final, NamedTuple, Self

import numpy as np
import polars as pl
from pika.channel import Channel
from pika.spec import Basic, BasicProperties

from ...stores.clock import Clock, SystemClock
from ...stores.times import parse_duration
from .amqp_link import AmqpLink
from .healing import NAP, Healing
from .messages import Batching, read_batching, to_beacons
from .parameters import number
from .rabbitmq_address import RabbitAddress, partition_name
from .seen import Seen
from .source import NONE_KNOWN, NOTHING, Batch, Source, SourcePartition

PREFETCH: Final = 50_000
"""Messages that may be un-acknowledged: those of a partition in time, and some on their way."""

_KIND: Final = "amqp"
_AT_ONCE: Final = 5000
_MOST_PREFETCH: Final = 65_535


class _Delivery(NamedTuple):
    tag: int
    body: bytes
    message_id: bytes | None


class AmqpPartition(SourcePartition):
    """A queue: messages are taken from it, and go once they are acknowledged.

    It has no offsets: messages are counted, and a broker that was not told that a message is
    durable delivers it again. One that has an id which was seen before is dropped; one without may
    be received twice after a broken connection.

    Parameters
    ----------
    source
        Where it is, and how to read it.
    queue
        Its name.
    """

    def __init__(self, source: AmqpSource, queue: str) -> None:
        self.source, self.queue = source, queue
        name = f"{source.address} queue {queue}"
        self._healing = Healing(name, clock=source.clock)
        self._seen = self._memory()
        self._link: AmqpLink | None = None
        self._channel: Channel | None = None
        self._unsettled: deque[tuple[int, int]] = deque()
        self._durable = 0

    def __repr__(self) -> str:
        return f"AmqpPartition({str(self.source.address)!r}, {self.queue!r})"

    @property
    def finite(self) -> bool:
        """A queue does not end."""
        return False

    @property
    def identity(self) -> str:
        """Name of the partition in the archive."""
        return partition_name(_KIND, self.source.address.vhost, self.queue)

    @property
    def health(self) -> str | None:
        """What is wrong with the connection and since when; None while it stands."""
        return self._healing.health

    @property
    def memory(self) -> timedelta | None:
        """How far back `recall` needs to be told what was received; None: not at all."""
        seconds = self.source.dedupe
        return timedelta(seconds=seconds) if seconds else None

    def about(self) -> dict[str, Any]:
        """Tell which queue it is."""
        return {"kind": _KIND, "vhost": self.source.address.vhost, "queue": self.queue}

    def recall(self, frame: pl.DataFrame) -> None:
        """Remember what a segment of the archive has of this queue, before reading goes on.

        Parameters
        ----------
        frame
            A raw frame; segments come in order of their receipt.
        """
        if self.memory is not None and not frame.is_empty():
            received = frame["received"].dt.epoch("us").max()
            assert isinstance(received, int)  # noqa: S101 - it is never null
            self._seen.fresh(frame["message_id"], received / 1e6)

    def read(self, position: int | None) -> Iterator[Batch]:
        """Take messages; a position is the number of messages before."""
        count = self._durable = position or 0
        try:
            while True:
                arrived: deque[_Delivery] = deque()
                news = threading.Event()
                self._unsettled.clear()
                self._channel = None
                consume = partial(self._consume, arrived=arrived, news=news)
                self._link = AmqpLink(self.source.address, consume, news.set)
                try:
                    for batch in self._follow(self._link, arrived, news, count):
                        count = batch.position or count
                        yield batch
                finally:
                    self._link.close()
                yield Batch(NOTHING, count)
                for _ in self._healing.pause():
                    yield Batch(NOTHING, count)
        finally:
            self._link, self._seen = None, self._memory()

    def acknowledge(self, position: int | None) -> None:
        """Tell the broker which messages it may forget."""
        self._durable = position or 0
        self._settle()

    def _follow(
        self, link: AmqpLink, arrived: deque[_Delivery], news: threading.Event, count: int
    ) -> Iterator[Batch]:
        """Take messages from a connection until it breaks."""
        while True:
            if not arrived:
                news.wait(NAP)
            news.clear()
            messages = [arrived.popleft() for _ in range(min(len(arrived), _AT_ONCE))]
            if self._channel is not None and link.lost is None and self.health is not None:
                self._healing.healed()
            if not messages:
                if link.lost is not None:
                    self._healing.failed(link.lost)
                    return
                yield Batch(NOTHING, count)
                continue
            frame, count = self._beacons(messages, count)
            # What is repeated may go when what it repeats is durable: all that came before it is.
            self._unsettled.append((messages[-1].tag, count))
            self._settle()
            yield Batch(frame, count)

    def _beacons(self, messages: list[_Delivery], count: int) -> tuple[pl.DataFrame, int]:
        _, bodies, ids = zip(*messages, strict=True)
        body = pl.Series("raw", bodies, dtype=pl.Binary)
        identity = pl.Series("message_id", ids, dtype=pl.Binary)
        if self.memory is not None:
            fresh = self._seen.fresh(identity, self.source.clock.now().timestamp())
            body, identity = body.filter(fresh), identity.filter(fresh)
        offsets = np.arange(count, count + len(body), dtype=np.int64)
        frame = to_beacons(body, offsets, identity, batch=self.source.batch)
        return frame, count + len(body)

    def _settle(self) -> None:
        tag = None
        while self._unsettled and self._unsettled[0][1] <= self._durable:
            tag, _ = self._unsettled.popleft()
        link, channel = self._link, self._channel
        if tag is not None and link is not None and channel is not None:
            link.do(lambda: channel.basic_ack(tag, multiple=True))

    def _consume(self, channel: Channel, arrived: deque[_Delivery], news: threading.Event) -> None:
        """Begin to consume; called in the link's thread, as what it passes to the channel is."""

        def deliver(
            _channel: Channel, method: Basic.Deliver, about: BasicProperties, body: bytes
        ) -> None:
            identity = about.message_id
            known = None if identity is None else identity.encode("utf-8", "surrogateescape")
            arrived.append(_Delivery(method.delivery_tag, body, known))
            if not news.is_set():
                news.set()

        def begin(_frame: object) -> None:
            channel.basic_consume(self.queue, deliver, callback=begun)

        def begun(_frame: object) -> None:
            self._channel = channel
            news.set()

        channel.basic_qos(prefetch_count=self.source.prefetch, callback=begin)

    def _memory(self) -> Seen:
        return Seen(self.source.dedupe, self.source.remember)


@dataclass(frozen=True)
class AmqpSource(Source):
    """Queues of a broker, quorum or classic: each is a partition.

    Parameters
    ----------
    address
        Where they are.
    queues
        Their names.
    batch
        What a message holds; see `to_beacons`.
    prefetch
        Messages that may be un-acknowledged.
    dedupe
        Seconds for which ids of messages are remembered; 0: not at all.
    remember
        How many ids are remembered, about.
    """

    address: RabbitAddress
    queues: tuple[str, ...]
    batch: Batching = "one"
    prefetch: int = PREFETCH
    dedupe: float = 86_400.0
    remember: int = 5_000_000
    clock: Clock = field(default_factory=SystemClock, repr=False)

    @classmethod
    def of(cls, url: str, clock: Clock) -> Self:
        """Read a URL: ``amqp://user:password@host:5672/vhost?queue=a,b&prefetch=50000``.

        Raises
        ------
        ValueError
            It is no such URL.
        """
        known = {
            "queue": _names,
            "batch": read_batching,
            "prefetch": number(1, most=_MOST_PREFETCH),
            "dedupe": lambda text: 0.0 if text in {"0", "0s"} else parse_duration(text) / 1e6,
            "remember": number(1000),
        }
        address, _, parameters = RabbitAddress.of(url, known)
        if "queue" not in parameters:
            raise ValueError("name the queue: amqp://user:password@host/vhost?queue=NAME")
        return cls(address, parameters.pop("queue"), **parameters, clock=clock)

    def partitions(
        self, known: Mapping[str, Mapping[str, Any]] = NONE_KNOWN
    ) -> list[SourcePartition]:
        """List the queues; one that is not there yet is read as soon as it is."""
        del known
        return [AmqpPartition(self, queue) for queue in self.queues]


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if not all(names) or len(set(names)) < len(names):
        raise ValueError("name each queue once, with commas between them")
    return names
