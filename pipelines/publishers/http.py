"""Beacons to a collector, as browsers send them: by GET, or many by POST."""

from __future__ import annotations

import http.client
import json
import logging
import queue
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from ...stores.clock import Clock, SystemClock
from ..sources.healing import Healing
from ..sources.parameters import number, one_of, read_parameters
from .publisher import Publisher, PublishFailed

_TARGET: Final = re.compile(rb"/[A-Za-z0-9\-._~/]*\.gif(\?[A-Za-z0-9\-._~:/?@!$&'()*+,;=%\[\]]*)?")
_LONGEST_TARGET: Final = 8000
_LINES: Final = 5000
_BYTES: Final = 900_000
_IDLE: Final = 5.0
_ANSWER: Final = 60.0
_log = logging.getLogger(__name__)


class _Request(NamedTuple):
    beacons: int
    method: str
    target: str
    body: bytes | None = None
    kind: str = ""


class HttpPublisher(Publisher):
    """Sends beacons to a collector, and counts those that it answers with 2xx.

    A request that is answered otherwise, or not at all, is not sent again, since its beacons may be
    durable: they are not counted.

    Parameters
    ----------
    url
        ``http://host:8080/b.gif``, or ``https://``; the path is where lines are posted to.
        ``?method=get`` sends each beacon that is a path and a query by a GET of its own;
        ``?connections=N`` of so many under way at a time, 1 unless given, and 32 for GETs: only
        with one do beacons keep their order.
    patience
        Seconds for which a collector that cannot be reached is waited for.
    clock
        Waits.

    Raises
    ------
    ValueError
        The URL cannot be read.

    Examples
    --------
    >>> HttpPublisher("http://localhost:8080/b.gif?method=get").connections
    32
    """

    def __init__(self, url: str, *, patience: float = 30.0, clock: Clock | None = None) -> None:
        place, _, query = url.partition("?")
        parts = urlsplit(place)
        if parts.hostname is None or parts.username is not None:
            raise ValueError("name the collector's host: http://host:8080/b.gif")
        given = read_parameters(query, _PARAMETERS, "http")
        self.path = parts.path if parts.path.strip("/") else "/b.gif"
        self.each = given.get("method") == "get"
        self.connections: int = given.get("connections", 32 if self.each else 1)
        self.patience, self._clock = patience, clock or SystemClock()
        self._name = f"{parts.scheme}://{parts.hostname}:{parts.port or parts.scheme}"
        tls = parts.scheme == "https"
        kind = http.client.HTTPSConnection if tls else http.client.HTTPConnection
        self._idle: queue.SimpleQueue[tuple[http.client.HTTPConnection, float]]
        self._idle = queue.SimpleQueue()
        for _ in range(self.connections):
            self._idle.put((kind(parts.hostname, parts.port, timeout=_ANSWER), 0.0))
        self._threads = ThreadPoolExecutor(self.connections, "http-publisher")

    def send(self, bodies: Sequence[bytes]) -> int:
        """Send beacons, and wait for all answers.

        Raises
        ------
        PublishFailed
            The collector was not to be reached for a while.
        ValueError
            A beacon is empty, or has a line break and is no text: it cannot be sent by HTTP.
        """
        requests = list(self._requests(bodies))
        answers = [self._threads.submit(self._confirmed, request) for request in requests]
        errors = [answer.exception() for answer in answers]
        counts = [
            0 if error else answer.result() for answer, error in zip(answers, errors, strict=True)
        ]
        for index, error in enumerate(errors):
            if isinstance(error, PublishFailed):
                raise PublishFailed(str(error), sum(counts[:index])) from error
            if error is not None:
                raise error
        return sum(counts)

    def close(self) -> None:
        """Close the connections."""
        self._threads.shutdown()
        while not self._idle.empty():
            self._idle.get()[0].close()

    def _requests(self, bodies: Sequence[bytes]) -> Iterator[_Request]:
        lines: list[bytes] = []
        size = 0
        for body in bodies:
            if self.each and len(body) <= _LONGEST_TARGET and _TARGET.fullmatch(body):
                yield _Request(1, "GET", body.decode())
                continue
            if lines and (len(lines) == _LINES or size + len(body) > _BYTES):
                yield self._post(lines)
                lines, size = [], 0
            if not body or b"\n" in body or body.endswith(b"\r"):
                if lines:
                    yield self._post(lines)
                    lines, size = [], 0
                yield self._odd(body)
                continue
            lines.append(body)
            size += len(body) + 1
        if lines:
            yield self._post(lines)

    def _post(self, lines: list[bytes]) -> _Request:
        # Not as text: of a text that is JSON as a whole each element is a beacon.
        return _Request(len(lines), "POST", self.path, b"\n".join(lines), "application/x-ndjson")

    def _odd(self, body: bytes) -> _Request:
        if not body:
            raise ValueError("an empty beacon cannot be sent by HTTP")
        try:
            text = json.dumps([body.decode()])
        except UnicodeDecodeError:
            message = "a beacon with a line break that is not UTF-8 cannot be sent by HTTP"
            raise ValueError(message) from None
        return _Request(1, "POST", self.path, text.encode(), "application/json")

    def _confirmed(self, request: _Request) -> int:
        connection, used = self._idle.get()
        try:
            if self._clock.monotonic() - used > _IDLE:
                connection.close()  # the other side may have, at any time
            if connection.sock is None:
                self._connect(connection)
            headers = {"Content-Type": request.kind} if request.kind else {}
            connection.request(request.method, request.target, request.body, headers)
            answer = connection.getresponse()
            text = answer.read()
        except PublishFailed:
            connection.close()
            raise
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            _log.warning("%s: a request was not answered: %r", self._name, error)
            return 0
        finally:
            self._idle.put((connection, self._clock.monotonic()))
        if 200 <= answer.status < 300:  # noqa: PLR2004 - what HTTP calls successful
            return request.beacons
        _log.warning("%s answered %d: %s", self._name, answer.status, text[:200].decode("latin-1"))
        return 0

    def _connect(self, connection: http.client.HTTPConnection) -> None:
        healing = Healing(self._name, most=1.0, clock=self._clock)
        until = self._clock.monotonic() + self.patience
        while True:
            try:
                connection.connect()
            except OSError as error:
                if self._clock.monotonic() >= until:
                    raise PublishFailed(f"{self._name} cannot be reached: {error}") from error
                healing.failed(str(error))
                for _ in healing.pause():
                    pass
            else:
                return


_PARAMETERS: Final = {"method": one_of("get", "post"), "connections": number(1, most=1000)}
