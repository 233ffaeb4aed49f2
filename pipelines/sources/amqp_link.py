"""One connection to an AMQP broker, in a thread of its own, which answers heartbeats meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import pika
from pika.adapters.select_connection import IOLoop, SelectConnection
from pika.channel import Channel
from pika.exceptions import AMQPError

from .rabbitmq_address import RabbitAddress

_HEARTBEAT: Final = 20
_SETUP: Final = 10


class AmqpLink:
    """A connection with a channel.

    Parameters
    ----------
    address
        The broker.
    on_open
        Called with the channel once it is open, in the link's thread.
    wake
        Called whenever there is news; any thread.
    """

    def __init__(
        self,
        address: RabbitAddress,
        on_open: Callable[[Channel], None],
        wake: Callable[[], None],
    ) -> None:
        self.lost: str | None = None
        self._address, self._on_open, self._wake = address, on_open, wake
        self._closing = False
        self._loop = IOLoop()
        self._connection: SelectConnection | None = None
        self._thread = threading.Thread(target=self._run, name="amqp", daemon=True)
        self._thread.start()

    def do(self, work: Callable[[], object]) -> None:
        """Do something with the channel, in the link's thread; nothing once the link is lost."""
        self._loop.add_callback_threadsafe(lambda: None if self.lost else self._try(work))

    def lose(self, why: str) -> None:
        """Give the connection up, for a reason that is kept if it is the first one."""
        if self.lost is None:
            self.lost = " ".join(why.split())
            self._wake()
        connection = self._connection
        if connection is None:
            self._loop.stop()
        elif not (connection.is_closed or connection.is_closing):  # it tells when it is closed
            self._try(connection.close)

    def close(self) -> None:
        """Close the connection: what was not acknowledged is the broker's again."""
        self._loop.add_callback_threadsafe(lambda: self.lose("closed"))
        self._thread.join(_SETUP)

    def _try(self, work: Callable[[], object]) -> None:
        with suppress(AMQPError):
            work()

    def _run(self) -> None:
        try:
            self._connection = SelectConnection(
                self._parameters(),
                on_open_callback=self._opened,
                on_open_error_callback=lambda _connection, why: self._ended(why),
                on_close_callback=lambda _connection, why: self._ended(why),
                custom_ioloop=self._loop,
            )
            self._loop.start()
        except Exception as error:  # noqa: BLE001 - whatever it is, the owner decides
            self._ended(error)
        finally:
            self._loop.close()

    def _parameters(self) -> pika.ConnectionParameters:
        address, tls = self._address, self._address.tls()
        return pika.ConnectionParameters(
            address.host,
            address.port,
            address.vhost,
            pika.PlainCredentials(address.user, address.password),
            heartbeat=_HEARTBEAT,
            connection_attempts=1,
            socket_timeout=_SETUP,
            stack_timeout=_SETUP,
            ssl_options=None if tls is None else pika.SSLOptions(tls, address.host),
            client_properties={"connection_name": "beaconfold"},
        )

    def _opened(self, connection: Any) -> None:
        connection.channel(on_open_callback=self._channel)

    def _channel(self, channel: Channel) -> None:
        channel.add_on_close_callback(lambda _channel, why: self.lose(said(why)))
        channel.add_on_cancel_callback(lambda _frame: self.lose("the queue is gone"))
        self._on_open(channel)

    def _ended(self, why: BaseException) -> None:
        if self.lost is None:
            self.lost = said(why)
        self._wake()
        self._loop.stop()


def said(why: BaseException) -> str:
    """Say what an error of the connection means, in a line."""
    text = str(getattr(why, "reply_text", "")) or str(why) or type(why).__name__
    return " ".join(text.split())
