"""One connection to a RabbitMQ stream, in a thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import queue
import re
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent import futures
from contextlib import suppress
from typing import Any, Final, TypeVar

from rstream.client import Client
from rstream.constants import OffsetType
from rstream.exceptions import LeaderNotAvailable, OffsetNotFound, ServerError
from rstream.schema import Deliver, Heartbeat, MetadataUpdate, OffsetSpec

from .rabbitmq_address import RabbitAddress

CREDIT: Final = 16
"""Chunks that the broker may send ahead of what was taken: this bounds what is held."""

MARK: Final = "beaconfold-incarnation"
_HEARTBEAT: Final = 10
_SILENCE: Final = 2.5 * _HEARTBEAT
_FRAME: Final = 1 << 20
_SETUP: Final = 15.0

T = TypeVar("T")


class LinkLost(ConnectionError):
    """The connection could not be made, or has broken; says why in a line."""


class StreamLink:
    """A subscription to a stream: chunks come from the broker, and are taken by a reader.

    Parameters
    ----------
    address
        The broker.
    stream
        The stream's name.
    position
        The offset of the first message that is wanted; None: the stream's first.
    """

    def __init__(self, address: RabbitAddress, stream: str, position: int | None) -> None:
        self.mark: int | None = None
        self._address, self._stream, self._position = address, stream, position
        self._arrived: queue.SimpleQueue[Deliver | LinkLost | None] = queue.SimpleQueue()
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._loop = self._runner.get_loop()
        self._loop.set_exception_handler(
            lambda _loop, context: self._lose(context.get("exception"))
        )
        self._over = asyncio.Event()
        self._heard = time.monotonic()
        self._client: Client | None = None
        self._subscribed = False
        name = f"rabbitmq-stream-{stream}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def take(self, patience: float) -> list[Deliver] | None:
        """Take the chunks that have come; None before it is subscribed, none if nothing came.

        Raises
        ------
        LinkLost
            There will be no more.
        """
        chunks: list[Deliver] = []
        with suppress(queue.Empty):
            found = self._arrived.get(timeout=patience)
            while True:
                if isinstance(found, LinkLost):
                    if chunks:
                        self._arrived.put(found)
                        break
                    raise found
                if found is not None:
                    chunks.append(found)
                if len(chunks) >= CREDIT:
                    break
                found = self._arrived.get_nowait()
        if chunks and (client := self._client) is not None:
            self._do(client.credit(1, len(chunks)))
        return chunks if chunks or self._subscribed else None

    def first_offset(self) -> int | None:
        """Ask for the offset of the first message that the stream still has.

        Raises
        ------
        LinkLost
            The broker does not answer.
        """
        client = self._client
        if client is None:
            return None
        try:
            return self._do(first_offset(client, self._stream)).result(_SETUP)
        except (TimeoutError, RuntimeError, ServerError, OSError) as error:
            raise LinkLost(reason(error)) from error

    def close(self) -> None:
        """Let go of the connection; returns at once."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._over.set)

    def _do(self, work: Coroutine[Any, Any, T]) -> futures.Future[T]:
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError:  # the loop is closed: the reader will be told why
            work.close()
            raise LinkLost("connection closed") from None

    def _run(self) -> None:
        with self._runner:
            self._runner.run(self._live())

    async def _live(self) -> None:
        client: Client | None = None
        try:
            client = await connect(self._address, self._stream, lambda _why: self._lose(None))
            await self._unless_over(self._subscribe(client))
            while not self._over.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._over.wait(), 1)
                if time.monotonic() - self._heard > _SILENCE:
                    self._lose(LinkLost("no heartbeat from the broker"))
        except Exception as error:  # noqa: BLE001 - whatever it is, the reader decides
            self._lose(error)
        finally:
            self._client = None
            if client is not None:
                with suppress(Exception):
                    await client.close()

    async def _unless_over(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something, but not for longer than the connection stands."""
        doing, over = asyncio.ensure_future(work), asyncio.ensure_future(self._over.wait())
        await asyncio.wait({doing, over}, timeout=_SETUP, return_when=asyncio.FIRST_COMPLETED)
        over.cancel()
        if doing.done():
            return doing.result()
        doing.cancel()
        if not self._over.is_set():
            raise LinkLost("no answer from the broker")
        return None

    async def _subscribe(self, client: Client) -> None:
        self.mark = await find_mark(client, self._stream)
        client.add_handler(Deliver, self._deliver, name="1")
        client.add_handler(Heartbeat, self._listen, name="liveness")
        client.add_handler(MetadataUpdate, self._changed, name="metadata")
        await client.run_queue_listener_task(1, self._deliver)
        begin = OffsetSpec(OffsetType.FIRST)
        if self._position is not None:
            begin = OffsetSpec.from_params(OffsetType.OFFSET, self._position)
        self._client = client  # chunks may come before the answer
        await client.subscribe(self._stream, 1, begin, initial_credit=CREDIT)
        self._subscribed = True
        self._arrived.put(None)

    def _deliver(self, chunk: Deliver) -> None:
        self._heard = time.monotonic()
        if chunk.subscription_id == 1:
            self._arrived.put(chunk)

    def _listen(self, _heartbeat: Heartbeat) -> None:
        self._heard = time.monotonic()

    def _changed(self, frame: MetadataUpdate) -> None:
        if frame.metadata_info.stream == self._stream:
            self._lose(LinkLost("the stream has moved or is gone"))

    def _lose(self, error: BaseException | None) -> None:
        self._arrived.put(LinkLost("connection closed" if error is None else reason(error)))
        self._over.set()


async def connect(address: RabbitAddress, stream: str, on_close: Callable[[Any], None]) -> Client:
    """Connect to a broker that has a copy of a stream.

    Parameters
    ----------
    address
        Any broker of the cluster.
    stream
        The stream's name.
    on_close
        Called when the connection breaks.

    Raises
    ------
    OSError, ServerError
        The broker is not there, or refuses.
    """
    client = await open_client(address, on_close)
    try:
        leader, replicas = await client.query_leader_and_replicas(stream)
    except (LeaderNotAvailable, ServerError):
        await client.close()
        raise
    places = [(broker.host, broker.port) for broker in [leader, *replicas]]
    if len(set(places)) > 1 and (address.host, address.port) not in places:
        await client.close()
        client = await open_client(address, on_close, places[0])
    client.add_stream(stream)
    return client


async def open_client(
    address: RabbitAddress, on_close: Callable[[Any], None], place: tuple[str, int] | None = None
) -> Client:
    """Connect to a broker, whatever streams it has; see `connect`."""
    client = Client(
        *(place or (address.host, address.port)),
        ssl_context=address.tls(),
        frame_max=_FRAME,
        heartbeat=_HEARTBEAT,
        connection_name="beaconfold",
        connection_closed_handler=on_close,
    )
    try:
        await client.start()
        await client.authenticate(address.vhost, address.user, address.password)
    except BaseException:
        with suppress(Exception):
            await client.close()
        raise
    return client


async def find_mark(client: Client, stream: str) -> int | None:
    """Read what tells a stream from one that was declared anew; None if it has no mark.

    The broker offers nothing of that kind, but keeps an offset under any name, with the stream: so
    the mark is a number that no offset reaches, which the first reader keeps there.
    """
    try:
        return await client.query_offset(stream, MARK)
    except OffsetNotFound:
        return None


async def first_offset(client: Client, stream: str) -> int | None:
    """Find the offset of a stream's first message; None if it has none."""
    found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def deliver(chunk: Deliver) -> None:
        if chunk.subscription_id == 2 and not found.done():  # noqa: PLR2004
            found.set_result(chunk.chunk_first_offset)

    client.add_handler(Deliver, deliver, name="2")
    await client.run_queue_listener_task(2, deliver)
    await client.subscribe(stream, 2, OffsetSpec(OffsetType.FIRST), initial_credit=1)
    try:
        return await asyncio.wait_for(found, 2)
    except TimeoutError:
        return None
    finally:
        await client.unsubscribe(2)
        client.remove_handler(Deliver, "2")
        await client.stop_queue_listener_task(2)


def ask(work: Callable[[], Awaitable[T]], patience: float = _SETUP) -> T:
    """Run something asynchronous to its end, in a thread: the caller may have a loop already.

    Raises
    ------
    LinkLost
        The broker is not there, refuses or does not answer.
    """
    outcome: list[T | BaseException] = []

    async def bounded() -> T:
        return await asyncio.wait_for(work(), patience)

    def run() -> None:
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            runner.get_loop().set_exception_handler(lambda _loop, _context: None)
            try:
                outcome.append(runner.run(bounded()))
            except Exception as error:  # noqa: BLE001 - it is raised below, by who asked
                outcome.append(error)

    thread = threading.Thread(target=run, name="rabbitmq-ask", daemon=True)
    thread.start()
    thread.join()
    (found,) = outcome
    if isinstance(found, BaseException):
        raise LinkLost(reason(found)) from found
    return found


def reason(error: BaseException) -> str:
    """Say in a few words what an error of the connection means.

    >>> reason(OffsetNotFound())
    'offset not found'
    """
    if isinstance(error, ServerError) and not str(error):
        return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()
    return str(error) or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()
