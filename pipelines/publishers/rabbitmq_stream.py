"""Beacons to a RabbitMQ stream: with publishing ids, so that what is sent again is stored once."""

from __future__ import annotations

import asyncio
import random
import secrets
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from rstream.client import Client
from rstream.exceptions import LeaderNotAvailable, ServerError, StreamAlreadyExists
from rstream.schema import Message, Publish, PublishConfirm, PublishError

from ..sources.amqp_message import encode
from ..sources.rabbitmq_address import RabbitAddress
from ..sources.rabbitmq_link import LinkLost, connect, open_client, reason
from .publisher import Publisher, PublishFailed

_MESSAGES, _BYTES = 1000, 512 << 10
_UNDER_WAY: Final = 10_000
_SILENCE: Final = 10.0
_FIRST, _MOST = 0.1, 5.0


class RabbitStreamPublisher(Publisher):
    """Sends to a stream, which is declared if need be.

    Each message has a number under the publisher's name. The broker knows the last one it has, so
    after a broken connection the rest is sent again, and nothing is stored twice.

    Parameters
    ----------
    url
        ``rabbitmq-stream://user:password@host:5552/vhost/stream``.
    patience
        Seconds without an answer after which to give up.

    Raises
    ------
    ValueError
        It is no such URL.
    PublishFailed
        The broker is not there, or refuses.
    """

    def __init__(self, url: str, patience: float = 60.0) -> None:
        self._address, (self._stream,), _ = RabbitAddress.of(url, {}, names=1)
        self._patience = patience
        self._name = f"beaconfold-{secrets.token_hex(8)}"
        self._next = 1
        self._client: Client | None = None
        self._stored = 0
        self._waiting: set[int] = set()
        self._refused = 0
        self._lost = False
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._loop = self._runner.get_loop()
        self._loop.set_exception_handler(lambda _loop, _context: self._lose())
        self._progress = asyncio.Event()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()
        try:
            self.send([])
        except PublishFailed:
            self.close()
            raise

    def send(self, bodies: Sequence[bytes]) -> int:
        """Send beacons, and wait until they are confirmed: see `Publisher.send`."""
        return asyncio.run_coroutine_threadsafe(self._send(bodies), self._loop).result()

    def close(self) -> None:
        """Close the connection."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    def _run(self) -> None:
        with self._runner:
            self._runner.run(self._live())

    async def _live(self) -> None:
        await self._over.wait()
        await self._drop()

    async def _send(self, bodies: Sequence[bytes]) -> int:
        first, self._next = self._next, self._next + len(bodies)
        self._waiting, self._refused = set(range(first, self._next)), 0
        pause, deadline = _FIRST, time.monotonic() + self._patience
        while True:
            before = len(self._waiting)
            try:
                if self._client is None:
                    self._client = await asyncio.wait_for(self._open(), 3 * _SILENCE)
                await self._publish(self._client, bodies, first)
            except (OSError, TimeoutError, ServerError, LeaderNotAvailable, LinkLost) as error:
                await self._drop()
                if len(self._waiting) < before:
                    pause, deadline = _FIRST, time.monotonic() + self._patience
                if time.monotonic() > deadline or not self._may_heal(error):
                    confirmed = min(self._waiting, default=self._next) - first
                    place = f"{self._address}/{self._stream}"
                    raise PublishFailed(f"{place}: {reason(error)}", confirmed) from error
                await asyncio.sleep(random.uniform(0, pause))  # noqa: S311 - only jitter
                pause = min(2 * pause, _MOST)
            else:
                return len(bodies) - self._refused

    def _may_heal(self, error: Exception) -> bool:
        """Tell whether trying again may help: not if the very first connection is refused."""
        return self._stored > 0 or self._next > 1 or not isinstance(error, (OSError, ServerError))

    async def _open(self) -> Client:
        self._lost = False
        locator = await open_client(self._address, lambda _why: None)
        try:
            if not await locator.stream_exists(self._stream):
                with suppress(StreamAlreadyExists):
                    await locator.create_stream(self._stream)
        finally:
            await locator.close()
        client = await connect(self._address, self._stream, lambda _why: self._lose())
        client.add_handler(PublishConfirm, self._confirmed, name="confirm")
        client.add_handler(PublishError, self._not_stored, name="error")
        await client.declare_publisher(self._stream, self._name, 1)
        self._stored = await client.query_publisher_sequence(self._stream, self._name)
        self._waiting = {number for number in self._waiting if number > self._stored}
        return client

    async def _publish(self, client: Client, bodies: Sequence[bytes], first: int) -> None:
        """Send what the broker does not have yet, with few under way, and wait for the rest."""
        at = max(self._stored + 1 - first, 0)
        unsent = len(bodies) - at
        while self._waiting:
            while unsent and len(self._waiting) - unsent < _UNDER_WAY:
                messages: list[Message] = []
                size = 0
                while at < len(bodies) and len(messages) < _MESSAGES and size < _BYTES:
                    messages.append(Message(first + at, None, encode(bodies[at])))
                    size += len(bodies[at])
                    at += 1
                unsent = len(bodies) - at
                await client.send_publish_frame(Publish(1, messages))
            self._progress.clear()
            if self._lost:
                raise LinkLost("connection closed")
            if self._waiting:
                await asyncio.wait_for(self._progress.wait(), _SILENCE)

    def _confirmed(self, frame: PublishConfirm) -> None:
        self._waiting.difference_update(frame.publishing_ids)
        self._progress.set()

    def _not_stored(self, frame: PublishError) -> None:
        refused = {error.publishing_id for error in frame.errors} & self._waiting
        self._refused += len(refused)
        self._waiting -= refused
        self._progress.set()

    def _lose(self) -> None:
        self._lost = True
        self._progress.set()

    async def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(Exception):
                await client.close()
