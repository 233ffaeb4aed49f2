"""Beacons to an AMQP queue: confirmed by the broker, each with an id that is never used again."""

from __future__ import annotations

import random
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from pika import BasicProperties, DeliveryMode
from pika.channel import Channel
from pika.frame import Method
from pika.spec import Basic

from ..sources.amqp_link import AmqpLink
from ..sources.parameters import one_of
from ..sources.rabbitmq_address import RabbitAddress
from .publisher import Publisher, PublishFailed

_AT_ONCE: Final = 1000
_UNDER_WAY: Final = 5000
_SILENCE: Final = 30.0
_FIRST, _MOST = 0.1, 5.0


class AmqpPublisher(Publisher):
    """Sends to a queue, which is declared if need be.

    After a broken connection, what was not confirmed is sent again with the same ids: the broker
    may have it twice then, and a source drops what it has seen.

    Parameters
    ----------
    url
        ``amqp://user:password@host:5672/vhost?queue=NAME&type=quorum``; the type, ``quorum`` or
        ``classic``, is that of a queue that is not there yet.
    patience
        Seconds without a connection after which to give up.

    Raises
    ------
    ValueError
        It is no such URL.
    PublishFailed
        The broker is not there, or refuses.
    """

    def __init__(self, url: str, patience: float = 60.0) -> None:
        known: dict[str, Callable[[str], Any]] = {"queue": str, "type": one_of("quorum", "classic")}
        self._address, _, parameters = RabbitAddress.of(url, known)
        if "queue" not in parameters:
            raise ValueError("name the queue: amqp://user:password@host/vhost?queue=NAME")
        self._queue, self._type = parameters["queue"], parameters.get("type", "quorum")
        self._patience = patience
        self._name, self._sent = secrets.token_hex(8), 0
        self._news = threading.Condition()
        self._channel: Channel | None = None
        self._link: AmqpLink | None = None
        self._missing = False
        self._last_tag = 0
        self._open: dict[int, int] = {}
        self._refused = 0
        try:
            self._connect(0.0)
        except PublishFailed:
            self.close()
            raise

    def send(self, bodies: Sequence[bytes]) -> int:
        """Send beacons, and wait until they are confirmed: see `Publisher.send`."""
        first, self._sent = self._sent, self._sent + len(bodies)
        unsent, self._refused = list(range(len(bodies))), 0
        self._open.clear()
        while unsent or self._open:
            channel, link = self._channel, self._link
            if channel is None or link is None or link.lost is not None:
                unsent = sorted([*self._open.values(), *unsent])
                self._open.clear()
                try:
                    self._connect(self._patience)
                except PublishFailed as failed:
                    raise PublishFailed(str(failed), unsent[0]) from failed
                continue
            with self._news:
                now = unsent[: min(_AT_ONCE, _UNDER_WAY - len(self._open))]
                for index in now:
                    self._last_tag += 1
                    self._open[self._last_tag] = index
            if now:
                del unsent[: len(now)]
                messages = [(f"{self._name}-{first + index}", bodies[index]) for index in now]
                link.do(lambda c=channel, m=messages: self._publish(c, m))  # type: ignore[misc]
            with self._news:
                full = len(self._open) >= _UNDER_WAY or not unsent
                before = len(self._open)
                if full and before and link.lost is None and not self._news.wait(_SILENCE):
                    link.do(lambda k=link: k.lose("no confirm from the broker"))  # type: ignore[misc]
        return len(bodies) - self._refused

    def close(self) -> None:
        """Close the connection."""
        link, self._link, self._channel = self._link, None, None
        if link is not None:
            link.close()

    def _connect(self, patience: float) -> None:
        """Connect, again and again for a while."""
        pause, deadline = _FIRST, time.monotonic() + patience
        while True:
            self.close()
            self._last_tag = 0
            self._link = link = AmqpLink(self._address, self._declare, self._wake)
            with self._news:
                self._news.wait_for(
                    lambda k=link: self._channel or k.lost,  # type: ignore[misc]
                    _SILENCE,
                )
            if self._channel is not None and link.lost is None:
                return
            if not self._missing and time.monotonic() > deadline:
                why = link.lost or "no answer from the broker"
                raise PublishFailed(f"{self._address} queue {self._queue}: {why}")
            if not self._missing:
                time.sleep(random.uniform(0, pause))  # noqa: S311 - only jitter
                pause = min(2 * pause, _MOST)

    def _declare(self, channel: Channel) -> None:
        """See whether the queue is there; make it at the next attempt if the channel breaks."""

        def ready(_frame: Method) -> None:
            channel.confirm_delivery(self._answer, callback=go)

        def go(_frame: Method) -> None:
            with self._news:
                self._channel = channel
                self._news.notify_all()

        if self._missing:
            self._missing = False
            kind = {"x-queue-type": self._type}
            channel.queue_declare(self._queue, durable=True, arguments=kind, callback=ready)
            return
        self._missing = True  # until it is seen to be there

        def there(frame: Method) -> None:
            self._missing = False
            ready(frame)

        def gone(_channel: Channel, why: BaseException) -> None:
            if getattr(why, "reply_code", 0) != 404:  # noqa: PLR2004 - AMQP's NOT_FOUND
                self._missing = False

        channel.add_on_close_callback(gone)
        channel.queue_declare(self._queue, passive=True, callback=there)

    def _publish(self, channel: Channel, messages: list[tuple[str, bytes]]) -> None:
        for identity, body in messages:
            about = BasicProperties(message_id=identity, delivery_mode=DeliveryMode.Persistent)
            channel.basic_publish("", self._queue, body, about)

    def _answer(self, frame: Method) -> None:
        """Note what the broker says of one message, or of all up to it."""
        method = frame.method
        with self._news:
            tags = [method.delivery_tag]
            if method.multiple:
                tags = [tag for tag in self._open if tag <= method.delivery_tag]
            for tag in tags:
                done = self._open.pop(tag, None)
                if done is not None and isinstance(method, Basic.Nack):
                    self._refused += 1
            self._news.notify_all()

    def _wake(self) -> None:
        with self._news:
            self._news.notify_all()
