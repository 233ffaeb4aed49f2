"""The HTTP server: granian, in a thread of this process."""

from __future__ import annotations

import asyncio
import atexit
import gc
import resource
import socket
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final

from granian import http
from granian._granian import SocketHolder  # a listening socket of ours; see `_Granian`
from granian.constants import HTTPModes, Interfaces, TaskImpl
from granian.server.embed import Server as Embedded

CONNECTIONS: Final = 65_536
"""At most, where the system lets a process have so many open files."""

_OTHER_FILES: Final = 256
_QUEUE: Final = 4096
_HEADERS: Final = 64 << 10
_IDLE_MS: Final = 75_000  # proxies keep theirs for 60 s, and should be the first to hang up
_SWEEP: Final = 0.2
_FAREWELL: Final = 0.05


class Server:
    """Serves an RSGI application from a thread of its own.

    Parameters
    ----------
    application
        Answers requests, in the server's thread.
    host, port
        Where to listen; port 0: a free one.
    sweep
        Called there a few times a second.

    Attributes
    ----------
    address
        Host and port that it listens at.

    Raises
    ------
    OSError
        It cannot listen there.
    """

    def __init__(
        self, application: Any, host: str, port: int, sweep: Callable[[], object] = bool
    ) -> None:
        self._listener = _listen(host, port)
        self.address: tuple[str, int] = self._listener.getsockname()[:2]
        self.failure: BaseException | None = None
        self._application, self._sweep = application, sweep
        self._loop = asyncio.new_event_loop()
        self._granian: _Granian | None = None
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=f"collector-{port}", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    @property
    def alive(self) -> bool:
        """False once it has ended."""
        return self._thread.is_alive()

    def call(self, function: Callable[..., object], *arguments: object) -> None:
        """Have something called in the server's thread; nothing happens once it has ended."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments)

    def stop(self) -> None:
        """Listen no more, and end when all requests are answered; returns at once."""
        self.call(self._stop)

    def join(self, seconds: float) -> bool:
        """Wait for the end, that long at most; tell whether it has come."""
        self._thread.join(seconds)
        return not self.alive

    def close(self) -> None:
        """Stop, and wait for the end, but not for ever."""
        self.stop()
        self.join(2.0)

    def _stop(self) -> None:
        self._stopping = True
        if self._granian is not None:
            self._granian.stop()  # type: ignore[no-untyped-call]

    def _run(self) -> None:
        # Thousands of requests wait at once, which makes full collections frequent: a fifth of all
        # time, if each went through what was there before. What dies is still freed.
        gc.collect()
        gc.freeze()
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - whoever reads from it asks for it
            self.failure = error
        finally:
            atexit.unregister(self.close)

    async def _serve(self) -> None:
        self._granian = _Granian(self._application, self._listener)
        sweeping = asyncio.create_task(self._sweep_often())
        try:
            if not self._stopping:
                await self._granian.serve()
        finally:
            sweeping.cancel()
            # Granian's own threads end just after it says so; none may outlive the interpreter.
            await asyncio.sleep(_FAREWELL)

    async def _sweep_often(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP)
            self._sweep()


class _Granian(Embedded):
    """Granian on a socket that is ours alone.

    Its own sockets share their port with whoever binds it too (``SO_REUSEPORT``), so that a second
    collector would silently take half of the beacons; and it does not tell which port it got.
    """

    def __init__(self, application: Any, listener: socket.socket) -> None:
        self._listener = listener
        host, port = listener.getsockname()[:2]
        super().__init__(
            application,
            address=host,
            port=port,
            interface=Interfaces.RSGI,
            http=HTTPModes.http1,
            task_impl=TaskImpl.asyncio,
            websockets=False,
            backlog=_QUEUE,
            backpressure=_connections(),
            http1_settings=http.HTTP1Settings(
                header_read_timeout=_IDLE_MS, max_buffer_size=_HEADERS
            ),
            log_enabled=False,
            # Anything else would close the handlers of whoever has configured logging.
            log_dictconfig={"incremental": True, "handlers": {}, "loggers": {}},
        )

    def _init_shared_socket(self) -> None:
        descriptor = self._listener.detach()  # its runtime closes it
        queue = (_QUEUE,) if sys.platform.startswith(("linux", "freebsd")) else ()
        holder: Any = SocketHolder  # its stub is not complete
        self._ssp, self._shd = None, holder(descriptor, False, *queue)


def _connections() -> int:
    """Tell how many there may be, so that files are left for the archive to be written."""
    wanted = CONNECTIONS + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = wanted if soft == resource.RLIM_INFINITY else min(soft, wanted)
    return max(room - _OTHER_FILES, 1)


def _listen(host: str, port: int) -> socket.socket:
    addresses: Iterable[Any] = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    family, *_, address = next(iter(addresses))
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_QUEUE)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
