"""Beacons that come by HTTP: a collector of our own, which browsers and trackers send to."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from ...stores.clock import Clock, SystemClock
from ...stores.times import parse_duration
from ..archive.names import checked
from ..collector import Backlog, Collector, Server
from ..collector.application import MAX_BODY, MAX_TARGET, PATHS, Waiter
from ..collector.backlog import MAX_BYTES, MAX_ROWS
from .healing import NAP, Healing
from .parameters import number, read_parameters
from .source import NONE_KNOWN, NOTHING, Batch, Source, SourcePartition

PARTITION: Final = "200ms"
"""How long a beacon waits to be published, unless the user says otherwise: a client waits too."""

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._=+@-]+")
_PACE: Final = 0.025
_FAREWELL: Final = 2.0


@dataclass(eq=False)
class HttpSource(Source, SourcePartition):
    """A collector: it listens while it is read, and answers for what is acknowledged.

    A request is answered with 2xx once its beacons' segment is durable; with 503 if that does not
    happen within ``wait``, if too much waits for it, or if the collector is stopping. What was
    answered otherwise, or not at all, may be in the archive or not.

    Parameters
    ----------
    host, port
        Where to listen; port 0: a free one, see `address`.
    name
        Names the partition, ``http-NAME``, where several collectors share an archive; host and port
        do otherwise.
    paths
        Where beacons are taken, besides any path that ends in ``.gif``.
    wait
        Seconds that a request may wait to be published: more than a segment's age.
    max_body, max_target
        Bytes of a body, and of path and query.
    max_rows, max_bytes
        Beacons, and their bytes, that may wait to be published.
    clock
        Waits before it tries to listen again.
    """

    host: str
    port: int
    name: str | None = None
    paths: tuple[str, ...] = PATHS
    wait: float = 5.0
    max_body: int = MAX_BODY
    max_target: int = MAX_TARGET
    max_rows: int = MAX_ROWS
    max_bytes: int = MAX_BYTES
    clock: Clock = field(default_factory=SystemClock, repr=False)
    _run: _Run | None = field(default=None, init=False, repr=False)

    @classmethod
    def of(cls, rest: str, query: str, clock: Clock | None = None) -> HttpSource:
        """Read a URL's rest and query.

        Raises
        ------
        ValueError
            They cannot be read.

        Examples
        --------
        >>> source = HttpSource.of("0.0.0.0:8080", "name=edge-1&wait=2s")
        >>> source.identity, source.port, source.wait
        ('http-edge-1', 8080, 2.0)
        """
        place = urlsplit(f"http://{rest}")
        try:
            host, port = place.hostname, place.port
        except ValueError:
            host, port = None, None
        if host is None or port is None or place.username is not None:
            raise ValueError("name the address to listen at and its port: http://0.0.0.0:8080")
        if place.path.strip("/"):
            raise ValueError(
                "name the paths of beacons as parameters: http://host:port?paths=/b,/i"
            )
        given = read_parameters(query, _PARAMETERS, "http")
        return cls(unquote(host), port, **given, clock=clock or SystemClock())

    def partitions(
        self, known: Mapping[str, Mapping[str, Any]] = NONE_KNOWN
    ) -> list[SourcePartition]:
        """There is one."""
        del known
        return [self]

    @property
    def finite(self) -> bool:
        """It never ends by itself."""
        return False

    @property
    def portable(self) -> bool:
        """It listens where it was started: clients would not find it on another machine."""
        return False

    @property
    def identity(self) -> str:
        """Name of the partition in the archive."""
        return "http-" + (self.name or _UNSAFE.sub("_", f"{self.host}-{self.port}"))

    @property
    def age(self) -> str:
        """How long a beacon waits to be published, unless the user says otherwise."""
        return PARTITION

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port that it listens at; None while it does not."""
        return None if self._run is None else self._run.address

    @property
    def health(self) -> str | None:
        """Why it does not listen, or takes no beacons; None if it does."""
        return None if self._run is None else self._run.health

    def about(self) -> dict[str, Any]:
        """Tell where it listens."""
        return {"host": self.host, "port": self.port, "paths": list(self.paths)}

    def read(self, position: int | None) -> Iterator[Batch]:
        """Listen, and hand over what comes; a position counts the requests before it."""
        if self._run is not None:
            self._run.close()  # a reader that hangs has not; else the port would never be free
        run = self._run = _Run(self, position or 0)
        try:
            yield from run.batches()
        finally:
            run.close()

    def acknowledge(self, position: int | None) -> None:
        """Answer those who waited for what is before the position."""
        if self._run is not None and position is not None:
            self._run.acknowledge(position)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_run": None}


class _Run:
    """One time that a collector listens, until it is closed."""

    def __init__(self, source: HttpSource, position: int) -> None:
        self.source = source
        self.backlog: Backlog[Waiter] = Backlog(
            max_rows=source.max_rows, max_bytes=source.max_bytes, patience=source.wait
        )
        self.backlog.begin(position)
        self._position = position
        self._collector = Collector(
            self.backlog,
            paths=source.paths,
            max_body=source.max_body,
            max_target=source.max_target,
        )
        self._healing = Healing(f"http://{source.host}:{source.port}", clock=source.clock)
        self._server: Server | None = None
        self._closed = False

    @property
    def address(self) -> tuple[str, int] | None:
        server = self._server
        return None if server is None or self._closed else server.address

    @property
    def health(self) -> str | None:
        return self._healing.health

    def batches(self) -> Iterator[Batch]:
        while True:
            while not self._closed and (self._server is None or not self._server.alive):
                yield from self._listen()
            # Requests come one by one; a frame for each would cost more than all the rest.
            waits = NAP if not self.backlog.waiting else _PACE
            if self.backlog.arrived.wait(waits):
                self.source.clock.sleep(_PACE)
            batch = self.backlog.take()
            if batch is None:
                yield Batch(NOTHING, self._position)
            else:
                self._position = batch.position or 0
                yield batch

    def acknowledge(self, position: int) -> None:
        answered = self.backlog.publish(position)
        server = self._server
        if server is None:
            return
        if answered:
            server.call(_settle, answered, True)
        if self._closed and not self.backlog.waiting:
            server.join(_FAREWELL)  # let the last answers out before whoever runs us goes

    def close(self) -> None:
        """Listen no more; what was handed over is answered for when it is acknowledged."""
        self._closed = True
        dropped = self.backlog.close()  # asked twice it does nothing
        if self._server is None:
            return
        self._server.call(_settle, dropped, False)
        self._server.stop()
        if not self.backlog.waiting:
            self._server.join(_FAREWELL)

    def _listen(self) -> Iterator[Batch]:
        """Try to listen; if that fails, say so, and wait."""
        source = self.source
        if self._server is not None:
            ended = self._server.failure or "it has ended"
            self._server = None
            self.backlog.abandon()  # their connections went with it
            self._healing.failed(f"the server has failed: {ended}")
        try:
            self._server = Server(self._collector, source.host, source.port, self._sweep)
        except OSError as error:
            self._healing.failed(f"cannot listen: {error.strerror or error}")
            for _ in self._healing.pause():
                yield Batch(NOTHING, self._position)
        else:
            self._healing.healed()

    def _judge(self) -> None:
        trouble = self.backlog.trouble
        if self._closed:
            return
        if trouble is None:
            self._healing.healed()
        else:
            self._healing.failed(trouble)

    def _sweep(self) -> None:
        _settle(self.backlog.overdue(), False)
        self._judge()


def _settle(waiting: Iterable[Waiter], published: bool) -> None:
    for waiter in waiting:
        if not waiter.done():  # its client may have left
            waiter.set_result(published)


def _paths(text: str) -> tuple[str, ...]:
    paths = tuple(text.split(","))
    if not all(path.startswith("/") for path in paths):
        raise ValueError("use paths, as /b,/i")
    return paths


def _seconds(text: str) -> float:
    return parse_duration(text) / 1e6


_PARAMETERS: Final[dict[str, Callable[[str], Any]]] = {
    "name": lambda text: checked(f"http-{text}").removeprefix("http-"),
    "paths": _paths,
    "wait": _seconds,
    "max_body": number(1),
    "max_target": number(1, most=60 << 10),
    "max_rows": number(1),
    "max_bytes": number(1),
}
