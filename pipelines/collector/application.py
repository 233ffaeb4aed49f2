"""What the collector answers: an RSGI application."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final, Protocol, TypeAlias
from urllib.parse import quote

from .backlog import Backlog, Refused
from .bodies import Unacceptable, beacons_of
from .metrics import exposition

Headers: TypeAlias = list[tuple[str, str]]
Waiter: TypeAlias = "asyncio.Future[bool]"

GIF: Final = bytes.fromhex(
    "47494638396101000100800000000000ffffff21f90401000000002c000000000100010000020144003b"
)
"""One transparent pixel."""

MAX_BODY: Final = 1 << 20
MAX_TARGET: Final = 16 << 10
PATHS: Final = ("/b", "/i", "/com.snowplowanalytics.snowplow/tp2")
"""Where beacons are taken, besides any path that ends in ``.gif``; the last two are Snowplow's."""

_RETRY_AFTER: Final = "1"
_METHODS: Final = "GET, POST, OPTIONS"
_FRESH: Final = [("cache-control", "no-store")]
_PIXEL: Final = [*_FRESH, ("content-type", "image/gif")]
_TEXT: Final = [*_FRESH, ("content-type", "text/plain; charset=utf-8")]
_METRICS: Final = [*_FRESH, ("content-type", "text/plain; version=0.0.4; charset=utf-8")]
_LONGEST_ECHO: Final = 1000
_log = logging.getLogger(__name__)


class Scope(Protocol):
    """What RSGI tells of a request."""

    method: str
    path: str
    query_string: str
    headers: Any


class Exchange(Protocol):
    """What RSGI gives to read the body from, and to answer to."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    def response_empty(self, status: int, headers: Headers) -> None:
        """Answer without a body."""

    def response_bytes(self, status: int, headers: Headers, body: bytes) -> None:
        """Answer with bytes."""

    def response_str(self, status: int, headers: Headers, body: str) -> None:
        """Answer with text."""


class Collector:
    """Takes beacons from requests, and answers 2xx once they are published.

    ``GET`` answers a pixel, ``POST`` 204; ``/health`` and ``/metrics`` are for those who watch it.

    Parameters
    ----------
    backlog
        Where the beacons go.
    paths
        Where beacons are taken, besides any path that ends in ``.gif``.
    max_body, max_target
        Bytes of a body, and of path and query.
    body_seconds
        How long a client may take to send a body.
    """

    def __init__(
        self,
        backlog: Backlog[Waiter],
        *,
        paths: Iterable[str] = PATHS,
        max_body: int = MAX_BODY,
        max_target: int = MAX_TARGET,
        body_seconds: float = 10.0,
    ) -> None:
        self.backlog = backlog
        self.paths = frozenset(paths)
        self.max_body, self.max_target = max_body, max_target
        self.body_seconds = body_seconds
        self.answers: Counter[int] = Counter()

    async def __rsgi__(self, scope: Scope, exchange: Exchange) -> None:
        """Answer a request."""
        headers = scope.headers
        shared = _shared(headers.get("origin"))
        try:
            await self._answer(scope, headers, exchange, shared)
        except Unacceptable as error:
            self._refuse(exchange, error.status, str(error), shared)
        except Refused as refused:
            self._refuse(exchange, 503, str(refused), shared)
        except asyncio.CancelledError:
            pass  # the client has left: its beacon is published or not, as if the answer were lost
        except Exception as error:  # noqa: BLE001 - no request may bring the collector down
            _log.warning("a request could not be answered: %s: %s", type(error).__name__, error)
            self._refuse(exchange, 500, "this is a fault of the collector", shared)

    async def _answer(
        self, scope: Scope, headers: Any, exchange: Exchange, shared: Headers
    ) -> None:
        method, path = scope.method, scope.path
        if method == "OPTIONS":
            self.answers[204] += 1
            exchange.response_empty(204, shared + _preflight(headers))
            return
        if not (path.endswith(".gif") or path in self.paths):
            self._about(method, path, exchange)
            return
        if method not in {"GET", "POST"}:
            raise Unacceptable(405, f"use one of {_METHODS}")
        target = _target(path, scope.query_string)
        if len(target) > self.max_target:
            raise Unacceptable(414, f"path and query are limited to {self.max_target} bytes")
        if method == "POST":
            body = await self._body(headers, exchange)
            beacons = beacons_of(target, headers.get("content-type", ""), body)
        else:
            beacons = [target]
        waiter: Waiter = asyncio.get_running_loop().create_future()
        self.backlog.add(beacons, waiter)
        if not await waiter:
            raise Refused(self.backlog.trouble or "it was not published in time")
        if method == "GET":
            self.answers[200] += 1
            exchange.response_bytes(200, _PIXEL + shared if shared else _PIXEL, GIF)
        else:
            self.answers[204] += 1
            exchange.response_empty(204, _FRESH + shared)

    async def _body(self, headers: Any, exchange: Exchange) -> bytes:
        encoding = headers.get("content-encoding", "identity")
        if encoding != "identity":
            raise Unacceptable(415, f"a body in {encoding!r} is not read here: send it as it is")
        length = headers.get("content-length")
        limit = f"a body is limited to {self.max_body} bytes"
        if length is not None and not length.isdecimal():
            raise Unacceptable(400, "the length of the body is no number")
        if length is not None and int(length) > self.max_body:
            raise Unacceptable(413, limit)
        pieces: list[bytes] = []
        size = ends = 0
        try:
            async with asyncio.timeout(self.body_seconds):
                async for piece in exchange:
                    pieces.append(piece)
                    size += len(piece)
                    ends += not piece
                    if size > self.max_body:
                        raise Unacceptable(413, limit)
        except TimeoutError:
            raise Unacceptable(408, "the body did not come in time") from None
        # Granian gives an empty piece at the end of a body, and one more where it was cut.
        if ends > 1 or (length is not None and size != int(length)):
            raise Unacceptable(400, "the body was cut, or is not chunked as it says")
        return b"".join(pieces)

    def _about(self, method: str, path: str, exchange: Exchange) -> None:
        if path not in {"/health", "/metrics"}:
            raise Unacceptable(404, "beacons are taken at paths that end in .gif")
        if method != "GET":
            raise Unacceptable(405, "use GET")
        if path == "/metrics":
            exchange.response_str(200, _METRICS, exposition(self.backlog, self.answers))
        elif (trouble := self.backlog.trouble) is None:
            exchange.response_str(200, _TEXT, "ok\n")
        else:
            exchange.response_str(503, [*_TEXT, ("retry-after", _RETRY_AFTER)], f"{trouble}\n")

    def _refuse(self, exchange: Exchange, status: int, reason: str, shared: Headers) -> None:
        self.answers[status] += 1
        headers = _TEXT + shared
        if status == 503:  # noqa: PLR2004 - a status has a number
            headers = [*headers, ("retry-after", _RETRY_AFTER)]
        elif status == 405:  # noqa: PLR2004
            headers = [*headers, ("allow", _METHODS)]
        exchange.response_str(status, headers, f"{reason}\n")


def _target(path: str, query: str) -> bytes:
    """Put path and query together again: RSGI has decoded the path's escapes, not the query's."""
    if not path.isascii() or "%" in path or " " in path:
        path = quote(path, safe="/:@!$&'()*+,;=-._~")
    return f"{path}?{query}".encode() if query else path.encode()


def _shared(origin: str | None) -> Headers:
    """Let pages of any origin send beacons, with their cookies."""
    if origin is None:
        return []
    return [
        ("access-control-allow-origin", origin),
        ("access-control-allow-credentials", "true"),
        ("vary", "origin"),
    ]


def _preflight(headers: Any) -> Headers:
    if headers.get("access-control-request-method") is None:
        return [("allow", _METHODS)]
    wanted = headers.get("access-control-request-headers", "")
    return [
        ("access-control-allow-methods", _METHODS),
        (
            "access-control-allow-headers",
            wanted if 0 < len(wanted) <= _LONGEST_ECHO else "content-type",
        ),
        ("access-control-max-age", "7200"),
    ]
